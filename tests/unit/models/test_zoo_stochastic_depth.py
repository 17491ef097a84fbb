"""What is known of stochastic depth."""

import pytest
import torch
from torch import nn

from clslab import models
from clslab.models import cost
from clslab.models.zoo.stochastic_depth import SometimesLeftOut, survival_probabilities
from clslab.seeds import seed_everything

NAMES = {"stochastic_depth18": ("resnet18", 8), "stochastic_depth50": ("resnet50", 16)}


def branches(model: nn.Module) -> list[SometimesLeftOut]:
    return [part for part in model.modules() if isinstance(part, SometimesLeftOut)]


@pytest.mark.parametrize("name", NAMES)
def test_survival_falls_on_a_line_from_nearly_1_to_a_half(name):
    with torch.device("meta"):
        found = [part.survival for part in branches(models.create(name, num_classes=10, width=1))]
    count = NAMES[name][1]
    assert found == pytest.approx([1 - number / (2 * count) for number in range(1, count + 1)])
    assert (found[0], found[-1]) == pytest.approx((1 - 1 / (2 * count), 0.5))


def test_drop_path_is_the_last_blocks_probability_to_be_left_out():
    assert survival_probabilities(4, drop_path=0.2) == pytest.approx([0.95, 0.9, 0.85, 0.8])
    with torch.device("meta"):
        model = models.create("stochastic_depth18", num_classes=10, width=1, drop_path=0.2)
    assert branches(model)[-1].survival == pytest.approx(0.8)


@pytest.mark.parametrize("name", NAMES)
def test_it_costs_what_the_residual_network_costs(name):
    assert cost.measure(name) == cost.measure(NAMES[name][0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [True, False])
def test_with_all_blocks_kept_it_is_the_residual_network(name, training):
    seed_everything(0)
    ours = models.create(name, num_classes=10, width=4, drop_path=0.0).train(training)
    plain = models.create(NAMES[name][0], num_classes=10, width=4).train(training)
    plain.load_state_dict(dict(zip(plain.state_dict(), ours.state_dict().values(), strict=True)))
    pictures = torch.randn(4, 3, 16, 16)
    assert torch.equal(ours(pictures), plain(pictures))


def test_evaluation_is_the_mean_over_many_draws():
    seed_everything(0)
    # Linear, so that the mean of what comes out is the output of the mean.
    branch, maps, draws = SometimesLeftOut(nn.Conv2d(3, 3, 1, bias=False), survival=0.7), torch.randn(2, 3, 4, 4), 4000
    with torch.no_grad():
        mean = sum(maps + branch.train()(maps) for _ in range(draws)) / draws
        expected = maps + branch.eval()(maps)
        whole = branch.residual(maps)
    spread = (0.7 * 0.3 / draws) ** 0.5
    assert ((mean - expected).abs() <= 4 * spread * whole.abs() + 1e-5).all()
    assert torch.equal(expected, maps + 0.7 * whole)


def test_one_draw_holds_for_the_whole_batch():
    seed_everything(0)
    branch, maps = SometimesLeftOut(nn.Conv2d(3, 3, 1), survival=0.5).train(), torch.randn(8, 3, 4, 4)
    with torch.no_grad():
        whole = branch.residual(maps)
        found = [maps + branch(maps) for _ in range(50)]
    kept = [torch.equal(one, maps + whole) for one in found]
    left_out = [torch.equal(one, maps) for one in found]
    assert all(a or b for a, b in zip(kept, left_out, strict=True))
    assert 10 <= sum(kept) <= 40


def test_what_is_left_out_is_not_computed_and_moves_no_statistics():
    branch = SometimesLeftOut(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)), survival=0.0).train()
    calls = []
    branch.residual.register_forward_hook(lambda *_: calls.append(1))
    maps = torch.randn(4, 3, 4, 4)
    (maps + branch(maps)).sum().backward()
    assert calls == []
    assert branch.residual[1].num_batches_tracked == 0
    assert [weights.grad.any().item() for weights in branch.parameters()] == [False] * 4  # a gradient, and it is zero


def test_the_seed_decides_what_is_left_out():
    seed_everything(0)
    model = models.create("stochastic_depth18", num_classes=10, width=4).train()
    pictures, found = torch.randn(4, 3, 16, 16), []
    for seed in (1, 1, 2, 3, 4):
        seed_everything(seed)
        found.append(model(pictures))
    assert torch.equal(found[0], found[1])
    assert any(not torch.equal(found[0], other) for other in found[2:])


@pytest.mark.parametrize("survival", [-0.1, 1.1])
def test_a_survival_that_is_no_probability_is_refused(survival):
    with pytest.raises(ValueError, match=f"survival is {survival}; give a probability"):
        SometimesLeftOut(nn.Identity(), survival)


def test_what_is_left_out_does_not_stop_training_in_several_processes():
    # One process is enough: the next step fails if a parameter had no gradient in the last one.
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        model = models.create("stochastic_depth18", num_classes=10, width=4)
        for branch in branches(model)[::2]:
            branch.survival = 0.0
        together = nn.parallel.DistributedDataParallel(model)
        for _ in range(3):
            together(torch.randn(2, 3, 16, 16)).sum().backward()
        assert all(weights.grad is not None for weights in model.parameters())
    finally:
        torch.distributed.destroy_process_group()
