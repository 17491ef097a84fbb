"""Reader of `catsdogs`: photographs of cats and dogs, already split; there is no public test.

catsdogs/{train,val}/{cat,dog}/*.jpg
"""

from pathlib import Path

from clslab.data import standins
from clslab.data.images import ImageDataset, from_folder

VARIANTS: tuple[str | None, ...] = (None,)
CLASSES = ("cat", "dog")


def read(folder: Path, *, variant: str | None = None, seed: int = 0) -> dict[str, ImageDataset]:  # noqa: ARG001
    """The training and the validation split. Nothing is known that would group the pictures.

    Raises:
        ValueError: see `from_folder`.
    """
    parts = {}
    for split in ("train", "val"):
        part = from_folder(folder / split, classes=CLASSES)
        part.ids = [f"{split}/{inside}" for inside in part.ids]
        parts[split] = part
    return parts


def stand_in(*, variant: str | None = None, seed: int = 0) -> dict[str, ImageDataset]:  # noqa: ARG001
    """Drawings with the classes and sizes of the real set."""
    return standins.catsdogs(seed=seed)
