"""What is known of ResNeXt."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet as theirs_of

from clslab import models
from clslab.models import cost
from clslab.seeds import seed_everything


def torchvisions(name: str, num_classes: int) -> nn.Module:
    """Theirs with our stem."""
    depths = {"resnext50": [3, 4, 6, 3], "resnext101": [3, 4, 23, 3]}[name]
    theirs = theirs_of.ResNet(theirs_of.Bottleneck, depths, num_classes, groups=32, width_per_group=4)
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return theirs


@pytest.mark.parametrize("name", ["resnext50", "resnext101"])
def test_torchvisions_parameters(name):
    with torch.device("meta"):
        theirs = torchvisions(name, 100)
    assert cost.measure(name).parameters == sum(weights.numel() for weights in theirs.parameters())


def test_with_torchvisions_weights_it_says_the_same():
    seed_everything(0)
    theirs, ours = torchvisions("resnext50", 10), models.create("resnext50", num_classes=10)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    pictures = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(ours(pictures), theirs(pictures), rtol=1e-3, atol=1e-4)


def test_only_the_convolutions_of_3_by_3_are_grouped():
    with torch.device("meta"):
        model = models.create("resnext50", num_classes=10)
    convolutions = [part for part in model.stages.modules() if isinstance(part, nn.Conv2d)]
    assert {(part.kernel_size, part.groups) for part in convolutions} == {((1, 1), 1), ((3, 3), 32)}


@pytest.mark.parametrize("width", [8, 24, 65])
def test_a_width_that_makes_no_32_groups_is_refused(width):
    with pytest.raises(ValueError, match=f"width is {width}; give a multiple of 16, for 32 groups"):
        models.create("resnext50", num_classes=10, width=width)
