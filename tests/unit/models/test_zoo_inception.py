"""What is known of Inception v3, v4 and Inception-ResNet v2."""

from types import SimpleNamespace

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from references import assert_same_logits, padded, parameters
from torch import nn

from clslab import models
from clslab.models.zoo import inception
from clslab.models.zoo.layers import Branch, Parallel


def on_meta(name, **options):
    """Without weights of its own: they would take seconds to draw, and are replaced."""
    with torch.device("meta"):
        return models.create(name, num_classes=10, **options)


def test_with_torchvisions_weights_v3_says_the_same(monkeypatch):
    functions = SimpleNamespace(
        relu=F.relu,
        max_pool2d=lambda maps, **_: F.max_pool2d(maps, 3, stride=2, padding=1),
        avg_pool2d=lambda maps, **_: F.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False),
    )
    monkeypatch.setattr(torchvision.models.inception, "F", functions)
    theirs = torchvision.models.inception_v3(num_classes=10, aux_logits=False, init_weights=False)
    theirs.Conv2d_1a_3x3.conv.stride = (1, 1)
    theirs.maxpool1 = nn.Identity()
    assert_same_logits(on_meta("inceptionv3"), padded(theirs))


def test_with_timms_weights_v4_says_the_same():
    theirs = timm.create_model("inception_v4", num_classes=10)
    theirs.features[0].conv.stride = (1, 1)
    theirs.features[3].maxpool.stride, theirs.features[3].conv.conv.stride = 1, (1, 1)
    assert_same_logits(on_meta("inceptionv4"), padded(theirs))


def test_with_timms_weights_inception_resnet_says_the_same():
    theirs = timm.create_model("inception_resnet_v2", num_classes=10)
    theirs.conv2d_1a.conv.stride = (1, 1)
    theirs.maxpool_3a = nn.Identity()
    assert_same_logits(on_meta("inception_resnet_v2"), padded(theirs))


@pytest.mark.parametrize(
    ("name", "published"),
    # At 1,000 classes; the adaptation changes no weight. torchvision's without its auxiliary head, and timm's.
    [("inceptionv3", 23_834_568), ("inceptionv4", 42_679_816), ("inception_resnet_v2", 55_843_464)],
)
def test_parameters_as_published(name, published):
    assert parameters(name, 1000) == published


@pytest.mark.parametrize("name", inception.BUILDERS)
def test_stages_see_16_8_and_4_of_32_pixels(name):
    model = on_meta(name)
    maps, sides = torch.zeros(1, 3, 32, 32, device="meta"), []
    for block in model.blocks:
        maps = block(maps)
        sides.append(maps.shape[-1])
    assert sorted(set(sides), reverse=True) == [32, 16, 8, 4]
    assert sides == sorted(sides, reverse=True)


def test_repeats_count_the_blocks():
    assert len(on_meta("inceptionv4", repeats=(2, 3, 1)).blocks) == 4 + 2 + 1 + 3 + 1 + 1
    blocks = on_meta("inception_resnet_v2", repeats=(2, 3, 4)).blocks
    assert sum(isinstance(block, inception.ResidualInception) for block in blocks) == 9


def test_repeats_that_make_no_network_are_refused():
    with pytest.raises(ValueError, match=r"repeats is \(1, 1, 0\).*at least 1"):
        on_meta("inception_resnet_v2", repeats=(1, 1, 0))
    with pytest.raises(ValueError, match=r"repeats is \(1, 1\).*three numbers"):
        on_meta("inceptionv4", repeats=(1, 1))


def test_a_residual_block_adds_what_it_scales():
    block = inception.ResidualInception(Parallel(Branch(4, (8, 3))), 4, scale=0.5, activation=False).eval()
    maps = torch.randn(2, 4, 6, 6)
    branches = block.branches(maps)
    expected = maps + 0.5 * torch.einsum("oi,bihw->bohw", block.expand.weight[:, :, 0, 0], branches)
    expected = expected + 0.5 * block.expand.bias[:, None, None]
    assert torch.allclose(block(maps), expected, atol=1e-6)


def test_flat_kernels_have_fewer_weights_than_the_square_they_reach():
    flat = Branch(64, (64, (1, 7)), (64, (7, 1)))
    square = Branch(64, (64, 7))
    weights = [part[0][0].weight.numel() * len(part) for part in (flat, square)]
    assert weights == [2 * 7 * 64 * 64, 49 * 64 * 64]
    for branch in (flat, square):
        maps = torch.ones(1, 64, 15, 15, requires_grad=True)
        branch.eval()(maps)[0, :, 7, 7].sum().backward()
        seen = maps.grad[0].abs().sum(dim=0) > 0
        expected = torch.zeros(15, 15, dtype=torch.bool)
        expected[4:11, 4:11] = True
        assert torch.equal(seen, expected)
