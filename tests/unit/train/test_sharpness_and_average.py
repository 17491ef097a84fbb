"""SAM, the other optimizers and the average of the weights, inside the loop and across a resume."""

import copy

import pytest
import torch
from test_checkpoint import assert_identical, stop_after
from torch import nn

from clslab import optim, seeds, training_state
from clslab.averaging import WeightAverage
from clslab.checkpoint import read_checkpoint
from clslab.recipe import Recipe
from clslab.train import evaluate, fit, predict

RECIPE = Recipe(epochs=3, batch_size=16, optimizer="sgd", optimizer_options={"momentum": 0.9}, lr=0.05)
CLIMBING = RECIPE.replace(sam_rho=0.2)
RATES = {"adadelta": 1.0, "sgd": 0.05}


def learnt(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


# ------------------------------------------------------------------------------------------- SAM


def test_without_a_radius_a_run_is_the_plain_run(net, loaders):
    """Bit by bit, with batch norm and dropout: the second pass leaves nothing behind but its gradients."""
    ends = []
    for climbs in (False, True):
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        if climbs:
            optimizer = optim.SAM(model.parameters(), torch.optim.SGD, rho=0.0, lr=0.05, momentum=0.9)
        history = fit(model, *loaders(), RECIPE.replace(epochs=2), optimizer=optimizer)
        ends.append((learnt(model), [record["val_loss"] for record in history.records], torch.rand(1)))
    assert_identical(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]
    assert torch.equal(ends[0][2], ends[1][2])


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("clip_norm", [None, 0.3])
def test_a_step_is_the_step_by_hand(net, dataset, adaptive, clip_norm):
    model, (inputs, targets) = net(), dataset[:16]
    model.dropout.p = 0.0
    recipe = CLIMBING.replace(sam_adaptive=adaptive, clip_norm=clip_norm, schedule="constant")
    by_hand = copy.deepcopy(model).train()
    optimizer = optim.create(recipe, by_hand)

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(by_hand(inputs), targets)
        loss.backward()
        if clip_norm is not None and len(calls) % 2:  # the gradient of the second pass is the one that is clipped
            nn.utils.clip_grad_norm_(by_hand.parameters(), clip_norm)
        calls.append(loss.item())
        return loss

    calls = []
    for _ in range(3):
        optimizer.step(closure)
    history = fit(model, [(inputs, targets)], None, recipe)
    assert_identical(by_hand.state_dict(), model.state_dict())
    assert [record["train_loss"] for record in history.records] == calls[::2]
    assert model.norm.num_batches_tracked == 3


def test_it_is_another_run_than_the_plain_one(net, loaders):
    ends = []
    for recipe in (RECIPE, CLIMBING, CLIMBING.replace(sam_adaptive=True)):
        model = net()
        fit(model, *loaders(), recipe)
        ends.append(model.head.weight.detach())
    assert not torch.allclose(ends[0], ends[1], atol=1e-3)
    assert not torch.allclose(ends[1], ends[2], atol=1e-3)


def test_ctrl_c_in_the_second_pass_leaves_no_weights_half_way_up(net, loaders):
    model, passes = net(), []
    before = learnt(model)

    def interrupt(module, inputs, output):
        passes.append(1)
        if len(passes) == 2:
            raise KeyboardInterrupt

    model.head.register_forward_hook(interrupt)
    history = fit(model, loaders()[0], None, CLIMBING)
    assert (history.stopped, len(history)) == ("interrupted", 0)
    weights = dict(model.named_parameters())
    assert all(torch.equal(before[name], weight) for name, weight in weights.items())


def test_the_gradient_scaler_of_half_precision_changes_nothing(monkeypatch, net, loaders):
    ends, scalers = [], [torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=on) for on in (False, True)]
    for scaler in scalers:
        monkeypatch.setattr(torch.amp, "GradScaler", lambda enabled, made=scaler: made)
        model = net()
        fit(model, *loaders(), CLIMBING.replace(clip_norm=0.5))
        ends.append(learnt(model))
    assert_identical(*ends)


def test_an_optimizer_of_ones_own_has_to_climb_if_the_recipe_says_so(net, loaders):
    model = net()
    with pytest.raises(ValueError, match=r"sam_rho = 0\.2, and the optimizer given is a SGD without SAM"):
        fit(model, *loaders(), CLIMBING, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))


# --------------------------------------------------------------------------------- every optimizer


@pytest.mark.parametrize("sam_rho", [0.0, 0.1])
@pytest.mark.parametrize("name", optim.NAMES)
def test_every_optimizer_is_resumed_bit_by_bit(name, sam_rho, net, loaders, tmp_path):
    """Two epochs of four steps, the cut after the first: lookahead is then between two of its moves."""
    lr = RATES.get(name.removeprefix(optim.LOOKAHEAD), 0.005)
    recipe = Recipe(epochs=2, optimizer=name, lr=lr, sam_rho=sam_rho, schedule="cosine", warmup=0.5)
    if name.startswith(optim.LOOKAHEAD):
        recipe = recipe.replace(optimizer_options={"lookahead_k": 3})
    straight = net()
    before = learnt(straight)
    fit(straight, *loaders(), recipe, checkpoint=tmp_path / "straight.pt")
    fit(net(), *loaders(), recipe, checkpoint=tmp_path / "cut.pt", on_epoch=stop_after(1))
    assert len(read_checkpoint(tmp_path / "cut.pt")["parts"]["history"]["records"]) == 1
    seeds.seed_everything(99)
    resumed = net(seed=42)
    fit(resumed, *loaders(), recipe, checkpoint=tmp_path / "cut.pt", resume=tmp_path / "cut.pt")
    assert_identical(straight.state_dict(), resumed.state_dict())
    assert_identical(read_checkpoint(tmp_path / "straight.pt"), read_checkpoint(tmp_path / "cut.pt"))
    assert (before["head.weight"] - straight.head.weight).abs().max() > 1e-3


# --------------------------------------------------------------------------------------- averages


def test_the_average_is_what_is_validated_and_what_stays(net, loaders):
    recipe, model = RECIPE.replace(ema=0.8, schedule="constant"), net()
    train, val = loaders()
    raw, averaged, scores = [], [], []

    def watch(record):
        raw.append(learnt(model))

    class Kept(WeightAverage):
        def update(self, model):
            super().update(model)
            averaged.append(learnt(self.module))

    original = training_state.WeightAverage
    training_state.WeightAverage = Kept
    try:
        history = fit(model, train, val, recipe, on_epoch=watch)
    finally:
        training_state.WeightAverage = original
    ends = averaged[3::4]  # after each epoch of four steps
    assert len(ends) == 3
    for weights, record in zip(ends, history.records, strict=True):
        probe = net()
        probe.load_state_dict(weights)
        scores.append(evaluate(probe, val))
        assert (scores[-1].accuracy, scores[-1].loss) == (record["val_accuracy"], record["val_loss"])
    assert_identical(ends[history.best_epoch - 1], model.state_dict())
    assert not torch.equal(raw[-1]["head.weight"], ends[-1]["head.weight"])


def test_the_average_follows_every_step(net, dataset):
    """The recursion, from the weights that a plain run has after each of its steps."""
    recipe = RECIPE.replace(schedule="constant", epochs=5)
    plain, steps = net(), []
    fit(plain, [dataset[:16]], None, recipe, on_epoch=lambda record: steps.append(learnt(plain)))
    model = net()
    fit(model, [dataset[:16]], None, recipe.replace(ema=0.5))
    expected = steps[0]["head.weight"]
    for step, weights in enumerate(steps[1:], 1):
        share = min(0.5, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * weights["head.weight"]
    assert torch.allclose(model.head.weight, expected, atol=1e-6)
    assert not torch.allclose(model.head.weight, steps[-1]["head.weight"], atol=1e-4)


@pytest.mark.parametrize("recipe", [RECIPE.replace(ema=0.9), CLIMBING.replace(ema=0.9, optimizer="lookahead-sgd")])
@pytest.mark.parametrize("validated", [True, False])
def test_a_run_with_an_average_is_resumed_bit_by_bit(recipe, validated, net, loaders, tmp_path):
    def run(model, **options):
        train, val = loaders()
        return fit(model, train, val if validated else None, recipe, **options)

    straight = net()
    history = run(straight, checkpoint=tmp_path / "straight.pt")
    run(net(), checkpoint=tmp_path / "cut.pt", on_epoch=stop_after(1))
    seeds.seed_everything(99)
    resumed = net(seed=42)
    second = run(resumed, checkpoint=tmp_path / "cut.pt", resume=tmp_path / "cut.pt")
    assert_identical(straight.state_dict(), resumed.state_dict())
    assert_identical(history.state_dict(), second.state_dict())
    assert_identical(read_checkpoint(tmp_path / "straight.pt"), read_checkpoint(tmp_path / "cut.pt"))
    assert "average" in read_checkpoint(tmp_path / "cut.pt")["parts"]


def test_no_step_leaves_the_weights_as_they_were(net, loaders):
    model = net()
    before = learnt(model)
    fit(model, *loaders(), RECIPE.replace(ema=0.9, epochs=0))
    assert_identical(before, model.state_dict())


def test_what_is_frozen_stays_frozen_in_the_average(net, loaders):
    model = net()
    model.first.requires_grad_(False)
    before = learnt(model.first)
    fit(model, *loaders(), RECIPE.replace(ema=0.9))
    assert_identical(before, learnt(model.first))
    assert model.head.weight.requires_grad
    assert predict(model, loaders()[1])[0].isfinite().all()
