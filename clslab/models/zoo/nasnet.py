"""NASNet-A: two cells that a search found, repeated.

==============  ====================  ==========================  ==========  =====
name            paper                 cells                       parameters   MMAC
==============  ====================  ==========================  ==========  =====
nasnet          arXiv:1707.07012      3 x 6 normal, 2 reduction    3,397,444    526
  width = 8                                                          284,380     45
==============  ====================  ==========================  ==========  =====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels.

This is the paper's "NASNet-A (6 @ 768)", which was made for CIFAR: nothing had to be adapted. What is left out: the
auxiliary head, and the schedule of ScheduledDropPath (`drop_path` grows over the depth of the network as there, but not
over the training).

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from clslab.models.zoo.layers import average_pool, convolution, max_pool, separable

PAPER_WIDTH = 32
STEM_MULTIPLE = 3


def _separable_twice(channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """ReLU, separable convolution and batch norm, twice: the search's "sep"."""
    return nn.Sequential(
        nn.ReLU(),
        separable(channels, channels, kernel, stride=stride),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        separable(channels, channels, kernel),
        nn.BatchNorm2d(channels),
    )


def _average_half() -> nn.AvgPool2d:
    return nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)


class _HalveAndFit(nn.Module):
    """Half the side: every second pixel, and beside it every second one of those between, each by 1 by 1."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(in_channels, channels // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(in_channels, channels - channels // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, maps: Tensor) -> Tensor:
        active = maps.relu()
        between = F.pad(active, (0, 1, 0, 1))[:, :, 1:, 1:]
        return self.norm(torch.cat([self.even(active), self.odd(between)], dim=1))


def _fit(in_channels: int, channels: int) -> nn.Sequential:
    """ReLU, 1 by 1 and batch norm: to the channels of the cell."""
    return nn.Sequential(nn.ReLU(), convolution(in_channels, channels, 1, activation=None))


class _Cell(nn.Module):
    """What both cells share: they see the last two maps, `now` and `before`, each brought to the cell's channels."""

    def __init__(self, before: int, now: int, channels: int, *, halve_before: bool, drop_path: float) -> None:
        super().__init__()
        self.fit_before = _HalveAndFit(before, channels) if halve_before else _fit(before, channels)
        self.fit_now = _fit(now, channels)
        self.drop = StochasticDepth(drop_path, mode="row")


class NormalCell(_Cell):
    """Five sums of two; all five and the maps before are put side by side.

    Args:
        before: channels of the maps before the last.
        now: channels of the last maps.
        channels: F, channels inside the cell.
        halve_before: whether the maps before the last have twice the side of the last.
        drop_path: share of pictures for which an operation is dropped in training; what is kept is scaled up.

    Shapes: maps `[B, before, H, W]` and `[B, now, H, W]` to `[B, 6 F, H, W]`.

    Source: arXiv:1707.07012, figure 4. Taught in chapter 11.
    """

    def __init__(self, before: int, now: int, channels: int, *, halve_before: bool, drop_path: float = 0.0) -> None:
        super().__init__(before, now, channels, halve_before=halve_before, drop_path=drop_path)
        self.now_5 = _separable_twice(channels, 5)
        self.before_3 = _separable_twice(channels, 3)
        self.before_5 = _separable_twice(channels, 5)
        self.before_3_again = _separable_twice(channels, 3)
        self.now_3 = _separable_twice(channels, 3)
        self.average = average_pool()
        self.out_channels = 6 * channels

    def forward(self, before: Tensor, now: Tensor) -> Tensor:
        """The two last maps to the next."""
        before, now, drop = self.fit_before(before), self.fit_now(now), self.drop
        averaged = self.average(before)
        sums = [
            drop(self.now_5(now)) + drop(self.before_3(before)),
            drop(self.before_5(before)) + drop(self.before_3_again(before)),
            drop(self.average(now)) + before,
            drop(averaged) + drop(averaged),  # the search did find this one: each side is dropped on its own
            drop(self.now_3(now)) + now,
        ]
        return torch.cat([before, *sums], dim=1)


class ReductionCell(_Cell):
    """Five sums of two at half the side; the four that no other one uses are put side by side.

    Args:
        before: channels of the maps before the last.
        now: channels of the last maps.
        channels: F, channels inside the cell.
        drop_path: share of pictures for which an operation is dropped in training; what is kept is scaled up.

    Shapes: maps `[B, before, H, W]` and `[B, now, H, W]` to `[B, 4 F, H / 2, W / 2]`.

    Source: arXiv:1707.07012, figure 4. Taught in chapter 11.
    """

    def __init__(self, before: int, now: int, channels: int, *, halve_before: bool, drop_path: float = 0.0) -> None:
        super().__init__(before, now, channels, halve_before=halve_before, drop_path=drop_path)
        self.now_5 = _separable_twice(channels, 5, stride=2)
        self.before_7 = _separable_twice(channels, 7, stride=2)
        self.before_7_again = _separable_twice(channels, 7, stride=2)
        self.before_5 = _separable_twice(channels, 5, stride=2)
        self.first_3 = _separable_twice(channels, 3)
        self.average, self.average_half, self.largest_half = average_pool(), _average_half(), max_pool()
        self.out_channels = 4 * channels

    def forward(self, before: Tensor, now: Tensor) -> Tensor:
        """The two last maps to the next."""
        before, now, drop = self.fit_before(before), self.fit_now(now), self.drop
        first = drop(self.now_5(now)) + drop(self.before_7(before))
        second = drop(self.largest_half(now)) + drop(self.before_7_again(before))
        third = drop(self.average_half(now)) + drop(self.before_5(before))
        fourth = drop(self.average(first)) + second
        fifth = drop(self.first_3(first)) + drop(self.largest_half(now))
        return torch.cat([second, third, fourth, fifth], dim=1)


class NASNet(nn.Module):
    """Three stages of normal cells with a reduction cell between them, ReLU, an average and a linear layer.

    Args:
        num_classes: C.
        in_channels: channels of the pictures.
        width: channels inside the first normal cells; the first convolution has three times, a normal cell gives six
            times as many. Each reduction doubles them.
        repeats: number of normal cells of each stage.
        drop_path: share of pictures for which an operation of the last cell is dropped in training; it grows in equal
            steps from cell to cell. The paper's recipe for CIFAR reaches 0.4 at the end of 600 epochs.

    Shapes: pictures `[B, in_channels, H, W]`, sides of at least 8, to logits `[B, C]`.

    Raises:
        ValueError: if `repeats` is below 1.

    Source: arXiv:1707.07012. Taught in chapter 11.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        width: int = PAPER_WIDTH,
        repeats: int = 6,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if repeats < 1:
            raise ValueError(f"repeats is {repeats}; give at least 1 normal cell for each stage")
        self.stem = convolution(in_channels, STEM_MULTIPLE * width, activation=None)
        kinds = [NormalCell] * repeats + ([ReductionCell] + [NormalCell] * repeats) * 2
        cells: list[NormalCell | ReductionCell] = []
        before = now = STEM_MULTIPLE * width
        for number, kind in enumerate(kinds):
            width *= 2 if kind is ReductionCell else 1
            after_reduction = number > 0 and kinds[number - 1] is ReductionCell
            share = drop_path * (number + 1) / len(kinds)
            cells.append(kind(before, now, width, halve_before=after_reduction, drop_path=share))
            before, now = now, cells[-1].out_channels
        self.cells = nn.ModuleList(cells)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(now, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        before = now = self.stem(pictures)
        for cell in self.cells:
            before, now = now, cell(before, now)
        return self.head(self.pool(now.relu()).flatten(1))


BUILDERS: dict[str, Callable[..., nn.Module]] = {"nasnet": NASNet}
