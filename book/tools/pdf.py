"""Prints the whole book as one PDF by Chromium, without a network: what `make pdf` calls.

The pages are those of the finished site, put together by `book.tools.onepage`; nothing runs again. Chromium cannot
write the page of a heading into the contents, so the book is printed, the pages are read from the PDF, the numbers are
filled in, and it is printed again, until the numbers are those of the print in which they stand.

`--public` takes the site of `make publish` and refuses what that refuses. The PDF lies in the site that it was made of,
and the pages that have a place for it lead to it.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Page, sync_playwright
from pypdf import PdfReader
from pypdf.generic import IndirectObject

from book.tools import browser, onepage, publish
from book.tools.build import Job, build, chosen_profile, usual_jobs
from book.tools.pages import BookError
from book.tools.provenance import in_words

NAME = "course.pdf"
PLACE = "<!-- pdf -->"
"""Where a page wants the link to the PDF."""

WIDTH = 658
"""Of the column in pixels of CSS: A4 less the margins of pdf.css, at 96 to the inch."""

PRINTS = 4
"""How often the page numbers may change; the contents have room for three digits, so twice is usual."""

PATIENCE = 600_000
"""Milliseconds for the formulas of the whole book."""

_LINK = re.compile(re.escape(PLACE) + r'(?:<p class="clslab-pdf">.*?</p>)?', re.DOTALL)

_TYPESET = """async () => {
  await window.MathJax.startup.promise;
  for (const item of window.MathJax.startup.document.math) {
    const root = item.typesetRoot, source = document.createElement('span');
    root.querySelector('mjx-assistive-mml')?.remove();
    root.setAttribute('role', 'img');
    root.setAttribute('aria-label', item.math);
    source.className = 'source';
    source.textContent = item.math;
    root.append(source);
  }
  await Promise.all([...document.images].map(image => image.decode().catch(() => null)));
  const wrong = document.querySelectorAll('[data-mml-node="merror"], [data-mml-node="mtext"][fill="red"]');
  const source = one => one.closest('mjx-container').querySelector('.source').textContent;
  return [
    ...[...wrong].map(one => `a formula is wrong: ${source(one)}`),
    ...[...document.images].filter(one => !one.naturalWidth).map(one => `a picture cannot be shown: ${one.alt}`),
  ];
}"""
"""Waits for formulas and pictures; returns what is wrong with them.

A formula is a drawing. Its source is its alternative text, and stands in it unseen, so that it is found and copied."""

_FIT = """() => {
  const tables = [...document.querySelectorAll('main table')], pieces = [...document.querySelectorAll('main pre')];
  const right = one => one.getBoundingClientRect().right;
  for (const step of ['fit-1', 'fit-2', 'fit-3'])
    for (const table of tables.filter(one => right(one) > right(one.parentElement) + 0.5)) table.classList.add(step);
  const ruler = document.createElement('canvas').getContext('2d');
  const sizes = pieces.map(pre => {
    const style = getComputedStyle(pre);
    ruler.font = style.font;
    const longest = Math.max(...pre.textContent.split('\\n').map(line => ruler.measureText(line).width));
    const room = pre.getBoundingClientRect().width - 1, size = parseFloat(style.fontSize);
    return longest > room ? Math.max(size * room / longest, 8.8) : 0;
  });
  pieces.forEach((pre, at) => {
    if (sizes[at]) pre.style.fontSize = sizes[at] + 'px';
    if (pre.textContent.split('\\n').length < 16)
      (pre.closest('.cell_input, [class^="highlight-"]') || pre).classList.add('short');
  });
}"""
"""Makes tables and lines of code that are too wide smaller, down to 6.6 pt, in which a line has room for 120 letters.

Short pieces of code are kept whole.

All is measured before anything is changed: each change in between would lay out the whole book anew."""

_TOO_WIDE = """width => [...document.querySelectorAll('body *')].filter(one => {
  const box = one.getBoundingClientRect();
  return box.width > 0 && !one.closest('svg svg, mjx-assistive-mml') && box.right > width + 1;
}).filter((one, _, all) => !all.some(other => other !== one && one.contains(other)))
  .map(one => `${one.closest('.page')?.id ?? 'front'}: <${one.localName} class="${one.getAttribute('class') ?? ''}"> `
    + `ends ${Math.round(one.getBoundingClientRect().right - width)} px beyond the column: `
    + one.textContent.trim().slice(0, 60))"""

_NUMBER = """pages => {
  document.body.style.display = 'none';
  for (const one of document.querySelectorAll('[data-page-of]')) one.textContent = pages[one.dataset.pageOf] ?? '000';
  document.body.getBoundingClientRect();
  document.body.style.display = '';
}"""
"""Fills in the numbers, and lets the whole book be laid out anew.

Chromium keeps parts of the last layout. With those it breaks a page here and there in another place, every second
time."""


@dataclass(frozen=True)
class Printed:
    """What a print came to.

    Attributes:
        pages: how many.
        size: bytes.
        seconds: it took.
        at: id of a heading or exercise -> page, from 1.
    """

    pages: int
    size: int
    seconds: float
    at: dict[str, int]


def places(path: Path) -> dict[str, int]:
    """On which page each target of a link stands: name -> page, from 1."""
    reader = PdfReader(path)
    references = [page.indirect_reference for page in reader.pages]
    number = {reference.idnum: at for at, reference in enumerate(references, start=1) if reference is not None}
    found = {}
    for name, target in reader.named_destinations.items():
        if isinstance(target.page, IndirectObject) and target.page.idnum in number:
            found[name.removeprefix("/")] = number[target.page.idnum]
    return found


def print_book(source: Path, target: Path) -> Printed:
    """Prints a page that holds the book.

    Raises:
        BookError: if it asks for something outside, a formula is wrong, something is wider than the column, or the
            page numbers do not settle.
        FileNotFoundError: if there is no Chromium.
    """
    begin = time.perf_counter()
    with browser.launched() as one:
        page = one.new_page(viewport={"width": WIDTH, "height": 1000}, reduced_motion="reduce")
        page.set_default_timeout(PATIENCE)
        outside: list[str] = []
        page.on("request", lambda asked: _note(asked.url, outside))
        page.on("requestfailed", lambda asked: outside.append(f"{asked.url} ({asked.failure})"))
        page.emulate_media(media="print")
        page.goto(source.as_uri(), wait_until="load")
        wrong = page.evaluate(_TYPESET)
        page.evaluate(_FIT)
        found = [f"asked for {url}" for url in outside] + wrong + page.evaluate(_TOO_WIDE, WIDTH)
        if found:
            raise BookError("the book cannot be printed:\n" + "\n".join(found))
        at = _numbered(page, target)
    return Printed(len(PdfReader(target).pages), target.stat().st_size, time.perf_counter() - begin, at)


def _note(url: str, outside: list[str]) -> None:
    if not url.startswith(("file:", "data:", "blob:")):
        outside.append(url)


def _numbered(page: Page, target: Path) -> dict[str, int]:
    """Prints until the numbers in the contents are those of the print."""
    wanted = set(page.eval_on_selector_all("[data-page-of]", "all => all.map(one => one.dataset.pageOf)"))
    known: dict[str, int] = {}
    for _ in range(PRINTS):
        page.evaluate(_NUMBER, known)
        page.pdf(path=target, prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
        at = places(target)
        lost = sorted(wanted - set(at))
        if lost:
            raise BookError(f"the PDF does not say where these stand: {', '.join(lost[:8])}")
        now = {name: at[name] for name in wanted}
        if now == known:
            return now
        known = now
    raise BookError(f"after {PRINTS} prints the page numbers still change; see the contents of {target}")


def day_of(root: Path) -> tuple[str, str]:
    """Day and short name of the commit, or today and nothing where there is no repository."""
    command = ["git", "-C", str(root), "log", "-1", "--format=%cs %h"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git on this machine
        return date.today().isoformat(), ""
    day, _, name = done.stdout.strip().partition(" ")
    return (day, name) if done.returncode == 0 and day else (date.today().isoformat(), "")


def runs_in_words(stamps: Path) -> str:
    """When and on what the pages ran."""
    ran = list(json.loads(stamps.read_text("utf-8")).values()) if stamps.is_file() else []
    if not ran:
        return ""
    days = sorted({one["day"] for one in ran})
    when = f"on {in_words(days[0])}" + (f" to {in_words(days[-1])}" if len(days) > 1 else "")
    profiles = ", ".join(f"<code>{one}</code>" for one in sorted({one["profile"] for one in ran}))
    return f"Its {len(ran)} pages with code ran {when} in the {profiles} profile on {ran[0]['machine']}. "


def front(root: Path, stamps: Path, *, public: bool) -> str:
    """The title page: title, version, day, licence, and what the PDF holds and what not."""
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    version = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    day, commit = day_of(root)
    licence = str(config["html"]["extra_footer"]).strip()
    pictures = (
        "Pictures are stand-ins, drawings, or items whose licence allows it, credited where they stand."
        if public
        else "It was made on a reader's machine and may show pictures that must not be passed on; "
        "<code>make pdf PUBLIC=1</code> makes one that may."
    )
    return (
        '<header class="front">'
        f"<h1>{html.escape(config['title'])}</h1>"
        f'<p class="about">{html.escape(config["author"])}</p>'
        f'<p class="about">Version {html.escape(version)}, {in_words(day)}{f" ({commit})" if commit else ""}</p>'
        f'<div class="small"><p>{html.escape(licence)} {pictures}</p>'
        f"<p>{runs_in_words(stamps)}Sliders show their first figure and players are a line of text; both work on the "
        "web page. Solutions stand at the end of each sheet, the key of a quiz below its questions, and what is folded "
        "on the web page is open here. Where the text names “page 7”, it means chapter 7. The reference of the library "
        "and the index are on the web only.</p></div>"
        "</header>"
    )


def refused(site: Path, page: Path, root: Path) -> list[str]:
    """Why the page may not be public: the rule of `make publish`, on what is printed."""
    allowed, text = publish.listed(root), page.read_text("utf-8")
    found = []
    for item, why, due in publish.page_items(site.parent, page, allowed):
        found += [f"{item}: {why}"] if why else []
        found += [f"{item}: the book does not say “{one}”" for one in due if html.escape(one) not in text]
    return list(dict.fromkeys(found))


def link(site: Path, pdf: Path, pages: int) -> int:
    """Writes the link to the PDF into every page that has a place for it; returns how many have one."""
    linked = 0
    for page in sorted((site / "book").rglob("*.html")):
        text = page.read_text("utf-8")
        if PLACE in text:
            address = os.path.relpath(pdf, page.parent).replace(os.sep, "/")
            size = f"{pages} pages, {pdf.stat().st_size / 1e6:.1f} MB"
            words = f'<p class="clslab-pdf"><a href="{address}">The whole book as one PDF</a> ({size})</p>'
            page.write_text(_LINK.sub(PLACE + words, text), "utf-8")
            linked += 1
    return linked


def make(root: Path, site: Path, *, public: bool, toc: Mapping[str, Any] | None = None) -> Printed:
    """The PDF of a finished site, into the site.

    Args:
        root: folder of the book's configuration.
        site: its finished pages.
        public: whether the PDF may hold only what a public site may.
        toc: what is printed, if not all of `_toc.yml`.

    Raises:
        BookError: if the book cannot be printed, or may not be public.
    """
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    toc = toc or yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    place = site.parent / "pdf"
    place.mkdir(exist_ok=True)
    book = onepage.assemble(
        site,
        onepage.entries(toc),
        place=place,
        title=config["title"],
        front=front(root, site.parent / "runs.json", public=public),
        mathjax=config["sphinx"]["config"]["mathjax_path"],
    )
    page, pdf = place / "course.html", site / NAME
    page.write_text(book.html, "utf-8")
    pdf.unlink(missing_ok=True)
    if public and (found := refused(site, page, root)):
        raise BookError("not to be published as a PDF:\n" + "\n".join(found))
    printed = print_book(page, place / NAME)
    (place / NAME).replace(pdf)
    link(site, pdf, printed.pages)
    print(f"{printed.pages} pages, {printed.size / 1e6:.1f} MB, printed in {printed.seconds:.0f} s: {pdf}")
    return printed


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `make pdf`."""
    parser = argparse.ArgumentParser(prog="python -m book.tools.pdf", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd())
    parser.add_argument("--output", type=Path, help="folder of the build, as for book.tools.build or publish")
    parser.add_argument("--site", type=Path, help="print this finished site; nothing is built")
    parser.add_argument("--public", action="store_true", help="print the site of `make publish`, by its rule")
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    try:
        with sync_playwright() as here:
            browser.program(here)
        site = options.site.resolve() if options.site else None
        if site is None:
            usual = root / "_build" / "public" if options.public else root
            job = Job(root, (options.output or usual).resolve(), chosen_profile(), usual_jobs())
            status = publish.publish(job) if options.public else build(job)
            if status != 0:
                return status
            site = job.site
        make(root, site, public=options.public)
    except (BookError, FileNotFoundError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
