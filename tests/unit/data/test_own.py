import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from clslab import cli, data
from clslab.data import own
from clslab.data.images import BadImageError, ImageDataset
from clslab.probes import out_of_fold

Paint = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, paint: Paint) -> Path:
    """Ten objects of either class, three pictures of each, in folders."""
    for name in ("ripe", "unripe"):
        for thing in range(10):
            for view in range(3):
                paint(tmp_path / "fruit" / name / str(thing) / f"{view}.jpg", colour=10 * thing + view)
    return tmp_path / "fruit"


def flat(folder: Path, paint: Paint, objects: int = 5) -> None:
    """The same plants dry and watered, three pictures of each, and a table that says so."""
    rows = ["file,object,room"]
    for name in ("dry", "watered"):
        for thing in range(objects):
            for view in range(3):
                paint(folder / name / f"{thing}-{view}.png", colour=10 * thing + view)
                rows.append(f"{name}/{thing}-{view}.png,plant {thing},{'kitchen' if thing < 3 else 'hall'}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def parts_of(splits: data.Splits) -> dict:
    assert splits.test is not None
    return {"train": splits.train, "val": splits.val, "test": splits.test._open()}


def shared(parts: dict, column: str = "groups") -> bool:
    held = [set(getattr(part, column)) for part in parts.values()]
    return sum(map(len, held)) != len(set.union(*held))


def test_object_folders_keep_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = data.load("own", root=folder)
    parts = parts_of(splits)
    assert (splits.source, splits.classes, splits.banner) == ("local", ("ripe", "unripe"), None)
    assert {name: len(part) for name, part in parts.items()} == {"train": 36, "val": 12, "test": 12}
    assert not shared(parts)
    assert set(splits.train.groups) > {splits.train.ids[0].rsplit("/", 1)[0]}
    for part in parts.values():
        assert np.bincount(part.targets).tolist() == [len(part) // 2] * 2
    assert capsys.readouterr().out.splitlines()[-1] == splits.describe()


def test_a_number_in_two_class_folders_is_two_objects(folder: Path) -> None:
    assert len({group for part in parts_of(data.load("own", root=folder)).values() for group in part.groups}) == 20


def test_the_random_split_lets_objects_through(folder: Path) -> None:
    parts = parts_of(data.load("own", root=folder, variant="random-split"))
    assert shared(parts)
    assert not shared(parts, "ids")


def test_a_table_may_name_one_object_in_two_classes(tmp_path: Path, paint: Paint) -> None:
    flat(tmp_path / "plants", paint)
    splits = data.load("own", root=tmp_path / "plants")
    parts = parts_of(splits)
    assert not shared(parts)
    assert {group for part in parts.values() for group in part.groups} == {f"plant {thing}" for thing in range(5)}
    for part in parts.values():  # both states of a plant are on one side
        assert np.bincount(part.targets).tolist() == [len(part) // 2] * 2
    rooms = dict(zip(splits.train.groups, splits.train.extra["room"], strict=True))
    assert all(room == ("kitchen" if int(plant[-1]) < 3 else "hall") for plant, room in rooms.items())


def test_the_data_root_may_hold_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.rename(folder.with_name("own"))
    monkeypatch.setenv("CLSLAB_DATA", str(folder.parent))
    assert data.load("own").classes == ("ripe", "unripe")
    assert data.load("own", root=folder.parent).source == "local"


def test_other_sets_in_the_data_root_are_no_classes(debris_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLSLAB_DATA", str(debris_root))
    assert data.load("own", profile="smoke").source == "stand-in"


def test_pictures_without_objects_are_said_to_be_objects(
    tmp_path: Path, paint: Paint, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        for number in range(10):
            paint(tmp_path / "flat" / name / f"{number}.jpg", colour=number)
    data.load("own", root=tmp_path / "flat")
    assert "own: 20 of 20 pictures lie in no folder of an object" in capsys.readouterr().out


def test_one_picture_of_each_object_is_no_lack_of_objects(
    tmp_path: Path, paint: Paint, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        for number in range(20):
            paint(tmp_path / "single" / name / str(number) / "1.jpg", colour=number)
    splits = data.load("own", root=tmp_path / "single")
    assert capsys.readouterr().out.splitlines() == [splits.describe()]


def test_a_picture_that_lies_too_deep_is_named(folder: Path, paint: Paint) -> None:
    paint(folder / "ripe" / "kitchen" / "3" / "9.jpg", colour=200)
    with pytest.raises(ValueError, match=r"ripe/kitchen/3/9\.jpg lies deeper than CLASS/OBJECT/picture"):
        data.load("own", root=folder)


def test_splits_of_very_few_objects_are_named(tmp_path: Path, paint: Paint, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        for thing in range(6):
            paint(tmp_path / "few" / name / str(thing) / "1.jpg", colour=thing)
    data.load("own", root=tmp_path / "few")
    said = capsys.readouterr().out
    assert "own: test has 1 object(s) of a" in said
    assert "own: train" not in said


def test_a_new_picture_is_a_new_fingerprint(folder: Path, paint: Paint) -> None:
    before = data.load("own", root=folder).fingerprint
    assert data.load("own", root=folder).fingerprint == before
    paint(folder / "ripe" / "3" / "9.jpg", colour=200)
    assert data.load("own", root=folder).fingerprint != before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("file,object", "picture,object"), "has the columns picture, object, room; file and"),
        (lambda text: text.replace("dry/0-0.png,plant 0", "dry/0-0.png,"), "names no object for: dry/0-0.png"),
        (lambda text: text.replace("dry/0-0.png", "dry/gone.png"), "pictures that are not there: dry/gone.png"),
        (lambda text: text.rsplit("\n", 2)[0] + "\n", r"has no row for: watered/4-2\.png"),
        (lambda text: text + "dry/0-0.png,plant 3,hall\n", r"line 32: dry/0-0\.png is named a second time"),
        (
            lambda text: text.replace(",", ";"),
            "has the columns file;object;room; file and object are needed, separated",
        ),
    ],
)
def test_a_wrong_table_is_an_error_that_names_it(
    tmp_path: Path, paint: Paint, change: Callable[[str], str], words: str
) -> None:
    flat(tmp_path / "plants", paint)
    table = tmp_path / "plants" / "metadata.csv"
    table.write_text(change(table.read_text()))
    with pytest.raises(ValueError, match=words):
        data.load("own", root=tmp_path / "plants")


def test_a_table_in_another_encoding_is_refused_with_advice(tmp_path: Path, paint: Paint) -> None:
    flat(tmp_path / "plants", paint)
    table = tmp_path / "plants" / "metadata.csv"
    table.write_bytes(table.read_bytes().replace(b"kitchen", "Küche".encode("latin-1")))
    with pytest.raises(ValueError, match=r"is not UTF-8 .*save it as CSV in UTF-8"):
        data.load("own", root=tmp_path / "plants")


def test_names_may_be_written_in_either_form_of_unicode(tmp_path: Path, paint: Paint) -> None:
    flat(tmp_path / "plants", paint)
    table = tmp_path / "plants" / "metadata.csv"
    for path in (tmp_path / "plants" / "dry").iterdir():
        path.rename(path.with_name(unicodedata.normalize("NFD", f"Tür{path.name}")))
    text = table.read_text(encoding="utf-8").replace("dry/", "dry/T\u00fcr")
    table.write_text(text + ",,\n", encoding="utf-8")  # with the empty row that spreadsheets leave
    assert len(data.load("own", root=tmp_path / "plants").train.groups) > 0


def test_a_table_from_a_spreadsheet_is_read(tmp_path: Path, paint: Paint) -> None:
    flat(tmp_path / "plants", paint)
    table = tmp_path / "plants" / "metadata.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"/", b"\\").replace(b"\n", b"\r\n"))
    assert data.load("own", root=tmp_path / "plants").train.groups[0].startswith("plant ")


def test_splits_are_no_classes(tmp_path: Path, paint: Paint) -> None:
    for split in ("train", "val"):
        for name in ("a", "b"):
            paint(tmp_path / "divided" / split / name / "1.jpg", colour=3)
    with pytest.raises(ValueError, match="holds train, val, which are splits and no classes"):
        data.load("own", root=tmp_path / "divided")


def test_too_few_objects(tmp_path: Path, paint: Paint) -> None:
    for name, things in (("a", 6), ("b", 2)):
        for thing in range(things):
            paint(tmp_path / "few" / name / str(thing) / "1.jpg", colour=thing)
    with pytest.raises(ValueError, match=r"class b has 2 object\(s\); three splits need at least 3"):
        data.load("own", root=tmp_path / "few")


def test_a_split_without_a_class_is_refused() -> None:
    grey = np.zeros((8, 8, 3), dtype=np.uint8)
    pictures = ImageDataset([grey] * 32, [0] * 30 + [1] * 2, ("many", "few"))
    with pytest.raises(ValueError, match=r"(val|test) has no picture of few: there are too few objects"):
        own.divide(pictures, variant="random-split", seed=0)


def test_the_stand_in_can_be_learnt_and_leaks_at_random() -> None:
    """Pictures of an object are alike: a nearest neighbour finds it on the other side of a random split."""

    def right(variant: str | None) -> float:
        parts = own.stand_in(variant=variant)
        cached = {name: part.cache_pixels(16) for name, part in parts.items()}
        pixels = {
            name: np.stack([np.asarray(part.image(i), dtype=float).ravel() for i in range(len(part))])
            for name, part in cached.items()
        }
        distance = ((pixels["val"][:, None] - pixels["train"][None]) ** 2).sum(axis=2)
        said = parts["train"].targets[distance.argmin(axis=1)]
        return float((said == parts["val"].targets).mean())

    assert right("random-split") > right(None) + 0.1


# ---------------------------------------------------------------- survey


def with_exif(path: Path, *, camera: str, day: str, place: bool) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = camera
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"{day} 10:00:00"
    if place:
        exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    Image.open(path).save(path, exif=exif)


def test_a_survey_counts_what_a_data_sheet_should_say(folder: Path) -> None:
    for path in folder.glob("ripe/*/*.jpg"):
        with_exif(path, camera="Box Brownie", day="2026:05:01", place=path.parent.name == "0")
    for path in folder.glob("unripe/*/*.jpg"):
        with_exif(path, camera="Phone 7", day="2026:05:0" + ("2" if path.parent.name < "5" else "4"), place=False)
    everything = list(own.read(folder).values())
    tables = [own.survey(part) for part in everything]
    assert sum(table.loc["ripe", "pictures"] for table in tables) == 30
    assert sum(table.loc["ripe", "objects"] for table in tables) == 10
    assert sum(table.loc["ripe", "with_place"] for table in tables) == 3
    assert sum(table.loc["unripe", "with_place"] for table in tables) == 0
    assert {table.loc["ripe", "cameras"] for table in tables} == {"Box Brownie"}
    assert {table.loc["ripe", "days"] for table in tables} == {"2026-05-01"}
    assert tables[0].loc["unripe", "days"] == "2026-05-02 to 2026-05-04"
    assert tables[0].loc["ripe", ["fewest", "most", "side"]].tolist() == [3, 3, 30]


def test_a_survey_of_pictures_without_exif_leaves_it_open(folder: Path) -> None:
    table = own.survey(own.read(folder)["val"])
    assert set(table["cameras"]) == set(table["days"]) == {""}
    assert table["with_place"].sum() == 0
    drawn = own.survey(own.stand_in()["val"])
    assert drawn["kilobytes"].isna().all()
    assert drawn["side"].tolist() == [96, 96]


def test_sizes_are_those_of_the_picture_as_it_is_shown(folder: Path) -> None:
    part = own.read(folder)["val"]
    path = part.sources[0]
    assert isinstance(path, Path)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.open(path).save(path, exif=exif)
    assert part.image(0).size == tuple(own.file_numbers(part)[0]) == (30, 40)


def test_a_survey_names_a_picture_that_is_too_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = own.read(folder)["val"]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BadImageError, match=r"\.jpg cannot be read as a picture"):
        own.survey(part)


def test_a_survey_names_a_broken_file(folder: Path) -> None:
    val = own.read(folder)["val"]
    val.sources[0].write_bytes(b"no picture")
    with pytest.raises(BadImageError, match=r"\.jpg cannot be read as a picture"):
        own.survey(val)


def test_file_numbers_give_a_class_away_that_was_photographed_otherwise(folder: Path, paint: Paint) -> None:
    for path in folder.glob("ripe/*/*.jpg"):
        paint(path, colour=10, size=(64, 48))
    parts = own.read(folder)
    numbers = {name: own.file_numbers(part) for name, part in parts.items()}
    assert numbers["train"].shape == (36, 2)
    train = parts["train"]
    said = out_of_fold(numbers["train"], train.targets, num_classes=2, groups=train.groups)
    assert (said.argmax(axis=1) == train.targets).all()


# ---------------------------------------------------------------- commands


def test_own_pictures_are_listed_and_not_fetched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "list", "--root", str(folder.parent)]) == 0
    assert f"one folder per object inside it, in {folder.parent / 'own'}" in capsys.readouterr().out
    folder.rename(folder.with_name("own"))
    assert cli.main(["data", "list", "--root", str(folder.parent)]) == 0
    assert capsys.readouterr().out.count(str(folder.with_name("own"))) == 1
    assert cli.main(["data", "get", "own", "--root", str(folder.parent / "elsewhere")]) == 2
    assert "own is nowhere to be fetched: lay it out in" in capsys.readouterr().err
