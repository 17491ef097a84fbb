"""The whole book as one HTML page, put together from the finished pages of the site: what `book.tools.pdf` prints.

Sphinx has a builder for this, `singlehtml`. Its anchors are not unique (every chapter has a `what-to-remember`), so
half of the contents would lead to the wrong chapter, and what was done to the finished site (credits, names for screen
readers) would have to be done again. Here every id gets the name of its page in front, and links follow.

What needs a hand is put into words: a slider becomes its first figure and a line that says what it moves, a player a
line with its credit; what is folded is open, and the solutions of a sheet stand together at its end.
"""

from __future__ import annotations

import copy
import html
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Comment, Tag

from book.tools.pages import BookError

LEFT_OUT = ("book/api/",)
"""Pages that are made for looking up in a browser, not for reading."""

FOOT = "what-this-page-rests-on"
"""The section that `book.tools.provenance` adds to a page; the contents do not list it thirty times."""

SENTENCE = 30
"""Letters from which on a cell of a table holds words."""

STYLE = Path(__file__).with_name("pdf.css")

_ARTICLE = re.compile(r"<article[^>]*>(.*)</article>", re.DOTALL)
_PLAIN_WORD = re.compile(r'<span class="(?:n|nn|o|p|w|pre)">([^<]*)</span>')
"""Names, operators, punctuation and gaps in code: half of all elements of the book, for next to no colour."""

_NO_PAPER = "script, button, .headerlink, .toctree-wrapper, .clslab-pdf, .sd-summary-state-marker"
_FORMS = "audio, button, details, embed, iframe, input, object, select, textarea, video"
_REFERRING = ("for", "aria-labelledby", "aria-describedby")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


@dataclass(frozen=True)
class Entry:
    """A page and its place in the book.

    Attributes:
        name: as in `_toc.yml`.
        level: 1 for a part or a page outside of parts, 2 for a chapter, 3 for its sheet.
        part: caption of the part that begins with this page, else empty.
    """

    name: str
    level: int
    part: str = ""


@dataclass(frozen=True)
class Line:
    """A line of the contents.

    Attributes:
        target: id of the heading.
        level: 1 to 6.
        title: its inner HTML.
    """

    target: str
    level: int
    title: str


def entries(toc: Mapping[str, Any]) -> list[Entry]:
    """The pages of a parsed `_toc.yml` that are printed, in reading order.

    >>> entries({"root": "a", "parts": [{"caption": "P", "chapters": [{"file": "b"}, {"file": "book/api/index"}]}]})
    [Entry(name='a', level=1, part=''), Entry(name='b', level=2, part='P')]
    """

    def walk(listed: Sequence[Mapping[str, Any]], level: int) -> Iterator[Entry]:
        for one in listed:
            if "file" in one and not one["file"].startswith(LEFT_OUT):
                yield Entry(one["file"], level)
                yield from walk(one.get("sections", ()), level + 1)

    found = [Entry(toc["root"], 1), *walk(toc.get("chapters", ()), 1)]
    for part in toc.get("parts", ()):
        inside = list(walk(part.get("chapters", ()), 2))
        if inside:
            found += [Entry(inside[0].name, 2, part.get("caption", "")), *inside[1:]]
    return found


def anchor(page: str, name: str = "") -> str:
    """The id in the whole book of a page, or of an element of it.

    >>> anchor("chapters/07_learning_rate", "what-to-remember")
    'chapters.07_learning_rate--what-to-remember'
    """
    return re.sub(r"[^\w.-]", ".", f"{page}--{name}" if name else page)


def _new(soup: BeautifulSoup, tag: str, inside: str = "", **attributes: str) -> Tag:
    """An element from HTML; the attribute `kind` is its class."""
    made = soup.new_tag(tag, attrs={("class" if key == "kind" else key): value for key, value in attributes.items()})
    made.extend(list(BeautifulSoup(inside, "html.parser").contents))
    return made


def _word(one: Tag, name: str) -> str:
    """An attribute as text, empty where it is missing."""
    value = one.get(name)
    return value if isinstance(value, str) else " ".join(value or ())


def open_folds(soup: BeautifulSoup) -> None:
    """What a reader would unfold is open: code without a line about it, everything else below its title."""
    for fold in soup.find_all("details"):
        title = fold.find("summary")
        words = title.get_text(" ", strip=True) if isinstance(title, Tag) else ""
        if isinstance(title, Tag):
            title.decompose()
        hidden = "hide" in _word(fold, "class").split()
        fold.name, fold.attrs = "div", {"class": "folded" if hidden else "opened"}
        if not hidden:
            fold.insert(0, _new(soup, "p", html.escape(words), kind="opened-title"))


def still_sliders(soup: BeautifulSoup) -> None:
    """A slider is its first figure, and a line that says what it moves and what else can be chosen."""
    for box in soup.select(".clslab-frames"):
        steps = [_plain(one) for one in re.findall(r'"label": "((?:[^"\\]|\\.)*)"', _word(box, "data-frames"))]
        label, slider, buttons = box.find("label"), box.find("input", type="range"), box.find("fieldset")
        if not steps or not isinstance(label, Tag) or not (slider or buttons):
            raise BookError("a slider without figures or input: clslab/frames.py and book/tools/onepage.py must agree")
        shown, words = [], []
        if isinstance(slider, Tag):
            moved = box.find("label", attrs={"for": _word(slider, "id")})
            title = moved.get_text().partition(":")[0].strip() if isinstance(moved, Tag) else ""
            steps = steps[: int(_word(slider, "max")) + 1]
            shown.append(_word(slider, "aria-valuetext"))
            words.append(f"a slider moves the {title} through {len(steps)} figures, from {steps[0]} to {steps[-1]}")
        if isinstance(buttons, Tag):
            chosen = buttons.find("input", checked=True)
            around = chosen.parent if isinstance(chosen, Tag) else None
            shown.append(around.get_text() if isinstance(around, Tag) else "")
            states = [one.get_text() for one in buttons.find_all("label")]
            title = buttons.get_text().partition(":")[0].strip()
            words.append(f"buttons choose: {title} {', '.join(states[:-1])} or {states[-1]}")
        said = f"Shown: <b>{html.escape(', '.join(shown))}</b>. On the web page {html.escape(' and '.join(words))}."
        for control in [*box.find_all("label"), *box.find_all("fieldset"), *box.find_all("input")]:
            control.decompose()
        box.append(_new(soup, "p", said, kind="web-only"))


def _plain(text: str) -> str:
    r"""A string of JSON without its escapes.

    >>> _plain("3 \\u00b5m")
    '3 µm'
    """
    return str(yaml.safe_load(f'"{text}"'))


def silent_players(soup: BeautifulSoup) -> None:
    """A player is a line that says what is heard on the web page, and whose sound it is."""
    for box in soup.select(".clslab-player"):
        sound, credit = box.find("audio"), box.find("small")
        label = box.find("span")
        said = _word(sound, "aria-label") if isinstance(sound, Tag) else label.get_text() if label else ""
        heard = "To be heard on the web page" if isinstance(sound, Tag) else "A sound"
        whose = credit.get_text(" ", strip=True) if isinstance(credit, Tag) else ""
        whose = whose or ("synthesised" if _word(box, "data-origin") == "synthetic" else "")
        words = f"{heard}: <b>{html.escape(said)}</b>" + (f" ({html.escape(whose)})." if whose else ".")
        box.clear()
        box.append(_new(soup, "p", words, kind="web-only"))


def gather_solutions(soup: BeautifulSoup) -> None:
    """Moves the solutions of a sheet to its end, each below the title of its exercise, and leaves a page number."""
    found = soup.select("div.solution")
    if not found:
        return
    end = _new(soup, "section", "<h2>Solutions</h2>", kind="solutions", id="solutions")
    for number, solution in enumerate(found, start=1):
        heading = solution.find_previous(("h2", "h3"))
        link = solution.select_one(".admonition-title a")
        name = _word(solution, "id") or f"solution-{number}"
        solution["id"] = name
        words = heading.decode_contents() if isinstance(heading, Tag) else "Exercise"
        target = html.escape(_word(link, "href") if link else "#")
        pointer = f'Solution: <a href="#{html.escape(name)}">page {_number(name)}</a>'
        solution.replace_with(_new(soup, "p", pointer, kind="see-solution"))
        title = solution.select_one(".admonition-title")
        if title is not None:
            where = f' (page <a href="{target}">{_number(target[1:])}</a>)' if len(target) > 1 else ""
            title.replace_with(_new(soup, "p", words + where, kind="admonition-title"))
        end.append(solution)
    foot = soup.find(id=FOOT)
    outer = soup.find("section")
    if isinstance(foot, Tag):
        foot.insert_before(end)
    elif isinstance(outer, Tag):
        outer.append(end)


def align_words(soup: BeautifulSoup) -> None:
    """Marks the columns of a table of results that hold sentences: they are not set to the right as numbers are."""
    for table in soup.select("table.dataframe"):
        rows = [row.find_all(["td", "th"]) for row in table.find_all("tr")]
        wide = {at for cells in rows for at, cell in enumerate(cells) if len(cell.get_text(strip=True)) > SENTENCE}
        for cells in rows:
            for at in wide & set(range(len(cells))):
                cells[at]["class"] = "words"


def _number(target: str) -> str:
    """A place for the page on which something stands; `book.tools.pdf` fills it in."""
    return f'<span data-page-of="{html.escape(target)}">000</span>'


def strip(soup: BeautifulSoup) -> None:
    """Takes away what means nothing on paper."""
    for comment in soup.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()
    for one in soup.select(_NO_PAPER):
        one.decompose()
    for box in soup.select("input[type=checkbox]"):
        box.replace_with("☑ " if box.has_attr("checked") else "☐ ")


def localise(soup: BeautifulSoup, page: str, printed: Sequence[str], base: str) -> None:
    """Gives every id the name of the page in front, and lets links and pictures follow.

    Args:
        soup: the page.
        page: its name.
        printed: names of all pages that are printed; a link to another one is taken away, its words stay.
        base: address of the site from the place of the whole book, such as `../html`.
    """
    seen: set[str] = set()
    for one in soup.find_all(id=True):
        name = anchor(page, _word(one, "id"))
        if name in seen:  # two in one page: a browser goes to the first
            del one["id"]
        else:
            one["id"] = name
            seen.add(name)
    for one in soup.find_all(True):
        for key in _REFERRING:
            if one.has_attr(key):
                one[key] = " ".join(anchor(page, word) for word in _word(one, key).split())
        if one.has_attr("data-page-of"):
            one["data-page-of"] = anchor(page, _word(one, "data-page-of"))
        if one.name == "img" and not _word(one, "src").startswith("data:"):
            one["src"] = posixpath.normpath(posixpath.join(base, posixpath.dirname(page), _word(one, "src")))
    for link in soup.find_all("a", href=True):
        target = _target(page, _word(link, "href"), printed)
        if target:
            link["href"] = target
        else:
            link.unwrap()


def _target(page: str, href: str, printed: Sequence[str]) -> str:
    """Where a link leads in the whole book; empty if to nothing that is in it."""
    parts = urlsplit(href)
    if parts.scheme:
        return href
    fragment = unquote(parts.fragment)
    if not parts.path:
        return f"#{anchor(page, fragment)}" if fragment else ""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path)))
    name = path.removesuffix(".html")
    return f"#{anchor(name, fragment)}" if name in printed and path.endswith(".html") else ""


def lower_headings(soup: BeautifulSoup, page: str, level: int) -> list[Line]:
    """Lets the title of a page be a heading of its level in the book; returns its lines for the contents."""
    lines = []
    for number, heading in enumerate(soup.find_all(_HEADINGS)):
        before = int(heading.name[1])
        heading.name = f"h{min(6, before + level - 1)}"
        heading["class"] = f"was-h{before}"
        if not heading.has_attr("id"):
            heading["id"] = anchor(page, f"heading-{number}")
        section = heading.find_parent("section")
        foot = section is not None and _word(section, "id") == anchor(page, FOOT)
        if before <= 2 and not foot:
            title = copy.copy(heading)
            for one in title.find_all(True):
                del one["id"]
            for link in title.find_all("a"):
                link.unwrap()
            lines.append(Line(_word(heading, "id"), level + before - 1, title.decode_contents().strip()))
    return lines


def one_page(site: Path, entry: Entry, printed: Sequence[str], base: str) -> tuple[str, list[Line]]:
    """The body of one page as it stands in the book, and its lines for the contents.

    Raises:
        BookError: if the page was not built, or holds what has no form on paper.
    """
    built = site / f"{entry.name}.html"
    found = _ARTICLE.search(built.read_text("utf-8")) if built.is_file() else None
    if found is None:
        raise BookError(f"{entry.name}: there is no such page in {site}; build the site first")
    soup = BeautifulSoup(_PLAIN_WORD.sub(r"\1", found[1]), "html.parser")
    strip(soup)
    open_folds(soup)
    still_sliders(soup)
    silent_players(soup)
    gather_solutions(soup)
    align_words(soup)
    left = soup.select_one(_FORMS)
    if left is not None:
        raise BookError(f"{entry.name}: <{left.name}> has no form on paper; give it one in book/tools/onepage.py")
    localise(soup, entry.name, printed, base)
    lines = lower_headings(soup, entry.name, entry.level)
    return str(soup), lines


def contents(lines: Sequence[Line]) -> str:
    """The table of contents, with places for the page numbers."""
    rows = [
        f'<li class="line-{line.level}"><a href="#{line.target}"><span class="line-title">{line.title}</span>'
        f'<span class="dots"></span>{_number(line.target)}</a></li>'
        for line in lines
    ]
    return f'<nav class="contents" id="contents"><h1>Contents</h1><ol>{"".join(rows)}</ol></nav>'


def _css(text: str) -> str:
    """A text as a string of CSS."""
    return '"' + re.sub(r'(["\\])', r"\\\1", " ".join(text.split())) + '"'


def _words(title: str) -> str:
    """A title without its marks; formulas lose their fences."""
    return re.sub(r"\\[()]", "", BeautifulSoup(title, "html.parser").get_text())


@dataclass(frozen=True)
class Book:
    """One page that holds the book.

    Attributes:
        html: the page.
        lines: its contents.
        names: the pages in it.
    """

    html: str
    lines: tuple[Line, ...]
    names: tuple[str, ...]


def assemble(site: Path, pages: Sequence[Entry], *, place: Path, title: str, front: str, mathjax: str) -> Book:
    """The whole book.

    Args:
        site: folder of the finished pages.
        pages: what is printed.
        place: folder in which the page will lie.
        title: of the book.
        front: HTML of the title page.
        mathjax: path of the script below the site's `_static`.

    Raises:
        BookError: if a page is missing, or a link leads to nothing.
    """
    base = Path(os.path.relpath(site, place)).as_posix()
    names = [entry.name for entry in pages]
    bodies: list[str] = []
    lines: list[Line] = []
    rules: list[str] = []
    for number, entry in enumerate(pages):
        body, found = one_page(site, entry, names, base)
        if entry.part:
            part = Line(f"part-{number}", 1, html.escape(entry.part))
            lines.append(part)
            body = f'<h1 class="part" id="{part.target}">{part.title}</h1>{body}'
        lines += found
        running = _css(_words(found[0].title) if found else "")
        rules.append(f"@page p{number} {{ @top-left {{ content: {running}; }} }}")
        bodies.append(f'<section class="page" id="{anchor(entry.name)}" style="page: p{number}">{body}</section>')
    style = "\n".join([(site / "_static" / "pygments.css").read_text("utf-8"), STYLE.read_text("utf-8"), *rules])
    page = (
        '<!DOCTYPE html>\n<html lang="en" data-theme="light"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{style}</style>"
        '<script>window.MathJax = {options: {processHtmlClass: "tex2jax_process|mathjax_process|math|output_area", '
        f'enableMenu: false}}}}</script><script defer src="{base}/_static/{mathjax}"></script></head>'
        f"<body>{front}{contents(lines)}<main>{''.join(bodies)}</main></body></html>\n"
    )
    return Book(_followed(page), tuple(lines), tuple(names))


def _followed(page: str) -> str:
    """The page, when each of its links leads somewhere."""
    ids = set(re.findall(r'\sid="([^"]*)"', page))
    lost = sorted(set(re.findall(r'<a\s[^>]*href="#([^"]+)"', page)) - ids)
    if lost:
        raise BookError(f"links to nothing in the whole book: {', '.join(lost[:8])}")
    return page
