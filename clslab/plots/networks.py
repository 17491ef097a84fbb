"""Networks by what they cost: a map of parameters and arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from clslab.plots.style import (
    SMALL,
    BookFigure,
    Floats,
    add_footnote,
    add_legend,
    house_style,
    line_handle,
    positive,
    series,
)

Place = tuple[tuple[int, int], Literal["left", "center", "right"], Literal["bottom", "center", "top"]]

PLACES: tuple[Place, ...] = (
    ((8, 0), "left", "center"),
    ((-8, 0), "right", "center"),
    ((0, 7), "center", "bottom"),
    ((0, -7), "center", "top"),
    ((6, 5), "left", "bottom"),
    ((6, -5), "left", "top"),
    ((-6, 5), "right", "bottom"),
    ((-6, -5), "right", "top"),
)
"""Where a label may stand beside its point: offset in points and alignment, the best first."""


def cost_map(
    groups: Mapping[str, Mapping[str, tuple[float, float]]],
    *,
    alt: str,
    labels: Sequence[str] = (),
    x_label: str = "parameters (millions, log scale)",
    y_label: str = "multiply-adds for a picture\n(millions, log scale)",
    footnote: str | None = None,
) -> BookFigure:
    """Two costs of many networks against each other, one marker for each group.

    Args:
        groups: group -> network -> (parameters, multiply-adds), both as plain counts; at most five groups.
        alt: what the figure shows.
        labels: networks whose name is written beside the point.
        x_label: first cost and unit.
        y_label: second cost and unit.
        footnote: a line below.

    Raises:
        ValueError: for no group, more than five, a label that no network has, or a cost that is not above 0.

    Taught in chapter 11.

    >>> figure = cost_map({"residual": {"resnet18": (11_220_132, 555_468_800)}}, labels=["resnet18"], alt="One point.")
    """
    looks = series(list(groups))
    points = {name: np.array(cost) / 1e6 for group in groups.values() for name, cost in group.items()}
    for name in labels:
        if name not in points:
            raise ValueError(f"labels has {name!r}, which is in no group; known: {', '.join(points)}")
    for name, cost in points.items():
        positive(cost, f"the costs of {name!r}")
    with house_style():
        figure = BookFigure(alt=alt, height=4.8)
        ax = figure.add_subplot()
        for group, look in looks.items():
            costs = np.array([points[name] for name in groups[group]]).reshape(-1, 2)
            ax.plot(costs[:, 0], costs[:, 1], look.marker, color=look.colour, markersize=7, markeredgecolor="white")
        ax.set(xlabel=x_label, ylabel=y_label, xscale="log", yscale="log")
        ax.margins(0.12)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            axis.set_minor_formatter(NullFormatter())
        handles = [line_handle(look, group) for group, look in looks.items()]
        for handle in handles:
            handle.set_linestyle("None")
        add_legend(figure, handles)
        add_footnote(figure, footnote)
        _label(figure, ax, {name: points[name] for name in labels}, np.array(list(points.values())))
    return figure


def _label(figure: BookFigure, ax: Axes, labelled: Mapping[str, Floats], points: Floats) -> None:
    """Write each name where it covers the least of points and other names."""
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    half = 5 * figure.dpi / 72
    taken = [Bbox.from_bounds(x - half, y - half, 2 * half, 2 * half) for x, y in ax.transData.transform(points)]
    frame = ax.get_window_extent(renderer)
    for name, (x, y) in labelled.items():
        found: list[tuple[float, int, Annotation, Bbox]] = []
        for offset, side, height in PLACES:
            text = ax.annotate(name, (x, y), offset, textcoords="offset points", ha=side, va=height, fontsize=SMALL)
            box = text.get_window_extent(renderer)
            outside = box.width * box.height - _shared(box, frame)
            found.append((sum(_shared(box, other) for other in taken) + 50 * outside, len(found), text, box))
        found.sort(key=lambda place: place[:2])
        taken.append(found[0][3])
        for _, _, text, _ in found[1:]:
            text.remove()


def _shared(a: Bbox, b: Bbox) -> float:
    shared = Bbox.intersection(a, b)
    return 0.0 if shared is None else float(shared.width * shared.height)
