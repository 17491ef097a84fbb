"""What test-time augmentation costs beside as many plain passes over the same pictures.

A set of V views is V forward passes and a little more: making the views, and averaging. The ratio is the time of the V
views over the time of V plain predictions of the same batches, pair by pair. The aim is at most 1.05.

    python benchmarks/tta.py [--quick] [--record]
"""

from __future__ import annotations

import interleaved
import torch

from clslab import models, seeds, train, tta
from clslab.data.loading import BatchLoader
from clslab.device import choose

BATCH = 256
AIM = 1.05


def main() -> None:
    chosen = interleaved.arguments(__doc__)
    pairs, batches = (3, 1) if chosen.quick else (15, 2)
    seeds.seed_everything(0)
    # What the pictures show does not matter to the time.
    images = torch.randint(256, (batches * BATCH, 3, 32, 32), dtype=torch.uint8)
    loader = BatchLoader(images, torch.randint(100, (batches * BATCH,)), batch_size=BATCH)
    model = models.create("resnet9", num_classes=100, width=16)
    machine = choose((model, torch.randn(BATCH, 3, 32, 32)))
    ratios = {}
    for name, views in tta.VIEWS.items():

        def plain_passes(count: int = len(views)) -> None:
            for _ in range(count):
                train.predict(model, loader, machine=machine)

        ratios[f"{len(views)} views ({name}) over {len(views)} plain passes"] = interleaved.compare(
            lambda views=views: tta.predict(model, loader, views, machine=machine), plain_passes, pairs=pairs
        )
    interleaved.report(
        "tta",
        ratios,
        aims=dict.fromkeys(ratios, AIM),
        machine=machine,
        notes=f"ResNet-9 of width 16, batches of {BATCH} pictures of 32 x 32 in memory; 1 means that views cost "
        "nothing beside their forward passes, and less that reading the pictures once saves more than that",
        record=chosen.record,
        batches=batches,
    )


if __name__ == "__main__":
    main()
