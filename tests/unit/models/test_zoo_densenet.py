"""What is known of DenseNet."""

import pytest
import torch
import torchvision
from torch import nn

from clslab import models
from clslab.models import cost
from clslab.models.zoo import densenet
from clslab.seeds import seed_everything

NAMES = models.FAMILIES["densenet"]


def torchvisions(name: str, num_classes: int) -> nn.Module:
    """Theirs with our stem: a bare convolution at full size."""
    theirs = getattr(torchvision.models, name)(num_classes=num_classes)
    stem = theirs.features.conv0
    theirs.features.conv0 = nn.Conv2d(3, stem.out_channels, 3, padding=1, bias=False)
    theirs.features.norm0 = theirs.features.relu0 = theirs.features.pool0 = nn.Identity()
    return theirs


@pytest.mark.parametrize("name", NAMES)
def test_torchvisions_parameters(name):
    with torch.device("meta"):
        theirs = torchvisions(name, 100)
    assert cost.measure(name).parameters == sum(weights.numel() for weights in theirs.parameters())


def test_with_torchvisions_weights_it_says_the_same():
    seed_everything(0)
    theirs, ours = torchvisions("densenet121", 10), models.create("densenet121", num_classes=10)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    pictures = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(ours(pictures), theirs(pictures), rtol=1e-3, atol=1e-4)


def test_a_layer_keeps_what_it_reads_and_adds_its_growth():
    layer = densenet.DenseLayer(6, growth=4, dropout=0.0)
    maps = torch.randn(2, 6, 5, 5)
    found = layer(maps)
    assert found.shape == (2, 10, 5, 5)
    assert torch.equal(found[:, :6], maps)


def test_norm_and_relu_come_before_each_convolution_and_at_the_end():
    model = models.create("densenet121", num_classes=10, width=4)
    layer = [type(part) for part in model.blocks[1][0].layers]
    assert layer == [nn.BatchNorm2d, nn.ReLU, nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d, nn.Dropout]
    assert [type(part) for part in model.last] == [nn.BatchNorm2d, nn.ReLU]


def test_a_transition_halves_channels_and_side():
    assert densenet.Transition(8, 4)(torch.zeros(1, 8, 6, 6)).shape == (1, 4, 3, 3)
    with torch.device("meta"):
        transitions = list(models.create("densenet161", num_classes=10).blocks)[2::2]
    assert [(part[2].in_channels, part[2].out_channels) for part in transitions] == [
        (384, 192),
        (768, 384),
        (2112, 1056),
    ]


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="width is 7; give an even number, twice the growth rate"):
        models.create("densenet121", num_classes=10, width=7)
