"""The slider: everything is inside it, it begins where it should, and it names what it shows."""

import base64
import functools
import html.parser
import json
from io import BytesIO

import pytest
from PIL import Image

from clslab import plots
from clslab.frames import Frames


class Elements(html.parser.HTMLParser):
    """The start tags of a page with their attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = {}
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.setdefault(tag, dict(attrs))

    def handle_data(self, data):
        self.text += data


@functools.cache
def figures(count=3):
    return {
        f"lr <{lr}>": plots.lr_position(
            ([0.01, 0.1, 1], [4, 3, 5]), {0.1: (0.3, 0.2, 0.4), 1: (0.1, 0.0, 0.2)}, lr=lr, alt=f'At "{lr}" it is here.'
        )
        for lr in (0.1, 0.3, 0.9)[:count]
    }


def test_every_figure_is_inside_in_order_with_its_words():
    elements = Elements(Frames(figures(), title="learning rate", start=1)._repr_html_()).found
    frames = json.loads(elements["input"]["data-frames"])
    assert [frame["label"] for frame in frames] == ["lr <0.1>", "lr <0.3>", "lr <0.9>"]
    assert [frame["alt"] for frame in frames] == [f'At "{lr}" it is here.' for lr in (0.1, 0.3, 0.9)]
    for frame in frames:
        kind, _, data = frame["src"].partition(",")
        assert kind == "data:image/png;base64"
        with Image.open(BytesIO(base64.b64decode(data))) as picture:
            assert (picture.width, picture.mode) == (864, "P")
    assert len({frame["src"] for frame in frames}) == 3


def test_it_begins_at_the_start():
    page = Elements(Frames(figures(), title="learning rate", start=2)._repr_html_())
    slider, picture = page.found["input"], page.found["img"]
    frame = json.loads(slider["data-frames"])[2]
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
