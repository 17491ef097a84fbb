"""Two pictures in one, and a target that says how much of each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional

from clslab.data.augment.base import BatchTransform, OneOf, Targets, integers, numpy_generator, within


@dataclass(frozen=True)
class _Mixing(BatchTransform):
    """What MixUp and CutMix share.

    Each picture is mixed with the one before it in the batch, the first one with the last: a batch
    that was shuffled pairs at random.
    """

    alpha: float
    num_classes: int | tuple[int, ...]
    per_sample: bool = False

    changes_targets: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise ValueError(f"alpha is {self.alpha}; give a number above 0, such as 1.0")
        counts = self.num_classes if isinstance(self.num_classes, tuple) else (self.num_classes,)
        if not counts or min(counts) < 1:
            raise ValueError(
                f"num_classes is {self.num_classes}; give the number of classes, or a tuple, one per level"
            )

    @abstractmethod
    def draw(self, shape: Sequence[int], generator: Generator | None = None) -> Tensor:
        """Everything random about one batch, one row for each picture.

        Args:
            shape: of the inputs, `[B, C, H, W]`.
            generator: what to draw from; None is torch's global generator.
        """

    @abstractmethod
    def apply(self, inputs: Tensor, targets: Targets, drawn: Tensor) -> tuple[Tensor, Targets]:
        """Inputs and targets, mixed in the way that was drawn; no random number is used here."""

    def _changed(self, inputs: Tensor, targets: Targets, generator: Generator | None) -> tuple[Tensor, Targets]:
        return self.apply(inputs, targets, self.draw(inputs.shape, generator))

    def _shares(self, drawn: int, generator: Generator | None) -> Tensor:
        """How much a picture keeps, float64 `[drawn]`, from Beta(alpha, alpha)."""
        return torch.from_numpy(numpy_generator(generator).beta(self.alpha, self.alpha, drawn))

    def _targets(self, targets: Targets, share: Tensor) -> Targets:
        """Probabilities `[B, C]`, or a tuple of them for levels."""
        several = isinstance(targets, tuple) or (targets.ndim == 2 and not targets.is_floating_point())
        levels = targets if isinstance(targets, tuple) else targets.unbind(1) if several else (targets,)
        counts = self.num_classes if isinstance(self.num_classes, tuple) else (self.num_classes,)
        if len(levels) != len(counts):
            raise ValueError(
                f"targets have {len(levels)} levels and num_classes is {self.num_classes}; give one number per level"
            )
        mixed = tuple(_blend(_probabilities(*level), share) for level in zip(levels, counts, strict=True))
        return mixed if several else mixed[0]


@dataclass(frozen=True)
class MixUp(_Mixing):
    """The weighted mean of two pictures and of their targets.

    As `torchvision.transforms.v2.MixUp`. The inputs become float32 on the scale that they had, so
    normalisation comes after it.

    Attributes:
        alpha: of the Beta distribution that the weight comes from; 1 is uniform, small is mild.
        num_classes: of the targets, or a tuple with one number for each level.
        per_sample: a weight for each picture; by default one for the batch, as in the paper's code.

    Raises:
        ValueError: if alpha or the number of classes is not positive, or a target is no class.

    Source: Zhang et al., arXiv:1710.09412. Taught in chapter 9.

    >>> _ = torch.manual_seed(0)
    >>> pictures = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    >>> inputs, targets = MixUp(1.0, num_classes=5)(pictures, torch.tensor([0, 3]))
    >>> inputs.dtype, targets.shape, targets.sum(1).tolist()
    (torch.float32, torch.Size([2, 5]), [1.0, 1.0])
    """

    def draw(self, shape: Sequence[int], generator: Generator | None = None) -> Tensor:
        """How much each picture keeps, float64 `[B]`."""
        return self._shares(shape[0] if self.per_sample else 1, generator).expand(shape[0])

    def apply(self, inputs: Tensor, targets: Targets, drawn: Tensor) -> tuple[Tensor, Targets]:
        """The batch with those shares of each picture, and the rest from the one before it."""
        pixels = inputs if inputs.is_floating_point() else inputs.float()
        return _blend(pixels, drawn), self._targets(targets, drawn)


@dataclass(frozen=True)
class CutMix(_Mixing):
    """A box of one picture replaced by the same box of another one, and targets mixed by its area.

    As `torchvision.transforms.v2.CutMix`. The box is centred anywhere and cut off at the border; the
    targets go by the area that is left. The type of the inputs stays.

    Attributes:
        alpha: of the Beta distribution that the area comes from; 1 is uniform.
        num_classes: of the targets, or a tuple with one number for each level.
        per_sample: a box for each picture; by default one for the batch, as in the paper's code.

    Raises:
        ValueError: if alpha or the number of classes is not positive, or a target is no class.

    Source: Yun et al., arXiv:1905.04899. Taught in chapter 9.
    """

    def draw(self, shape: Sequence[int], generator: Generator | None = None) -> Tensor:
        """The boxes, long `[B, 4]` (top, left, bottom, right), cut off at the border."""
        batch, _, height, width = shape
        drawn = batch if self.per_sample else 1
        side = 0.5 * (1.0 - self._shares(drawn, generator)).sqrt()
        half = torch.stack([(side * height).long(), (side * width).long()], 1)
        centre = torch.stack([integers(height, (drawn,), generator), integers(width, (drawn,), generator)], 1).cpu()
        far = torch.minimum(centre + half, torch.tensor([height, width]))
        return torch.cat([(centre - half).clamp(min=0), far], 1).expand(batch, 4)

    def apply(self, inputs: Tensor, targets: Targets, drawn: Tensor) -> tuple[Tensor, Targets]:
        """The batch with those boxes of each picture from the one before it."""
        height, width = inputs.shape[2:]
        area = (drawn[:, 2] - drawn[:, 0]) * (drawn[:, 3] - drawn[:, 1])
        mixed = torch.where(within(drawn.to(inputs.device), height, width), inputs.roll(1, 0), inputs)
        return mixed, self._targets(targets, 1.0 - area.double() / (height * width))


def _blend(values: Tensor, share: Tensor) -> Tensor:
    """Each row keeps its share and gets the rest from the row before it."""
    shape = (-1,) + (1,) * (values.ndim - 1)
    # To the type first: some devices have no float64.
    kept, taken = (part.to(values.dtype).to(values.device).view(shape) for part in (share, 1.0 - share))
    return values.roll(1, 0).mul_(taken).add_(values.mul(kept))


def _probabilities(targets: Tensor, num_classes: int) -> Tensor:
    if targets.is_floating_point():
        return targets
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < num_classes:
        wrong = targets[(targets < 0) | (targets >= num_classes)][0]
        raise ValueError(
            f"a target is {int(wrong)} and num_classes is {num_classes}; give the number of classes of the set"
        )
    return functional.one_hot(targets, num_classes).float()


MIXINGS: dict[str, Callable[[Any], BatchTransform]] = {
    "mixup": lambda classes: MixUp(1.0, classes),
    "cutmix": lambda classes: CutMix(1.0, classes),
    "mixup-cutmix": lambda classes: OneOf([MixUp(1.0, classes), CutMix(1.0, classes)], per_sample=False),
}
"""How pictures are mixed, by name; alpha is 1, as both papers have it for CIFAR."""


def mixing(name: str, *, num_classes: int | tuple[int, ...]) -> BatchTransform:
    """A way of mixing pictures by its name.

    Args:
        name: one of `MIXINGS`. `mixup-cutmix` takes one of the two, drawn for each batch.
        num_classes: of the targets, or a tuple with one number for each level.

    Returns:
        A transform that turns long targets `[B]` into probabilities `[B, C]`, and long `[B, L]` into
        a tuple of them.

    Raises:
        ValueError: if there is no such mixing.

    Taught in chapter 9.

    >>> mixing("cutmix", num_classes=100)
    CutMix(alpha=1.0, num_classes=100, per_sample=False)
    """
    if name not in MIXINGS:
        raise ValueError(f"there is no mixing {name!r}; use one of {', '.join(MIXINGS)}")
    return MIXINGS[name](num_classes)
