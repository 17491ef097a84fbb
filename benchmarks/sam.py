"""What a step costs with SAM, with ASAM and with an average of the weights, beside the plain step.

SAM needs two forward and two backward passes, so 2 is the least that can be reached; the aim is at most 2.05. Steps are
those of `fit`, on batches that lie in memory: ResNet-9 of width 16, 64 pictures of 32 x 32, SGD with momentum.

    python benchmarks/sam.py [--quick] [--record]
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import interleaved
import torch

from clslab import models, seeds
from clslab.device import Machine, choose
from clslab.recipe import Recipe
from clslab.train import fit

WAYS = {
    "SAM step over plain step": {"sam_rho": 0.05},
    "ASAM step over plain step": {"sam_rho": 0.5, "sam_adaptive": True},
    "step with average over plain step": {"ema": 0.999},
}


def main() -> None:
    chosen = interleaved.arguments(__doc__)
    pairs, steps = (3, 3) if chosen.quick else (21, 6)
    seeds.seed_everything(0)
    machine: Machine = choose()
    model = models.create("resnet9", num_classes=100, width=16)
    batches = [(torch.randn(64, 3, 32, 32), torch.randint(100, (64,))) for _ in range(steps)]
    plain = Recipe(epochs=1, optimizer="sgd", optimizer_options={"momentum": 0.9}, lr=0.05, precision="fp32")

    def epoch(**fields: Any) -> Callable[[], object]:
        recipe = plain.replace(**fields)
        return lambda: fit(copy.deepcopy(model), batches, None, recipe, machine=machine)

    ratios = {name: interleaved.compare(epoch(**fields), epoch(), pairs=pairs) for name, fields in WAYS.items()}
    interleaved.report(
        "sam",
        ratios,
        aims={"SAM step over plain step": 2.05},
        machine=machine,
        notes="steps of fit; ResNet-9 of width 16, 64 pictures of 32 x 32 in memory, fp32; 2 is the least SAM can cost",
        record=chosen.record,
        steps=steps,
    )


if __name__ == "__main__":
    main()
