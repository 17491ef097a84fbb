"""ShuffleNet v1 and v2: channels in groups that do not see each other, and a shuffle so that they do after all.

==============  ====================  ==========================  ==========  =====
name            paper                 units                       parameters   MMAC
==============  ====================  ==========================  ==========  =====
shufflenet      arXiv:1707.01083      4, 8, 4 of three groups      1,000,828     43
  width = 9                                                          193,927      7
shufflenetv2    arXiv:1807.11164      4, 8, 4                      1,356,104     45
  width = 8                                                          181,827      5
==============  ====================  ==========================  ==========  =====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels.

What was adapted for small pictures: of the papers' five halvings (224 to 7 pixels) the first two are left out: the
first convolution has stride 1 and no pool follows it. v1 is the paper's "1x, g = 3", v2 its "1x".

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from clslab.models.zoo.layers import convolution, scaled

PAPER_WIDTH = 24
UNITS = (4, 8, 4)
"""How many units each of the three stages has; the first of them halves the maps."""

GROUPS = 3

# ---------------------------------------------------------------- ShuffleNet v1


class ShuffleUnit(nn.Module):
    """A bottleneck whose convolutions of 1 by 1 see a third of the channels, and a shuffle between them.

    Without the shuffle each third would only ever hear of itself. With stride 2 the input, averaged, is not added but
    put beside the result: the channels grow at no cost.

    Args:
        in_channels: channels that come in.
        channels: channels that go out, four times those of the bottleneck; a multiple of 12.
        stride: 1 or 2.
        grouped_first: whether the first convolution is grouped too; it is not where few channels come in.

    Shapes: maps `[B, in_channels, H, W]` to `[B, channels, H / stride, W / stride]`.

    Source: arXiv:1707.01083, figure 2. Taught in chapter 11.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, *, grouped_first: bool = True) -> None:
        super().__init__()
        inside = channels // 4
        made = channels - in_channels if stride == 2 else channels
        self.residual = nn.Sequential(
            convolution(in_channels, inside, 1, groups=GROUPS if grouped_first else 1),
            nn.ChannelShuffle(GROUPS),
            convolution(inside, inside, stride=stride, groups=inside, activation=None),
            convolution(inside, made, 1, groups=GROUPS, activation=None),
        )
        self.average = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        """The sum of both ways, or both side by side."""
        if self.average is None:
            return self.relu(maps + self.residual(maps))
        return self.relu(torch.cat([self.average(maps), self.residual(maps)], dim=1))


class ShuffleNet(nn.Module):
    """One plain convolution, three stages of shuffle units, an average and a linear layer.

    Args:
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels of the first convolution, rounded up to a multiple of three, so that the groups are equal; all
            others keep the paper's proportion to it.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Source: arXiv:1707.01083. Taught in chapter 11.
    """

    def __init__(self, num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH) -> None:
        super().__init__()
        channels = -(-width // GROUPS) * GROUPS
        first_stage = scaled(240, channels / PAPER_WIDTH, multiple=4 * GROUPS)
        self.stem = convolution(in_channels, channels)
        stages = []
        for number, units in enumerate(UNITS):
            wide = first_stage * 2**number
            stage: list[nn.Module] = [ShuffleUnit(channels, wide, 2, grouped_first=number > 0)]
            stage += [ShuffleUnit(wide, wide, 1) for _ in range(units - 1)]
            stages.append(nn.Sequential(*stage))
            channels = wide
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        return self.head(self.pool(self.stages(self.stem(pictures))).flatten(1))


# ---------------------------------------------------------------- ShuffleNet v2


class SplitUnit(nn.Module):
    """Half of the channels pass untouched, the other half is worked on, then all are shuffled.

    With stride 2 both ways see all channels. No convolution of 1 by 1 is grouped and nothing is added: the paper counts
    what memory access costs, not multiplications alone.

    Args:
        in_channels: channels that come in.
        channels: channels that go out, even.
        stride: 1, which needs `channels == in_channels`, or 2.

    Shapes: maps `[B, in_channels, H, W]` to `[B, channels, H / stride, W / stride]`.

    Source: arXiv:1807.11164, figure 3. Taught in chapter 11.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        half = channels // 2
        self.halves = stride == 1
        # In the order of torchvision's network, so that its weights fit one after another.
        self.kept: nn.Module = nn.Identity()
        if not self.halves:
            self.kept = nn.Sequential(
                convolution(in_channels, in_channels, stride=stride, groups=in_channels, activation=None),
                convolution(in_channels, half, 1),
            )
        self.worked = nn.Sequential(
            convolution(half if self.halves else in_channels, half, 1),
            convolution(half, half, stride=stride, groups=half, activation=None),
            convolution(half, half, 1),
        )
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, maps: Tensor) -> Tensor:
        """Both ways side by side, shuffled."""
        left, right = maps.chunk(2, dim=1) if self.halves else (maps, maps)
        return self.shuffle(torch.cat([self.kept(left), self.worked(right)], dim=1))


class ShuffleNetV2(nn.Module):
    """One plain convolution, three stages of split units, one convolution of 1 by 1, an average and a linear layer.

    Args:
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels of the first convolution; all others keep the paper's proportion to it.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Source: arXiv:1807.11164. Taught in chapter 11.
    """

    def __init__(self, num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH) -> None:
        super().__init__()
        factor = width / PAPER_WIDTH
        self.stem = convolution(in_channels, width)
        stages, channels = [], width
        for number, units in enumerate(UNITS):
            wide = scaled(116 * 2**number, factor, multiple=2)
            stage = [SplitUnit(channels, wide, 2), *(SplitUnit(wide, wide, 1) for _ in range(units - 1))]
            stages.append(nn.Sequential(*stage))
            channels = wide
        self.stages = nn.Sequential(*stages)
        self.last = convolution(channels, scaled(1024, factor), 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(scaled(1024, factor), num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        return self.head(self.pool(self.last(self.stages(self.stem(pictures)))).flatten(1))


BUILDERS: dict[str, Callable[..., nn.Module]] = {"shufflenet": ShuffleNet, "shufflenetv2": ShuffleNetV2}
