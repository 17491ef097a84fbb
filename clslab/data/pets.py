"""Reader of `pets`: the Oxford-IIIT Pet data set, in the layout that torchvision keeps it in.

    oxford-iiit-pet/images/*.jpg
    oxford-iiit-pet/annotations/{trainval,test}.txt      lines: name, breed, 1 cat or 2 dog, number

The two classes cat and dog by default; the variant `breeds` has 37, with the species above them.

Taught in chapters 5 and 6.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clslab.data import splits, standins
from clslab.data.images import ImageDataset

if TYPE_CHECKING:
    from clslab.taxonomy import Taxonomy

VARIANTS: tuple[str | None, ...] = (None, "breeds")
CLASSES = ("cat", "dog")
FRACTIONS = (0.8, 0.2)

# The breeds in the order of the authors' numbers. Cats are written with a capital letter there.
BREEDS = (
    "Abyssinian",
    "american_bulldog",
    "american_pit_bull_terrier",
    "basset_hound",
    "beagle",
    "Bengal",
    "Birman",
    "Bombay",
    "boxer",
    "British_Shorthair",
    "chihuahua",
    "Egyptian_Mau",
    "english_cocker_spaniel",
    "english_setter",
    "german_shorthaired",
    "great_pyrenees",
    "havanese",
    "japanese_chin",
    "keeshond",
    "leonberger",
    "Maine_Coon",
    "miniature_pinscher",
    "newfoundland",
    "Persian",
    "pomeranian",
    "pug",
    "Ragdoll",
    "Russian_Blue",
    "saint_bernard",
    "samoyed",
    "scottish_terrier",
    "shiba_inu",
    "Siamese",
    "Sphynx",
    "staffordshire_bull_terrier",
    "wheaten_terrier",
    "yorkshire_terrier",
)
CATS = frozenset(name for name in BREEDS if name[0].isupper())


def read(folder: Path, *, variant: str | None = None, seed: int = 0) -> dict[str, ImageDataset]:
    """The authors' test list as test, a fifth of their trainval list, stratified by breed, as val.

    Every item has its breed in `extra["breed"]`.

    Raises:
        ValueError: if a line of a list is not name, breed, species, number.
    """
    known = _read_list(folder, "trainval", variant)
    train, val = splits.random_split(known.extra["breed"], FRACTIONS, seed=seed)
    test = _read_list(folder, "test", variant)
    return {"train": known.subset(train), "val": known.subset(val), "test": test}


def stand_in(*, variant: str | None = None, seed: int = 0) -> dict[str, ImageDataset]:
    """Drawings of cats and dogs in the sizes of the real set.

    Raises:
        ValueError: for `breeds`, which nobody has drawn.
    """
    if variant is not None:
        raise ValueError(
            f"pets has no stand-in for the variant {variant!r}; fetch the photographs with "
            "`python -m clslab data get pets`, or use variant=None"
        )
    return standins.pets(seed=seed)


def taxonomy(variant: str | None) -> Taxonomy | None:
    """Species and breed for `breeds`, nothing for two classes."""
    if variant is None:
        return None
    from clslab.taxonomy import Taxonomy

    return Taxonomy.from_paths([("cat" if name in CATS else "dog", name) for name in BREEDS])


def _read_list(folder: Path, name: str, variant: str | None) -> ImageDataset:
    table = folder / "annotations" / f"{name}.txt"
    rows = [line.split() for line in table.read_text(encoding="utf-8").splitlines() if line.strip()]
    for number, row in enumerate(rows, start=1):
        if len(row) != 4 or row[2] not in ("1", "2") or row[0].rsplit("_", 1)[0] not in BREEDS:
            raise ValueError(
                f"{table}, line {number}: {' '.join(row)!r} is not name, breed, species (1 cat, "
                "2 dog), number; fetch the annotations again"
            )
    breeds = [row[0].rsplit("_", 1)[0] for row in rows]
    species = [int(row[2]) - 1 for row in rows]
    return ImageDataset(
        [folder / "images" / f"{row[0]}.jpg" for row in rows],
        species if variant is None else [BREEDS.index(breed) for breed in breeds],
        CLASSES if variant is None else BREEDS,
        ids=[row[0] for row in rows],
        extra={"breed": np.array(breeds)},
    )
