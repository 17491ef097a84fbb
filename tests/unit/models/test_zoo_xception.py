"""What is known of Xception."""

import timm
import torch
from references import assert_same_logits, padded, parameters
from torch import nn

from clslab import models
from clslab.models.zoo.layers import separable
from clslab.models.zoo.xception import XceptionBlock


def test_with_timms_weights_it_says_the_same():
    theirs = timm.create_model("legacy_xception", num_classes=10)
    theirs.conv1.stride = (1, 1)
    theirs.block1.skip.stride, theirs.block1.rep[-1] = (1, 1), nn.Identity()
    with torch.device("meta"):
        ours = models.create("xception", num_classes=10)
    assert_same_logits(ours, padded(theirs))


def test_parameters_as_published():
    assert parameters("xception", 1000) == 22_855_952


def test_a_block_adds_its_input_before_any_relu():
    block = XceptionBlock(4, 4, 4)
    nn.init.zeros_(block.residual[-1].weight)
    maps = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(maps), maps)


def test_the_input_of_a_block_is_left_alone():
    maps = torch.randn(2, 4, 8, 8)
    before = maps.clone()
    XceptionBlock(4, 8, 8, stride=2)(maps)
    assert torch.equal(maps, before)


def test_nothing_stands_between_the_two_halves_of_a_separable_convolution():
    both = separable(4, 6)
    maps = torch.randn(2, 4, 8, 8)
    # Two linear maps in a row are one: a plain convolution whose kernels are products of the two.
    kernels = both[1].weight * both[0].weight.transpose(0, 1)
    expected = torch.nn.functional.conv2d(maps, kernels, padding=1)
    assert torch.allclose(both(maps), expected, atol=1e-6)


def test_repeats_count_the_blocks_of_the_middle():
    assert len(models.create("xception", num_classes=10, width=4, repeats=3).middle) == 3
