"""A confusion matrix of many classes, in blocks of classes that belong together."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from numpy.typing import ArrayLike

from clslab.plots.style import (
    BASE,
    GREY,
    RULE,
    SEQUENTIAL,
    SMALL,
    BookFigure,
    Floats,
    add_footnote,
    checked_array,
    house_style,
    percent,
    short_name,
)

MOST_GROUPS = 24
_TICKS = (0, 1, 5, 20, 50, 100)  # per cent, on the colour bar


def confusion_blocks(
    matrix: ArrayLike, groups: Mapping[str, Sequence[int]], *, alt: str, item: str = "pictures"
) -> BookFigure:
    """Confusion matrix of up to some hundreds of classes, the classes of a group side by side.

    Rows are true classes, columns predicted ones; a cell's shade is its share of the row, on a scale that shows small
    shares (square root). A mistake inside its group lies in a block on the diagonal. The note says how many do.

    Args:
        matrix: counts, [C, C], whole numbers.
        groups: name of each group -> its classes; every class in one group. At most 24 groups.
        alt: what the figure shows.
        item: what is counted.

    Raises:
        ValueError: for a matrix that is not [C, C] or holds no counts, a class in no group or in two, too many groups.

    Taught in chapter 12.

    >>> figure = confusion_blocks([[8, 2, 0], [1, 9, 0], [1, 0, 9]], {"fish": [0, 1], "trees": [2]},
    ...                           alt="Three of four mistakes stay among the fish.")
    """
    order = [number for members in groups.values() for number in members]
    counts = _checked(matrix, order, len(groups))[np.ix_(order, order)]
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    borders = np.cumsum([0, *(len(members) for members in groups.values())])
    with house_style():
        figure = BookFigure(alt=alt, height=5.6, layout_passes=2)
        ax = figure.add_subplot()
        picture = ax.imshow(100 * shares, cmap=SEQUENTIAL, norm=PowerNorm(0.5, 0, 100), aspect="auto")
        _blocks(ax, borders, [short_name(name) for name in groups])
        bar = figure.colorbar(picture, ax=ax, pad=0.02, fraction=0.05, aspect=40, ticks=_TICKS)
        bar.set_label("share of the row (%)", size=BASE)
        bar.outline.set_visible(False)
        add_footnote(figure, _told(counts, borders, item))
    return figure


def _checked(matrix: ArrayLike, order: Sequence[int], groups: int) -> Floats:
    counts = checked_array(matrix, "matrix", ndim=2)
    if counts.shape[0] != counts.shape[1] or (counts < 0).any() or (counts != np.round(counts)).any():
        raise ValueError(f"matrix has shape {counts.shape}; pass counts [C, C], not shares")
    if sorted(order) != list(range(len(counts))):
        raise ValueError(f"the groups name {len(order)} classes, the matrix has {len(counts)}; name each class once")
    if groups > MOST_GROUPS:
        raise ValueError(f"{groups} groups: at most {MOST_GROUPS} names can be read; take a coarser level")
    return counts


def _blocks(ax: Axes, borders: np.ndarray, names: Sequence[str]) -> None:
    """Lines between the groups, and their names in the middle of each."""
    middles = (borders[:-1] + borders[1:] - 1) / 2
    for border in borders[1:-1]:
        ax.axhline(border - 0.5, color=RULE, linewidth=0.6)
        ax.axvline(border - 0.5, color=RULE, linewidth=0.6)
    for low, high in itertools.pairwise(borders):
        corners = np.array([low, high, high, low, low]) - 0.5, np.array([low, low, high, high, low]) - 0.5
        ax.plot(*corners, color=GREY, linewidth=1.0)
    # Twenty names side by side would run into one another: a letter stands for each.
    letters = [chr(ord("a") + number) for number in range(len(names))]
    ax.set_yticks(middles, [f"{name}  {letter}" for name, letter in zip(names, letters, strict=True)])
    ax.set_xticks(middles, letters)
    ax.set(xlabel="predicted class, in the same order", ylabel="true class")
    ax.tick_params(length=0, labelsize=SMALL)
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set(xlim=(-0.5, borders[-1] - 0.5), ylim=(borders[-1] - 0.5, -0.5))


def _told(counts: Floats, borders: np.ndarray, item: str) -> str:
    wrong = counts.sum() - np.trace(counts)
    blocks = [counts[low:high, low:high] for low, high in itertools.pairwise(borders)]
    inside = sum(block.sum() - np.trace(block) for block in blocks)
    share = "" if wrong == 0 else f", {percent(inside / wrong)} of them inside a block"
    return f"{counts.sum():,.0f} {item}; {wrong:,.0f} mistakes{share}"
