"""The usual pipeline beside the course's: one picture at a time against whole batches.

The usual one is what most scripts for CIFAR do: a data set of PIL pictures in memory, torchvision's
transforms on one picture at a time (crop with padding, flip, tensor, normalisation, erasing), a `DataLoader`
with two workers, and a plain loop in fp32. The other one is `BatchLoader` with the same augmentation and
`clslab.train.fit` on the machine that a measurement chose. The model is the same ResNet-18.

Seconds of the first over seconds of the second, so the ratio is that of pictures per second. The aim is
at least 3 on a CPU with bf16 units, whatever the measurement chose there, and no slower elsewhere.
The units of AVX-512 multiply at most twice as fast in bf16 as in fp32, those for matrices (AMX) many times as fast.

    python benchmarks/source_pipeline.py [--quick] [--record]
"""

from __future__ import annotations

from collections.abc import Iterator

import interleaved
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from clslab import models, seeds
from clslab.data import augment
from clslab.data.loading import BatchLoader
from clslab.device import choose, cpu_has_bf16
from clslab.recipe import Recipe
from clslab.train import fit

BATCH = 128
WORKERS = 2
MEAN, STD = (0.51, 0.49, 0.44), (0.27, 0.26, 0.28)


class Pictures(Dataset[tuple[Tensor, int]]):
    """An array of pictures, handed out as torchvision's CIFAR data sets do: as PIL pictures, one by one."""

    def __init__(self, pixels: np.ndarray, targets: list[int]) -> None:
        self.pixels, self.targets = pixels, targets
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
                transforms.RandomErasing(),
            ]
        )

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.targets[index]


class UsualTraining:
    """A plain loop over a loader that never ends, so that starting its workers is not timed."""

    def __init__(self, model: nn.Module, dataset: Pictures, device: str) -> None:
        self.model, self.device = model.train().to(device), device
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        self.loader = DataLoader(
            dataset, batch_size=BATCH, shuffle=True, drop_last=True, num_workers=WORKERS, persistent_workers=True
        )
        self.batches = self._endless()

    def _endless(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from self.loader

    def steps(self, count: int) -> float:
        """Train on the next batches; the last loss, which only a device that has finished can tell."""
        loss = torch.zeros(())
        for _ in range(count):
            inputs, targets = next(self.batches)
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.model(inputs.to(self.device)), targets.to(self.device))
            loss.backward()
            self.optimizer.step()
        return loss.item()


def main() -> None:
    chosen = interleaved.arguments(__doc__)
    pairs, steps = (2 if chosen.quick else 21), 1
    seeds.seed_everything(0)
    # What the pictures show does not matter to the time.
    pixels = np.random.default_rng(0).integers(0, 256, (40 * BATCH, 32, 32, 3), dtype=np.uint8)
    targets = torch.randint(100, (len(pixels),))
    model = models.create("resnet18", num_classes=100)
    machine = choose((model, torch.randn(BATCH, 3, 32, 32)))
    dataset = Pictures(pixels, targets.tolist())
    usual = UsualTraining(models.create("resnet18", num_classes=100), dataset, machine.device)
    images = torch.from_numpy(pixels[: steps * BATCH]).permute(0, 3, 1, 2).contiguous()
    transform = augment.preset("shift-flip-erase", fill=[255 * value for value in MEAN])
    loader = BatchLoader(
        images, targets[: len(images)], batch_size=BATCH, mean=MEAN, std=STD, transform=transform, shuffle=True
    )
    recipe = Recipe(epochs=1, optimizer="sgd", lr=0.1, weight_decay=5e-4)
    ratio = interleaved.compare(
        lambda: usual.steps(steps), lambda: fit(model, loader, None, recipe, machine=machine), pairs=pairs
    )
    interleaved.report(
        "source_pipeline",
        {"usual pipeline over the course's": ratio},
        aims={"usual pipeline over the course's": 3.0 if machine.device == "cpu" and cpu_has_bf16() else 1.0},
        machine=machine,
        notes=f"ResNet-18, {steps * BATCH} pictures of 32 x 32 in batches of {BATCH}; crop, flip and erasing in both; "
        f"{WORKERS} workers for the usual pipeline, none for the other; the aim is 3 on a CPU with bf16 units, else 1",
        record=chosen.record,
        images_per_second=[
            round(steps * BATCH / seconds, 1) for seconds in (ratio.seconds_first, ratio.seconds_second)
        ],
    )


if __name__ == "__main__":
    main()
