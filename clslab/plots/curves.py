"""Curves: what happens over epochs, sizes, tries, layers and seconds.

Rates go in as fractions and are drawn in per cent. A band or whisker is the interval that was
passed in. Text that belongs to a place is lettered at the edge and told below, so it covers no data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike

from clslab.plots.style import (
    GREY,
    PALETTE,
    BookFigure,
    Estimate,
    Floats,
    add_footnote,
    add_legend,
    checked_array,
    checked_estimate,
    checked_rates,
    checked_table,
    house_style,
    line_handle,
    mark_positions,
    percent,
    positive,
    series,
    thinned,
    wrapped_name,
)

Seeds = ArrayLike | Sequence[Sequence[float]]
"""One run, [E], or one row for each seed, [S, E]; rows may differ in length."""


def learning_curves(
    loss: Mapping[str, Mapping[str, Seeds]],
    accuracy: Mapping[str, Mapping[str, Seeds]] | None = None,
    *,
    alt: str,
    notes: Mapping[float, str] | None = None,
    first_epoch: int = 1,
    loss_label: str = "loss",
) -> BookFigure:
    """Loss, and accuracy below it, over epochs for one or several runs.

    Each seed is a thin line, their mean a thick one as far as every seed reaches. Colour and marker
    tell the runs apart, the dash tells training (dashed) from validation (solid).

    Args:
        loss: run -> split -> values, [E] for one seed or [S, E]; splits are "train" and "val".
        accuracy: the same for accuracies, fractions; None leaves the panel out.
        alt: what the figure shows.
        notes: epoch -> what happened there.
        first_epoch: number of the first epoch in the log.
        loss_label: quantity on the upper axis.

    Raises:
        ValueError: for empty mappings, NaN, another split, accuracies that are no fractions.

    Taught in chapter 2.

    >>> figure = learning_curves({"head": {"train": [0.9, 0.5], "val": [0.8, 0.6]}},
    ...                          alt="Both losses fall.")
    """
    looks = series(list(loss))
    if accuracy is not None and list(accuracy) != list(loss):
        raise ValueError(f"accuracy has {list(accuracy)}, loss has {list(loss)}: pass the same runs")
    splits = sorted({split for row in loss.values() for split in row})
    dashes: dict[str, Any] = {"train": "--", "val": "-"}
    panels = _panels(loss, accuracy, loss_label)
    with house_style():
        figure = BookFigure(alt=alt, height=1.3 + 2.3 * len(panels) + 0.2 * len(notes or {}))
        axes = [*np.atleast_1d(figure.subplots(len(panels), 1, sharex=True))]
        for ax, (label, runs, scale) in zip(axes, panels, strict=True):
            for name, row in runs.items():
                for split, values in row.items():
                    if split not in dashes:
                        raise ValueError(f"{name!r} has split {split!r}: pass 'train' and 'val'")
                    what = f"{label} of {name!r}, {split}"
                    look = (looks[name].colour, looks[name].marker, dashes[split])
                    _runs_and_mean(ax, _seed_rows(values, what, scale), first_epoch, look)
            ax.set_ylabel(label)
        key = _epoch_axis(axes, notes, first_epoch)
        handles: list[Artist] = [Line2D([], [], color=k.colour, marker=k.marker, label=n) for n, k in looks.items()]
        handles = [] if len(looks) == 1 else handles
        handles += [Line2D([], [], color=GREY, linestyle=dashes[s], label=s) for s in splits]
        add_legend(figure, handles)
        most = max(len(_seed_rows(v, "", 1.0)) for row in loss.values() for v in row.values())
        seeds = f"thin lines: single seeds, up to {most}; thick lines: their mean" if most > 1 else None
        add_footnote(figure, seeds, key=key)
    return figure


def annotated_log(
    loss: Mapping[str, ArrayLike],
    accuracy: Mapping[str, ArrayLike],
    *,
    alt: str,
    notes: Mapping[float, str] | None = None,
    first_epoch: int = 0,
    footnote: str | None = None,
) -> BookFigure:
    """A training log: loss and accuracy of each split over the epochs, with notes.

    Args:
        loss: split -> values, [E].
        accuracy: the same splits -> fractions, [E].
        alt: what the figure shows.
        notes: epoch (between two epochs: a half) -> what happened there.
        first_epoch: number of the first epoch in the log.
        footnote: one more line below, such as the number of items.

    Raises:
        ValueError: for differing splits or lengths, NaN, accuracies that are no fractions.

    Taught in chapter 2.

    >>> figure = annotated_log({"train": [0.58, 0.57]}, {"train": [0.75, 0.76]},
    ...                        notes={1: "second epoch"}, alt="Two epochs of training.")
    """
    looks = series(list(loss))
    if list(accuracy) != list(loss):
        raise ValueError(f"accuracy has {list(accuracy)}, loss has {list(loss)}: pass the same")
    with house_style():
        figure = BookFigure(alt=alt, height=5.6 + 0.2 * len(notes or {}))
        axes = [*figure.subplots(2, 1, sharex=True)]
        lengths = set()
        for ax, rows, label in ((axes[0], loss, "loss"), (axes[1], accuracy, "accuracy (%)")):
            for split, values in rows.items():
                array = checked_array(values, f"{label}, {split}")
                if label != "loss":
                    array = 100 * checked_rates(array, f"{label}, {split}")
                lengths.add(array.size)
                look = looks[split]
                epochs = first_epoch + np.arange(array.size)
                ax.plot(epochs, array, color=look.colour, marker=look.marker, linestyle=look.dash)
            ax.set_ylabel(label)
        if len(lengths) > 1:
            raise ValueError(f"the splits have {sorted(lengths)} epochs: pass one length")
        key = _epoch_axis(axes, notes, first_epoch)
        add_legend(figure, [line_handle(look, split) for split, look in looks.items()])
        add_footnote(figure, footnote, key=key)
    return figure


def size_curve(
    curves: Mapping[str, Mapping[int, Estimate]],
    *,
    alt: str,
    x_label: str = "training images per class (log scale)",
    y_label: str = "accuracy (%)",
    chance: float | None = None,
    footnote: str | None = "bands: 95 % interval",
    ylim: tuple[float, float] | None = None,
) -> BookFigure:
    """Accuracy against the number of images per class, on a log axis, with interval bands.

    Args:
        curves: method -> images per class -> (value, low, high), fractions.
        alt: what the figure shows.
        x_label: quantity of the sizes.
        y_label: quantity of the estimates.
        chance: a horizontal line, a fraction.
        footnote: a line below.
        ylim: ends of the vertical axis, fractions; None shows what there is.

    Raises:
        ValueError: for an empty mapping, sizes not above 0, NaN, values that are no fractions.

    Taught in chapter 4.

    >>> figure = size_curve({"head": {10: (0.7, 0.6, 0.8), 100: (0.85, 0.82, 0.88)}},
    ...                     alt="More images help.")
    """
    table = checked_table(curves, "curves", same_keys=False)
    marks = {} if chance is None else {100 * chance: f"{percent(chance)}, by chance"}
    with house_style():
        figure = BookFigure(alt=alt, height=4.0)
        ax = figure.add_subplot()
        _bands(ax, table)
        ax.set(xlabel=x_label, ylabel=y_label)
        if ylim is not None:
            ax.set_ylim(100 * ylim[0], 100 * ylim[1])
        elif chance is not None:
            ax.set_ylim(min(ax.get_ylim()[0], 100 * chance - 3), None)
        key = mark_positions([ax], marks, along="y")
        _curve_legend(figure, list(table))
        add_footnote(figure, footnote, key=key)
    return figure


def best_of_k(
    curves: Mapping[str, Mapping[int, Estimate]],
    *,
    truth: float,
    alt: str,
    x_label: str = "tries k (log scale)",
    y_label: str = "best score of k (%)",
    footnote: str | None = "bands: 95 % of the repetitions",
) -> BookFigure:
    """The optimism of the best of k: what the best score says when nothing got better.

    Args:
        curves: name -> k -> (mean of the best, low, high), fractions.
        truth: the accuracy that every try really has.
        alt: what the figure shows.
        x_label: quantity along the axis.
        y_label: quantity of the scores.
        footnote: a line below.

    Raises:
        ValueError: as `size_curve`, or if `truth` is no fraction.

    Taught in chapter 3.

    >>> figure = best_of_k({"n = 200": {1: (0.9, 0.86, 0.94), 10: (0.93, 0.91, 0.96)}}, truth=0.9,
    ...                    alt="The best of ten is three points too good.")
    """
    table = checked_table(curves, "curves", same_keys=False)
    level = 100 * float(checked_rates(checked_array([truth], "truth"), "truth")[0])
    with house_style():
        figure = BookFigure(alt=alt, height=4.0)
        ax = figure.add_subplot()
        _bands(ax, table)
        ax.set(xlabel=x_label, ylabel=y_label)
        ax.set_ylim(min(ax.get_ylim()[0], level - 0.5), max(ax.get_ylim()[1], level + 0.5))
        key = mark_positions([ax], {level: f"{level:g} %, the accuracy of every try"}, along="y")
        _curve_legend(figure, list(table))
        add_footnote(figure, footnote, key=key)
    return figure


def interval_width(
    half_widths: Mapping[str, Mapping[int, float]],
    *,
    alt: str,
    sizes: Mapping[int, str] | None = None,
    margins: Mapping[float, str] | None = None,
    x_label: str = "test items n (log scale)",
    y_label: str = "interval half-width (points)",
) -> BookFigure:
    """Half-width of an interval against the number of test items.

    Args:
        half_widths: name -> n -> half-width, a fraction.
        alt: what the figure shows.
        sizes: n -> whose test set that is; lettered above.
        margins: difference, a fraction -> whose difference that is; lettered at the right.
        x_label: quantity along the axis.
        y_label: quantity of the half-widths.

    Raises:
        ValueError: for an empty mapping, n not above 0, NaN, or a mark outside the axes.

    Taught in chapter 3.

    >>> figure = interval_width({"90 %": {100: 0.059, 1000: 0.0186}}, sizes={212: "debris"},
    ...                         alt="Ten times the items, a third of the width.")
    """
    looks = series(list(half_widths))
    with house_style():
        figure = BookFigure(alt=alt, height=4.1 + 0.2 * (len(sizes or {}) + len(margins or {})))
        ax = figure.add_subplot()
        every: set[float] = set()
        for name, row in half_widths.items():
            n = positive(list(row), f"half_widths[{name!r}]")
            width = 100 * checked_rates(checked_array(list(row.values()), f"half_widths[{name!r}]"), f"{name!r}")
            every.update(n)
            look = looks[name]
            ax.plot(n, width, color=look.colour, linestyle=look.dash, marker=look.marker)
        ax.set(xlabel=x_label, ylabel=y_label)
        _log_axis(ax, sorted(every))
        ax.set_ylim(0, None)
        key = mark_positions([ax], sizes or {})
        lines = {100 * float(k): text for k, text in (margins or {}).items()}
        key += mark_positions([ax], lines, along="y", first=len(key))
        _curve_legend(figure, list(half_widths))
        add_footnote(figure, key=key)
    return figure


def probe_by_depth(
    curves: Mapping[str, Mapping[str, Estimate]],
    *,
    alt: str,
    chance: Mapping[str, float] | None = None,
    x_label: str = "layer whose features are probed, shallow to deep",
    y_label: str = "accuracy (%)",
    footnote: str | None = "whiskers: 95 % interval",
) -> BookFigure:
    """Accuracy of a linear probe against the layer that it reads, for one or several sets.

    Args:
        curves: set -> layer -> (value, low, high), fractions; the same layers for every set.
        alt: what the figure shows.
        chance: set -> score of guessing, a fraction, drawn as a thin line in the set's look.
        x_label: quantity along the axis.
        y_label: quantity of the estimates.
        footnote: a line below.

    Raises:
        ValueError: for an empty mapping, differing layers, NaN, values that are no fractions.

    Taught in chapter 5.

    >>> figure = probe_by_depth({"solar": {"stem": (0.6, 0.55, 0.65), "head": (0.68, 0.63, 0.72)}},
    ...                         alt="The deep layer is ahead.")
    """
    table = checked_table(curves, "curves")
    looks = series(list(table))
    unknown = set(chance or {}) - set(table)
    if unknown:
        raise ValueError(f"chance names {sorted(unknown)}: the curves are {list(table)}")
    layers = list(next(iter(table.values())))
    with house_style():
        figure = BookFigure(alt=alt, height=4.0)
        ax = figure.add_subplot()
        for index, (name, row) in enumerate(table.items()):
            shift = 0.09 * (index - (len(table) - 1) / 2)  # whiskers side by side, not on top
            value, low, high = np.array(list(row.values())).T
            at, look = np.arange(len(layers)) + shift, looks[name]
            ax.vlines(at, low, high, color=look.colour, linewidth=1.6)
            ax.plot(at, value, color=look.colour, linestyle=look.dash, marker=look.marker)
            if chance and name in chance:
                ax.axhline(100 * chance[name], color=look.colour, linestyle=look.dash, linewidth=0.9)
        ax.set_xticks(range(len(layers)), [wrapped_name(layer, 10) for layer in layers])
        ax.set(xlabel=x_label, ylabel=y_label)
        _curve_legend(figure, list(table))
        thin = "thin level lines: chance, one for each set" if chance else None
        add_footnote(figure, footnote, thin)
    return figure


def time_and_accuracy(
    points: Mapping[str, tuple[float, Estimate]],
    *,
    alt: str,
    x_label: str = "training time (s, log scale)",
    y_label: str = "accuracy (%)",
    footnote: str | None = "whiskers: 95 % interval",
) -> BookFigure:
    """Seconds against accuracy, each point labelled where it covers nothing.

    Args:
        points: method -> (seconds, (value, low, high)), the estimate in fractions.
        alt: what the figure shows.
        x_label: cost and unit.
        y_label: quantity of the estimates.
        footnote: a line below, such as the machine.

    Raises:
        ValueError: for an empty mapping, seconds not above 0, NaN, values that are no fractions.

    Taught in chapter 5.

    >>> figure = time_and_accuracy({"head": (12.0, (0.89, 0.85, 0.92))}, alt="One point.")
    """
    if not points:
        raise ValueError("points is empty: pass at least one method")
    seconds = positive([p[0] for p in points.values()], "seconds")
    table = [checked_estimate(p[1], f"points[{k!r}]") for k, p in points.items()]
    with house_style():
        figure = BookFigure(alt=alt, height=4.2)
        ax = figure.add_subplot()
        for x, (value, low, high) in zip(seconds, table, strict=True):
            ax.vlines(x, low, high, color=PALETTE[0], linewidth=1.6)
            ax.plot([x], [value], "o", color=PALETTE[0], markersize=8)
        ax.set(xlabel=x_label, ylabel=y_label)
        ax.set_xscale("log")
        ax.set_xlim(seconds.min() / 2.2, seconds.max() * 2.2)
        # One decade or less would have a single label, or powers with a factor: 2 and 5 are labelled there, too.
        subs = (1.0, 2.0, 5.0) if seconds.max() / seconds.min() < 100 else (1.0,)
        ax.xaxis.set_major_locator(LogLocator(subs=subs))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.margins(y=0.1)
        add_footnote(figure, footnote)
        _label_points(figure, ax, list(points), seconds, np.array(table))
    return figure


# ---------------------------------------------------------------------------- pieces


def _panels(
    loss: Mapping[str, Mapping[str, Seeds]],
    accuracy: Mapping[str, Mapping[str, Seeds]] | None,
    loss_label: str,
) -> list[tuple[str, Mapping[str, Mapping[str, Seeds]], float]]:
    panels = [(loss_label, loss, 1.0)]
    return panels if accuracy is None else [*panels, ("accuracy (%)", accuracy, 100.0)]


def _seed_rows(values: Seeds, what: str, scale: float) -> list[Floats]:
    """One array for each seed."""
    rows: list[Any] = list(values) if np.iterable(values) else [values]
    if not rows:
        raise ValueError(f"{what} is empty: pass the values of at least one epoch")
    if not np.iterable(rows[0]):
        rows = [rows]
    arrays = [checked_array(row, f"{what}, seed {i}") for i, row in enumerate(rows)]
    if scale != 1.0:
        arrays = [scale * checked_rates(a, what) for a in arrays]
    return arrays


def _runs_and_mean(ax: Axes, rows: list[Floats], first_epoch: int, look: tuple[str, str, Any]) -> None:
    colour, marker, dash = look
    if len(rows) > 1:
        for row in rows:
            epochs = first_epoch + np.arange(row.size)
            ax.plot(epochs, row, color=colour, linestyle=dash, linewidth=0.7, alpha=0.55)
    shared = min(row.size for row in rows)
    mean = np.mean([row[:shared] for row in rows], axis=0)
    every = max(1, shared // 8)
    ax.plot(
        first_epoch + np.arange(shared),
        mean,
        color=colour,
        linestyle=dash,
        marker=marker,
        markevery=every,
        linewidth=2.2,
    )


def _epoch_axis(axes: Sequence[Axes], notes: Mapping[float, str] | None, first_epoch: int) -> list[str]:
    axes[-1].set_xlabel("epoch")
    last = max(float(np.asarray(line.get_xdata())[-1]) for line in axes[0].get_lines())
    axes[0].set_xlim(first_epoch - 0.4, last + 0.4)
    axes[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
    key = mark_positions(axes, notes or {})
    return [f"{text[:3]}epoch {epoch:g}: {text[3:]}" for epoch, text in zip(sorted(notes or {}), key, strict=True)]


def _bands(ax: Axes, table: Mapping[str, Mapping[int, Floats]]) -> None:
    looks = series(list(table))
    for name, row in table.items():
        sizes = sorted(row)
        positive(sizes, f"sizes of {name!r}")
        value, low, high = np.array([row[size] for size in sizes]).T
        look = looks[name]
        ax.fill_between(sizes, low, high, color=look.colour, alpha=0.16, linewidth=0)
        for edge in (low, high):
            ax.plot(sizes, edge, color=look.colour, linestyle=look.dash, linewidth=0.7)
        ax.plot(sizes, value, color=look.colour, linestyle=look.dash, marker=look.marker)
    _log_axis(ax, sorted({size for row in table.values() for size in row}))


def _log_axis(ax: Axes, values: Sequence[float]) -> None:
    """A log axis whose ticks are sizes that were measured, as far as their labels have room."""
    ax.set_xscale("log")
    ticks = thinned(values, 0.11)
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])


def _curve_legend(figure: BookFigure, names: Sequence[str]) -> None:
    if len(names) > 1:
        add_legend(figure, [line_handle(look, name) for name, look in series(names).items()])


def _label_points(figure: BookFigure, ax: Axes, names: Sequence[str], seconds: Floats, table: Floats) -> None:
    """Put each label where it covers least and is nearest to its own point."""
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    own = [_occupied(figure, ax, x, row) for x, row in zip(seconds, table, strict=True)]
    labels: list[Bbox] = []
    for index, (name, x, (value, low, high)) in enumerate(zip(names, seconds, table, strict=True)):
        best: tuple[float, Annotation] | None = None
        for y, (dx, dy), side in _label_places(value, low, high):
            vertical = {0: "center", 1: "bottom", -1: "top"}[int(np.sign(dy)) if dx == 0 else 0]
            label = ax.annotate(name, (x, y), (dx, dy), textcoords="offset points", ha=side, va=vertical)
            box = label.get_window_extent(renderer)
            frame = ax.get_window_extent(renderer)
            cost = 50 * (box.width * box.height - _overlap(box, frame))
            cost += 10 * sum(_overlap(box, other) for other in [*own, *labels])
            distance = [_distance(box, other) for other in own]
            nearest = min((d for i, d in enumerate(distance) if i != index), default=1e9)
            cost += abs(dy) + 100 * max(0.0, 2.5 * distance[index] - nearest)
            if best is None or cost < best[0]:
                if best is not None:
                    best[1].remove()
                best = (cost, label)
            else:
                label.remove()
        if best is not None:
            labels.append(best[1].get_window_extent(renderer))


def _label_places(
    value: float, low: float, high: float
) -> list[tuple[float, tuple[int, int], Literal["left", "right", "center"]]]:
    """Height on the point's whisker, offset in points, alignment: right and left of it first."""
    places: list[tuple[float, tuple[int, int], Literal["left", "right", "center"]]] = []
    for y in (value, low, high, (value + low) / 2, (value + high) / 2):
        places += [(y, (9, 0), "left"), (y, (-9, 0), "right")]
    for side in ("center", "right", "left"):
        places += [(high, (0, 4), side), (low, (0, -4), side)]
    return places


def _occupied(figure: BookFigure, ax: Axes, x: float, row: Floats) -> Bbox:
    """Where a point and its whisker lie, in pixels."""
    ends = ax.transData.transform([(x, row[1]), (x, row[2])])
    half = 5 * figure.dpi / 72
    return Bbox.from_extents(ends[0, 0] - half, ends[0, 1], ends[0, 0] + half, ends[1, 1])


def _distance(a: Bbox, b: Bbox) -> float:
    across = max(0.0, a.x0 - b.x1, b.x0 - a.x1)
    along = max(0.0, a.y0 - b.y1, b.y0 - a.y1)
    return float(np.hypot(across, along))


def _overlap(a: Bbox, b: Bbox) -> float:
    shared = Bbox.intersection(a, b)
    return 0.0 if shared is None else float(shared.width * shared.height)
