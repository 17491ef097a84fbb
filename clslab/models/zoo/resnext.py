"""ResNeXt: the residual block's middle convolution works in many separate groups.

==========  ================  ===========  ==========  =====
name        paper             blocks       parameters   MMAC
==========  ================  ===========  ==========  =====
resnext50   arXiv:1611.05431  3, 4, 6, 3   23,177,124  1,344
resnext101  arXiv:1611.05431  3, 4, 23, 3  42,325,924  2,565
==========  ================  ===========  ==========  =====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels. Both are the paper's
"32x4d": 32 groups of 4 channels in the first stage. A narrower one has 32 groups too, so its width is a multiple of 16.

What was adapted for small pictures: the stem is one convolution of 3 by 3 at full size, as in
`clslab.models.zoo.resnet`, instead of the paper's convolution of 7 by 7 with stride 2 and its pool.

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from clslab.models.zoo.resnet import ResNet

PAPER_WIDTH = 64
CARDINALITY = 32


class ResNeXtBlock(nn.Module):
    """The bottleneck of ResNet with twice the channels in the middle, where every group reads its own channels only.

    Of the three convolutions only that of 3 by 3 is grouped; those of 1 by 1 mix the groups. With 32 groups it has a
    thirty-second of the parameters, which pays for its width.

    Raises:
        ValueError: if the channels in the middle do not make 32 groups.

    Source: arXiv:1611.05431, the form (c) of its figure 3. Taught in chapter 11.
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        inner, out_channels = 2 * channels, self.expansion * channels
        if inner % CARDINALITY:
            raise ValueError(f"width is {channels}; give a multiple of {CARDINALITY // 2}, for {CARDINALITY} groups")
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, inner, 3, stride=stride, padding=1, groups=CARDINALITY, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            projection = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(out_channels))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[B, in_channels, H, W]` to `[B, 4 * channels, H / stride, W / stride]`."""
        return self.relu(self.shortcut(maps) + self.residual(maps))


def _resnext(*depths: int) -> Callable[..., nn.Module]:
    def build(num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH) -> nn.Module:
        return ResNet(ResNeXtBlock, depths, num_classes, in_channels=in_channels, width=width)

    return build


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "resnext50": _resnext(3, 4, 6, 3),
    "resnext101": _resnext(3, 4, 23, 3),
}
