import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from clslab.data import standins, transforms
from clslab.data.images import BadImageError, ImageDataset, from_folder

Paint = Callable[..., Path]


def grey(value: int, shape: tuple[int, ...] = (6, 8, 3)) -> np.ndarray:
    return np.full(shape, value, dtype=np.uint8)


def small() -> ImageDataset:
    return ImageDataset(
        [grey(10), grey(20), grey(30)],
        [0, 1, 1],
        ["a", "b"],
        groups=["x", "x", "y"],
        ids=["p", "q", "r"],
        extra={"weight": np.array([1.0, 2.0, 3.0])},
    )


def test_an_item_is_the_picture_and_a_plain_int() -> None:
    picture, target = small()[1]
    assert isinstance(picture, Image.Image)
    assert (picture.mode, picture.size, picture.getpixel((0, 0))) == ("RGB", (8, 6), (20, 20, 20))
    assert (target, type(target)) == (1, int)
    assert [target for _, target in small()] == [0, 1, 1]


@pytest.mark.parametrize("source", [grey(7), grey(7, (6, 8)), lambda: grey(7)])
def test_every_kind_of_source_becomes_rgb(source: np.ndarray) -> None:
    picture = ImageDataset([source], [0], ["a"]).image(0)
    assert np.array_equal(np.asarray(picture), grey(7))


def test_the_transform_gets_the_picture() -> None:
    dataset = small().with_transform(lambda picture: picture.size)
    assert dataset[0] == ((8, 6), 0)
    assert small()[0][0].size == (8, 6)


def test_targets_are_int64_and_ids_count_by_default() -> None:
    dataset = ImageDataset([grey(0), grey(1)], np.array([0, 1], dtype=np.uint8), ["a", "b"])
    assert dataset.targets.dtype == np.int64
    assert dataset.ids == ["0", "1"]
    assert dataset.groups is None
    assert dataset.classes == ("a", "b")


def test_a_subset_keeps_every_column_in_the_order_asked_for() -> None:
    part = small().subset([2, 0])
    assert part.targets.tolist() == [1, 0]
    assert part.groups.tolist() == ["y", "x"]
    assert part.ids == ["r", "p"]
    assert part.extra["weight"].tolist() == [3.0, 1.0]
    assert part.image(0).getpixel((0, 0)) == (30, 30, 30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [], ["a"]), "no pictures"),
        (([grey(0)], [0, 1], ["a", "b"]), "1 sources but 2 targets"),
        (([grey(0)], [2], ["a", "b"]), r"target 2 is no class; 2 classes.*a, b"),
        (([grey(0)], [-1], ["a", "b"]), "target -1 is no class"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageDataset(*arguments)


@pytest.mark.parametrize("column", ["groups", "ids"])
def test_a_column_of_the_wrong_length_is_named(column: str) -> None:
    with pytest.raises(ValueError, match=f"1 sources but 2 {column}"):
        ImageDataset([grey(0)], [0], ["a"], **{column: ["p", "q"]})
    with pytest.raises(ValueError, match="1 sources but 2 material"):
        ImageDataset([grey(0)], [0], ["a"], extra={"material": np.array(["p", "q"])})


def test_it_goes_through_a_loader_with_workers() -> None:
    part = standins.multiview(4, 2, seed=0, image_size=16)
    dataset = part.with_transform(transforms.photo("resize", size=16))
    alone = torch.cat([inputs for inputs, _ in DataLoader(dataset, batch_size=3)])
    workers = torch.cat([inputs for inputs, _ in DataLoader(dataset, batch_size=3, num_workers=2)])
    assert alone.shape == (8, 3, 16, 16)
    assert torch.equal(alone, workers)


# ---------------------------------------------------------------- files


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"not a picture")
    with pytest.raises(BadImageError, match=r"broken\.jpg cannot be read.*replace it"):
        ImageDataset([path], [0], ["a"]).image(0)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_truncated_picture_is_named(tmp_path: Path, paint: Paint, suffix: str) -> None:
    path = paint(tmp_path / f"half{suffix}", size=(200, 200))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadImageError, match="half"):
        ImageDataset([path], [0], ["a"])[0]


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(BadImageError, match=r"empty\.png"):
        ImageDataset([tmp_path / "empty.png"], [0], ["a"]).image(0)


def test_more_than_eight_bits_are_refused_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 4000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(BadImageError, match=r"deep\.png.*8 bits"):
        ImageDataset([tmp_path / "deep.png"], [0], ["a"]).image(0)


def test_a_missing_file_is_a_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        ImageDataset([tmp_path / "gone.png"], [0], ["a"]).image(0)


def test_a_bad_image_error_is_a_value_error() -> None:
    assert issubclass(BadImageError, ValueError)


def test_the_camera_s_orientation_is_honoured(tmp_path: Path) -> None:
    picture = Image.fromarray(grey(50, (10, 20, 3)))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert ImageDataset([tmp_path / "turned.jpg"], [0], ["a"]).image(0).size == (10, 20)


def test_other_colour_modes_become_rgb(tmp_path: Path) -> None:
    for mode in ("L", "P", "RGBA", "CMYK", "1"):
        path = tmp_path / f"{mode}.{'tif' if mode == 'CMYK' else 'png'}"
        Image.new(mode, (4, 4)).save(path)
        assert ImageDataset([path], [0], ["a"]).image(0).mode == "RGB"


# ---------------------------------------------------------------- cache


@pytest.mark.parametrize("name", ["resize", "center-crop", "resize-crop", "source-val"])
def test_a_cache_changes_no_item(name: str) -> None:
    plain = standins.catsdogs()["val"].subset([0, 250]).with_transform(transforms.photo(name, size=64))
    cached = plain.cache_pixels(64, geometry=name)
    assert all(source.shape == (64, 64, 3) and source.dtype == np.uint8 for source in cached.sources)
    assert cached.ids == plain.ids
    again = cached.with_transform(transforms.photo("resize", size=64))
    for i in range(2):
        assert torch.equal(again[i][0], plain[i][0])
        assert again[i][1] == plain[i][1]


def test_a_cache_decodes_once() -> None:
    calls: list[int] = []

    def draw() -> np.ndarray:
        calls.append(1)
        return grey(9)

    cached = ImageDataset([draw], [0], ["a"]).cache_pixels(4)
    cached.image(0)
    cached.image(0)
    assert len(calls) == 1


def test_the_short_side_cache_keeps_the_aspect() -> None:
    cached = ImageDataset([grey(1, (20, 40, 3))], [0], ["a"]).cache_pixels(10, geometry="short-side")
    assert cached.image(0).size == (20, 10)


@pytest.mark.parametrize(("geometry", "message"), [("crop-flip", "random"), ("squash", "no preset")])
def test_only_fixed_geometries_are_cached(geometry: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().cache_pixels(4, geometry=geometry)


# ---------------------------------------------------------------- folders


def test_a_folder_of_class_folders(tmp_path: Path, paint: Paint) -> None:
    for name in ("dog/b.png", "cat/a.JPG", "cat/deeper/c.png"):
        paint(tmp_path / name)
    dataset = from_folder(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert dataset.ids == ["cat/a.JPG", "cat/deeper/c.png", "dog/b.png"]
    assert dataset.targets.tolist() == [0, 0, 1]
    assert dataset.image(2).size == (40, 30)


def test_the_classes_of_another_split_give_the_numbers(tmp_path: Path, paint: Paint) -> None:
    for name in ("a", "b"):
        paint(tmp_path / name / "x.png")
    assert from_folder(tmp_path, classes=["b", "a"]).targets.tolist() == [0, 1]
    assert from_folder(tmp_path, classes=["b", "a"]).ids == ["b/x.png", "a/x.png"]
    with pytest.raises(ValueError, match="class folders a, b, but a, c were expected"):
        from_folder(tmp_path, classes=["a", "c"])


def test_a_missing_folder_and_a_file(tmp_path: Path, paint: Paint) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere; check the path"):
        from_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is a file"):
        from_folder(paint(tmp_path / "a.png"))


def test_no_class_folder_and_a_single_one(tmp_path: Path, paint: Paint) -> None:
    paint(tmp_path / "loose.png")
    with pytest.raises(ValueError, match="no class folders"):
        from_folder(tmp_path)
    paint(tmp_path / "only" / "a.png")
    with pytest.raises(ValueError, match=r"single class folder \(only\)"):
        from_folder(tmp_path)


def test_an_empty_class_folder_is_named(tmp_path: Path, paint: Paint) -> None:
    paint(tmp_path / "full" / "a.png")
    (tmp_path / "void").mkdir()
    (tmp_path / "void" / "notes.txt").touch()
    with pytest.raises(ValueError, match="void holds no pictures"):
        from_folder(tmp_path)


def test_a_stranger_is_an_error_that_names_it(tmp_path: Path, paint: Paint) -> None:
    paint(tmp_path / "a" / "x.png")
    paint(tmp_path / "b" / "x.png")
    (tmp_path / "b" / "film.mp4").touch()
    with pytest.raises(ValueError, match=r"film\.mp4 is no picture this reader knows.*convert"):
        from_folder(tmp_path)


def test_bystanders_are_left_out_and_said_in_one_line(
    tmp_path: Path, paint: Paint, capsys: pytest.CaptureFixture[str]
) -> None:
    paint(tmp_path / "a" / "x.png")
    paint(tmp_path / "b" / "x.png")
    paint(tmp_path / "b" / ".ipynb_checkpoints" / "x.png")
    paint(tmp_path / ".git" / "x.png")
    for name in ("Thumbs.db", "notes.txt", ".DS_Store", "._x.png"):
        (tmp_path / "b" / name).touch()
    assert from_folder(tmp_path).ids == ["a/x.png", "b/x.png"]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert "4 file(s)" in lines[0]
    assert "b/Thumbs.db" in lines[0]


def test_a_dataset_survives_pickling() -> None:
    dataset = standins.solar().subset([0, 1]).with_transform(transforms.photo("resize", size=32))
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[1][0], dataset[1][0])


# ---------------------------------------------------------------- tensors


def test_tensors_hold_every_picture_channel_by_channel():
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (5, 7, 3), dtype=np.uint8) for _ in range(3)]
    images, targets = ImageDataset(arrays, [2, 0, 1], "abc").tensors()
    assert (images.dtype, targets.dtype) == (torch.uint8, torch.int64)
    assert images.is_contiguous()
    assert targets.tolist() == [2, 0, 1]
    assert np.array_equal(images.numpy(), np.stack(arrays).transpose(0, 3, 1, 2))


def test_tensors_of_files_drawings_and_grey_arrays(tmp_path):
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(array).save(tmp_path / "a.png")
    images, _ = ImageDataset([tmp_path / "a.png", lambda: array, array], [0, 0, 0], "a").tensors()
    assert images.shape == (3, 3, 3, 4)
    assert (images == torch.from_numpy(array)).all()


def test_tensors_leave_the_transform_out_and_the_dataset_alone():
    array = np.zeros((2, 2, 3), dtype=np.uint8)
    dataset = ImageDataset([array], [0], "a", transform=lambda picture: picture.resize((9, 9)))
    images, targets = dataset.tensors()
    assert images.shape[-1] == 2
    images += 1
    targets += 1
    assert array.max() == 0
    assert dataset.targets.tolist() == [0]


def test_tensors_want_one_size():
    arrays = [np.zeros((size, 4, 3), dtype=np.uint8) for size in (4, 5)]
    with pytest.raises(ValueError, match=r"several sizes, such as 4 × 4 and 4 × 5.*cache_pixels"):
        ImageDataset(arrays, [0, 0], "a").tensors()
