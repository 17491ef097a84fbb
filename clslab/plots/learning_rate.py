"""Figures of the learning rate: range tests, sweeps, and the one beside the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike

from clslab.plots.style import (
    INK,
    PALETTE,
    BookFigure,
    Estimate,
    Floats,
    add_footnote,
    add_legend,
    checked_array,
    checked_rates,
    checked_table,
    house_style,
    line_handle,
    mark_positions,
    percent,
    positive,
    same_length,
    series,
    wrapped_name,
)

Curve = tuple[ArrayLike, ArrayLike]
"""Learning rates [N], and a loss for each."""


def lr_curves(
    curves: Mapping[str, Sequence[Curve]],
    *,
    alt: str,
    points: Mapping[str, Sequence[Curve]] | None = None,
    marks: Mapping[str, float] | None = None,
    x_label: str = "learning rate (log scale)",
    y_label: str = "training loss of a batch",
    footnote: str | None = None,
) -> BookFigure:
    """Range tests: the loss against the learning rate, one line for each seed.

    The axis of the loss shows the lines and leaves out how far single points lie above them.

    Args:
        curves: name -> for each seed (learning rates, smoothed losses).
        alt: what the figure shows.
        points: name -> for each seed (learning rates, losses of single batches), drawn small.
        marks: what is to be said about a learning rate -> that rate, lettered above.
        x_label: quantity along the axis.
        y_label: quantity of the losses.
        footnote: a line below.

    Raises:
        ValueError: for an empty mapping or curve, rates not above 0, NaN, or lengths that differ.

    Taught in chapter 7.

    >>> figure = lr_curves({"ResNet-9": [([0.01, 0.1, 1.0], [4.6, 4.1, 5.0])]}, marks={"lowest loss": 0.1},
    ...                    alt="The loss is lowest at 0.1.")
    """
    looks = series(list(curves))
    lines = {name: _checked_curves(rows, f"curves[{name!r}]") for name, rows in curves.items()}
    dots = {name: _checked_curves(rows, f"points[{name!r}]") for name, rows in (points or {}).items()}
    _refuse_unknown(set(dots) - set(lines), "points", "curves")
    with house_style():
        figure = BookFigure(alt=alt, height=4.2)
        ax = figure.add_subplot()
        for name, rows in dots.items():
            for lrs, losses in rows:
                ax.plot(lrs, losses, ".", color=looks[name].colour, markersize=3.0, alpha=0.35)
        for name, rows in lines.items():
            for lrs, losses in rows:
                ax.plot(lrs, losses, color=looks[name].colour, linestyle=looks[name].dash, linewidth=1.4)
        _rate_axis(ax, x_label)
        ax.set_ylabel(y_label)
        every = np.concatenate([losses for rows in lines.values() for _, losses in rows])
        room = 0.12 * (float(np.ptp(every)) or 1.0)
        ax.set_ylim(every.min() - 2 * room, every.max() + room)
        key = mark_positions([ax], _by_place(marks or {}))
        if len(lines) > 1:
            add_legend(figure, [line_handle(look, name, marker=False) for name, look in looks.items()])
        small = "points: single batches; those far above are not shown" if dots else None
        add_footnote(figure, small, footnote, key=key)
    return figure


def lr_sweep(
    scores: Mapping[str, Mapping[float, Estimate]],
    *,
    alt: str,
    suggestions: Mapping[str, ArrayLike] | None = None,
    chance: float | None = None,
    x_label: str = "learning rate (log scale)",
    y_label: str = "accuracy (%)",
    footnote: str | None = "whiskers: 95 % interval",
) -> BookFigure:
    """What training at each learning rate reached, and below it what the rules of a range test suggested.

    Args:
        scores: name -> learning rate -> (value, low, high), fractions.
        alt: what the figure shows.
        suggestions: rule -> a learning rate for each seed.
        chance: accuracy of guessing, a fraction, drawn as a dotted line.
        x_label: quantity along the axis.
        y_label: quantity of the scores.
        footnote: a line below.

    Raises:
        ValueError: for an empty mapping, rates not above 0, NaN, or values that are no fractions.

    Taught in chapter 7.

    >>> figure = lr_sweep({"6 epochs": {0.1: (0.3, 0.28, 0.32), 1.0: (0.2, 0.18, 0.22)}},
    ...                   suggestions={"steepest": [0.02, 0.03]}, alt="0.1 is better than 1.")
    """
    table = checked_table(scores, "scores", same_keys=False)
    looks = series(list(table))
    rules = {rule: positive(lrs, f"suggestions[{rule!r}]") for rule, lrs in (suggestions or {}).items()}
    with house_style():
        figure = BookFigure(alt=alt, height=3.9 + (0.55 + 0.36 * len(rules) if rules else 0))
        ratios = [3.0, 0.5 + 0.36 * len(rules)] if rules else [1.0]
        panels = np.atleast_1d(figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios))
        for name, row in table.items():
            lrs = positive(sorted(row), f"rates of {name!r}")
            value, low, high = np.array([row[lr] for lr in sorted(row)]).T
            panels[0].vlines(lrs, low, high, color=looks[name].colour, linewidth=1.6)
            panels[0].plot(lrs, value, color=looks[name].colour, linestyle=looks[name].dash, marker=looks[name].marker)
        if rules:
            _rule_rows(panels[1], rules)
        if chance is not None:
            level = 100 * float(checked_rates(checked_array([chance], "chance"), "chance")[0])
            panels[0].axhline(level, color=INK, linewidth=1.0, linestyle=(0, (1, 2)))
        panels[0].set_ylabel(y_label)
        panels[0].margins(y=0.08)
        _rate_axis(panels[-1], x_label)
        if len(table) > 1:
            add_legend(figure, [line_handle(look, name) for name, look in looks.items()])
        add_footnote(
            figure,
            footnote,
            None if chance is None else f"dotted: {percent(chance)}, by chance",
            "below: suggestions, a dot for each seed, a bar for their median" if rules else None,
        )
    return figure


def lr_position(
    curve: Curve,
    scores: Mapping[float, Estimate],
    *,
    lr: float,
    alt: str,
    x_label: str = "learning rate (log scale)",
    labels: tuple[str, str] = ("loss in the range test", "accuracy (%)"),
    footnote: str | None = None,
) -> BookFigure:
    """One place on a range test, and the same place on a sweep: a frame of a slider.

    Args:
        curve: learning rates and smoothed losses of a range test.
        scores: learning rate -> (value, low, high), fractions.
        lr: where to stand.
        alt: what the figure shows.
        x_label: quantity along the axis.
        labels: quantity of the losses, and of the scores.
        footnote: a line below.

    Raises:
        ValueError: for an empty curve or mapping, rates not above 0, NaN, values that are no fractions, or a place
            outside the axes.

    Taught in chapter 7.

    >>> figure = lr_position(([0.01, 0.1, 1.0], [4.6, 4.1, 5.0]), {0.1: (0.3, 0.28, 0.32), 1.0: (0.2, 0.18, 0.22)},
    ...                      lr=0.1, alt="At 0.1 the loss is lowest.")
    """
    ((lrs, losses),) = _checked_curves([curve], "curve")
    row = checked_table({"scores": scores}, "scores")["scores"]
    rates = positive(sorted(row), "rates of the scores")
    value, low, high = np.array([row[rate] for rate in sorted(row)]).T
    with house_style():
        figure = BookFigure(alt=alt, height=4.6)
        above, below = figure.subplots(2, 1, sharex=True)
        above.plot(lrs, losses, color=PALETTE[0])
        below.vlines(rates, low, high, color=PALETTE[1], linewidth=1.6)
        below.plot(rates, value, color=PALETTE[1], linestyle="--", marker="s")
        above.set_ylabel(labels[0])
        below.set_ylabel(labels[1])
        above.set_xlim(min(lrs[0], rates[0]) / 1.4, max(lrs[-1], rates[-1]) * 1.4)
        _rate_axis(below, x_label)
        mark_positions([above, below], {lr: f"{lr:g}"})
        if lrs[0] <= lr <= lrs[-1]:
            above.plot([lr], [np.interp(np.log(lr), np.log(lrs), losses)], "o", color=INK, markersize=9)
        add_footnote(figure, f"a: learning rate {lr:.2g}", footnote)
    return figure


# ---------------------------------------------------------------------------- pieces


def _checked_curves(rows: Sequence[Curve], what: str) -> list[tuple[Floats, Floats]]:
    if not rows:
        raise ValueError(f"{what} is empty: pass at least one curve")
    found = []
    for place, (lrs, losses) in enumerate(rows):
        rates = positive(lrs, f"{what}[{place}], learning rates")
        values = checked_array(losses, f"{what}[{place}], losses")
        same_length({f"learning rates of {what}[{place}]": rates.size, "losses": values.size})
        found.append((rates, values))
    return found


def _refuse_unknown(names: set[str], what: str, where: str) -> None:
    if names:
        raise ValueError(f"{what} has {sorted(names)}, which {where} has not: name them alike")


def _rate_axis(ax: Axes, label: str) -> None:
    """A log axis with a tick for each factor of ten, written as numbers are on the page."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(numticks=9))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda lr, _: f"{lr:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(label)


def _by_place(marks: Mapping[str, float]) -> dict[float, str]:
    """Learning rate -> all that is said about it."""
    places: dict[float, str] = {}
    for text, lr in marks.items():
        place = float(positive([lr], f"marks[{text!r}]")[0])
        places[place] = f"{places[place]}, {text}" if place in places else f"{text} ({place:.2g})"
    return places


def _rule_rows(ax: Axes, rules: Mapping[str, Floats]) -> None:
    """A row for each rule: what it suggested on each seed, and the median."""
    for place, lrs in enumerate(rules.values()):
        ax.plot(lrs, np.full(lrs.size, place), "o", color=PALETTE[0], markersize=6, alpha=0.6, clip_on=False)
        middle = float(np.exp(np.median(np.log(lrs))))
        ax.plot([middle, middle], [place - 0.34, place + 0.34], color=INK, linewidth=2.4)
    ax.set_yticks(range(len(rules)), [wrapped_name(rule, 14) for rule in rules])
    ax.set_ylim(len(rules) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
