"""Parts of a picture that are painted over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from clslab.data.augment.base import Fill, PictureTransform, check_probability, colour, integers, uniform, within

TRIES = 10  # boxes that are drawn for a picture before it is left as it is


@dataclass(frozen=True)
class RandomErasing(PictureTransform):
    """Paint over one box of a picture, as `torchvision.transforms.v2.RandomErasing`.

    A box that does not fit is drawn anew, up to ten times. It draws boxes, long `[B, 4]` (top, left,
    bottom, right); an empty one leaves its picture as it is.

    Attributes:
        p: probability that a picture loses a box.
        scale: smallest and largest area of the box, as a part of the picture.
        ratio: smallest and largest height over width.
        fill: value in the box, on the scale of the inputs. Where pictures are normalised before
            they are erased it is 0, which is the mean of the data: here, before normalisation, give
            that mean.

    Raises:
        ValueError: if `p` is no probability, or a range is empty or impossible.

    Source: Zhong et al., arXiv:1708.04896. Taught in chapter 9.
    """

    p: float = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    fill: Fill = 0

    def __post_init__(self) -> None:
        check_probability(self.p)
        if not 0 <= self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale is {self.scale}; give two parts of the area, 0 ≤ smallest ≤ largest ≤ 1")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio is {self.ratio}; give two positive numbers, the smaller one first")

    def draw(self, shape: Sequence[int], generator: Generator | None = None) -> Tensor:
        """Boxes, long `[B, 4]` (top, left, bottom, right)."""
        batch, _, height, width = shape
        tries = (batch, TRIES)
        area = uniform(*self.scale, tries, generator) * height * width
        ratio = uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), tries, generator).exp()
        high, wide = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
        fits = (high < height) & (wide < width)
        first = fits.long().argmax(1, keepdim=True)  # the first try that fits
        erased = fits.any(1) & (uniform(0, 1, (batch,), generator) < self.p)
        high, wide = (side.gather(1, first).squeeze(1) * erased for side in (high, wide))
        place = uniform(0, 1, (batch, 2), generator)
        top = (place[:, 0] * (height - high + 1)).long() * erased
        left = (place[:, 1] * (width - wide + 1)).long() * erased
        return torch.stack([top, left, top + high, left + wide], 1)

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """The batch with those boxes painted over."""
        mask = within(drawn.to(inputs.device), inputs.shape[2], inputs.shape[3])
        return torch.where(mask, colour(self.fill, inputs), inputs)


@dataclass(frozen=True)
class GridMask(PictureTransform):
    """Paint over a grid of squares.

    The picture is tiled by units of side d; in each, a square is painted over and a strip of
    ⌈ratio · d⌉ pixels along two sides stays. Where the grid begins is drawn too. It draws long
    `[B, 3]` (d, shift down, shift right); a d of 0 leaves its picture as it is.

    Attributes:
        p: probability that a picture gets a grid.
        unit: smallest and largest side d of a unit in pixels.
        ratio: the part of a unit's side that stays.
        fill: value in the squares, on the scale of the inputs; see `RandomErasing`.

    Raises:
        ValueError: if `p` is no probability, or the unit or ratio is impossible.

    Source: Chen et al., arXiv:2001.04086. Taught in chapter 9.

    >>> picture = torch.ones(1, 1, 4, 4, dtype=torch.uint8)
    >>> GridMask(unit=(2, 2), ratio=0.5).apply(picture, torch.tensor([[2, 0, 0]])).squeeze().tolist()
    [[1, 1, 1, 1], [1, 0, 1, 0], [1, 1, 1, 1], [1, 0, 1, 0]]
    """

    p: float = 0.5
    unit: tuple[int, int] = (24, 32)
    ratio: float = 0.4
    fill: Fill = 0

    def __post_init__(self) -> None:
        check_probability(self.p)
        if not 2 <= self.unit[0] <= self.unit[1]:
            raise ValueError(f"unit is {self.unit}; give two sides in pixels, 2 ≤ smallest ≤ largest")
        if not 0 <= self.ratio <= 1:
            raise ValueError(f"ratio is {self.ratio}; give the part of a unit's side that stays, 0 to 1")

    def draw(self, shape: Sequence[int], generator: Generator | None = None) -> Tensor:
        """Grids, long `[B, 3]` (d, shift down, shift right)."""
        batch = shape[0]
        side = self.unit[0] + integers(self.unit[1] - self.unit[0] + 1, (batch,), generator)
        shift = (uniform(0, 1, (batch, 2), generator) * side[:, None]).long()
        masked = uniform(0, 1, (batch,), generator) < self.p
        return torch.cat([side[:, None], shift], 1) * masked[:, None]

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """The batch under those grids."""
        side, down, right = (column.view(-1, 1, 1, 1) for column in drawn.to(inputs.device).unbind(1))
        unit = side.clamp(min=1)
        strip = (side * self.ratio).ceil()
        y = torch.arange(inputs.shape[2], device=inputs.device).view(1, 1, -1, 1)
        x = torch.arange(inputs.shape[3], device=inputs.device).view(1, 1, 1, -1)
        mask = ((y - down) % unit >= strip) & ((x - right) % unit >= strip) & (side > 0)
        return torch.where(mask, colour(self.fill, inputs), inputs)
