"""Xception: Inception taken to its end, one kernel for each channel, with residual connections.

==============  ====================  ==========================  ==========  =====
name            paper                 blocks                      parameters   MMAC
==============  ====================  ==========================  ==========  =====
xception        arXiv:1610.02357      3 entry, 8 middle, 1 exit   21,011,852  1,360
  width = 8                                                        1,401,014     89
==============  ====================  ==========================  ==========  =====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels.

What was adapted for small pictures: of the paper's five halvings (299 to 10 pixels) the first two are left out, that
is, the first convolution has stride 1 and the first block neither pool nor stride. All convolutions are padded.

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from clslab.models.zoo.layers import convolution, max_pool, scaled, separable

PAPER_WIDTH = 32


class XceptionBlock(nn.Module):
    """Separable convolutions behind ReLU, added to the input.

    Where the shape changes, the input passes a convolution of 1 by 1 and a batch norm, and a pool ends the other way.

    Args:
        channels: that come in, and after each of the convolutions.
        stride: 1 or 2.

    Shapes: maps `[B, channels[0], H, W]` to `[B, channels[-1], H / stride, W / stride]`.

    Source: arXiv:1610.02357, figure 5. Taught in chapter 11.
    """

    def __init__(self, *channels: int, stride: int = 1) -> None:
        super().__init__()
        first, last = channels[0], channels[-1]
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or first != last:
            self.shortcut = convolution(first, last, 1, stride=stride, activation=None)
        parts: list[nn.Module] = []
        for before, after in pairwise(channels):
            # Not in place: the first one would overwrite what the shortcut still needs.
            parts += [nn.ReLU(), separable(before, after), nn.BatchNorm2d(after)]
        if stride == 2:
            parts.append(max_pool())
        self.residual = nn.Sequential(*parts)

    def forward(self, maps: Tensor) -> Tensor:
        """The sum of both ways."""
        return self.shortcut(maps) + self.residual(maps)


class Xception(nn.Module):
    """Entry, middle and exit flow of residual blocks of separable convolutions, an average and a linear layer.

    Args:
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels of the first convolution; all others keep the paper's proportion to it.
        dropout: share of the features that is dropped before the linear layer in training.
        repeats: number of blocks of the middle flow.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Source: arXiv:1610.02357. Taught in chapter 11.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        width: int = PAPER_WIDTH,
        dropout: float = 0.5,
        repeats: int = 8,
    ) -> None:
        super().__init__()
        second, a, b, middle, wide, wider, widest = (
            scaled(channels, width / PAPER_WIDTH) for channels in (64, 128, 256, 728, 1024, 1536, 2048)
        )
        self.entry = nn.Sequential(
            convolution(in_channels, width),
            convolution(width, second),
            XceptionBlock(second, a, a),  # the paper leaves its first ReLU out: one has just been, and two are as one
            XceptionBlock(a, b, b, stride=2),
            XceptionBlock(b, middle, middle, stride=2),
        )
        self.middle = nn.Sequential(*(XceptionBlock(middle, middle, middle, middle) for _ in range(repeats)))
        self.exit = nn.Sequential(
            XceptionBlock(middle, middle, wide, stride=2),
            nn.Sequential(separable(wide, wider), nn.BatchNorm2d(wider), nn.ReLU(inplace=True)),
            nn.Sequential(separable(wider, widest), nn.BatchNorm2d(widest), nn.ReLU(inplace=True)),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widest, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        maps = self.exit(self.middle(self.entry(pictures)))
        return self.head(self.dropout(self.pool(maps).flatten(1)))


BUILDERS: dict[str, Callable[..., nn.Module]] = {"xception": Xception}
