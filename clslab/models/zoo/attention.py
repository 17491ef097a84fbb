"""Residual attention networks: a second branch learns, place by place and channel by channel, what to strengthen.

===========  ================  =================  ==========  =====
name         paper             attention modules  parameters   MMAC
===========  ================  =================  ==========  =====
attention56  arXiv:1704.06904  1, 1, 1            29,958,948  2,010
attention92  arXiv:1704.06904  1, 2, 3            50,614,564  3,402
===========  ================  =================  ==========  =====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels.

What was adapted for small pictures: the stem is one convolution of 3 by 3 at full size (7 by 7 with stride 2, and a
pool, in the paper), so that the three stages of modules see 32 by 32, 16 by 16 and 8 by 8 places instead of 56, 28 and
14. Their masks are computed with three, two and one halvings, down to 4 by 4, as the paper's go down to 7 by 7.

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

PAPER_WIDTH = 64


def _activated(in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1) -> list[nn.Module]:
    """Batch norm, ReLU and convolution."""
    convolution = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False)
    return [nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True), convolution]


class ResidualUnit(nn.Module):
    """A pre-activation bottleneck, of which these networks are made; its middle has a quarter of the channels.

    Source: arXiv:1603.05027. Taught in chapter 11.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        inner = out_channels // 4
        norm, relu, convolution = _activated(in_channels, inner)
        self.first = nn.Sequential(norm, relu)
        self.residual = nn.Sequential(
            convolution, *_activated(inner, inner, kernel=3, stride=stride), *_activated(inner, out_channels)
        )
        same = stride == 1 and in_channels == out_channels
        self.projection = None if same else nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[B, in_channels, H, W]` to `[B, out_channels, H / stride, W / stride]`."""
        active = self.first(maps)
        kept = maps if self.projection is None else self.projection(active)
        return kept + self.residual(active)


class Hourglass(nn.Module):
    """Down and up again: halves the map, works there, and enlarges it to its old size.

    What works there is another hourglass, until the halvings are used up; a shortcut with one unit passes it by.

    Args:
        channels: of the maps.
        halvings: how often the map is halved.

    Source: arXiv:1704.06904, the mask branch of its figure 2, with r = 1. Taught in chapter 11.
    """

    def __init__(self, channels: int, halvings: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.MaxPool2d(3, stride=2, padding=1), ResidualUnit(channels, channels))
        self.inner = Hourglass(channels, halvings - 1) if halvings > 1 else None
        self.past = ResidualUnit(channels, channels) if halvings > 1 else None
        self.up = ResidualUnit(channels, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[B, channels, H, W]` to maps of the same shape."""
        small = self.down(maps)
        if self.inner is not None and self.past is not None:
            small = self.past(small) + self.inner(small)
        return F.interpolate(self.up(small), size=maps.shape[-2:], mode="bilinear", align_corners=False)


class AttentionModule(nn.Module):
    """A trunk T of two units and a mask M from 0 to 1, joined as (1 + M) · T, between two more units.

    The 1 is what makes it a residual: a mask of zeros leaves the trunk as it is, so that many modules can follow each
    other without the maps fading away.

    Args:
        channels: of the maps.
        halvings: of the hourglass that the mask comes from.

    Source: arXiv:1704.06904, with p = 1 and t = 2. Taught in chapter 11.
    """

    def __init__(self, channels: int, halvings: int) -> None:
        super().__init__()
        self.before = ResidualUnit(channels, channels)
        self.trunk = nn.Sequential(ResidualUnit(channels, channels), ResidualUnit(channels, channels))
        self.mask = nn.Sequential(
            Hourglass(channels, halvings),
            *_activated(channels, channels),
            *_activated(channels, channels),
            nn.Sigmoid(),
        )
        self.after = ResidualUnit(channels, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[B, channels, H, W]` to maps of the same shape."""
        maps = self.before(maps)
        return self.after((1 + self.mask(maps)) * self.trunk(maps))


class ResidualAttentionNet(nn.Module):
    """A stem, three stages of one unit and some attention modules, three units, an average and a linear layer.

    Args:
        modules: number of attention modules of each stage.
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels after the first convolution; the stages have four, eight and sixteen times as many.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Source: arXiv:1704.06904. Taught in chapter 11.
    """

    def __init__(
        self, modules: tuple[int, ...], num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        stages, channels = [], width
        for number, count in enumerate(modules):
            wide = 4 * width * 2**number
            unit = ResidualUnit(channels, wide, stride=2 if number else 1)
            stages.append(nn.Sequential(unit, *(AttentionModule(wide, 3 - number) for _ in range(count))))
            channels = wide
        self.stages = nn.Sequential(*stages)
        wide = 2 * channels
        self.end = nn.Sequential(
            ResidualUnit(channels, wide, stride=2), ResidualUnit(wide, wide), ResidualUnit(wide, wide)
        )
        self.last = nn.Sequential(nn.BatchNorm2d(wide), nn.ReLU(inplace=True))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(wide, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        maps = self.end(self.stages(self.stem(pictures)))
        return self.head(self.pool(self.last(maps)).flatten(1))


def _attention(*modules: int) -> Callable[..., nn.Module]:
    def build(num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH) -> nn.Module:
        return ResidualAttentionNet(modules, num_classes, in_channels=in_channels, width=width)

    return build


BUILDERS: dict[str, Callable[..., nn.Module]] = {"attention56": _attention(1, 1, 1), "attention92": _attention(1, 2, 3)}
