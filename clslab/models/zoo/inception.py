"""Inception v3, v4 and Inception-ResNet v2: large kernels taken apart into small and flat ones.

===================  ====================  ==========================  ==========  =====
name                 paper                 blocks of kinds A, B, C     parameters   MMAC
===================  ====================  ==========================  ==========  =====
inceptionv3          arXiv:1512.00567      3, 4, 2                     21,990,468  1,152
  width = 8                                                             1,419,516     72
inceptionv4          arXiv:1602.07261      4, 7, 3                     41,296,516  2,571
  width = 8                                                             2,621,932    161
inception_resnet_v2  arXiv:1602.07261      10, 20, 10                  54,460,164  2,807
  width = 8                                                             3,452,748    176
===================  ====================  ==========================  ==========  =====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels.

What was adapted for small pictures: of the papers' five halvings (299 to 8 pixels) the first two are left out, so
that the blocks A, B and C see 16 by 16, 8 by 8 and 4 by 4 of 32 by 32 pixels; and every convolution and pool is padded,
where the papers lose the border in the stem and wherever the maps get smaller. The auxiliary head of v3 is left out.

Inception-ResNet v2 follows the network that its authors released: the paper's figures draw 5, 10 and 5 blocks, with
channels that do not add up (1,154 where the branches give 1,152).

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from clslab.models.zoo.layers import (
    Branch,
    Layer,
    Parallel,
    Row,
    average_pool,
    max_pool,
)

PAPER_WIDTH = 32

Block = Callable[[int, float], "Branch | Parallel | Row | ResidualInception"]
"""A block from the channels that come in and the factor on the paper's channels; it has `out_channels`."""


class _Network(nn.Module):
    """Blocks in a row, an average over the picture and a linear layer.

    Args:
        blocks: what makes each block.
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels of the first convolution; all others keep the paper's proportion to it.
        dropout: share of the features that is dropped before the linear layer in training.
    """

    def __init__(self, blocks: list[Block], num_classes: int, in_channels: int, width: int, dropout: float) -> None:
        super().__init__()
        made: list[nn.Module] = []
        channels = in_channels
        for make in blocks:
            block = make(channels, width / PAPER_WIDTH)
            made.append(block)
            channels = block.out_channels
        self.blocks = nn.Sequential(*made)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        return self.head(self.dropout(self.pool(self.blocks(pictures)).flatten(1)))


def _branch(*layers: Layer) -> Block:
    """A block that is one branch."""
    return lambda channels, factor: Branch(channels, *layers, factor=factor)


def _check_repeats(repeats: tuple[int, int, int]) -> None:
    if len(repeats) != 3:
        raise ValueError(f"repeats is {repeats}; give three numbers, for the blocks of kinds A, B and C")
    if min(repeats) < 1:
        raise ValueError(f"repeats is {repeats}; give at least 1 block of each kind")


def _pooled(channels: int, factor: float) -> Branch:
    """A pool that halves the maps and nothing else."""
    return Branch(channels, factor=factor, pool=max_pool())


def _averaged(channels: int, out_channels: int, factor: float) -> Branch:
    return Branch(channels, (out_channels, 1), factor=factor, pool=average_pool())


# ---------------------------------------------------------------- Inception v3


def _v3_a(pooled: int) -> Block:
    """5 by 5, and the same reach as two of 3 by 3 (figure 5)."""
    return lambda channels, factor: Parallel(
        Branch(channels, (64, 1), factor=factor),
        Branch(channels, (48, 1), (64, 5), factor=factor),
        Branch(channels, (64, 1), (96, 3), (96, 3), factor=factor),
        _averaged(channels, pooled, factor),
    )


def _v3_reduction_a(channels: int, factor: float) -> Parallel:
    """Half the side, without a bottleneck: convolutions of stride 2 beside a pool (figure 10)."""
    return Parallel(
        Branch(channels, (384, 3, 2), factor=factor),
        Branch(channels, (64, 1), (96, 3), (96, 3, 2), factor=factor),
        _pooled(channels, factor),
    )


def _v3_b(inner: int) -> Block:
    """7 by 7 as 1 by 7 after 7 by 1: a seventh of the weights twice, for the same reach (figure 6)."""
    return lambda channels, factor: Parallel(
        Branch(channels, (192, 1), factor=factor),
        Branch(channels, (inner, 1), (inner, (1, 7)), (192, (7, 1)), factor=factor),
        Branch(channels, (inner, 1), (inner, (7, 1)), (inner, (1, 7)), (inner, (7, 1)), (192, (1, 7)), factor=factor),
        _averaged(channels, 192, factor),
    )


def _v3_reduction_b(channels: int, factor: float) -> Parallel:
    return Parallel(
        Branch(channels, (192, 1), (320, 3, 2), factor=factor),
        Branch(channels, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2), factor=factor),
        _pooled(channels, factor),
    )


def _forked(first: Branch, *kernels: tuple[int, int], out_channels: int, factor: float) -> Row:
    """A branch whose end is several convolutions side by side."""
    ends = (Branch(first.out_channels, (out_channels, kernel), factor=factor) for kernel in kernels)
    return Row(first, Parallel(*ends))


def _v3_c(channels: int, factor: float) -> Parallel:
    """Wide rather than deep: the flat kernels stand side by side (figure 7)."""
    return Parallel(
        Branch(channels, (320, 1), factor=factor),
        _forked(Branch(channels, (384, 1), factor=factor), (1, 3), (3, 1), out_channels=384, factor=factor),
        _forked(Branch(channels, (448, 1), (384, 3), factor=factor), (1, 3), (3, 1), out_channels=384, factor=factor),
        _averaged(channels, 192, factor),
    )


class InceptionV3(_Network):
    """Blocks of three kinds, one for each side of the maps.

    Args:
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels of the first convolution; all others keep the paper's proportion to it.
        dropout: share of the features that is dropped before the linear layer in training.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Source: arXiv:1512.00567. Taught in chapter 11.
    """

    def __init__(
        self, num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH, dropout: float = 0.2
    ) -> None:
        stem = [_branch((32, 3), (32, 3), (64, 3), (80, 1), (192, 3)), _pooled]
        stage_a = [_v3_a(32), _v3_a(64), _v3_a(64)]
        stage_b = [_v3_reduction_a, _v3_b(128), _v3_b(160), _v3_b(160), _v3_b(192)]
        stage_c = [_v3_reduction_b, _v3_c, _v3_c]
        super().__init__([*stem, *stage_a, *stage_b, *stage_c], num_classes, in_channels, width, dropout)


# ---------------------------------------------------------------- Inception v4


def _v4_stem() -> list[Block]:
    """The stem of figure 3, whose first two halvings are left out."""

    def mixed_first(channels: int, factor: float) -> Parallel:
        keeps_its_side = nn.MaxPool2d(3, stride=1, padding=1)
        return Parallel(Branch(channels, factor=factor, pool=keeps_its_side), Branch(channels, (96, 3), factor=factor))

    def mixed_second(channels: int, factor: float) -> Parallel:
        return Parallel(
            Branch(channels, (64, 1), (96, 3), factor=factor),
            Branch(channels, (64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3), factor=factor),
        )

    def mixed_third(channels: int, factor: float) -> Parallel:
        return Parallel(Branch(channels, (192, 3, 2), factor=factor), _pooled(channels, factor))

    return [_branch((32, 3), (32, 3), (64, 3)), mixed_first, mixed_second, mixed_third]


def _v4_a(channels: int, factor: float) -> Parallel:
    """Figure 4."""
    return Parallel(
        Branch(channels, (96, 1), factor=factor),
        Branch(channels, (64, 1), (96, 3), factor=factor),
        Branch(channels, (64, 1), (96, 3), (96, 3), factor=factor),
        _averaged(channels, 96, factor),
    )


def _reduction_a(first: int, second: int, third: int, beside: int) -> Block:
    """Figure 7, whose four numbers the paper gives for each network in table 1."""
    return lambda channels, factor: Parallel(
        Branch(channels, (beside, 3, 2), factor=factor),
        Branch(channels, (first, 1), (second, 3), (third, 3, 2), factor=factor),
        _pooled(channels, factor),
    )


def _v4_b(channels: int, factor: float) -> Parallel:
    """Figure 5."""
    return Parallel(
        Branch(channels, (384, 1), factor=factor),
        Branch(channels, (192, 1), (224, (1, 7)), (256, (7, 1)), factor=factor),
        Branch(channels, (192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7)), factor=factor),
        _averaged(channels, 128, factor),
    )


def _v4_reduction_b(channels: int, factor: float) -> Parallel:
    """Figure 8."""
    return Parallel(
        Branch(channels, (192, 1), (192, 3, 2), factor=factor),
        Branch(channels, (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2), factor=factor),
        _pooled(channels, factor),
    )


def _v4_c(channels: int, factor: float) -> Parallel:
    """Figure 6."""
    one = Branch(channels, (384, 1), factor=factor)
    three = Branch(channels, (384, 1), (448, (3, 1)), (512, (1, 3)), factor=factor)
    return Parallel(
        Branch(channels, (256, 1), factor=factor),
        _forked(one, (1, 3), (3, 1), out_channels=256, factor=factor),
        _forked(three, (1, 3), (3, 1), out_channels=256, factor=factor),
        _averaged(channels, 256, factor),
    )


class InceptionV4(_Network):
    """A deeper and more regular Inception network, without residual connections.

    Args:
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels of the first convolution; all others keep the paper's proportion to it.
        dropout: share of the features that is dropped before the linear layer in training.
        repeats: number of blocks of kinds A, B and C, each at least 1.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Raises:
        ValueError: if `repeats` is not three numbers of at least 1.

    Source: arXiv:1602.07261. Taught in chapter 11.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        width: int = PAPER_WIDTH,
        dropout: float = 0.2,
        repeats: tuple[int, int, int] = (4, 7, 3),
    ) -> None:
        _check_repeats(repeats)
        stage_a = [_v4_a] * repeats[0]
        stage_b = [_reduction_a(192, 224, 256, 384), *[_v4_b] * repeats[1]]
        stage_c = [_v4_reduction_b, *[_v4_c] * repeats[2]]
        super().__init__([*_v4_stem(), *stage_a, *stage_b, *stage_c], num_classes, in_channels, width, dropout)


# ---------------------------------------------------------------- Inception-ResNet v2


class ResidualInception(nn.Module):
    """An Inception block that learns what to add: `relu(x + scale * conv(branches(x)))`.

    The last convolution is one of 1 by 1 without batch norm and activation; it brings the branches back to the channels
    of the input. Without a small `scale` wide networks of this kind died in training, the authors say.

    Args:
        branches: the ways through the block.
        channels: channels that come in and go out.
        scale: what the branches are multiplied by before the sum.
        activation: whether ReLU follows the sum.

    Source: arXiv:1602.07261, section 3.3. Taught in chapter 11.
    """

    def __init__(self, branches: Parallel, channels: int, scale: float, *, activation: bool = True) -> None:
        super().__init__()
        self.branches = branches
        self.expand = nn.Conv2d(branches.out_channels, channels, 1)
        self.activation = nn.ReLU(inplace=True) if activation else nn.Identity()
        self.scale = scale
        self.out_channels = channels

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[B, channels, H, W]` to the same shape."""
        return self.activation(maps + self.scale * self.expand(self.branches(maps)))


def _before_a(channels: int, factor: float) -> Parallel:
    """One block without a sum, to the channels of stage A."""
    return Parallel(
        Branch(channels, (96, 1), factor=factor),
        Branch(channels, (48, 1), (64, 5), factor=factor),
        Branch(channels, (64, 1), (96, 3), (96, 3), factor=factor),
        _averaged(channels, 64, factor),
    )


def _residual_a(channels: int, factor: float) -> ResidualInception:
    branches = Parallel(
        Branch(channels, (32, 1), factor=factor),
        Branch(channels, (32, 1), (32, 3), factor=factor),
        Branch(channels, (32, 1), (48, 3), (64, 3), factor=factor),
    )
    return ResidualInception(branches, channels, scale=0.17)


def _residual_b(channels: int, factor: float) -> ResidualInception:
    branches = Parallel(
        Branch(channels, (192, 1), factor=factor),
        Branch(channels, (128, 1), (160, (1, 7)), (192, (7, 1)), factor=factor),
    )
    return ResidualInception(branches, channels, scale=0.10)


def _residual_reduction_b(channels: int, factor: float) -> Parallel:
    return Parallel(
        Branch(channels, (256, 1), (384, 3, 2), factor=factor),
        Branch(channels, (256, 1), (288, 3, 2), factor=factor),
        Branch(channels, (256, 1), (288, 3), (320, 3, 2), factor=factor),
        _pooled(channels, factor),
    )


def _residual_c(*, last: bool) -> Block:
    """The very last one is neither scaled nor activated."""

    def make(channels: int, factor: float) -> ResidualInception:
        branches = Parallel(
            Branch(channels, (192, 1), factor=factor),
            Branch(channels, (192, 1), (224, (1, 3)), (256, (3, 1)), factor=factor),
        )
        return ResidualInception(branches, channels, scale=1.0 if last else 0.20, activation=not last)

    return make


class InceptionResNetV2(_Network):
    """Inception blocks whose output is added to their input.

    Args:
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels of the first convolution; all others keep the paper's proportion to it.
        dropout: share of the features that is dropped before the linear layer in training.
        repeats: number of blocks of kinds A, B and C, each at least 1.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Raises:
        ValueError: if `repeats` is not three numbers of at least 1.

    Source: arXiv:1602.07261 and the network that its authors released. Taught in chapter 11.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        width: int = PAPER_WIDTH,
        dropout: float = 0.2,
        repeats: tuple[int, int, int] = (10, 20, 10),
    ) -> None:
        stem = [_branch((32, 3), (32, 3), (64, 3), (80, 1), (192, 3)), _pooled]
        _check_repeats(repeats)
        stage_a: list[Block] = [_before_a, *[_residual_a] * repeats[0]]
        stage_b: list[Block] = [_reduction_a(256, 256, 384, 384), *[_residual_b] * repeats[1]]
        stage_c: list[Block] = [
            _residual_reduction_b,
            *[_residual_c(last=False)] * (repeats[2] - 1),
            _residual_c(last=True),
        ]
        blocks: list[Block] = [*stem, *stage_a, *stage_b, *stage_c, _branch((1536, 1))]
        super().__init__(blocks, num_classes, in_channels, width, dropout)


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "inceptionv3": InceptionV3,
    "inceptionv4": InceptionV4,
    "inception_resnet_v2": InceptionResNetV2,
}
