"""What is known of ResNet in ResNet."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clslab import models
from clslab.models.zoo import rir
from clslab.seeds import seed_everything


@pytest.mark.parametrize(("in_channels", "out_channels", "stride"), [(4, 4, 1), (4, 8, 2)])
def test_a_layer_is_the_papers_equation(in_channels, out_channels, stride):
    seed_everything(0)
    layer = rir.GeneralizedLayer(in_channels, out_channels, stride).eval()
    for values in (layer.norm.running_mean, layer.norm.running_var, layer.norm.weight, layer.norm.bias):
        nn.init.uniform_(values, 0.5, 1.5)
    r, t = torch.randn(2, 2, in_channels // 2, 6, 6)
    into_r, into_t = layer.convolution.weight.chunk(2, dim=0)

    def convolved(maps, weights):
        return F.conv2d(maps, weights, stride=stride, padding=1)

    (rr, tr), (rt, tt) = into_r.chunk(2, dim=1), into_t.chunk(2, dim=1)
    new_r = convolved(r, rr) + convolved(t, tr) + layer.shortcut(r)
    new_t = convolved(r, rt) + convolved(t, tt)
    norm = layer.norm
    scaled = (torch.cat([new_r, new_t], dim=1) - norm.running_mean[:, None, None]) / (
        norm.running_var[:, None, None] + norm.eps
    ).sqrt()
    expected = F.relu(scaled * norm.weight[:, None, None] + norm.bias[:, None, None])
    torch.testing.assert_close(layer(torch.cat([r, t], dim=1)), expected, rtol=1e-4, atol=1e-5)


def test_the_streams_exchange_what_they_find_and_only_one_has_a_shortcut():
    layer = rir.GeneralizedLayer(4, 4, 1).eval()
    maps = torch.rand(1, 4, 5, 5)
    changed = maps.clone()
    changed[:, 0] += 1  # of the residual stream
    assert not torch.equal(layer(maps)[:, 2:], layer(changed)[:, 2:])
    nn.init.zeros_(layer.convolution.weight)
    found = layer(maps)
    torch.testing.assert_close(found[:, :2], maps[:, :2], rtol=1e-4, atol=1e-5)
    assert not found[:, 2:].any()


def test_a_block_adds_its_input():
    block = rir.RiRBlock(4, 4, 1)
    nn.init.zeros_(block.layers[1].norm.weight)
    maps = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(maps), maps)


def test_eighteen_layers():
    with torch.device("meta"):
        model = models.create("rir", num_classes=10)
    weighted = [part for part in model.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert sum(not isinstance(part, nn.Conv2d) or part.kernel_size == (3, 3) for part in weighted) == 18


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="width is 7; give an even number, for two streams"):
        models.create("rir", num_classes=10, width=7)
