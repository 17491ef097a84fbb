"""GoogLeNet: kernels of several sizes side by side, each behind a convolution of 1 by 1 that makes it affordable.

==============  ====================  ==========================  ==========  =====
name            paper                 Inception blocks            parameters   MMAC
==============  ====================  ==========================  ==========  =====
googlenet       arXiv:1409.4842       2, 5, 2                      6,075,652    480
  width = 16                                                         402,076     30
==============  ====================  ==========================  ==========  =====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels.

What was adapted for small pictures: of the paper's five halvings the first two are left out, that is, the stem's
convolution is one of 3 by 3 at full size instead of 7 by 7 with stride 2, and no pool follows it. What else differs:
each convolution has a batch norm, as in the authors' next paper (arXiv:1502.03167), in place of the local response
normalisation of the first; with it the two auxiliary heads, which were to bring gradients into the middle, can be left
out.

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from clslab.models.zoo.layers import Branch, Parallel, convolution, max_pool, scaled

PAPER_WIDTH = 64

STAGES: tuple[tuple[tuple[int, ...], ...], ...] = (
    # 1 x 1; 3 x 3, behind; 5 x 5, behind; after the pool
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
"""The paper's table 1: of each Inception block the channels of its six convolutions."""


def inception(in_channels: int, channels: tuple[int, ...], factor: float = 1.0) -> Parallel:
    """Four ways at once: 1 by 1, 3 by 3, 5 by 5, and a pool. The next block chooses.

    A convolution of 1 by 1 first reduces what the large kernels have to read.

    Args:
        in_channels: channels that come in.
        channels: of 1 by 1; the reduction for 3 by 3, and 3 by 3; the reduction for 5 by 5, and 5 by 5; after the pool.
        factor: what they are multiplied by.

    Source: arXiv:1409.4842, figure 2b. Taught in chapter 11.
    """
    one, reduced_three, three, reduced_five, five, pooled = channels
    return Parallel(
        Branch(in_channels, (one, 1), factor=factor),
        Branch(in_channels, (reduced_three, 1), (three, 3), factor=factor),
        Branch(in_channels, (reduced_five, 1), (five, 5), factor=factor),
        Branch(in_channels, (pooled, 1), factor=factor, pool=nn.MaxPool2d(3, stride=1, padding=1)),
    )


class GoogLeNet(nn.Module):
    """A stem, three stages of Inception blocks with a pool between them, an average and a linear layer.

    Args:
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels of the first convolution; all others keep the paper's proportion to it.
        dropout: share of the features that is dropped before the linear layer in training.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Source: arXiv:1409.4842. Taught in chapter 11.
    """

    def __init__(
        self, num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH, dropout: float = 0.4
    ) -> None:
        super().__init__()
        factor = width / PAPER_WIDTH
        channels = scaled(192, factor)
        self.stem = nn.Sequential(
            convolution(in_channels, width), convolution(width, width, 1), convolution(width, channels)
        )
        stages = []
        for blocks in STAGES:
            stage: list[nn.Module] = [max_pool()]
            for sizes in blocks:
                block = inception(channels, sizes, factor)
                stage.append(block)
                channels = block.out_channels
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        return self.head(self.dropout(self.pool(self.stages(self.stem(pictures))).flatten(1)))


BUILDERS: dict[str, Callable[..., nn.Module]] = {"googlenet": GoogLeNet}
