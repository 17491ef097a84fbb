"""What is known of wide residual networks."""

import pytest
import torch
from torch import nn

from clslab import models
from clslab.models import cost
from clslab.models.zoo import wideresnet
from clslab.models.zoo.resnet import PreActBlock
from clslab.seeds import seed_everything

NAMES = models.FAMILIES["wideresnet"]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("wrn16_8", 11_007_540), ("wrn28_10", 36_536_884), ("wrn40_2", 2_255_156), ("wrn40_10", 55_899_444)],
)
def test_parameters_as_published(name, parameters):
    assert cost.measure(name).parameters == parameters


@pytest.mark.parametrize("name", NAMES)
def test_the_name_says_depth_and_factor(name):
    with torch.device("meta"):
        model = models.create(name, num_classes=10)
    depth, factor = (int(number) for number in name[3:].split("_"))
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    assert len(convolutions) == depth  # the three of the shortcuts are counted
    assert [stage[-1].residual[-1].out_channels for stage in model.stages] == [16 * factor, 32 * factor, 64 * factor]
    assert [part.bias for part in convolutions] == [None] * depth


@pytest.mark.parametrize("depth", [4, 27, 29])
def test_a_depth_that_is_not_6n_and_4_is_refused(depth):
    with pytest.raises(ValueError, match=f"depth is {depth}; give 6n"):
        wideresnet.WideResNet(depth, 2, 10)


@pytest.mark.parametrize(("in_channels", "channels", "stride"), [(4, 4, 1), (4, 8, 1), (4, 8, 2)])
def test_without_dropout_a_block_is_a_pre_activation_block(in_channels, channels, stride):
    seed_everything(0)
    plain = PreActBlock(in_channels, channels, stride)
    wide = wideresnet.WideBlock(in_channels, channels, stride, dropout=0.0)
    wide.load_state_dict(dict(zip(wide.state_dict(), plain.state_dict().values(), strict=True)))
    maps = torch.randn(3, in_channels, 8, 8)
    assert torch.equal(wide(maps), plain(maps))


def test_dropout_is_between_the_two_convolutions_and_off_at_first():
    block = models.create("wrn16_8", num_classes=10, width=1, dropout=0.3).stages[0][0]
    assert [type(part) for part in block.residual] == [
        nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Dropout, nn.Conv2d
    ]  # fmt: skip
    assert block.residual[3].p == 0.3
    assert models.create("wrn16_8", num_classes=10, width=1).stages[0][0].residual[3].p == 0


def test_it_starts_bare_and_ends_in_norm_and_relu():
    model = models.create("wrn16_8", num_classes=10, width=1)
    assert isinstance(model.stem, nn.Conv2d)
    assert [type(part) for part in model.last] == [nn.BatchNorm2d, nn.ReLU]
