"""A slider over ready-made figures that works on a page without a kernel, a network or a library.

The figures are drawn once, stored inside the page, and one of them is shown; moving the slider shows another. Where a
kernel runs, the same function can draw any value in between: `Frames.live`.

Taught in chapter 7.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from clslab.origins import stored_png

if TYPE_CHECKING:
    from clslab.plots import BookFigure

COLOURS = 48  # of a stored picture: lines and text need few, and it is a third as large
MOST_STATES = 4
"""States that a choice or a switch may have: more are easier to find on a slider."""
_WIDE = {"width": "576px", "max_width": "100%"}

# The handler stands in the element itself, so that it needs no script that a page would have to load or to trust twice.
_MOVE = (
    "var b=this.closest('.clslab-frames'),s=b.querySelector('input[type=range]'),"
    "r=b.querySelector('input[type=radio]:checked'),"
    "f=JSON.parse(b.dataset.frames)[(r?+r.value:0)*(s?+s.max+1:1)+(s?+s.value:0)],i=b.querySelector('img');"
    "i.src=f.src;i.alt=f.alt;"
    "if(s){b.querySelector('output').textContent=f.label;s.setAttribute('aria-valuetext',f.label);}"
)


class Frames:
    """Figures and a slider; as the last expression of a cell it is shown.

    Attributes:
        title: what is moved.
        labels: what the slider says at each figure, or the states of a choice.
        start: number of the figure to begin with.
    """

    def __init__(self, figures: Mapping[str, BookFigure], *, title: str, start: int = 0, choice: bool = False) -> None:
        """Take figures that are drawn already.

        Args:
            figures: what the slider is to say -> the figure, in the order of the slider.
            title: what is moved, such as "learning rate".
            start: number of the figure to begin with; it is the one that a reader without scripts sees.
            choice: buttons of which one is chosen, in place of the slider, for two to four states that have names.

        Raises:
            ValueError: for fewer than two figures, too many for a choice, no title, or a start that is no figure's
                number.
        """
        self._begin(list(figures), title=title, start=start, choice=choice)
        self._frames: list[dict[str, str]] = [_frame(label, figure) for label, figure in figures.items()]

    @classmethod
    def of(
        cls,
        draw: Callable[..., BookFigure],
        values: Iterable[Any],
        *,
        title: str,
        label: Callable[[Any], str] = str,
        start: int = 0,
        choice: bool = False,
        switch: tuple[str, Mapping[str, Any]] | None = None,
        log: bool = False,
    ) -> Frames:
        """Draw a figure for each of some values with one function, which `live` can ask for any other value.

        Args:
            draw: takes a value, and the state of the switch where there is one; returns a figure of `clslab.plots`.
            values: numbers in rising order, or names.
            title: what is moved, such as "learning rate".
            label: what the slider is to say at a value.
            start: number of the value to begin with; its figure is the one that a reader without scripts sees.
            choice: buttons of which one is chosen, in place of the slider, for two to four states that have names.
            switch: a second control of two to four states: its title, and what it says -> what `draw` is given. It
                begins with the first.
            log: whether `live` goes over the values by equal factors and not by equal steps.

        Raises:
            ValueError: as for `Frames`, for two values with one label, for a switch beside a choice, or if `draw`
                returns no figure.

        >>> from clslab import plots
        >>> def tries(k):
        ...     return plots.size_curve({"best of k": {1: (0.8, 0.7, 0.9), k: (0.9, 0.8, 1.0)}}, alt=f"{k} tries.")
        >>> Frames.of(tries, [2, 5, 10], title="tries k", label="{} tries".format)
        <Frames: tries k, 3 figures from 2 tries to 10 tries>
        """
        asked = list(values)
        labels = [label(value) for value in asked]
        if len(set(labels)) < len(labels):
            raise ValueError(f"two of the values have the same label: {labels}; give a label that tells them apart")
        made = cls.__new__(cls)
        made._begin(labels, title=title, start=start, choice=choice, switch=switch)
        made._draw, made._values, made._label, made._log = draw, asked, label, log
        made._frames = [
            _frame(text, _drawn(draw, value, *state))
            for state in ([(state,) for state in switch[1].values()] if switch else [()])
            for text, value in zip(labels, asked, strict=True)
        ]
        return made

    def _begin(
        self,
        labels: list[str],
        *,
        title: str,
        start: int,
        choice: bool,
        switch: tuple[str, Mapping[str, Any]] | None = None,
    ) -> None:
        if len(labels) < 2:
            raise ValueError(f"{len(labels)} figure(s): a slider needs at least two")
        if not title.strip() or (switch and not switch[0].strip()):
            raise ValueError("title is empty: say what the slider moves")
        if not 0 <= start < len(labels):
            raise ValueError(f"start = {start} is out of range; the figures are numbered 0 to {len(labels) - 1}")
        if choice and switch:
            raise ValueError("a choice beside a switch: make one of the two a slider, which has room for more states")
        states = labels if choice else list(switch[1]) if switch else []
        if states and not 2 <= len(states) <= MOST_STATES:
            raise ValueError(f"{len(states)} states: buttons are for 2 to {MOST_STATES}, use the slider for others")
        self.title, self.labels, self.start, self.choice, self.switch = title, tuple(labels), start, choice, switch
        self._draw: Callable[..., BookFigure] | None = None
        self._values: list[Any] = []
        self._label: Callable[[Any], str] = str
        self._log = False

    def __repr__(self) -> str:
        more = f", {len(self.switch[1])} times by {self.switch[0]}" if self.switch else ""
        return f"<Frames: {self.title}, {len(self.labels)} figures from {self.labels[0]} to {self.labels[-1]}{more}>"

    def _repr_html_(self) -> str:
        """The figure to begin with, and below it the controls: 44 px high, moved by finger, mouse or arrow keys."""
        data = json.dumps(self._frames)
        name = f"frames-{hashlib.sha256(data.encode()).hexdigest()[:10]}"  # the same on every build
        slider = "" if self.choice else self._slider(name)
        if self.choice:
            buttons = _buttons(name, self.title, self.labels, self.start)
        else:
            buttons = _buttons(name, self.switch[0], list(self.switch[1]), 0) if self.switch else ""
        return (
            f'<div class="clslab-frames" style="max-width:576px" data-frames="{html.escape(data)}">'
            f"{_picture(self._frames[self.start])}{buttons}{slider}</div>"
        )

    def _slider(self, name: str) -> str:
        label, title = html.escape(self.labels[self.start]), html.escape(self.title)
        return (
            f'<label for="{name}">{title}: <output for="{name}">{label}</output></label>'
            f'<input type="range" id="{name}" min="0" max="{len(self.labels) - 1}" step="1" value="{self.start}" '
            f'aria-valuetext="{label}" oninput="{html.escape(_MOVE)}" '
            'style="display:block;width:100%;height:44px;margin:0">'
        )

    def live(self) -> Any:
        """The same control from ipywidgets, for Jupyter and Colab: whatever value is chosen, its figure is drawn.

        Numbers may be anything between the first and the last value; names are those that were given. The function that
        draws is the one that drew the stored figures. Without a running kernel it shows nothing, so it is for a
        notebook and not for a page.

        Returns:
            An ipywidgets box; as the last expression of a cell it is shown.

        Raises:
            ValueError: if the figures were drawn beforehand, so that there is no function to ask.
            ImportError: if ipywidgets is not installed.
        """
        if self._draw is None:
            raise ValueError("these figures were drawn beforehand; make the slider with Frames.of(draw, values, …)")
        try:
            import ipywidgets
        except ImportError as error:
            raise ImportError(
                "live() needs the package ipywidgets; install it with pip install ipywidgets, or look at the stored "
                "figures, which need nothing"
            ) from error
        picture, draw, label = ipywidgets.HTML(), self._draw, self._label

        def show(**chosen: Any) -> None:
            value = self._of_kind(chosen["value"])
            picture.value = _picture(_frame(label(value), _drawn(draw, value, *list(chosen.values())[1:])))

        controls = {"value": self._control(ipywidgets)}
        if self.switch:
            controls["state"] = ipywidgets.RadioButtons(options=dict(self.switch[1]), description=self.switch[0])
        for control in controls.values():
            control.style.description_width = "initial"
        # `interactive` shows in its own place what goes wrong while a figure is drawn.
        moved = ipywidgets.interactive(show, **controls)
        if not picture.value:  # some versions draw at once, others not before they are shown
            show(**{name: control.value for name, control in controls.items()})
        return ipywidgets.VBox([picture, moved], layout=dict(_WIDE))

    def _control(self, ipywidgets: Any) -> Any:
        """The control over the values: a slider between numbers, or the names."""
        wide: dict[str, Any] = {"description": self.title, "layout": dict(_WIDE)}
        value, numbers = self._values[self.start], _numbers(self._values)
        if not numbers:
            kind = ipywidgets.RadioButtons if self.choice else ipywidgets.SelectionSlider
            options = list(zip(self.labels, self._values, strict=True))
            return kind(options=options, value=value, **wide)
        low, high = min(numbers), max(numbers)
        wide |= {"value": value, "continuous_update": False}
        if self._log:
            low, high = float(np.log10(low)), float(np.log10(high))
            return ipywidgets.FloatLogSlider(min=low, max=high, step=(high - low) / 200, **wide)
        if self._whole:
            return ipywidgets.IntSlider(min=low, max=high, **wide)
        return ipywidgets.FloatSlider(min=low, max=high, step=(high - low) / 200, readout_format=".3g", **wide)

    @property
    def _whole(self) -> bool:
        return all(isinstance(value, int) for value in self._values)

    def _of_kind(self, value: Any) -> Any:
        """A value of a slider as the function expects it: a whole number where all the values are."""
        return round(value) if _numbers(self._values) and self._whole else value


def _numbers(values: list[Any]) -> list[Any]:
    """The values if all of them are numbers, else nothing."""
    fit = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return values if fit else []


def _drawn(draw: Callable[..., BookFigure], *given: Any) -> BookFigure:
    figure = draw(*given)
    if not hasattr(figure, "clslab_alt"):
        raise ValueError(
            f"draw({', '.join(map(repr, given))}) returned {type(figure).__name__}; return a figure of clslab.plots"
        )
    return figure


def _frame(label: str, figure: BookFigure) -> dict[str, str]:
    """A figure as the page keeps it."""
    return {"src": _stored(figure), "alt": figure.clslab_alt, "label": label}


def _picture(frame: Mapping[str, str]) -> str:
    return f'<img src="{frame["src"]}" alt="{html.escape(frame["alt"])}" style="width:100%;height:auto">'


def _buttons(name: str, title: str, states: Iterable[str], chosen: int) -> str:
    """Radio buttons: one of them is always chosen, and the arrow keys go from one to the next."""
    rows = []
    for number, state in enumerate(states):
        button = (
            f'<input type="radio" name="{name}-state" value="{number}"{" checked" if number == chosen else ""} '
            f'onchange="{html.escape(_MOVE)}" style="width:18px;height:44px;margin:0 0.4em 0 0">'
        )
        around = "display:inline-flex;align-items:center;margin-right:1.2em"
        rows.append(f'<label style="{around}">{button}{html.escape(state)}</label>')
    legend = "float:none;width:auto;padding:0;margin:0;font-size:inherit"
    return (
        '<fieldset style="border:0;margin:0;padding:0;min-width:0">'
        f'<legend style="{legend}">{html.escape(title)}:</legend>{"".join(rows)}</fieldset>'
    )


def _stored(figure: BookFigure) -> str:
    """The figure as a data address, in few colours."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png")
    small = stored_png(drawn.getvalue(), rasters=figure.has_rasters, colours=COLOURS)
    return f"data:image/png;base64,{base64.b64encode(small).decode()}"
