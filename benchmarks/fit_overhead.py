"""How fast `fit` is beside the bare loop of forward, backward and step, on batches that lie in memory.

Prints one JSON line. `ratio` is the time of the bare loop over the time of `fit`: 1 is no overhead,
and the aim is at least 0.95. `cpu_ratio` is the same in processor time, which other processes on a
busy machine disturb less.

    python benchmarks/fit_overhead.py [--quick]
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Sequence

import numpy as np
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


def seconds(loop, model: nn.Module, batches: Batches, recipe: Recipe) -> np.ndarray:
    """Seconds on the wall clock and of processor time."""
    fresh = copy.deepcopy(model)
    started = np.array([time.perf_counter(), time.process_time()])
    loop(fresh, batches, recipe)
    return np.array([time.perf_counter(), time.process_time()]) - started


def interval(ratios: np.ndarray, resamples: int = 2000) -> list[float]:
    """Bootstrap interval (95 %) of the median over pairs."""
    drawn = np.random.default_rng(0).choice(ratios, size=(resamples, len(ratios)))
    return [round(float(end), 4) for end in np.quantile(np.median(drawn, axis=1), [0.025, 0.975])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter pairs")
    quick = parser.parse_args().quick
    pairs, steps = (7, 5) if quick else (31, 15)
    seeds.seed_everything(0)
    model = SmallCNN(10)
    batches = [(torch.randn(64, 3, 32, 32), torch.randint(10, (64,))) for _ in range(steps)]
    recipe = Recipe(epochs=1)
    for loop in (bare, with_fit):  # warm-up: allocator, threads, first-call costs
        seconds(loop, model, batches[:5], recipe)
    ratios = []
    for pair in range(pairs):  # in turns, and the order in turns too: a busy machine hits both alike
        loops = (bare, with_fit) if pair % 2 == 0 else (with_fit, bare)
        taken = {loop: seconds(loop, model, batches, recipe) for loop in loops}
        ratios.append(taken[bare] / taken[with_fit])
    wall, cpu = np.array(ratios).T
    result = {
        "benchmark": "fit_overhead",
        "ratio": round(float(np.median(wall)), 4),
        "interval": interval(wall),
        "cpu_ratio": round(float(np.median(cpu)), 4),
        "cpu_interval": interval(cpu),
        "pairs": pairs,
        "steps": steps,
        "machine": choose().describe(),
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
