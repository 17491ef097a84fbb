"""Pictures and matrices: what was shown, what was said, what it rests on.

A picture is an array [H, W] or [H, W, 3], uint8 or float in [0, 1]; channels come last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import ArrayLike, NDArray

from clslab.plots.style import (
    BASE,
    DIVERGING,
    INK,
    RIGHT,
    SEQUENTIAL,
    SMALL,
    WHITE,
    WIDTH,
    WRONG,
    BookFigure,
    Floats,
    add_footnote,
    checked_array,
    checked_rates,
    house_style,
    percent,
    same_length,
    wrapped_name,
)

MOST_CLASSES = 12
MOST_PICTURES = 48
OVERLAY = 0.75  # opacity of a heat map over its picture, and of its colour bar
_LETTER = 0.1  # inches that a letter of SMALL points takes, with room to spare


def confusion(
    matrix: ArrayLike,
    classes: Sequence[str],
    *,
    alt: str,
    item: str = "pictures",
) -> BookFigure:
    """Confusion matrix: rows true, columns predicted, counts in the cells, shade by share of row.

    Up to six classes each cell also states its share of the row; with more, and counts of four digits, only that.

    Args:
        matrix: counts, [C, C], whole numbers; rows true, columns predicted.
        classes: the C names.
        alt: what the figure shows.
        item: what is counted.

    Raises:
        ValueError: for a matrix that is not [C, C], negative or broken counts, more than 12 classes.

    Taught in chapter 1.

    >>> figure = confusion([[50, 3], [8, 39]], ["plastic", "other"], alt="Eight of 47 missed.")
    """
    size = len(classes)
    counts = _checked_counts(matrix, size)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    small, wide = size <= 6, counts.max() >= 1000
    with house_style():
        figure = BookFigure(alt=alt, height=4.6 if small else 5.8)
        ax = figure.add_subplot()
        picture = ax.imshow(100 * shares, cmap=SEQUENTIAL, vmin=0, vmax=100, aspect="auto")
        for row in range(size):
            for column in range(size):
                number, share = f"{counts[row, column]:,.0f}", shares[row, column]
                text = f"{number}\n{percent(share)}" if small else f"{100 * share:.0f}" if wide else number
                _cell(ax, row, column, text, share)
        names = [wrapped_name(name, 12) for name in classes]
        rows = [f"{name}\nn = {n:,.0f}" for name, n in zip(names, totals[:, 0], strict=True)]
        longest = max(len(line) for name in names for line in name.split("\n"))
        long = longest * _LETTER * size > 4.4  # inches that the cells have
        ax.set_xticks(range(size), names, rotation=90 if long else 0)
        ax.set_yticks(range(size), rows if small else names)
        ax.set(xlabel="predicted class", ylabel="true class")
        _no_furniture(ax)
        bar = figure.colorbar(picture, ax=ax, pad=0.02, fraction=0.05)
        bar.set_label("share of the row (%)", size=BASE)
        bar.outline.set_visible(False)
        what = f"% of the row; {item}:" if wide and not small else f"{item},"
        add_footnote(figure, f"numbers: {what} {counts.sum():,.0f} in all")
    return figure


def _checked_counts(matrix: ArrayLike, size: int) -> Floats:
    """The matrix, if it holds counts of `size` classes and is not too large to be read."""
    counts = checked_array(matrix, "matrix", ndim=2)
    if counts.shape != (size, size):
        raise ValueError(f"matrix has shape {counts.shape}, there are {size} classes: pass [C, C]")
    broken = (counts < 0) | (counts != np.round(counts))
    if broken.any():
        raise ValueError(f"matrix contains {counts[broken][0]:g}: pass counts, not shares")
    if size > MOST_CLASSES:
        raise ValueError(
            f"{size} classes: cells are unreadable above {MOST_CLASSES}; "
            "merge to superclasses or show the top confusions"
        )
    return counts


def picture_grid(
    pictures: Sequence[ArrayLike],
    *,
    alt: str,
    captions: Sequence[str] | None = None,
    truth: Sequence[str] | None = None,
    predicted: Sequence[str] | None = None,
    confidence: Sequence[float] | None = None,
    columns: int = 3,
) -> BookFigure:
    """Pictures in a grid, each with its caption, or with truth, prediction and confidence.

    A right prediction has a tick and a solid frame, a wrong one a cross and a dashed frame.

    Args:
        pictures: arrays [H, W] or [H, W, 3], uint8 or float in [0, 1].
        alt: what the figure shows.
        captions: one for each picture, instead of the three below.
        truth: true class of each picture.
        predicted: predicted class of each.
        confidence: probability of the predicted class, a fraction.
        columns: pictures in a row, 1 to 4.

    Raises:
        ValueError: for differing lengths, no picture, more than 48, or an array that is no picture.

    Taught in chapter 1.

    >>> import numpy as np
    >>> figure = picture_grid([np.zeros((8, 8, 3))], truth=["plastic"], predicted=["other"],
    ...                       confidence=[0.93], alt="A black square taken for other.")
    """
    if not 1 <= columns <= 4:
        raise ValueError(f"columns is {columns}: pass 1 to 4, more leave no room for captions")
    if len(pictures) > MOST_PICTURES:
        raise ValueError(f"{len(pictures)} pictures: at most {MOST_PICTURES} in one figure")
    if (captions is None) == (truth is None or predicted is None):
        raise ValueError("what to write is not clear: pass captions, or truth and predicted, not both")
    if truth is not None and predicted is not None:
        captions = _prediction_captions(len(pictures), truth, predicted, confidence)
    captions = captions or []
    same_length({"pictures": len(pictures), "captions": len(captions)})
    columns = min(columns, len(pictures))
    shown = [checked_picture(p, f"pictures[{i}]") for i, p in enumerate(pictures)]
    texts = [_fold(caption, int(WIDTH / columns / _LETTER)) for caption in captions]
    rows, side = math.ceil(len(shown) / columns), min(WIDTH / columns - 0.12, 2.6)
    tallest = max(p.shape[0] / p.shape[1] for p in shown)
    with house_style():
        text_height = 0.2 * max(text.count("\n") + 1 for text in texts)
        height = rows * (side * min(tallest, 1.5) + text_height + 0.15) + 0.1
        figure = BookFigure(alt=alt, height=height, layout_passes=3)
        grid = figure.subplots(rows, columns, squeeze=False)
        for ax in grid.flat[len(shown) :]:
            ax.set_axis_off()
        for index, ax in enumerate(grid.flat[: len(shown)]):
            _show(ax, shown[index])
            ax.set_xlabel(texts[index], fontsize=SMALL)
            if truth is not None and predicted is not None:
                _frame(ax, right=truth[index] == predicted[index])
    return figure


def worst_errors(
    pictures: Sequence[ArrayLike],
    *,
    truth: Sequence[str],
    predicted: Sequence[str],
    confidence: Sequence[float],
    alt: str,
    count: int = 9,
    columns: int = 3,
) -> BookFigure:
    """The wrong predictions that were made with the greatest confidence, the worst first.

    Args:
        pictures: arrays [H, W] or [H, W, 3], right and wrong ones.
        truth: true class of each picture.
        predicted: predicted class of each.
        confidence: probability of the predicted class, a fraction.
        alt: what the figure shows.
        count: how many to show at most.
        columns: pictures in a row, 1 to 4.

    Raises:
        ValueError: for differing lengths, or if no prediction is wrong.

    Taught in chapter 1.

    >>> import numpy as np
    >>> figure = worst_errors([np.zeros((8, 8, 3)), np.ones((8, 8, 3))], truth=["a", "b"],
    ...                       predicted=["a", "a"], confidence=[0.9, 0.8], alt="One error.")
    """
    lengths = {"pictures": pictures, "truth": truth, "predicted": predicted}
    n = same_length({k: len(v) for k, v in lengths.items()} | {"confidence": len(confidence)})
    if count < 1:
        raise ValueError(f"count is {count}: pass at least 1")
    sure = checked_rates(checked_array(confidence, "confidence"), "confidence")
    wrong = [i for i in range(n) if truth[i] != predicted[i]]
    if not wrong:
        raise ValueError(f"none of the {n} predictions is wrong: there is no error to show")
    worst = sorted(wrong, key=lambda i: -sure[i])[:count]
    return picture_grid(
        [pictures[i] for i in worst],
        truth=[truth[i] for i in worst],
        predicted=[predicted[i] for i in worst],
        confidence=[float(sure[i]) for i in worst],
        columns=columns,
        alt=alt,
    )


def side_by_side(
    rows: Mapping[str, Sequence[ArrayLike]],
    *,
    columns: Sequence[str],
    alt: str,
) -> BookFigure:
    """The same picture treated in two or three ways, one picture a row: crop against resize.

    Args:
        rows: name of the picture -> its versions, one for each column.
        columns: names of the treatments, 2 to 4.
        alt: what the figure shows.

    Raises:
        ValueError: for no row, another number of versions than columns, or an array no picture.

    Taught in chapter 6.

    >>> import numpy as np
    >>> figure = side_by_side({"cat": [np.zeros((9, 6, 3)), np.zeros((6, 6, 3))]},
    ...                       columns=["original", "centre crop"], alt="The crop loses the ears.")
    """
    if not rows:
        raise ValueError("rows is empty: pass at least one picture with its versions")
    if not 2 <= len(columns) <= 4:
        raise ValueError(f"{len(columns)} columns {list(columns)}: pass 2 to 4 treatments")
    shown = {}
    for name, versions in rows.items():
        if len(versions) != len(columns):
            raise ValueError(f"rows[{name!r}] has {len(versions)} versions for {len(columns)} columns")
        shown[name] = [checked_picture(v, f"rows[{name!r}][{i}]") for i, v in enumerate(versions)]
    tall = [max(p.shape[0] / p.shape[1] for p in versions) for versions in shown.values()]
    width = (WIDTH - 0.4) / len(columns)
    with house_style():
        figure = BookFigure(alt=alt, height=sum(width * min(t, 1.5) + 0.3 for t in tall) + 0.4, layout_passes=3)
        grid = figure.subplots(len(shown), len(columns), squeeze=False, height_ratios=tall)
        for line, (name, versions) in zip(grid, shown.items(), strict=True):
            for ax, picture in zip(line, versions, strict=True):
                _show(ax, picture)
                ax.set_anchor("N")  # pictures of a row hang from one line, whatever their height
                ax.set_xlabel(f"{picture.shape[1]} × {picture.shape[0]} px", fontsize=SMALL)
            line[0].set_ylabel(wrapped_name(name, 22))
        for ax, title in zip(grid[0], columns, strict=True):
            ax.set_title(wrapped_name(title, int(width / _LETTER)))
    return figure


def occlusion_map(
    pictures: Sequence[ArrayLike],
    heats: Sequence[ArrayLike],
    *,
    captions: Sequence[str],
    alt: str,
    label: str = "drop of the true class's probability (points)",
) -> BookFigure:
    """Pictures beside the map of what covering each place does to the prediction.

    Positive values (vermillion) are places the prediction rests on; negative ones (blue) are places
    whose covering helps. The scale is symmetric about zero and common to all rows.

    Args:
        pictures: arrays [H, W] or [H, W, 3].
        heats: one map [h, w] for each picture, coarser or not: probability drops, fractions.
        captions: one for each picture.
        alt: what the figure shows.
        label: quantity and unit of the colour bar.

    Raises:
        ValueError: for differing lengths, NaN in a map, or an array that is no picture.

    Source: Zeiler and Fergus, arXiv:1311.2901. Taught in chapter 1.

    >>> import numpy as np
    >>> figure = occlusion_map([np.zeros((8, 8, 3))], [np.eye(4)], captions=["plastic"],
    ...                        alt="The prediction rests on the diagonal.")
    """
    lengths = {"pictures": len(pictures), "heats": len(heats), "captions": len(captions)}
    n = same_length(lengths)
    shown = [checked_picture(p, f"pictures[{i}]") for i, p in enumerate(pictures)]
    maps = [100 * checked_array(h, f"heats[{i}]", ndim=2) for i, h in enumerate(heats)]
    limit = max(float(np.abs(m).max()) for m in maps) or 1.0
    scale = ScalarMappable(Normalize(-limit, limit), DIVERGING)
    tall = [p.shape[0] / p.shape[1] for p in shown]
    texts = [_fold(caption, 27) for caption in captions]
    lines = sum(text.count("\n") + 1 for text in texts)
    with house_style():
        height = sum(2.75 * t for t in tall) + 0.22 * lines + 0.15 * n + 0.95
        figure = BookFigure(alt=alt, height=height, layout_passes=3)
        grid = figure.subplots(n, 2, squeeze=False, height_ratios=tall)
        for line, picture, heat, text in zip(grid, shown, maps, texts, strict=True):
            _show(line[0], picture)
            line[0].set_title(text, loc="left", fontsize=SMALL)
            _show_heat(line[1], picture, heat, limit)
        bar = figure.colorbar(
            scale, ax=grid, orientation="horizontal", fraction=0.06, pad=0.02, aspect=30, alpha=OVERLAY
        )
        bar.set_label(label, size=BASE)
        bar.outline.set_visible(False)
    return figure


def checked_picture(picture: ArrayLike, what: str) -> NDArray[np.float64]:
    """The picture as floats in [0, 1].

    Raises:
        ValueError: for another shape (channels first is named), range, NaN or nothing in it.
    """
    array = np.asarray(picture)
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3:
        raise ValueError(f"{what} has shape {array.shape}, channels first: pass array.transpose(1, 2, 0)")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or array.size == 0:
        raise ValueError(f"{what} has shape {array.shape}: pass a picture [H, W] or [H, W, 3]")
    if array.dtype == np.uint8:
        return array / 255.0
    values = checked_array(array, what, ndim=array.ndim)
    if values.min() < 0 or values.max() > 1:
        raise ValueError(
            f"{what} ranges from {values.min():g} to {values.max():g}: "
            "pass uint8, or float in [0, 1] (undo the normalisation first)"
        )
    return values


def _cell(ax: Axes, row: int, column: int, text: str, share: float) -> None:
    weight = "bold" if row == column else "normal"
    colour = WHITE if share > 0.87 else INK  # whichever has the greater contrast
    ax.text(column, row, text, ha="center", va="center", color=colour, fontweight=weight)


def _prediction_captions(
    n: int,
    truth: Sequence[str],
    predicted: Sequence[str],
    confidence: Sequence[float] | None,
) -> list[str]:
    same_length({"pictures": n, "truth": len(truth), "predicted": len(predicted)})
    sure: Sequence[str] = [""] * n
    if confidence is not None:
        same_length({"pictures": n, "confidence": len(confidence)})
        rates = checked_rates(checked_array(confidence, "confidence"), "confidence")
        sure = [f", {percent(rate)}" for rate in rates]
    return [f"{'✓' if t == p else '✗'} {p}{s}\ntrue: {t}" for t, p, s in zip(truth, predicted, sure, strict=True)]


def _fold(caption: str, room: int) -> str:
    return "\n".join(wrapped_name(line, room) for line in str(caption).split("\n"))


def _show(ax: Axes, picture: NDArray[np.float64]) -> None:
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    _no_furniture(ax)


def _show_heat(ax: Axes, picture: NDArray[np.float64], heat: NDArray[np.float64], limit: float) -> None:
    high, wide = picture.shape[:2]
    grey = picture.mean(axis=2) if picture.ndim == 3 else picture
    _show(ax, 0.5 + 0.5 * grey)  # light, so that the colours keep their meaning
    place = (-0.5, wide - 0.5, high - 0.5, -0.5)
    ax.imshow(heat, cmap=DIVERGING, vmin=-limit, vmax=limit, alpha=OVERLAY, extent=place)


def _no_furniture(ax: Axes) -> None:
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _frame(ax: Axes, *, right: bool) -> None:
    for spine in ax.spines.values():
        spine.set(visible=True, color=RIGHT if right else WRONG, linewidth=2.5)
        spine.set_linestyle("-" if right else "--")
