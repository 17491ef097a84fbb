"""VGG: nothing but small convolutions, one after the other, and a pool where the map is halved.

=====  ===============  ==========================  ==========  ====
name   paper            convolutions before a pool  parameters  MMAC
=====  ===============  ==========================  ==========  ====
vgg11  arXiv:1409.1556  1, 1, 2, 2, 2               28,515,492   172
vgg13  arXiv:1409.1556  2, 2, 2, 2, 2               28,700,196   248
vgg16  arXiv:1409.1556  2, 2, 3, 3, 3               34,011,172   332
vgg19  arXiv:1409.1556  2, 2, 4, 4, 4               39,322,148   417
=====  ===============  ==========================  ==========  ====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels.

What was adapted for small pictures: five pools leave one place of 32 by 32 pixels, not 7 by 7 of 224 by 224, so that
the first of the three linear layers reads 512 numbers instead of 25,088; of larger pictures it reads the average. Batch
norm follows each convolution: the paper is older, and trained its deeper networks by starting from shallower ones.

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

PAPER_WIDTH = 64
SMALLEST_SIDE = 32
"""Pixels: each of the five pools halves the side."""


class VGG(nn.Module):
    """Five stages of convolutions of 3 by 3, each ended by a pool, and three linear layers.

    Two convolutions of 3 by 3 see as much of the picture as one of 5 by 5, with fewer parameters and one more ReLU.

    Args:
        depths: number of convolutions of each stage.
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels of the first stage; the last two have eight times as many, the linear layers 64 times.
        dropout: probability that a number is dropped before the second and the third linear layer.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 32, to logits `[B, C]`.

    Source: arXiv:1409.1556. Taught in chapter 11.
    """

    def __init__(
        self,
        depths: tuple[int, ...],
        num_classes: int,
        *,
        in_channels: int = 3,
        width: int = PAPER_WIDTH,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        stages, channels = [], in_channels
        for number, depth in enumerate(depths):
            wide = width * min(2**number, 8)
            layers: list[nn.Module] = []
            for _ in range(depth):
                layers += _layer(channels, wide)
                channels = wide
            stages.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        hidden = 64 * width
        self.head = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        return self.head(self.pool(self.stages(pictures)).flatten(1))


def _layer(in_channels: int, out_channels: int) -> list[nn.Module]:
    # No bias: the batch norm that follows has its own shift.
    return [
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


def _vgg(*depths: int) -> Callable[..., nn.Module]:
    def build(num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH, dropout: float = 0.5) -> nn.Module:
        return VGG(depths, num_classes, in_channels=in_channels, width=width, dropout=dropout)

    return build


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "vgg11": _vgg(1, 1, 2, 2, 2),
    "vgg13": _vgg(2, 2, 2, 2, 2),
    "vgg16": _vgg(2, 2, 3, 3, 3),
    "vgg19": _vgg(2, 2, 4, 4, 4),
}
