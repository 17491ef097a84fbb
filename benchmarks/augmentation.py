"""What augmentation of whole batches costs a training, and what each preset takes for a batch.

The bare way is forward, backward and step on batches that were made ready before. The other way gathers
each batch from pictures in memory, augments and normalises it in between, in the same thread. Seconds of
the first over seconds of the second, pair by pair; 1 would mean that feeding costs nothing. The aim is at
least 0.93 with crop, flip and erasing and at least 0.80 with AutoAugment.

    python benchmarks/augmentation.py [--quick] [--record]
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable

import interleaved
import torch
from torch import Tensor, nn

from clslab import models, seeds
from clslab.data import augment
from clslab.data.loading import BatchLoader
from clslab.device import MEMORY_FORMATS, Machine, choose

BATCH = 256
AIMS = {"shift-flip-erase": 0.93, "autoaugment": 0.80}


class Training:
    """The smallest loop that trains: what a loader is compared against."""

    def __init__(self, model: nn.Module, machine: Machine) -> None:
        self.model = model.train().to(machine.device, memory_format=MEMORY_FORMATS[machine.memory_format])
        self.machine = machine
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)

    def epoch(self, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Train on each batch once; the last loss, which only a device that has finished can tell."""
        loss = torch.zeros(())
        for batch in batches:
            inputs, targets = self.machine.place(batch)
            self.optimizer.zero_grad(set_to_none=True)
            with self.machine.autocast():
                loss = nn.functional.cross_entropy(self.model(inputs), targets)
            loss.backward()
            self.optimizer.step()
        return loss.item()


def milliseconds(name: str, images: Tensor, targets: Tensor, *, calls: int) -> float:
    """Median time of one batch of a preset, alone."""
    transform = augment.preset(name, fill=120)
    taken = []
    for _ in range(calls):
        started = time.perf_counter()
        transform(images, targets)
        taken.append(1000 * (time.perf_counter() - started))
    return round(statistics.median(taken), 2)


def main() -> None:
    chosen = interleaved.arguments(__doc__)
    pairs, steps, calls = (3, 3, 5) if chosen.quick else (21, 8, 30)
    seeds.seed_everything(0)
    # What the pictures show does not matter to the time.
    images = torch.randint(256, (steps * BATCH, 3, 32, 32), dtype=torch.uint8)
    targets = torch.randint(100, (steps * BATCH,))
    model = models.create("resnet9", num_classes=100, width=16)
    machine = choose((model, torch.randn(BATCH, 3, 32, 32)))
    torch.set_num_threads(machine.threads)
    training = Training(model, machine)
    ready = list(BatchLoader(images, targets, batch_size=BATCH))
    ratios = {}
    for name in AIMS:
        transform = augment.preset(name, fill=120)
        loader = BatchLoader(images, targets, batch_size=BATCH, transform=transform, shuffle=True)
        ratios[name] = interleaved.compare(
            lambda: training.epoch(ready),
            lambda loader=loader: training.epoch(loader),
            pairs=pairs,
        )
    alone = {name: milliseconds(name, images[:BATCH], targets[:BATCH], calls=calls) for name in augment.PRESETS}
    interleaved.report(
        "augmentation",
        ratios,
        aims=AIMS,
        machine=machine,
        notes=f"ResNet-9 of width 16, batches of {BATCH} pictures of 32 x 32 from memory, read in the training thread; "
        "1 means that feeding costs nothing",
        record=chosen.record,
        steps=steps,
        milliseconds_per_batch=alone,
    )


if __name__ == "__main__":
    main()
