"""Curves over all thresholds: ROC, and precision against recall.

A curve may have a million points; what cannot be told apart at the size of the figure is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from clslab.plots.style import (
    GREY,
    BookFigure,
    Floats,
    add_footnote,
    add_legend,
    checked_array,
    checked_rates,
    house_style,
    line_handle,
    same_length,
    series,
)

_STEPS = 500  # places along an axis that a figure tells apart
Points = tuple[ArrayLike, ArrayLike]


def roc_curves(
    curves: Mapping[str, Points], *, alt: str, areas: Mapping[str, float] | None = None, footnote: str | None = None
) -> BookFigure:
    """ROC curves: what is found against what is wrongly taken along, over all thresholds.

    Args:
        curves: name -> (false positive rates, true positive rates), fractions, both [P].
        alt: what the figure shows.
        areas: name -> area under its curve, a fraction, told in the legend.
        footnote: one more line below.

    Raises:
        ValueError: for no curve or more than five, differing lengths, or values outside [0, 1].

    Taught in chapter 12.

    >>> figure = roc_curves({"cat": ([0, 0.1, 1], [0, 0.8, 1])}, areas={"cat": 0.85}, alt="Most cats are found.")
    """
    with house_style():
        figure = BookFigure(alt=alt, height=5.2)
        ax = figure.add_subplot()
        ax.plot([0, 100], [0, 100], color=GREY, linewidth=1.2, linestyle=(0, (2, 2)), zorder=1)
        handles = _draw(ax, curves, areas, "area", drawstyle="default")
        ax.set(xlabel="false positives (% of all others)", ylabel="true positives (% of the class)")
        add_legend(figure, handles)
        add_footnote(figure, "dotted: guessing", footnote)
    return figure


def precision_recall_curves(
    curves: Mapping[str, Points],
    *,
    alt: str,
    areas: Mapping[str, float] | None = None,
    prevalence: float | None = None,
    footnote: str | None = None,
) -> BookFigure:
    """Precision against recall, over all thresholds.

    Args:
        curves: name -> (recalls, precisions), fractions, both [P].
        alt: what the figure shows.
        areas: name -> average precision, a fraction, told in the legend.
        prevalence: share of positives, drawn as the precision of guessing.
        footnote: one more line below.

    Raises:
        ValueError: for no curve or more than five, differing lengths, or values outside [0, 1].

    Taught in chapter 12.

    >>> figure = precision_recall_curves({"cat": ([1, 0.5, 0], [0.4, 0.9, 1])}, prevalence=0.4,
    ...                                  alt="Half of the cats are found with few false alarms.")
    """
    with house_style():
        figure = BookFigure(alt=alt, height=5.2)
        ax = figure.add_subplot()
        note = None
        if prevalence is not None:
            checked_rates(checked_array([prevalence], "prevalence"), "prevalence")
            ax.axhline(100 * prevalence, color=GREY, linewidth=1.2, linestyle=(0, (2, 2)), zorder=1)
            note = f"dotted: guessing, {100 * prevalence:.3g} %"
        # Between two thresholds there is no precision in between.
        handles = _draw(ax, curves, areas, "AP", drawstyle="steps-post")
        ax.set(xlabel="recall (% of the class that is found)", ylabel="precision (% of what is taken)")
        add_legend(figure, handles)
        add_footnote(figure, note, footnote)
    return figure


def _draw(
    ax: Axes, curves: Mapping[str, Points], areas: Mapping[str, float] | None, word: str, *, drawstyle: str
) -> list[Artist]:
    """The curves, and what stands in the legend for them."""
    handles: list[Artist] = []
    for number, (name, look) in enumerate(series(list(curves)).items()):
        x, y = _points(name, *curves[name])
        ax.plot(
            100 * x,
            100 * y,
            color=look.colour,
            linestyle=look.dash,
            marker=look.marker,
            markevery=(0.05 * (number + 1), 0.3),  # fractions of the figure, so that symbols of two curves stand apart
            drawstyle=drawstyle,
        )
        label = name if areas is None else f"{name}: {word} {areas[name]:.3f}"
        handles.append(line_handle(look, label))
    ax.set(xlim=(-1, 101), ylim=(-1, 102))
    return handles


def _points(name: str, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """The points that the figure can tell apart, the first and the last among them."""
    across, up = checked_array(x, f"x of {name!r}"), checked_array(y, f"y of {name!r}")
    same_length({f"x of {name!r}": len(across), f"y of {name!r}": len(up)})
    checked_rates(across, f"x of {name!r}")
    checked_rates(up, f"y of {name!r}")
    places = np.round(np.stack([across, up]) * _STEPS)
    moved = (np.diff(places, axis=1) != 0).any(axis=0)
    # A point is kept where the curve has just come to a new place, or is about to leave it.
    kept = np.concatenate([[True], moved]) | np.concatenate([moved, [True]])
    return across[kept], up[kept]
