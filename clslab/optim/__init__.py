"""The optimizers of a recipe, and which parameters decay.

SAM and Ranger are written here, the others are torch's; a name that begins with "lookahead-" puts timm's Lookahead
around any of them.

Taught in chapters 2 and 10.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer

from clslab.optim.ranger import Ranger
from clslab.optim.sam import SAM, frozen_statistics, repeatable_draws
from clslab.recipe import Recipe

__all__ = [
    "LOOKAHEAD",
    "NAMES",
    "OPTIMIZERS",
    "SAM",
    "Ranger",
    "create",
    "frozen_statistics",
    "parameter_groups",
    "repeatable_draws",
]

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "ranger": Ranger,
}

LOOKAHEAD = "lookahead-"

NAMES = (*OPTIMIZERS, *(LOOKAHEAD + name for name in OPTIMIZERS if name != "ranger"))
"""Every name that a recipe's `optimizer` can have. (Ranger looks ahead by itself.)"""

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


def create(recipe: Recipe, model: nn.Module) -> Optimizer:
    """The optimizer that the recipe names, over the parameters that require a gradient.

    "lookahead-NAME" is Lookahead (arXiv:1907.08610) around NAME, with the further options `lookahead_k` (6 steps) and
    `lookahead_alpha` (0.5). timm's version starts the slow weights after the first k steps. With `sam_rho` above 0,
    SAM is put around the optimizer, and ASAM with `sam_adaptive`.

    Raises:
        ValueError: for an unknown optimizer or option, or a model with nothing to train.

    Taught in chapters 2 and 10.

    >>> create(Recipe(optimizer="sgd", lr=0.5), nn.Linear(2, 2)).param_groups[0]["lr"]
    0.5
    """
    if recipe.optimizer not in NAMES:
        raise ValueError(
            f"unknown optimizer {recipe.optimizer!r}; known are {', '.join(OPTIMIZERS)}, and with {LOOKAHEAD!r} in "
            "front all but ranger"
        )
    if recipe.sam_adaptive and recipe.sam_rho == 0:
        raise ValueError("sam_adaptive = True changes nothing without a radius; set sam_rho, for example to 0.5")
    groups = parameter_groups(model, recipe.weight_decay, decay_norm_and_bias=recipe.decay_norm_and_bias)
    build = _builder(recipe)
    if recipe.sam_rho == 0:
        return build(groups)
    return SAM(groups, build, rho=recipe.sam_rho, adaptive=recipe.sam_adaptive, model=model)


def _builder(recipe: Recipe) -> Callable[[Any], Optimizer]:
    """What makes the recipe's optimizer, SAM apart, from groups of parameters."""
    optimizer: Callable[..., Optimizer] = OPTIMIZERS[recipe.optimizer.removeprefix(LOOKAHEAD)]
    ahead = {"lookahead_k", "lookahead_alpha"} if recipe.optimizer.startswith(LOOKAHEAD) else set()
    known = set(inspect.signature(optimizer).parameters) - {"params", "lr", "weight_decay"} | ahead
    unknown = sorted(set(recipe.optimizer_options) - known)
    if unknown:
        raise ValueError(
            f"optimizer_options has {', '.join(unknown)}; {recipe.optimizer} knows "
            f"{', '.join(sorted(known))} (lr and weight_decay are fields of the recipe)"
        )
    # A recipe keeps its options as TOML does, so betas arrive as a list.
    options: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in recipe.optimizer_options.items()
        if name not in ahead
    }
    build = functools.partial(optimizer, lr=recipe.lr, **options)
    if not ahead:
        return build
    slow = {name: value for name, value in recipe.optimizer_options.items() if name in ahead}
    return lambda groups: _with_lookahead(build(groups), **slow)


def _with_lookahead(optimizer: Optimizer, *, lookahead_k: int = 6, lookahead_alpha: float = 0.5) -> Optimizer:
    return _lookahead()(optimizer, alpha=lookahead_alpha, k=lookahead_k)


@functools.cache
def _lookahead() -> Callable[..., Optimizer]:
    from timm.optim import Lookahead as Timms  # here: timm is slow to import, and most recipes do without

    class Lookahead(Timms):
        """Timm's, which can be copied: together with the optimizer that it stands around."""

        def __getstate__(self) -> dict[str, Any]:
            return {name: getattr(self, name) for name in ("_base_optimizer", "defaults", "state", "param_groups")}

    return Lookahead
