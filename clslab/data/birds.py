"""Reader of `birds`: three-second clips of bird recordings from xeno-canto, and of your own folder in the same form.

    birds/metadata.csv   (see `clslab.data.sound_table`)      birds/clips/*.ogg

| variant | classes | levels, coarse to fine |
|---|---|---|
| `core`, and `None` where the table has subsets | ten species of about ten recordings | family, genus, species |
| `genera` | the nine genera of core and Vireo | family, genus |
| `three-genera` | the three genera of most recordings, core or not: Setophaga, Poecile, Leiothlypis | family, genus |
| `broad` | the families of all clips, core included | order, family |
| `orders` | the orders of all clips | order |
| `None` where the table has no subsets | all species | those of order, family, genus, species that divide them |

In `broad` a species outside core has a single recording. It could only be learned and tested on that one, which
measures nothing, so the finest class is the family; `extra` has genus and species of every clip.

Taught in chapters 14 and 15.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clslab.data import songs
from clslab.data.sound_table import RANKS, Row, read_table, usable
from clslab.data.sounds import RATE, SECONDS, SoundDataset
from clslab.data.splits import group_split
from clslab.taxonomy import Taxonomy

VARIANTS: tuple[str | None, ...] = (None, "core", "broad", "orders", "genera", "three-genera")
SMOKE_SIZES = {"train": 60, "val": 20, "test": 20}
LEVELS: dict[str, tuple[str, ...]] = {
    "core": ("family", "genus", "species"),
    "genera": ("family", "genus"),
    "three-genera": ("family", "genus"),
    "broad": ("order", "family"),
    "orders": ("order",),
}
FRACTIONS = (0.6, 0.2, 0.2)
TENTH_GENUS = "Vireo"
THREE_GENERA: tuple[tuple[str, str], ...] = (
    ("Paridae", "Poecile"),
    ("Parulidae", "Leiothlypis"),
    ("Parulidae", "Setophaga"),
)
"""The genera with the most recordings, each with its family: 13, 12 and 26 of them. Two are of one family."""

CORE: tuple[tuple[str, str, str], ...] = (
    ("Fringillidae", "Spinus", "Spinus psaltria"),
    ("Paridae", "Poecile", "Poecile rufescens"),
    ("Parulidae", "Leiothlypis", "Leiothlypis celata"),
    ("Parulidae", "Setophaga", "Setophaga coronata"),
    ("Parulidae", "Setophaga", "Setophaga townsendi"),
    ("Passerellidae", "Junco", "Junco hyemalis"),
    ("Passerellidae", "Melozone", "Melozone crissalis"),
    ("Passerellidae", "Zonotrichia", "Zonotrichia leucophrys"),
    ("Passeridae", "Passer", "Passer domesticus"),
    ("Tyrannidae", "Sayornis", "Sayornis nigricans"),
)
"""Family, genus and species of core, by the IOC World Bird List 13.1."""

CLASSES = tuple(path[-1] for path in CORE)
"""The species of core in the order of their numbers."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "Accipitriformes": ("Accipitridae",),
    "Aegotheliformes": ("Aegothelidae",),
    "Anseriformes": ("Anatidae",),
    "Apodiformes": ("Trochilidae",),
    "Caprimulgiformes": ("Caprimulgidae",),
    "Charadriiformes": (
        "Alcidae",
        "Charadriidae",
        "Haematopodidae",
        "Laridae",
        "Recurvirostridae",
        "Scolopacidae",
        "Stercorariidae",
    ),
    "Columbiformes": ("Columbidae",),
    "Coraciiformes": ("Alcedinidae",),
    "Cuculiformes": ("Cuculidae",),
    "Falconiformes": ("Falconidae",),
    "Galliformes": ("Odontophoridae", "Phasianidae"),
    "Gruiformes": ("Rallidae",),
    "Passeriformes": (
        "Bombycillidae",
        "Cardinalidae",
        "Certhiidae",
        "Corvidae",
        "Fringillidae",
        "Hirundinidae",
        "Icteridae",
        "Laniidae",
        "Mimidae",
        "Motacillidae",
        "Muscicapidae",
        "Paradoxornithidae",
        "Paridae",
        "Parulidae",
        "Passerellidae",
        "Passeridae",
        "Phylloscopidae",
        "Sittidae",
        "Troglodytidae",
        "Turdidae",
        "Tyrannidae",
        "Vireonidae",
    ),
    "Pelecaniformes": ("Ardeidae",),
    "Piciformes": ("Picidae",),
    "Podicipediformes": ("Podicipedidae",),
    "Procellariiformes": ("Procellariidae",),
    "Strigiformes": ("Strigidae",),
    "Suliformes": ("Phalacrocoracidae",),
}
"""The families of broad under their orders, by the same list."""


def taxonomy(variant: str | None = None) -> Taxonomy:
    """The tree of a variant of the real set; of your own folder, `Splits.taxonomy` has it.

    >>> [taxonomy(variant).num_classes(-1) for variant in ("core", "genera", "three-genera", "broad")]
    [10, 10, 3, 47]
    """
    if variant == "broad":
        paths = [(order, family) for order, families in FAMILIES.items() for family in families]
        return Taxonomy.from_paths(sorted(paths))
    if variant == "orders":
        return Taxonomy.from_paths([(order,) for order in sorted(FAMILIES)])
    if variant == "genera":
        return Taxonomy.from_paths(sorted({path[:2] for path in CORE} | {("Vireonidae", TENTH_GENUS)}))
    if variant == "three-genera":
        return Taxonomy.from_paths(THREE_GENERA)
    return Taxonomy.from_paths(CORE)


def own_folder(folder: Path, *, given: bool) -> Path | None:  # noqa: ARG001
    """The root itself, `$CLSLAB_DATA` too, where it holds a metadata.csv: recordings of one's own."""
    return folder if (folder / "metadata.csv").is_file() else None


def read(folder: Path, *, variant: str | None = None, seed: int = 0) -> dict[str, SoundDataset]:
    """The clips of a variant in the splits of the table.

    A table without a column `split` is divided here, 60/20/20 by recording and stratified by class. Targets are long
    `[L]` per clip, on the levels of the variant; `extra` has order, family, genus, species, recordist, licence and url.

    Raises:
        FileNotFoundError: if there is no metadata.csv.
        ValueError: if the table cannot be used (see `clslab.data.sound_table.read_table`), or has nothing of this
            variant.
    """
    chosen = usable(_choose(folder, read_table(folder, say=_say), variant), rate=RATE, seconds=SECONDS, say=_say)
    levels = _levels(chosen, variant)
    tree = Taxonomy.from_paths(sorted({tuple(row.name(rank) for rank in levels) for row in chosen}))
    parts = _parts(folder, chosen, tree, levels, seed)
    return {split: _dataset(part, tree, levels) for split, part in parts.items()}


def stand_in(*, variant: str | None = None, seed: int = 0) -> dict[str, SoundDataset]:
    """Synthesised songs under the same classes and the same tree (see `clslab.data.songs`)."""
    tree = taxonomy(variant)
    recordings = (3, 1, 1) if variant in ("broad", "orders") else (6, 2, 2)
    return songs.synthesise(tree, [path[-1] for path in tree.paths], recordings=recordings, seed=seed)


# ---------------------------------------------------------------- other ways to divide


def unsplit(parts: dict[str, SoundDataset]) -> SoundDataset:
    """All clips of `read` or `stand_in` as one set, with `extra["split"]`.

    Core has two test recordings of each species, too few for a verdict. Five-fold cross-validation tests every
    recording once, by a model that has not heard it; nothing is held back then, so nothing may be chosen by its result.

    Taught in chapter 15.
    """
    all_of = list(parts.values())
    first = all_of[0]
    return SoundDataset(
        [source for part in all_of for source in part.sources],
        np.concatenate([part.targets for part in all_of]),
        first.classes,
        taxonomy=first.taxonomy,
        rate=first.rate,
        seconds=first.seconds,
        groups=np.concatenate([np.asarray(part.groups) for part in all_of]),
        ids=[item for part in all_of for item in part.ids],
        extra={name: np.concatenate([part.extra[name] for part in all_of]) for name in first.extra}
        | {"split": np.repeat(list(parts), [len(part) for part in all_of])},
    )


def folds(
    dataset: SoundDataset, *, count: int = 5, by: str = "recording", seed: int = 0
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Grouped cross-validation: each recording (or recordist) is tested once.

    Args:
        dataset: as from `unsplit`.
        count: number of folds.
        by: `recording`, or `recordist` for the harder question of a microphone and a place never heard.
        seed: of the deal. Of a few recordists there may be one even deal, which every seed then finds.

    Returns:
        For each fold the sorted indices to train on and those to test on.

    Raises:
        ValueError: if there are fewer groups than folds, or `by` is neither.

    Taught in chapter 15.
    """
    dealt = group_split(groups(dataset, by), [1 / count] * count, stratify=dataset.targets, seed=seed)
    everything = np.arange(len(dataset))
    return [(np.setdiff1d(everything, tested), tested) for tested in dealt]


def by_recordist(
    dataset: SoundDataset, fractions: Sequence[float] = FRACTIONS, *, seed: int = 0
) -> list[NDArray[np.int64]]:
    """Indices of a split in which no recordist is on two sides, stratified by class as far as they allow.

    Fifteen of the 52 pairs of species and recordist in core stand on several sides of its own split, so its test is
    mildly optimistic about new microphones and new places.

    Raises:
        ValueError: if there are fewer recordists than parts.

    Taught in chapter 15.
    """
    return group_split(groups(dataset, "recordist"), fractions, stratify=dataset.targets, seed=seed)


def groups(dataset: SoundDataset, by: str) -> NDArray[Any]:
    """[N] recording or recordist of each clip, what has to stay together.

    Raises:
        ValueError: if `by` is neither.

    Taught in chapter 15.
    """
    if by == "recording":
        return np.asarray(dataset.groups)
    if by == "recordist":
        return dataset.extra["recordist"]
    raise ValueError(f"by is {by!r}; use 'recording' or 'recordist'")


# ---------------------------------------------------------------- reading


def _say(line: str) -> None:
    print(f"birds: {line}")


def _choose(folder: Path, rows: list[Row], variant: str | None) -> list[Row]:
    """The rows of a variant."""
    core = [row for row in rows if row.subset == "core"]
    if variant in ("broad", "orders") or (variant is None and not core):
        return rows
    if not core:
        raise ValueError(
            f"{folder / 'metadata.csv'} has no rows of the subset 'core', so there is no variant {variant!r}; use "
            "variant=None for all species of your own table, or 'broad' for its families"
        )
    if variant == "three-genera":
        return [row for row in rows if row.genus in {genus for _, genus in THREE_GENERA}]
    if variant == "genera":
        core += [row for row in rows if row.subset != "core" and row.genus == TENTH_GENUS]
    return core


def _levels(rows: list[Row], variant: str | None) -> tuple[str, ...]:
    """The ranks that are the levels of these rows."""
    if variant is None and rows[0].subset != "core":
        return _dividing(rows)
    return LEVELS[variant or "core"]


def _dividing(rows: list[Row]) -> tuple[str, ...]:
    """The ranks at which there is something to tell apart, each finer than the one before; the species in any case."""
    chosen: list[str] = []
    before = 1
    for rank in RANKS[:-1]:
        count = len({row.name(rank) for row in rows})
        if count > before:
            chosen.append(rank)
            before = count
    species = len({row.species for row in rows})
    if species == before and chosen:
        chosen.pop()
    return (*chosen, "species")


def _parts(folder: Path, rows: list[Row], tree: Taxonomy, levels: tuple[str, ...], seed: int) -> dict[str, list[Row]]:
    """The rows of each split that has any."""
    given = {row.split for row in rows}
    if given == {""}:
        labels = [tree.paths.index(tuple(row.name(rank) for rank in levels)) for row in rows]
        dealt = group_split([row.recording for row in rows], FRACTIONS, stratify=labels, seed=seed)
        _say("the table has no split; divided 60/20/20 by recording")
        for split, part in zip(("training", "validation", "test"), dealt, strict=True):
            without = sorted(set(labels) - {labels[i] for i in part})
            if without:
                names = ", ".join(tree.paths[label][-1] for label in without)
                _say(f"no {split} clip of {names}: too few recordings for all three splits")
        return {split: [rows[i] for i in part] for split, part in zip(("train", "val", "test"), dealt, strict=True)}
    parts = {split: [row for row in rows if row.split == split] for split in ("train", "val", "test")}
    empty = [split for split in ("train", "val") if not parts[split]]
    if empty or "" in given:
        raise ValueError(
            f"{folder / 'metadata.csv'}: {'some rows have no split' if '' in given else f'no row is in {empty[0]}'}; "
            "give every row one of train, val and test, or leave the column out to have it divided by recording"
        )
    return {split: part for split, part in parts.items() if part}


def _dataset(rows: list[Row], tree: Taxonomy, levels: tuple[str, ...]) -> SoundDataset:
    columns = (*RANKS, "recordist", "licence", "url")
    return SoundDataset(
        [row.path for row in rows],
        [tree.paths.index(tuple(row.name(rank) for rank in levels)) for row in rows],
        [path[-1] for path in tree.paths],
        taxonomy=tree,
        groups=[row.recording for row in rows],
        ids=[row.file for row in rows],
        extra={name: np.array([getattr(row, name) for row in rows]) for name in columns},
    )
