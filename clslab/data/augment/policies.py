"""Augmentation by policies: which operation, how strong, drawn for each picture of a batch.

The pictures of a batch that drew the same operation at the same strength are changed together: the
kernels are torchvision's, one call for each group. What moves pixels (shear, shift, rotation) is done
for all pictures in a single call, whatever they drew.

A draw is a list of steps; a step is a list with one `(operation, magnitude)` for each picture. The
operations, their names and the meaning of a magnitude are torchvision's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as kernels

from clslab.data.augment.base import Fill, PictureTransform, integers, need_levels, numpy_generator, uniform
from clslab.data.augment.geometry import Matrix, affine, moved, rotated, sheared_x, sheared_y

Operation: TypeAlias = tuple[str, float]
Step: TypeAlias = list[Operation]

IDENTITY: Operation = ("Identity", 0.0)

# Operation → its matrix for a magnitude and the height and width of the picture.
_MOVES: dict[str, Callable[[float, int, int], Matrix]] = {
    "ShearX": lambda slope, height, _: sheared_x(slope, height),
    "ShearY": lambda slope, _, width: sheared_y(slope, width),
    "TranslateX": lambda pixels, *_: moved(math.trunc(pixels), 0),
    "TranslateY": lambda pixels, *_: moved(0, math.trunc(pixels)),
    "Rotate": lambda angle, *_: rotated(angle),
}
# Operation → the kernel for a group that drew one magnitude.
_KERNELS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "Brightness": lambda group, magnitude: kernels.adjust_brightness(group, 1.0 + magnitude),
    "Color": lambda group, magnitude: kernels.adjust_saturation(group, 1.0 + magnitude),
    "Contrast": lambda group, magnitude: kernels.adjust_contrast(group, 1.0 + magnitude),
    "Sharpness": lambda group, magnitude: kernels.adjust_sharpness(group, 1.0 + magnitude),
    "Posterize": lambda group, magnitude: kernels.posterize(group, int(magnitude)),
    "Solarize": lambda group, magnitude: kernels.solarize(group, 255.0 * magnitude),
    "AutoContrast": lambda group, _: kernels.autocontrast(group),
    "Equalize": lambda group, _: kernels.equalize(group),
    "Invert": lambda group, _: kernels.invert(group),
}


def operate(images: Tensor, step: Sequence[Operation], *, bilinear: bool = False, fill: Fill | None = None) -> Tensor:
    """Do to each picture its own operation.

    Args:
        images: uint8 `[B, C, H, W]` with one or three channels.
        step: B operations with their magnitudes.
        bilinear: interpolate where pixels move, else take the nearest.
        fill: value of what comes in from outside; None is black.

    Returns:
        uint8 `[B, C, H, W]`, to the pixel what torchvision makes of each picture alone.

    Raises:
        ValueError: if there is no such operation.

    Taught in chapter 9.

    >>> pictures = torch.full((2, 3, 8, 8), 200, dtype=torch.uint8)
    >>> operate(pictures, [("Invert", 0.0), ("Posterize", 1.0)])[:, 0, 0, 0].tolist()
    [55, 128]
    """
    height, width = images.shape[-2:]
    moving: list[int] = []
    matrices: list[Matrix] = []
    groups: dict[Operation, list[int]] = {}
    for number, (name, magnitude) in enumerate(step):
        if name in _MOVES:
            moving.append(number)
            matrices.append(_MOVES[name](magnitude, height, width))
        elif name in _KERNELS:
            groups.setdefault((name, magnitude), []).append(number)
        elif name != "Identity":
            known = ", ".join(sorted([*_MOVES, *_KERNELS, "Identity"]))
            raise ValueError(f"there is no operation {name!r}; use one of {known}")
    outputs = images.clone()
    if moving:
        members = torch.tensor(moving, device=images.device)
        moved_images = affine(images.index_select(0, members), matrices, bilinear=bilinear, fill=fill)
        outputs.index_copy_(0, members, moved_images)
    for (name, magnitude), numbers in groups.items():
        members = torch.tensor(numbers, device=images.device)
        outputs.index_copy_(0, members, _KERNELS[name](images.index_select(0, members), magnitude))
    return outputs


@dataclass(frozen=True)
class Strengths:
    """The magnitudes that an operation can have, from the weakest to the strongest.

    Attributes:
        low: the first of them.
        high: the last of them, or the same as a part of the picture's width or height.
        of: what `high` is a part of.
        signed: whether the opposite direction is as likely.
        whole: whether magnitudes are rounded to whole numbers.
    """

    low: float = 0.0
    high: float = 0.0
    of: Literal["", "width", "height"] = ""
    signed: bool = False
    whole: bool = False

    def values(self, bins: int, height: int, width: int) -> list[float]:
        """`bins` magnitudes for pictures of that size."""
        side = {"": 1, "width": width, "height": height}[self.of]
        magnitudes = torch.linspace(self.low, self.high * side, bins)
        return (magnitudes.round() if self.whole else magnitudes).tolist()


Space: TypeAlias = Mapping[str, Strengths]

NONE = Strengths()


def _space(
    *, shear: float, shift: float, turn: float, blend: float, bits: tuple[int, int], shift_in_pixels: bool = False
) -> dict[str, Strengths]:
    """The operations that all policies share, in torchvision's order."""
    return {
        "ShearX": Strengths(high=shear, signed=True),
        "ShearY": Strengths(high=shear, signed=True),
        "TranslateX": Strengths(high=shift, of="" if shift_in_pixels else "width", signed=True),
        "TranslateY": Strengths(high=shift, of="" if shift_in_pixels else "height", signed=True),
        "Rotate": Strengths(high=turn, signed=True),
        "Brightness": Strengths(high=blend, signed=True),
        "Color": Strengths(high=blend, signed=True),
        "Contrast": Strengths(high=blend, signed=True),
        "Sharpness": Strengths(high=blend, signed=True),
        "Posterize": Strengths(low=bits[0], high=bits[1], whole=True),
        "Solarize": Strengths(low=1.0, high=0.0),
        "AutoContrast": NONE,
        "Equalize": NONE,
    }


_USUAL = _space(shear=0.3, shift=150 / 331, turn=30.0, blend=0.9, bits=(8, 4))
_WIDE = _space(shear=0.99, shift=32.0, shift_in_pixels=True, turn=135.0, blend=0.99, bits=(8, 2))

AUTO_AUGMENT_SPACE: Space = _USUAL | {"Invert": NONE}
RAND_AUGMENT_SPACE: Space = {"Identity": NONE} | _USUAL
TRIVIAL_AUGMENT_SPACE: Space = {"Identity": NONE} | _WIDE
AUG_MIX_SPACE: Space = _space(shear=0.3, shift=1 / 3, turn=30.0, blend=0.9, bits=(4, 0))

# Both operations of a sub-policy: name, probability, and which of ten magnitudes.
SubPolicy: TypeAlias = tuple[tuple[str, float, int], tuple[str, float, int]]

AUTO_AUGMENT_POLICIES: dict[str, tuple[SubPolicy, ...]] = {
    "cifar10": (
        (("Invert", 0.1, 0), ("Contrast", 0.2, 6)),
        (("Rotate", 0.7, 2), ("TranslateX", 0.3, 9)),
        (("Sharpness", 0.8, 1), ("Sharpness", 0.9, 3)),
        (("ShearY", 0.5, 8), ("TranslateY", 0.7, 9)),
        (("AutoContrast", 0.5, 0), ("Equalize", 0.9, 0)),
        (("ShearY", 0.2, 7), ("Posterize", 0.3, 7)),
        (("Color", 0.4, 3), ("Brightness", 0.6, 7)),
        (("Sharpness", 0.3, 9), ("Brightness", 0.7, 9)),
        (("Equalize", 0.6, 0), ("Equalize", 0.5, 0)),
        (("Contrast", 0.6, 7), ("Sharpness", 0.6, 5)),
        (("Color", 0.7, 7), ("TranslateX", 0.5, 8)),
        (("Equalize", 0.3, 0), ("AutoContrast", 0.4, 0)),
        (("TranslateY", 0.4, 3), ("Sharpness", 0.2, 6)),
        (("Brightness", 0.9, 6), ("Color", 0.2, 8)),
        (("Solarize", 0.5, 2), ("Invert", 0.0, 0)),
        (("Equalize", 0.2, 0), ("AutoContrast", 0.6, 0)),
        (("Equalize", 0.2, 0), ("Equalize", 0.6, 0)),
        (("Color", 0.9, 9), ("Equalize", 0.6, 0)),
        (("AutoContrast", 0.8, 0), ("Solarize", 0.2, 8)),
        (("Brightness", 0.1, 3), ("Color", 0.7, 0)),
        (("Solarize", 0.4, 5), ("AutoContrast", 0.9, 0)),
        (("TranslateY", 0.9, 9), ("TranslateY", 0.7, 9)),
        (("AutoContrast", 0.9, 0), ("Solarize", 0.8, 3)),
        (("Equalize", 0.8, 0), ("Invert", 0.1, 0)),
        (("TranslateY", 0.7, 9), ("AutoContrast", 0.9, 0)),
    ),
}


def _operations(space: Space, bins: Tensor, of: int, shape: Sequence[int], generator: Generator | None) -> Step:
    """For each picture an operation of the space, at the `bins`-th of `of` magnitudes, long `[B]`."""
    batch, _, height, width = shape
    choices = integers(len(space), (batch,), generator)
    opposite = uniform(0, 1, (batch,), generator) <= 0.5
    tables = [(name, strengths.signed, strengths.values(of, height, width)) for name, strengths in space.items()]
    step = []
    for choice, place, turned in zip(choices.tolist(), bins.tolist(), opposite.tolist(), strict=True):
        name, signed, magnitudes = tables[choice]
        step.append((name, -magnitudes[place] if signed and turned else magnitudes[place]))
    return step


@dataclass(frozen=True)
class AutoAugment(PictureTransform):
    """One of 25 pairs of operations for each picture, as a search found them.

    As `torchvision.transforms.v2.AutoAugment`, for uint8 pictures. It draws two steps.

    Attributes:
        policy: `cifar10`.
        fill: value of what comes in from outside; None is black.

    Raises:
        ValueError: if there is no such policy, or the pictures are not uint8.

    Source: Cubuk et al., arXiv:1805.09501. Taught in chapter 9.
    """

    policy: str = "cifar10"
    fill: Fill | None = None

    def __post_init__(self) -> None:
        if self.policy not in AUTO_AUGMENT_POLICIES:
            raise ValueError(f"there is no policy {self.policy!r}; use one of {', '.join(AUTO_AUGMENT_POLICIES)}")

    def draw(self, shape: Sequence[int], generator: Generator | None = None) -> list[Step]:
        """Two steps with an operation and its magnitude for each picture."""
        batch, _, height, width = shape
        pairs = AUTO_AUGMENT_POLICIES[self.policy]
        magnitudes = {name: space.values(10, height, width) for name, space in AUTO_AUGMENT_SPACE.items()}
        choices = integers(len(pairs), (batch,), generator).tolist()
        chances = uniform(0, 1, (batch, 2), generator).tolist()
        opposite = (uniform(0, 1, (batch, 2), generator) <= 0.5).tolist()
        steps: list[Step] = [[], []]
        for choice, chance, turned in zip(choices, chances, opposite, strict=True):
            for place, (name, probability, strength) in enumerate(pairs[choice]):
                magnitude = magnitudes[name][strength]
                signed = AUTO_AUGMENT_SPACE[name].signed
                operation = (name, -magnitude if signed and turned[place] else magnitude)
                steps[place].append(operation if chance[place] <= probability else IDENTITY)
        return steps

    def apply(self, inputs: Tensor, drawn: list[Step]) -> Tensor:
        """The batch after those steps."""
        return _in_turn(self, inputs, drawn, self.fill)


@dataclass(frozen=True)
class RandAugment(PictureTransform):
    """Some operations at a fixed strength, chosen at random for each picture.

    As `torchvision.transforms.v2.RandAugment`, for uint8 pictures.

    Attributes:
        operations: how many, one after the other.
        magnitude: which of the `bins` strengths, from 0.
        bins: number of strengths.
        fill: value of what comes in from outside; None is black.

    Raises:
        ValueError: if the magnitude is none of the bins, or the pictures are not uint8.

    Source: Cubuk et al., arXiv:1909.13719. Taught in chapter 9.
    """

    operations: int = 2
    magnitude: int = 9
    bins: int = 31
    fill: Fill | None = None

    def __post_init__(self) -> None:
        if self.operations < 0:
            raise ValueError(f"operations is {self.operations}; give 0 or more")
        if not 0 <= self.magnitude < self.bins:
            raise ValueError(f"magnitude is {self.magnitude} and bins {self.bins}; give 0 to {self.bins - 1}")

    def draw(self, shape: Sequence[int], generator: Generator | None = None) -> list[Step]:
        """Steps with an operation and its magnitude for each picture."""
        bins = torch.full((shape[0],), self.magnitude)
        steps = range(self.operations)
        return [_operations(RAND_AUGMENT_SPACE, bins, self.bins, shape, generator) for _ in steps]

    def apply(self, inputs: Tensor, drawn: list[Step]) -> Tensor:
        """The batch after those steps."""
        return _in_turn(self, inputs, drawn, self.fill)


@dataclass(frozen=True)
class TrivialAugment(PictureTransform):
    """One operation at any strength for each picture, from a wide range.

    As `torchvision.transforms.v2.TrivialAugmentWide`, for uint8 pictures. Nothing has to be tuned.

    Attributes:
        bins: number of strengths.
        fill: value of what comes in from outside; None is black.

    Raises:
        ValueError: if there is no bin, or the pictures are not uint8.

    Source: Müller and Hutter, arXiv:2103.10158. Taught in chapter 9.
    """

    bins: int = 31
    fill: Fill | None = None

    def __post_init__(self) -> None:
        if self.bins < 1:
            raise ValueError(f"bins is {self.bins}; give 1 or more")

    def draw(self, shape: Sequence[int], generator: Generator | None = None) -> list[Step]:
        """One step with an operation and its magnitude for each picture."""
        bins = integers(self.bins, shape[:1], generator)
        return [_operations(TRIVIAL_AUGMENT_SPACE, bins, self.bins, shape, generator)]

    def apply(self, inputs: Tensor, drawn: list[Step]) -> Tensor:
        """The batch after that step."""
        return _in_turn(self, inputs, drawn, self.fill)


def _in_turn(transform: object, inputs: Tensor, steps: list[Step], fill: Fill | None) -> Tensor:
    need_levels(inputs, transform)
    for step in steps:
        inputs = operate(inputs, step, fill=fill)
    return inputs


@dataclass(frozen=True)
class Chains:
    """What `AugMix` draws.

    Attributes:
        steps: for each chain its steps; a chain that is shorter ends in identities.
        weights: float32 `[B, chains]`, of the ends of the chains in the result.
        kept: float32 `[B]`, of the picture itself; with the weights it adds up to 1.
    """

    steps: list[list[Step]]
    weights: Tensor
    kept: Tensor


@dataclass(frozen=True)
class AugMix(PictureTransform):
    """A picture mixed with the ends of several chains of mild operations on it.

    As `torchvision.transforms.v2.AugMix` with all operations, for uint8 pictures. Targets stay as they
    are, since all parts come from one picture.

    Attributes:
        severity: the weakest so many of ten strengths, 1 to 10.
        chains: number of chains.
        depth: operations in a chain; 0 draws 1, 2 or 3.
        alpha: of the Dirichlet and Beta distributions that the weights come from.
        fill: value of what comes in from outside; None is black.

    Raises:
        ValueError: if a setting is out of range, or the pictures are not uint8.

    Source: Hendrycks et al., arXiv:1912.02781. Taught in chapter 9.
    """

    severity: int = 3
    chains: int = 3
    depth: int = 0
    alpha: float = 1.0
    fill: Fill | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.severity <= 10:
            raise ValueError(f"severity is {self.severity}; give 1 to 10")
        if self.chains < 1:
            raise ValueError(f"chains is {self.chains}; give 1 or more")
        if self.depth < 0:
            raise ValueError(f"depth is {self.depth}; give the length of a chain, or 0 to draw it")
        if not self.alpha > 0:
            raise ValueError(f"alpha is {self.alpha}; give a number above 0, such as 1.0")

    def draw(self, shape: Sequence[int], generator: Generator | None = None) -> Chains:
        """Chains and weights for each picture."""
        batch = shape[0]
        steps = [self._chain(shape, generator) for _ in range(self.chains)]
        numbers = numpy_generator(generator)
        kept = torch.from_numpy(numbers.beta(self.alpha, self.alpha, batch).astype(np.float32))
        parts = torch.from_numpy(numbers.dirichlet([self.alpha] * self.chains, batch).astype(np.float32))
        return Chains(steps, parts * (1 - kept)[:, None], kept)

    def _chain(self, shape: Sequence[int], generator: Generator | None) -> list[Step]:
        batch = shape[0]
        longest = self.depth or 3
        lengths = [self.depth] * batch if self.depth else (1 + integers(3, (batch,), generator)).tolist()
        chain = []
        for place in range(longest):
            step = _operations(AUG_MIX_SPACE, integers(self.severity, (batch,), generator), 10, shape, generator)
            pairs = zip(step, lengths, strict=True)
            chain.append([operation if place < length else IDENTITY for operation, length in pairs])
        return chain

    def apply(self, inputs: Tensor, drawn: Chains) -> Tensor:
        """The batch with its chains mixed in."""
        need_levels(inputs, self)
        # All chains as one batch: there are then a third of the groups.
        ends = inputs.repeat(self.chains, 1, 1, 1)
        for steps in zip(*drawn.steps, strict=True):
            joined = [operation for step in steps for operation in step]
            ends = operate(ends, joined, bilinear=True, fill=self.fill)
        mixed = drawn.kept.to(inputs.device).view(-1, 1, 1, 1) * inputs
        weights = drawn.weights.to(inputs.device)
        for weight, end in zip(weights.unbind(1), ends.chunk(self.chains), strict=True):
            mixed.add_(weight.view(-1, 1, 1, 1) * end)
        return mixed.to(torch.uint8)
