"""The losses of a recipe.

Taught in chapter 2.
"""

from __future__ import annotations

import torch
from torch import nn

from clslab.recipe import Recipe

NAMES = ("cross-entropy", "nll")


def create(recipe: Recipe) -> nn.Module:
    """The loss that the recipe names, the mean over the batch.

    "cross-entropy" takes logits `[B, C]` and targets `[B]` (classes) or `[B, C]` (probabilities),
    smoothed by `label_smoothing`. "nll" takes the output of a `LogSoftmax`; the two are equal when
    the model ends in one. `loss_options` may hold `weight`, one number per class.

    Raises:
        ValueError: for an unknown loss or option, or label smoothing with "nll".

    Taught in chapter 2.

    >>> create(Recipe(label_smoothing=0.1)).label_smoothing
    0.1
    """
    if recipe.loss not in NAMES:
        raise ValueError(f"unknown loss {recipe.loss!r}; known are {', '.join(NAMES)}")
    unknown = sorted(set(recipe.loss_options) - {"weight"})
    if unknown:
        raise ValueError(f"loss_options has {', '.join(unknown)}; {recipe.loss} knows only weight")
    weight = None
    if "weight" in recipe.loss_options:
        weight = torch.as_tensor(recipe.loss_options["weight"], dtype=torch.float32)
    if recipe.loss == "cross-entropy":
        return nn.CrossEntropyLoss(weight, label_smoothing=recipe.label_smoothing)
    if recipe.label_smoothing:
        raise ValueError(f"label_smoothing = {recipe.label_smoothing} needs loss 'cross-entropy', not 'nll'")
    return nn.NLLLoss(weight)
