"""How long creating a model of the zoo takes, beside creating ResNet-18.

The first way creates the model named, at full width, for 100 classes and pictures of 32 by 32 pixels; the second
creates ResNet-18. What is imported is imported before anything is timed: timm alone takes seconds. The aim is a time,
not a ratio: `seconds_first` below 2 for every name. Most of it is drawing the weights.

    python benchmarks/zoo.py [--quick] [--record]
"""

from __future__ import annotations

import functools

import interleaved
import torch

from clslab import models
from clslab.device import choose

BESIDE = "resnet18"
AIM_SECONDS = 2.0


def main() -> None:
    chosen = interleaved.arguments(__doc__)
    pairs = 2 if chosen.quick else 7
    machine = choose()
    torch.set_num_threads(machine.threads)
    beside = functools.partial(models.create, BESIDE, num_classes=100)
    ratios = {
        name: interleaved.compare(functools.partial(models.create, name, num_classes=100), beside, pairs=pairs)
        for name in models.list_models()
    }
    slowest = max(ratios, key=lambda name: ratios[name].seconds_first)
    interleaved.report(
        "zoo",
        ratios,
        machine=machine,
        notes=f"seconds of creating a model over seconds of creating {BESIDE}",
        record=chosen.record,
        slowest=slowest,
        slowest_seconds=round(ratios[slowest].seconds_first, 3),
        aim_seconds=AIM_SECONDS,
    )


if __name__ == "__main__":
    main()
