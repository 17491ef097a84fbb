"""What a network costs: its parameters, and the multiply-adds that it takes for one picture.

Taught in chapter 11.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from clslab import models

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        parameters: numbers that training changes or could change; frozen ones are counted too.
        macs: multiply-adds for one picture. Convolutions and matrix products are counted, those of attention
            included; norms, activations, pools and sums are not. Twice this number are the FLOPs.
    """

    parameters: int
    macs: int


def measure(
    model: nn.Module | str, *, image_size: int = 32, in_channels: int = 3, num_classes: int = 100, **options: Any
) -> Cost:
    """Count a network's parameters and its multiply-adds for one picture, in eval mode.

    Nothing is computed: a copy of the network whose tensors have a shape but no numbers (on torch's "meta" device) is
    asked instead. So it takes no memory, and neither the network nor the random state is touched.

    Args:
        model: a network, or a name of `clslab.models.list_models()`.
        image_size: side of the picture in pixels.
        in_channels: channels of the picture.
        num_classes: C, if `model` is a name.
        options: of the family, if `model` is a name.

    Raises:
        ValueError: if the name or an option is unknown, or `options` are given with a network.

    Taught in chapter 11.

    >>> measure("resnet18")
    Cost(parameters=11220132, macs=555468800)
    >>> measure("resnet18", image_size=64).macs / measure("resnet18").macs  # all but the last layer grows fourfold
    3.9997...
    """
    if isinstance(model, str):
        with torch.device("meta"):
            shape = models.create(
                model, num_classes=num_classes, in_channels=in_channels, image_size=image_size, **options
            )
    elif options:
        raise ValueError(f"{', '.join(options)} given with a network; options are for a model's name")
    else:
        shape = _without_numbers(model)
    parameters = sum(weights.numel() for weights in shape.parameters())
    picture = torch.empty(1, in_channels, image_size, image_size, device="meta", dtype=_dtype(shape))
    _drop_batch_norms(shape.requires_grad_(False).eval())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shape(picture)
    return Cost(parameters=parameters, macs=counter.get_total_flops() // 2)


def _without_numbers(model: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers lie on the "meta" device."""
    replaced: dict[int, Tensor] = {}
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        empty = torch.empty_like(tensor, device="meta", requires_grad=False)
        replaced[id(tensor)] = nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty
    return copy.deepcopy(model, replaced)  # takes from `replaced` what it finds there instead of copying it


def _drop_batch_norms(shape: nn.Module) -> None:
    # They count nothing and change no shape, but asking them took longer than asking all the rest.
    for parent in list(shape.modules()):
        for name, part in parent.named_children():
            if type(part) in BATCH_NORMS:
                setattr(parent, name, nn.Identity())


def _dtype(model: nn.Module) -> torch.dtype:
    return next((weights.dtype for weights in model.parameters()), torch.get_default_dtype())
