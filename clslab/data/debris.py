"""Reader of `debris`: TrashNet's photographs as plastic and other, already split.

    debris/{train,val,test}/{other,plastic}/MATERIALnumber.jpg      debris/labels.csv (optional)

A group is a block of 12 consecutive file numbers of one material, which is what the split was made
of. Nine of the 202 blocks have a member or two in another split: pictures that were moved to stay
with a near-duplicate there. Such a stray is a group of its own, so groups never cross a split.

Taught in chapter 1.
"""

import csv
import re
from pathlib import Path

import numpy as np

from clslab.data import standins
from clslab.data.images import ImageDataset, from_folder

VARIANTS: tuple[str | None, ...] = (None,)
CLASSES = ("other", "plastic")
BLOCK = 12

_NAME = re.compile(r"([a-z]+)(\d+)\.[a-z]+")


def read(folder: Path, *, variant: str | None = None, seed: int = 0) -> dict[str, ImageDataset]:  # noqa: ARG001
    """The three splits, with `extra["material"]` and groups.

    Raises:
        ValueError: if a file is not named MATERIALnumber, or see `from_folder`.
    """
    materials = _materials(folder / "labels.csv")
    return {split: _split(folder, split, materials) for split in ("train", "val", "test")}


def stand_in(*, variant: str | None = None, seed: int = 0) -> dict[str, ImageDataset]:  # noqa: ARG001
    """Drawings with the classes, sizes and groups of the real set."""
    return standins.debris(seed=seed)


def _split(folder: Path, split: str, materials: dict[str, str]) -> ImageDataset:
    plain = from_folder(folder / split, classes=CLASSES)
    ids = [f"{split}/{inside}" for inside in plain.ids]
    named = [_parse(item) for item in ids]
    return ImageDataset(
        plain.sources,
        plain.targets,
        CLASSES,
        groups=[f"{split}/{material}-{number // BLOCK:03d}" for material, number in named],
        ids=ids,
        extra={"material": np.array([materials.get(item, name) for item, (name, _) in zip(ids, named, strict=True)])},
    )


def _parse(item: str) -> tuple[str, int]:
    match = _NAME.fullmatch(item.rsplit("/", 1)[-1].lower())
    if match is None:
        raise ValueError(
            f"debris/{item} is not named after material and number, such as plastic12.jpg; "
            "rename it, or read your own pictures with clslab.data.images.from_folder"
        )
    return match[1], int(match[2])


def _materials(table: Path) -> dict[str, str]:
    """Material of each file as labels.csv states it; empty without that file."""
    if not table.exists():
        return {}
    with table.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    if rows and not {"file", "material"} <= set(rows[0]):
        raise ValueError(
            f"{table} has the columns {', '.join(rows[0])}; file and material are needed. Put it "
            "right or remove it: the file names hold the material too"
        )
    return {row["file"]: row["material"] for row in rows}
