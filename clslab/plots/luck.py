"""What luck alone does to scores: the best of several tries that are all worth the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from clslab.plots.style import (
    GREY,
    INK,
    PALETTE,
    RULE,
    BookFigure,
    add_footnote,
    add_legend,
    checked_array,
    checked_rates,
    house_style,
)


def tries_so_far(
    scores: ArrayLike,
    *,
    tries: int,
    truth: float,
    alt: str,
    x_label: str = "try",
    y_label: str = "score (%)",
    footnote: str | None = None,
) -> BookFigure:
    """The scores of the first tries, and the best of them, where every try is worth the same: a frame of a slider.

    The axes are the same for every number of tries, so that frames can be compared.

    Args:
        scores: of all tries in their order, [K], fractions.
        tries: how many have been made, from 1 to K.
        truth: what every try is worth, a fraction.
        alt: what the figure shows.
        x_label: what a try is.
        y_label: quantity of the scores.
        footnote: a line below.

    Raises:
        ValueError: for no score, values that are no fractions, or a number of tries out of range.

    Taught in chapter 3.

    >>> figure = tries_so_far([0.88, 0.9, 0.87], tries=2, truth=0.885, alt="The second of two tries is the best.")
    """
    every = 100 * checked_rates(checked_array(scores, "scores"), "scores")
    level = 100 * float(checked_rates(checked_array([truth], "truth"), "truth")[0])
    if not 1 <= tries <= every.size:
        raise ValueError(f"tries = {tries} of {every.size} scores: pass 1 to {every.size}")
    made, numbers = every[:tries], np.arange(1, every.size + 1)
    best = int(made.argmax())
    with house_style():
        figure = BookFigure(alt=alt, height=4.0)
        ax = figure.add_subplot()
        ax.axhline(level, color=INK, linewidth=1.2, linestyle=(0, (2, 2)), zorder=1)
        ax.plot(numbers[:tries], made, "o", color=GREY, markersize=5)
        ax.step(numbers[:tries], np.maximum.accumulate(made), where="post", color=PALETTE[0])
        ax.plot([numbers[best], every.size], [made[best]] * 2, color=RULE, linewidth=1.0, zorder=0.5)
        ring: dict[str, Any] = {"markersize": 13, "markerfacecolor": "none", "markeredgewidth": 2, "linestyle": "none"}
        ax.plot([numbers[best]], [made[best]], "o", color=PALETTE[1], **ring)
        room = 0.08 * max(float(np.ptp(every)), 1.0)
        ax.set_ylim(min(every.min(), level) - room, max(every.max(), level) + room)
        ax.set(xlim=(0.2, every.size + 0.8), xlabel=x_label, ylabel=y_label)
        handles = [
            Line2D([], [], marker="o", color=GREY, linestyle="none", label="each try"),
            Line2D([], [], color=PALETTE[0], label="best so far"),
            Line2D([], [], marker="o", color=PALETTE[1], label="reported", **{**ring, "markersize": 10}),
        ]
        add_legend(figure, handles)
        add_footnote(figure, f"dashed: {level:g} %, what every try is worth", footnote)
    return figure
