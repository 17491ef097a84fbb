"""Bars, differences and distributions: how much, how sure, how spread.

A bar starts at zero, always: its length is what is read. Rates go in as fractions and are drawn in
per cent, differences of rates in points.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.transforms import blended_transform_factory
from numpy.typing import ArrayLike

from clslab.plots.style import (
    GREY,
    INK,
    PALE,
    PALETTE,
    WHITE,
    BookFigure,
    Estimate,
    Floats,
    Series,
    add_footnote,
    add_legend,
    checked_array,
    checked_estimate,
    checked_table,
    house_style,
    line_handle,
    mark_positions,
    percent,
    series,
    wrapped_name,
)

MOST_ROWS = 24


def score_bars(
    estimates: Mapping[str, Mapping[str, Estimate]],
    *,
    n: int | Mapping[str, int],
    seeds: int,
    alt: str,
    x_label: str = "accuracy (%)",
    chance: float | None = None,
    interval: str = "95 % interval",
) -> BookFigure:
    """Horizontal bars with intervals: methods by sets.

    Args:
        estimates: method -> set -> (value, low, high), fractions; the same sets for every method.
        n: items of every set, or of each.
        seeds: how many runs each bar is the mean of.
        alt: what the figure shows, for readers who cannot see it.
        x_label: quantity and unit.
        chance: score of guessing or of the majority class, drawn as a line.
        interval: what the whiskers are.

    Raises:
        ValueError: for an empty `alt` or mapping, NaN, values that are no fractions.

    Taught in chapter 1.

    >>> figure = score_bars({"linear head": {"test": (0.89, 0.85, 0.92)}}, n=212, seeds=5,
    ...                     alt="One bar: the linear head reaches 89 % on the test set.")
    >>> figure.clslab_alt
    'One bar: the linear head reaches 89 % on the test set.'
    """
    table = checked_table(estimates, "estimates")
    sets = list(next(iter(table.values())))
    looks = series(sets)
    rows = len(table) * len(sets)
    with house_style():
        figure = BookFigure(alt=alt, height=1.6 + 0.34 * rows + 0.15 * len(table))
        ax = figure.add_subplot()
        for place, row in enumerate(table.values()):
            for index, name in enumerate(sets):
                y = place + (index + 0.5) / len(sets) * 0.8 - 0.4
                _bar_with_interval(ax, y, row[name], 0.72 / len(sets), looks[name])
        _rows(ax, list(table))
        ax.set_xlim(0, 100)
        ax.set_xlabel(x_label)
        key = []
        if chance is not None:
            line = {100 * float(checked_array([chance], "chance")[0]): f"{percent(chance)}, by chance"}
            key = mark_positions([ax], line)
        if len(sets) > 1:
            add_legend(figure, [_patch(looks[name], name) for name in sets])
        add_footnote(figure, _basis(n, seeds, interval), key=key)
    return figure


def leak_bars(
    random: Mapping[str, Estimate],
    grouped: Mapping[str, Estimate],
    difference: Mapping[str, Estimate],
    *,
    alt: str,
    x_label: str = "accuracy (%)",
    n: int | Mapping[str, int] | None = None,
    seeds: int | None = None,
) -> BookFigure:
    """A random split against a grouped one, set by set, and the difference beside the pair.

    Args:
        random: set -> (value, low, high) under a random split, fractions.
        grouped: the same sets under a split that keeps groups whole.
        difference: set -> random minus grouped, (value, low, high), fractions.
        alt: what the figure shows.
        x_label: quantity and unit.
        n: test items; left out of the note if None.
        seeds: runs behind each bar.

    Raises:
        ValueError: if the sets differ, or an estimate is wrong.

    Taught in chapter 4.

    >>> figure = leak_bars({"solar": (0.795, 0.77, 0.82)}, {"solar": (0.713, 0.68, 0.74)},
    ...                    {"solar": (0.082, 0.05, 0.11)}, alt="Solar loses 8 points.")
    """
    table = checked_table({"random split": random, "grouped split": grouped}, "splits")
    names = list(random)
    if list(difference) != names:
        raise ValueError(f"difference has {list(difference)}, random has {names}: pass the same")
    gaps = [checked_estimate(difference[s], f"difference[{s!r}]", rate=False) for s in names]
    looks = series(list(table))
    with house_style():
        figure = BookFigure(alt=alt, height=1.9 + 0.8 * len(names))
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.5, 1))
        for place, name in enumerate(names):
            for offset, split in ((-0.2, "random split"), (0.2, "grouped split")):
                _bar_with_interval(left, place + offset, table[split][name], 0.36, looks[split])
            _difference(right, place, gaps[place])
            right.text(
                gaps[place][0],
                place - 0.14,
                _signed(gaps[place][0]),
                ha="center",
                va="bottom",
                bbox={"facecolor": WHITE, "edgecolor": "none", "pad": 0.5},
            )
        _rows(left, names, width=12)
        left.set(xlim=(0, 100), xlabel=x_label)
        right.axvline(0, color=INK, linewidth=1.0)
        right.set_xlabel("difference (points)")
        right.tick_params(axis="y", length=0)
        right.margins(x=0.12)
        add_legend(figure, [_patch(look, split) for split, look in looks.items()])
        add_footnote(figure, _basis(n, seeds, "95 % interval") if n and seeds else None)
    return figure


def forest(
    differences: Mapping[str, Estimate],
    *,
    alt: str,
    margin: float | None = None,
    x_label: str = "difference (points)",
    favours: tuple[str, str] | None = None,
    xlim: tuple[float, float] | None = None,
    footnote: str | None = None,
) -> BookFigure:
    """Forest plot: differences with intervals, the zero line and the band of what would not matter.

    Args:
        differences: comparison -> (difference, low, high), as fractions.
        alt: what the figure shows.
        margin: the smallest difference that matters, a fraction above 0; drawn as a band about 0.
        x_label: quantity and unit.
        favours: what lies left and right of zero.
        xlim: ends of the axis, fractions, so that frames of a slider can be compared; None shows what there is.
        footnote: one more line below.

    Raises:
        ValueError: for an empty mapping, NaN, a value outside its interval, a margin not above 0.

    Taught in chapter 3.

    >>> figure = forest({"Adam - SGD": (0.02, 0.011, 0.029)}, margin=0.01, alt="Adam is ahead.")
    """
    if not differences:
        raise ValueError("differences is empty: pass at least one comparison")
    if margin is not None and not 0 < margin < 1:
        raise ValueError(f"margin is {margin!r}: pass a fraction in (0, 1), 0.01 for one point")
    rows = {k: checked_estimate(v, f"differences[{k!r}]", rate=False) for k, v in differences.items()}
    with house_style():
        figure = BookFigure(alt=alt, height=1.7 + 0.55 * len(rows))
        ax = figure.add_subplot()
        if margin is not None:
            ax.axvspan(-100 * margin, 100 * margin, color=PALE, zorder=0.5)
        ax.axvline(0, color=INK, linewidth=1.0)
        edge = blended_transform_factory(ax.transAxes, ax.transData)
        for place, (value, low, high) in enumerate(rows.values()):
            _difference(ax, place, np.array([value, low, high]))
            text = f"{_signed(value)} [{_signed(low)}, {_signed(high)}]"
            ax.text(1.02, place, text, transform=edge, va="center")
        _rows(ax, list(rows), width=16)
        ax.set_xlabel(x_label)
        ax.margins(x=0.08)
        if xlim is not None:
            ax.set_xlim(100 * xlim[0], 100 * xlim[1])
        band = f"shaded: within ±{100 * margin:g} points, too small to matter" if margin else None
        sides = f"left of 0: {favours[0]}; right of 0: {favours[1]}" if favours else None
        add_footnote(figure, sides, band, footnote)
    return figure


def distribution(
    samples: Mapping[str, ArrayLike],
    *,
    x_label: str,
    alt: str,
    references: Mapping[float, str] | None = None,
    bins: int = 24,
    percent: bool = False,
    y_label: str = "share of runs (%)",
    panels: bool = False,
) -> BookFigure:
    """Histograms of one or several samples on common bins, with lettered reference lines.

    Args:
        samples: name -> values, 1-D.
        x_label: quantity and unit.
        alt: what the figure shows.
        references: position (in the units of `samples`) -> what it is.
        bins: number of equal-width bins over all samples.
        percent: draw the values times 100.
        y_label: what a bar counts; heights are shares within each sample.
        panels: one panel for each sample, one below the other, in place of overlaid histograms.

    Raises:
        ValueError: for an empty sample, NaN, or fewer than 2 bins.

    Taught in chapter 3.

    >>> figure = distribution({"seed": [0.88, 0.89, 0.89, 0.9]}, x_label="accuracy (%)",
    ...                       percent=True, alt="Four runs between 88 and 90 %.", bins=4)
    """
    looks = series(list(samples))
    scale = 100.0 if percent else 1.0
    values = {k: scale * checked_array(v, f"samples[{k!r}]") for k, v in samples.items()}
    lines = {scale * float(k): text for k, text in (references or {}).items()}
    edges = _common_edges(
        [*values.values(), checked_array([*lines] or [0.0], "references")] if lines else [*values.values()], bins
    )
    with house_style():
        rows = len(values) if panels else 1
        figure = BookFigure(alt=alt, height=(0.9 + 1.3 * rows if panels else 3.6) + 0.2 * len(lines))
        axes = list(np.atleast_1d(figure.subplots(rows, 1, sharex=True)))
        for index, (name, array) in enumerate(values.items()):
            _histogram(axes[index % rows], array, edges, looks[name])
        for ax in axes:
            ax.set(ylabel="share (%)" if panels else y_label, xlim=(edges[0], edges[-1]), ylim=(0, None))
        axes[-1].set_xlabel(x_label)
        key = mark_positions(axes, lines)
        if len(values) > 1:
            add_legend(figure, [_patch(looks[k], f"{k}, n = {v.size:,}") for k, v in values.items()])
        else:
            key = [f"n = {next(iter(values.values())).size:,}", *key]
        add_footnote(figure, key=key)
    return figure


def batch_norm_modes(
    activations: Mapping[str, ArrayLike],
    *,
    alt: str,
    x_label: str = "activation of one channel",
    bins: int = 40,
) -> BookFigure:
    """One channel before batch norm and after it in train and eval mode, on one common axis.

    Args:
        activations: stage ("before", "train mode", "eval mode") -> values, 1-D.
        alt: what the figure shows.
        x_label: quantity and unit.
        bins: number of equal-width bins over all stages.

    Raises:
        ValueError: for an empty stage or NaN.

    Taught in chapter 0.

    >>> figure = batch_norm_modes({"before": [2.0, 4.0], "train mode": [-1.0, 1.0],
    ...                            "eval mode": [0.0, 2.0]}, alt="Only train mode centres.", bins=5)
    """
    looks = series(list(activations))
    values = {k: checked_array(v, f"activations[{k!r}]") for k, v in activations.items()}
    edges = _common_edges([*values.values()], bins)
    with house_style():
        figure = BookFigure(alt=alt, height=0.9 + 1.35 * len(values))
        panels = np.atleast_1d(figure.subplots(len(values), 1, sharex=True))
        for ax, (name, array) in zip(panels, values.items(), strict=True):
            _histogram(ax, array, edges, looks[name])
            ax.axvline(array.mean(), color=INK, linewidth=1.4, linestyle="--")
            ax.set_title(f"{name}: mean {_signed(array.mean(), 2)}, sd {array.std():.2f}", loc="left")
            ax.set(xlim=(edges[0], edges[-1]), ylim=(0, None), ylabel="share (%)")
            ax.locator_params(axis="y", nbins=3)
        panels[-1].set_xlabel(x_label)
        add_footnote(figure, "dashed line: mean of the values shown")
    return figure


def parameter_bars(
    counts: Mapping[str, tuple[int, int]],
    *,
    alt: str,
    x_label: str = "parameters (millions)",
) -> BookFigure:
    """What is trained in each scenario: parameters that learn and parameters that are frozen.

    Args:
        counts: scenario -> (trained, all) numbers of parameters.
        alt: what the figure shows.
        x_label: quantity and unit.

    Raises:
        ValueError: for an empty mapping, or if trained is not between 0 and all.

    Taught in chapter 5.

    >>> figure = parameter_bars({"head": (2562, 3373570), "all": (3373570, 3373570)},
    ...                         alt="The head is a thousandth of the network.")
    """
    if not counts:
        raise ValueError("counts is empty: pass at least one scenario with (trained, all)")
    looks = series(["trained", "frozen"])
    for name, (trained, total) in counts.items():
        if not 0 <= trained <= total or total == 0:
            raise ValueError(f"counts[{name!r}] is {(trained, total)}: pass (trained, all), trained <= all")
    with house_style():
        figure = BookFigure(alt=alt, height=1.25 + 0.72 * len(counts))
        ax = figure.add_subplot()
        for place, (name, (trained, total)) in enumerate(counts.items()):
            ax.barh(place, trained / 1e6, 0.42, color=looks["trained"].colour)
            ax.barh(place, (total - trained) / 1e6, 0.42, left=trained / 1e6, **_frozen_style())
            share = f"{trained:,} of {total:,} trained ({_share(trained / total)})"
            ax.text(0.012, place - 0.27, f"{name}: {share}", va="bottom", transform=ax.get_yaxis_transform())
        ax.set(yticks=[], xlabel=x_label, ylim=(len(counts) - 0.65, -0.75))
        ax.grid(visible=False)  # grid lines would cross the text above the bars
        ax.set_xlim(0, 1.03 * max(total for _, total in counts.values()) / 1e6)
        add_legend(
            figure,
            [_patch(looks["trained"], "trained"), Patch(label="frozen", **_frozen_style())],
        )
    return figure


def moved_buffers(
    changes: Mapping[str, Mapping[str, float]],
    *,
    alt: str,
    x_label: str = "relative change (%)",
) -> BookFigure:
    """How far buffers, such as running means, moved during training, layer by layer.

    Args:
        changes: condition -> buffer -> relative change, |after - before| / |before|, a fraction.
        alt: what the figure shows.
        x_label: quantity and unit.

    Raises:
        ValueError: for differing buffers, negative or missing values, or more than 24 buffers.

    Taught in chapter 5.

    >>> figure = moved_buffers({"train mode": {"bn1.running_mean": 0.31},
    ...                         "eval mode": {"bn1.running_mean": 0.0}}, alt="Eval mode: still.")
    """
    looks = series(list(changes))
    names = list(next(iter(changes.values())))
    if len(names) > MOST_ROWS:
        raise ValueError(f"{len(names)} buffers: at most {MOST_ROWS} rows can be read; average them by stage")
    with house_style():
        figure = BookFigure(alt=alt, height=1.5 + 0.32 * len(names))
        ax = figure.add_subplot()
        for index, (condition, row) in enumerate(changes.items()):
            if list(row) != names:
                raise ValueError(f"changes[{condition!r}] has {list(row)}, the first has {names}")
            values = 100 * checked_array(list(row.values()), f"changes[{condition!r}]")
            if (values < 0).any():
                raise ValueError(f"changes[{condition!r}] has {values.min() / 100:g}: pass sizes")
            places = np.arange(len(names)) + (index - (len(changes) - 1) / 2) * 0.24
            look = looks[condition]
            ax.hlines(places, 0, values, color=look.colour, linestyle=look.dash, linewidth=1.4)
            ax.plot(values, places, look.marker, color=look.colour, clip_on=False)
        _rows(ax, names, width=26)
        ax.tick_params(axis="y", pad=9)  # a point at zero lies on the axis
        ax.set_xlim(0, None)
        ax.set_xlabel(x_label)
        if len(changes) > 1:
            add_legend(figure, [line_handle(look, name) for name, look in looks.items()])
    return figure


# ---------------------------------------------------------------------------- pieces


def _bar_with_interval(ax: Axes, y: float, estimate: Floats, height: float, look: Series) -> None:
    value, low, high = estimate
    ax.barh(y, value, height, color=look.colour, hatch=look.hatch, edgecolor=WHITE)
    ax.plot([low, high], [y, y], color=INK, linewidth=1.6)
    ax.plot([low, high], [y, y], "|", color=INK, markersize=7, markeredgewidth=1.6)
    # At the foot of the bar, on white: beyond the whisker it would leave the axes near 100 %.
    ax.text(
        1.5 if low > 18 else high + 2.5,
        y,
        f"{value:.1f}",
        va="center",
        ha="left",
        bbox={"facecolor": WHITE, "edgecolor": "none", "pad": 1.5},
    )


def _difference(ax: Axes, y: float, estimate: Floats) -> None:
    value, low, high = estimate
    ax.plot([low, high], [y, y], color=PALETTE[0], linewidth=2.0)
    ax.plot([low, high], [y, y], "|", color=PALETTE[0], markersize=9, markeredgewidth=2.0)
    ax.plot([value], [y], "o", color=PALETTE[0], markersize=7)


def _histogram(ax: Axes, values: Floats, edges: Floats, look: Series) -> None:
    shares = 100 * np.histogram(values, edges)[0] / values.size
    ax.stairs(
        shares, edges, fill=True, facecolor=(look.colour, 0.25), edgecolor=look.colour, hatch=look.hatch, linewidth=0.0
    )
    ax.stairs(shares, edges, color=look.colour, linestyle=look.dash, linewidth=1.6)


def _common_edges(arrays: list[Floats], bins: int) -> Floats:
    if bins < 2:
        raise ValueError(f"bins is {bins}: a histogram needs at least 2")
    low, high = min(a.min() for a in arrays), max(a.max() for a in arrays)
    pad = 0.02 * (high - low) or 0.5
    return np.linspace(low - pad, high + pad, bins + 1)


def _rows(ax: Axes, names: list[str], *, width: int = 18) -> None:
    ax.set_yticks(range(len(names)), [wrapped_name(name, width) for name in names])
    ax.set_ylim(len(names) - 0.45, -0.55)  # the first row on top, as in a table
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")


def _patch(look: Series, label: str) -> Patch:
    return Patch(facecolor=look.colour, hatch=look.hatch, edgecolor=WHITE, label=label)


def _frozen_style() -> dict[str, Any]:
    return {"facecolor": PALE, "hatch": "///", "edgecolor": GREY, "linewidth": 0.8}


def _basis(n: int | Mapping[str, int], seeds: int, interval: str) -> str:
    sizes = n if isinstance(n, Mapping) else {"": n}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"n is {size} {name}: pass the number of items, at least 1")
    if seeds < 1:
        raise ValueError(f"seeds is {seeds}: pass the number of runs, at least 1")
    items = ", ".join(f"{size:,} {name}".strip() for name, size in sizes.items())
    runs = "one seed" if seeds == 1 else f"{seeds} seeds"
    return f"n = {items}; {runs}; whiskers: {interval}"


def _signed(value: float, digits: int = 1) -> str:
    text = f"{value:+.{digits}f}"
    return f"{0:.{digits}f}" if float(text) == 0 else text.replace("-", "−")


def _share(share: float) -> str:
    return percent(share, 2 if 0 < share < 0.01 else 0)
