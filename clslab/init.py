"""How the weights of a network are drawn before it has learnt anything.

Taught in chapter 10.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm)


def initialise(model: nn.Module, name: str) -> nn.Module:
    """Draw the weights of a network anew, by a rule that it names.

    ===========  ======================================================================================================
    "default"    nothing is changed: torch drew the weights uniformly within 1/√(inputs of a unit) when it built the
                 layers, or the network has a rule of its own
    "kaiming"    convolutions: normal with variance 2 / (outputs that see one input), so that gradients neither grow nor
                 fade from one layer with ReLU to the layer before (arXiv:1502.01852, the backward form, "fan out").
                 Linear layers: normal with standard deviation 0.01, so that all classes start nearly equally probable,
                 as in AlexNet and in torchvision's VGG and MobileNet
    "xavier"     convolutions and linear layers: uniform with variance 2 / (inputs + outputs) of a unit (Glorot and
                 Bengio, 2010), made for layers without ReLU
    ===========  ======================================================================================================

    Other than with "default", biases become 0, and normalisation layers begin with scale 1 and shift 0. In a grouped
    convolution an input is seen by the outputs of its group only, and it is those that are counted. Parameters outside
    of such layers (class tokens, positions, torch's own attention layer) stay as they are.

    Args:
        model: changed in place; the numbers are drawn from torch's global random state.
        name: "default", "kaiming" or "xavier".

    Returns:
        The model.

    Raises:
        ValueError: for an unknown name.

    Taught in chapter 10.

    >>> model = initialise(nn.Sequential(nn.Conv2d(3, 64, 3), nn.Flatten(), nn.Linear(64, 10)), "kaiming")
    >>> round(model[0].weight.std().item(), 2), model[0].bias.abs().sum().item()  # sqrt(2 / (9 * 64)) is 0.06
    (0.06, 0.0)
    """
    if name not in RULES:
        raise ValueError(f"init = {name!r} is unknown; choose one of {', '.join(RULES)}")
    rule = RULES[name]
    if rule is not None:
        for module in model.modules():
            if isinstance(module, _ConvNd | nn.Linear):
                rule(module)
                _fill(module.bias, 0.0)
            elif isinstance(module, NORMS):
                _fill(module.weight, 1.0)
                _fill(module.bias, 0.0)
    return model


def _kaiming(layer: _ConvNd | nn.Linear) -> None:
    if isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, std=0.01)
        return
    seen_by = layer.out_channels // layer.groups * math.prod(layer.kernel_size)
    nn.init.normal_(layer.weight, std=math.sqrt(2 / seen_by))


def _xavier(layer: _ConvNd | nn.Linear) -> None:
    if isinstance(layer, nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        return
    inputs, outputs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    bound = math.sqrt(6 / ((inputs + outputs) * math.prod(layer.kernel_size)))
    nn.init.uniform_(layer.weight, -bound, bound)


@torch.no_grad()
def _fill(parameter: Tensor | None, value: float) -> None:
    if parameter is not None:  # a layer without a bias, a norm without a scale
        parameter.fill_(value)


RULES: dict[str, Callable[[_ConvNd | nn.Linear], None] | None] = {
    "default": None,
    "kaiming": _kaiming,
    "xavier": _xavier,
}
"""What each name does to one layer; `None` leaves the network as it is."""
