"""How fast `fit` is beside the bare loop of forward, backward and step, on batches that lie in memory.

The ratio is the time of the bare loop over the time of `fit`: 1 is no overhead, and the aim is at
least 0.95.

    python benchmarks/fit_overhead.py [--quick] [--record]
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import interleaved
import torch
from torch import Tensor, nn

from clslab import losses, optim, schedule, seeds
from clslab.device import choose
from clslab.models.small import SmallCNN
from clslab.recipe import Recipe
from clslab.train import fit

Batches = Sequence[tuple[Tensor, Tensor]]


def bare(model: nn.Module, batches: Batches, recipe: Recipe) -> None:
    criterion, optimizer = losses.create(recipe), optim.create(recipe, model)
    scheduler = schedule.create(recipe, optimizer, recipe.epochs * len(batches))
    model.train()
    for _ in range(recipe.epochs):
        for inputs, targets in batches:
            optimizer.zero_grad(set_to_none=True)
            criterion(model(inputs), targets).backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()


def with_fit(model: nn.Module, batches: Batches, recipe: Recipe) -> None:
    fit(model, batches, None, recipe, machine=choose())


def main() -> None:
    chosen = interleaved.arguments(__doc__)
    pairs, steps = (7, 5) if chosen.quick else (31, 15)
    seeds.seed_everything(0)
    model = SmallCNN(10)
    batches = [(torch.randn(64, 3, 32, 32), torch.randint(10, (64,))) for _ in range(steps)]
    recipe = Recipe(epochs=1)
    ratio = interleaved.compare(
        lambda: bare(copy.deepcopy(model), batches, recipe),
        lambda: with_fit(copy.deepcopy(model), batches, recipe),
        pairs=pairs,
    )
    interleaved.report(
        "fit_overhead",
        {"bare loop over fit": ratio},
        aims={"bare loop over fit": 0.95},
        machine=choose(),
        notes="SmallCNN, 64 pictures of 32 x 32 in memory; 1 means that fit adds nothing",
        record=chosen.record,
        steps=steps,
    )


if __name__ == "__main__":
    main()
