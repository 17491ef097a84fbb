"""What is known of VGG."""

import pytest
import torch
import torchvision
from torch import nn

from clslab import models
from clslab.models import cost
from clslab.seeds import seed_everything


def torchvisions(name: str, num_classes: int) -> nn.Module:
    """Theirs with batch norm, its linear layers reading one place instead of 49."""
    theirs = getattr(torchvision.models, f"{name}_bn")(num_classes=num_classes, init_weights=False)
    theirs.avgpool, theirs.classifier[0] = nn.AdaptiveAvgPool2d(1), nn.Linear(512, 4096)
    return theirs


@pytest.mark.parametrize("name", ["vgg11", "vgg13", "vgg16", "vgg19"])
def test_torchvisions_parameters_but_for_the_biases_of_convolutions(name):
    with torch.device("meta"):
        theirs = torchvisions(name, 100)
    biases = sum(part.out_channels for part in theirs.modules() if isinstance(part, nn.Conv2d))
    assert cost.measure(name).parameters == sum(weights.numel() for weights in theirs.parameters()) - biases


@pytest.mark.parametrize("side", [32, 64])
def test_with_torchvisions_weights_it_says_the_same(side):
    seed_everything(0)
    theirs = torchvisions("vgg11", 10)
    biases = set()
    for key, part in theirs.named_modules():
        if isinstance(part, nn.Conv2d):
            nn.init.zeros_(part.bias)
            biases.add(f"{key}.bias")
    ours = models.create("vgg11", num_classes=10)
    values = [value for key, value in theirs.state_dict().items() if key not in biases]
    ours.load_state_dict(dict(zip(ours.state_dict(), values, strict=True)))
    pictures = torch.randn(2, 3, side, side)
    theirs(pictures), ours(pictures)  # statistics that batch norm has learnt from
    torch.testing.assert_close(ours.eval()(pictures), theirs.eval()(pictures), rtol=1e-4, atol=1e-5)


def test_the_name_counts_the_layers_with_weights():
    for name in ("vgg11", "vgg13", "vgg16", "vgg19"):
        with torch.device("meta"):
            model = models.create(name, num_classes=10, width=1)
        assert sum(isinstance(part, nn.Conv2d | nn.Linear) for part in model.modules()) == int(name[3:])


def test_dropout_before_the_second_and_the_third_linear_layer():
    model = models.create("vgg11", num_classes=10, width=1, dropout=0.3)
    assert [type(part) for part in model.head if not isinstance(part, nn.ReLU)] == [
        nn.Linear, nn.Dropout, nn.Linear, nn.Dropout, nn.Linear
    ]  # fmt: skip
    assert {part.p for part in model.modules() if isinstance(part, nn.Dropout)} == {0.3}
