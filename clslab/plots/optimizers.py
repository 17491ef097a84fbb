"""Figures of optimizers: paths down a bowl, and a step of SAM between a narrow and a wide valley."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from clslab.plots.style import (
    INK,
    PALETTE,
    RULE,
    BookFigure,
    Floats,
    add_footnote,
    add_legend,
    checked_array,
    house_style,
    mark_positions,
    same_length,
    series,
)

_RINGS = 9  # lines of equal loss on a bowl, each at half the loss of the one around it


def bowl_paths(
    paths: Mapping[str, ArrayLike],
    *,
    curvatures: tuple[float, float],
    alt: str,
    axis_labels: tuple[str, str] = ("flat direction", "steep direction"),
    footnote: str | None = None,
) -> BookFigure:
    """Where optimizers go on a bowl, a panel for each: loss ½ (a x² + b y²), its lowest point at 0.

    The axes hold the starts with a margin, and are the same in all panels; a path that leaves them is drawn up to
    where it leaves, and its panel says so.

    Args:
        paths: optimizer -> places [T, 2] from the start on; at most five.
        curvatures: a and b, both above 0.
        alt: what the figure shows.
        axis_labels: what the two weights are called.
        footnote: a line below.

    Raises:
        ValueError: for an empty mapping or path, NaN, places that are no pairs, a path that begins at the lowest point,
            or curvatures not above 0.

    Taught in chapter 10.

    >>> figure = bowl_paths({"SGD": [[-3.0, 1.0], [-2.5, -0.4], [-2.0, 0.1]]}, curvatures=(1, 20), alt="It zigzags.")
    """
    looks = series(list(paths))
    places = {name: _checked_places(path, name) for name, path in paths.items()}
    bowl = checked_array(curvatures, "curvatures")
    if bowl.size != 2 or (bowl <= 0).any():
        raise ValueError(f"curvatures is {tuple(curvatures)}: pass two numbers above 0")
    starts = np.abs([path[0] for path in places.values()]).max(axis=0)
    box = 1.3 * np.where(starts > 0, starts, starts.max())
    rows = (len(places) + 1) // 2
    with house_style():
        figure = BookFigure(alt=alt, height=0.8 + 2.3 * rows)
        panels = figure.subplots(rows, min(2, len(places)), sharex=True, sharey=True, squeeze=False)
        for ax, (name, path) in zip(panels.flat, places.items(), strict=False):
            _rings(ax, bowl, box)
            inside = _steps_inside(path, box)
            shown = path[: inside + 1]
            ax.plot(*shown.T, color=looks[name].colour, marker=looks[name].marker, markersize=3.5, linewidth=1.2)
            ax.plot(*path[0], "o", color=INK, markersize=7)
            ax.plot([0], [0], "+", color=INK, markersize=11)
            ended = "leaves the picture" if inside < len(path) else f"last loss {_loss(path[-1], bowl):.2g}"
            ax.set_title(f"{name}\n{ended}")
        for ax in panels.flat[len(places) :]:
            ax.set_axis_off()
        _bowl_axes(panels, box, axis_labels, count=len(places))
        add_footnote(figure, "dot: start; cross: lowest point; grey: lines of equal loss", footnote)
    return figure


def valley_step(
    places: ArrayLike,
    losses: ArrayLike,
    *,
    radius: float,
    weight: float,
    top: float,
    after: float,
    alt: str,
    x_label: str = "weight w",
    y_label: str = "loss",
    footnote: str | None = None,
) -> BookFigure:
    """A loss with its valleys, the worst loss within a radius of each place, and a step of SAM: a frame of a slider.

    The lettered line stands where the worst loss within the radius is lowest. The weight is drawn as an arrowhead that
    points where its step goes.

    Args:
        places: weights [N], rising; the worst loss is drawn where they reach a radius to both sides.
        losses: a loss for each.
        radius: the radius, at least 0; at 0 the worst loss is the loss.
        weight: where the step begins, within `places`.
        top: the ascent point, within `places`.
        after: the weight after the step.
        alt: what the figure shows.
        x_label: name of the weight.
        y_label: quantity of the losses.
        footnote: a line below.

    Raises:
        ValueError: for nothing to draw, NaN, lengths that differ, places that do not rise, a weight or ascent point
            outside them, or a radius that is negative or leaves no place for the worst loss.

    Taught in chapter 10.

    >>> figure = valley_step([-1.0, 0.0, 1.0, 2.0], [2.0, 0.0, 2.0, 3.0], radius=0.5, weight=0.5, top=1.0, after=0.2,
    ...                      alt="The weight goes to the valley.")
    """
    weights, heights = _checked_valleys(places, losses, {"weight": weight, "top": top})
    around, worst = _worst_within(weights, heights, radius)
    (foot, peak), lowest = np.interp([weight, top], weights, heights), float(around[worst.argmin()])
    with house_style():
        figure = BookFigure(alt=alt, height=4.5)
        ax = figure.add_subplot()
        drawn = [ax.plot(weights, heights, color=PALETTE[0], label="loss")[0]]
        label = f"worst loss within ρ = {radius:g}"
        drawn += ax.plot(around, worst, color=PALETTE[1], linestyle="--", linewidth=1.5, label=label)
        ax.plot([weight, top], [foot, peak], color=PALETTE[2], linestyle=":", linewidth=1.6)
        drawn += ax.plot([top], [peak], "o", color=PALETTE[2], markersize=10, linestyle="None", label="ascent point")
        head = {-1: "<", 0: "D", 1: ">"}[int(np.sign(after - weight))]
        drawn += ax.plot(
            [weight], [foot], head, color=INK, markersize=11, linestyle="None", label="weight, and where its step goes"
        )
        ax.set(xlabel=x_label, ylabel=y_label)
        ax.margins(x=0.02, y=0.08)
        key = mark_positions([ax], {lowest: f"the worst loss is lowest at {lowest:.2f}"})
        add_legend(figure, drawn)
        add_footnote(figure, footnote, key=key)
    return figure


# ---------------------------------------------------------------------------- pieces


def _checked_valleys(places: ArrayLike, losses: ArrayLike, inside: Mapping[str, float]) -> tuple[Floats, Floats]:
    """Places and losses as arrays, if the places rise and hold what is to lie inside of them."""
    weights, heights = checked_array(places, "places"), checked_array(losses, "losses")
    same_length({"places": weights.size, "losses": heights.size})
    if (np.diff(weights) <= 0).any():
        raise ValueError("places do not rise; sort them, and the losses with them")
    for name, place in inside.items():
        if not weights[0] <= place <= weights[-1]:
            raise ValueError(f"{name} is {place:g}, places go from {weights[0]:g} to {weights[-1]:g}; pass more places")
    return weights, heights


def _checked_places(path: ArrayLike, name: str) -> Floats:
    places = checked_array(path, f"paths[{name!r}]", ndim=2)
    if places.shape[1] != 2:
        raise ValueError(f"paths[{name!r}] has shape {places.shape}: pass a pair of weights for each step, [T, 2]")
    if not places[0].any():
        raise ValueError(f"paths[{name!r}] begins at (0, 0), the lowest point: begin elsewhere")
    return places


def _loss(place: Floats, bowl: Floats) -> float:
    return float(0.5 * (bowl * place**2).sum())


def _steps_inside(path: Floats, box: Floats) -> int:
    """How many places lie inside before the first that does not."""
    outside = np.flatnonzero((np.abs(path) > box).any(axis=1))
    return int(outside[0]) if outside.size else len(path)


def _rings(ax: Axes, bowl: Floats, box: Floats) -> None:
    x, y = (np.linspace(-1.1 * side, 1.1 * side, 121) for side in box)
    loss = 0.5 * (bowl[0] * x[None, :] ** 2 + bowl[1] * y[:, None] ** 2)
    levels = 0.6 * float(loss.max()) * 0.5 ** np.arange(_RINGS)[::-1]
    ax.contour(x, y, loss, levels=levels, colors=RULE, linewidths=1.0)


def _bowl_axes(panels: np.ndarray, box: Floats, labels: Sequence[str], *, count: int) -> None:
    columns = panels.shape[1]
    for index, ax in enumerate(panels.flat[:count]):
        ax.grid(visible=False)
        ax.set_xlim(-box[0], box[0])
        ax.set_ylim(-box[1], box[1])
        if index % columns == 0:
            ax.set_ylabel(labels[1])
        if index + columns >= count:
            ax.set_xlabel(labels[0])
            ax.tick_params(labelbottom=True)


def _worst_within(places: Floats, losses: Floats, radius: float) -> tuple[Floats, Floats]:
    """The places that have neighbours up to a radius on both sides, and the highest loss among these."""
    if not radius >= 0:
        raise ValueError(f"radius is {radius}: pass 0 or more")
    known = places[(places - radius >= places[0]) & (places + radius <= places[-1])]
    if known.size == 0:
        raise ValueError(
            f"radius is {radius:g}, places go from {places[0]:g} to {places[-1]:g}: no place has neighbours that far "
            "on both sides; pass a smaller radius or more places"
        )
    near = np.abs(places[None, :] - known[:, None]) <= radius
    return known, np.where(near, losses[None, :], -np.inf).max(axis=1)
