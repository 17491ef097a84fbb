"""What a network costs: closed forms, and that counting leaves no trace."""

import random

import pytest
import torch
from torch import nn

from clslab import models
from clslab.models.cost import Cost, measure


class Attention(nn.Module):
    """Attention of one head between the places of a picture."""

    def forward(self, pictures):
        places = pictures.flatten(2).transpose(1, 2)
        return nn.functional.scaled_dot_product_attention(places, places, places)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), Cost(8 * 27 + 8, 8 * 27 * 36)),
        (nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), Cost(8 * 27, 8 * 27 * 9)),
        (nn.Conv2d(3, 6, 3, padding=1, groups=3, bias=False), Cost(6 * 9, 6 * 9 * 36)),
        (nn.Sequential(nn.Flatten(), nn.Linear(108, 5)), Cost(108 * 5 + 5, 108 * 5)),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout()), Cost(6, 0)),
        (Attention(), Cost(0, 2 * 36 * 36 * 3)),
    ],
)
def test_closed_forms_for_a_picture_of_6_by_6(network, expected):
    assert measure(network, image_size=6) == expected


def test_a_name_and_its_network_cost_the_same():
    model = models.create("densenet121", num_classes=10, width=8, in_channels=1)
    found = measure("densenet121", num_classes=10, width=8, in_channels=1, image_size=16)
    assert found == measure(model, in_channels=1, image_size=16)


def test_a_frozen_parameter_counts_and_a_shared_one_counts_once():
    shared = nn.Linear(4, 4)
    for weights in shared.parameters():
        weights.requires_grad_(False)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(2), shared, shared)
    assert measure(network, in_channels=1) == Cost(parameters=20, macs=32)


def test_the_network_is_left_as_it_was():
    model = models.create("resnet9", num_classes=10, width=2).train()
    model.blocks[0].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [part.training for part in model.modules()]
    measure(model)
    assert [part.training for part in model.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(weights.grad is None and weights.requires_grad for weights in model.parameters())


@pytest.mark.parametrize("model", ["stochastic_depth18", "swin_tiny", "vgg11"])
def test_the_random_state_is_left_as_it_was(model):
    before = (torch.get_rng_state(), random.getstate())
    measure(model)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_another_precision_costs_the_same(dtype):
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(288, 2))
    assert measure(network.to(dtype), image_size=6) == Cost(8 * 27 + 8 + 16 + 576 + 2, 8 * 27 * 36 + 576)


def test_options_are_for_a_name():
    with pytest.raises(ValueError, match="width given with a network; options are for a model's name"):
        measure(nn.Identity(), width=8)
    with pytest.raises(ValueError, match="has no option 'depth'"):
        measure("resnet9", depth=8)
    with pytest.raises(ValueError, match="no model is called 'resnet'"):
        measure("resnet")
