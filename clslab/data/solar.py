"""Reader of `solar`: electroluminescence photographs of solar cells, 300 × 300 grey.

    solar/labels.csv (path, probability, mono or poly; separated by blanks)      solar/images/*.png

That is the layout of the package elpv-dataset, whose files are read in place. The grey pictures
become RGB by repeating the channel. Cells of one module follow each other, and which module a cell
is from is not given: blocks of 60 consecutive files stand for modules.

Taught in chapter 4.
"""

from pathlib import Path

import numpy as np

from clslab.data import splits, standins
from clslab.data.images import ImageDataset

VARIANTS: tuple[str | None, ...] = (None, "certain", "random-split")
CLASSES = ("intact", "defective")
BLOCK = 60
FRACTIONS = (0.6, 0.2, 0.2)


def read(folder: Path, *, variant: str | None = None, seed: int = 0) -> dict[str, ImageDataset]:
    """The splits, with `extra["probability"]` and `extra["cell"]` ("mono" or "poly").

    Defective means a probability above 1/2. The split is made over all cells before `certain`
    leaves out the doubtful ones, so a cell is in the same split in both variants.

    Raises:
        ValueError: if a line of labels.csv is not path, probability, type.
        FileNotFoundError: if labels.csv is missing.
    """
    table = folder / "labels.csv"
    if not table.exists():
        raise FileNotFoundError(f"there is no {table}; it says which cell is defective")
    rows = [line.split() for line in table.read_text(encoding="utf-8").splitlines() if line.strip()]
    for number, row in enumerate(rows, start=1):
        if len(row) != 3:
            raise ValueError(
                f"{table}, line {number}: {' '.join(row)!r} is not path, probability, type; put the line right"
            )
    probability = np.array([float(row[1]) for row in rows])
    cells = ImageDataset(
        [folder / row[0] for row in rows],
        (probability > 0.5).astype(np.int64),
        CLASSES,
        groups=np.arange(len(rows)) // BLOCK,
        ids=[Path(row[0]).stem for row in rows],
        extra={"probability": probability, "cell": np.array([row[2] for row in rows])},
    )
    return divide(cells, variant=variant, seed=seed)


def stand_in(*, variant: str | None = None, seed: int = 0) -> dict[str, ImageDataset]:
    """Drawings with the classes, sizes and groups of the real set."""
    return divide(standins.solar(seed=seed), variant=variant, seed=seed)


def divide(cells: ImageDataset, *, variant: str | None, seed: int) -> dict[str, ImageDataset]:
    """60/20/20, by group and as well stratified as groups allow, or at random for `random-split`."""
    if variant == "random-split":
        parts = splits.random_split(cells.targets, FRACTIONS, seed=seed)
    else:
        assert cells.groups is not None
        parts = splits.group_split(cells.groups, FRACTIONS, stratify=cells.targets, seed=seed)
    if variant == "certain":
        sure = np.isin(cells.extra["probability"], (0.0, 1.0))
        parts = [part[sure[part]] for part in parts]
    return {split: cells.subset(part) for split, part in zip(("train", "val", "test"), parts, strict=True)}
