"""What the finished site is looked over for, after a strict build already called it good.

Sphinx lets several faults pass: a picture whose alt text is its file name, a glued value that is
empty, a reference that resolved to nothing. Each is found here in the pages themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

from book.tools.execute import Execution
from book.tools.pages import Page

_GLUED = re.compile(r"\{glue:(?:\w*)\}`([^`:]+)(?::[^`]*)?`")
_PICTURE = re.compile(r"\.(png|svg|jpe?g|gif)$")


class _Faults(HTMLParser):
    """Collects the faults of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside_article = 0
        self.inside_link = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        classes = (names.get("class") or "").split()
        if tag == "article":
            self.inside_article += 1
        if tag == "a":
            self.inside_link += 1
        if "xref" in classes and tag == "span" and not self.inside_link:
            self.found.append("a reference leads nowhere")
        if "problematic" in classes or "system-message" in classes:
            self.found.append("an error message of the builder stands in the page")
        if "stderr" in classes:
            self.found.append("an output to stderr stands in the page")
        if tag == "img" and self.inside_article:
            alt = (names.get("alt") or "").strip()
            if not alt or _PICTURE.search(alt):
                self.found.append(
                    f"picture {names.get('src', '')!r} has no alt text: give its cell the metadata "
                    "mystnb: {image: {alt: …}}"
                )

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self.inside_article -= 1
        if tag == "a":
            self.inside_link -= 1


def page_faults(html: str) -> list[str]:
    """Faults in the HTML of one page.

    >>> page_faults('<article><img src="a.png" alt="a.png"></article>')[0][:30]
    "picture 'a.png' has no alt tex"
    """
    parser = _Faults()
    parser.feed(html)
    return parser.found


def glue_faults(execution: Execution) -> list[str]:
    """Names that a page glues into its prose without any cell that stores them.

    Sphinx shows an empty string for such a name.
    """
    stored = set()
    for cell in execution.notebook.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name is not None:
                stored.add(name.removeprefix("application/papermill.record/"))
    wanted = set(_GLUED.findall(execution.page.text()))
    return [f"{{glue}} of {name!r}, which no cell stores" for name in sorted(wanted - stored)]


def site_faults(html: Path, pages: Sequence[Page], executions: Sequence[Execution]) -> list[str]:
    """All faults of a built site, each with the page that has it."""
    found = []
    for page in pages:
        built = html / f"{page.name}.html"
        if not built.is_file():
            found.append(f"{page.name}: the page was not built")
            continue
        found += [f"{page.name}: {fault}" for fault in page_faults(built.read_text("utf-8"))]
    for execution in executions:
        found += [f"{execution.page.name}: {fault}" for fault in glue_faults(execution)]
    return found
