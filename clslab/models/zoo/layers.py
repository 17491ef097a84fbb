"""What several families are built of: a convolution with its batch norm, and branches side by side.

Taught in chapter 11.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

Kernel = int | tuple[int, int]

Layer = tuple[int, Kernel] | tuple[int, Kernel, int]
"""A convolution in a branch: channels, kernel and, where it is not 1, stride."""


def scaled(channels: int, factor: float, *, multiple: int = 1) -> int:
    """The paper's `channels` times `factor`, rounded to a multiple of `multiple`, which is also the least.

    >>> scaled(48, 0.25), scaled(48, 0.001), scaled(240, 0.25, multiple=12)
    (12, 1, 60)
    """
    return max(1, round(channels * factor / multiple)) * multiple


def convolution(
    in_channels: int,
    out_channels: int,
    kernel: Kernel = 3,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """A convolution, a batch norm and an activation.

    It is padded so that a stride of 1 keeps the side of the maps and a stride of 2 halves it, rounded up.

    Args:
        in_channels: channels that come in.
        out_channels: channels that go out.
        kernel: side of the kernel, or height and width; odd.
        stride: 1 or 2.
        groups: parts of the channels that do not see each other; `in_channels` makes it depthwise.
        activation: class of the activation, or None to end in the batch norm.
    """
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    # No bias: the batch norm that follows has its own shift.
    parts: list[nn.Module] = [
        nn.Conv2d(
            in_channels,
            out_channels,
            (height, width),
            stride=stride,
            padding=(height // 2, width // 2),
            groups=groups,
            bias=False,
        ),
        nn.BatchNorm2d(out_channels),
    ]
    if activation is not None:
        parts.append(activation(inplace=True))
    return nn.Sequential(*parts)


def separable(in_channels: int, out_channels: int, kernel: int = 3, *, stride: int = 1) -> nn.Sequential:
    """A depthwise separable convolution: one kernel for each channel, then 1 by 1 across the channels.

    Nothing stands between the two, neither batch norm nor activation.

    Source: arXiv:1610.02357. Taught in chapter 11.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, kernel, stride, kernel // 2, groups=in_channels, bias=False),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
    )


class Branch(nn.Sequential):
    """Convolutions in a row, perhaps after a pool: one of the ways through an Inception block.

    Args:
        in_channels: channels that come in.
        layers: the convolutions, with the channels of the paper.
        factor: what these channels are multiplied by, see `scaled`.
        pool: what comes first.

    Shapes: maps `[B, in_channels, H, W]` to `[B, out_channels, H / stride, W / stride]`.
    """

    out_channels: int

    def __init__(self, in_channels: int, *layers: Layer, factor: float = 1.0, pool: nn.Module | None = None) -> None:
        parts: list[nn.Module] = [] if pool is None else [pool]
        channels = in_channels
        for paper_channels, kernel, *stride in layers:
            wide = scaled(paper_channels, factor)
            parts.append(convolution(channels, wide, kernel, stride=stride[0] if stride else 1))
            channels = wide
        super().__init__(*parts)
        self.out_channels = channels


class Parallel(nn.Module):
    """Branches that all see the same maps; what they give is put together channel by channel.

    Shapes: maps `[B, C, H, W]` to `[B, out_channels, H', W']`, the sum of the branches' channels.
    """

    out_channels: int

    def __init__(self, *branches: Branch | Row) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.out_channels = sum(branch.out_channels for branch in branches)

    def forward(self, maps: Tensor) -> Tensor:
        """The outputs of all branches, side by side."""
        return torch.cat([branch(maps) for branch in self.branches], dim=1)


class Row(nn.Sequential):
    """A branch that forks: the last part is itself of several branches."""

    out_channels: int

    def __init__(self, first: Branch, last: Parallel) -> None:
        super().__init__(first, last)
        self.out_channels = last.out_channels


def max_pool() -> nn.MaxPool2d:
    """The pool that halves the side of the maps: the largest of 3 by 3, every second one."""
    return nn.MaxPool2d(3, stride=2, padding=1)


def average_pool() -> nn.AvgPool2d:
    """The pool inside Inception blocks: the mean of 3 by 3 neighbours, without those outside the picture."""
    return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
