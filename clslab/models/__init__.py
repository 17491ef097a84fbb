"""Models: `create` builds a network by name, to be trained from scratch; `clslab.models.transfer` borrows trained ones.

>>> list_models()
['preactresnet18', 'resnet101', 'resnet152', 'resnet18', 'resnet34', 'resnet50', 'resnet9']
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

# No torch up here: the names are listed by commands that have to start at once.
if TYPE_CHECKING:
    from torch import nn

FAMILIES: dict[str, tuple[str, ...]] = {
    "resnet": ("resnet9", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "preactresnet18"),
}
"""The file of `clslab.models.zoo` that holds each name. Each file has a table BUILDERS of its names."""

SMALLEST_SIDE = 8


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
        image_size: side of the pictures in pixels, at least 8.
        options: further arguments of the family, such as `width`, the channels of the first layer.

    Returns:
        A network from pictures `[B, in_channels, image_size, image_size]` to logits `[B, C]`.

    Raises:
        ValueError: for an unknown name or option, or a number that is too small.

    Taught in chapter 11.

    >>> model = create("resnet9", num_classes=100, width=16)
    >>> sum(weights.numel() for weights in model.parameters())
    424464
    """
    builder = _builder(name)
    sizes = {
        "num_classes": (num_classes, 2),
        "in_channels": (in_channels, 1),
        "image_size": (image_size, SMALLEST_SIDE),
    }
    for argument, (value, least) in sizes.items():
        if value < least:
            raise ValueError(f"{argument} = {value} for {name}; give at least {least}")
    known = list(inspect.signature(builder).parameters)
    fixed = {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
    for option in options:
        if option not in known:
            free = [one for one in known if one not in fixed]
            raise ValueError(f"{name} has no option {option!r}; it takes {', '.join(free)}")
    # Most networks end in a pool and need not know the size; a family that does names it in its signature.
    return builder(**{argument: value for argument, value in fixed.items() if argument in known}, **options)


def _builder(name: str) -> Callable[..., nn.Module]:
    for family, names in FAMILIES.items():
        if name in names:
            builders = importlib.import_module(f"clslab.models.zoo.{family}").BUILDERS
            return builders[name]
    near = get_close_matches(str(name), list_models(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"no model is called {name!r}.{hint} Known: {', '.join(list_models())}")
