"""What colours a picture has, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as kernels

from clslab.data.augment.base import PictureTransform, need_levels, uniform

GREY = (0.2989, 0.587, 0.114)  # how much red, green and blue add to the brightness of a pixel


@dataclass(frozen=True)
class ColourDraws:
    """What `ColorJitter` draws.

    Attributes:
        order: long `[B, 4]`, the four changes in the order in which each picture gets them.
        factors: float `[B, 4]` for brightness, contrast and saturation (1 changes nothing) and hue
            (0 changes nothing, ½ is the opposite colour).
    """

    order: Tensor
    factors: Tensor


@dataclass(frozen=True)
class ColorJitter(PictureTransform):
    """Change brightness, contrast, saturation and hue in random order.

    As `torchvision.transforms.v2.ColorJitter`. The first three are done for the whole batch at once;
    hue is done picture by picture, by torchvision's kernel, and takes half a millisecond for each.

    Attributes:
        brightness: factors come from [1 − brightness, 1 + brightness], and not below 0.
        contrast: likewise.
        saturation: likewise.
        hue: shifts come from [−hue, hue], in turns of the colour circle, at most ½.

    Raises:
        ValueError: if a number is negative, or the hue above ½.

    Taught in chapter 9.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation", "hue"):
            value = getattr(self, name)
            if value < 0:
                raise ValueError(f"{name} is {value}; give 0 or more")
        if self.hue > 0.5:
            raise ValueError(f"hue is {self.hue}; half a turn of the colour circle, 0.5, is the most")

    def draw(self, shape: Sequence[int], generator: Generator | None = None) -> ColourDraws:
        """Orders and factors."""
        batch = shape[0]
        order = uniform(0, 1, (batch, len(_CHANGES)), generator).argsort(1)
        ranges = [(max(0.0, 1 - width), 1 + width) for width in (self.brightness, self.contrast, self.saturation)]
        factors = [uniform(low, high, (batch,), generator) for low, high in [*ranges, (-self.hue, self.hue)]]
        return ColourDraws(order, torch.stack(factors, 1))

    def apply(self, inputs: Tensor, drawn: ColourDraws) -> Tensor:
        """The batch with those changes."""
        need_levels(inputs, self)
        widths = (self.brightness, self.contrast, self.saturation, self.hue)
        order, factors = drawn.order.cpu(), drawn.factors.cpu()
        outputs = inputs.clone()
        for place in range(len(_CHANGES)):
            for number, change in enumerate(_CHANGES):
                members = (order[:, place] == number).nonzero().squeeze(1)
                if widths[number] and len(members):
                    there = members.to(inputs.device)
                    group = change(outputs.index_select(0, there), factors[members, number])
                    outputs.index_copy_(0, there, group)
        return outputs


def _brightness(images: Tensor, factors: Tensor) -> Tensor:
    return images.mul(_for_each(factors, images)).clamp_(0, 255).to(torch.uint8)


def _contrast(images: Tensor, factors: Tensor) -> Tensor:
    return _towards(images, _grey(images).mean((1, 2, 3), keepdim=True), factors)


def _saturation(images: Tensor, factors: Tensor) -> Tensor:
    return images if images.shape[1] == 1 else _towards(images, _grey(images), factors)


def _hue(images: Tensor, shifts: Tensor) -> Tensor:
    pairs = zip(images.split(1), shifts.tolist(), strict=True)
    return torch.cat([kernels.adjust_hue(image, shift) for image, shift in pairs])


def _grey(images: Tensor) -> Tensor:
    """Brightness of each pixel, float `[B, 1, H, W]`, in whole levels."""
    if images.shape[1] == 1:
        return images.float()
    red, green, blue = images.unbind(1)
    grey = red.mul(GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])
    return grey.unsqueeze(1).floor_()


def _towards(images: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    """Each image at its factor and the other one at the rest, rounded as torchvision's kernel rounds one pair."""
    # A fused product and sum, in the kernel's types: what is cut off to whole levels is then the same.
    rest = _for_each(1 - factors.double(), images)
    return torch.addcmul(images.mul(_for_each(factors, images)), others, rest).clamp_(0, 255).to(torch.uint8)


def _for_each(factors: Tensor, images: Tensor) -> Tensor:
    return factors.float().to(images.device).view(-1, 1, 1, 1)


_CHANGES: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (_brightness, _contrast, _saturation, _hue)
