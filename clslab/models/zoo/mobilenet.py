"""MobileNet v1 and v2: a convolution in two cheap halves, one across the picture and one across the channels.

==============  ====================  ==========================  ==========  =====
name            paper                 blocks                      parameters   MMAC
==============  ====================  ==========================  ==========  =====
mobilenet       arXiv:1704.04861      13 depthwise separable       3,309,476    176
  width = 8                                                          238,772     12
mobilenetv2     arXiv:1801.04381      17 inverted residual         2,351,972     88
  width = 8                                                          189,692      7
==============  ====================  ==========================  ==========  =====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels.

What was adapted for small pictures: of the papers' five halvings (224 to 7 pixels) the first two are left out: the
first convolution and the first block with a stride have stride 1 here. `width` is what the papers set by their width
multiplier: 16 of 32 is their 0.5. (The second paper leaves the last convolution of v2 at 1,280 channels for multipliers
below 1; here it shrinks with the others.)

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from clslab.models.zoo.layers import convolution, scaled

PAPER_WIDTH = 32

# ---------------------------------------------------------------- MobileNet v1

BLOCKS_V1 = (
    (64, 1),
    (128, 1),  # stride 2 in the paper
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),  # the paper's table prints stride 2 here, at 7 by 7 that give 7 by 7: a misprint
)
"""Channels and stride of each block: the paper's table 1."""


def depthwise_separable(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """A kernel of 3 by 3 for each channel, then 1 by 1 across the channels; batch norm and ReLU after each.

    Of D channels to D a plain convolution of 3 by 3 has 9 D² weights, this one 9 D + D²: for large D nearly nine times
    fewer.

    Source: arXiv:1704.04861, figure 3. Taught in chapter 11.
    """
    return nn.Sequential(
        convolution(in_channels, in_channels, stride=stride, groups=in_channels),
        convolution(in_channels, out_channels, 1),
    )


class MobileNet(nn.Module):
    """One plain convolution, 13 depthwise separable ones, an average and a linear layer.

    Args:
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels of the first convolution; all others keep the paper's proportion to it.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Source: arXiv:1704.04861. Taught in chapter 11.
    """

    def __init__(self, num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH) -> None:
        super().__init__()
        self.stem = convolution(in_channels, width)
        blocks, channels = [], width
        for paper_channels, stride in BLOCKS_V1:
            wide = scaled(paper_channels, width / PAPER_WIDTH)
            blocks.append(depthwise_separable(channels, wide, stride))
            channels = wide
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        return self.head(self.pool(self.blocks(self.stem(pictures))).flatten(1))


# ---------------------------------------------------------------- MobileNet v2

BLOCKS_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),  # stride 2 in the paper
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, number of blocks and stride of the first of them: the paper's table 2."""


class InvertedResidual(nn.Module):
    """Few channels between the blocks, many inside: expand, filter each channel, and come back without ReLU.

    The input is added where the shape stays the same. The last convolution ends in its batch norm: ReLU on so few
    channels would lose information.

    Args:
        in_channels: channels that come in.
        channels: channels that go out.
        stride: 1 or 2.
        expansion: how many times as many channels the inside has; 1 leaves the first convolution out.

    Shapes: maps `[B, in_channels, H, W]` to `[B, channels, H / stride, W / stride]`.

    Source: arXiv:1801.04381. Taught in chapter 11.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = in_channels * expansion
        expand = [convolution(in_channels, inside, 1, activation=nn.ReLU6)] if expansion > 1 else []
        self.residual = nn.Sequential(
            *expand,
            convolution(inside, inside, stride=stride, groups=inside, activation=nn.ReLU6),
            convolution(inside, channels, 1, activation=None),
        )
        self.adds = stride == 1 and in_channels == channels

    def forward(self, maps: Tensor) -> Tensor:
        """The sum of both ways, or the residual alone."""
        return maps + self.residual(maps) if self.adds else self.residual(maps)


class MobileNetV2(nn.Module):
    """One plain convolution, 17 inverted residual blocks, one convolution of 1 by 1, an average and a linear layer.

    Args:
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels of the first convolution; all others keep the paper's proportion to it.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Source: arXiv:1801.04381. Taught in chapter 11.
    """

    def __init__(self, num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH) -> None:
        super().__init__()
        factor = width / PAPER_WIDTH
        self.stem = convolution(in_channels, width, activation=nn.ReLU6)
        blocks, channels = [], width
        for expansion, paper_channels, repeats, first_stride in BLOCKS_V2:
            wide = scaled(paper_channels, factor)
            for position in range(repeats):
                blocks.append(InvertedResidual(channels, wide, 1 if position else first_stride, expansion))
                channels = wide
        self.blocks = nn.Sequential(*blocks)
        self.last = convolution(channels, scaled(1280, factor), 1, activation=nn.ReLU6)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(scaled(1280, factor), num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        return self.head(self.pool(self.last(self.blocks(self.stem(pictures)))).flatten(1))


BUILDERS: dict[str, Callable[..., nn.Module]] = {"mobilenet": MobileNet, "mobilenetv2": MobileNetV2}
