"""Trees of labels: the tree itself, where mistakes go in it, and the losses of trainings that stand side by side.

A tree is passed as its paths, one sequence of names per leaf, coarse to fine, as `clslab.taxonomy.Taxonomy.paths` has
them. How far apart two leaves are is the height of the lowest node above both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as Curve
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from clslab.plots.curves import Seeds
from clslab.plots.style import (
    GREY,
    INK,
    PALETTE,
    RIGHT,
    RULE,
    SMALL,
    WHITE,
    WRONG,
    BookFigure,
    Estimate,
    Floats,
    add_footnote,
    add_legend,
    checked_array,
    checked_rates,
    house_style,
    series,
    short_name,
    wrapped_name,
)

Paths = Sequence[Sequence[str]]

MOST_LEAVES = 24
"""Rows of names that a figure can hold."""

_ROW = 0.26  # inches for each row
_STAGE_ONE = "stage one, coarse labels"
_DASHES: dict[str, Any] = {"train": "--", "val": "-", _STAGE_ONE: ":"}


def label_tree(paths: Paths, *, alt: str, levels: Sequence[str] = ()) -> BookFigure:
    """A tree of labels from its root at the left to its leaves at the right, every node named.

    Args:
        paths: one sequence of names per leaf, coarse to fine, all of one length; up to three levels and 24 leaves.
        alt: what the figure shows.
        levels: names of the levels, written above them.

    Raises:
        ValueError: for paths of different lengths, too many leaves or levels, or another number of names of levels.

    Taught in chapter 15.

    >>> figure = label_tree([("fish", "ray"), ("fish", "shark"), ("tree", "oak")], alt="Two fish and a tree.")
    """
    leaves, nodes = _checked_paths(paths), _nodes(_checked_paths(paths))
    depth = len(leaves[0])
    if depth > 3 or len(leaves) > MOST_LEAVES:
        raise ValueError(f"{depth} levels, {len(leaves)} leaves: at most 3 and {MOST_LEAVES} can be read; take a part")
    if levels and len(levels) != depth:
        raise ValueError(f"levels has {len(levels)} names for {depth} levels")
    with house_style():
        figure = BookFigure(alt=alt, height=0.5 + _ROW * (len(leaves) + bool(levels)))
        ax = figure.add_subplot()
        left = [0.25 + 1.7 * level for level in range(depth)]
        middles: dict[tuple[str, ...], float] = {
            (): float(np.mean([place for level, place in nodes.values() if level == 0]))
        }
        middles |= {node: place for node, (_, place) in nodes.items()}
        for node, (level, place) in nodes.items():
            start = 0.0 if level == 0 else left[level] - 0.3
            _branch(ax, (start, middles[node[:-1]]), (left[level] - 0.06, place))
            inner = level < depth - 1
            name = ax.text(left[level], place, short_name(node[-1], 18 if inner else 24), va="center", color=INK)
            if inner:
                # From the end of the name to where the branches of its children begin.
                name.set_bbox({"facecolor": WHITE, "edgecolor": "none", "pad": 1.5})
                ax.plot([left[level], left[level + 1] - 0.3], [place, place], color=GREY, linewidth=1.0, zorder=0.5)
        for level, title in enumerate(levels):
            ax.text(left[level], -1.0, title, va="center", fontweight="bold")
        ax.set(xlim=(-0.05, 5.8), ylim=(len(leaves) - 0.4, -1.5 if levels else -0.6))
        ax.set_axis_off()
    return figure


def tree_mistakes(
    counts: ArrayLike,
    paths: Paths,
    *,
    alt: str,
    level: int = -1,
    most: int = 8,
    names: Sequence[str] = (),
    item: str = "answers",
) -> BookFigure:
    """Where mistakes go in the tree: bars of how far off the answers are, and the pairs that are confused most.

    A row is a node of one level. Its bar divides the answers about its items by the height of the lowest node above
    the predicted and the true leaf: 0 is right. At the left the branches are drawn, and lines join the rows that are
    taken for each other most often, thicker the oftener (both directions together).

    Args:
        counts: confusion matrix of the leaves, [C, C], true by predicted.
        paths: one sequence of names per leaf, coarse to fine.
        alt: what the figure shows.
        level: of the rows, −1 the leaves; at most 24 nodes.
        most: how many pairs are joined.
        names: what each height means, from 0 (right) up; "right", "height 1" … by default.
        item: what is counted.

    Raises:
        ValueError: for a matrix that does not fit the leaves or holds no counts, a level that does not exist, too many
            rows, or another number of names than of heights.

    Taught in chapter 15.

    >>> figure = tree_mistakes([[8, 2, 0], [1, 9, 0], [1, 0, 9]], [("fish", "ray"), ("fish", "shark"), ("tree", "oak")],
    ...                        alt="Three of four mistakes stay among the fish.")
    """
    leaves = _checked_paths(paths)
    matrix = _checked_counts(counts, len(leaves))
    rows, words = _rows_and_words(leaves, level, names)
    row_of = np.array([rows.index(leaf[: len(rows[0])]) for leaf in leaves])
    shares = _shares(matrix, _heights(leaves), row_of, rows=len(rows), levels=len(leaves[0]))
    looks = series(words)
    with house_style():
        figure = BookFigure(alt=alt, height=1.5 + _ROW * len(rows))
        tree, bars = figure.subplots(1, 2, sharey=True, width_ratios=(0.36, 0.64))
        _dendrogram(tree, rows)
        drawn = _joined(tree, matrix, row_of, rows, most)
        left = np.zeros(len(rows))
        for height, (word, look) in enumerate(looks.items()):
            style = {"color": look.colour, "hatch": look.hatch, "edgecolor": WHITE, "linewidth": 0.5}
            bars.barh(np.arange(len(rows)), 100 * shares[:, height], left=left, height=0.72, label=word, **style)
            left = left + 100 * shares[:, height]
        _name_rows(bars, [short_name(row[-1], 18) for row in rows], left)
        bars.set(xlim=(0, 100), xlabel=f"share of the {item} (%)")
        bars.set_ylim(len(rows) - 0.4, -0.6)
        handles = [Patch(facecolor=k.colour, hatch=k.hatch, edgecolor=WHITE, label=n) for n, k in looks.items()]
        add_legend(figure, handles)
        wrong = matrix.sum() - np.trace(matrix)
        lines = f"lines at the left: the {drawn} pairs of rows confused most" if drawn else None
        add_footnote(figure, f"{matrix.sum():,.0f} {item}, {wrong:,.0f} of them mistakes", lines)
    return figure


def _rows_and_words(
    leaves: Sequence[tuple[str, ...]], level: int, names: Sequence[str]
) -> tuple[list[tuple[str, ...]], list[str]]:
    """The nodes of a level in the order of the tree, and a name for each height."""
    depth = len(leaves[0])
    if not -depth <= level < depth:
        raise ValueError(f"level {level} does not exist; there are levels 0 (coarsest) to {depth - 1}")
    depth_of_rows = level % depth + 1
    rows = list(dict.fromkeys(leaf[:depth_of_rows] for leaf in _in_order(leaves)))
    if len(rows) > MOST_LEAVES:
        raise ValueError(f"{len(rows)} rows: at most {MOST_LEAVES} names can be read; take a coarser level")
    words = list(names) or ["right", *(f"height {height}" for height in range(1, depth + 1))]
    if len(words) != depth + 1:
        raise ValueError(f"names has {len(words)} entries; a tree of {depth} levels has heights 0 to {depth}")
    return rows, words


def loss_panels(
    losses: Mapping[str, Mapping[str, Seeds]],
    *,
    alt: str,
    y_label: str = "loss",
    footnote: str | None = None,
) -> BookFigure:
    """The losses of up to three trainings side by side, on one scale.

    Each seed is a thin line, their mean a thick one. A training in two stages has the split "stage one, coarse labels"
    besides: it is drawn first, the others begin after its last epoch, and a vertical line stands between. The losses of
    the two stages answer different questions and may not be compared.

    Args:
        losses: training -> split -> values, [E] for one seed or [S, E]; splits are "train", "val" and
            "stage one, coarse labels".
        alt: what the figure shows.
        y_label: quantity.
        footnote: a line below.

    Raises:
        ValueError: for none or more than three trainings, another split, or NaN.

    Taught in chapter 15.

    >>> figure = loss_panels({"flat": {"train": [2.0, 1.0]}, "fixed": {"train": [1.9, 1.2]}}, alt="Both fall.")
    """
    if not 1 <= len(losses) <= 3:
        raise ValueError(f"{len(losses)} trainings: pass 1 to 3, side by side there is no room for more")
    looks = series(list(losses))
    used = [split for split in _DASHES if any(split in row for row in losses.values())]
    with house_style():
        figure = BookFigure(alt=alt, height=3.6)
        axes = np.atleast_1d(figure.subplots(1, len(losses), sharey=True))
        for ax, (name, row) in zip(axes, losses.items(), strict=True):
            first = _epochs(row.get(_STAGE_ONE))
            if first:
                ax.axvline(first + 0.5, color=GREY, linewidth=1.0)
            for split, values in row.items():
                if split not in _DASHES:
                    raise ValueError(f"{name!r} has split {split!r}: pass {', '.join(map(repr, _DASHES))}")
                rows = _seed_rows(values, f"{name!r}, {split}")
                begin = 1 if split == _STAGE_ONE else first + 1
                colour = GREY if split == _STAGE_ONE else looks[name].colour
                for one in rows:
                    ax.plot(begin + np.arange(one.size), one, color=colour, linewidth=0.7, alpha=0.45)
                least = min(one.size for one in rows)
                mean = np.mean([one[:least] for one in rows], axis=0)
                ax.plot(begin + np.arange(least), mean, color=colour, linestyle=_DASHES[split])
            ax.set_title(wrapped_name(name, 18), loc="left")
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes[0].set_ylabel(y_label)
        axes[len(axes) // 2].set_xlabel("epoch")
        add_legend(figure, [Line2D([], [], color=GREY, linestyle=_DASHES[split], label=split) for split in used])
        add_footnote(figure, footnote)
    return figure


def answers_by_level(
    answers: Mapping[str, tuple[float, float]],
    *,
    silent: float,
    alt: str,
    item: str = "clips",
    footnote: str | None = None,
) -> BookFigure:
    """How precise the answers are, and how many of each kind are right: a frame of a slider.

    A row for each level, and one for no answer. A bar divides the answers of a level into right and wrong ones; all
    rows together are 100 %, on the same axis in every frame.

    Args:
        answers: level, from the finest to the coarsest -> (share right, share wrong), fractions of all items.
        silent: share of the items that get no answer, a fraction.
        alt: what the figure shows.
        item: what is answered.
        footnote: a line below.

    Raises:
        ValueError: for no level, values that are no fractions, or shares that do not sum to 1.

    Taught in chapter 15.

    >>> figure = answers_by_level({"species": (0.5, 0.1), "family": (0.2, 0.1)}, silent=0.1,
    ...                           alt="Six of ten clips get a species.")
    """
    if not answers:
        raise ValueError("answers is empty: pass at least one level")
    table = np.array([checked_array(pair, f"answers[{level!r}]") for level, pair in answers.items()])
    quiet = float(checked_rates(checked_array([silent], "silent"), "silent")[0])
    if abs(checked_rates(table, "answers").sum() + quiet - 1) > 1e-6:
        raise ValueError(f"the shares sum to {table.sum() + quiet:g}: pass fractions of all {item}, 1 in all")
    rows = [*answers, "no answer"]
    with house_style():
        figure = BookFigure(alt=alt, height=1.5 + 0.42 * len(rows))
        ax = figure.add_subplot()
        left = np.zeros(len(answers))
        looks: dict[str, dict[str, Any]] = {
            "right": {"facecolor": RIGHT},
            "wrong": {"facecolor": WRONG, "hatch": "///"},
        }
        handles = []
        for (word, look), part in zip(looks.items(), table.T, strict=True):
            ax.barh(np.arange(len(answers)), 100 * part, left=100 * left, height=0.66, edgecolor=WHITE, **look)
            handles.append(Patch(edgecolor=WHITE, label=word, **look))
            left = left + part
        ax.barh([len(answers)], [100 * quiet], height=0.66, color=GREY, edgecolor=WHITE)
        for place, share in enumerate([*left, quiet]):
            ax.text(100 * share + 1.2, place, f"{100 * share:.0f} %", va="center")
        ax.set_yticks(range(len(rows)), rows)
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
        ax.set(xlim=(0, 112), ylim=(len(rows) - 0.4, -0.6), xticks=range(0, 101, 25), xlabel=f"share of all {item} (%)")
        add_legend(figure, handles)
        add_footnote(figure, footnote)
    return figure


def way_to_last_layer(
    shares: Mapping[str, Mapping[str, Estimate]],
    *,
    layer: str,
    alt: str,
    footnote: str | None = None,
) -> BookFigure:
    """How much of the way from chance to the last layer each question has gone at one layer: a frame of a slider.

    The axis is the same for every layer, so that frames can be compared. The other layers are hollow.

    Args:
        shares: question -> layer, from shallow to deep -> (value, low, high), 0 at chance and 1 at the last layer; the
            same layers for every question.
        layer: the one that stands out.
        alt: what the figure shows.
        footnote: a line below.

    Raises:
        ValueError: for an empty mapping, differing layers, a layer that is none of them, NaN, or a value outside its
            interval.

    Taught in chapter 15.

    >>> figure = way_to_last_layer({"class": {"stem": (0.1, 0.0, 0.2), "head": (1.0, 0.9, 1.1)}}, layer="stem",
    ...                            alt="The stem has gone a tenth of the way.")
    """
    looks = series(list(shares))
    layers = list(next(iter(shares.values())))
    if layer not in layers:
        raise ValueError(f"layer = {layer!r} is none of the layers {layers}")
    table = {question: _percent_by_layer(question, row, layers) for question, row in shares.items()}
    every = np.concatenate(list(table.values()))
    with house_style():
        figure = BookFigure(alt=alt, height=1.7 + 0.55 * len(table))
        ax = figure.add_subplot()
        for level in (0, 100):
            ax.axvline(level, color=GREY, linewidth=1.2, linestyle=(0, (2, 2)), zorder=1)
        for place, (question, estimates_of) in enumerate(table.items()):
            others = [one for one, name in zip(estimates_of, layers, strict=True) if name != layer]
            ax.plot(
                [one[0] for one in others], [place] * len(others), "o", color=GREY, markerfacecolor=WHITE, zorder=1.5
            )
            value, low, high = estimates_of[layers.index(layer)]
            look = looks[question]
            ax.plot([low, high], [place, place], color=look.colour, linewidth=2.2)
            ax.plot([value], [place], color=look.colour, marker=look.marker, markersize=10)
        ax.set_yticks(range(len(table)), list(table))
        ax.tick_params(axis="y", length=0)
        room = 0.05 * float(max(every.max(), 100) - min(every.min(), 0))
        ax.set_xlim(min(every.min(), 0) - room, max(every.max(), 100) + room)
        ax.set(ylim=(len(table) - 0.5, -0.5), xlabel="way from chance (0) to the last layer (100)")
        add_footnote(figure, "hollow: the other layers; whiskers: 95 % interval", footnote)
    return figure


def _percent_by_layer(question: str, row: Mapping[str, Estimate], layers: list[str]) -> Floats:
    """The (value, low, high) of a question at each layer, in percent [layers, 3]."""
    if list(row) != layers:
        raise ValueError(f"shares[{question!r}] has {list(row)}, the first has {layers}: pass the same layers")
    estimates = [checked_array(row[one], f"shares[{question!r}][{one!r}]") for one in layers]
    if any(one.shape != (3,) or not one[1] <= one[0] <= one[2] for one in estimates):
        raise ValueError(f"shares[{question!r}]: pass (value, low, high) in this order, with low <= value <= high")
    return 100 * np.array(estimates)


# ---------------------------------------------------------------- the tree


def _checked_paths(paths: Paths) -> list[tuple[str, ...]]:
    leaves = [tuple(path) for path in paths]
    if not leaves:
        raise ValueError("paths is empty: pass one sequence of names per leaf")
    for index, leaf in enumerate(leaves):
        if len(leaf) != len(leaves[0]) or not leaf:
            raise ValueError(f"leaf {index} has {len(leaf)} names and leaf 0 has {len(leaves[0])}: pass one length")
    if len(set(leaves)) < len(leaves):
        raise ValueError("a leaf occurs twice: pass each once")
    return leaves


def _in_order(leaves: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The leaves with relatives side by side, branches in the order in which they are named first."""
    first = {node: place for place, leaf in reversed(list(enumerate(leaves))) for node in _ancestors(leaf)}
    return sorted(leaves, key=lambda leaf: [first[node] for node in _ancestors(leaf)])


def _ancestors(leaf: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [leaf[: depth + 1] for depth in range(len(leaf))]


def _nodes(leaves: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], tuple[int, float]]:
    """Node -> (level, place): a leaf at its row, another node in the middle of its leaves."""
    ordered = _in_order(leaves)
    below: dict[tuple[str, ...], list[int]] = {}
    for row, leaf in enumerate(ordered):
        for node in _ancestors(leaf):
            below.setdefault(node, []).append(row)
    return {node: (len(node) - 1, (rows[0] + rows[-1]) / 2) for node, rows in below.items()}


def _branch(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Down or up first, then to the right."""
    ax.plot([start[0], start[0], end[0]], [start[1], end[1], end[1]], color=GREY, linewidth=1.0, zorder=0.5)


def _dendrogram(ax: Axes, rows: Sequence[tuple[str, ...]]) -> None:
    nodes = _nodes(rows)
    depth = len(rows[0])
    middles: dict[tuple[str, ...], float] = {(): (len(rows) - 1) / 2}
    middles |= {node: place for node, (_, place) in nodes.items()}
    for node, (level, place) in nodes.items():
        _branch(ax, (0.5 * level / depth, middles[node[:-1]]), (0.5 * (level + 1) / depth, place))
    ax.set_xlim(-0.03, 1.1)
    ax.set_axis_off()


def _joined(ax: Axes, matrix: Floats, row_of: NDArray[np.int64], rows: Sequence[Any], most: int) -> int:
    """Lines between the rows that are confused most; how many there are."""
    between = np.zeros((len(rows), len(rows)))
    np.add.at(between, (row_of[:, None], row_of[None, :]), matrix)
    pairs = np.triu(between + between.T, k=1)
    chosen = [place for place in np.argsort(-pairs, axis=None, kind="stable")[:most] if pairs.flat[place] > 0]
    largest = pairs.max() if chosen else 1.0
    for place in chosen:
        a, b = divmod(int(place), len(rows))
        out = 0.55 + 0.5 * (b - a) / len(rows)
        curve = Curve([(0.52, a), (out, a), (out, b), (0.52, b)], [Curve.MOVETO, *[Curve.CURVE4] * 3])
        width = 0.6 + 4.4 * pairs.flat[place] / largest
        ax.add_patch(PathPatch(curve, fill=False, edgecolor=PALETTE[1], linewidth=width, alpha=0.75, capstyle="round"))
    return len(chosen)


def _name_rows(ax: Axes, names: Sequence[str], lengths: Floats) -> None:
    ax.set_yticks(np.arange(len(names)), list(names))
    ax.tick_params(axis="y", length=0, labelsize=SMALL, labelleft=True)
    ax.grid(visible=False, axis="y")
    ax.grid(color=RULE, axis="x")
    for place in np.flatnonzero(lengths == 0):
        ax.text(1, float(place), "no items", va="center", color=GREY)


def _heights(leaves: Sequence[tuple[str, ...]]) -> NDArray[np.int64]:
    """[C, C] height of the lowest node above two leaves."""
    depth = len(leaves[0])
    found = np.full((len(leaves), len(leaves)), depth)
    for level in range(depth):
        at = [leaf[: level + 1] for leaf in leaves]
        numbers = np.array([at.index(node) for node in at])
        found[numbers[:, None] == numbers[None, :]] = depth - level - 1
    return found


def _shares(matrix: Floats, heights: NDArray[np.int64], row_of: NDArray[np.int64], *, rows: int, levels: int) -> Floats:
    """[rows, heights] of the answers about the items of a row."""
    found = np.zeros((rows, levels + 1))
    np.add.at(found, (np.broadcast_to(row_of[:, None], matrix.shape), heights), matrix)
    totals = found.sum(axis=1, keepdims=True)
    return np.divide(found, totals, out=np.zeros_like(found), where=totals > 0)


def _checked_counts(counts: ArrayLike, leaves: int) -> Floats:
    matrix = checked_array(counts, "counts", ndim=2)
    if matrix.shape != (leaves, leaves) or (matrix < 0).any() or (matrix != np.round(matrix)).any():
        raise ValueError(f"counts has shape {matrix.shape}; pass whole numbers [{leaves}, {leaves}], true by predicted")
    return matrix


# ---------------------------------------------------------------- the losses


def _seed_rows(values: Seeds, what: str) -> list[Floats]:
    listed = [values] if np.ndim(values[0]) == 0 else list(values)  # type: ignore[index, arg-type]
    return [checked_array(row, what) for row in listed]


def _epochs(values: Seeds | None) -> int:
    return 0 if values is None else max(row.size for row in _seed_rows(values, _STAGE_ONE))
