"""What is known of the ShuffleNets."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from references import assert_same_logits, parameters
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from clslab import models
from clslab.models.zoo import shufflenet


def test_with_torchvisions_weights_v2_says_the_same():
    theirs = torchvision.models.shufflenet_v2_x1_0(num_classes=10)
    theirs.conv1[0].stride = (1, 1)
    theirs.maxpool = nn.Identity()
    assert_same_logits(models.create("shufflenetv2", num_classes=10), theirs, side=32)


def test_v1_has_the_multiply_adds_of_its_paper():
    """137 million at 224 pixels, 1,000 classes and three groups (table 1), with the paper's stem."""
    with torch.device("meta"):
        model = models.create("shufflenet", num_classes=1000).eval()
        maps = torch.zeros(1, 24, 56, 56)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.head(model.pool(model.stages(maps)).flatten(1))
    stem = 3 * 9 * 24 * 112**2
    assert counter.get_total_flops() / 2 + stem == pytest.approx(137e6, abs=0.5e6)


def test_v2_has_the_parameters_of_its_paper():
    assert parameters("shufflenetv2", 1000) == pytest.approx(2.3e6, rel=0.02)


def heard(unit: nn.Module, channels: int) -> torch.Tensor:
    """Which channel of the input reaches which channel of the output: `[channels, out_channels]`."""
    maps = torch.randn(1, channels, 4, 4, requires_grad=True)
    found = []
    for one in unit.eval()(maps)[0]:
        (gradient,) = torch.autograd.grad(one.sum(), maps, retain_graph=True)
        found.append(gradient[0].abs().sum(dim=(1, 2)) > 0)
    return torch.stack(found, dim=1)


def test_without_the_shuffle_a_group_would_hear_itself_only():
    torch.manual_seed(0)
    unit = shufflenet.ShuffleUnit(24, 24, 1).residual
    # Ours has two channels of the bottleneck in each group: with the shuffle each group gets some from every other.
    with_shuffle = heard(unit, 24)
    assert with_shuffle[:8, 8:].any()
    assert with_shuffle[8:, :8].any()
    unit[1] = nn.Identity()
    alone = heard(unit, 24)
    same_group = torch.block_diag(*[torch.ones(8, 8, dtype=torch.bool)] * 3)
    assert not (alone & ~same_group).any()


def test_a_unit_is_the_plain_chain_of_its_description():
    torch.manual_seed(0)
    unit = shufflenet.ShuffleUnit(24, 24, 1).eval()
    convolutions = [part for part in unit.modules() if isinstance(part, nn.Conv2d)]
    norms = [part for part in unit.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)

    def in_thirds(maps, weights):
        return torch.cat([F.conv2d(*pair) for pair in zip(maps.chunk(3, 1), weights.chunk(3), strict=True)], dim=1)

    maps = torch.randn(2, 24, 8, 8)
    inside = F.relu(norms[0](in_thirds(maps, convolutions[0].weight)))
    inside = inside[:, [0, 2, 4, 1, 3, 5]]  # three groups of two: the first of each, then the second of each
    inside = norms[1](F.conv2d(inside, convolutions[1].weight, padding=1, groups=6))  # no ReLU here
    expected = F.relu(maps + norms[2](in_thirds(inside, convolutions[2].weight)))
    assert torch.allclose(unit(maps), expected, atol=1e-6)


def test_a_unit_with_stride_puts_the_averaged_input_beside_what_it_makes():
    unit = shufflenet.ShuffleUnit(12, 24, 2).eval()
    maps = torch.rand(2, 12, 8, 8)
    found = unit(maps)
    assert found.shape == (2, 24, 4, 4)
    assert torch.equal(found[:, :12], unit.average(maps))


def test_half_of_the_channels_pass_a_split_unit_untouched():
    unit = shufflenet.SplitUnit(8, 8, 1).eval()
    maps = torch.randn(2, 8, 4, 4)
    found = unit(maps)
    assert torch.equal(found[:, ::2], maps[:, :4])  # the shuffle spreads them over every second channel
    with pytest.raises(AssertionError):
        torch.testing.assert_close(found[:, 1::2], maps[:, 4:])


@pytest.mark.parametrize("width", [1, 4, 8, 10])
def test_groups_are_equal_at_any_width(width):
    model = models.create("shufflenet", num_classes=10, width=width)
    grouped = [part for part in model.modules() if isinstance(part, nn.Conv2d) and part.groups == 3]
    assert grouped
    assert all(part.in_channels % 3 == 0 and part.out_channels % 3 == 0 for part in grouped)


def test_the_shuffle_survives_channels_last():
    torch.manual_seed(0)
    pictures = torch.randn(2, 3, 32, 32)
    for name in shufflenet.BUILDERS:
        model = models.create(name, num_classes=10, width=6).eval()
        expected = model(pictures)
        found = model.to(memory_format=torch.channels_last)(pictures.to(memory_format=torch.channels_last))
        assert torch.allclose(found, expected, atol=1e-5)
