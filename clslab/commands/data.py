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
    _add_birds(getting)
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


def _add_birds(getting: argparse.ArgumentParser) -> None:
    """What to fetch of a set that has no archive."""
    birds = getting.add_argument_group(
        "birds", "Recordings of your own choice from xeno-canto, with the key that is in XENO_CANTO_KEY."
    )
    birds.add_argument("--species", nargs="+", metavar="'GENUS EPITHET'", help="scientific names")
    birds.add_argument("--limit", type=int, metavar="N", help="recordings per species (default 10)")
    birds.add_argument("--clips", type=int, metavar="N", help="clips per recording, at most (default 4)")
    birds.add_argument("--quality", choices=tuple("ABCDE"), help="only recordings of this quality")
    birds.add_argument("--licences", nargs="+", metavar="NAME", help="such as by-sa (default: all but those with nd)")
    birds.add_argument("--tree", type=Path, metavar="FILE", help="CSV file with genus, family and order")


_BIRDS_OPTIONS = ("species", "limit", "clips", "quality", "licences", "tree")


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
    given = {name: getattr(args, name) for name in _BIRDS_OPTIONS if getattr(args, name) is not None}
    if given and args.name != "birds":
        raise ValueError(f"--{next(iter(given))} is for birds; {args.name} is one archive, so leave it out")
    if args.name == "birds" and "species" in given:
        from clslab.data import xeno_canto

        xeno_canto.get(root=args.root, **given)
        return 0
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
    if entry.by_hand:
        return f"stand-in only; {entry.by_hand}, in {data_root(root) / entry.folder}"
    how = f"pip install 'clslab[{entry.name}]'" if entry.in_package else f"clslab data get {entry.name}"
    if entry.by_query:
        how += " --species …"
    return f"stand-in only; {how}"
