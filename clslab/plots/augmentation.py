"""Figures of augmentation: what policies do to the same few pictures, and which strength suits which budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from clslab.plots.pictures import checked_picture
from clslab.plots.style import (
    GREY,
    PALETTE,
    SMALL,
    WIDTH,
    BookFigure,
    Estimate,
    Floats,
    add_footnote,
    checked_table,
    house_style,
    positive,
    wrapped_name,
)

MOST_POLICIES = 16
MOST_COLUMNS = 8
_NAMES = 1.45  # inches for the names at the left
_GAP = 0.05  # inches between two pictures
_LARGEST = 0.74  # inches of a picture's side: more would make a long gallery longer than a screen
_LETTERS = 15  # of a name in a line


def policy_gallery(rows: Mapping[str, Sequence[ArrayLike]], *, alt: str) -> BookFigure:
    """The same few pictures under several policies, a row for each policy.

    Args:
        rows: policy -> its pictures [H, W] or [H, W, 3], uint8 or float in [0, 1], the same originals in the same
            order in every row.
        alt: what the figure shows.

    Raises:
        ValueError: for no row, rows of different lengths, too many of either, or an array that is no picture.

    Taught in chapter 9.

    >>> figure = policy_gallery({"as it is": [np.zeros((8, 8, 3))] * 2, "inverted": [np.ones((8, 8, 3))] * 2},
    ...                         alt="Two black squares, and below them two white ones.")
    """
    columns = _checked_columns(rows)
    shown = {
        name: [checked_picture(picture, f"rows[{name!r}][{place}]") for place, picture in enumerate(pictures)]
        for name, pictures in rows.items()
    }
    side = min((WIDTH - _NAMES) / columns, _LARGEST)
    tall = [max(picture.shape[0] / picture.shape[1] for picture in pictures) for pictures in shown.values()]
    with house_style():
        figure = BookFigure(alt=alt, height=sum(side * share for share in tall) + 0.1)
        # Placed by hand on one pair of axes in inches: a pair for each picture takes a second to draw.
        figure.set_layout_engine("none")
        ax = figure.add_axes((0, 0, 1, 1))
        top = figure.get_figheight() - 0.05
        for (name, pictures), share in zip(shown.items(), tall, strict=True):
            top -= side * share
            middle = top + side * share / 2
            ax.text(0.06, middle, wrapped_name(name, _LETTERS), ha="left", va="center", fontsize=SMALL)
            for place, picture in enumerate(pictures):
                _picture_at(ax, (_NAMES + place * side, top), (side, side * share), picture)
        ax.set(xlim=(0, WIDTH), ylim=(0, figure.get_figheight()))
        ax.set_axis_off()
    return figure


def strength_at_budget(
    scores: Mapping[str, Mapping[int, Estimate]],
    *,
    budget: int,
    alt: str,
    x_label: str = "augmentation, from weak to strong",
    y_label: str = "accuracy (%)",
    unit: str = "epochs",
    footnote: str | None = "whiskers: 95 % interval",
) -> BookFigure:
    """Accuracy against the strength of augmentation at one budget, the other budgets in grey: a frame of a slider.

    The axes are the same for every budget, so that frames can be compared.

    Args:
        scores: strength, from weak to strong -> budget -> (value, low, high), fractions. A strength may lack a budget.
        budget: which one is drawn in colour.
        alt: what the figure shows.
        x_label: quantity along the axis.
        y_label: quantity of the scores.
        unit: of the budget.
        footnote: a line below.

    Raises:
        ValueError: for an empty mapping, budgets not above 0, a budget that no strength has, NaN, or values that are no
            fractions.

    Taught in chapter 9.

    >>> figure = strength_at_budget({"none": {10: (0.3, 0.28, 0.32)}, "strong": {10: (0.25, 0.23, 0.27)}},
    ...                             budget=10, alt="At ten epochs no augmentation is better.")
    """
    table, budgets = _checked_budgets(scores, budget)
    every = np.array([estimate for row in table.values() for estimate in row.values()])
    room = 0.08 * float(np.ptp(every)) or 1.0
    with house_style():
        figure = BookFigure(alt=alt, height=3.9)
        ax = figure.add_subplot()
        for other in budgets:
            if other != budget:
                places, (value, _, _) = _at(table, other)
                ax.plot(places, value, color=GREY, linewidth=1.0, linestyle=":", marker=".", alpha=0.7)
        places, (value, low, high) = _at(table, budget)
        ax.vlines(places, low, high, color=PALETTE[0], linewidth=1.8)
        ax.plot(places, value, color=PALETTE[0], marker="o", markersize=7)
        _ring(ax, places, value)
        ax.set_xticks(range(len(table)), [wrapped_name(name, 16) for name in table])
        ax.set(xlim=(-0.4, len(table) - 0.6), ylim=(every.min() - room, every.max() + room))
        ax.set(xlabel=x_label, ylabel=y_label)
        others = ", ".join(f"{other:,}" for other in budgets if other != budget)
        add_footnote(
            figure,
            f"line: {budget:,} {unit}; ring: the highest mean, perhaps not a clear lead",
            f"dotted: {others} {unit}" if others else None,
            footnote,
        )
    return figure


# ---------------------------------------------------------------------------- pieces


def _checked_budgets(
    scores: Mapping[str, Mapping[int, Estimate]], budget: int
) -> tuple[dict[str, dict[int, Floats]], list[int]]:
    """The scores as arrays, and all budgets in rising order."""
    table = checked_table(scores, "scores", same_keys=False)
    budgets = sorted({length for row in table.values() for length in row})
    positive(budgets, "budgets")
    if budget not in budgets:
        raise ValueError(f"budget is {budget}, and there are scores for {budgets}: choose one of them")
    return table, budgets


def _checked_columns(rows: Mapping[str, Sequence[ArrayLike]]) -> int:
    """The number of pictures that every row has."""
    if not rows:
        raise ValueError("rows is empty: pass at least one policy with its pictures")
    if len(rows) > MOST_POLICIES:
        raise ValueError(f"{len(rows)} policies: at most {MOST_POLICIES} in one figure, split them over two")
    lengths = {name: len(pictures) for name, pictures in rows.items()}
    columns = next(iter(lengths.values()))
    if len(set(lengths.values())) > 1:
        raise ValueError(f"rows have different lengths {lengths}: pass the same pictures to every policy")
    if not 2 <= columns <= MOST_COLUMNS:
        raise ValueError(f"{columns} pictures in a row: pass 2 to {MOST_COLUMNS}")
    return columns


def _picture_at(ax: Axes, corner: tuple[float, float], room: tuple[float, float], picture: Floats) -> None:
    """Show a picture with its lower left corner at a place, in inches, with a gap around it."""
    left, right = corner[0] + _GAP / 2, corner[0] + room[0] - _GAP / 2
    bottom, top = corner[1] + _GAP / 2, corner[1] + room[1] - _GAP / 2
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1, extent=(left, right, bottom, top), aspect="auto")


def _at(table: Mapping[str, Mapping[int, Floats]], budget: int) -> tuple[list[int], Floats]:
    """The places of the strengths that have this budget, and their values, lows and highs, [3, strengths]."""
    places = [place for place, row in enumerate(table.values()) if budget in row]
    return places, np.array([row[budget] for row in table.values() if budget in row]).T


def _ring(ax: Axes, places: Sequence[int], value: Floats) -> None:
    best = int(np.argmax(value))
    ax.plot(
        [places[best]],
        [value[best]],
        "o",
        color=PALETTE[1],
        markersize=17,
        markerfacecolor="none",
        markeredgecolor=PALETTE[1],
        markeredgewidth=2.2,
    )
