"""SqueezeNet: most convolutions are of 1 by 1, and few channels reach those of 3 by 3.

==========  ================  ==========  ====
name        paper             parameters  MMAC
==========  ================  ==========  ====
squeezenet  arXiv:1602.07360     778,180    53
==========  ================  ==========  ====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels.

What was adapted for small pictures: the first convolution is of 3 by 3 with stride 1 (7 by 7 with stride 2 in the
paper), and the pools are of 2 by 2. Batch norm follows each convolution but the last: the paper does without. No ReLU
cuts the logits off; in the paper's published network one does.

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

PAPER_WIDTH = 96


class Fire(nn.Module):
    """A squeeze to few channels by 1 by 1, and an expansion by 1 by 1 and 3 by 3 side by side.

    Args:
        in_channels: channels of the input.
        squeeze: channels in between.
        expand: channels of each of the two outputs.

    Source: arXiv:1602.07360. Taught in chapter 11.
    """

    def __init__(self, in_channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = _layer(in_channels, squeeze, kernel=1)
        self.small = _layer(squeeze, expand, kernel=1)
        self.large = _layer(squeeze, expand, kernel=3)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[B, in_channels, H, W]` to `[B, 2 * expand, H, W]`."""
        few = self.squeeze(maps)
        return torch.cat([self.small(few), self.large(few)], dim=1)


def _layer(in_channels: int, out_channels: int, *, kernel: int) -> nn.Sequential:
    # No bias: the batch norm that follows has its own shift.
    convolution = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class SqueezeNet(nn.Module):
    """A convolution, eight fire modules with three pools between them, and a convolution of 1 by 1 for the classes.

    There is no linear layer: the last convolution gives each place its logits, and they are averaged.

    Args:
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels after the first convolution; the others change in the same proportion.
        dropout: probability that a number is dropped before the last convolution.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Source: arXiv:1602.07360, without its optional shortcuts. Taught in chapter 11.
    """

    def __init__(
        self, num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH, dropout: float = 0.5
    ) -> None:
        super().__init__()
        channels = width
        parts: list[nn.Module] = [_layer(in_channels, channels, kernel=3), nn.MaxPool2d(2)]
        for number, squeeze in enumerate((16, 16, 32, 32, 48, 48, 64, 64), start=2):
            few = max(1, round(squeeze * width / PAPER_WIDTH))
            parts.append(Fire(channels, few, 4 * few))
            channels = 8 * few
            if number in (4, 8):  # fire2 to fire9 are the paper's names
                parts.append(nn.MaxPool2d(2))
        self.blocks = nn.Sequential(*parts)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Conv2d(channels, num_classes, 1))
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        return self.pool(self.head(self.blocks(pictures))).flatten(1)


BUILDERS: dict[str, Callable[..., nn.Module]] = {"squeezenet": SqueezeNet}
