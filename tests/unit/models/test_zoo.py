"""What every network of the registry has to do, and what is known of single ones."""

import importlib

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from clslab import models
from clslab.models.zoo import resnet
from clslab.seeds import seed_everything

NAMES = models.list_models()


def small(name: str, **options: int) -> nn.Module:
    """A narrow network of this name; what is tested on it does not depend on the width."""
    return models.create(name, num_classes=10, **{"width": 8, **options})


def count(model: nn.Module) -> int:
    return sum(weights.numel() for weights in model.parameters())


# ---------------------------------------------------------------- every network


def test_the_registry_and_the_files_name_the_same_networks():
    for family, names in models.FAMILIES.items():
        assert set(importlib.import_module(f"clslab.models.zoo.{family}").BUILDERS) == set(names)
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [32, 64])
def test_logits_for_every_picture(name, side):
    model = small(name, image_size=side).eval()
    assert model(torch.zeros(2, 3, side, side)).shape == (2, 10)


@pytest.mark.parametrize("name", NAMES)
def test_other_channels_and_classes(name):
    model = models.create(name, num_classes=3, in_channels=1, width=4).eval()
    assert model(torch.zeros(1, 1, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter(name):
    seed_everything(0)
    model = small(name).train()
    F.cross_entropy(model(torch.randn(8, 3, 32, 32)), torch.arange(8)).backward()
    without = [key for key, weights in model.named_parameters() if weights.grad is None or not weights.grad.any()]
    assert without == []


@pytest.mark.parametrize("name", NAMES)
def test_learns_32_pictures_by_heart(name):
    seed_everything(0)
    model = small(name).train()
    pictures, targets = torch.randn(32, 3, 16, 16), torch.arange(32) % 10
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005)
    for _ in range(60):
        loss = F.cross_entropy(model(pictures), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.05:
            break
    assert (model(pictures).argmax(dim=1) == targets).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_state_dict_makes_another_one_equal(name):
    seed_everything(0)
    one, other = small(name), small(name)
    one.train()(torch.randn(4, 3, 32, 32))  # moves the statistics of batch norm
    pictures = torch.randn(2, 3, 32, 32)
    assert not torch.equal(one.eval()(pictures), other.eval()(pictures))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(pictures), other(pictures))


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_judged_alone_in_evaluation(name):
    seed_everything(0)
    model = small(name).eval()
    pictures = torch.randn(5, 3, 32, 32)
    alone = torch.cat([model(picture[None]) for picture in pictures])
    assert torch.allclose(model(pictures), alone, atol=1e-5)


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
        ({"num_classes": 10, "depth": 3}, "has no option 'depth'; it takes width"),
    ],
)
def test_senseless_numbers_and_options(name, wrong, message):
    with pytest.raises(ValueError, match=message):
        models.create(name, **wrong)


# ---------------------------------------------------------------- residual networks


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_the_papers_networks_have_torchvisions_parameters_but_for_the_stem(name):
    theirs = getattr(torchvision.models, name)(num_classes=100)
    assert count(models.create(name, num_classes=100)) == count(theirs) - 3 * 64 * 49 + 3 * 64 * 9


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_with_torchvisions_weights_they_say_the_same(name):
    seed_everything(0)
    theirs = getattr(torchvision.models, name)(num_classes=10)
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    ours = models.create(name, num_classes=10)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    pictures = torch.randn(2, 3, 32, 32)
    assert torch.allclose(ours(pictures), theirs(pictures), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("resnet18", {}, 11_220_132),
        ("resnet34", {}, 21_328_292),
        ("resnet50", {}, 23_705_252),
        ("resnet101", {}, 42_697_380),
        ("resnet152", {}, 58_341_028),
        ("preactresnet18", {}, 11_218_340),
        ("resnet9", {}, 6_619_200),
        ("resnet9", {"width": 32}, 1_669_152),
        ("resnet9", {"width": 16}, 424_464),
    ],
)
def test_parameters_and_operations_as_the_page_says(name, options, parameters):
    model = models.create(name, num_classes=100, **options)
    assert count(model) == parameters
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, 3, 32, 32))
    millions = f"{int(counter.get_total_flops() / 2e6):,}"
    label = f"width = {options['width']}" if options else name
    row = next(line.split() for line in resnet.__doc__.splitlines() if line.strip().startswith(label + " "))
    assert row[-2:] == [f"{parameters:,}", millions]


def test_resnet9_is_the_plain_network_of_its_description():
    seed_everything(0)
    model = models.create("resnet9", num_classes=10, width=4).eval()
    for buffer in model.buffers():  # statistics that make batch norm do something
        if buffer.is_floating_point():
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    layers = [part for part in model.modules() if isinstance(part, nn.Conv2d | nn.BatchNorm2d)]
    pairs = list(zip(layers[::2], layers[1::2], strict=True))

    def layer(maps, number):
        convolution, norm = pairs[number]
        return F.relu(norm(convolution(maps)))

    pictures = torch.randn(3, 3, 32, 32)
    maps = F.max_pool2d(layer(layer(pictures, 0), 1), 2)
    maps = maps + layer(layer(maps, 2), 3)
    maps = F.max_pool2d(layer(maps, 4), 2)
    maps = F.max_pool2d(layer(maps, 5), 2)
    maps = maps + layer(layer(maps, 6), 7)
    expected = 0.25 * maps.amax(dim=(2, 3)) @ model.head.weight.T
    assert torch.allclose(model(pictures), expected, atol=1e-5)


def test_the_logit_scale_multiplies_the_logits():
    seed_everything(0)
    model = models.create("resnet9", num_classes=10, width=4, logit_scale=1.0).eval()
    pictures = torch.randn(2, 3, 32, 32)
    whole = model(pictures)
    model.logit_scale = 0.5
    assert torch.allclose(model(pictures), 0.5 * whole)


def test_a_sum_passes_a_pre_activation_block_unchanged():
    block = resnet.PreActBlock(4, 4, stride=1)
    nn.init.zeros_(block.residual[-1].weight)
    maps = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(maps), maps)
    plain = resnet.BasicBlock(4, 4, stride=1)
    nn.init.zeros_(plain.residual[-2].weight)
    assert torch.equal(plain(maps), maps.relu())  # the block of 2015 cuts off what is negative


def test_a_pre_activation_network_starts_bare_and_ends_in_norm_and_relu():
    model = models.create("preactresnet18", num_classes=10, width=4)
    assert [type(part) for part in model.stem] == [nn.Conv2d]
    assert [type(part) for part in model.last] == [nn.BatchNorm2d, nn.ReLU]
    shortcuts = [block.projection for stage in model.stages for block in stage if block.projection is not None]
    assert [type(one) for one in shortcuts] == [nn.Conv2d] * 3


def test_stages_halve_the_map_and_double_the_channels():
    model = models.create("resnet50", num_classes=10, width=4).eval()
    maps, shapes = model.stem(torch.zeros(1, 3, 32, 32)), []
    for stage in model.stages:
        maps = stage(maps)
        shapes.append(tuple(maps.shape[1:]))
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8), (128, 4, 4)]
