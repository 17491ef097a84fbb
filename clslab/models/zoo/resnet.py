"""Residual networks: a block learns what to add to its input, so that depth does no harm.

==============  ====================  ==========================  ==========  =====
name            paper                 residual blocks             parameters   MMAC
==============  ====================  ==========================  ==========  =====
resnet9         none, see `ResNet9`   two of two convolutions      6,619,200    379
  width = 32                                                       1,669,152     95
  width = 16                                                         424,464     24
resnet18        arXiv:1512.03385      2, 2, 2, 2 basic            11,220,132    555
resnet34        arXiv:1512.03385      3, 4, 6, 3 basic            21,328,292  1,159
resnet50        arXiv:1512.03385      3, 4, 6, 3 bottlenecks      23,705,252  1,298
resnet101       arXiv:1512.03385      3, 4, 23, 3 bottlenecks     42,697,380  2,510
resnet152       arXiv:1512.03385      3, 8, 36, 3 bottlenecks     58,341,028  3,722
preactresnet18  arXiv:1603.05027      2, 2, 2, 2 pre-activation   11,218,340    555
==============  ====================  ==========================  ==========  =====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels.

What was adapted for small pictures: the papers' stem (a convolution of 7 by 7 with stride 2, then a pool) would leave
8 by 8 of 32 by 32 pixels before the first block. Here the stem is one convolution of 3 by 3 at full size.

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

PAPER_WIDTH = 64


def _check_width(width: int) -> None:
    if width < 1:
        raise ValueError(f"width is {width}; give at least 1 channel, or leave it out for the full width")


def _convolution(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    # No bias: the batch norm that follows has its own shift.
    return nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False)


# ---------------------------------------------------------------- ResNet-9


class ResNet9(nn.Module):
    """A short residual network that learns small pictures in minutes.

    Four convolutions that double the channels, three of them followed by a pool, with a residual block of two more
    after the second and the fourth; a maximum over what is left of the picture, and a linear layer whose logits are
    multiplied by a small constant. It comes from David Page's series "How to train your ResNet" (2018), written for a
    race of training speed, not from a paper.

    Args:
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels after the first convolution; the last ones have eight times as many.
        logit_scale: the constant. Large logits at the start make the first steps at a high learning rate unstable.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Raises:
        ValueError: if `width` is below 1.

    Taught in chapters 8 and 11.
    """

    def __init__(
        self, num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH, logit_scale: float = 0.25
    ) -> None:
        super().__init__()
        _check_width(width)
        self.blocks = nn.Sequential(
            _layer(in_channels, width),
            _layer(width, 2 * width, pool=True),
            _Residual(2 * width),
            _layer(2 * width, 4 * width, pool=True),
            _layer(4 * width, 8 * width, pool=True),
            _Residual(8 * width),
        )
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.head = nn.Linear(8 * width, num_classes, bias=False)
        self.logit_scale = logit_scale

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        return self.head(self.pool(self.blocks(pictures)).flatten(1)) * self.logit_scale


def _layer(in_channels: int, out_channels: int, *, pool: bool = False) -> nn.Sequential:
    """Convolution, batch norm, ReLU and perhaps a pool."""
    parts: list[nn.Module] = [_convolution(in_channels, out_channels), nn.BatchNorm2d(out_channels)]
    # The larger of two numbers is the same before and after ReLU, and a quarter as many numbers pass ReLU here.
    parts += [nn.MaxPool2d(2), nn.ReLU(inplace=True)] if pool else [nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)


class _Residual(nn.Module):
    """Two layers, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(_layer(channels, channels), _layer(channels, channels))

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.residual(maps)


# ---------------------------------------------------------------- ResNet-18 to ResNet-152


class BasicBlock(nn.Module):
    """Two convolutions of 3 by 3, added to the input: `relu(x + bn(conv(relu(bn(conv(x))))))`.

    Where the shape changes, the input passes a convolution of 1 by 1 and a batch norm (option B of the paper).

    Source: arXiv:1512.03385. Taught in chapter 11.
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _convolution(in_channels, channels, stride=stride),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            _convolution(channels, channels),
            nn.BatchNorm2d(channels),
        )
        self.shortcut = _projection(in_channels, channels, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[B, in_channels, H, W]` to `[B, channels, H / stride, W / stride]`."""
        return self.relu(self.shortcut(maps) + self.residual(maps))


class Bottleneck(nn.Module):
    """A convolution of 3 by 3 between two of 1 by 1, of which the last has four times the channels.

    The stride is in the convolution of 3 by 3, as in later code of the authors' school and in torchvision; in the paper
    it is in the first one, which skips three quarters of its input.

    Source: arXiv:1512.03385. Taught in chapter 11.
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.residual = nn.Sequential(
            _convolution(in_channels, channels, kernel=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            _convolution(channels, channels, stride=stride),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            _convolution(channels, out_channels, kernel=1),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = _projection(in_channels, out_channels, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[B, in_channels, H, W]` to `[B, 4 * channels, H / stride, W / stride]`."""
        return self.relu(self.shortcut(maps) + self.residual(maps))


def _projection(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """The shortcut: nothing where the shapes agree."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(_convolution(in_channels, out_channels, kernel=1, stride=stride), nn.BatchNorm2d(out_channels))


class PreActBlock(nn.Module):
    """Batch norm and ReLU before each of two convolutions, so that the sum itself passes through unchanged.

    Where the shape changes, the shortcut starts after the first batch norm and ReLU and is a convolution of 1 by 1
    alone.

    Source: arXiv:1603.05027. Taught in chapter 11.
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True))
        self.residual = nn.Sequential(
            _convolution(in_channels, channels, stride=stride),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            _convolution(channels, channels),
        )
        same = stride == 1 and in_channels == channels
        self.projection = None if same else _convolution(in_channels, channels, kernel=1, stride=stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[B, in_channels, H, W]` to `[B, channels, H / stride, W / stride]`."""
        active = self.first(maps)
        kept = maps if self.projection is None else self.projection(active)
        return kept + self.residual(active)


class Block(Protocol):
    """What `ResNet` asks of a class of blocks, whichever family it is of."""

    @property
    def expansion(self) -> int:
        """Channels that a block returns, over those that it is told."""

    def __call__(self, in_channels: int, channels: int, stride: int) -> nn.Module:
        """A block."""


class ResNet(nn.Module):
    """A stem, four stages of blocks, an average over the picture and a linear layer.

    The first block of stages two to four halves the side of the maps; each stage has twice the channels of the one
    before. A network of pre-activation blocks starts with a bare convolution and ends in batch norm and ReLU.

    Args:
        block: class of its blocks.
        depths: number of blocks of each stage.
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels of the first stage.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Raises:
        ValueError: if `width` is below 1.

    Source: arXiv:1512.03385, arXiv:1603.05027. Taught in chapter 11.
    """

    def __init__(
        self,
        block: Block,
        depths: tuple[int, ...],
        num_classes: int,
        *,
        in_channels: int = 3,
        width: int = PAPER_WIDTH,
    ) -> None:
        super().__init__()
        _check_width(width)
        activated_first = block is PreActBlock
        stem: list[nn.Module] = [_convolution(in_channels, width)]
        if not activated_first:
            stem += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.stem = nn.Sequential(*stem)
        stages, channels = [], width
        for number, depth in enumerate(depths):
            wide = width * 2**number
            blocks: list[nn.Module] = []
            for position in range(depth):
                blocks.append(block(channels, wide, 2 if number and position == 0 else 1))
                channels = wide * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        last = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.last = last if activated_first else nn.Identity()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        return self.head(self.pool(self.last(self.stages(self.stem(pictures)))).flatten(1))


def _resnet(block: Block, *depths: int) -> Callable[..., nn.Module]:
    def build(num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH) -> nn.Module:
        return ResNet(block, depths, num_classes, in_channels=in_channels, width=width)

    return build


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "resnet9": ResNet9,
    "resnet18": _resnet(BasicBlock, 2, 2, 2, 2),
    "resnet34": _resnet(BasicBlock, 3, 4, 6, 3),
    "resnet50": _resnet(Bottleneck, 3, 4, 6, 3),
    "resnet101": _resnet(Bottleneck, 3, 4, 23, 3),
    "resnet152": _resnet(Bottleneck, 3, 8, 36, 3),
    "preactresnet18": _resnet(PreActBlock, 2, 2, 2, 2),
}
