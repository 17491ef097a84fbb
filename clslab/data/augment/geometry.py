"""Where the pixels of a picture go: crops with padding, flips, rotations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from clslab.data.augment.base import Fill, PictureTransform, check_probability, colour, integers, uniform


@dataclass(frozen=True)
class RandomCrop(PictureTransform):
    """Pad each side and cut the original size out of it again: a shift of up to `padding` pixels.

    As `torchvision.transforms.v2.RandomCrop(size, padding)` with the size of the pictures. It draws
    the corner of the cut in the padded picture, long `[B, 2]` (top, left), each 0 … 2 · padding.

    Attributes:
        padding: pixels on each side.
        fill: value of the padding, for all channels or one for each, on the scale of the inputs.

    Raises:
        ValueError: if the padding is negative.

    Taught in chapter 8.

    >>> picture = torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2)
    >>> RandomCrop(1, fill=9).apply(picture, torch.tensor([[0, 0]])).squeeze().tolist()
    [[9, 9], [9, 0]]
    """

    padding: int = 4
    fill: Fill = 0

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ValueError(f"padding is {self.padding}; give 0 pixels or more")

    def draw(self, shape: Sequence[int], generator: Generator | None = None) -> Tensor:
        """Corners, long `[B, 2]`."""
        return integers(2 * self.padding + 1, (shape[0], 2), generator)

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """The cuts at the drawn corners."""
        batch, channels, height, width = inputs.shape
        pad = self.padding
        padded = inputs.new_empty(batch, channels, height + 2 * pad, width + 2 * pad)
        padded[:] = colour(self.fill, inputs)
        padded[:, :, pad : pad + height, pad : pad + width] = inputs
        # A view of all possible cuts; picking one of them for each picture is the only copy.
        cuts = padded.unfold(2, height, 1).unfold(3, width, 1)
        top, left = drawn.to(inputs.device).unbind(1)
        return cuts[torch.arange(batch, device=inputs.device), :, top, left]


@dataclass(frozen=True)
class HorizontalFlip(PictureTransform):
    """Mirror left and right, as `torchvision.transforms.v2.RandomHorizontalFlip`.

    It draws which pictures are flipped, bool `[B]`.

    Attributes:
        p: probability that a picture is flipped.

    Raises:
        ValueError: if `p` is no probability.

    Taught in chapter 8.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.p)

    def draw(self, shape: Sequence[int], generator: Generator | None = None) -> Tensor:
        """Which pictures are flipped, bool `[B]`."""
        return uniform(0, 1, shape[:1], generator) < self.p

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """The batch with those pictures flipped."""
        return torch.where(drawn.to(inputs.device).view(-1, 1, 1, 1), inputs.flip(-1), inputs)


@dataclass(frozen=True)
class Rotation(PictureTransform):
    """Turn around the centre, as `torchvision.transforms.v2.RandomRotation` with the nearest pixel.

    It draws angles in degrees, counter-clockwise, float `[B]`.

    Attributes:
        degrees: angles come from [−degrees, degrees].
        fill: value of what comes in from outside, on the scale of the inputs.

    Raises:
        ValueError: if the angle is negative.

    Taught in chapter 8.
    """

    degrees: float = 15.0
    fill: Fill = 0

    def __post_init__(self) -> None:
        if self.degrees < 0:
            raise ValueError(f"degrees is {self.degrees}; give the largest angle, 0 or more")

    def draw(self, shape: Sequence[int], generator: Generator | None = None) -> Tensor:
        """Angles in degrees, float `[B]`."""
        return uniform(-self.degrees, self.degrees, shape[:1], generator)

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """The pictures turned by those angles."""
        return affine(inputs, [rotated(angle) for angle in drawn.tolist()], fill=self.fill)


# Affine maps. A matrix leads from a pixel of the result to the place in the picture that it is taken
# from, in pixels from the centre: (x, y) ← (a x + b y + c, d x + e y + f). That is the inverse of what
# happens to the picture, and what torchvision's kernels compute, number for number.

Matrix = tuple[float, float, float, float, float, float]


def rotated(angle: float) -> Matrix:
    """Turn counter-clockwise by an angle in degrees."""
    radians = math.radians(-(angle % 360))
    return (math.cos(radians), math.sin(radians), 0.0, -math.sin(radians), math.cos(radians), 0.0)


def moved(right: float, down: float) -> Matrix:
    """Shift by pixels."""
    return (1.0, 0.0, -right, 0.0, 1.0, -down)


def sheared_x(slope: float, height: int) -> Matrix:
    """Slide each row by `slope` times its distance from the top, to the left."""
    return (1.0, slope, slope * height / 2, 0.0, 1.0, 0.0)


def sheared_y(slope: float, width: int) -> Matrix:
    """Slide each column by `slope` times its distance from the left, upwards."""
    return (1.0, 0.0, 0.0, slope, 1.0, slope * width / 2)


def affine(images: Tensor, matrices: Sequence[Matrix], *, bilinear: bool = False, fill: Fill | None = None) -> Tensor:
    """Map each picture by a matrix of its own, all in one call.

    Args:
        images: `[B, C, H, W]`, uint8 or float.
        matrices: B of them, see above.
        bilinear: interpolate between four pixels, else take the nearest.
        fill: value of what comes in from outside; None is black, without blending at the border.

    Returns:
        The type and shape of `images`, to the pixel what `torchvision.transforms.v2.functional.affine`
        makes of each picture alone.
    """
    dtype = images.dtype if images.is_floating_point() else torch.float32
    pixels = images.to(dtype)
    # Without blending black needs no mask.
    masked = fill is not None and (bilinear or bool(torch.as_tensor(fill).any()))
    if masked:
        pixels = torch.cat([pixels, torch.ones_like(pixels[:, :1])], 1)
    grid = _grid(matrices, images.shape[2], images.shape[3], dtype, images.device)
    mode = "bilinear" if bilinear else "nearest"
    moved_pixels = functional.grid_sample(pixels, grid, mode=mode, padding_mode="zeros", align_corners=False)
    if masked:
        moved_pixels, mask = moved_pixels[:, :-1], moved_pixels[:, -1:]
        background = torch.as_tensor(fill, dtype=dtype, device=images.device).reshape(1, -1, 1, 1)
        if bilinear:
            moved_pixels = moved_pixels.sub(background).mul_(mask).add_(background)
        else:
            moved_pixels = torch.where(mask < 0.5, background, moved_pixels)
    return moved_pixels if images.is_floating_point() else moved_pixels.round_().to(images.dtype)


def _grid(matrices: Sequence[Matrix], height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Sampling positions `[B, H, W, 2]` (x, y) with −1 and 1 at the outer borders."""
    places = torch.ones(height, width, 3, dtype=dtype, device=device)
    places[..., 0] = torch.linspace((1 - width) / 2, (width - 1) / 2, width, dtype=dtype, device=device)
    places[..., 1] = torch.linspace((1 - height) / 2, (height - 1) / 2, height, dtype=dtype, device=device)[:, None]
    distinct = {matrix: number for number, matrix in enumerate(dict.fromkeys(matrices))}
    theta = torch.tensor(list(distinct), dtype=dtype, device=device).view(-1, 2, 3).transpose(1, 2)
    theta = theta / torch.tensor([width / 2, height / 2], dtype=dtype, device=device)
    # One small product for each matrix, as the kernel of a single picture does it: one large product may
    # round differently, and the nearest pixel may then be another one.
    flat = places.view(1, height * width, 3)
    grids = torch.cat([flat.bmm(one) for one in theta.split(1)]).view(-1, height, width, 2)
    if len(distinct) == len(matrices):
        return grids
    return grids.index_select(0, torch.tensor([distinct[matrix] for matrix in matrices], device=device))
