"""What all batch transforms share: how they are called, how they draw, and how they are chained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from torch import Generator, Tensor

Targets: TypeAlias = Tensor | tuple[Tensor, ...]
Fill: TypeAlias = float | Sequence[float]


class BatchTransform(ABC):
    """A change of a whole batch, drawn anew for each picture of it.

    A transform is called with inputs `[B, C, H, W]` and targets and returns both. Inputs are uint8, or
    float on any scale where a transform does not ask for uint8. What is handed in is never changed,
    but may be handed back as it is where there is nothing to do.

    Random numbers come from `generator`, or from torch's global one: the same state gives the same
    batch. They are drawn where the generator lives and then moved to the inputs, so a batch on a
    graphics card and its copy on the CPU are changed alike.

    Attributes:
        changes_targets: whether the transform mixes pictures, and so their targets.

    Taught in chapter 8.
    """

    changes_targets: ClassVar[bool] = False

    def __call__(
        self, inputs: Tensor, targets: Targets, *, generator: Generator | None = None
    ) -> tuple[Tensor, Targets]:
        """Change a batch.

        Args:
            inputs: `[B, C, H, W]`, uint8 or float.
            targets: long `[B]`, or `[B, L]` for L levels.
            generator: what to draw from; None is torch's global generator.

        Raises:
            ValueError: if inputs or targets do not have such a shape or type.
        """
        _check(inputs, targets)
        return self._changed(inputs, targets, generator)

    @abstractmethod
    def _changed(self, inputs: Tensor, targets: Targets, generator: Generator | None) -> tuple[Tensor, Targets]:
        """The batch, changed; it has been checked."""


class PictureTransform(BatchTransform):
    """A batch transform that leaves the targets alone.

    It works in two steps, which can also be called one by one: to look at what was drawn, or to do
    the same to other pictures.
    """

    @abstractmethod
    def draw(self, shape: Sequence[int], generator: Generator | None = None) -> Any:
        """Everything random about one batch, one entry for each picture.

        Args:
            shape: of the inputs, `[B, C, H, W]`.
            generator: what to draw from; None is torch's global generator.
        """

    @abstractmethod
    def apply(self, inputs: Tensor, drawn: Any) -> Tensor:
        """The inputs, changed in the way that was drawn; no random number is used here."""

    def _changed(self, inputs: Tensor, targets: Targets, generator: Generator | None) -> tuple[Tensor, Targets]:
        return self.apply(inputs, self.draw(inputs.shape, generator)), targets


@dataclass(frozen=True)
class Compose(BatchTransform):
    """Several transforms, one after the other. `Compose([])` changes nothing.

    Attributes:
        transforms: in their order.

    Taught in chapter 8.

    >>> from clslab.data.augment import HorizontalFlip, RandomCrop
    >>> batch = torch.zeros(4, 3, 32, 32, dtype=torch.uint8), torch.arange(4)
    >>> inputs, targets = Compose([RandomCrop(4), HorizontalFlip()])(*batch)
    >>> inputs.shape, targets.tolist()
    (torch.Size([4, 3, 32, 32]), [0, 1, 2, 3])
    """

    transforms: Sequence[BatchTransform]

    def _changed(self, inputs: Tensor, targets: Targets, generator: Generator | None) -> tuple[Tensor, Targets]:
        for transform in self.transforms:
            inputs, targets = transform(inputs, targets, generator=generator)
        return inputs, targets


@dataclass(frozen=True)
class OneOf(BatchTransform):
    """One of several transforms, chosen at random with equal chances.

    Attributes:
        transforms: at least one.
        per_sample: choose for each picture (as `torchvision.transforms.v2.RandomChoice` does, which
            sees one picture at a time), or once for the batch. Transforms that mix pictures of the
            batch need the whole of it: for them it has to be False.

    Raises:
        ValueError: if there is no transform, or one that mixes is to be chosen per picture.

    Taught in chapter 8.
    """

    transforms: Sequence[BatchTransform]
    per_sample: bool = True

    def __post_init__(self) -> None:
        if not self.transforms:
            raise ValueError("OneOf has nothing to choose from; give at least one transform")
        mixing = [type(transform).__name__ for transform in self.transforms if mixes(transform)]
        if self.per_sample and mixing:
            raise ValueError(
                f"{', '.join(mixing)} mixes the pictures of a batch and cannot be chosen for a single one; "
                "give per_sample=False"
            )

    def _changed(self, inputs: Tensor, targets: Targets, generator: Generator | None) -> tuple[Tensor, Targets]:
        if not self.per_sample:
            chosen = int(integers(len(self.transforms), (), generator))
            return self.transforms[chosen](inputs, targets, generator=generator)
        choices = integers(len(self.transforms), (len(inputs),), generator).to(inputs.device)
        outputs = inputs.clone()
        for number, transform in enumerate(self.transforms):
            members = (choices == number).nonzero().squeeze(1)
            if len(members):
                group, _ = transform(inputs[members], members, generator=generator)
                outputs[members] = group
        return outputs, targets


def mixes(transform: BatchTransform) -> bool:
    """Whether a transform, or one inside it, mixes pictures and changes targets."""
    if isinstance(transform, Compose | OneOf):
        return any(mixes(part) for part in transform.transforms)
    return transform.changes_targets


def uniform(low: float, high: float, size: Sequence[int], generator: Generator | None) -> Tensor:
    """Numbers in [low, high), float32 `size`, on the generator's device."""
    return torch.rand(tuple(size), generator=generator, device=_device(generator)) * (high - low) + low


def integers(high: int, size: Sequence[int], generator: Generator | None) -> Tensor:
    """Whole numbers 0 … high − 1, long `size`, on the generator's device."""
    return torch.randint(high, tuple(size), generator=generator, device=_device(generator))


def numpy_generator(generator: Generator | None) -> np.random.Generator:
    """A NumPy generator seeded by one draw, for the distributions that torch draws without a generator."""
    return np.random.default_rng(int(integers(2**62, (), generator)))


def _device(generator: Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device


def colour(fill: Fill, like: Tensor) -> Tensor:
    """A fill as a tensor `[1, C or 1, 1, 1]` of the type and on the device of some inputs.

    Raises:
        ValueError: if it has another number of channels, or does not fit into uint8.
    """
    values = torch.as_tensor(fill, dtype=torch.float32).reshape(-1)
    channels = like.shape[1]
    if len(values) not in (1, channels):
        raise ValueError(
            f"fill has {len(values)} values and the pictures {channels} channels; give one value or {channels}"
        )
    if like.dtype == torch.uint8:
        if not bool(((values >= 0) & (values <= 255)).all()):
            raise ValueError(f"fill {values.tolist()} does not fit uint8 pictures; give values from 0 to 255")
        values = values.round()
    return values.to(like.device, like.dtype).view(1, -1, 1, 1)


def within(boxes: Tensor, height: int, width: int) -> Tensor:
    """Masks of boxes, bool `[B, 1, height, width]`; `boxes` is long `[B, 4]` (top, left, bottom, right)."""
    top, left, bottom, right = (side.view(-1, 1, 1, 1) for side in boxes.unbind(1))
    y = torch.arange(height, device=boxes.device).view(1, 1, -1, 1)
    x = torch.arange(width, device=boxes.device).view(1, 1, 1, -1)
    return (y >= top) & (y < bottom) & (x >= left) & (x < right)


def check_probability(p: float) -> None:
    """Refuse what is no probability.

    Raises:
        ValueError: if `p` is below 0 or above 1.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p is {p}; a probability lies between 0 and 1")


def need_levels(inputs: Tensor, transform: object) -> None:
    """Refuse pictures on which operations on colours are not defined.

    Raises:
        ValueError: if the inputs are not uint8, or have neither one channel nor three.
    """
    name = type(transform).__name__
    if inputs.dtype != torch.uint8:
        raise ValueError(f"{name} takes uint8 pictures, got {inputs.dtype}; put it before MixUp and normalisation")
    if inputs.shape[1] not in (1, 3):
        raise ValueError(f"{name} takes grey or RGB pictures, got {inputs.shape[1]} channels; leave it out")


def _check(inputs: Tensor, targets: Targets) -> None:
    if inputs.ndim != 4:
        raise ValueError(f"inputs have the shape {tuple(inputs.shape)}; give a batch [B, C, H, W]")
    if inputs.dtype != torch.uint8 and not inputs.is_floating_point():
        raise ValueError(f"inputs are {inputs.dtype}; give uint8 or float pictures")
    for level in targets if isinstance(targets, tuple) else (targets,):
        if len(level) != len(inputs):
            raise ValueError(f"there are {len(inputs)} pictures and {len(level)} targets; give one target per picture")
