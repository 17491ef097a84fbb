"""What is known of residual attention networks."""

import pytest
import torch
from torch import nn

from clslab import models
from clslab.models import cost
from clslab.models.zoo import attention
from clslab.seeds import seed_everything


@pytest.mark.parametrize(("name", "millions", "billions"), [("attention56", 31.9, 6.3), ("attention92", 51.3, 10.4)])
def test_as_large_as_in_the_paper(name, millions, billions):
    # The paper's first stage sees 56 by 56 places of 224 by 224 pixels; its stem takes 0.1 billion more than ours.
    found = cost.measure(name, num_classes=1000, image_size=56)
    assert found.parameters / 1e6 == pytest.approx(millions, rel=0.025)
    assert found.macs / 1e9 + 0.1 == pytest.approx(billions, rel=0.025)


def test_the_mask_strengthens_the_trunk_and_never_wipes_it_out():
    seed_everything(0)
    module = attention.AttentionModule(8, halvings=2).eval()
    maps = torch.randn(2, 8, 8, 8)
    trunk = module.trunk(module.before(maps))
    last = module.mask[-2]
    assert isinstance(last, nn.Conv2d)
    nn.init.zeros_(last.weight)  # the sigmoid of 0 is a half
    torch.testing.assert_close(module(maps), module.after(1.5 * trunk))
    module.mask[-1] = nn.Threshold(2.0, 0.0)  # a mask of zeros
    torch.testing.assert_close(module(maps), module.after(trunk))


def test_masks_are_computed_down_to_4_by_4():
    model = models.create("attention92", num_classes=10, width=1).eval()
    sides = []
    for part in model.modules():
        if isinstance(part, attention.Hourglass) and part.inner is None:
            part.up.register_forward_hook(lambda _module, _inputs, maps: sides.append(tuple(maps.shape[-2:])))
    model(torch.zeros(1, 3, 32, 32))
    assert sides == [(4, 4)] * 6


@pytest.mark.parametrize("side", [(8, 8), (9, 6), (1, 1)])
def test_an_hourglass_keeps_the_shape(side):
    assert attention.Hourglass(8, 3)(torch.zeros(2, 8, *side)).shape == (2, 8, *side)


def test_the_number_of_modules_of_each_stage():
    for name, modules in (("attention56", [1, 1, 1]), ("attention92", [1, 2, 3])):
        with torch.device("meta"):
            model = models.create(name, num_classes=10)
        assert [len(stage) - 1 for stage in model.stages] == modules


def test_it_ends_in_norm_and_relu():
    with torch.device("meta"):
        model = models.create("attention56", num_classes=10)
    assert [type(part) for part in model.last] == [nn.BatchNorm2d, nn.ReLU]


def test_a_sum_passes_a_unit_unchanged():
    unit = attention.ResidualUnit(8, 8)
    nn.init.zeros_(unit.residual[-1].weight)
    maps = torch.randn(2, 8, 4, 4)
    assert torch.equal(unit(maps), maps)
