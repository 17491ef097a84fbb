"""What is known of SqueezeNet."""

import pytest
import torch
import torchvision
from torch import nn

from clslab import models
from clslab.models import cost
from clslab.models.zoo import squeezenet
from clslab.seeds import seed_everything


def torchvisions(num_classes: int) -> nn.Module:
    """Theirs with our first convolution and our pools, and without the ReLU that cuts the logits off."""
    theirs = torchvision.models.squeezenet1_0(num_classes=num_classes)
    theirs.features[0] = nn.Conv2d(3, 96, 3, padding=1)
    for number, part in enumerate(theirs.features):
        if isinstance(part, nn.MaxPool2d):
            theirs.features[number] = nn.MaxPool2d(2)
    theirs.classifier[2] = nn.Identity()
    return theirs


def test_torchvisions_parameters_but_for_batch_norm_instead_of_biases():
    theirs = torchvisions(100)
    biases = sum(part.out_channels for part in theirs.features.modules() if isinstance(part, nn.Conv2d))
    # Batch norm has a factor and a shift where a convolution has a bias.
    expected = sum(weights.numel() for weights in theirs.parameters()) + biases
    assert cost.measure("squeezenet").parameters == expected


def test_with_torchvisions_weights_it_says_the_same():
    seed_everything(0)
    theirs, ours = torchvisions(10).eval(), models.create("squeezenet", num_classes=10).eval()
    convolutions = [[part for part in model.modules() if isinstance(part, nn.Conv2d)] for model in (theirs, ours)]
    norms = [part for part in ours.modules() if isinstance(part, nn.BatchNorm2d)]
    for number, (one, other) in enumerate(zip(*convolutions, strict=True)):
        nn.init.normal_(one.bias, std=0.1)
        other.weight.data = one.weight.data
        if number < len(norms):  # batch norm as a shift by their bias
            norms[number].bias.data = one.bias.data
            norms[number].running_var.fill_(1 - norms[number].eps)
        else:
            other.bias.data = one.bias.data
    pictures = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(pictures), theirs(pictures), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [1, 8, 96, 100])
def test_any_width(width):
    model = models.create("squeezenet", num_classes=10, width=width)
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_only_few_channels_reach_the_convolutions_of_3_by_3():
    for fire in models.create("squeezenet", num_classes=10).modules():
        if isinstance(fire, squeezenet.Fire):
            assert fire.large[0].in_channels * 8 == fire.small[0].out_channels + fire.large[0].out_channels
