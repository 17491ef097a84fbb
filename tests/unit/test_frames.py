"""The slider: all is inside it, it begins where it should, names what it shows, and shows the same when it is live."""

import base64
import functools
import html.parser
import json
import subprocess
import sys
from io import BytesIO

import ipywidgets
import pytest
from PIL import Image

from clslab import plots
from clslab.frames import Frames


class Elements(html.parser.HTMLParser):
    """The start tags of a page with their attributes: the first of each kind, and all inputs."""

    def __init__(self, page):
        super().__init__()
        self.found = {}
        self.inputs = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.setdefault(tag, dict(attrs))
        if tag == "input":
            self.inputs.append(dict(attrs))

    def handle_data(self, data):
        self.text += data


def at(lr, spread=0.1):
    """A figure that is drawn soon and differs with both numbers."""
    figure = plots.BookFigure(alt=f'At "{lr}" it is here, spread {spread}.', height=1.0)
    figure.add_subplot().bar([0, 1], [lr, spread])
    return figure


@functools.cache
def figures(count=3):
    return {f"lr <{lr}>": at(lr) for lr in (0.1, 0.3, 0.9)[:count]}


def frames_in(page):
    return json.loads(Elements(page).found["div"]["data-frames"])


def test_every_figure_is_inside_in_order_with_its_words():
    frames = frames_in(Frames(figures(), title="learning rate", start=1)._repr_html_())
    assert [frame["label"] for frame in frames] == ["lr <0.1>", "lr <0.3>", "lr <0.9>"]
    assert [frame["alt"] for frame in frames] == [f'At "{lr}" it is here, spread 0.1.' for lr in (0.1, 0.3, 0.9)]
    for frame in frames:
        kind, _, data = frame["src"].partition(",")
        assert kind == "data:image/png;base64"
        with Image.open(BytesIO(base64.b64decode(data))) as picture:
            assert (picture.width, picture.mode) == (864, "P")
    assert len({frame["src"] for frame in frames}) == 3


def test_it_begins_at_the_start():
    html_text = Frames(figures(), title="learning rate", start=2)._repr_html_()
    page, frame = Elements(html_text), frames_in(html_text)[2]
    slider, picture = page.found["input"], page.found["img"]
    assert (slider["min"], slider["max"], slider["value"]) == ("0", "2", "2")
    assert (picture["src"], picture["alt"]) == (frame["src"], frame["alt"])
    assert page.text == "learning rate: lr <0.9>"
    assert slider["aria-valuetext"] == "lr <0.9>"
    assert page.found["label"]["for"] == slider["id"] == page.found["output"]["for"]


def test_nothing_is_fetched_and_nothing_changes_between_builds():
    page = Frames(figures(), title="learning rate")._repr_html_()
    assert "http" not in page
    assert page == Frames(figures(), title="learning rate")._repr_html_()
    assert (
        repr(Frames(figures(), title="learning rate")) == "<Frames: learning rate, 3 figures from lr <0.1> to lr <0.9>>"
    )


def test_a_function_gives_the_figures_that_were_drawn_beforehand():
    drawn = Frames.of(at, (0.1, 0.3, 0.9), title="learning rate", label="lr <{}>".format, start=1)
    beforehand = {f"lr <{lr}>": at(lr) for lr in (0.1, 0.3, 0.9)}  # drawn a second time a figure is laid out anew
    assert drawn._repr_html_() == Frames(beforehand, title="learning rate", start=1)._repr_html_()


def test_a_choice_is_a_named_group_of_buttons_of_which_one_is_chosen():
    page = Elements(Frames.of(at, (0.1, 0.3), title="rate", start=1, choice=True)._repr_html_())
    assert [(one["type"], one["value"], "checked" in one) for one in page.inputs] == [
        ("radio", "0", False),
        ("radio", "1", True),
    ]
    assert len({one["name"] for one in page.inputs}) == 1
    assert {"fieldset", "legend"} <= set(page.found)
    assert page.text == "rate:0.10.3"
    assert page.found["img"]["alt"] == 'At "0.3" it is here, spread 0.1.'
    assert "output" not in page.found


def test_a_switch_has_all_frames_of_its_first_state_before_those_of_the_next():
    """The handler in the page finds a frame at (number of the state) times (values) plus (number of the value)."""
    made = Frames.of(at, (0.1, 0.9), title="rate", start=1, switch=("whiskers", {"short": 0.05, "long": 0.2}))
    page = Elements(made._repr_html_())
    alts = [frame["alt"] for frame in frames_in(made._repr_html_())]
    assert alts == [f'At "{lr}" it is here, spread {spread}.' for spread in (0.05, 0.2) for lr in (0.1, 0.9)]
    assert [one["type"] for one in page.inputs] == ["radio", "radio", "range"]
    assert page.found["img"]["alt"] == alts[1]
    assert repr(made) == "<Frames: rate, 2 figures from 0.1 to 0.9, 2 times by whiskers>"


def parts_of(box):
    """The picture, and the controls, of what `live` returns."""
    picture, moved = box.children
    return picture, [one for one in moved.children if not isinstance(one, ipywidgets.Output)]


def test_live_shows_the_stored_picture_for_a_stored_value_and_draws_any_other():
    calls = []

    def drawing(lr, spread):
        calls.append((lr, spread))
        return at(lr, spread)

    made = Frames.of(drawing, (0.1, 0.9), title="rate", switch=("whiskers", {"short": 0.05, "long": 0.2}))
    frames = frames_in(made._repr_html_())
    picture, (rate, whiskers) = parts_of(made.live())

    def shown():
        return Elements(picture.value).found["img"]

    assert (shown()["src"], shown()["alt"]) == (frames[0]["src"], frames[0]["alt"])
    rate.value = 0.9
    assert (shown()["src"], shown()["alt"]) == (frames[1]["src"], frames[1]["alt"])
    whiskers.value = 0.2
    assert (shown()["src"], shown()["alt"]) == (frames[3]["src"], frames[3]["alt"])
    rate.value = 0.5
    assert calls[-1] == (0.5, 0.2)
    assert shown()["alt"] == 'At "0.5" it is here, spread 0.2.'
    assert shown()["src"] not in {frame["src"] for frame in frames}


@pytest.mark.parametrize(
    ("values", "options", "kind", "ends", "chosen", "given"),
    [
        ((1, 2, 5), {}, ipywidgets.IntSlider, (1, 5), 4, 4),
        ((0.1, 0.3, 0.9), {}, ipywidgets.FloatSlider, (0.1, 0.9), 0.7, 0.7),
        ((0.01, 0.1, 1.0), {"log": True}, ipywidgets.FloatLogSlider, (-2, 0), 0.05, 0.05),
        ((10, 100, 1000), {"log": True}, ipywidgets.FloatLogSlider, (1, 3), 50.2, 50),
        (("a", "b"), {}, ipywidgets.SelectionSlider, None, "b", "b"),
        (("a", "b"), {"choice": True}, ipywidgets.RadioButtons, None, "b", "b"),
    ],
)
def test_live_has_the_control_that_the_values_ask_for(values, options, kind, ends, chosen, given):
    asked = []

    def drawing(value):
        asked.append(value)
        return at(0.1)

    _, (control,) = parts_of(Frames.of(drawing, values, title="what", start=1, **options).live())
    assert type(control) is kind
    assert control.description == "what"
    assert control.value == asked[-1] == values[1]
    if ends:
        assert (control.min, control.max) == pytest.approx(ends)
    control.value = chosen
    assert asked[-1] == given
    assert type(asked[-1]) is type(values[0])


def test_without_ipywidgets_live_names_it_and_the_figures_need_nothing():
    code = """
import sys
sys.modules["ipywidgets"] = None  # as if it were not installed
from clslab import plots
from clslab.frames import Frames
made = Frames.of(lambda k: plots.size_curve({"a": {k: (.5, .4, .6)}}, alt=str(k)), [1, 2], title="k")
assert "range" in made._repr_html_()
try:
    made.live()
except ImportError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs the package ipywidgets" in said.stdout
    assert "pip install ipywidgets" in said.stdout


@pytest.mark.parametrize(
    ("count", "changes", "message"),
    [
        (1, {}, "1 figure.*at least two"),
        (3, {"title": " "}, "title is empty"),
        (3, {"start": 3}, "start = 3 is out of range; the figures are numbered 0 to 2"),
    ],
)
def test_mistakes_are_explained(count, changes, message):
    with pytest.raises(ValueError, match=message):
        Frames(figures(count), **{"title": "learning rate"} | changes)


@pytest.mark.parametrize(
    ("draw", "values", "options", "message"),
    [
        (lambda _: None, (1, 2), {}, r"draw\(1\) returned NoneType; return a figure of clslab.plots"),
        (at, (0.11, 0.12), {"label": "{:.1f}".format}, "same label"),
        (at, (0.1, 0.2, 0.3, 0.4, 0.5), {"choice": True}, "5 states: buttons are for 2 to 4"),
        (at, (0.1, 0.2), {"switch": ("whiskers", {"short": 0.1})}, "1 states: buttons are for 2 to 4"),
        (at, (0.1, 0.2), {"switch": (" ", {"short": 0.1, "long": 0.2})}, "title is empty"),
        (at, (0.1, 0.2), {"choice": True, "switch": ("w", {"a": 0.1, "b": 0.2})}, "a choice beside a switch"),
    ],
)
def test_mistakes_with_a_function_are_explained(draw, values, options, message):
    with pytest.raises(ValueError, match=message):
        Frames.of(draw, values, title="rate", **options)


def test_figures_that_were_drawn_beforehand_cannot_be_live():
    with pytest.raises(ValueError, match=r"make the slider with Frames\.of"):
        Frames(figures(), title="learning rate").live()
