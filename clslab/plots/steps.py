"""Time in a training step: its parts, what runs beside what, what a monitor shows, and how much faster it got.

Seconds go in; they are drawn in milliseconds where they are parts of a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from clslab.plots.style import (
    INK,
    PALETTE,
    WHITE,
    BookFigure,
    Estimate,
    Floats,
    Series,
    add_footnote,
    add_legend,
    checked_array,
    checked_rates,
    house_style,
    same_length,
    series,
    wrapped_name,
)

MOST_PANELS = 6

Block = tuple[float, float, str]
"""A piece of work on a lane: (start, length, label)."""


def step_timeline(
    seconds: Mapping[str, Mapping[str, ArrayLike]],
    *,
    alt: str,
    y_label: str = "time (ms)",
    footnote: str | None = None,
) -> BookFigure:
    """The parts of every training step as stacked bars, one panel per loader, on one scale.

    Args:
        seconds: loader -> part (waiting, forward, …) -> [S] seconds, one for each step; the same parts for all.
        alt: what the figure shows.
        y_label: quantity and unit.
        footnote: one more line below.

    Raises:
        ValueError: for no loader or more than 6, other parts in one of them, no step, NaN, or negative seconds.

    Taught in chapter 8.

    >>> figure = step_timeline({"plain": {"waiting": [0.05, 0.06], "computing": [0.02, 0.02]}},
    ...                        alt="Two steps, mostly waiting.")
    """
    if not 1 <= len(seconds) <= MOST_PANELS:
        raise ValueError(f"{len(seconds)} loaders: pass 1 to {MOST_PANELS}, each becomes a panel")
    looks = series(list(next(iter(seconds.values()))))
    tables = {name: _checked_parts(name, parts, list(looks)) for name, parts in seconds.items()}
    with house_style():
        figure = BookFigure(alt=alt, height=1.5 + 1.25 * len(tables))
        panels = np.atleast_1d(figure.subplots(len(tables), 1, sharex=True, sharey=True))
        for ax, (name, parts) in zip(panels, tables.items(), strict=True):
            _stacked_steps(ax, parts, looks)
            ax.set_title(name, loc="left")
            ax.set_ylabel(y_label)
            ax.yaxis.set_major_locator(MaxNLocator(3))
        panels[0].set_ylim(0, None)
        longest = max(next(iter(parts.values())).size for parts in tables.values())
        panels[-1].set_xlim(0.4, longest + 0.6)
        panels[-1].set_xlabel("training step")
        panels[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
        add_legend(figure, [_patch(look, part) for part, look in looks.items()])
        add_footnote(figure, footnote)
    return figure


def speed_ups(
    ratios: Mapping[str, Estimate],
    *,
    alt: str,
    aims: Mapping[str, float] | None = None,
    x_label: str = "times as fast",
    footnote: str | None = None,
) -> BookFigure:
    """How many times as fast something became: bars with intervals, and a line at 1, as fast as before.

    Args:
        ratios: comparison -> (ratio, low, high), all above 0.
        alt: what the figure shows.
        aims: for some comparisons the ratio that was to be reached, drawn as a tick.
        x_label: quantity.
        footnote: one more line below.

    Raises:
        ValueError: for an empty mapping, NaN, a ratio that is not positive or outside its interval, an aim for a
            comparison that is not shown.

    Taught in chapter 8.

    >>> figure = speed_ups({"background thread": (1.8, 1.7, 1.9)}, alt="The thread makes it 1.8 times as fast.")
    """
    if not ratios:
        raise ValueError("ratios is empty: pass at least one comparison")
    rows = {name: _checked_ratio(name, ratio) for name, ratio in ratios.items()}
    aims = dict(aims or {})
    if not set(aims) <= set(rows):
        raise ValueError(f"aims has {sorted(set(aims) - set(rows))}, which ratios has not: name them alike")
    furthest = max(max(row[2] for row in rows.values()), 1.0, *aims.values())
    with house_style():
        figure = BookFigure(alt=alt, height=1.35 + 0.55 * len(rows))
        ax = figure.add_subplot()
        for place, (name, (value, low, high)) in enumerate(rows.items()):
            ax.barh(place, value, 0.56, color=PALETTE[0])
            ax.plot([low, high], [place, place], color=INK, linewidth=1.6)
            ax.plot([low, high], [place, place], "|", color=INK, markersize=7, markeredgewidth=1.6)
            if name in aims:
                aim = float(checked_array([aims[name]], f"aims[{name!r}]")[0])
                ax.plot([aim, aim], [place - 0.42, place + 0.42], color=PALETTE[1], linewidth=3.0)
            text = f"{value:.2f} [{low:.2f}, {high:.2f}]"
            ax.text(1.02, place, text, transform=ax.get_yaxis_transform(), va="center")
        ax.axvline(1.0, color=INK, linewidth=1.2, linestyle="--")
        ax.set_yticks(range(len(rows)), [wrapped_name(name, 18) for name in rows])
        ax.set_ylim(len(rows) - 0.45, -0.55)
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
        ax.set_xlim(0, 1.06 * furthest)
        ax.set_xlabel(x_label)
        tick = "upright tick: the aim" if aims else None
        add_footnote(figure, "dashed: as fast as before", tick, footnote)
    return figure


def lanes(
    panels: Mapping[str, Mapping[str, Sequence[Block]]],
    *,
    alt: str,
    x_label: str = "time (ms)",
    footnote: str | None = None,
) -> BookFigure:
    """What runs beside what: blocks of work on lanes along time, one panel per way of doing it.

    A lane has one colour in all panels. A label is written into its block if it fits.

    Args:
        panels: way -> lane (loader, copy, model, …) -> blocks (start, length, label); the same lanes for all.
        alt: what the figure shows.
        x_label: quantity and unit of start and length.
        footnote: one more line below; say there if the numbers are constructed.

    Raises:
        ValueError: for no panel or more than 6, other lanes in one of them, no block at all, NaN, a start or a length
            below 0, or blocks of one lane that overlap.

    Taught in chapter 8.

    >>> figure = lanes({"in turn": {"load": [(0, 4, "1")], "compute": [(4, 6, "1")]},
    ...                 "ahead": {"load": [(0, 4, "1"), (4, 4, "2")], "compute": [(4, 6, "1")]}},
    ...                alt="Reading ahead, the second batch loads while the first is computed.")
    """
    if not 1 <= len(panels) <= MOST_PANELS:
        raise ValueError(f"{len(panels)} panels: pass 1 to {MOST_PANELS}")
    names = list(next(iter(panels.values())))
    looks = series(names)
    tables = {panel: _checked_lanes(panel, rows, names) for panel, rows in panels.items()}
    end = max(start + length for rows in tables.values() for row in rows.values() for start, length, _ in row)
    with house_style():
        figure = BookFigure(alt=alt, height=0.9 + (0.5 + 0.34 * len(names)) * len(tables))
        axes = np.atleast_1d(figure.subplots(len(tables), 1, sharex=True, sharey=True))
        axes[0].set_xlim(0, 1.01 * end)
        for ax, (panel, rows) in zip(axes, tables.items(), strict=True):
            for place, (lane, blocks) in enumerate(rows.items()):
                for start, length, _ in blocks:
                    ax.barh(place, length, 0.74, left=start, color=looks[lane].colour, edgecolor=WHITE)
            ax.set_yticks(range(len(names)), names)
            ax.set_ylim(len(names) - 0.45, -0.55)
            ax.tick_params(axis="y", length=0)
            ax.grid(visible=False, axis="y")
            ax.set_title(panel, loc="left")
        axes[-1].set_xlabel(x_label)
        add_footnote(figure, footnote)
        _label_blocks(figure, list(axes), tables)
    return figure


def occupancy_log(
    logs: Mapping[str, ArrayLike],
    *,
    alt: str,
    every: float = 1.0,
    y_label: str = "busy (%)",
    footnote: str | None = None,
) -> BookFigure:
    """What a monitor shows of a device over time, one panel per run, on one scale.

    Args:
        logs: run -> [T] share of each sampling period in which the device was busy, fractions.
        alt: what the figure shows.
        every: length of a sampling period, in seconds.
        y_label: quantity and unit.
        footnote: one more line below.

    Raises:
        ValueError: for no run or more than 6, NaN, a value that is no fraction, or `every` not above 0.

    Taught in chapter 8.

    >>> figure = occupancy_log({"run A": [1.0, 0.2, 1.0, 0.2]}, every=0.5, alt="Up and down every second.")
    """
    if not 1 <= len(logs) <= MOST_PANELS:
        raise ValueError(f"{len(logs)} runs: pass 1 to {MOST_PANELS}, each becomes a panel")
    if not every > 0:
        raise ValueError(f"every is {every}: pass the seconds of a sampling period, above 0")
    rows = {
        name: 100 * checked_rates(checked_array(log, f"logs[{name!r}]"), f"logs[{name!r}]")
        for name, log in logs.items()
    }
    with house_style():
        figure = BookFigure(alt=alt, height=0.9 + 1.2 * len(rows))
        panels = np.atleast_1d(figure.subplots(len(rows), 1, sharex=True, sharey=True))
        for ax, (name, row) in zip(panels, rows.items(), strict=True):
            edges = every * np.arange(row.size + 1)
            ax.stairs(row, edges, fill=True, facecolor=(PALETTE[0], 0.25), edgecolor=PALETTE[0], linewidth=0.0)
            ax.stairs(row, edges, color=PALETTE[0], linewidth=1.6)
            ax.set(ylim=(0, 109), ylabel=y_label, yticks=(0, 50, 100))
            ax.set_title(f"{name}, mean {row.mean():.0f} %", loc="left")
        panels[0].set_xlim(0, every * max(row.size for row in rows.values()))
        panels[-1].set_xlabel("time (s)")
        add_footnote(figure, footnote)
    return figure


# ---------------------------------------------------------------------------- pieces


def _checked_parts(name: str, parts: Mapping[str, ArrayLike], expected: list[str]) -> dict[str, Floats]:
    """The parts of every step of one loader, in milliseconds."""
    if list(parts) != expected:
        raise ValueError(f"seconds[{name!r}] has {list(parts)}, the first has {expected}: pass the same parts")
    table = {part: checked_array(taken, f"seconds[{name!r}][{part!r}]") for part, taken in parts.items()}
    same_length({f"{name}, {part}": taken.size for part, taken in table.items()})
    for part, taken in table.items():
        if taken.min() < 0:
            raise ValueError(f"seconds[{name!r}][{part!r}] has {taken.min():g}: no part takes less than 0 seconds")
    return {part: 1000 * taken for part, taken in table.items()}


def _stacked_steps(ax: Axes, parts: Mapping[str, Floats], looks: Mapping[str, Series]) -> None:
    steps = next(iter(parts.values())).size
    bottom = np.zeros(steps)
    for part, taken in parts.items():
        look = looks[part]
        ax.bar(
            np.arange(1, steps + 1), taken, 0.86, bottom=bottom, color=look.colour, hatch=look.hatch, edgecolor=WHITE
        )
        bottom = bottom + taken
    ax.grid(visible=False, axis="x")


def _checked_ratio(name: str, ratio: Estimate) -> Floats:
    row = checked_array(ratio, f"ratios[{name!r}]")
    if row.shape != (3,):
        raise ValueError(f"ratios[{name!r}] is {ratio!r}: pass (ratio, low, high)")
    value, low, high = row
    if not 0 < low <= value <= high:
        raise ValueError(f"ratios[{name!r}] is {tuple(row.tolist())}: pass (ratio, low, high), 0 < low ≤ ratio ≤ high")
    return row


def _checked_lanes(
    panel: str, rows: Mapping[str, Sequence[Block]], expected: list[str]
) -> dict[str, list[tuple[float, float, str]]]:
    """The blocks of every lane of one panel, in the order of time."""
    if list(rows) != expected:
        raise ValueError(f"panels[{panel!r}] has {list(rows)}, the first has {expected}: pass the same lanes")
    if not any(len(blocks) for blocks in rows.values()):
        raise ValueError(f"panels[{panel!r}] has no block: there is nothing to draw")
    table = {}
    for lane, blocks in rows.items():
        what = f"panels[{panel!r}][{lane!r}]"
        checked: list[tuple[float, float, str]] = []
        for start, length, label in sorted(blocks, key=lambda block: block[0]):
            begin, taken = checked_array([start, length], what)
            if begin < 0 or taken < 0:
                raise ValueError(f"{what} has a block ({begin:g}, {taken:g}): start and length are 0 or more")
            if checked and begin < checked[-1][0] + checked[-1][1] - 1e-9:
                raise ValueError(
                    f"{what} has a block at {begin:g} that begins before the one at {checked[-1][0]:g} ends"
                )
            checked.append((float(begin), float(taken), str(label)))
        table[lane] = checked
    return table


def _label_blocks(
    figure: BookFigure, axes: list[Axes], tables: Mapping[str, Mapping[str, Sequence[tuple[float, float, str]]]]
) -> None:
    """Write the label of each block that has room for it; sizes are known once the figure is laid out."""
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    for ax, rows in zip(axes, tables.values(), strict=True):
        for place, blocks in enumerate(rows.values()):
            for start, length, label in blocks:
                text = ax.text(
                    start + length / 2, place, label, ha="center", va="center", color=WHITE, fontweight="bold"
                )
                (left, _), (right, _) = ax.transData.transform([(start, place), (start + length, place)])
                if text.get_window_extent(renderer).width > right - left - 4:
                    text.remove()


def _patch(look: Series, label: str) -> Patch:
    return Patch(facecolor=look.colour, hatch=look.hatch, edgecolor=WHITE, label=label)
