import copy

import pytest
import torch
from torch import nn

from clslab.averaging import WeightAverage


def moved(model, steps, average):
    """Random walks of every tensor; the path of each."""
    generator = torch.Generator().manual_seed(4)
    paths = {name: [] for name in model.state_dict()}
    for _ in range(steps):
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                if tensor.is_floating_point():
                    tensor.add_(torch.randn(tensor.shape, generator=generator))
                else:
                    tensor.add_(3)
                paths[name].append(tensor.clone())
        average.update(model)
    return paths


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


@pytest.mark.parametrize("decay", [0.0, 0.6, 0.999])
def test_it_is_the_recursion(model, decay):
    average = WeightAverage(model, decay)
    paths = moved(model, 30, average)
    assert average.steps == 30
    for name, found in average.module.state_dict().items():
        if not found.is_floating_point():
            assert torch.equal(found, paths[name][-1])  # a counter is that of the last step
            continue
        expected = paths[name][0].double()
        for step, value in enumerate(paths[name][1:], 1):
            share = min(decay, (1 + step) / (10 + step))
            expected = share * expected + (1 - share) * value
        assert torch.allclose(found.double(), expected, atol=1e-5), name


def test_batch_norms_statistics_are_averaged_as_the_weights_are(model):
    average = WeightAverage(model, 0.9)
    moved(model, 5, average)
    assert not torch.equal(average.module[1].running_mean, model[1].running_mean)


def test_a_short_run_is_not_stuck_at_its_beginning():
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, 0.9999)
    nn.init.zeros_(model.weight)
    average.update(model)
    nn.init.ones_(model.weight)
    for _ in range(50):
        average.update(model)
    assert average.module.weight.item() > 0.99  # with the full decay from the start it would be 0.005


def test_the_model_is_left_alone_and_the_average_is_its_own(model):
    before = copy.deepcopy(model.state_dict())
    average = WeightAverage(model, 0.9)
    average.update(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(weight.requires_grad for weight in model.parameters())
    assert not any(weight.requires_grad for weight in average.module.parameters())
    with torch.no_grad():
        model[0].weight.fill_(9.0)
    assert average.module[0].weight.max() < 9


def test_it_goes_on_from_a_saved_state(model):
    average = WeightAverage(model, 0.9)
    moved(model, 7, average)
    other = WeightAverage(copy.deepcopy(model), 0.9)
    other.load_state_dict(copy.deepcopy(average.state_dict()))
    twin = copy.deepcopy(model)
    moved(model, 3, average)
    moved(twin, 3, other)
    assert other.steps == 10
    expected = average.module.state_dict()
    assert all(torch.equal(expected[name], tensor) for name, tensor in other.module.state_dict().items())


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_out_of_range_is_refused(model, decay):
    with pytest.raises(ValueError, match=f"decay = {decay}: it has to be at least 0 and below 1"):
        WeightAverage(model, decay)
