import numpy as np
import pytest
import torch
from PIL import Image

from clslab.data import transforms


def ramp(height: int, width: int) -> np.ndarray:
    """Red grows with x, green with y."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x, y, np.zeros_like(x)], axis=2).astype(np.uint8)


RAW = {"mean": (0, 0, 0), "std": (1, 1, 1)}


@pytest.mark.parametrize("name", [name for name in transforms.PRESETS if name != "short-side"])
@pytest.mark.parametrize("shape", [(90, 120), (120, 90), (20, 33)])
def test_every_preset_gives_a_square_float_tensor(name: str, shape: tuple[int, int]) -> None:
    result = transforms.photo(name, size=48)(Image.fromarray(ramp(*shape)))
    assert type(result) is torch.Tensor
    assert (result.shape, result.dtype) == ((3, 48, 48), torch.float32)


@pytest.mark.parametrize("name", transforms.PRESETS)
def test_picture_array_and_tensor_give_the_same(name: str) -> None:
    array = ramp(60, 80)
    forms = (Image.fromarray(array), array, torch.from_numpy(array).permute(2, 0, 1))
    results = []
    for form in forms:
        torch.manual_seed(3)
        results.append(transforms.photo(name, size=32)(form))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize(("name", "random"), transforms.PRESETS.items())
def test_random_is_what_the_table_says(name: str, random: bool) -> None:
    torch.manual_seed(0)
    transform = transforms.photo(name, size=32)
    draws = [transform(ramp(60, 80)) for _ in range(8)]
    assert any(not torch.equal(draws[0], draw) for draw in draws[1:]) is random


def test_normalisation_in_closed_form() -> None:
    white = np.full((5, 5, 3), 255, dtype=np.uint8)
    result = transforms.photo("resize", size=5)(white)
    expected = [(1 - m) / s for m, s in zip(transforms.IMAGENET_MEAN, transforms.IMAGENET_STD, strict=True)]
    assert torch.allclose(result.mean((1, 2)), torch.tensor(expected))
    own = transforms.photo("resize", size=5, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))(white)
    assert torch.allclose(own, torch.ones(3, 5, 5))


def test_center_crop_takes_the_middle_as_it_is() -> None:
    result = transforms.photo("center-crop", size=20, **RAW)(ramp(40, 60)) * 255
    assert result[0, 0].round().tolist() == list(range(20, 40))
    assert result[1, :, 0].round().tolist() == list(range(10, 30))


def test_crop_emulates_a_larger_original() -> None:
    crop = transforms.photo("center-crop", size=40, crop=20, **RAW)(ramp(40, 60)) * 255
    assert crop.shape == (3, 40, 40)
    assert float(crop[0].min()) >= 19
    assert float(crop[0].max()) <= 40


def test_resize_keeps_the_whole_picture_and_resize_crop_keeps_the_middle() -> None:
    whole = transforms.photo("resize", size=40, **RAW)(ramp(80, 120)) * 255
    assert float(whole[0].min()) < 3
    assert float(whole[0].max()) > 116
    # Short side 80 to 46, of whose 46 × 69 the middle 40 × 40 stay: x from 25 to 95 of 120.
    middle = transforms.photo("resize-crop", size=40, **RAW)(ramp(80, 120)) * 255
    assert float(middle[0].min()) == pytest.approx(25.7, abs=2)
    assert float(middle[0].max()) == pytest.approx(94.3, abs=2)


def test_the_source_s_training_shows_things_larger_than_its_validation() -> None:
    picture = np.zeros((224, 224, 3), dtype=np.uint8)
    picture[92:132, 92:132] = 255
    torch.manual_seed(0)
    train = transforms.photo("source-train", size=224, **RAW)
    seen = np.mean([float(train(picture)[0].sum()) for _ in range(100)])
    validation = float(transforms.photo("source-val", size=224, **RAW)(picture)[0].sum())
    assert seen > 1.1 * validation


def test_a_random_crop_flips_half_of_the_time() -> None:
    torch.manual_seed(0)
    transform = transforms.photo("crop-flip", size=32)
    flipped = [bool(t[0, :, 0].mean() > t[0, :, -1].mean()) for t in (transform(ramp(60, 80)) for _ in range(200))]
    assert 60 < sum(flipped) < 140


def test_geometry_returns_bytes_of_the_target_shape() -> None:
    array = transforms.geometry("resize", size=16)(Image.fromarray(ramp(40, 30)))
    assert (array.shape, array.dtype, array.flags.c_contiguous) == ((16, 16, 3), np.uint8, True)


def test_the_right_size_is_left_alone() -> None:
    assert np.array_equal(transforms.geometry("resize", size=40)(ramp(40, 40)), ramp(40, 40))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("zoom", {"size": 8}, r"no preset 'zoom'.*resize, center-crop"),
        ("resize", {"size": 0}, "size 0"),
        ("center-crop", {"size": 8, "crop": 0}, "crop 0"),
        ("resize", {"size": 8, "crop": 4}, "crop=4 has a meaning for 'center-crop' only"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        transforms.photo(name, **options)


def test_a_random_preset_has_no_fixed_geometry() -> None:
    with pytest.raises(ValueError, match=r"'source-train' is random.*use one of resize"):
        transforms.geometry("source-train", size=8)


def test_a_border_is_what_a_sheet_leaves() -> None:
    plain, covered = (transforms.photo(name, size=64, **RAW)(ramp(80, 120)) for name in ("resize", "border"))
    assert torch.allclose(covered[:, 8:56, 8:56], torch.tensor(127 / 255))
    for sheet in (plain, covered):
        sheet[:, 8:56, 8:56] = 0
    assert torch.equal(plain, covered)
    assert float(plain.sum()) > 0
