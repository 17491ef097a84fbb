import pytest
import timm
import torch
from torch import nn

from clslab import optim
from clslab.recipe import Recipe


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.batch = nn.BatchNorm2d(4)
        self.layer = nn.LayerNorm(4)
        self.group = nn.GroupNorm(2, 4)
        self.instance = nn.InstanceNorm2d(4, affine=True)
        self.attention = nn.MultiheadAttention(4, 1)
        self.linear = nn.Linear(4, 2)


def names(model, group):
    wanted = {id(weight) for weight in group["params"]}
    return {name for name, weight in model.named_parameters() if id(weight) in wanted}


def test_norms_and_biases_are_spared():
    model = Mixed()
    decayed, spared = optim.parameter_groups(model, 0.1)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert names(model, decayed) == {
        "conv.weight",
        "linear.weight",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
    }
    everything = {name for name, _ in model.named_parameters()}
    assert names(model, spared) == everything - names(model, decayed)


def test_norms_of_timm_are_spared_too():
    model = timm.create_model("tf_efficientnet_lite0")
    _, spared = optim.parameter_groups(model, 0.1)
    assert {"bn1.weight", "blocks.0.0.bn2.weight", "classifier.bias"} <= names(model, spared)


def test_everything_decays_when_asked():
    model = Mixed()
    (group,) = optim.parameter_groups(model, 0.1, decay_norm_and_bias=True)
    assert len(group["params"]) == len(list(model.parameters()))


def test_frozen_parameters_are_left_out():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    groups = optim.parameter_groups(model, 0.1)
    assert set.union(*(names(model, group) for group in groups)) == {"1.weight", "1.bias"}


def test_a_shared_parameter_is_in_one_group_once():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    (group,) = optim.parameter_groups(model, 0.1)
    assert len(group["params"]) == 1


def test_nothing_to_train_and_negative_decay_are_errors():
    with pytest.raises(ValueError, match="nothing to train"):
        optim.parameter_groups(nn.Linear(2, 2).requires_grad_(False), 0.1)
    with pytest.raises(ValueError, match=r"-0\.1 is negative"):
        optim.parameter_groups(nn.Linear(2, 2), -0.1)


# A learning rate with which each gets down the hill below, within the steps that it is given.
RATES = {"adagrad": 0.5, "adadelta": 20.0}


@pytest.mark.parametrize("sam_rho", [0.0, 0.05])
@pytest.mark.parametrize("name", optim.NAMES)
def test_every_optimizer_gets_down_a_quadratic(name, sam_rho):
    model = nn.Module()
    model.weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
    curvature = torch.tensor([1.0, 0.3, 2.0])
    lr = RATES.get(name.removeprefix(optim.LOOKAHEAD), 0.1)
    optimizer = optim.create(Recipe(optimizer=name, lr=lr, weight_decay=0.0, sam_rho=sam_rho), model)
    assert isinstance(optimizer, optim.SAM) == (sam_rho > 0)
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = (curvature * model.weight**2).sum()
        loss.backward()
        return loss

    for _ in range(31):
        losses.append(optimizer.step(closure).item())
    assert losses[-1] < 0.5 * losses[0]
    assert losses[1] <= losses[0]  # and the first step is one down


def test_lookahead_is_timms_around_the_named_one():
    options = {"momentum": 0.9, "lookahead_k": 3, "lookahead_alpha": 0.25}
    optimizer = optim.create(Recipe(optimizer="lookahead-sgd", optimizer_options=options), nn.Linear(2, 2))
    assert isinstance(optimizer, timm.optim.Lookahead)
    assert [group["lookahead_k"] for group in optimizer.param_groups] == [3, 3]
    assert [group["lookahead_alpha"] for group in optimizer.param_groups] == [0.25, 0.25]
    assert [group["momentum"] for group in optimizer.param_groups] == [0.9, 0.9]


def test_sam_goes_around_what_the_recipe_names():
    recipe = Recipe(optimizer="lookahead-adam", lr=0.5, sam_rho=0.7, sam_adaptive=True)
    optimizer = optim.create(recipe, nn.Linear(2, 2))
    assert type(optimizer) is optim.SAM
    assert isinstance(optimizer.base_optimizer, timm.optim.Lookahead)
    for group in optimizer.param_groups:
        assert (group["lr"], group["rho"], group["adaptive"], group["lookahead_k"]) == (0.5, 0.7, True, 6)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0]
    assert optimizer.param_groups is optimizer.base_optimizer.param_groups


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_every_optimizer_takes_a_step_with_the_recipes_numbers(name):
    model = nn.Linear(2, 2)
    before = model.weight.detach().clone()
    optimizer = optim.create(Recipe(optimizer=name, lr=0.05, weight_decay=0.01), model)
    assert type(optimizer) is optim.OPTIMIZERS[name]
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.05]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0]
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert not torch.equal(model.weight, before)


def test_options_reach_the_optimizer():
    recipe = Recipe(optimizer="adam", optimizer_options={"betas": [0.8, 0.9]})
    assert optim.create(recipe, nn.Linear(2, 2)).param_groups[0]["betas"] == (0.8, 0.9)
    recipe = Recipe(optimizer="sgd", optimizer_options={"momentum": 0.9})
    assert optim.create(recipe, nn.Linear(2, 2)).param_groups[0]["momentum"] == 0.9


def test_unknown_optimizers_and_options_are_named():
    with pytest.raises(ValueError, match="unknown optimizer 'lion'; known are sgd"):
        optim.create(Recipe(optimizer="lion"), nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"unknown optimizer 'lookahead-ranger'; .* all but ranger"):
        optim.create(Recipe(optimizer="lookahead-ranger"), nn.Linear(2, 2))
    with pytest.raises(ValueError, match="optimizer_options has lookahead_k; sgd knows"):
        optim.create(Recipe(optimizer="sgd", optimizer_options={"lookahead_k": 3}), nn.Linear(2, 2))
    with pytest.raises(ValueError, match="sam_adaptive = True changes nothing without a radius"):
        optim.create(Recipe(sam_adaptive=True), nn.Linear(2, 2))
    recipe = Recipe(optimizer="sgd", optimizer_options={"betas": [0.8, 0.9]})
    with pytest.raises(ValueError, match=r"optimizer_options has betas; sgd knows .*momentum"):
        optim.create(recipe, nn.Linear(2, 2))
    with pytest.raises(ValueError, match="optimizer_options has lr"):
        optim.create(Recipe(optimizer="sgd", optimizer_options={"lr": 0.1}), nn.Linear(2, 2))
