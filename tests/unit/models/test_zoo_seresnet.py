"""What is known of squeeze-and-excitation networks."""

import timm
import torch
import torchvision
from torch import nn

from clslab import models
from clslab.models import cost
from clslab.models.zoo import seresnet
from clslab.seeds import seed_everything


def timms(num_classes: int) -> nn.Module:
    """Theirs with our stem. (Their seresnet18 has at least 8 channels between the linear layers, the paper's 4.)"""
    theirs = timm.create_model("seresnet50", num_classes=num_classes, zero_init_last=False)
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return theirs


def test_timms_parameters():
    with torch.device("meta"):
        theirs = timms(100)
    assert cost.measure("seresnet50").parameters == sum(weights.numel() for weights in theirs.parameters())


def test_with_timms_weights_it_says_the_same():
    seed_everything(0)
    theirs, ours = timms(10), models.create("seresnet50", num_classes=10)
    # Their linear layers are convolutions of 1 by 1: the numbers are the same, not the shape.
    pairs = zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict({key: value.reshape(mine.shape) for (key, mine), value in pairs})
    pictures = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(ours(pictures), theirs(pictures), rtol=1e-3, atol=1e-4)


def test_the_excitation_is_torchvisions():
    seed_everything(0)
    theirs, ours = torchvision.ops.SqueezeExcitation(32, 2), seresnet.SqueezeExcitation(32)
    pairs = zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict({key: value.reshape(mine.shape) for (key, mine), value in pairs})
    maps = torch.randn(2, 32, 5, 5)
    torch.testing.assert_close(ours(maps), theirs(maps))


def test_what_is_weighed_is_the_residual_before_the_sum():
    for block in (seresnet.SEBasicBlock(8, 8, 1), seresnet.SEBottleneck(32, 8, 1)):
        excitation = block.residual[-1]
        assert isinstance(excitation, seresnet.SqueezeExcitation)
        nn.init.zeros_(excitation.weigh[2].weight)
        nn.init.constant_(excitation.weigh[2].bias, -1e6)  # the sigmoid of this is 0: no channel counts
        maps = torch.randn(2, block.residual[0].in_channels, 6, 6)
        assert torch.equal(block(maps), maps.relu())


def test_a_sixteenth_of_the_channels_and_at_least_one():
    assert [seresnet.SqueezeExcitation(channels).weigh[0].out_features for channels in (8, 16, 64, 512)] == [
        1,
        1,
        4,
        32,
    ]
