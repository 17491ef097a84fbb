"""The data sets of the course, each behind one call that never fails for want of a network.

Taught in chapters 1 and 4.

>>> sorted(READERS)
['birds', 'catsdogs', 'cifar100', 'debris', 'own', 'pets', 'solar']
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np

from clslab import origins
from clslab import profile as profiles
from clslab.data import catalog

# No torch up here: the catalog and the commands that list it are to start at once.
if TYPE_CHECKING:
    from clslab.taxonomy import Taxonomy

READERS = ("debris", "catsdogs", "solar", "pets", "cifar100", "birds", "own")
"""Sets that `load` reads. Each has a module of its name with VARIANTS, read() and stand_in();
some have taxonomy(), SMOKE_SIZES of their own, or own_folder(), for a folder that has another name."""

SMOKE_SIZES = {"train": 96, "val": 48, "test": 48}

STAND_IN_BANNER = "STAND-IN: {what}, not the real set {name}. No result on them is a result on {name}."

Source = Literal["local", "download", "package", "stand-in"]


_OF_SOUNDS = frozenset({"waveform", "input", "levels", "at_level", "in_memory", "tensors"})
"""What a `SoundDataset` has besides."""


class SealedError(ValueError):
    """The test split was touched outside of the one function that may open it."""


class SealedTest:
    """A test split that can be counted but not looked at.

    Results on a test split that is looked at again and again stop being results on new data, so
    it is opened once per run, by `clslab.runs.test_once`, which records it.

    Taught in chapter 3.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __repr__(self) -> str:
        return f"SealedTest({len(self)} items)"

    def __getitem__(self, index: Any) -> NoReturn:
        self._refuse()

    def __iter__(self) -> Iterator[Any]:
        self._refuse()

    def __getattr__(self, name: str) -> Any:
        # What a dataset has and a sealed one does not: an explanation, not "no attribute".
        if name in {"image", "sources", "targets", "subset", "with_transform", "cache_pixels", *_OF_SOUNDS}:
            self._refuse()
        raise AttributeError(f"SealedTest has no attribute {name!r}")

    def _refuse(self) -> NoReturn:
        raise SealedError(
            f"the test split ({len(self)} items) is sealed: it is opened once per run by "
            "clslab.runs.test_once, which records that it was; choose and compare on `val`"
        )

    def _open(self) -> Any:
        """The dataset itself, for `clslab.runs.test_once` only."""
        return self._dataset


@dataclass(frozen=True, eq=False)
class Splits:
    """What `load` returns.

    Attributes:
        train: the training split: an `ImageDataset`, of birds a `SoundDataset`.
        val: the validation split, for every choice that is made.
        test: the sealed test split, or None where a set has no public one.
        classes: class names in the order of their numbers.
        taxonomy: tree of the labels, or None where they have none.
        groups: per split ("train", "val", "test") the group of each item, or None where unknown.
            No group is in two splits, unless the variant is `random-split`.
        card: the data sheet, from the catalog.
        source: where the items came from.
        fingerprint: sha256 over the sorted ids with their targets and splits. Two runs with one
            fingerprint saw the same items under the same labels; pixels do not enter.
        banner: the warning that goes with a stand-in, else None.
        name: of the set, and of its variant.
        variant: see `load`.
    """

    train: Any
    val: Any
    test: SealedTest | None
    classes: tuple[str, ...]
    taxonomy: Taxonomy | None
    groups: dict[str, np.ndarray | None]
    card: catalog.Entry
    source: Source
    fingerprint: str
    banner: str | None
    name: str
    variant: str | None = None

    def describe(self) -> str:
        """One line: which set, from where, how many items in which split."""
        test = "no public test" if self.test is None else f"{len(self.test)} test (sealed)"
        title = self.name if self.variant is None else f"{self.name} ({self.variant})"
        origin = f"{_made(self.card)} stand-in" if self.source == "stand-in" else _WORDS[self.source]
        return (
            f"{title}: {origin}, {len(self.train)} train, {len(self.val)} val, {test}; "
            f"classes {', '.join(self.classes[:5])}{', …' if len(self.classes) > 5 else ''}"
        )


_WORDS: dict[str, str] = {
    "local": "from this machine",
    "download": "downloaded",
    "package": "from an installed package",
}


def _made(entry: catalog.Entry) -> str:
    """How a stand-in comes into being."""
    return "synthesised" if entry.kind == "sounds" else "drawn"


def load(
    name: str,
    *,
    variant: str | None = None,
    root: str | Path | None = None,
    download: bool = False,
    profile: str | None = None,
    seed: int = 0,
) -> Splits:
    """Read a data set, and say in one line where it came from.

    Looked for in this order: `root`, else `$CLSLAB_DATA`, else the user's cache folder; a download, if
    asked for; an installed package that ships the set; a stand-in, drawn or sung, under a banner.

    Args:
        name: `debris`, `catsdogs`, `solar`, `pets`, `cifar100`, `birds`, or `own` for pictures of your own.
        variant: `solar`: `certain` (only the cells that experts were sure of), `random-split` (the
            same pictures split at random, to show the leak). `pets`: `breeds` (37 classes).
            `cifar100`: `long-tail-100` and `long-tail-10` (a hundred and ten times fewer training
            pictures of the last class than of the first, arXiv:1901.05555). `catsdogs`: `homework` (a
            validation split cut from train; the folder val becomes the sealed test). `birds`: see
            `clslab.data.birds`. `own`: `random-split`.
        root: folder that holds the sets, or for `birds` and `own` that of your own sounds or pictures.
            A set that is not there is then an error, no stand-in.
        download: fetch the set if it is not there yet.
        profile: `smoke` takes 96, 48 and 48 items (of cifar100 1,000, 200 and 200, of birds 60, 20
            and 20), in the proportions of the classes and group by group; `cpu` and `gpu` take everything. By
            default the profile in force.
        seed: of splits that are made here, and of the stand-in.

    Returns:
        The splits, without transforms; give them one with `splits.train.with_transform(…)`.

    Raises:
        ValueError: if the name, variant or profile is unknown, or the folder is not laid out well.
        FileNotFoundError: if `root` is given and does not hold the set.

    Taught in chapters 1 and 4.
    """
    entry = catalog.card(name)
    if name not in READERS:
        raise ValueError(f"{name!r} cannot be loaded: {entry.unavailable}; use {', '.join(READERS)}")
    reader = importlib.import_module(f"clslab.data.{name}")
    if variant not in reader.VARIANTS:
        known = ", ".join(repr(known) for known in reader.VARIANTS)
        raise ValueError(f"{name} has no variant {variant!r}; use one of {known}")
    wanted = profiles.current() if profile is None else profile
    if wanted not in ("smoke", "cpu", "gpu"):
        raise ValueError(f"profile is {profile!r}; use 'smoke', 'cpu' or 'gpu'")
    folder, source = _own_folder(reader, root) or _locate(entry, root, download)
    if folder is None:
        parts = reader.stand_in(variant=variant, seed=seed)
    else:
        parts = reader.read(folder, variant=variant, seed=seed)
    if wanted == "smoke":
        parts = _smoke(parts, reader, seed)
    splits = _assemble(parts, entry, source, variant)
    origins.note(entry.name, source)
    _announce(splits)
    return splits


def _smoke(parts: dict[str, Any], reader: Any, seed: int) -> dict[str, Any]:
    sizes = getattr(reader, "SMOKE_SIZES", SMOKE_SIZES)
    return {split: _few(part, sizes[split], seed) for split, part in parts.items()}


def taxonomy(name: str, variant: str | None = None) -> Taxonomy | None:
    """The tree of a set's labels without its pictures, or None where its labels have none.

    Raises:
        ValueError: if there is no such set.

    >>> taxonomy("cifar100").num_classes(0)
    20
    """
    if name not in READERS:
        raise ValueError(f"{name!r} is no set with a reader; use {', '.join(READERS)}")
    reader = importlib.import_module(f"clslab.data.{name}")
    return reader.taxonomy(variant) if hasattr(reader, "taxonomy") else None


def _assemble(
    parts: dict[str, Any],
    entry: catalog.Entry,
    source: Source,
    variant: str | None,
) -> Splits:
    return Splits(
        train=parts["train"],
        val=parts["val"],
        test=SealedTest(parts["test"]) if "test" in parts else None,
        classes=parts["train"].classes,
        # Where a table decides which classes there are, the items bring their tree with them.
        taxonomy=getattr(parts["train"], "taxonomy", None) or taxonomy(entry.name, variant),
        groups={split: part.groups for split, part in parts.items()},
        card=entry,
        source=source,
        fingerprint=fingerprint(parts),
        banner=_banner(entry) if source == "stand-in" else None,
        name=entry.name,
        variant=variant,
    )


def _banner(entry: catalog.Entry) -> str:
    what = "synthesised songs" if entry.kind == "sounds" else "drawings"
    return STAND_IN_BANNER.format(what=what, name=entry.name)


def _announce(splits: Splits) -> None:
    print(splits.describe())
    if splits.banner:
        print(splits.banner)
    elif splits.card.notice:
        print(splits.card.notice)


def _own_folder(reader: Any, root: str | Path | None) -> tuple[Path, Source] | None:
    """`root`, or else `$CLSLAB_DATA`, itself, where the reader takes folders of any name and this is one."""
    if not hasattr(reader, "own_folder"):
        return None
    folder = reader.own_folder(catalog.data_root(root), given=root is not None)
    return None if folder is None else (folder, "local")


def _locate(entry: catalog.Entry, root: str | Path | None, download: bool) -> tuple[Path | None, Source]:
    """The folder of a set and what kind of place it is; None for the stand-in."""
    base = catalog.data_root(root)
    folder = base / entry.folder
    if _complete(folder, entry):
        return folder, "local"
    if download and (entry.archives or entry.by_query):
        from clslab.data.download import fetch_set

        return fetch_set(entry.name, base), "download"
    if folder.exists():
        missing = [marker for marker in entry.markers if not (folder / marker).exists()]
        raise ValueError(
            f"{folder} is not a complete {entry.name}: there is no {', '.join(missing)}. Finish it "
            f"with `python -m clslab data get {entry.name}`, or move the folder away"
        )
    package = packaged(entry)
    if package is not None:
        return package, "package"
    if root is not None:
        # Of sounds, `root` itself may be a folder of the reader's own.
        own = f", and no metadata.csv in {base} for recordings of your own" if entry.kind == "sounds" else ""
        raise FileNotFoundError(
            f"there is no {folder}{own}; fetch it with `{entry.by_query or f'python -m clslab data get {entry.name}'} "
            f"--root {root}`, or leave root out to work on a {_made(entry)} stand-in"
        )
    return None, "stand-in"


def _complete(folder: Path, entry: catalog.Entry) -> bool:
    return folder.is_dir() and all((folder / marker).exists() for marker in entry.markers)


def packaged(entry: catalog.Entry) -> Path | None:
    """The folder in which an installed package ships a set, or None. The package is not imported."""
    if entry.module is None:
        return None
    spec = importlib.util.find_spec(entry.module)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "data"


def fingerprint(parts: dict[str, Any]) -> str:
    """sha256 over one line per item, sorted: its id, its target and its split. Cheap: no pixels."""
    lines = sorted(
        f"{item}\t{target}\t{split}"
        for split, part in parts.items()
        for item, target in zip(part.ids, part.targets, strict=True)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _few(dataset: Any, size: int, seed: int) -> Any:
    """About `size` items in the proportions of the classes, taken group by group."""
    if len(dataset) <= size:
        return dataset
    rng = np.random.default_rng(seed)
    groups = np.arange(len(dataset)) if dataset.groups is None else dataset.groups
    _, group_of = np.unique(groups, return_inverse=True)
    # One order of groups for all classes, so that mixed groups come in whole.
    rank = rng.permutation(int(group_of.max()) + 1)[group_of]
    chosen: list[int] = []
    for label in range(len(dataset.classes)):
        members = np.flatnonzero(dataset.targets == label)
        share = max(1, round(size * len(members) / len(dataset))) if len(members) else 0
        chosen += members[np.argsort(rank[members], kind="stable")][:share].tolist()
    return dataset.subset(sorted(chosen))
