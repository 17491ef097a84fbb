"""What all batch transforms have in common, and the presets."""

import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from clslab.data import augment

FILL = (130.0, 124.0, 113.0)

# One of every class, by name: a new class has to be added here to be exported.
EVERY: dict[str, augment.BatchTransform] = {
    "RandomCrop": augment.RandomCrop(2, fill=FILL),
    "HorizontalFlip": augment.HorizontalFlip(),
    "Rotation": augment.Rotation(30, fill=FILL),
    "ColorJitter": augment.ColorJitter(0.5, 0.5, 0.5, 0.2),
    "RandomErasing": augment.RandomErasing(fill=FILL),
    "GridMask": augment.GridMask(unit=(4, 8), fill=FILL),
    "MixUp": augment.MixUp(1.0, 5),
    "CutMix": augment.CutMix(1.0, 5),
    "AutoAugment": augment.AutoAugment(fill=FILL),
    "RandAugment": augment.RandAugment(fill=FILL),
    "TrivialAugment": augment.TrivialAugment(fill=FILL),
    "AugMix": augment.AugMix(fill=FILL),
    "OneOf": augment.OneOf([augment.HorizontalFlip(1.0), augment.RandomCrop(2)]),
    "Compose": augment.Compose([augment.RandomCrop(2), augment.RandomErasing()]),
}
NEED_LEVELS = {"ColorJitter", "AutoAugment", "RandAugment", "TrivialAugment", "AugMix"}
MIX = {"MixUp", "CutMix"}


def batch(size: int = 24, channels: int = 3, height: int = 16, width: int = 16) -> tuple[Tensor, Tensor]:
    numbers = torch.Generator().manual_seed(7)
    inputs = torch.randint(256, (size, channels, height, width), generator=numbers, dtype=torch.uint8)
    return inputs, torch.arange(size) % 5


def everything() -> dict[str, augment.BatchTransform]:
    presets = {f"preset {name}": augment.preset(name, fill=FILL) for name in augment.PRESETS}
    mixings = {f"mixing {name}": augment.mixing(name, num_classes=5) for name in augment.MIXINGS}
    return {**EVERY, **presets, **mixings}


def test_every_class_is_in_the_list() -> None:
    exported = [getattr(augment, name) for name in augment.__all__]
    classes = {one for one in exported if isinstance(one, type) and issubclass(one, augment.BatchTransform)}
    assert classes - {augment.BatchTransform, augment.PictureTransform} == {type(one) for one in EVERY.values()}


@pytest.mark.parametrize("transform", everything().values(), ids=everything())
class TestEveryTransform:
    def test_keeps_shape_and_leaves_its_arguments_alone(self, transform: augment.BatchTransform) -> None:
        inputs, targets = batch()
        inputs_before, targets_before = inputs.clone(), targets.clone()
        for seed in range(4):
            changed, labels = transform(inputs, targets, generator=torch.Generator().manual_seed(seed))
            assert changed.shape == inputs.shape
            assert isinstance(labels, Tensor)
            assert len(labels) == len(targets)
        assert torch.equal(inputs, inputs_before)
        assert torch.equal(targets, targets_before)

    def test_one_state_of_the_generator_gives_one_batch(self, transform: augment.BatchTransform) -> None:
        first = transform(*batch(), generator=torch.Generator().manual_seed(3))
        again = transform(*batch(), generator=torch.Generator().manual_seed(3))
        torch.manual_seed(3)
        ours = transform(*batch())
        for other in (again, ours):
            assert torch.equal(first[0], other[0])
            assert torch.equal(first[1], other[1])

    def test_draws_from_its_generator_alone(self, transform: augment.BatchTransform) -> None:
        state = torch.get_rng_state()
        transform(*batch(), generator=torch.Generator().manual_seed(3))
        assert torch.equal(torch.get_rng_state(), state)

    def test_takes_one_picture_grey_ones_and_any_size(self, transform: augment.BatchTransform) -> None:
        torch.manual_seed(0)
        # Three values cannot fill one channel.
        channels_too = [] if str(FILL) in repr(transform) else [(4, 1, 16, 16)]
        for size, channels, height, width in [(1, 3, 16, 16), (4, 3, 12, 20), *channels_too]:
            inputs, _ = transform(*batch(size, channels, height, width))
            assert inputs.shape == (size, channels, height, width)

    def test_survives_pickling(self, transform: augment.BatchTransform) -> None:
        copy = pickle.loads(pickle.dumps(transform))
        assert copy == transform
        results = [one(*batch(), generator=torch.Generator().manual_seed(1))[0] for one in (transform, copy)]
        assert torch.equal(*results)


@pytest.mark.parametrize("name", [name for name in EVERY if name not in MIX])
def test_targets_stay_where_nothing_is_mixed(name: str) -> None:
    inputs, targets = batch()
    levels = torch.stack([targets % 2, targets], 1)
    for given in (targets, levels):
        assert EVERY[name](inputs, given)[1] is given


@pytest.mark.parametrize("name", [name for name in EVERY if name not in {"MixUp", *NEED_LEVELS}])
def test_float_pictures_are_changed_like_uint8_ones(name: str) -> None:
    inputs, targets = batch()
    levels = EVERY[name](inputs, targets, generator=torch.Generator().manual_seed(2))[0]
    numbers = EVERY[name](inputs.float(), targets, generator=torch.Generator().manual_seed(2))[0]
    assert (levels.dtype, numbers.dtype) == (torch.uint8, torch.float32)
    assert torch.equal(levels.float(), numbers)


@pytest.mark.parametrize("name", sorted(NEED_LEVELS))
def test_operations_on_colours_ask_for_uint8_and_for_colours(name: str) -> None:
    inputs, targets = batch()
    with pytest.raises(ValueError, match=rf"{name} takes uint8 pictures, got torch.float32; put it before MixUp"):
        EVERY[name](inputs.float(), targets)
    with pytest.raises(ValueError, match=rf"{name} takes grey or RGB pictures, got 2 channels"):
        EVERY[name](inputs[:, :2], targets)


@pytest.mark.parametrize("name", [name for name in augment.PRESETS if name != "plain"])
def test_pictures_of_one_batch_are_changed_each_in_its_own_way(name: str) -> None:
    one = batch(1)[0].expand(64, -1, -1, -1)
    changed, _ = augment.preset(name, fill=FILL)(one, torch.zeros(64), generator=torch.Generator().manual_seed(0))
    different = len(changed.flatten(1).unique(dim=0))
    assert different == 2 if name == "flip" else different > 40  # a picture has one mirror image


def test_plain_gives_back_what_it_got() -> None:
    inputs, targets = batch()
    assert augment.preset("plain")(inputs, targets)[0] is inputs


def test_boxes_have_the_fill_and_borders_are_black() -> None:
    white = torch.full((200, 3, 16, 16), 255, dtype=torch.uint8)
    erased, _ = augment.preset("shift-flip-erase", fill=(129.7, 124.4, 113.0))(white, torch.zeros(200))
    colours = {tuple(colour) for colour in erased.permute(0, 2, 3, 1).reshape(-1, 3).unique(dim=0).tolist()}
    assert colours == {(0, 0, 0), (255, 255, 255), (130, 124, 113)}  # rounded to whole levels


def test_one_of_chooses_for_each_picture_with_equal_chances() -> None:
    inputs = torch.arange(4, dtype=torch.uint8).view(1, 1, 1, 4).expand(3000, -1, -1, -1)
    flip, shift = augment.HorizontalFlip(1.0), augment.Compose([])
    changed, _ = augment.OneOf([flip, shift])(inputs, torch.zeros(3000), generator=torch.Generator().manual_seed(0))
    flipped = (changed[:, 0, 0, 0] == 3).sum().item()
    assert 1400 < flipped < 1600


def test_one_of_per_batch_takes_one_of_them() -> None:
    inputs = torch.arange(4, dtype=torch.uint8).view(1, 1, 1, 4).expand(8, -1, -1, -1)
    either = augment.OneOf([augment.HorizontalFlip(1.0), augment.Compose([])], per_sample=False)
    flipped = [int((either(inputs, torch.zeros(8))[0][:, 0, 0, 0] == 3).sum()) for _ in range(40)]
    assert set(flipped) == {0, 8}


def test_compose_keeps_the_order() -> None:
    inputs, targets = batch(8)
    first, then = augment.Rotation(90), augment.RandomErasing(1.0, fill=9)
    together = augment.Compose([first, then])(inputs, targets, generator=torch.Generator().manual_seed(4))[0]
    numbers = torch.Generator().manual_seed(4)
    apart, _ = first(inputs, targets, generator=numbers)
    assert torch.equal(together, then(apart, targets, generator=numbers)[0])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: augment.preset("cutout"), r"no augmentation 'cutout'; use one of plain, shift, flip, shift-flip,"),
        (lambda: augment.mixing("fmix", num_classes=3), r"no mixing 'fmix'; use one of mixup, cutmix, mixup-cutmix"),
        (lambda: augment.OneOf([]), "nothing to choose from; give at least one"),
        (lambda: augment.OneOf([augment.Compose([augment.MixUp(1, 3)])]), "MixUp|Compose mixes .* per_sample=False"),
        (lambda: augment.RandomCrop(-1), "padding is -1; give 0 pixels or more"),
        (lambda: augment.HorizontalFlip(1.5), "p is 1.5; a probability lies between 0 and 1"),
        (lambda: augment.Rotation(-5), "degrees is -5; give the largest angle"),
        (lambda: augment.ColorJitter(contrast=-0.1), "contrast is -0.1; give 0 or more"),
        (lambda: augment.ColorJitter(hue=0.6), "hue is 0.6; half a turn"),
        (lambda: augment.RandomErasing(p=-1), "p is -1"),
        (lambda: augment.RandomErasing(scale=(0.5, 0.1)), r"scale is \(0.5, 0.1\); give two parts"),
        (lambda: augment.RandomErasing(ratio=(0.0, 1.0)), r"ratio is \(0.0, 1.0\); give two positive"),
        (lambda: augment.GridMask(unit=(1, 4)), r"unit is \(1, 4\); give two sides"),
        (lambda: augment.GridMask(ratio=2), "ratio is 2; give the part"),
        (lambda: augment.MixUp(0, 3), "alpha is 0; give a number above 0"),
        (lambda: augment.CutMix(1, 0), "num_classes is 0; give the number of classes"),
        (lambda: augment.AutoAugment("birds"), "no policy 'birds'; use one of cifar10"),
        (lambda: augment.RandAugment(operations=-1), "operations is -1"),
        (lambda: augment.RandAugment(magnitude=31), "magnitude is 31 and bins 31; give 0 to 30"),
        (lambda: augment.TrivialAugment(bins=0), "bins is 0; give 1 or more"),
        (lambda: augment.AugMix(severity=11), "severity is 11; give 1 to 10"),
        (lambda: augment.AugMix(chains=0), "chains is 0; give 1 or more"),
        (lambda: augment.AugMix(depth=-1), "depth is -1; give the length"),
        (lambda: augment.AugMix(alpha=0), "alpha is 0; give a number above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wrong()


def test_batches_that_cannot_be_are_refused() -> None:
    flip = augment.HorizontalFlip()
    inputs, targets = batch(4)
    with pytest.raises(ValueError, match=r"inputs have the shape \(3, 16, 16\); give a batch \[B, C, H, W\]"):
        flip(inputs[0], targets[:3])
    with pytest.raises(ValueError, match=r"inputs are torch\.int64; give uint8 or float"):
        flip(inputs.long(), targets)
    with pytest.raises(ValueError, match="there are 4 pictures and 3 targets; give one target per picture"):
        flip(inputs, targets[:3])
    with pytest.raises(ValueError, match="fill has 2 values and the pictures 3 channels; give one value or 3"):
        augment.RandomCrop(1, fill=(1, 2))(inputs, targets)
    with pytest.raises(ValueError, match=r"fill \[256.0\] does not fit uint8 pictures; give values from 0 to 255"):
        augment.RandomErasing(fill=256)(inputs, targets)


def test_what_a_subclass_has_to_write_is_said() -> None:
    with pytest.raises(TypeError, match=r"PictureTransform .*abstract methods .*apply.*draw"):
        augment.PictureTransform()
