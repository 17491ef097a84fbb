"""Squeeze-and-excitation networks: a block looks at the whole map before it decides which channels count.

==========  ================  ======================  ==========  =====
name        paper             residual blocks         parameters   MMAC
==========  ================  ======================  ==========  =====
seresnet18  arXiv:1709.01507  2, 2, 2, 2 basic        11,309,212    556
seresnet50  arXiv:1709.01507  3, 4, 6, 3 bottlenecks  26,236,244  1,301
==========  ================  ======================  ==========  =====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels.

What was adapted for small pictures: the stem is one convolution of 3 by 3 at full size, as in
`clslab.models.zoo.resnet`.

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from clslab.models.zoo.resnet import BasicBlock, Bottleneck, ResNet

PAPER_WIDTH = 64
REDUCTION = 16


class SqueezeExcitation(nn.Module):
    """Multiplies each channel by a number from 0 to 1 that is computed from the averages of all channels.

    Squeeze: the average of each channel over the picture. Excitation: two linear layers, the first with a sixteenth of
    the channels, and a sigmoid.

    Args:
        channels: of the maps.

    Source: arXiv:1709.01507. Taught in chapter 11.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // REDUCTION)
        self.weigh = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[B, channels, H, W]` to maps of the same shape."""
        weights = self.weigh(maps.mean(dim=(2, 3)))
        return maps * weights[:, :, None, None]


class SEBasicBlock(BasicBlock):
    """The basic block of ResNet, its residual weighed channel by channel before it is added.

    Source: arXiv:1709.01507. Taught in chapter 11.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__(in_channels, channels, stride)
        self.residual.append(SqueezeExcitation(channels * self.expansion))


class SEBottleneck(Bottleneck):
    """The bottleneck of ResNet, its residual weighed channel by channel before it is added.

    Source: arXiv:1709.01507. Taught in chapter 11.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__(in_channels, channels, stride)
        self.residual.append(SqueezeExcitation(channels * self.expansion))


def _seresnet(block: type[SEBasicBlock] | type[SEBottleneck], *depths: int) -> Callable[..., nn.Module]:
    def build(num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH) -> nn.Module:
        return ResNet(block, depths, num_classes, in_channels=in_channels, width=width)

    return build


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "seresnet18": _seresnet(SEBasicBlock, 2, 2, 2, 2),
    "seresnet50": _seresnet(SEBottleneck, 3, 4, 6, 3),
}
