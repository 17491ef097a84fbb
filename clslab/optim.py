"""The optimizers of a recipe, and which parameters decay.

Taught in chapter 2.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from clslab.recipe import Recipe

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
}

# _NormBase is the parent of every batch and instance norm; timm's norms are children of these.
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def parameter_groups(
    model: nn.Module, weight_decay: float, *, decay_norm_and_bias: bool = False
) -> list[dict[str, Any]]:
    """The trained parameters in groups with and without weight decay.

    Decay pulls a weight towards zero. For a bias, or the scale and shift of a normalisation, zero
    is no simpler than another value, so by default they are left alone. Whether that is wise is a
    question of its own: one paper says never to decay them, the authors of SAM decay everything.

    Args:
        model: parameters that do not require a gradient are left out.
        weight_decay: at least 0.
        decay_norm_and_bias: decay every parameter.

    Returns:
        Groups for an optimizer: the decayed parameters first; a group without parameters is left
        out.

    Raises:
        ValueError: if the model has no parameter to train, or `weight_decay` is negative.

    Source: He et al. (arXiv:1812.01187). Taught in chapters 2 and 10.

    >>> [len(group["params"]) for group in parameter_groups(nn.Linear(2, 2), 0.1)]
    [1, 1]
    """
    if weight_decay < 0:
        raise ValueError(f"weight_decay = {weight_decay} is negative; take 0 for none")
    decayed: dict[int, nn.Parameter] = {}  # by identity: a shared parameter is in one group only
    spared: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in decayed | spared:
                continue
            spare = isinstance(module, NORMS) or name.endswith("bias")
            group = spared if spare and not decay_norm_and_bias else decayed
            group[id(parameter)] = parameter
    if not decayed and not spared:
        raise ValueError(
            "the model has no parameter that requires a gradient, so there is nothing to train; "
            "unfreeze a part, for example with clslab.models.transfer.set_train_part"
        )
    groups = [
        {"params": list(decayed.values()), "weight_decay": weight_decay},
        {"params": list(spared.values()), "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def create(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that the recipe names, over the parameters that require a gradient.

    Raises:
        ValueError: for an unknown optimizer or option, or a model with nothing to train.

    Taught in chapter 2.

    >>> create(Recipe(optimizer="sgd", lr=0.5), nn.Linear(2, 2)).param_groups[0]["lr"]
    0.5
    """
    if recipe.optimizer not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {recipe.optimizer!r}; known are {', '.join(OPTIMIZERS)}")
    optimizer = OPTIMIZERS[recipe.optimizer]
    known = set(inspect.signature(optimizer).parameters) - {"params", "lr", "weight_decay"}
    unknown = sorted(set(recipe.optimizer_options) - known)
    if unknown:
        raise ValueError(
            f"optimizer_options has {', '.join(unknown)}; {recipe.optimizer} knows "
            f"{', '.join(sorted(known))} (lr and weight_decay are fields of the recipe)"
        )
    groups = parameter_groups(model, recipe.weight_decay, decay_norm_and_bias=recipe.decay_norm_and_bias)
    # A recipe keeps its options as TOML does, so betas arrive as a list.
    options: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in recipe.optimizer_options.items()
    }
    return optimizer(groups, lr=recipe.lr, **options)  # type: ignore[call-arg]
