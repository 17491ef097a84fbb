"""Diagrams: shapes through a convolution, subsets inside subsets, and the reliability diagram."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from numpy.typing import ArrayLike

from clslab.plots.style import (
    GREY,
    INK,
    PALE,
    PALETTE,
    WHITE,
    BookFigure,
    Floats,
    add_footnote,
    add_legend,
    checked_array,
    checked_rates,
    house_style,
    same_length,
)

TINT = "#CCE3F0"  # the first colour of the palette, one fifth of it on white


class Layer(NamedTuple):
    """A convolution or a pooling, in numbers.

    Attributes:
        name: how it is called in the figure.
        kernel: side of the square kernel, in pixels.
        stride: step, in pixels.
        padding: pixels added at each border.
        channels: channels that leave it; None for a pooling, which keeps them.

    Taught in chapter 0.
    """

    name: str
    kernel: int
    stride: int = 1
    padding: int = 0
    channels: int | None = None

    def side(self, side: int) -> int:
        """Side of the output for an input of that side.

        >>> Layer("convolution", kernel=3, stride=2, padding=1, channels=16).side(32)
        16
        """
        return (side + 2 * self.padding - self.kernel) // self.stride + 1


def convolution_shapes(
    input_size: int,
    layers: Sequence[Layer],
    *,
    alt: str,
    in_channels: int = 3,
) -> BookFigure:
    """How the shape of a picture changes from layer to layer, from top to bottom.

    The side of a square is drawn to scale as long as it can be seen, channels are written.
    Parameters are counted with the bias.

    Args:
        input_size: side of the square input, in pixels.
        layers: what it passes through, up to eight.
        alt: what the figure shows.
        in_channels: channels of the input.

    Raises:
        ValueError: for no layer, more than eight, or a layer that leaves no pixel.

    Taught in chapter 0.

    >>> figure = convolution_shapes(32, [Layer("convolution", kernel=3, padding=1, channels=16),
    ...                                  Layer("max-pooling", kernel=2, stride=2)],
    ...                             alt="From 3 × 32 × 32 to 16 × 16 × 16.")
    """
    if not 1 <= len(layers) <= 8:
        raise ValueError(f"{len(layers)} layers: pass 1 to 8, show the rest in a second figure")
    shapes = _shapes(input_size, in_channels, layers)
    largest = max(side for _, side in shapes)
    with house_style():
        figure = BookFigure(alt=alt, height=0.35 + 0.92 * len(shapes))
        ax = figure.add_subplot()
        for y, (channels, side) in enumerate(shapes):
            _stack(ax, y, max(0.4 * side / largest, 0.02), channels)
            ax.text(1.3, y, f"{channels} × {side} × {side}", va="center", fontweight="bold")
            ax.text(3.1, y, f"{channels * side * side:,} numbers", va="center")
        for index, layer in enumerate(layers):
            middle = index + 0.5
            arrow = {"arrowstyle": "-|>", "color": GREY}
            ax.annotate("", (1.17, middle + 0.3), (1.17, middle - 0.3), arrowprops=arrow)
            ax.text(1.3, middle, _described(layer, shapes[index][0]), va="center", color=INK)
        ax.set(xlim=(0, 6.0), ylim=(len(shapes) - 0.45, -0.55), aspect="equal")
        ax.set_axis_off()
        add_footnote(figure, "bold: channels × height × width of one picture")
    return figure


def nested_subsets(
    sizes: Sequence[int],
    *,
    alt: str,
    groups: Sequence[int] | None = None,
    unit: str = "images per class",
    test: str | None = "the same test set for every subset",
) -> BookFigure:
    """Nested subsets: each training set holds all of the one before it.

    Steps are drawn equally wide; the numbers, not the widths, are to scale.

    Args:
        sizes: of the subsets, increasing, 2 to 7 of them.
        alt: what the figure shows.
        groups: number of groups (objects, recordings) in each subset.
        unit: what the sizes count.
        test: a note below.

    Raises:
        ValueError: for sizes that do not increase, or another number of groups than of sizes.

    Taught in chapter 4.

    >>> figure = nested_subsets([10, 20, 50], alt="Three subsets, each inside the next.")
    """
    if not 2 <= len(sizes) <= 7:
        raise ValueError(f"{len(sizes)} sizes {list(sizes)}: pass 2 to 7")
    checked_array(sizes, "sizes")
    if sizes[0] < 1 or any(b <= a for a, b in pairwise(sizes)):
        raise ValueError(f"sizes are {list(sizes)}: each must be larger than the one before")
    if groups is not None:
        same_length({"sizes": len(sizes), "groups": len(groups)})
    with house_style():
        figure = BookFigure(alt=alt, height=1.5 + 0.5 * len(sizes))
        ax = figure.add_subplot()
        steps = [sizes[0], *np.diff(sizes)]
        for row in range(len(sizes)):
            for part in range(row + 1):
                text = f"{steps[part]:,}" if part == 0 else f"+{steps[part]:,}"
                _subset_part(ax, row, part, text)
        names = [f"{size:,}" for size in sizes]
        if groups is not None:
            names = [f"{name} ({g:,} groups)" for name, g in zip(names, groups, strict=True)]
        ax.set_yticks(range(len(sizes)), names)
        ax.set(xticks=[], xlim=(-0.03, len(sizes)), ylim=(len(sizes) - 0.5, -0.5), ylabel=unit)
        ax.set_xlabel("steps are drawn equally wide, whatever their size", fontsize=11)
        ax.grid(visible=False)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        held = Patch(facecolor=PALE, edgecolor=GREY, label="held by the one before")
        add_legend(figure, [Patch(facecolor=PALETTE[0], label="new in this subset"), held])
        add_footnote(figure, test)
    return figure


def reliability(
    confidence: ArrayLike,
    accuracy: ArrayLike,
    counts: ArrayLike,
    *,
    alt: str,
    edges: ArrayLike | None = None,
    ece: float | None = None,
) -> BookFigure:
    """Reliability diagram: accuracy against confidence in bins, the counts below.

    Args:
        confidence: mean confidence of each of M bins, fractions; anything where the count is 0.
        accuracy: accuracy of each bin, [M], or with intervals (value, low, high), [M, 3].
        counts: items in each bin, [M].
        alt: what the figure shows.
        edges: the M + 1 bin edges; equal widths on [0, 1] unless given.
        ece: expected calibration error, a fraction; computed from the bins unless given.

    Raises:
        ValueError: for differing lengths, no item at all, NaN in a bin that has items.

    Source: Guo et al., arXiv:1706.04599. Taught in chapter 12.

    >>> figure = reliability([0.6, 0.9], [0.55, 0.8], [40, 160], edges=[0.5, 0.75, 1.0],
    ...                      alt="Both bins are too confident.")
    """
    n = checked_array(counts, "counts")
    sure, right = np.array(confidence, dtype=float), np.array(accuracy, dtype=float)
    same_length({"counts": n.size, "confidence": len(sure), "accuracy": len(right)})
    if n.min() < 0 or n.sum() == 0:
        raise ValueError(f"counts are {n.tolist()}: pass at least one item, none negative")
    full = n > 0
    checked_rates(checked_array(sure[full], "confidence"), "confidence")
    shown = checked_array(right[full], "accuracy", ndim=right.ndim)
    checked_rates(shown, "accuracy")
    values = shown if shown.ndim == 1 else shown[:, 0]
    borders = np.linspace(0, 1, n.size + 1) if edges is None else checked_array(edges, "edges")
    same_length({"edges less one": borders.size - 1, "bins": n.size})
    if ece is None:
        ece = float((n[full] * np.abs(values - sure[full])).sum() / n.sum())
    with house_style():
        figure = BookFigure(alt=alt, height=5.6)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
        left, width = 100 * borders[:-1], 100 * np.diff(borders)
        _reliability_bars(top, left[full], width[full], 100 * shown, 100 * sure[full])
        bottom.bar(left, n, width, align="edge", color=GREY, edgecolor=WHITE)
        top.set(ylabel="accuracy (%)", ylim=(0, 102))
        bottom.set(xlabel="confidence (%)", ylabel="items", xlim=(left[0], 100 * borders[-1]))
        bottom.locator_params(axis="y", nbins=3)
        handles = [
            top.lines[0],
            Patch(facecolor=PALETTE[0], edgecolor=WHITE, label="accuracy"),
            Patch(facecolor="none", hatch="///", edgecolor=PALETTE[1], label="gap"),
        ]
        add_legend(figure, handles)
        whiskers = "; whiskers: 95 % interval" if shown.ndim == 2 else ""
        add_footnote(figure, f"ECE {100 * ece:.1f} points; n = {n.sum():,.0f} in {n.size} bins{whiskers}")
    return figure


# ---------------------------------------------------------------------------- pieces


def _reliability_bars(ax: Axes, left: Floats, width: Floats, shown: Floats, sure: Floats) -> None:
    values = shown if shown.ndim == 1 else shown[:, 0]
    ax.plot([0, 100], [0, 100], color=INK, linestyle="--", linewidth=1.2, label="calibrated")
    ax.bar(left, values, width, align="edge", color=PALETTE[0], edgecolor=WHITE)
    ax.bar(
        left,
        sure - values,
        width,
        bottom=values,
        align="edge",
        facecolor="none",
        edgecolor=PALETTE[1],
        hatch="///",
        linewidth=1.0,
    )
    if shown.ndim == 2:
        ax.vlines(left + width / 2, shown[:, 1], shown[:, 2], color=INK, linewidth=1.4)


def _subset_part(ax: Axes, row: int, part: int, text: str) -> None:
    """What a subset took in at one step: filled and bold where it is new, pale where it was there before."""
    new = part == row
    face, edge = (PALETTE[0], WHITE) if new else (PALE, GREY)
    ax.add_patch(Rectangle((part, row - 0.36), 0.97, 0.72, facecolor=face, edgecolor=edge, linewidth=1.0))
    ink, weight = (WHITE, "bold") if new else (INK, "normal")
    ax.text(part + 0.485, row, text, ha="center", va="center", color=ink, fontweight=weight)


def _stack(ax: Axes, y: float, half: float, channels: int) -> None:
    """A square of that half side; three of them behind one another where there are many channels."""
    shift = min(0.04, half / 2)
    for aside in (2 * shift, shift, 0.0) if channels > 3 else (0.0,):
        corner = (0.5 - half + aside, y - half - aside)
        face = WHITE if aside else TINT
        ax.add_patch(Rectangle(corner, 2 * half, 2 * half, facecolor=face, edgecolor=PALETTE[0], linewidth=1.6))


def _shapes(side: int, channels: int, layers: Sequence[Layer]) -> list[tuple[int, int]]:
    if not isinstance(side, int | np.integer) or side < 1 or channels < 1:
        raise ValueError(f"the input is {channels} × {side} × {side}: pass whole numbers, at least 1")
    shapes = [(channels, side)]
    for layer in layers:
        if layer.kernel < 1 or layer.stride < 1 or layer.padding < 0:
            raise ValueError(f"{layer}: kernel and stride are at least 1, padding at least 0")
        side = layer.side(side)
        if side < 1:
            raise ValueError(
                f"{layer.name!r} with kernel {layer.kernel} leaves a side of {side}: "
                f"its input is {shapes[-1][1]} pixels wide; pad it or leave the layer out"
            )
        channels = channels if layer.channels is None else layer.channels
        shapes.append((channels, side))
    return shapes


def _described(layer: Layer, in_channels: int) -> str:
    numbers = f"{layer.kernel}×{layer.kernel}, stride {layer.stride}, padding {layer.padding}"
    if layer.channels is None:
        return f"{layer.name} {numbers}: no parameters"
    weights = layer.channels * (in_channels * layer.kernel**2 + 1)
    return f"{layer.name} {numbers}: {weights:,} parameters"
