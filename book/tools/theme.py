"""Mends what the theme and its companions leave out: names for screen readers, scripts that nobody needs.

A Sphinx extension. It unloads `sphinx_thebe`, which puts two scripts and an address of a content network into every
page although the book starts no kernels, and it goes over the finished pages once (`mended`): each rule there answers
a finding of the tests in `tests/site`, most of them of axe-core, which see it again if the theme changes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ICONS = r"""{
  const path = document.documentElement.dataset.content_root + '_static/vendor/html-manager/';
  const vendored = new URL(path, document.baseURI).href;
  window.__jupyter_widgets_assets_path__ = vendored;
  new MutationObserver(changes => {
    for (const style of changes.flatMap(change => [...change.addedNodes])) {
      const right = style.textContent.replace(/url\([^()]*\/([0-9a-f]{20}\.\w+)/g, `url(${vendored}$1`);
      if (style.tagName === 'STYLE' && right !== style.textContent) {
        style.textContent = right;
      }
    }
  }).observe(document.head, {childList: true});
}"""
"""Where the widget manager finds its icons.

It writes their addresses into its styles before it reads the path that it may be given: it takes them to lie beside a
script that is not there, and in a page without a server beside nothing. So they are put right before they are drawn.
"""

UNFOLDED = "document.addEventListener('toggle', () => window.dispatchEvent(new Event('resize')), true);"
"""Lets code that was folded away be scrolled by keyboard: the theme looks for what scrolls when the window changes."""

_OPENER = re.compile(
    r'(<a class="(?:current )?reference internal"[^>]*>(?P<name>(?:(?!</a>).)*)</a>\s*<details[^>]*>\s*)<summary>',
    re.DOTALL,
)
"""A page of the sidebar and the arrow that opens the list of the pages below it."""

_MODE = re.compile(r'(<i class="theme-switch[^"]*"[^>]*?)\s+title="[^"]*"')
_SEARCH = re.compile(r'(<button class="btn search-button-field[^"]*")\s+title="([^"]*)"\s+aria-label="\2"')
_INDEXES = ('<table style="width: 100%" class="indextable genindextable">', '<table class="indextable modindextable">')
_PARAMETERS = re.compile(r"<dl>\s*((?:<dd><em class=\"sig-param\">.*?</dd>\s*)+)</dl>", re.DOTALL)
"""The parameters of a long signature, one to a line: no list of definitions, although Sphinx writes it as one."""

_TABLE = re.compile(r'<table class="table">.*?</table>', re.DOTALL)
_FIRST_CELL = re.compile(r"(<tr[^>]*>\s*)<td>(.*?)</td>", re.DOTALL)
_WORDS = re.compile(r"<[^>]+>")

_INTERVAL = re.compile(r"(<td[^>]*>[^<]*\[[^\[\]<]+,) (?=[^\[\]<]+\])")
"""The blank inside an interval, as in 58.4 [51.2, 65.0], in the cell of a table."""

_RANGE = re.compile(r"(<td[^>]*>[^<]*\d)–(?=\d[^<]*</td>)")
"""The dash of a range, as in 51.2–65.0, in the cell of a table."""

_UNCOLOURED = re.compile(r'<span class="[npw]">([^<]*)</span>')
"""Names, punctuation and blanks of code, which both colour modes draw in the colour of the text around them."""

_CELL = re.compile(r'<td id="T_\w+" class="data [^"]*" ?>')
"""A cell of a pandas table with the handles for a style of its own."""

PAGES_BELOW = "Pages below {name}"
"""What the arrow of the sidebar is called."""


def mended(html: str) -> str:
    """The page with what a screen reader or a narrow table misses, and without what nobody does.

    - The opener of a hidden cell is called what it says, not "Toggle hidden content".
    - The arrows of the sidebar have names.
    - The buttons for search and colour mode are called what they show.
    - The bibliography is no list of list items, and does not say that it is one.
    - The columns of the indexes are no table, and are not read out as one.
    - The lines of a long signature are lines, not definitions without a term.
    - A table without a line of headers names its rows in the first column.
    - An interval or a range in a narrow cell stands on one line.
    - What only makes a page heavy is left out: marks of code without a colour of their own, which are half of all, and
      the handles of table cells that no style takes hold of.

    >>> mended('<summary aria-label="Toggle hidden content">')
    '<summary>'
    """
    html = html.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    html = _OPENER.sub(_named, html)
    html = _MODE.sub(r'\1 aria-hidden="true"', html)
    html = html.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    for table in _INDEXES:
        html = html.replace(table, table.replace("<table", '<table role="presentation"'))
    html = _PARAMETERS.sub(_lines, html)
    html = _TABLE.sub(_with_row_headers, html)
    html = _INTERVAL.sub("\\1\N{NO-BREAK SPACE}", html)
    html = _RANGE.sub("\\1\N{WORD JOINER}–\N{WORD JOINER}", html)
    html = _UNCOLOURED.sub(r"\1", html)
    if "#T_" not in html:
        html = _CELL.sub("<td>", html)
    return _SEARCH.sub(r"\1", html)


def _lines(found: re.Match[str]) -> str:
    return found[1].replace("<dd>", '<span class="clslab-parameter">').replace("</dd>", "</span>")


def _with_row_headers(found: re.Match[str]) -> str:
    return found[0] if "<th" in found[0] else _FIRST_CELL.sub(r'\1<th scope="row">\2</th>', found[0])


def _named(found: re.Match[str]) -> str:
    name = " ".join(_WORDS.sub("", found["name"]).split()).replace('"', "&quot;")
    return f'{found[1]}<summary aria-label="{PAGES_BELOW.format(name=name)}">'


def unload_thebe(app: Sphinx) -> None:
    """Takes the listeners of `sphinx_thebe` away; Jupyter Book loads it whatever the configuration says."""
    for event, listeners in app.events.listeners.items():
        kept = [one for one in listeners if not one.handler.__module__.startswith("sphinx_thebe")]
        app.events.listeners[event] = kept
    app.registry.css_files = [one for one in app.registry.css_files if one[0] != "sphinx-thebe.css"]


def mend_site(app: Sphinx, failure: Exception | None) -> None:
    """Handler of Sphinx's `build-finished`."""
    if failure is not None or app.builder.format != "html":
        return
    for path in sorted(Path(app.outdir).rglob("*.html")):
        before = path.read_text("utf-8")
        after = mended(before)
        if after != before:
            path.write_text(after, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    unload_thebe(app)
    app.add_js_file(None, body=ICONS, priority=200)
    app.add_js_file(None, body=UNFOLDED, priority=200)
    app.connect("build-finished", mend_site)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
