"""Every page of the finished site, in a browser: without a network, for a screen reader, on a phone.

Each page is opened once over http and once from its folder. The site is the one that `make site-smoke` built.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from browsing import OTHER_LANGUAGES, PHONE, SITE, Visit, tab

WEIGHT = 1_500_000
"""Bytes that a page may load, without scripts and fonts of others."""

OTHERS = re.compile(r"^([\w-]+/)?_static/(vendor|scripts|styles)/|\.js$")
"""What the weight leaves out: scripts, fonts and style of the theme, and scripts from npm."""

HARMLESS: tuple[str, ...] = ()
"""Lines of the console that may stand there."""


@pytest.fixture(scope="module")
def visit(window, http, name):
    """The page over http, as wide as a laptop, with all that is folded away unfolded."""
    with tab(window, http) as one:
        one.open(name)
        one.unfold()
        yield one


def console_of(visit: Visit) -> list[str]:
    """What stands in the console and is not known to be harmless."""
    return [line for line in visit.console if not line.startswith(HARMLESS or ("\0",))]


def assert_whole(visit: Visit) -> None:
    """Nothing was asked of anybody else, nothing is missing, nothing complains, every formula is drawn."""
    assert visit.outside == []
    assert visit.failed == []
    assert console_of(visit) == []
    found = visit.formulas()
    assert found["drawn"] == found["there"]
    assert found["errors"] == 0


def test_over_http_the_page_is_whole(visit):
    assert_whole(visit)


def test_from_its_folder_the_page_is_whole(window, folder, name):
    with tab(window, folder) as one:
        one.open(name)
        assert_whole(one)


def test_the_page_has_title_and_language(visit, name):
    assert visit.page.title().strip()
    language = next((folder.rstrip("/") for folder in OTHER_LANGUAGES if name.startswith(folder)), "en")
    assert visit.page.evaluate("document.documentElement.lang") == language


def test_a_screen_reader_gets_along(visit):
    assert visit.axe() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_letters_stand_out(visit, theme):
    assert visit.contrast(theme) == []


def test_tables_have_headers(visit):
    assert visit.bare_tables() == []


def test_on_a_phone_nothing_scrolls_sideways_and_a_thumb_hits_every_control(visit):
    visit.page.set_viewport_size(PHONE)
    assert visit.width() <= PHONE["width"]
    assert visit.small_controls() == []


def test_the_page_is_light(visit):
    weight = {name: (SITE / name).stat().st_size for name in visit.loaded if (SITE / name).is_file()}
    own = {name: size for name, size in weight.items() if not OTHERS.search(name)}
    heaviest = sorted(own.items(), key=lambda item: -item[1])[:5]
    assert sum(own.values()) <= WEIGHT, f"{sum(own.values()):,} bytes; heaviest: {heaviest}"


class _Pictures(HTMLParser):
    """Alt texts of the pictures in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.without: list[str] = []
        self.alike: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag == "img" and not (names.get("alt") or "").strip():
            self.without.append(str(names.get("src"))[:80])
        alts = [frame["alt"] for frame in json.loads(names.get("data-frames") or "[]")]
        self.alike += [alt for alt in dict.fromkeys(alts) if alts.count(alt) > 1]


def test_every_picture_of_the_page_has_alt_text_and_no_two_of_a_slider_the_same(name):
    pictures = _Pictures()
    pictures.feed((SITE / name).read_text("utf-8"))
    assert pictures.without == []
    assert pictures.alike == []


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_marks_of_code_that_the_site_leaves_out_have_the_colour_of_the_text(mode):
    rules = (SITE / "_static" / "pygments.css").read_text("utf-8")
    colour = {
        mark: re.search(rf'="{mode}"\] \.highlight{mark} \{{[^}}]*color: (#\w+)', rules)[1]
        for mark in ("", " .n", " .p", " .w")
    }
    assert len(set(colour.values())) == 1
