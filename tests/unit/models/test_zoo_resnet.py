"""What is known of the residual networks."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from clslab import models
from clslab.models import cost
from clslab.models.zoo import resnet
from clslab.seeds import seed_everything


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_the_papers_networks_have_torchvisions_parameters_but_for_the_stem(name):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)(num_classes=100)
    expected = sum(weights.numel() for weights in theirs.parameters()) - 3 * 64 * 49 + 3 * 64 * 9
    assert cost.measure(name).parameters == expected


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
def test_parameters_as_published(name, options, parameters):
    assert cost.measure(name, **options).parameters == parameters


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
