"""The house style of the book's figures: palette, canvas, legends, and the values a figure accepts.

Nothing here depends on the reader's own matplotlib settings: every figure is built and drawn under
one style. A figure is six inches wide and no text in it is smaller than 11 points, so that text is
10 px tall when the figure is shown 390 px wide, and still 9 px with the margins of a phone.
"""

from __future__ import annotations

import math
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from clslab.origins import stored_png

Floats = NDArray[np.float64]
Estimate = Sequence[float]
"""A value with its interval: (value, low, high). Rates are fractions in [0, 1]."""

WIDTH = 6.0  # inches, of every figure
DPI = 144  # pixels an inch in the file: one and a half for each CSS pixel
CSS_WIDTH = 576  # CSS pixels on a page that has room
SMALL, BASE = 11.0, 12.0  # points: ticks, legends and notes; axis labels
NOTE_LETTERS = 70  # that surely fit into the width at SMALL

INK, GREY, RULE, PALE, WHITE = "#222222", "#666666", "#D9D9D9", "#EFEFEF", "#FFFFFF"
# Okabe and Ito (2008), in an order in which neighbours differ in lightness too. Their orange, sky
# blue and yellow are left out: on white they have less than the 3:1 contrast a graphic needs.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
MARKERS = ("o", "s", "^", "D", "v")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
HATCHES = ("", "///", "...", "xx", "\\\\\\")
RIGHT, WRONG = PALETTE[2], PALETTE[1]

SEQUENTIAL = LinearSegmentedColormap.from_list("clslab-sequential", [WHITE, PALETTE[0]])
DIVERGING = LinearSegmentedColormap.from_list("clslab-diverging", [PALETTE[0], WHITE, PALETTE[1]])

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": SMALL,
    "axes.labelsize": BASE,
    "axes.titlesize": BASE,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.4,
    "legend.borderaxespad": 0.2,
    "figure.facecolor": WHITE,
    "savefig.facecolor": WHITE,
    "axes.facecolor": WHITE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 6.0,
    "hatch.linewidth": 1.0,
    "image.interpolation": "nearest",
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's own defaults plus `STYLE`, whatever the reader has set; undone on leaving."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for name, value in STYLE.items():
            mpl.rcParams[name] = value
        yield


class BookFigure(Figure):
    """A figure of the book: fixed width, house style, an alt text, shown once in a notebook.

    It is not known to pyplot, so the inline backend does not show it a second time, and `plt.show`
    and `plt.close` do not concern it. As the last expression of a cell it gives one PNG whose
    metadata hold the alt text and the width in CSS pixels.

    Attributes:
        clslab_alt: what a reader who cannot see the figure is told.

    Taught in chapter 1.
    """

    clslab_alt: str

    def __init__(self, *, alt: str, height: float, layout_passes: int = 1) -> None:
        super().__init__(figsize=(WIDTH, height), dpi=DPI, facecolor=WHITE, layout="constrained")
        FigureCanvasAgg(self)
        self.clslab_alt = checked_alt(alt)
        # Axes of a fixed shape need more than one pass before there is room for their titles.
        self._layout_passes = layout_passes
        _show_own_png()

    def draw(self, renderer: RendererBase) -> None:
        """Draw in the house style: ticks are made while drawing, and read the settings then."""
        with house_style():
            engine = self.get_layout_engine()
            while engine is not None and self._layout_passes > 1:
                engine.execute(self)
                self._layout_passes -= 1
            super().draw(renderer)

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=DPI)
        stored = stored_png(buffer.getvalue(), rasters=self.has_rasters)
        return stored, {"width": CSS_WIDTH, "alt": self.clslab_alt}

    @property
    def has_rasters(self) -> bool:
        """Whether pixels are drawn in it: photographs, spectrograms, but heat maps as well."""
        return bool(self.images) or any(axes.images for axes in self.axes)

    def __repr__(self) -> str:
        return f"<Figure: {self.clslab_alt}>"


def _show_own_png() -> None:
    """Tell a running notebook to use `_repr_png_`.

    Once pyplot is imported the inline backend claims every Figure, subclasses too, crops it to its
    contents and so changes the size of its text. A registration of the subclass goes before that.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None:
        formatter = shell.display_formatter.formatters["image/png"]
        formatter.for_type(BookFigure, BookFigure._repr_png_)


@dataclass(frozen=True)
class Series:
    """How one series looks: its colour, and what tells it apart without colour."""

    colour: str
    marker: str
    dash: Any
    hatch: str


def series(names: Sequence[str]) -> dict[str, Series]:
    """A look for each name, in order.

    Raises:
        ValueError: for no name, or for more series than a reader tells apart.
    """
    if not names:
        raise ValueError("no series to draw: the mapping is empty; pass at least one name")
    if len(names) > len(PALETTE):
        raise ValueError(
            f"{len(names)} series {list(names)}: at most {len(PALETTE)} can be told apart; split them over two figures"
        )
    looks = zip(PALETTE, MARKERS, DASHES, HATCHES, strict=True)
    return {name: Series(*look) for name, look in zip(names, looks, strict=False)}


# ---------------------------------------------------------------------------- around the axes


def add_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """A legend above the axes, where it covers no data, in as many columns as fit."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(handles=list(handles), loc="outside upper left", ncols=columns)
        if columns == 1 or legend.get_window_extent(renderer).width < 0.97 * figure.bbox.width:
            return
        legend.remove()


def add_footnote(figure: Figure, *lines: str | None, key: Sequence[str] = ()) -> None:
    """Notes below the axes, wrapped to the width of the figure.

    Args:
        figure: what gets the notes.
        lines: each begins a line of its own; None is passed over.
        key: short entries, as many to a line as fit.
    """
    packed: list[str] = []
    for entry in key:
        if packed and len(packed[-1]) + len(entry) + 3 <= NOTE_LETTERS:
            packed[-1] += "   " + entry
        else:
            packed.append(entry)
    wrapped = [
        textwrap.fill(
            line,
            NOTE_LETTERS,
            subsequent_indent="    ",
            break_on_hyphens=False,
            replace_whitespace=False,
        )
        for line in [*lines, *packed]
        if line
    ]
    if wrapped:
        text = "\n".join(wrapped)
        figure.supxlabel(text, x=0.015, ha="left", fontsize=SMALL, color=INK, linespacing=1.35)


def percent(share: float, digits: int = 0) -> str:
    """A fraction as it is written in the book.

    >>> percent(0.892, 1)
    '89.2 %'
    """
    return f"{100 * share:.{digits}f} %"


def wrapped_name(name: str, width: int = 20) -> str:
    """A name over as many lines as it needs; a word is never cut."""
    return textwrap.fill(str(name), width, break_long_words=False)


def short_name(name: str, letters: int = 22) -> str:
    """A name with spaces for underscores that fits beside an axis; what is cut off is marked.

    >>> short_name("large_carnivores", 10)
    'large car…'
    """
    words = name.replace("_", " ")
    return words if len(words) <= letters else words[: letters - 1].rstrip() + "…"


def line_handle(look: Series, label: str, *, marker: bool = True) -> Line2D:
    """The legend's sample of a series drawn as a line."""
    symbol = look.marker if marker else "None"
    return Line2D([], [], color=look.colour, linestyle=look.dash, label=label, marker=symbol)


def mark_positions(axes: Sequence[Axes], marks: Mapping[Any, str], *, along: str = "x", first: int = 0) -> list[str]:
    """Lines at positions, lettered at the edge of the first axes, so that no text covers data.

    Args:
        axes: axes that get the lines; limits and scale are already set.
        marks: position -> what is to be said about it.
        along: "x" for vertical lines lettered above, "y" for horizontal ones lettered at the right.
        first: how many letters are already taken.

    Returns:
        The key, one line for each mark in the order of their positions.
    """
    key: list[str] = []
    groups: list[tuple[list[float], list[str]]] = []
    for index, position in enumerate(sorted(marks)):
        letter = chr(ord("a") + first + index)
        key.append(f"{letter}: {marks[position]}")
        for ax in axes:
            draw = ax.axvline if along == "x" else ax.axhline
            draw(position, color=INK, linewidth=1.0, linestyle=(0, (2, 2)), zorder=1.5)
        place = _axes_fraction(axes[0], position, along)
        near = 0.05 if along == "x" else 0.08
        if groups and place - groups[-1][0][-1] < near:  # these letters would overlap
            groups[-1][0].append(place)
            groups[-1][1].append(letter)
        else:
            groups.append(([place], [letter]))
    for places, letters in groups:
        middle = sum(places) / len(places)
        where = (middle, 1.02) if along == "x" else (1.015, middle)
        axes[0].text(
            *where,
            " ".join(letters),
            transform=axes[0].transAxes,
            ha="center" if along == "x" else "left",
            va="bottom" if along == "x" else "center",
            fontweight="bold",
        )
    return key


def _axes_fraction(ax: Axes, position: float, along: str) -> float:
    point = (position, ax.get_ylim()[0]) if along == "x" else (ax.get_xlim()[0], position)
    fraction = ax.transAxes.inverted().transform(ax.transData.transform(point))
    share = float(fraction[0 if along == "x" else 1])
    if not -1e-6 <= share <= 1 + 1e-6:
        low, high = ax.get_xlim() if along == "x" else ax.get_ylim()
        raise ValueError(
            f"the mark at {position:g} lies outside the axis ({low:g} to {high:g}); "
            "leave it out or show data that reach it"
        )
    return share


# ---------------------------------------------------------------------------- what is accepted


def checked_alt(alt: str) -> str:
    """The alt text, stripped.

    Raises:
        ValueError: if it is empty or no text.
    """
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(
            f"alt is {alt!r}: say in a sentence or two what the figure shows, for readers who cannot see it"
        )
    return " ".join(alt.split())


def checked_array(values: ArrayLike, what: str, *, ndim: int = 1) -> Floats:
    """A copy of the values as floats, with the stated number of dimensions, none of them empty.

    Raises:
        ValueError: for another number of dimensions, nothing in it, NaN or infinity.
    """
    array = np.array(values, dtype=np.float64)
    if array.ndim != ndim:
        raise ValueError(f"{what} has shape {array.shape}: pass an array of {ndim} dimension(s)")
    if array.size == 0:
        raise ValueError(f"{what} is empty, shape {array.shape}: there is nothing to draw")
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))[0]
        where = ", ".join(str(int(i)) for i in bad)
        raise ValueError(f"{what}[{where}] is {array[tuple(bad)]}: remove or explain missing values first")
    return array


def checked_rates(values: Floats, what: str) -> Floats:
    """The values, if all are fractions.

    Raises:
        ValueError: if one lies outside [0, 1]; most often it is a percentage.
    """
    outside = (values < 0) | (values > 1)
    if outside.any():
        value = values[outside].flat[0]
        raise ValueError(f"{what} contains {value:g}, which is no fraction in [0, 1]; divide percentages by 100")
    return values


def checked_estimate(estimate: Estimate, what: str, *, rate: bool = True) -> Floats:
    """(value, low, high) times 100: percent for a rate, points for a difference of rates.

    Raises:
        ValueError: for another length, NaN, a value outside its interval, or no fraction.
    """
    array = checked_array(estimate, what)
    if array.shape != (3,):
        raise ValueError(f"{what} is {estimate!r}: pass (value, low, high)")
    value, low, high = array
    if not low - 1e-9 <= value <= high + 1e-9:
        raise ValueError(
            f"{what}: the value {value:g} lies outside its interval [{low:g}, {high:g}]; "
            "the order is (value, low, high)"
        )
    if rate:
        checked_rates(array, what)
    elif (np.abs(array) > 1).any():
        raise ValueError(
            f"{what} is {tuple(float(x) for x in array)}: differences of rates lie in [-1, 1]; divide points by 100"
        )
    return 100 * np.array([value, min(low, value), max(high, value)])


def checked_table(
    table: Mapping[str, Mapping[Any, Estimate]], what: str, *, same_keys: bool = True
) -> dict[str, dict[Any, Floats]]:
    """A mapping of mappings of estimates, checked, in percent.

    Raises:
        ValueError: if it is empty, an estimate is wrong, or the inner keys differ.
    """
    if not table:
        raise ValueError(f"{what} is empty: pass at least one name with its estimates")
    checked: dict[str, dict[Any, Floats]] = {}
    expected = list(next(iter(table.values())))
    for name, row in table.items():
        if not row:
            raise ValueError(f"{what}[{name!r}] is empty: pass at least one estimate")
        if same_keys and list(row) != expected:
            raise ValueError(
                f"{what}[{name!r}] has {list(row)}, the first has {expected}: pass the same keys in the same order"
            )
        checked[name] = {k: checked_estimate(e, f"{what}[{name!r}][{k!r}]") for k, e in row.items()}
    return checked


def same_length(lengths: Mapping[str, int]) -> int:
    """The common length.

    Raises:
        ValueError: if the lengths differ, or are 0.
    """
    if len(set(lengths.values())) != 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"lengths differ: {listed}; pass one entry for each item")
    length = next(iter(lengths.values()))
    if length == 0:
        raise ValueError(f"{' and '.join(lengths)} are empty: there is nothing to draw")
    return length


def positive(values: ArrayLike, what: str) -> Floats:
    """The values as floats, if all are above 0, as a log axis needs.

    Raises:
        ValueError: naming the first that is not.
    """
    array = checked_array(values, what)
    if (array <= 0).any():
        raise ValueError(f"{what} contains {array[array <= 0][0]:g}: a log axis needs values > 0")
    return array


def thinned(values: Sequence[float], least: float) -> list[float]:
    """Of sorted positive values those that keep `least` of the log range between neighbours."""
    logs = [math.log(v) for v in values]
    span = (logs[-1] - logs[0]) or 1.0
    kept = [values[-1]]
    for value, log in zip(reversed(values[:-1]), reversed(logs[:-1]), strict=True):
        if (math.log(kept[-1]) - log) / span >= least:
            kept.append(value)
    return kept[::-1]
