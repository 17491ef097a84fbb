"""How the learning rate changes during training.

Taught in chapters 2 and 7.
"""

from __future__ import annotations

import math
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, StepLR

from clslab.recipe import Recipe

NAMES = ("constant", "cosine", "step")


def warmup_cosine(optimizer: Optimizer, *, warmup: float, total: float) -> LRScheduler:
    """A linear rise of the learning rate, then half a cosine down towards zero.

    At time t the factor is (t + 1) / warmup while t < warmup, so that the first one is not zero,
    and ½ (1 + cos π (t − warmup) / (total − warmup)) afterwards. Call `step()` once per unit of
    time, after the optimizer's.

    Args:
        optimizer: its present learning rates are the highest ones.
        warmup: length of the rise, at least 0, in any unit (steps, epochs).
        total: length of the whole schedule in the same unit; the factor stays 0 beyond it.

    Raises:
        ValueError: if `warmup` is negative or not below `total`.

    Source: Goyal et al. (arXiv:1706.02677) for the warm-up; Loshchilov and Hutter
    (arXiv:1608.03983) for the cosine. Taught in chapter 7.
    """
    if not 0 <= warmup < total:
        raise ValueError(
            f"warmup = {warmup} and total = {total}: the warm-up has to be at least 0 and shorter "
            "than the whole schedule; train for longer or warm up for less"
        )

    def factor(time: int) -> float:
        if time < warmup:
            return min(1.0, (time + 1) / warmup)
        done = min(1.0, (time - warmup) / (total - warmup))
        return 0.5 * (1 + math.cos(math.pi * done))

    return LambdaLR(optimizer, factor)


def unit(recipe: Recipe) -> Literal["step", "epoch"]:
    """After what `step()` of the recipe's schedule is called: each optimizer step, or each epoch.

    >>> unit(Recipe(schedule="cosine")), unit(Recipe(schedule="step"))
    ('step', 'epoch')
    """
    return "step" if recipe.schedule == "cosine" or recipe.warmup > 0 else "epoch"


def create(recipe: Recipe, optimizer: Optimizer, total: int) -> LRScheduler | None:
    """The schedule that the recipe names, to be advanced once per `unit(recipe)`.

    "cosine" is `warmup_cosine`; "step" multiplies by `gamma` (default 0.1) every `step_size` epochs;
    "constant" stays where it is. `warmup`, in epochs, goes before "cosine" and "constant".

    Args:
        recipe: `schedule`, `schedule_options`, `warmup` and `epochs` are read.
        optimizer: its present learning rates are the highest ones.
        total: optimizer steps in the whole run (epochs times batches).

    Returns:
        The scheduler, or `None` for a constant learning rate without warm-up.

    Raises:
        ValueError: for an unknown schedule or option, or a warm-up that does not fit.

    Taught in chapters 2 and 7.
    """
    known = {"constant": set(), "cosine": set(), "step": {"step_size", "gamma"}}
    if recipe.schedule not in known:
        raise ValueError(f"unknown schedule {recipe.schedule!r}; known are {', '.join(NAMES)}")
    unknown = sorted(set(recipe.schedule_options) - known[recipe.schedule])
    if unknown:
        raise ValueError(
            f"schedule_options has {', '.join(unknown)}; {recipe.schedule!r} knows "
            f"{', '.join(sorted(known[recipe.schedule])) or 'no options'}"
        )
    if recipe.schedule == "step":
        return _step(recipe, optimizer)
    warmup = recipe.warmup * total / max(1, recipe.epochs)
    if recipe.schedule == "cosine":
        return warmup_cosine(optimizer, warmup=warmup, total=total)
    if warmup == 0:
        return None
    return LambdaLR(optimizer, lambda time: min(1.0, (time + 1) / warmup))


def _step(recipe: Recipe, optimizer: Optimizer) -> LRScheduler:
    if "step_size" not in recipe.schedule_options:
        raise ValueError("schedule 'step' needs schedule_options = {step_size = <epochs>}")
    if recipe.warmup > 0:
        raise ValueError(f"warmup = {recipe.warmup} does not go with schedule 'step'; take 'cosine' or 'constant'")
    step_size = recipe.schedule_options["step_size"]
    if not isinstance(step_size, int) or step_size < 1:
        raise ValueError(f"step_size = {step_size!r} has to be a whole number of epochs, 1 or more")
    return StepLR(optimizer, step_size=step_size, gamma=recipe.schedule_options.get("gamma", 0.1))
