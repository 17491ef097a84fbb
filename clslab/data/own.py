"""Reader of `own`: a folder of one's own pictures, in two classes or more.

    own/CLASS/OBJECT/*.jpg                                          the object is the folder
    own/CLASS/…/*.jpg      own/metadata.csv (file, object, …)       the object stands in the table

The split is made by object, since ten pictures of one thing are not ten samples (chapter 4). An object folder belongs
to its class alone, so `ripe/1` and `unripe/1` are two objects. The table may name one object in several classes (a
plant before and after watering), and then all its pictures stay on one side. Without either, every picture is one.

Taught in chapter 16.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import ExifTags, Image

from clslab.data import splits, standins
from clslab.data.images import BadImageError, ImageDataset, from_folder

VARIANTS: tuple[str | None, ...] = (None, "random-split")
CLASSES = ("other", "plastic")
"""Of the drawn stand-in; a folder brings its own."""

FRACTIONS = (0.6, 0.2, 0.2)
SPLITS = ("train", "val", "test")
TABLE = "metadata.csv"
SIDEWAYS = (5, 6, 7, 8)  # values of EXIF's orientation for a picture that is shown turned by a quarter
FEW_OBJECTS = 3  # of a class in a split: fewer are named
STAND_IN_OBJECTS = 120
STAND_IN_VIEWS = 4


def own_folder(folder: Path, *, given: bool) -> Path | None:
    """The root itself, if it was given by hand and holds no folder `own`: then it is the folder of pictures."""
    return folder if given and not (folder / "own").is_dir() else None


def names_objects(folder: Path) -> bool:
    """Whether a folder says which pictures show one object: by a table, or by folders inside its class folders."""
    if (folder / TABLE).is_file():
        return True
    visible = [path for path in folder.glob("*/*") if path.is_dir() and not path.name.startswith(".")]
    return any(not path.parent.name.startswith(".") for path in visible)


def read(folder: Path, *, variant: str | None = None, seed: int = 0) -> dict[str, ImageDataset]:
    """The three splits, 60/20/20 by object and stratified by class.

    Args:
        folder: holds one folder per class.
        variant: `random-split` for the same pictures split at random.
        seed: of the split.

    Returns:
        The splits; their groups are the objects, and further columns of metadata.csv are in `extra`.

    Raises:
        ValueError: if the table cannot be read, names a file twice or one that is not there, or no object for a
            picture; if without a table a picture lies deeper than CLASS/OBJECT; if the objects of a class are too few
            for three splits; if the folders are named after splits; or see `from_folder`.
        FileNotFoundError: if there is no such folder.
    """
    pictures = from_folder(folder)
    if set(pictures.classes) <= set(SPLITS):
        raise ValueError(
            f"{folder} holds {', '.join(pictures.classes)}, which are splits and no classes; put one folder per class "
            "there, which are divided by object, or train on ready-made splits with `clslab transfer`"
        )
    if (folder / TABLE).is_file():
        objects, columns = _from_table(folder / TABLE, pictures.ids)
    else:
        objects, columns = [_object(item) for item in pictures.ids], {}
        alone = sum(thing == item for thing, item in zip(objects, pictures.ids, strict=True))
        if alone:
            print(
                f"own: {alone:,} of {len(objects):,} pictures lie in no folder of an object, and there is no {TABLE}: "
                "each counts as an object of its own. If some show the same thing, the results will look better than "
                "they are."
            )
    return divide(
        ImageDataset(
            pictures.sources, pictures.targets, pictures.classes, groups=objects, ids=pictures.ids, extra=columns
        ),
        variant=variant,
        seed=seed,
    )


def stand_in(*, variant: str | None = None, seed: int = 0) -> dict[str, ImageDataset]:
    """Drawn objects, each from several sides."""
    drawn = standins.multiview(STAND_IN_OBJECTS, STAND_IN_VIEWS, seed=seed, image_size=96, hard=0.2)
    return divide(drawn, variant=variant, seed=seed)


def divide(pictures: ImageDataset, *, variant: str | None, seed: int) -> dict[str, ImageDataset]:
    """60/20/20 by object, or at random for `random-split`.

    Raises:
        ValueError: if a split would have no picture of some class.
    """
    if variant == "random-split":
        parts = splits.random_split(pictures.targets, FRACTIONS, seed=seed)
    else:
        assert pictures.groups is not None
        _check_objects(pictures)
        parts = splits.group_split(pictures.groups, FRACTIONS, stratify=pictures.targets, seed=seed)
    divided = {split: pictures.subset(part) for split, part in zip(SPLITS, parts, strict=True)}
    for split, part in divided.items():
        lacking = set(range(len(pictures.classes))) - set(part.targets.tolist())
        if lacking:
            names = ", ".join(pictures.classes[label] for label in sorted(lacking))
            raise ValueError(
                f"{split} has no picture of {names}: there are too few objects, or they differ too much in their "
                "numbers of pictures; add objects, and take about equally many pictures of each"
            )
    if variant is None:
        _warn_of_few(divided)
    return divided


def _warn_of_few(divided: dict[str, ImageDataset]) -> None:
    """Name splits in which a class is one or two objects."""
    for split, part in divided.items():
        assert part.groups is not None
        for label, name in enumerate(part.classes):
            count = len(np.unique(part.groups[part.targets == label]))
            if count < FEW_OBJECTS:
                print(f"own: {split} has {count} object(s) of {name}; what is said about {name} there is about them")


def survey(pictures: ImageDataset) -> pd.DataFrame:
    """What a data sheet should say about pictures, counted: one row per class.

    Cameras, days and places come from the EXIF block that a camera writes into a file; no pixel is decoded.

    Args:
        pictures: a split of a set whose pictures are files; of pictures in memory and drawings only the counts and
            sizes are known.

    Returns:
        Index `class`; columns `objects` (nan where groups are unknown), `pictures`, `fewest` and `most` pictures of an
        object, `side` (median of the shorter side in pixels), `kilobytes` (median, nan for pictures in memory),
        `cameras`, `days` (text, "" where unknown) and `with_place` (files with a GPS block, which may hold the place).

    Raises:
        BadImageError: if a file is no picture.

    Taught in chapter 16.

    >>> survey(stand_in()["val"])[["objects", "pictures"]].to_dict("list")
    {'objects': [12, 12], 'pictures': [48, 48]}
    """
    facts = pd.DataFrame([_facts(pictures, index) for index in range(len(pictures))])
    rows = {}
    for label, name in enumerate(pictures.classes):
        of_class = np.flatnonzero(pictures.targets == label)
        held = facts.iloc[of_class]
        each: list[int] = []
        if pictures.groups is not None:
            each = np.unique(pictures.groups[of_class], return_counts=True)[1].tolist()
        days = sorted(day for day in held["day"] if day)
        rows[name] = {
            "objects": len(each) if len(each) else np.nan,
            "pictures": len(of_class),
            "fewest": min(each, default=np.nan),
            "most": max(each, default=np.nan),
            "side": float(held["side"].median()),
            "kilobytes": float(held["kilobytes"].median()),
            "cameras": ", ".join(sorted({camera for camera in held["camera"] if camera})),
            "days": "" if not days else days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}",
            "with_place": int(held["place"].sum()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")


def file_numbers(pictures: ImageDataset) -> NDArray[np.float64]:
    """What a file says of a picture before anybody looks at it: width and height in pixels, as shown, [N, 2].

    A classifier that reads these alone should know nothing. If it does, the classes were not photographed alike. (The
    size of the file is left out: an object with more texture rightly makes a larger one.)

    Args:
        pictures: N pictures.

    Raises:
        BadImageError: if a file is no picture.

    Taught in chapter 16.
    """
    rows = [_facts(pictures, index) for index in range(len(pictures))]
    return np.array([[row["width"], row["height"]] for row in rows], dtype=np.float64)


def _object(item: str) -> str:
    """CLASS/OBJECT of a picture in a folder of its own, else the picture itself.

    >>> _object("cup/red/1.jpg"), _object("cup/1.jpg")
    ('cup/red', 'cup/1.jpg')
    """
    inside = item.split("/")
    if len(inside) > 3:
        raise ValueError(f"{item} lies deeper than CLASS/OBJECT/picture; name the objects in {TABLE}, or lift it up")
    return "/".join(inside[:2])


def _from_table(table: Path, ids: Sequence[str]) -> tuple[list[str], dict[str, NDArray[np.str_]]]:
    """The object of each picture and the further columns, in the order of the pictures."""
    names, rows = _rows(table)
    # macOS writes ü as two characters, and a spreadsheet as one.
    keys = [unicodedata.normalize("NFC", item) for item in ids]
    for what, wrong in (
        ("names pictures that are not there", sorted(set(rows) - set(keys))),
        ("has no row for", sorted(set(keys) - set(rows))),
        ("names no object for", [key for key in keys if key in rows and not rows[key]["object"]]),
    ):
        if wrong:
            raise ValueError(f"{table} {what}: {_few(wrong)}; files are named from {table.parent}")
    further = [name for name in names if name not in ("file", "object")]
    columns = {name: np.array([rows[key][name] for key in keys]) for name in further}
    return [rows[key]["object"] for key in keys], columns


def _rows(table: Path) -> tuple[list[str], dict[str, dict[str, str]]]:
    """The names of the columns, and the rows by their file; empty rows are left out."""
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{table} is not UTF-8 ({error}); save it as CSV in UTF-8") from error
    reader = csv.reader(lines)
    names = [name.strip() for name in next(reader, [])]
    if not {"file", "object"} <= set(names):
        raise ValueError(
            f"{table} has the columns {', '.join(names) or 'none'}; file and object are needed, separated by commas"
        )
    rows: dict[str, dict[str, str]] = {}
    for cells in reader:
        row = dict.fromkeys(names, "") | dict(zip(names, (cell.strip() for cell in cells), strict=False))
        if not row["file"] and not row["object"]:
            continue
        file = unicodedata.normalize("NFC", row["file"].replace("\\", "/"))
        if file in rows:
            raise ValueError(f"{table}, line {reader.line_num}: {file} is named a second time; leave one row of it")
        rows[file] = row
    return names, rows


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _check_objects(pictures: ImageDataset) -> None:
    assert pictures.groups is not None
    for label, name in enumerate(pictures.classes):
        count = len(np.unique(pictures.groups[pictures.targets == label]))
        if count < len(SPLITS):
            raise ValueError(
                f"class {name} has {count} object(s); three splits need at least {len(SPLITS)}, and an interval that "
                "says something needs 30. Photograph more objects, not more sides of the same ones"
            )


def _facts(pictures: ImageDataset, index: int) -> dict[str, object]:
    """Size, and what the EXIF block of a file says; unknown facts are "" or nan."""
    source = pictures.sources[index]
    if not isinstance(source, Path):
        width, height = pictures.image(index).size
        unknown = {"kilobytes": np.nan, "camera": "", "day": "", "place": False}
        return {"width": width, "height": height, "side": min(width, height), **unknown}
    try:
        with Image.open(source) as opened:
            width, height = opened.size
            exif = opened.getexif()
            if exif.get(ExifTags.Base.Orientation, 1) in SIDEWAYS:
                width, height = height, width
    # Pillow reports a broken file, and one that is too large to be true, in several ways.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadImageError(f"{source} cannot be read as a picture ({error}); replace or remove it") from error
    taken = str(exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal, ""))
    return {
        "width": width,
        "height": height,
        "side": min(width, height),
        "kilobytes": source.stat().st_size / 1000,
        "camera": str(exif.get(ExifTags.Base.Model, "")).strip("\0 "),
        "day": taken[:10].replace(":", "-"),
        "place": bool(exif.get_ifd(ExifTags.IFD.GPSInfo)),
    }
