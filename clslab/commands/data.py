"""`clslab data list`, `clslab data get NAME` and `clslab data shard FOLDER DESTINATION`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from clslab.data.catalog import ENTRIES, Entry, data_root, found

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def register(subparsers: Subparsers) -> None:
    """Add `data` with `list`, `get` and `shard`."""
    group = subparsers.add_parser("data", help="list the data sets, fetch one, or pack pictures into shards")
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="what there is, how large, whose, and where it lies now")
    getting = actions.add_parser("get", help="fetch one set and lay it out")
    getting.add_argument("name", metavar="NAME", help=f"one of {', '.join(ENTRIES)}")
    for action, run in ((listing, run_list), (getting, run_get)):
        action.add_argument(
            "--root",
            type=Path,
            metavar="DIR",
            help="folder of the data sets (default: $CLSLAB_DATA, else the cache folder)",
        )
        action.set_defaults(run=run)
    packing = actions.add_parser("shard", help="pack class folders of pictures into tar files that are read in a row")
    packing.add_argument("folder", type=Path, metavar="FOLDER", help="class folders, or train/, val/ and test/ of them")
    packing.add_argument("destination", type=Path, metavar="DESTINATION", help="a new folder for the shards")
    packing.add_argument("--per-shard", type=int, default=1000, metavar="N", help="pictures per shard (default 1000)")
    packing.set_defaults(run=run_shard)


def run_list(args: argparse.Namespace) -> int:
    """Print a table of the catalog."""
    rows = [("name", "what", "to fetch", "licence", "found now")]
    rows += [_row(entry, args.root) for entry in ENTRIES.values()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
    print(f"\nData root: {data_root(args.root)}. A set that is not there is replaced by a drawn stand-in.")
    return 0


def run_get(args: argparse.Namespace) -> int:
    """Fetch one set."""
    from clslab.data.download import fetch_set

    fetch_set(args.name, args.root)
    return 0


def run_shard(args: argparse.Namespace) -> int:
    """Pack a folder."""
    from clslab.data import shards

    print(shards.write(args.folder, args.destination, per_shard=args.per_shard, say=lambda _: None).describe())
    return 0


def _row(entry: Entry, root: Path | None) -> tuple[str, str, str, str, str]:
    return entry.name, entry.title, _size(entry), entry.short_licence, _place(entry, root)


def _size(entry: Entry) -> str:
    """What `data get` will move over the network, in words.

    >>> from clslab.data.catalog import card
    >>> _size(card("debris")), _size(card("solar")), _size(card("birds"))
    ('43 MB', 'pip', '-')
    """
    if entry.in_package:
        return "pip"
    return "-" if entry.size_bytes is None else f"{entry.size_bytes / 1e6:,.0f} MB"


def _place(entry: Entry, root: Path | None) -> str:
    here = found(entry.name, root)
    reader = "" if entry.available else f" ({entry.unavailable})"
    if here is not None:
        return here + reader
    if not entry.available:
        return f"no{reader}"
    how = f"pip install 'clslab[{entry.name}]'" if entry.in_package else f"clslab data get {entry.name}"
    return f"stand-in only; {how}"
