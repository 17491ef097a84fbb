"""What is known of the MobileNets."""

import pytest
import timm
import torch
import torchvision
from references import assert_same_logits, parameters
from torch import nn

from clslab import models
from clslab.models.zoo import mobilenet


def test_with_timms_weights_v1_says_the_same():
    theirs = timm.create_model("mobilenetv1_100", num_classes=10)
    theirs.conv_stem.stride = (1, 1)
    theirs.blocks[1][0].conv_dw.stride = (1, 1)
    for part in theirs.modules():
        if isinstance(getattr(part, "act", None), nn.ReLU6):  # the paper has ReLU
            part.act = nn.ReLU()
    assert_same_logits(models.create("mobilenet", num_classes=10), theirs, side=32)


def test_with_torchvisions_weights_v2_says_the_same():
    theirs = torchvision.models.mobilenet_v2(num_classes=10)
    theirs.features[0][0].stride = (1, 1)
    theirs.features[2].conv[1][0].stride = (1, 1)
    assert_same_logits(models.create("mobilenetv2", num_classes=10), theirs, side=32)


@pytest.mark.parametrize(
    ("name", "millions"),
    # Millions of parameters at 1,000 classes, from the papers.
    [("mobilenet", 4.2), ("mobilenetv2", 3.5)],
)
def test_parameters_as_published(name, millions):
    assert parameters(name, 1000) == pytest.approx(1e6 * millions, rel=0.02)


def test_stride_and_channels_of_the_first_papers_table():
    model = models.create("mobilenet", num_classes=10, width=8).eval()
    maps, sides = model.stem(torch.zeros(1, 3, 32, 32)), []
    for block in model.blocks:
        maps = block(maps)
        sides.append(maps.shape[-1])
    assert sides == [32] * 3 + [16] * 2 + [8] * 6 + [4] * 2
    assert maps.shape[1] == 256


def test_a_separable_block_has_nearly_nine_times_fewer_weights():
    block = mobilenet.depthwise_separable(512, 512, 1)
    weights = sum(part.weight.numel() for part in block.modules() if isinstance(part, nn.Conv2d))
    assert weights == 9 * 512 + 512 * 512
    assert 8 < 9 * 512 * 512 / weights < 9


def test_an_inverted_residual_adds_where_the_shape_stays():
    maps = torch.randn(2, 4, 8, 8)
    for out_channels, stride, adds in [(4, 1, True), (4, 2, False), (6, 1, False)]:
        block = mobilenet.InvertedResidual(4, out_channels, stride, expansion=6)
        nn.init.zeros_(block.residual[-1][1].weight)
        expected = maps if adds else torch.zeros(2, out_channels, 8 // stride, 8 // stride)
        assert torch.equal(block(maps), expected)


def test_the_last_convolution_of_an_inverted_residual_is_linear():
    block = mobilenet.InvertedResidual(4, 4, 1, expansion=6)
    assert [[type(part) for part in parts] for parts in block.residual] == [
        [nn.Conv2d, nn.BatchNorm2d, nn.ReLU6],
        [nn.Conv2d, nn.BatchNorm2d, nn.ReLU6],
        [nn.Conv2d, nn.BatchNorm2d],
    ]
