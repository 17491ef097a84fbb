"""What every network of the registry has to do; what is known of single ones is in the files of their families."""

import importlib
import inspect
import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clslab import models
from clslab.models import cost
from clslab.seeds import seed_everything

NAMES = models.list_models()

NARROW: dict[str, dict[str, Any]] = {
    "inceptionv4": {"width": 8, "repeats": (1, 1, 1)},
    "inception_resnet_v2": {"width": 8, "repeats": (1, 1, 2)},
    "xception": {"width": 8, "repeats": 2},
    "nasnet": {"width": 8, "repeats": 1},
    "wrn16_8": {"width": 2},
    "wrn28_10": {"width": 2},
    "wrn40_2": {"width": 4},
    "wrn40_10": {"width": 2},
    "resnext50": {"width": 16},
    "resnext101": {"width": 16},
    "attention56": {"width": 4},
    "attention92": {"width": 4},
    "vit_tiny": {"width": 24},
    "swin_tiny": {"width": 12},
    "cait_xxs24": {"width": 48},
    # less than 100 MMAC: as they are
    "squeezenet": {},
    "mobilenetv2": {},
    "shufflenet": {},
    "shufflenetv2": {},
}
"""Options that make a network narrow, where they are not `width = 8`."""


def small(name: str, *, num_classes: int = 10, chance: bool = True, **options: int) -> nn.Module:
    """A narrow network of this name; what is tested on it does not depend on the width.

    Without `chance` nothing is dropped in training.
    """
    builder = importlib.import_module(f"clslab.models.zoo.{family_of(name)}").BUILDERS[name]
    known = inspect.signature(builder).parameters
    never = {} if chance else {option: 0.0 for option in ("dropout", "drop_path") if option in known}
    return models.create(name, num_classes=num_classes, **{**NARROW.get(name, {"width": 8}), **never, **options})


def family_of(name: str) -> str:
    return next(family for family, names in models.FAMILIES.items() if name in names)


def side_of(name: str) -> int:
    # Of 16 pixels the last stage of Swin has one place, and what it learns of distances between places is idle.
    return 32 if name == "swin_tiny" else models.smallest_side(name)


def rows(name: str) -> list[tuple[dict[str, int], int, int]]:
    """What the table at the top of a family's file says of a name: options, parameters, millions of multiply-adds.

    A row starts with a name and ends in two numbers; rows such as `width = 16 ...` below it are of the same name.
    """
    module = importlib.import_module(f"clslab.models.zoo.{family_of(name)}")
    found, current = [], None
    for line in module.__doc__.splitlines():
        row = re.fullmatch(r"\s*(?:(\w+) = (\d+)|(\w+)) .* ([\d,]+) +([\d,]+)", line)
        if row is None:
            continue
        option, value, start = row.group(1, 2, 3)
        current = start or current
        if current == name:
            parameters, millions = (int(number.replace(",", "")) for number in row.group(4, 5))
            found.append(({option: int(value)} if option else {}, parameters, millions))
    return found


# ---------------------------------------------------------------- every file


@pytest.mark.parametrize("family", models.FAMILIES)
def test_the_registry_and_the_file_name_the_same_networks(family):
    module = importlib.import_module(f"clslab.models.zoo.{family}")
    assert list(module.BUILDERS) == list(models.FAMILIES[family])
    assert "arXiv:" in module.__doc__
    assert "Taught in chapter 11." in module.__doc__


def test_no_name_is_given_twice():
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_operations_as_the_page_says(name):
    said = rows(name)
    assert [options for options, _, _ in said][:1] == [{}], "the table in the file's docstring has no row of this name"
    for options, parameters, millions in said:
        found = cost.measure(name, **options)
        assert (found.parameters, round(found.macs / 1e6)) == (parameters, millions), options


# ---------------------------------------------------------------- every network


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [32, 64])
def test_logits_for_every_picture(name, side):
    model = small(name, image_size=side).eval()
    with torch.no_grad():
        assert model(torch.zeros(2, 3, side, side)).shape == (2, 10)


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_picture_that_is_promised(name):
    side = models.smallest_side(name)
    model = small(name, image_size=side).train()
    assert model(torch.zeros(4, 3, side, side)).shape == (4, 10)


@pytest.mark.parametrize("name", NAMES)
def test_other_channels_and_classes(name):
    side = models.smallest_side(name)
    model = small(name, num_classes=3, in_channels=1, image_size=side).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 1, side, side)).shape == (1, 3)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter(name):
    seed_everything(0)
    side = side_of(name)
    model = small(name, chance=False, image_size=side).train()
    F.cross_entropy(model(torch.randn(8, 3, side, side)), torch.arange(8)).backward()
    without = [key for key, weights in model.named_parameters() if weights.grad is None or not weights.grad.any()]
    assert without == []


@pytest.mark.parametrize("name", NAMES)
def test_learns_32_pictures_by_heart(name):
    seed_everything(0)
    side = models.smallest_side(name)
    model = small(name, chance=False, image_size=side).train()
    pictures, targets = torch.randn(32, 3, side, side), torch.arange(32) % 10
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.002, fused=True)
    known = 0
    for _ in range(100):
        logits = model(pictures)
        known = int((logits.argmax(dim=1) == targets).sum())
        if known == 32:
            break
        optimizer.zero_grad()
        F.cross_entropy(logits, targets).backward()
        optimizer.step()
    assert known == 32


@pytest.mark.parametrize("name", NAMES)
def test_a_state_dict_makes_another_one_equal(name):
    seed_everything(0)
    side = models.smallest_side(name)
    one, other = small(name, image_size=side), small(name, image_size=side)
    pictures = torch.randn(4, 3, side, side)
    with torch.no_grad():
        one.train()(pictures)  # moves the statistics of batch norm
        expected = one.eval()(pictures)
        assert not torch.equal(expected, other.eval()(pictures))
        other.load_state_dict(one.state_dict())
        assert torch.equal(expected, other(pictures))


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_judged_alone_in_evaluation(name):
    seed_everything(0)
    side = models.smallest_side(name)
    # Double precision, so that rounding is far below what a look at the neighbours would change.
    model = small(name, image_size=side).double()
    brightness = torch.linspace(-2, 2, 4, dtype=torch.double)[:, None, None, None]
    pictures = torch.randn(4, 3, side, side, dtype=torch.double) + brightness
    with torch.no_grad():
        model.train()(pictures)
        together = model.eval()(pictures)
        alone = torch.cat([model(picture[None]) for picture in pictures])
    assert together.isfinite().all()
    assert not torch.equal(together[0], together[1])  # else the test would say nothing
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_network(name):
    found = []
    for seed in (0, 0, 1):
        seed_everything(seed)
        found.append(torch.cat([weights.flatten() for weights in small(name).parameters()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


# ---------------------------------------------------------------- errors


def test_an_unknown_name_is_told_the_nearest_and_all():
    with pytest.raises(ValueError, match=r"'resnet19'\. Did you mean '.*Known: .*resnet9"):
        models.create("resnet19", num_classes=10)
    with pytest.raises(ValueError, match=r"no model is called 'abc'\. Known"):
        models.create("abc", num_classes=10)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_classes": 1}, "num_classes = 1"),
        ({"num_classes": 10, "in_channels": 0}, "in_channels = 0"),
        ({"num_classes": 10, "image_size": 4}, "image_size = 4"),
        ({"num_classes": 10, "width": 0}, "width is 0"),
        ({"num_classes": 10, "depth": 3}, "has no option 'depth'; it takes .*width"),
    ],
)
def test_senseless_numbers_and_options(name, wrong, message):
    with pytest.raises(ValueError, match=message):
        models.create(name, **wrong)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_smaller_than_promised_is_refused(name):
    side = models.smallest_side(name)
    with pytest.raises(ValueError, match=f"image_size = {side - 1} for {name}; give at least {side}"):
        models.create(name, num_classes=10, image_size=side - 1)


@pytest.mark.parametrize("option", ["dropout", "drop_path"])
@pytest.mark.parametrize("name", NAMES)
def test_a_probability_is_refused_where_it_is_none(name, option):
    with pytest.raises(ValueError, match=option):
        models.create(name, num_classes=10, **{option: 1.0})
