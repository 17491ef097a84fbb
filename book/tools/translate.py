"""Brings the catalogues of translations up to date with the pages: what `make catalogues` calls.

The texts are taken out of the pages by Sphinx's gettext builder, with nothing run, and put into the catalogues by
sphinx-intl: what is translated stays, what is new is added, what changed is kept and marked as fuzzy, what is gone is
kept as a comment at the end. Only pages with a catalogue are looked at; `PAGE=` begins one.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po
from sphinx_intl.basic import update as sphinx_intl_update
from sphinx_intl.catalog import dump_po, load_po

from book.tools import catalogues
from book.tools.build import EXTENSIONS
from book.tools.pages import BookError, find_page, pages

WIDTH = 120
"""Columns of a line in a catalogue."""


def extract(root: Path, names: Sequence[str], to: Path) -> dict[str, Path]:
    """Takes the texts out of pages; returns the template (`.pot`) of each.

    Args:
        root: folder of `_toc.yml`.
        names: pages.
        to: a folder for what is built.

    Raises:
        BookError: if Sphinx fails.
    """
    first = pages(root)[0].name
    toc = to / "_toc.yml"
    to.mkdir(parents=True, exist_ok=True)
    others = [{"file": name} for name in names if name != first]
    entries = {"format": "jb-book", "root": first, **({"chapters": others} if others else {})}
    toc.write_text(yaml.safe_dump(entries), "utf-8")
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    config["execute"] = {"execute_notebooks": "off"}
    sphinx = config.setdefault("sphinx", {})
    sphinx.setdefault("extra_extensions", []).extend(EXTENSIONS)
    sphinx.setdefault("config", {}).update(gettext_compact=False, gettext_location=False, gettext_uuid=False)
    settings = to / "config.yml"
    settings.write_text(yaml.safe_dump(config), "utf-8")
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "."]
    command += ["--config", str(settings), "--toc", str(toc), "--path-output", str(to)]
    command += ["--builder", "custom", "--custom-builder", "gettext", "--all"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(command, cwd=root, env=env, text=True, capture_output=True, check=False)
    found = {name: to / "_build" / "gettext" / f"{name}.pot" for name in names}
    lacking = [name for name, path in found.items() if not path.is_file()]
    if done.returncode != 0 or lacking:
        raise BookError(f"no texts of {', '.join(lacking) or 'the pages'}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return found


def site_template(root: Path, to: Path) -> Path:
    """Writes the template of the words that stand on every page."""
    catalog = Catalog(project=catalogues.SITE)
    for where, word in catalogues.site_words(root):
        catalog.add(word, auto_comments=[where])
    path = to / f"{catalogues.SITE}.pot"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalog)
    return path


def begin(path: Path, template: Path, code: str) -> None:
    """Writes the catalogue of a page without any translation in it.

    Args:
        path: the catalogue, which is not there yet.
        template: the texts of its page.
        code: the language.
    """
    catalog = load_po(os.fspath(template))
    catalog.locale, catalog.fuzzy = code, False
    catalog.project, catalog.version = "clslab", ""
    catalog.msgid_bugs_address = catalog.last_translator = catalog.language_team = ""
    catalog.header_comment = f"# {path.stem} in {code}. CONTRIBUTING.md says how a page is translated."
    dump_po(os.fspath(path), catalog, width=WIDTH)


def translate(root: Path, code: str, page: str = "") -> None:
    """Updates all catalogues of a language, and begins that of one page if it is named."""
    names = catalogues.begun(root, code)
    if page:
        name = find_page(root, page).name
        names += [] if name in names else [name]
    with tempfile.TemporaryDirectory() as work:
        templates = extract(root, names, Path(work, "build")) if names else {}
        wanted = Path(work, "pot")
        for name, template in templates.items():
            (wanted / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(template, wanted / f"{name}.pot")
        site_template(root, wanted)
        for name in (*templates, catalogues.SITE):
            path = catalogues.catalogue(root, code, name)
            if not path.is_file():
                begin(path, wanted / f"{name}.pot", code)
        sphinx_intl_update(os.fspath(root / catalogues.LOCALE), os.fspath(wanted), (code,), line_width=WIDTH, jobs=1)
        for name in (*templates, catalogues.SITE):
            path = catalogues.catalogue(root, code, name)
            path.write_text(unguessed(path.read_text("utf-8")), "utf-8")
            print(f"{path.relative_to(root)}: {how_far(path)}")


def unguessed(catalogue: str) -> str:
    r"""A catalogue without the flags by which babel takes roles in braces for Python's formats.

    >>> unguessed("#, fuzzy, python-brace-format\n#, python-brace-format\nmsgid")
    '#, fuzzy\nmsgid'
    """
    return re.sub(r", python-(?:brace-)?format\b", "", catalogue).replace("\n#\n", "\n")


def how_far(path: Path) -> str:
    """How many texts of a catalogue are translated, in words."""
    messages = [message for message in catalogues.read(path) if message.id]
    fuzzy = sum(message.fuzzy for message in messages)
    missing = sum(not message.string for message in messages)
    return f"{len(messages)} texts, {missing} not translated, {fuzzy} changed in English since (fuzzy)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `make catalogues`."""
    parser = argparse.ArgumentParser(prog="python -m book.tools.translate", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd())
    parser.add_argument("--language", default="zh_CN", help="name of the folder below book/locale")
    parser.add_argument("--page", default="", help="begin the catalogue of this page, e.g. 05_fine_tuning")
    options = parser.parse_args(arguments)
    try:
        translate(options.root.resolve(), options.language, options.page)
    except BookError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
