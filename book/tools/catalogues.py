"""The catalogues of translations: where they lie, what is translated in them, and what a build makes of them.

`book/locale/zh_CN/LC_MESSAGES/` holds one `.po` file for each page whose translation was begun, at the page's own
place, and `site.po` for the words that stand on every page: titles, captions, the foot. `book.tools.translate` writes
them, `book.tools.build` compiles them into its own folder, so the sources stay as they are.

A text that changed in English is *fuzzy* in the catalogue until a translator has looked at it again. It is left out
here, so the page shows the English.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po

from book.tools import provenance
from book.tools.language import LANGUAGES, SITE_WORDS, SOURCE
from book.tools.pages import BookError, pages
from book.tools.plain import Book

LOCALE = "book/locale"
SITE = "site"
"""Name of the catalogue of the words that stand on every page."""


def language(code: str) -> str:
    """The code of a language that the book can be read in, checked.

    Raises:
        BookError: for another one, or for the language that the book is written in.
    """
    known = [one for one in LANGUAGES if one != SOURCE]
    if code not in known:
        raise BookError(
            f"the language {code!r} is unknown; there is {', '.join(known)}. To begin another one, add it to LANGUAGES "
            "in book/tools/language.py."
        )
    return code


def languages(root: Path) -> tuple[str, ...]:
    """The languages that a book has catalogues of."""
    return tuple(code for code in LANGUAGES if code != SOURCE and folder(root, code).is_dir())


def folder(root: Path, code: str) -> Path:
    """Where the catalogues of a language lie."""
    return root / LOCALE / language(code) / "LC_MESSAGES"


def catalogue(root: Path, code: str, name: str) -> Path:
    """The catalogue of a page, or of `SITE`."""
    return folder(root, code) / f"{name}.po"


def begun(root: Path, code: str) -> list[str]:
    """The pages that have a catalogue of their own, in reading order.

    Raises:
        BookError: if a catalogue belongs to no page.
    """
    home = folder(root, code)
    found = {path.relative_to(home).with_suffix("").as_posix() for path in home.rglob("*.po")}
    names = [page.name for page in pages(root)]
    lost = sorted(found - {*names, SITE})
    if lost:
        raise BookError(f"{home}: {', '.join(lost)}.po belongs to no page of _toc.yml; move or remove it.")
    return [name for name in names if name in found]


def read(path: Path) -> Catalog:
    """A catalogue.

    Raises:
        BookError: if it cannot be read; the message names the line.
    """
    try:
        with path.open("rb") as file:
            return read_po(file, abort_invalid=True)
    except PoFileError as error:
        raise BookError(
            f"{path}, line {error.lineno}: {error}. Put it into the form of the entries around it."
        ) from error


def finished(catalog: Catalog) -> dict[str, str]:
    """English text -> its translation, for the entries that are translated and not fuzzy."""
    return {
        str(message.id): str(message.string)
        for message in catalog
        if message.id and message.string and not message.fuzzy
    }


def formulas(catalog: Catalog) -> dict[str, str]:
    """The displayed formulas of a page, which are the same in every language; Sphinx gives each lines of its own."""
    return {str(message.id): str(message.id) for message in catalog if str(message.id).startswith("\n")}


def site_words(root: Path) -> list[tuple[str, str]]:
    """The words that stand on every page: (where, English), each once."""
    config: dict[str, Any] = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    toc: dict[str, Any] = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    found = [("_config.yml", str(config[key])) for key in ("title", "author") if key in config]
    found.append(("_config.yml", " ".join(str(config.get("html", {}).get("extra_footer", "")).split())))
    found += [("_toc.yml", part["caption"]) for part in toc.get("parts", ()) if "caption" in part]
    found += [(f"{name}.md", title) for name, title in Book(root).titles.items()]
    found += [("foot of a chapter", provenance.HEADING.lstrip("# "))]
    found += [("the site", word) for word in SITE_WORDS]
    seen: dict[str, str] = {}
    for where, word in found:
        if word:
            seen.setdefault(word, where)
    return [(where, word) for word, where in seen.items()]


def words(root: Path, code: str) -> dict[str, str]:
    """English -> translation of the words that stand on every page; empty without a catalogue of them."""
    path = catalogue(root, code, SITE)
    return finished(read(path)) if path.is_file() else {}


def compiled(root: Path, code: str, to: Path) -> Path:
    """Writes what a build reads: for each page its translations and the words of the site; returns the folder.

    Args:
        root: folder of `_toc.yml`.
        code: the language.
        to: a folder of the build, which is written anew.
    """
    shutil.rmtree(to, ignore_errors=True)
    own, common = set(begun(root, code)), words(root, code)
    for name in (page.name for page in pages(root)):
        texts = dict(common)
        if name in own:
            catalog = read(catalogue(root, code, name))
            texts |= {**formulas(catalog), **finished(catalog)}
        _write(to / code / "LC_MESSAGES" / f"{name}.mo", code, texts.items())
    _write(to / code / "LC_MESSAGES" / "sphinx.mo", code, common.items())
    return to


def _write(path: Path, code: str, texts: Iterable[tuple[str, str]]) -> None:
    catalog = Catalog(locale=code)
    for source, translation in texts:
        catalog.add(source, translation)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_mo(file, catalog)


def settings(root: Path, code: str, to: Path) -> dict[str, Any]:
    """Sphinx's settings for a build in another language.

    Args:
        root: folder of `_toc.yml`.
        code: the language.
        to: folder for the compiled catalogues.
    """
    return {
        "language": code,
        "locale_dirs": [os.fspath(compiled(root, code, to))],
        "gettext_compact": False,
        "book_languages": {"others": [SOURCE], "begun": begun(root, code), "words": words(root, code)},
    }
