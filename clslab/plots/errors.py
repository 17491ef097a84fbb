"""Which errors, and how sure of them: rare classes, thresholds, temperatures, and one class against the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import ArrayLike

from clslab.plots.style import (
    GREY,
    INK,
    PALETTE,
    RULE,
    WHITE,
    BookFigure,
    Floats,
    Series,
    add_footnote,
    add_legend,
    checked_array,
    checked_rates,
    house_style,
    line_handle,
    positive,
    same_length,
    series,
    short_name,
)

_DOTTED = (0, (2, 2))


def tail_recall(
    counts: ArrayLike,
    recalls: Mapping[str, ArrayLike],
    *,
    alt: str,
    window: int = 15,
    groups: Sequence[float] = (),
    footnote: str | None = None,
) -> BookFigure:
    """Recall against the number of training pictures of a class, on a log axis.

    One class has too few test pictures for a curve, so each point is the mean over a window of classes that are next
    to each other in frequency.

    Args:
        counts: [C] training pictures of each class.
        recalls: name -> [C] recalls of the classes, fractions.
        alt: what the figure shows.
        window: how many neighbouring classes are averaged.
        groups: numbers of pictures at which a group of classes ends, drawn as lines.
        footnote: one more line below.

    Raises:
        ValueError: for no series or more than five, differing lengths, counts not above 0, or no fractions.

    Taught in chapter 12.

    >>> figure = tail_recall([90, 9, 1], {"plain": [0.5, 0.2, 0.0]}, window=1, alt="Rare classes are not found.")
    """
    sizes = positive(counts, "counts")
    table = {name: checked_rates(checked_array(row, name), name) for name, row in recalls.items()}
    same_length({"counts": sizes.size} | {name: row.size for name, row in table.items()})
    looks = series(list(table))
    order = np.argsort(-sizes, kind="stable")
    kernel = np.ones(min(window, sizes.size)) / min(window, sizes.size)
    x = np.exp(np.convolve(np.log(sizes[order]), kernel, mode="valid"))
    with house_style():
        figure = BookFigure(alt=alt, height=4.4)
        ax = figure.add_subplot()
        for edge in groups:
            ax.axvline(edge, color=GREY, linewidth=1.0, linestyle=_DOTTED, zorder=1)
        for number, (name, look) in enumerate(looks.items()):
            y = 100 * np.convolve(table[name][order], kernel, mode="valid")
            ax.plot(x, y, color=look.colour, linestyle=look.dash, marker=look.marker, markevery=(number, 12))
        ax.set(xscale="log", xlabel="training pictures of the class (log scale)", ylabel="recall (%)")
        # Limits that hold every tick at once: a log axis of less than a decade would have none.
        ax.set_xticks([value for value in _ROUND if x.min() / 1.05 <= value <= x.max() * 1.05])
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_ylim(bottom=0)
        ax.invert_xaxis()
        add_legend(figure, [line_handle(look, name) for name, look in looks.items()])
        mean = f"each point: the mean over {kernel.size} classes of similar frequency" if kernel.size > 1 else None
        lines = f"dotted: {' and '.join(f'{edge:g}' for edge in groups)} pictures" if groups else None
        add_footnote(figure, mean, lines, footnote)
    return figure


_ROUND = tuple(step * 10**power for power in range(7) for step in (1, 2, 5))


def threshold_panels(
    false_positive_rate: ArrayLike,
    true_positive_rate: ArrayLike,
    precision: ArrayLike,
    *,
    prevalence: float,
    alt: str,
    recalls: Sequence[float] = (0.3, 0.6, 0.9),
    footnote: str | None = None,
) -> BookFigure:
    """ROC beside precision against recall, with the same thresholds marked in both: a frame of a slider.

    Args:
        false_positive_rate: of each threshold, [P], rising fractions.
        true_positive_rate: likewise.
        precision: likewise, at this prevalence.
        prevalence: share of positives, drawn as the precision of guessing.
        alt: what the figure shows.
        recalls: marked is the first threshold that reaches each of these recalls.
        footnote: one more line below.

    Raises:
        ValueError: for differing lengths, NaN, or values outside [0, 1].

    Taught in chapter 12.

    >>> figure = threshold_panels([0, 0.1, 1], [0, 0.8, 1], [1, 0.47, 0.1], prevalence=0.1, recalls=[0.8],
    ...                           alt="At one in ten, half of what is taken is right.")
    """
    names = ("false_positive_rate", "true_positive_rate", "precision")
    given = (false_positive_rate, true_positive_rate, precision)
    wrong, found, right = (
        checked_rates(checked_array(values, name), name) for name, values in zip(names, given, strict=True)
    )
    same_length({name: values.size for name, values in zip(names, (wrong, found, right), strict=True)})
    checked_rates(checked_array([prevalence], "prevalence"), "prevalence")
    places = [int(np.searchsorted(found, recall - 1e-12)) for recall in recalls]
    with house_style():
        figure = BookFigure(alt=alt, height=3.7)
        left, middle = figure.subplots(1, 2)
        left.plot([0, 100], [0, 100], color=GREY, linewidth=1.2, linestyle=_DOTTED, zorder=1)
        left.plot(100 * wrong, 100 * found, color=PALETTE[0])
        middle.axhline(100 * prevalence, color=GREY, linewidth=1.2, linestyle=_DOTTED, zorder=1)
        middle.plot(100 * found, 100 * right, color=PALETTE[0])
        for number, place in enumerate(places):
            _letter(left, 100 * wrong[place], 100 * found[place], chr(ord("a") + number))
            _letter(middle, 100 * found[place], 100 * right[place], chr(ord("a") + number))
        left.set(xlabel="false positives (%)", ylabel="true positives (%)")
        middle.set(xlabel="recall (%)", ylabel="precision (%)")
        for ax in (left, middle):
            ax.set(xlim=(-3, 112), ylim=(-3, 112), xticks=(0, 50, 100), yticks=(0, 50, 100))
        key = [f"{chr(ord('a') + i)}: {100 * right[place]:.3g} % right" for i, place in enumerate(places)]
        guess = f"{100 * prevalence:g} % positives; dotted: guessing"
        add_footnote(figure, guess, footnote, key=key)
    return figure


def ranking_and_reliability(
    probabilities: Mapping[str, float],
    confidence: ArrayLike,
    accuracy: ArrayLike,
    *,
    counts: ArrayLike,
    alt: str,
    footnote: str | None = None,
) -> BookFigure:
    """One answer's most probable classes, and below it how confident all answers are: a frame of a slider.

    Args:
        probabilities: class -> its probability in one answer, the most probable first, at most eight.
        confidence: mean confidence of each of M bins, fractions; anything where the count is 0.
        accuracy: accuracy of each bin, [M].
        counts: items of each bin, [M].
        alt: what the figure shows.
        footnote: one more line below.

    Raises:
        ValueError: for no class or more than eight, differing lengths, no item, NaN, or no fractions.

    Taught in chapter 12.

    >>> figure = ranking_and_reliability({"cat": 0.7, "dog": 0.3}, [0.6, 0.9], [0.5, 0.7], counts=[40, 60],
    ...                                  alt="Both bins are too confident.")
    """
    if not 1 <= len(probabilities) <= 8:
        raise ValueError(f"{len(probabilities)} classes: give the one to eight most probable ones")
    shown = checked_rates(checked_array(list(probabilities.values()), "probabilities"), "probabilities")
    sure, right, n = np.array(confidence, dtype=float), np.array(accuracy, dtype=float), checked_array(counts, "counts")
    same_length({"counts": n.size, "confidence": len(sure), "accuracy": len(right)})
    full = n > 0
    x = checked_rates(checked_array(sure[full], "confidence"), "confidence")
    y = checked_rates(checked_array(right[full], "accuracy"), "accuracy")
    with house_style():
        figure = BookFigure(alt=alt, height=5.4)
        top, bottom = figure.subplots(2, 1, height_ratios=(0.32 * len(shown) + 0.3, 2.8))
        top.barh(range(len(shown)), 100 * shown, color=PALETTE[0], edgecolor=WHITE)
        top.set_yticks(range(len(shown)), [short_name(name) for name in probabilities])
        top.invert_yaxis()
        top.tick_params(axis="y", length=0)
        top.set(xlim=(0, 100), xlabel="probability in one answer (%)")
        bottom.plot([0, 100], [0, 100], color=INK, linestyle="--", linewidth=1.2)
        bottom.plot(100 * x, 100 * y, color=PALETTE[1], zorder=2)
        # The area of a point is the share of the items in its bin.
        bottom.scatter(100 * x, 100 * y, s=12 + 600 * n[full] / n.sum(), color=PALETTE[1], edgecolors=WHITE, zorder=3)
        bottom.set(xlim=(-3, 103), ylim=(-3, 103), xlabel="confidence (%)", ylabel="accuracy (%)")
        add_footnote(figure, f"below: {n.sum():,.0f} answers in bins; dashed: calibrated", footnote)
    return figure


def stated_against_true(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    highlight: str,
    alt: str,
    footnote: str | None = None,
) -> BookFigure:
    """What a loss makes a network state where the truth is known, for several settings: a frame of a slider.

    Args:
        curves: setting -> (true probabilities, stated probabilities), both [P], fractions.
        highlight: the setting that stands out; the others are pale.
        alt: what the figure shows.
        footnote: one more line below.

    Raises:
        ValueError: for no curve, an unknown setting, differing lengths, NaN, or no fractions.

    Taught in chapter 12.

    >>> figure = stated_against_true({"γ = 0": ([0, 1], [0, 1])}, highlight="γ = 0", alt="A straight line.")
    """
    if highlight not in curves:
        raise ValueError(f"highlight = {highlight!r} is none of the curves {list(curves)}")
    with house_style():
        figure = BookFigure(alt=alt, height=4.6)
        ax = figure.add_subplot()
        ax.plot([0, 100], [0, 100], color=INK, linestyle="--", linewidth=1.2)
        for name in sorted(curves, key=lambda one: one == highlight):
            true, stated = (checked_rates(checked_array(part, name), name) for part in curves[name])
            same_length({f"true of {name!r}": true.size, f"stated of {name!r}": stated.size})
            chosen = name == highlight
            ax.plot(100 * true, 100 * stated, color=PALETTE[0] if chosen else RULE, linewidth=2.4 if chosen else 1.4)
        ax.set(xlim=(0, 100), ylim=(0, 100), xlabel="true probability (%)", ylabel="stated probability (%)")
        handles = [Patch(facecolor=PALETTE[0], label=highlight)]
        handles += [Patch(facecolor=RULE, label="other settings")] if len(curves) > 1 else []
        add_legend(figure, handles)
        add_footnote(figure, "dashed: stated as it is", footnote)
    return figure


def dot_rows(
    rows: Mapping[str, Mapping[str, float]],
    *,
    x_label: str,
    alt: str,
    reference: float | None = None,
    footnote: str | None = None,
) -> BookFigure:
    """A row for each class, with a dot for each way of scoring it.

    Args:
        rows: class -> way -> value, fractions; the same ways for every class, at most five.
        x_label: quantity and unit.
        alt: what the figure shows.
        reference: value of guessing, drawn as a line.
        footnote: one more line below.

    Raises:
        ValueError: for no class, differing ways, NaN, or values that are no fractions.

    Taught in chapter 12.

    >>> figure = dot_rows({"fish": {"probability": 0.9, "distance": 0.6}}, x_label="area under the ROC curve (%)",
    ...                   reference=0.5, alt="The probability does better.")
    """
    if not rows:
        raise ValueError("rows is empty: pass at least one class")
    ways = list(next(iter(rows.values())))
    looks = series(ways)
    table: dict[str, Floats] = {}
    for name, row in rows.items():
        if list(row) != ways:
            raise ValueError(f"rows[{name!r}] has {list(row)}, the first has {ways}: pass the same in the same order")
        table[name] = 100 * checked_rates(checked_array(list(row.values()), f"rows[{name!r}]"), f"rows[{name!r}]")
    with house_style():
        figure = BookFigure(alt=alt, height=1.5 + 0.27 * len(table))
        ax = figure.add_subplot()
        if reference is not None:
            level = 100 * float(checked_rates(checked_array([reference], "reference"), "reference")[0])
            ax.axvline(level, color=GREY, linewidth=1.2, linestyle=_DOTTED, zorder=1)
        for index, look in enumerate(looks.values()):
            values = [row[index] for row in table.values()]
            ax.plot(values, range(len(table)), color=look.colour, marker=look.marker, linestyle="none")
        ax.set_yticks(range(len(table)), [short_name(name) for name in table])
        ax.set(ylim=(len(table) - 0.5, -0.5), xlabel=x_label)
        ax.tick_params(axis="y", length=0)
        add_legend(figure, [_dot(look, name) for name, look in looks.items()])
        add_footnote(figure, None if reference is None else f"dotted: guessing, {100 * reference:g} %", footnote)
    return figure


# ---------------------------------------------------------------------------- pieces


def _letter(ax: Axes, x: float, y: float, letter: str) -> None:
    """A point with its letter above and right of it."""
    ax.plot([x], [y], "o", color=PALETTE[1], markersize=7)
    ax.annotate(letter, (x, y), xytext=(5, 4), textcoords="offset points", fontweight="bold")


def _dot(look: Series, name: str) -> Line2D:
    return Line2D([], [], color=look.colour, marker=look.marker, linestyle="none", label=name)
