"""A folder of sounds and its metadata.csv: reading the table, and saying what is wrong with its rows and files.

    metadata.csv     columns file, species; and if they are known genus, family, order, recordist, recording_id, split,
                     subset, licence, url, activity_db

A row that cannot be used is left out with a line that names it. What contradicts itself is an error, because nobody but
its owner can tell which half is true.

Taught in chapter 15.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clslab import audio

NEEDED = ("file", "species")
RANKS = ("order", "family", "genus", "species")
SPLITS = ("train", "val", "test")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One clip.

    Attributes:
        line: its line in the table.
        path: of the file.
        file: the same as the table says it, which is the id of the clip.
        order: of the species; "unknown" where the table does not say.
        family: likewise "unknown <order>".
        genus: the first word of the species' name where the table does not say.
        species: its scientific name.
        recordist: "unknown" where the table does not say.
        recording: the recording that the clip is from; by default the file.
        split: train, val or test, or "" where the table has none.
        subset: "" where the table has none.
        licence: "" likewise.
        url: "" likewise.
        listened: the table says how lively the clip is, so somebody has decoded it before.
    """

    line: int
    path: Path
    file: str
    order: str
    family: str
    genus: str
    species: str
    recordist: str
    recording: str
    split: str
    subset: str
    licence: str
    url: str
    listened: bool

    def name(self, rank: str) -> str:
        """Its order, family, genus or species."""
        return str(getattr(self, rank))


def read_table(folder: Path, *, say: Say = print) -> list[Row]:
    """The rows of `folder/metadata.csv`, each file once; the files themselves are not looked at yet.

    Args:
        folder: that the files are named from.
        say: takes one line about every row that is left out.

    Raises:
        FileNotFoundError: if there is no table.
        ValueError: if a column is missing, or the table contradicts itself.
    """
    table = folder / "metadata.csv"
    rows = _with_parents(_distinct(_parse(table), say))
    _check_names(table, rows)
    _check_recordings(table, rows)
    return rows


def usable(rows: list[Row], *, rate: int, seconds: float, say: Say = print) -> list[Row]:
    """The rows whose files can be used.

    Files are looked at, and those that nobody has listened to yet are decoded, so that silence is found now and not in
    the middle of an epoch.

    Args:
        rows: as from `read_table`.
        rate: samples per second that the clips will have; slower files are told.
        seconds: length that they will have; shorter and longer files are told.
        say: takes one line about each row that is left out, and one about each kind of change.

    Raises:
        ValueError: if no row is left.
    """
    kept = _readable(rows, rate, seconds, say)
    if not kept:
        raise ValueError("no sound file of the table can be used; the lines above say why")
    orphans = [row for row in kept if row.family.startswith("unknown")]
    if orphans:
        families = _listing({row.family for row in orphans})
        say(f"no family given for {_listing({row.species for row in orphans})}: counted as {families}")
    return kept


# ---------------------------------------------------------------- the table


def _parse(table: Path) -> list[Row]:
    if not table.is_file():
        raise FileNotFoundError(
            f"there is no {table}; write a table with the columns file and species (and genus, family, order, "
            "recording_id, recordist, where you know them), one line per sound file"
        )
    try:
        # Spreadsheets put a byte order mark before the first name.
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{table} is not written in UTF-8 (byte {error.start:,}); save it as "CSV UTF-8" in your spreadsheet'
        ) from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    found = [_column(name) for name in reader.fieldnames or ()]
    missing = [name for name in NEEDED if name not in found]
    if missing:
        hint = " (columns have to be separated by commas)" if len(found) == 1 else ""
        raise ValueError(
            f"{table} has no column {' and no column '.join(missing)}; its columns are "
            f"{', '.join(found) or 'none'}{hint}"
        )
    lines = [
        (reader.line_num, {_column(k): (v or "").strip() for k, v in line.items() if not isinstance(v, list)})
        for line in reader
    ]
    return [_row(table, number, line) for number, line in lines if any(line.values())]


def _column(name: str | None) -> str:
    """A column's name as it is looked up: "Family" is "family", and "license" is "licence".

    >>> _column(" License ")
    'licence'
    """
    said = (name or "").strip().lower()
    return "licence" if said == "license" else said


def _row(table: Path, number: int, line: dict[str, str]) -> Row:
    for name in NEEDED:
        if not line[name]:
            raise ValueError(f"{table}, line {number}: no {name}; fill it in, or remove the line")
    split = line.get("split", "").lower()
    if split not in ("", *SPLITS):
        raise ValueError(f"{table}, line {number}: split {split!r}; use train, val or test, or leave the column out")
    order = line.get("order") or "unknown"
    family = line.get("family") or _unknown(order)
    words = line["species"].split()
    genus = line.get("genus") or (words[0] if len(words) > 1 else _unknown(family))
    file = line["file"].replace("\\", "/")  # as a program on Windows may have written it
    return Row(
        line=number,
        path=table.parent / file,
        file=file,
        order=order,
        family=family,
        genus=genus,
        species=line["species"],
        recordist=line.get("recordist") or "unknown",
        recording=line.get("recording_id") or file,
        split=split,
        subset=line.get("subset", ""),
        licence=line.get("licence", ""),
        url=line.get("url", ""),
        listened=bool(line.get("activity_db")),
    )


def _unknown(parent: str) -> str:
    return parent if parent.startswith("unknown") else f"unknown {parent}"


def _distinct(rows: list[Row], say: Say) -> list[Row]:
    """Each file once. Two rows that disagree about one file are an error."""
    kept: dict[str, Row] = {}
    for row in rows:
        first = kept.setdefault(row.file, row)
        if first is row:
            continue
        if dataclasses.replace(row, line=first.line) != first:
            raise ValueError(
                f"metadata.csv, lines {first.line} and {row.line} say different things about {row.file}; keep the one "
                "that is true"
            )
        say(f"left out: line {row.line}, {row.file} (the same as line {first.line})")
    return list(kept.values())


def _with_parent(row: Row, rank: str, name: str | None) -> Row:
    """The row, with this name at a rank that it leaves open."""
    if name is None or not row.name(rank).startswith("unknown"):
        return row
    changed: dict[str, Any] = {rank: name}
    return dataclasses.replace(row, **changed)


_PARENTS = (("species", "genus"), ("genus", "family"), ("family", "order"))


def _with_parents(rows: list[Row]) -> list[Row]:
    """A parent that one row leaves open is the one that another row gives."""
    for fine, coarse in _PARENTS:
        known: dict[str, str] = {}
        for row in rows:
            if not row.name(coarse).startswith("unknown"):
                known.setdefault(row.name(fine), row.name(coarse))
        rows = [_with_parent(row, coarse, known.get(row.name(fine))) for row in rows]
    return rows


def _check_names(table: Path, rows: list[Row]) -> None:
    """A name has one parent, or the labels are no tree."""
    for fine, coarse in _PARENTS:
        parents: dict[str, Row] = {}
        for row in rows:
            if row.name(fine).startswith("unknown"):
                continue
            first = parents.setdefault(row.name(fine), row)
            if row.name(coarse) != first.name(coarse):
                raise ValueError(
                    f"{table}: the {coarse} of {row.name(fine)} is {first.name(coarse)} in line {first.line} and "
                    f"{row.name(coarse)} in line {row.line}; make them agree"
                )


def _check_recordings(table: Path, rows: list[Row]) -> None:
    """A recording is on one side of the split."""
    sides: dict[str, Row] = {}
    for row in rows:
        first = sides.setdefault(row.recording, row)
        if row.split != first.split:
            raise ValueError(
                f"{table}: recording {row.recording} is in {first.split or 'no split'} (line {first.line}) and in "
                f"{row.split or 'no split'} (line {row.line}); clips of one recording are no new samples to each "
                "other, so give all of them one split"
            )


# ---------------------------------------------------------------- the files


def _readable(rows: list[Row], rate: int, seconds: float, say: Say) -> list[Row]:
    kept: list[Row] = []
    mixed, slow, short, long = [], [], [], []
    for row in rows:
        try:
            info = audio.info(row.path)
            if not row.listened:
                audio.read(row.path)
        except FileNotFoundError:
            say(f"left out: line {row.line}, {row.file} (there is no such file)")
            continue
        except audio.BadSoundError as error:
            say(f"left out: line {row.line}, {row.file} ({error.reason})")
            continue
        kept.append(row)
        if info.channels > 1:
            mixed.append(row.file)
        if info.rate < rate:
            slow.append(f"{row.file} ({info.rate:,} Hz)")
        if info.seconds < seconds - 0.01:
            short.append(row.file)
        if info.seconds > seconds + 0.01:
            long.append(row.file)
    for files, words in (
        (mixed, "with several channels, which are averaged into one"),
        (slow, f"with fewer than {rate:,} samples a second: nothing is above half of what they have"),
        (short, f"shorter than {seconds:g} s, followed by silence"),
        (long, f"longer than {seconds:g} s, of which the liveliest {seconds:g} s are used"),
    ):
        if files:
            say(f"{len(files)} file{'s' if len(files) > 1 else ''} {words}: {_listing(files)}")
    return kept


def _listing(names: Iterable[str]) -> str:
    """The first few of some names."""
    found = sorted(names)
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
