"""Crops, flips, rotations, colours and boxes: against torchvision, one picture at a time."""

import itertools
import math
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as kernels

from clslab.data import augment
from clslab.data.augment.geometry import affine, moved, rotated, sheared_x, sheared_y

FILL = (130.0, 124.0, 113.0)
MANY = 20_000  # draws of a distributional test; all of them are seeded


def pictures(size: int, height: int = 32, width: int = 32, channels: int = 3) -> Tensor:
    """Noise on top of a ramp, so that no two pixels are alike and colours are not all mid-grey."""
    numbers = torch.Generator().manual_seed(1)
    noise = torch.randint(-60, 60, (size, channels, height, width), generator=numbers)
    level = torch.randint(0, 256, (size, channels, 1, 1), generator=numbers)
    return (torch.arange(width) * 2 + level + noise).clamp(0, 255).to(torch.uint8)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def uniform_p(values: Tensor, categories: int) -> float:
    """p-value of the hypothesis that all categories are equally likely."""
    counts = torch.bincount(values.flatten(), minlength=categories)
    assert len(counts) == categories
    return float(stats.chisquare(counts.numpy()).pvalue)


class TestRandomCrop:
    def test_equals_torchvision_at_every_corner(self) -> None:
        corners = torch.tensor(list(itertools.product(range(5), range(5))))
        images = pictures(25, 10, 14)
        ours = augment.RandomCrop(2, fill=FILL).apply(images, corners)
        for image, (top, left), cut in zip(images, corners.tolist(), ours, strict=True):
            padded = kernels.pad(image, [2, 2, 2, 2], fill=[round(value) for value in FILL])
            assert torch.equal(cut, kernels.crop(padded, top, left, 10, 14))

    def test_corners_are_uniform_and_their_sides_independent(self) -> None:
        corners = augment.RandomCrop(4).draw((MANY, 3, 32, 32), seeded())
        assert uniform_p(corners[:, 0] * 9 + corners[:, 1], 81) > 0.001


class TestHorizontalFlip:
    def test_equals_torchvision(self) -> None:
        images = pictures(6)
        flipped = torch.tensor([True, False, True, True, False, False])
        ours = augment.HorizontalFlip().apply(images, flipped)
        for image, flip, result in zip(images, flipped.tolist(), ours, strict=True):
            assert torch.equal(result, kernels.horizontal_flip(image) if flip else image)

    @pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
    def test_how_often(self, p: float) -> None:
        flipped = augment.HorizontalFlip(p).draw((MANY, 3, 32, 32), seeded())
        assert stats.binomtest(int(flipped.sum()), MANY, p).pvalue > 0.001


class TestRotation:
    @pytest.mark.parametrize("size", [(32, 32), (33, 20)])
    @pytest.mark.parametrize("fill", [0, FILL])
    def test_equals_torchvision_for_many_angles(self, size: tuple[int, int], fill: Any) -> None:
        angles = torch.linspace(-180, 180, 97)
        images = pictures(97, *size)
        ours = augment.Rotation(180, fill=fill).apply(images, angles)
        kernel_fill = list(fill) if fill else None
        for image, angle, result in zip(images, angles.tolist(), ours, strict=True):
            assert torch.equal(result, kernels.rotate(image, angle, fill=kernel_fill)), angle

    def test_angles_are_uniform(self) -> None:
        angles = augment.Rotation(15).draw((MANY, 3, 32, 32), seeded())
        assert stats.kstest(angles.numpy(), stats.uniform(-15, 30).cdf).pvalue > 0.001


@pytest.mark.parametrize("bilinear", [False, True])
@pytest.mark.parametrize("fill", [None, FILL])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_affine_of_a_batch_equals_torchvision_of_each_picture(bilinear: bool, fill: Any, kind: torch.dtype) -> None:
    images = pictures(6, 16, 20).to(kind)
    matrices = [rotated(20), moved(3, -2), rotated(20), sheared_x(0.3, 16), sheared_y(-0.2, 20), moved(0, 0)]
    arguments: list[dict[str, Any]] = [
        {"angle": -20.0},
        {"translate": [3, -2]},
        {"angle": -20.0},
        {"shear": [math.degrees(math.atan(0.3)), 0.0], "center": [0, 0]},
        {"shear": [0.0, math.degrees(math.atan(-0.2))], "center": [0, 0]},
        {},
    ]
    ours = affine(images, matrices, bilinear=bilinear, fill=fill)
    interpolation = v2.InterpolationMode.BILINEAR if bilinear else v2.InterpolationMode.NEAREST
    still: dict[str, Any] = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    for image, changed, result in zip(images, arguments, ours, strict=True):
        settings = {**still, **changed, "interpolation": interpolation, "fill": list(fill) if fill else None}
        assert torch.equal(result, kernels.affine(image, **settings)), changed


class TestColorJitter:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_equals_torchvision_for_the_same_order_and_factors(self, channels: int) -> None:
        images = pictures(60, channels=channels)
        transform = augment.ColorJitter(0.8, 0.7, 0.9, 0.3)
        drawn = transform.draw(images.shape, seeded())
        names = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_factor")
        theirs = []
        for image, order, factors in zip(images, drawn.order, drawn.factors.tolist(), strict=True):
            parameters = {"fn_idx": order, **dict(zip(names, factors, strict=True))}
            theirs.append(v2.ColorJitter(0.8, 0.7, 0.9, 0.3).transform(image, parameters))
        difference = (transform.apply(images, drawn).int() - torch.stack(theirs).int()).abs()
        # Cut off to whole levels: another order of rounding on another processor may shift a few by one.
        assert difference.max() <= 1
        assert (difference > 0).float().mean() < 0.001

    def test_what_is_not_asked_for_is_not_changed(self) -> None:
        images = pictures(8)
        assert torch.equal(augment.ColorJitter()(images, torch.zeros(8))[0], images)
        grey = images[:, :1].expand(-1, 3, -1, -1)
        jittered, _ = augment.ColorJitter(brightness=0.5, contrast=0.5)(grey, torch.zeros(8))
        assert torch.equal(jittered[:, 0], jittered[:, 2])

    def test_orders_and_factors_are_uniform(self) -> None:
        drawn = augment.ColorJitter(0.4, 1.5, 0.2, 0.1).draw((MANY, 3, 32, 32), seeded())
        code = (drawn.order * torch.tensor([64, 16, 4, 1])).sum(1)
        _, place = code.unique(return_inverse=True)
        assert uniform_p(place, 24) > 0.001
        for number, (low, high) in enumerate([(0.6, 1.4), (0.0, 2.5), (0.8, 1.2), (-0.1, 0.1)]):
            factors = drawn.factors[:, number].numpy()
            assert stats.kstest(factors, stats.uniform(low, high - low).cdf).pvalue > 0.001


class TestRandomErasing:
    def boxes(self, transform: v2.RandomErasing, size: tuple[int, int], draws: int) -> Tensor:
        """Torchvision's boxes, long [N, 4]; empty where it erases nothing."""
        image = torch.empty(3, *size)
        boxes = []
        for _ in range(draws):
            drawn = transform.make_params([image])
            top, left, height, width = (drawn[name] for name in "ijhw")
            empty = drawn["v"] is None
            boxes.append([0, 0, 0, 0] if empty else [top, left, top + height, left + width])
        return torch.tensor(boxes)

    def test_equals_torchvision_for_the_same_boxes(self) -> None:
        images = pictures(40)
        transform = augment.RandomErasing(0.8, fill=FILL)
        boxes = transform.draw(images.shape, seeded())
        value = torch.tensor(FILL).round().to(torch.uint8).view(3, 1, 1)
        for image, box, result in zip(images, boxes.tolist(), transform.apply(images, boxes), strict=True):
            top, left, bottom, right = box
            assert torch.equal(result, kernels.erase(image, top, left, bottom - top, right - left, value))

    @pytest.mark.parametrize(
        ("size", "scale", "ratio"),
        [((32, 32), (0.02, 0.33), (0.3, 3.3)), ((8, 24), (0.3, 0.9), (0.5, 2.0))],
        ids=["usual", "often too large"],
    )
    def test_boxes_are_distributed_as_torchvisions(self, size: Any, scale: Any, ratio: Any) -> None:
        torch.manual_seed(6)
        theirs = self.boxes(v2.RandomErasing(1.0, scale, ratio), size, 4000)
        ours = augment.RandomErasing(1.0, scale, ratio).draw((4000, 3, *size), seeded())
        for name, column in {
            "top": lambda boxes: boxes[:, 0],
            "left": lambda boxes: boxes[:, 1],
            "height": lambda boxes: boxes[:, 2] - boxes[:, 0],
            "width": lambda boxes: boxes[:, 3] - boxes[:, 1],
            "area": lambda boxes: (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
            "bottom": lambda boxes: boxes[:, 2],
            "right": lambda boxes: boxes[:, 3],
        }.items():
            assert stats.ks_2samp(column(ours).numpy(), column(theirs).numpy()).pvalue > 0.001, name

    def test_how_often(self) -> None:
        boxes = augment.RandomErasing(0.3).draw((MANY, 3, 32, 32), seeded())
        assert stats.binomtest(int((boxes[:, 2] > 0).sum()), MANY, 0.3).pvalue > 0.001

    def test_a_box_that_never_fits_erases_nothing(self) -> None:
        images = pictures(20, 4, 4)
        transform = augment.RandomErasing(1.0, scale=(1.0, 1.0))
        assert torch.equal(transform(images, torch.zeros(20))[0], images)


class TestGridMask:
    def test_equals_its_definition_pixel_by_pixel(self) -> None:
        images = pictures(30, 18, 25)
        transform = augment.GridMask(0.8, unit=(3, 11), ratio=0.3, fill=7)
        drawn = transform.draw(images.shape, seeded())
        expected = images.clone()
        for number, (side, down, right) in enumerate(drawn.tolist()):
            if side == 0:
                continue
            strip = math.ceil(side * 0.3)
            # Every unit that touches the picture, the first one beginning above and left of it.
            for top in range(down - side, 18, side):
                for left in range(right - side, 25, side):
                    rows = range(max(top + strip, 0), min(top + side, 18))
                    columns = range(max(left + strip, 0), min(left + side, 25))
                    for y, x in itertools.product(rows, columns):
                        expected[number, :, y, x] = 7
        assert torch.equal(transform.apply(images, drawn), expected)

    def test_sides_and_shifts_are_uniform(self) -> None:
        drawn = augment.GridMask(0.25, unit=(4, 6)).draw((4 * MANY, 3, 32, 32), seeded())
        used = drawn[drawn[:, 0] > 0]
        assert stats.binomtest(len(used), 4 * MANY, 0.25).pvalue > 0.001
        assert uniform_p(used[:, 0] - 4, 3) > 0.001
        for side in (4, 5, 6):
            places = used[used[:, 0] == side]
            assert uniform_p(places[:, 1] * side + places[:, 2], side * side) > 0.001
        assert torch.equal(drawn[drawn[:, 0] == 0], torch.zeros(len(drawn) - len(used), 3).long())
