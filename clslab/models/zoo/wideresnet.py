"""Wide residual networks: few blocks with many channels, instead of many blocks with few.

========  ================  =======  ==========  =====
name      paper             blocks   parameters   MMAC
========  ================  =======  ==========  =====
wrn16_8   arXiv:1605.07146  2, 2, 2  11,007,540  1,548
wrn28_10  arXiv:1605.07146  4, 4, 4  36,536,884  5,243
wrn40_2   arXiv:1605.07146  6, 6, 6   2,255,156    328
wrn40_10  arXiv:1605.07146  6, 6, 6  55,899,444  8,075
========  ================  =======  ==========  =====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels. A name wrnD_K says
depth and factor: D = 6n + 4 convolutions, those of three shortcuts among them, with n blocks in each of three stages,
and K times the 16, 32 and 64 channels of the networks that the ResNet paper trained on CIFAR.

Nothing was adapted: the paper's networks are made for small pictures.

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

PAPER_WIDTH = 16


def _convolution(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False)


class WideBlock(nn.Module):
    """A pre-activation block with dropout between its two convolutions.

    Where the shape changes, the shortcut starts after the first batch norm and ReLU and is a convolution of 1 by 1
    alone.

    Source: arXiv:1605.07146. Taught in chapter 11.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True))
        self.residual = nn.Sequential(
            _convolution(in_channels, channels, stride=stride),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            _convolution(channels, channels),
        )
        same = stride == 1 and in_channels == channels
        self.projection = None if same else _convolution(in_channels, channels, kernel=1, stride=stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[B, in_channels, H, W]` to `[B, channels, H / stride, W / stride]`."""
        active = self.first(maps)
        kept = maps if self.projection is None else self.projection(active)
        return kept + self.residual(active)


class WideResNet(nn.Module):
    """A convolution, three stages of blocks, batch norm and ReLU, an average over the picture and a linear layer.

    Args:
        depth: D = 6n + 4, number of convolutions, with those of the three shortcuts.
        factor: K, how much wider the stages are than `width`, twice and four times that.
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels after the first convolution.
        dropout: probability that a number is dropped between a block's convolutions; the paper gives 0.3 where it
            uses dropout.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Raises:
        ValueError: if `depth` is not 6n + 4.

    Source: arXiv:1605.07146. Taught in chapter 11.
    """

    def __init__(
        self,
        depth: int,
        factor: int,
        num_classes: int,
        *,
        in_channels: int = 3,
        width: int = PAPER_WIDTH,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 4, 6)
        if rest or blocks < 1:
            raise ValueError(
                f"depth is {depth}; give 6n + 4 with n blocks in each of three stages, such as 16, 28 or 40"
            )
        self.stem = _convolution(in_channels, width)
        stages, channels = [], width
        for number in range(3):
            wide = width * factor * 2**number
            stage = [WideBlock(channels, wide, 2 if number else 1, dropout)]
            stage += [WideBlock(wide, wide, 1, dropout) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(*stage))
            channels = wide
        self.stages = nn.Sequential(*stages)
        self.last = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        return self.head(self.pool(self.last(self.stages(self.stem(pictures)))).flatten(1))


def _wrn(depth: int, factor: int) -> Callable[..., nn.Module]:
    def build(num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH, dropout: float = 0.0) -> nn.Module:
        return WideResNet(depth, factor, num_classes, in_channels=in_channels, width=width, dropout=dropout)

    return build


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "wrn16_8": _wrn(16, 8),
    "wrn28_10": _wrn(28, 10),
    "wrn40_2": _wrn(40, 2),
    "wrn40_10": _wrn(40, 10),
}
