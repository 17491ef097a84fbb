"""Builds the site that may be public, or says why it may not: what `make publish` calls.

Three things keep a picture that is not ours to show off the public site. The pages run with a data folder that
holds the sets of `book/published.toml` and no others, so a page that asks for another set gets its stand-in. The
variable CLSLAB_PUBLISH tells the code that shows single clips (`clslab.data.attribution`). And the finished site is
searched: every picture in it must say of itself what is drawn in it (`clslab.origins`), every sound must stand in a
player that names its licence, and what does not is refused, with page and item. `make book` does none of this.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import html
import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from PIL import UnidentifiedImageError

from book.tools import catalogues, links
from book.tools.build import Job, build, chosen_profile, usual_jobs
from book.tools.language import STATIC
from book.tools.pages import BookError
from clslab import origins
from clslab.data import catalog
from clslab.data.attribution import OPEN, PUBLISH_VARIABLE

LIST = "book/published.toml"

MEDIA = re.compile(
    r"\.(png|jpe?g|gif|webp|avif|bmp|tiff?|svg|wav|mp3|og[ga]|flac|m4a|mp4|webm|npy|npz)$", re.IGNORECASE
)
"""Endings of files that are pictures or sounds, or arrays that hold some."""

_TAGS = {
    **dict.fromkeys(("img", "audio", "video", "source", "embed", "iframe", "input"), "src"),
    "image": "href",
    "object": "data",
}
_ADDRESS = re.compile(r"url\(['\"]?([^'\")]+)")
_DATA = re.compile(r"data:(?:image|audio|video)/[\w.+-]+[;,][^\s'\"<>)\\]{40,}")
"""A picture or sound within a page, wherever it stands; shorter ones are examples in the text."""

_WIDGETS = "application/vnd.jupyter.widget-state+json"
_SHOWING = {"ImageModel", "AudioModel", "VideoModel"}
_CREDIT = '<p class="clslab-credit">{}</p>'
_LICENCE = re.compile(r"https?://creativecommons\.org/licenses/(?:" + "|".join(OPEN) + r")/[\d.]+/?")


@dataclass(frozen=True)
class Listed:
    """What may be shown.

    Attributes:
        sets: name of a set -> its credit.
        items: sha256 of a file -> its credit.
    """

    sets: dict[str, str]
    items: dict[str, str]


def listed(root: Path) -> Listed:
    """Reads the list of what may be shown.

    Raises:
        BookError: if an entry names an unknown set, or lacks licence or credit.
    """
    path = root / LIST
    content = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
    found = Listed({}, {})
    for kind, key, to in (("set", "name", found.sets), ("item", "sha256", found.items)):
        for entry in content.get(kind, ()):
            lacking = [word for word in (key, "licence", "credit") if not str(entry.get(word, "")).strip()]
            if lacking:
                raise BookError(f"{LIST}: the {kind} {entry} has no {' and no '.join(lacking)}, and needs both")
            if kind == "set" and entry[key] not in catalog.ENTRIES:
                raise BookError(f"{LIST}: there is no set {entry[key]!r}; use one of {', '.join(catalog.ENTRIES)}")
            to[entry[key]] = entry["credit"]
    return found


class _Embedded(HTMLParser):
    """Collects what a page embeds, as (address, licence named by the player around it), and what nobody can look into.

    A licence counts where the player also says whom the sound is from.
    """

    def __init__(self) -> None:
        super().__init__()
        self.media: list[tuple[str, str | None]] = []
        self.closed: list[str] = []
        self._divisions: list[str | None] = []  # of each open division the licence that is named there
        self._inside = ""  # what is read as one text: "style", "widgets" or "small"
        self._waiting: list[str] = []  # sounds of the open player whose credit is still to come

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name: value or "" for name, value in attrs}
        if tag == "div":
            player = "clslab-player" in names.get("class", "").split()
            self._divisions.append(names.get("data-origin", "") if player else None)
        if tag in _TAGS and (address := names.get(_TAGS[tag]) or names.get("xlink:href")):
            licence = self._licence() if tag in ("audio", "source") else None
            if licence and licence != "synthetic":
                self._waiting.append(address)
            else:
                self.media.append((address, licence))
        for choice in [names.get("poster", ""), *re.split(r",\s+", names.get("srcset", ""))]:
            if choice.strip():
                self.media.append((choice.split()[0], None))
        self.media += [(address, None) for address in _ADDRESS.findall(names.get("style", ""))]
        if names.get("data-frames"):
            self.media += [(frame["src"], None) for frame in json.loads(names["data-frames"])]
        if names.get("srcdoc"):
            inner = _Embedded.of(names["srcdoc"])
            self.media += inner.media
            self.closed += inner.closed
        self._inside = "widgets" if names.get("type") == _WIDGETS else tag if tag in ("style", "small") else ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.media += [(address, None) for address in _ADDRESS.findall(data)]
        elif self._inside == "widgets":
            models = json.loads(data).get("state", {}).values()
            if any(one.get("buffers") or one.get("model_name") in _SHOWING for one in models):
                self.closed.append("a widget")
        elif self._inside == "small" and data.strip():
            self.media += [(address, self._licence()) for address in self._waiting]
            self._waiting = []

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""
        if tag == "div" and self._divisions and self._divisions.pop() is not None:
            self.closed += ["a sound whose player does not say whom it is from"] * len(self._waiting)
            self._waiting = []

    def _licence(self) -> str | None:
        return next((one for one in self._divisions if one is not None), None)

    @classmethod
    def of(cls, page: str) -> _Embedded:
        """What was found in a page; data addresses that stand elsewhere, such as in a script, are closed."""
        parser = cls()
        parser.feed(page)
        parser.close()
        known = {address for address, _ in parser.media}
        for address in dict.fromkeys(_DATA.findall(html.unescape(page))):
            if not any(one.startswith(address) for one in known) and not parser.closed:
                parser.closed.append(f"{address[:40]}… outside the places that are looked at")
        return parser


def embedded(page: str) -> list[tuple[str, str | None]]:
    """Addresses of what a page embeds, each with the licence that the player around it names, or None.

    >>> embedded('<img src="a.png"><div class="clslab-player" data-origin="synthetic"><audio src="b.wav"></div>')
    [('a.png', None), ('b.wav', 'synthetic')]
    """
    return _Embedded.of(page).media


def content(site: Path, page: Path, address: str) -> tuple[str, bytes] | None:
    """Name and bytes of something that is embedded; None for what belongs to the theme.

    Raises:
        BookError: if it lies outside the site or is not there.
    """
    if address.startswith("data:"):
        head, _, body = address.partition(",")
        try:
            raw = base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote(body).encode()
        except binascii.Error as error:
            raise BookError(f"a {head[5:]} that cannot be read ({error})") from error
        return f"{head[5:].split(';')[0]} {hashlib.sha256(raw).hexdigest()[:12]}", raw
    if urlsplit(address).scheme or address.startswith("//"):
        raise BookError(f"{address[:120]}, which lies outside the site")
    path = Path(os.path.normpath(page.parent / unquote(urlsplit(address).path)))
    if not path.is_relative_to(site) or not path.is_file():
        raise BookError(f"{address[:120]}, which is not part of the site")
    name = path.relative_to(site).as_posix()
    return None if name.startswith(STATIC) else (name, path.read_bytes())


def refusal(raw: bytes, licence: str | None, allowed: Listed) -> tuple[str | None, list[str]]:
    """Why something may not be shown, or None, and the credits that it asks for."""
    digest = hashlib.sha256(raw).hexdigest()
    if digest in allowed.items:
        return None, [allowed.items[digest]]
    if licence is not None:
        if licence == "synthetic" or _LICENCE.fullmatch(licence):
            return None, []
        return f"its licence is {licence or 'not said'}; a public page plays CC BY-SA and synthesised sounds", []
    try:
        said = origins.said_by(raw)
    except (UnidentifiedImageError, OSError):
        said = None
    if said is None:
        return f"nothing says where it comes from; draw it with clslab.plots, or list {digest} in {LIST}", []
    if not said["rasters"]:
        return None, []
    fetched = sorted(name for name, source in said["read"].items() if source != "stand-in")
    unlisted = [name for name in fetched if name not in allowed.sets]
    if unlisted:
        return f"it was drawn after {', '.join(unlisted)} had been read, which {LIST} does not list", []
    return None, [allowed.sets[name] for name in fetched]


def page_items(site: Path, page: Path, allowed: Listed) -> Iterator[tuple[str, str | None, list[str]]]:
    """Everything that a page embeds: what it is, why it is refused or None, the credits that it asks for."""
    found = _Embedded.of(page.read_text("utf-8"))
    for what in found.closed:
        yield what, "it cannot be looked into; show a picture or a player in its place", []
    for address, licence in found.media:
        try:
            item = content(site, page, address)
        except BookError as error:
            yield "an item", f"{error}", []
            continue
        if item is not None:
            why, due = refusal(item[1], licence, allowed)
            yield item[0], why, due


def credit_pages(site: Path, allowed: Listed) -> None:
    """Writes below each page whose pictures or sounds it shows; a second time changes nothing."""
    for page in sorted(site.rglob("*.html")):
        wanted = dict.fromkeys(credit for _, _, due in page_items(site, page, allowed) for credit in due)
        text = page.read_text("utf-8")
        lines = [line for line in (_CREDIT.format(html.escape(one)) for one in wanted) if line not in text]
        if lines:
            if "</article>" not in text:
                raise BookError(f"{page.relative_to(site)} shows pictures but has no place for their credit")
            page.write_text(text.replace("</article>", "\n".join(lines) + "\n</article>", 1), "utf-8")


def faults(site: Path, allowed: Listed) -> list[str]:
    """Why a site may not be published: one line for each page and item; an empty list is good."""
    found, seen = [], set()
    for page in sorted(site.rglob("*.html")):
        name, text = page.relative_to(site).as_posix(), page.read_text("utf-8")
        for item, why, due in page_items(site, page, allowed):
            seen.add(item)
            if why:
                found.append(f"{name}: {item}: {why}")
            lacking = [credit for credit in due if html.escape(credit) not in text]
            found += [f"{name}: {item}: the page does not say “{credit}”" for credit in lacking]
    for path in sorted(site.rglob("*")):
        name = path.relative_to(site).as_posix()
        if MEDIA.search(name) and not name.startswith(STATIC) and name not in seen:
            why = refusal(path.read_bytes(), None, allowed)[0]
            found += [f"{name}, which no page embeds: {why}"] if why else []
    return list(dict.fromkeys(found))


def public_data(folder: Path, allowed: Listed) -> None:
    """A data folder with links to the listed sets that this machine has, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in allowed.sets:
        place = catalog.found(name)
        if place is not None and not place.startswith("package "):
            link = folder / catalog.card(name).folder
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path(place).resolve(), target_is_directory=True)


def publish(job: Job, *, force: bool = False) -> int:
    """Builds the public site and looks it over; returns the exit status.

    A site that is refused is moved aside, so that nothing lies where a public one would.
    """
    allowed = listed(job.root)
    data = job.output / "data"
    public_data(data, allowed)
    os.environ.update({PUBLISH_VARIABLE: "1", "CLSLAB_DATA": str(data)})
    status = build(job, force=force)
    if status != 0:
        return status
    credit_pages(job.site, allowed)
    found = faults(job.site, allowed)
    if found:
        aside = job.output / "refused"
        shutil.rmtree(aside, ignore_errors=True)
        shutil.move(job.site, aside)
        job.stamp.unlink()
        print("\n".join(found), file=sys.stderr)
        print(f"\nnot to be published: {len(found)} item(s). The site was moved to {aside}", file=sys.stderr)
        return 1
    print(f"may be published: {job.site}")
    if re.search(links.PLACEHOLDER, (job.root / "_config.yml").read_text("utf-8")):
        print(
            "Its launch buttons lead nowhere yet: tell the book where it lives, `make address URL=…`", file=sys.stderr
        )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `make publish`."""
    parser = argparse.ArgumentParser(prog="python -m book.tools.publish", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd())
    parser.add_argument("--output", type=Path, help="the site goes to OUTPUT/_build/html (default: _build/public)")
    parser.add_argument("--jobs", type=int, help="pages at once (default: one per core, up to 4)")
    parser.add_argument("--force", action="store_true", help="build although nothing changed")
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    try:
        output = (options.output or root / "_build" / "public").resolve()
        job = Job(root, output, chosen_profile(), options.jobs or usual_jobs(), catalogues.languages(root))
        return publish(job, force=options.force)
    except BookError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
