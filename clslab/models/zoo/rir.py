"""ResNet in ResNet: beside the stream with shortcuts runs one without, and the two exchange what they find.

====  ================  =======  ==========  =====
name  paper             blocks   parameters   MMAC
====  ================  =======  ==========  =====
rir   arXiv:1603.08029  2, 3, 3   9,619,780  1,289
====  ================  =======  ==========  =====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels.

The paper's network of 18 layers with one and a half times the channels, made for small pictures. Where the paper leaves
a choice: both streams have the same number of channels, a shortcut whose shape changes is a convolution of 1 by 1, and
the end is an average over the picture and a linear layer, as in ResNet.

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

PAPER_WIDTH = 96


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)


class GeneralizedLayer(nn.Module):
    """One layer of two streams: with a shortcut (residual stream) and without (transient stream).

    With r and t for the streams, four convolutions and σ for batch norm and ReLU,

        r' = σ(conv_rr(r) + conv_tr(t) + shortcut(r)),
        t' = σ(conv_rt(r) + conv_tt(t)).

    The streams lie one behind the other in one map, r first; then the four convolutions are one. Left to itself, either
    stream would be a network that is known: r a ResNet, t a plain one.

    Args:
        in_channels: channels of the input, both streams together.
        out_channels: channels of the output, both streams together.
        stride: of the convolutions.

    Source: arXiv:1603.08029, equation 1. Taught in chapter 11.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.shortcut = _shortcut(in_channels // 2, out_channels // 2, stride)
        self.norm = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[B, in_channels, H, W]` to `[B, out_channels, H / stride, W / stride]`."""
        residual, transient = self.convolution(maps).chunk(2, dim=1)
        kept = self.shortcut(maps[:, : maps.shape[1] // 2])
        return self.relu(self.norm(torch.cat([residual + kept, transient], dim=1)))


class RiRBlock(nn.Module):
    """Two generalised layers, added to their input: a residual block made of residual layers.

    Source: arXiv:1603.08029, its figure 1(d). Taught in chapter 11.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            GeneralizedLayer(in_channels, out_channels, stride), GeneralizedLayer(out_channels, out_channels, 1)
        )
        self.shortcut = _shortcut(in_channels, out_channels, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[B, in_channels, H, W]` to `[B, out_channels, H / stride, W / stride]`."""
        return self.shortcut(maps) + self.layers(maps)


class RiR(nn.Module):
    """A convolution, three stages of blocks, an average over the picture and a linear layer.

    Args:
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels of the first stage, both streams together; so it is even.
        depths: number of blocks of each stage.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Raises:
        ValueError: if `width` is odd.

    Source: arXiv:1603.08029. Taught in chapter 11.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        width: int = PAPER_WIDTH,
        depths: tuple[int, ...] = (2, 3, 3),
    ) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"width is {width}; give an even number, for two streams of the same width")
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        stages, channels = [], width
        for number, depth in enumerate(depths):
            wide = width * 2**number
            blocks = [RiRBlock(channels, wide, 2 if number else 1)]
            blocks += [RiRBlock(wide, wide, 1) for _ in range(depth - 1)]
            stages.append(nn.Sequential(*blocks))
            channels = wide
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        return self.head(self.pool(self.stages(self.stem(pictures))).flatten(1))


BUILDERS: dict[str, Callable[..., nn.Module]] = {"rir": RiR}
