"""DenseNet: a layer reads what all layers before it have written, and adds a few channels of its own.

===========  ================  =============  ======  ==========  =====
name         paper             layers         growth  parameters   MMAC
===========  ================  =============  ======  ==========  =====
densenet121  arXiv:1608.06993  6, 12, 24, 16  32       7,048,548    888
densenet161  arXiv:1608.06993  6, 12, 36, 24  48      26,681,188  2,468
densenet169  arXiv:1608.06993  6, 12, 32, 32  32      12,643,172  1,060
densenet201  arXiv:1608.06993  6, 12, 48, 32  32      18,277,220  1,364
===========  ================  =============  ======  ==========  =====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels. All are the paper's
"DenseNet-BC": with a bottleneck in each layer, and half of the channels dropped between the blocks.

What was adapted for small pictures: the stem is one bare convolution of 3 by 3 at full size, as in the paper's own
networks for CIFAR; those for larger pictures start with one of 7 by 7 with stride 2 and a pool.

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

BOTTLENECK = 4
COMPRESSION = 0.5


class DenseLayer(nn.Module):
    """Batch norm, ReLU and convolution twice, first of 1 by 1 and then of 3 by 3; its input stays beside its output.

    Args:
        in_channels: channels of all layers before it.
        growth: channels that it adds.
        dropout: probability that one of its numbers is dropped.

    Source: arXiv:1608.06993. Taught in chapter 11.
    """

    def __init__(self, in_channels: int, growth: int, dropout: float) -> None:
        super().__init__()
        inner = BOTTLENECK * growth
        self.layers = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, growth, 3, padding=1, bias=False),
            nn.Dropout(dropout),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[B, in_channels, H, W]` to `[B, in_channels + growth, H, W]`."""
        return torch.cat([maps, self.layers(maps)], dim=1)


class Transition(nn.Sequential):
    """Between two blocks: half of the channels, half of the side.

    Source: arXiv:1608.06993. Taught in chapter 11.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.AvgPool2d(2),
        )


class DenseNet(nn.Module):
    """A convolution, four blocks of layers with transitions between them, an average and a linear layer.

    Args:
        depths: number of layers of each block.
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels after the first convolution, twice the growth rate; so it is even.
        dropout: probability that a number is dropped after a layer's last convolution; the paper gives 0.2 where it
            trains without augmentation.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Raises:
        ValueError: if `width` is odd.

    Source: arXiv:1608.06993. Taught in chapter 11.
    """

    def __init__(
        self,
        depths: tuple[int, ...],
        num_classes: int,
        *,
        in_channels: int = 3,
        width: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        growth, odd = divmod(width, 2)
        if odd:
            raise ValueError(f"width is {width}; give an even number, twice the growth rate")
        channels = width
        parts: list[nn.Module] = [nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)]
        for number, depth in enumerate(depths):
            if number:
                parts.append(Transition(channels, int(channels * COMPRESSION)))
                channels = int(channels * COMPRESSION)
            parts.append(nn.Sequential(*(DenseLayer(channels + i * growth, growth, dropout) for i in range(depth))))
            channels += depth * growth
        self.blocks = nn.Sequential(*parts)
        self.last = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        return self.head(self.pool(self.last(self.blocks(pictures))).flatten(1))


def _densenet(depths: tuple[int, ...], growth: int) -> Callable[..., nn.Module]:
    def build(num_classes: int, *, in_channels: int = 3, width: int = 2 * growth, dropout: float = 0.0) -> nn.Module:
        return DenseNet(depths, num_classes, in_channels=in_channels, width=width, dropout=dropout)

    return build


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "densenet121": _densenet((6, 12, 24, 16), 32),
    "densenet161": _densenet((6, 12, 36, 24), 48),
    "densenet169": _densenet((6, 12, 32, 32), 32),
    "densenet201": _densenet((6, 12, 48, 32), 32),
}
