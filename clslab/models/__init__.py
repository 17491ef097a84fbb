"""Models: `create` builds a network by name, to be trained from scratch; `clslab.models.transfer` borrows trained ones.

>>> list_models()
['attention56', 'attention92', 'cait_xxs24', ..., 'wrn40_10', 'wrn40_2', 'xception']
"""

from __future__ import annotations

import importlib
import inspect
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

# No torch up here: the names are listed by commands that have to start at once.
if TYPE_CHECKING:
    from torch import nn

FAMILIES: dict[str, tuple[str, ...]] = {
    "resnet": ("resnet9", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "preactresnet18"),
    "vgg": ("vgg11", "vgg13", "vgg16", "vgg19"),
    "squeezenet": ("squeezenet",),
    "wideresnet": ("wrn16_8", "wrn28_10", "wrn40_2", "wrn40_10"),
    "resnext": ("resnext50", "resnext101"),
    "seresnet": ("seresnet18", "seresnet50"),
    "stochastic_depth": ("stochastic_depth18", "stochastic_depth50"),
    "rir": ("rir",),
    "densenet": ("densenet121", "densenet161", "densenet169", "densenet201"),
    "attention": ("attention56", "attention92"),
    "transformers": ("vit_tiny", "swin_tiny", "cait_xxs24"),
    "googlenet": ("googlenet",),
    "inception": ("inceptionv3", "inceptionv4", "inception_resnet_v2"),
    "xception": ("xception",),
    "mobilenet": ("mobilenet", "mobilenetv2"),
    "shufflenet": ("shufflenet", "shufflenetv2"),
    "nasnet": ("nasnet",),
}
"""The file of `clslab.models.zoo` that holds each name. Each file has a table BUILDERS of its names."""

SMALLEST_SIDE = 8
"""In pixels; a family that needs more has a SMALLEST_SIDE of its own in its file."""


def list_models() -> list[str]:
    """The names that `create` knows, sorted.

    Taught in chapter 11.
    """
    return sorted(name for names in FAMILIES.values() for name in names)


def create(name: str, *, num_classes: int, in_channels: int = 3, image_size: int = 32, **options: Any) -> nn.Module:
    """An untrained network for pictures of about 32 by 32 pixels.

    Its weights are drawn by torch's own rules from the global random state: seed first
    (`clslab.seeds.seed_everything`) to get the same network again.

    Args:
        name: one of `list_models()`.
        num_classes: C, at least 2.
        in_channels: channels of the pictures.
        image_size: side of the pictures in pixels, at least `smallest_side(name)`.
        options: further arguments of the family: `width`, the channels of the first layer, at least 1; where the paper
            has them, `dropout` and `drop_path`, probabilities from 0 to below 1; and what else its file says.

    Returns:
        A network from pictures `[B, in_channels, image_size, image_size]` to logits `[B, C]`.

    Raises:
        ValueError: for an unknown name or option, or a number that is too small.

    Taught in chapter 11.

    >>> model = create("resnet9", num_classes=100, width=16)
    >>> sum(weights.numel() for weights in model.parameters())
    424464
    """
    builder = _family(name).BUILDERS[name]
    sizes = {
        "num_classes": (num_classes, 2),
        "in_channels": (in_channels, 1),
        "image_size": (image_size, smallest_side(name)),
    }
    for argument, (value, least) in sizes.items():
        if value < least:
            raise ValueError(f"{argument} = {value} for {name}; give at least {least}")
    known = list(inspect.signature(builder).parameters)
    fixed = {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
    _check_options(name, options, [one for one in known if one not in fixed])
    # Most networks end in a pool and need not know the size; a family that does names it in its signature.
    return builder(**{argument: value for argument, value in fixed.items() if argument in known}, **options)


def smallest_side(name: str) -> int:
    """Side in pixels of the smallest picture that a network of this name takes.

    Raises:
        ValueError: for an unknown name.

    Taught in chapter 11.

    >>> smallest_side("resnet18")
    8
    """
    return getattr(_family(name), "SMALLEST_SIDE", SMALLEST_SIDE)


def _family(name: str) -> Any:
    """The module that holds a name."""
    for family, names in FAMILIES.items():
        if name in names:
            return importlib.import_module(f"clslab.models.zoo.{family}")
    near = get_close_matches(str(name), list_models(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"no model is called {name!r}.{hint} Known: {', '.join(list_models())}")


def _check_options(name: str, options: dict[str, Any], known: list[str]) -> None:
    # What these three mean is the same in every family, so that no family has to check them.
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}; it takes {', '.join(known)}")
        if option == "width" and value < 1:
            raise ValueError(f"width is {value}; give at least 1 channel, or leave it out for the full width")
        if option in ("dropout", "drop_path") and not 0 <= value < 1:
            raise ValueError(f"{option} is {value} for {name}; give a probability from 0 to below 1")
