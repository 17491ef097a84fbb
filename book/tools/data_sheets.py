"""Write the page of data sheets from the catalog, so that page, download and licence never disagree.

python book/tools/data_sheets.py            writes book/data.md
python book/tools/data_sheets.py --check    exits 1 if the page is not what the catalog says
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from clslab.data.catalog import ENTRIES, Archive, Entry

PAGE = Path(__file__).resolve().parents[1] / "data.md"

INTRODUCTION = """\
# The data sets

<!-- Written by book/tools/data_sheets.py from clslab/data/catalog.py. Change the catalog, not this page. -->

Pictures and sounds have makers, owners and faults. Each set of the course has a sheet here that names them. The form
follows Gebru and others, *Datasheets for Datasets* (arXiv:1803.09010), cut down to what a reader of this book needs.

Three rules hold for all of them.

- **No set is part of this book.** The library looks for a set in the folder that `CLSLAB_DATA` names, else in your
  cache folder; it fetches one only when you ask; and where there is none it draws a stand-in with the same classes and
  sizes, under a banner that says so. No result on a stand-in is a result on the real set.
- **What is fetched is checked.** A file is compared with the sha256 below before it gets its name. Where no public sum
  is known, the sum of the first fetch is written beside the file, and every later one is held to it.
- **The published pages show only what a licence allows**, with credit. Each sheet says what that is.

`python -m clslab data list` shows what lies on your machine, `python -m clslab data get NAME` fetches a set.
"""


def page() -> str:
    """The whole page as Markdown."""
    sheets = [sheet(entry) for entry in ENTRIES.values()]
    return "\n".join([INTRODUCTION, overview(), *sheets]).rstrip() + "\n"


def overview() -> str:
    """A table with one row per set."""
    rows = ["| name | what | to fetch | licence |", "|---|---|---|---|"]
    for entry in ENTRIES.values():
        rows.append(
            f"| [`{entry.name}`](#data-{entry.name}) | {entry.title} | {_size(entry)} | {entry.short_licence} |"
        )
    return "\n".join(rows) + "\n"


def sheet(entry: Entry) -> str:
    """The data sheet of one set as Markdown."""
    lines = [f"(data-{entry.name})=", f"## {entry.title}", ""]
    if entry.unavailable:
        lines += [f"*Not in this version: {entry.unavailable}.*", ""]
    facts = [
        ("What is predicted", entry.task),
        ("What it holds", entry.counts),
        ("Who made it, and how", entry.made),
        ("Who is in it, who owns it", entry.people),
        ("How it came here", entry.provenance),
        ("Licence", _licence(entry)),
        ("To cite", entry.citation + (f" (`{entry.citation_key}`)" if entry.citation_key else "")),
        ("How we split it", entry.how_split),
        ("What stays together", entry.groups),
        ("Where the loader finds it", _where(entry)),
        ("What a page may show", entry.on_page),
    ]
    lines += [f"- **{label}:** {_sentence(text)}" for label, text in facts]
    lines += ["", "Known faults:", "", *(f"- {wart}" for wart in entry.warts), ""]
    if entry.archives:
        lines += ["| file | bytes | sha256 | sum from |", "|---|---|---|---|"]
        lines += [_archive_row(archive) for archive in entry.archives]
        lines.append("")
    if entry.notes:
        lines += [entry.notes, ""]
    return "\n".join(lines)


def _sentence(text: str) -> str:
    """Text that starts like a sentence and ends like one.

    >>> _sentence("60/20/20 by group"), _sentence("cat or dog")
    ('60/20/20 by group.', 'Cat or dog.')
    """
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _size(entry: Entry) -> str:
    if entry.in_package:
        return f"`pip install clslab[{entry.name}]`"
    return "-" if entry.size_bytes is None else f"{entry.size_bytes / 1e6:,.0f} MB"


def _licence(entry: Entry) -> str:
    return f"[{entry.licence}]({entry.licence_url})" if entry.licence_url else entry.licence


def _where(entry: Entry) -> str:
    if entry.in_package:
        return f"in the installed package `{entry.in_package}`. Home: <{entry.homepage}>"
    if entry.by_hand:
        return f"in the folder `{entry.folder}` of the data root: {entry.by_hand}"
    inside = ", ".join(f"`{marker}`" for marker in entry.markers)
    return f"in the folder `{entry.folder}` of the data root, with {inside}. Home: <{entry.homepage}>"


def _archive_row(archive: Archive) -> str:
    links = ", ".join(
        f"[{archive.file if number == 0 else f'mirror {number}'}]({url})" for number, url in enumerate(archive.urls)
    )
    size = "unknown" if archive.size_bytes is None else f"{archive.size_bytes:,}"
    digest = f"`{archive.sha256}`" if archive.sha256 else "none known; noted on first use"
    return f"| {links} | {size} | {digest} | {archive.sum_source} |"


def main(argv: list[str] | None = None) -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if the page is out of date")
    parser.add_argument("--page", type=Path, default=PAGE, help="default: %(default)s")
    args = parser.parse_args(argv)
    expected = page()
    if not args.check:
        args.page.write_text(expected, encoding="utf-8")
        return 0
    present = args.page.read_text(encoding="utf-8") if args.page.exists() else ""
    if present == expected:
        return 0
    difference = difflib.unified_diff(
        present.splitlines(), expected.splitlines(), str(args.page), "from the catalog", lineterm="", n=0
    )
    print("\n".join(difference))
    print("book/data.md is out of date: run `python -m book.tools.data_sheets`.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
