"""What only some pages can: search, sliders and buttons by keyboard, widgets; and that these tests can fail."""

from __future__ import annotations

import base64
import json
import re
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from browsing import PHONE, SITE, Visit, served, visiting
from playwright.sync_api import Locator

from book.tools.theme import ICONS

FILES_ONLY = "Not allowed|URL scheme|CORS|ERR_FAILED|Failed to fetch"
"""From a folder the browser refuses to read pages for the lines below a hit; the hits themselves are found."""


@pytest.mark.parametrize("way", ["http", "folder"])
def test_full_text_search_finds_a_word(browser, request, way):
    with visiting(browser, request.getfixturevalue(way)) as one:
        one.page.goto(f"{one.base}/search.html?q=logits", wait_until="load")
        one.page.wait_for_selector("#search-results ul.search li a")
        assert one.page.locator("#search-results ul.search li").count() > 2
        assert one.outside == []
        assert [line for line in one.console if way == "http" or not re.search(FILES_ONLY, line)] == []


def pages_with(text: str) -> list[str]:
    """Pages of the site that hold a text."""
    return [
        path.relative_to(SITE).as_posix()
        for path in sorted((SITE / "chapters").glob("*.html"))
        if text in path.read_text("utf-8")
    ]


def first_of(visit: Visit, kind: str) -> tuple[Locator, Locator]:
    """The first slider, or the first button that is chosen, on the pages with sliders, and the box around it."""
    wanted = {"slider": "input[type=range]", "buttons": "input[type=radio]:checked"}[kind]
    for name in pages_with("clslab-frames"):
        visit.open(name)
        box = visit.page.locator(".clslab-frames", has=visit.page.locator(wanted)).first
        if box.count():
            return box, box.locator(wanted)
    raise AssertionError(f"no page has {kind}")


def test_sliders_are_moved_by_the_keyboard_and_say_so(browser, folder):
    with visiting(browser, folder) as one:
        box, slider = first_of(one, "slider")
        alts, texts = set(), set()
        slider.focus()
        one.page.keyboard.press("Home")
        for _ in range(int(slider.get_attribute("max") or 0) + 1):
            alts.add(box.locator("img").get_attribute("alt"))
            texts.add(slider.get_attribute("aria-valuetext"))
            assert box.locator("output").inner_text() == slider.get_attribute("aria-valuetext")
            one.page.keyboard.press("ArrowRight")
        assert len(alts) > 1
        assert len(texts) == int(slider.get_attribute("max") or 0) + 1


def test_buttons_are_chosen_by_the_keyboard_and_by_their_words(browser, folder):
    with visiting(browser, folder) as one:
        box, chosen = first_of(one, "buttons")
        picture, buttons = box.locator("img"), box.locator("input[type=radio]")
        chosen.focus()
        seen = []
        for _ in range(buttons.count()):
            seen.append((picture.get_attribute("alt"), picture.get_attribute("src")))
            one.page.keyboard.press("ArrowRight")
        assert len(set(seen)) == buttons.count()
        assert (picture.get_attribute("alt"), picture.get_attribute("src")) == seen[0]  # after the last comes the first
        box.locator("fieldset label").last.click()
        assert buttons.last.is_checked()
        assert picture.get_attribute("alt") in {alt for alt, _ in seen[1:]}


def test_a_slider_beside_buttons_shows_every_pair(browser, folder):
    with visiting(browser, folder) as one:
        for name in pages_with("clslab-frames"):
            one.open(name)
            both = one.page.locator(".clslab-frames", has=one.page.locator("fieldset")).filter(
                has=one.page.locator("input[type=range]")
            )
            if both.count():
                break
        box = both.first
        frames = json.loads(box.get_attribute("data-frames") or "[]")
        slider, buttons = box.locator("input[type=range]"), box.locator("input[type=radio]")
        shown = []
        for state in range(buttons.count()):
            buttons.nth(state).check()
            slider.focus()
            one.page.keyboard.press("Home")
            for _ in range(int(slider.get_attribute("max") or 0) + 1):
                shown.append(box.locator("img").get_attribute("src"))
                one.page.keyboard.press("ArrowRight")
        assert shown == [frame["src"] for frame in frames]


WIDGET = {
    "version_major": 2,
    "version_minor": 0,
    "state": {
        "a": {"model_module": "@jupyter-widgets/base", "model_module_version": "2.0.0", "model_name": "LayoutModel"},
        "b": {
            "model_module": "@jupyter-widgets/controls",
            "model_module_version": "2.0.0",
            "model_name": "SliderStyleModel",
        },
        "c": {
            "model_module": "@jupyter-widgets/controls",
            "model_module_version": "2.0.0",
            "model_name": "IntSliderModel",
            "state": {"description": "depth", "layout": "IPY_MODEL_a", "style": "IPY_MODEL_b", "value": 3},
        },
    },
}


@pytest.fixture
def changed(tmp_path):
    """A copy of one page of the site with a few words of HTML more at its end, as a folder."""

    def with_more(body: str) -> Path:
        folder = tmp_path / "site"
        (folder / "chapters").mkdir(parents=True)
        shutil.copytree(SITE / "_static", folder / "_static")
        text = (SITE / "book" / "how_to_use.html").read_text("utf-8")
        assert "</article>" in text
        (folder / "chapters" / "page.html").write_text(text.replace("</article>", f"{body}</article>", 1), "utf-8")
        return folder

    return with_more


@pytest.fixture
def broken(changed):
    """The same, served over http."""
    return lambda body: served(changed(body))


@pytest.mark.parametrize("opened", [served, lambda folder: nullcontext(folder.as_uri())], ids=["http", "file"])
def test_a_widget_is_shown_without_a_kernel_and_without_a_network(browser, changed, opened):
    scripts = f"<script>{ICONS}</script>" + "".join(
        f'<script src="../_static/vendor/{name}"{more}></script>'
        for name, more in (
            ("requirejs/require.js", ""),
            ("html-manager/embed-amd.js", ' data-jupyter-widgets-cdn="vendor/"'),
        )
    )
    state = {**WIDGET, "state": {key: {"state": {}, **value} for key, value in WIDGET["state"].items()}}
    body = (
        f'<script type="application/vnd.jupyter.widget-state+json">{json.dumps(state)}</script>{scripts}'
        '<script type="application/vnd.jupyter.widget-view+json">'
        '{"version_major": 2, "version_minor": 0, "model_id": "c"}</script>'
    )
    with opened(changed(body)) as base, visiting(browser, base) as one:
        one.page.goto(f"{base}/chapters/page.html", wait_until="load")
        one.page.wait_for_selector(".widget-slider")
        icons = one.page.evaluate(
            """async () => {
              const fonts = [...document.fonts].filter(font => font.family.includes('Awesome 5'));
              await Promise.allSettled(fonts.map(font => font.load()));
              return fonts.map(font => font.status);
            }"""
        )
        assert icons
        assert set(icons) == {"loaded"}
        assert one.outside == []
        assert one.failed == []
        assert "3" in one.page.locator(".widget-readout").inner_text()


PIXEL = "data:image/gif;base64," + base64.b64encode(b"GIF89a\x01\x00\x01\x00\x00\x00\x00;").decode()


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ('<img src="https://example.org/a.png" alt="A picture.">', "outside"),
        ("<script>console.error('no good')</script>", "console"),
        ("<script>nothing.there()</script>", "console"),
        ('<img src="../_static/none.png" alt="A picture.">', "failed"),
        (f'<img src="{PIXEL}">', "axe"),
        ('<p style="color: #bbb; background: #fff">pale</p>', "contrast"),
        (
            '<p style="color: #333">Words and <a href="#" style="color: #222; text-decoration: none">a link</a>.</p>',
            "contrast",
        ),
        ("<table><tr><td>no headers</td></tr></table>", "tables"),
        ('<div style="width: 900px">wide</div>', "scroll"),
        ('<details><summary style="height: 30px; min-height: 0">A hint</summary></details>', "thumb"),
        ('<span class="math notranslate nohighlight">\\(\\unknown\\)</span>', "formula"),
    ],
)
def test_what_is_wrong_is_seen(browser, broken, body, seen):
    with broken(body) as base, visiting(browser, base) as one:
        one.open("chapters/page.html")
        one.page.set_viewport_size(PHONE)
        found = {
            "outside": one.outside,
            "console": one.console,
            "failed": one.failed,
            "axe": one.axe() if seen == "axe" else [],
            "contrast": one.contrast("light") if seen == "contrast" else [],
            "tables": one.bare_tables(),
            "scroll": one.width() > PHONE["width"],
            "thumb": one.small_controls(),
            "formula": one.formulas()["errors"] or one.formulas()["drawn"] < one.formulas()["there"],
        }
        assert found[seen]
