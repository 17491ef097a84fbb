"""Reader of `catsdogs`: photographs of cats and dogs, already split; there is no public test.

    catsdogs/{train,val}/{cat,dog}/*.jpg

The variant `homework` keeps the folder `val` shut as its test split and cuts a validation split from the training
pictures, so that everything can be chosen without looking at what is reported.

Taught in chapters 5 and 6.
"""

from pathlib import Path

from clslab.data import splits, standins
from clslab.data.images import ImageDataset, from_folder

VARIANTS: tuple[str | None, ...] = (None, "homework")
CLASSES = ("cat", "dog")
HOMEWORK_FRACTIONS = (0.8, 0.2)  # 1,200 to train on and 300 to choose on


def read(folder: Path, *, variant: str | None = None, seed: int = 0) -> dict[str, ImageDataset]:
    """The training and the validation split; nothing is known that would group the pictures.

    Args:
        folder: of the set.
        variant: `homework` for three splits, the third one the folder `val`.
        seed: of the cut that `homework` makes.

    Raises:
        ValueError: see `from_folder`.
    """
    parts = {}
    for split in ("train", "val"):
        part = from_folder(folder / split, classes=CLASSES)
        part.ids = [f"{split}/{inside}" for inside in part.ids]
        parts[split] = part
    return _as(variant, parts, seed)


def stand_in(*, variant: str | None = None, seed: int = 0) -> dict[str, ImageDataset]:
    """Drawings with the classes and sizes of the real set."""
    return _as(variant, standins.catsdogs(seed=seed), seed)


def _as(variant: str | None, parts: dict[str, ImageDataset], seed: int) -> dict[str, ImageDataset]:
    """The two splits as they are, or the three of the homework. Ids stay: they name the file."""
    if variant is None:
        return parts
    known = parts["train"]
    train, val = splits.random_split(known.targets, HOMEWORK_FRACTIONS, seed=seed)
    return {"train": known.subset(train), "val": known.subset(val), "test": parts["val"]}
