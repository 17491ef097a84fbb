"""Write the page that names every recording behind the tables of birds, with its recordist and its licence.

The recordings are no part of the book, so the page is made where the set lies, and kept:

python -m book.tools.recordings FOLDER      reads FOLDER/metadata.csv and writes book/recordings.md
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from book.tools.pages import BookError
from clslab.data.attribution import licence_name

PAGE = Path(__file__).resolve().parents[1] / "recordings.md"

COLUMNS = ("recording_id", "species", "english_name", "recordist", "licence", "url")

INTRODUCTION = """\
(sec-recordings)=
# Whose recordings

<!-- Written by book/tools/recordings.py from the metadata.csv of the set. Do not change it by hand. -->

Behind the tables of birds on page {{doc}}`15 <../chapters/15_tree>` stand {recordings} recordings by {recordists}
people. Each was shared by the person who made it, under a licence that asks for the name. Here they are, with their
numbers on [xeno-canto](https://xeno-canto.org), and how many clips of each were used. The book holds none of the sounds
themselves; what the set as a whole is like says its {{doc}}`data sheet <data>`.

| licence | recordings |
|---|---|
{licences}

"""


def recordings(folder: Path) -> pd.DataFrame:
    """One row per recording, by the name of its species: the columns `COLUMNS`, and `clips`.

    Raises:
        BookError: if the table is not there, lacks a column, or says two things about one recording.
    """
    table = folder / "metadata.csv"
    if not table.is_file():
        raise BookError(f"{table} is missing; give the folder of the set of birds")
    clips = pd.read_csv(table, dtype=str).fillna("")
    missing = [name for name in COLUMNS if name not in clips]
    if missing:
        raise BookError(f"{table} lacks the column {', '.join(missing)}; nobody can be credited without")
    rows = clips.groupby(list(COLUMNS), as_index=False).size().rename(columns={"size": "clips"})
    twice = rows["recording_id"][rows["recording_id"].duplicated()]
    if len(twice):
        raise BookError(f"{table} says two things about recording {twice.iloc[0]}; mend its lines")
    return rows.sort_values(["species", "recording_id"], ignore_index=True)


def page(rows: pd.DataFrame) -> str:
    """The whole page as Markdown."""
    licences = rows["licence"].value_counts().sort_index()
    counted = [f"| [{licence_name(str(address))}]({address}) | {count} |" for address, count in licences.items()]
    lines = [
        INTRODUCTION.format(
            recordings=len(rows), recordists=rows["recordist"].nunique(), licences="\n".join(counted)
        ).rstrip(),
        "",
        "| recording | species | recorded by | licence | clips |",
        "|---|---|---|---|---|",
    ]
    for row in rows.to_dict("records"):
        address = row["url"] if "://" in row["url"] else "https://" + row["url"]
        cells = (
            f"[{row['recording_id']}]({address})",
            f"*{row['species']}*, {_plain(row['english_name'])}",
            _plain(row["recordist"]),
            licence_name(row["licence"]),
            str(row["clips"]),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _plain(name: str) -> str:
    r"""A name in which nothing means anything to Markdown.

    >>> print(_plain("night_owl | *"))
    night\_owl \| \*
    """
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", name)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the set, with metadata.csv")
    parser.add_argument("--page", type=Path, default=PAGE, help="default: %(default)s")
    args = parser.parse_args(argv)
    try:
        args.page.write_text(page(recordings(args.folder)), encoding="utf-8")
    except BookError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
