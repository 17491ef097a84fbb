"""What reading ahead costs where loading is free, and how much it hides of a loading time that is waiting.

Cost: the time of a training loop over ready batches, over the time of the same loop with `BackgroundLoader`,
`DevicePrefetcher` (on this machine's device) or both around them. 1 means that they cost nothing.

Hidden: the loader waits before each batch, for less time than a training step takes, as a disk or a network would make
it wait. The wait is simulated: the loader sleeps. Given is the share of the time lost by waiting that reading ahead
wins back. Nothing can hide the wait for the first batch.

    python benchmarks/loading.py [--quick] [--record]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import interleaved
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from clslab import models, seeds
from clslab.data.loading import BackgroundLoader, DevicePrefetcher
from clslab.device import choose

# What reading ahead costs is a time per batch: a tiny batch shows it large, one of common practice as it is felt.
TINY, COMMON = (4, 30), (32, 20)  # pictures in a batch, batches
WAIT = 0.6  # of a step


class Ready(Dataset[tuple[Tensor, Tensor]]):
    """Batches that are ready, each after a wait: an item is a whole batch."""

    def __init__(self, batches: list[tuple[Tensor, Tensor]], wait: float = 0.0) -> None:
        self.batches, self.wait = batches, wait

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if self.wait:
            time.sleep(self.wait)
        return self.batches[index]


def training(device: str) -> Callable[[Iterable[Any]], None]:
    """A loop of forward, backward and step."""
    model = models.create("resnet9", num_classes=10, width=16).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def train(loader: Iterable[Any]) -> None:
        for inputs, targets in loader:
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(inputs.to(device)), targets.to(device)).backward()
            optimizer.step()
        if device != "cpu":
            torch.cuda.synchronize(device)

    return train


def costs(
    train: Callable[[Iterable[Any]], None], ready: Ready, device: str, pairs: int
) -> dict[str, interleaved.Ratio]:
    """Time of the plain loop over that of the loop with each of the loaders."""
    pictures = len(ready.batches[0][0])
    plain = DataLoader(ready, batch_size=None)
    around = {
        "BackgroundLoader": BackgroundLoader(ready, batch_size=None),
        "DevicePrefetcher": DevicePrefetcher(plain, device),
        "both": DevicePrefetcher(BackgroundLoader(ready, batch_size=None), device),
    }
    return {
        f"plain over {name}, loading free, batches of {pictures}": interleaved.compare(
            lambda: train(plain), lambda loader=loader: train(loader), pairs=pairs
        )
        for name, loader in around.items()
    }


def hidden(
    train: Callable[[Iterable[Any]], None], ready: Ready, device: str, pairs: int
) -> dict[str, interleaved.Ratio]:
    """Time won back by reading ahead, over the time lost by waiting."""
    waiting = Ready(ready.batches)
    loaders: list[Iterable[Any]] = [
        DataLoader(waiting, batch_size=None),
        BackgroundLoader(waiting, batch_size=None),
        DevicePrefetcher(BackgroundLoader(waiting, batch_size=None), device),
    ]
    free, seconds = np.empty(pairs), np.empty((pairs, len(loaders)))
    for turn in range(pairs):
        free[turn] = timed(train, ready.batches)
        waiting.wait = WAIT * free[turn] / len(ready)  # of a step as it is now, whatever else the machine does
        for which in np.roll(range(len(loaders)), turn):
            seconds[turn, which] = timed(train, loaders[which])
    plain, background, both = seconds.T
    return {
        "hidden by BackgroundLoader over lost by waiting": interleaved.Ratio.of(plain - background, plain - free),
        "hidden by both over lost by waiting": interleaved.Ratio.of(plain - both, plain - free),
    }


def timed(train: Callable[[Iterable[Any]], None], loader: Iterable[Any]) -> float:
    started = time.perf_counter()
    train(loader)
    return time.perf_counter() - started


def batches(pictures: int, steps: int) -> Ready:
    """As many batches of random pictures, ready."""
    return Ready([(torch.randn(pictures, 3, 32, 32), torch.randint(10, (pictures,))) for _ in range(steps)])


def main() -> None:
    chosen = interleaved.arguments(__doc__)
    pairs = 5 if chosen.quick else 20
    seeds.seed_everything(0)
    machine = choose()
    train, tiny, common = training(machine.device), batches(*TINY), batches(*COMMON)
    train(common.batches)
    ratios = costs(train, tiny, machine.device, pairs) | costs(train, common, machine.device, pairs)
    ratios |= hidden(train, common, machine.device, pairs)
    interleaved.report(
        "loading",
        ratios,
        aims={name: 0.98 if "free" in name else 0.9 for name in ratios},
        machine=machine,
        notes=f"ResNet-9 of width 16, {len(tiny)} batches of {TINY[0]} pictures of 32 x 32 and {len(common)} of "
        f"{COMMON[0]}; the wait is a sleep before each batch, {WAIT} of a step; the first of {len(common)} waits "
        "cannot be hidden",
        record=chosen.record,
        step_seconds={
            f"batches of {pictures}": round(timed(train, ready.batches) / len(ready), 5)
            for (pictures, _), ready in ((TINY, tiny), (COMMON, common))
        },
    )


if __name__ == "__main__":
    main()
