"""A run that was cut in two has to be the run that was not, bit by bit."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from clslab import checkpoint as checkpoint_module
from clslab import seeds
from clslab.checkpoint import random_state, read_checkpoint, restore_random_state
from clslab.device import Machine
from clslab.recipe import Recipe
from clslab.train import fit

RECIPES = {
    "adamw, cosine": Recipe(epochs=4, lr=0.02, warmup=0.5, clip_norm=1.0),
    "momentum, steps": Recipe(
        epochs=4,
        lr=0.05,
        optimizer="sgd",
        optimizer_options={"momentum": 0.9},
        schedule="step",
        schedule_options={"step_size": 2},
    ),
    "rmsprop, constant": Recipe(epochs=4, optimizer="rmsprop", lr=0.003, schedule="constant"),
    "bf16": Recipe(epochs=4, precision="bf16"),
}


def stop_after(epoch):
    """A callback that interrupts the run during the epoch after this one."""

    def interrupt(record):
        if record["epoch"] == epoch + 1:
            raise KeyboardInterrupt

    return interrupt


def flat(state, path=""):
    """Every value of nested dicts and lists, by its path."""
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in flat(value, f"{path}/{key}").items()}
    if isinstance(state, list | tuple):
        return {k: v for key, value in enumerate(state) for k, v in flat(value, f"{path}/{key}").items()}
    return {path: state}


def assert_identical(first, second):
    first, second = flat(first), flat(second)
    assert first.keys() == second.keys()
    for path, value in first.items():
        if path.endswith("/seconds"):
            continue  # the clock is the only thing that may differ
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, second[path]), path
        else:
            assert value == second[path], path


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("workers", [0, 1])
def test_two_epochs_and_two_resumed_are_four(name, workers, net, loaders, tmp_path):
    if workers and name != "adamw, cosine":
        workers = 0  # processes are slow to start: one recipe shows it
    recipe, options = RECIPES[name], {"num_workers": workers}
    straight = net()
    history = fit(straight, *loaders(**options), recipe, checkpoint=tmp_path / "straight.pt")

    first = fit(net(), *loaders(**options), recipe, checkpoint=tmp_path / "cut.pt", on_epoch=stop_after(2))
    assert (first.stopped, len(read_checkpoint(tmp_path / "cut.pt")["parts"]["history"]["records"])) == (
        "interrupted",
        2,
    )
    seeds.seed_everything(99)  # the resumed process starts with other random numbers and weights
    resumed = net(seed=42)
    second = fit(resumed, *loaders(**options), recipe, checkpoint=tmp_path / "cut.pt", resume=tmp_path / "cut.pt")

    assert_identical(straight.state_dict(), resumed.state_dict())
    assert_identical(history.state_dict(), second.state_dict())
    # The checkpoints hold everything else: optimizer, scheduler, best weights, every generator.
    assert_identical(read_checkpoint(tmp_path / "straight.pt"), read_checkpoint(tmp_path / "cut.pt"))


def test_resuming_a_finished_run_gives_it_again(net, loaders, tmp_path):
    recipe, model = RECIPES["adamw, cosine"], net()
    history = fit(model, *loaders(), recipe, checkpoint=tmp_path / "run.pt")
    again = net(seed=1)
    assert fit(again, *loaders(), recipe, resume=tmp_path / "run.pt") == history
    assert_identical(model.state_dict(), again.state_dict())


def test_patience_counts_across_a_resume(net, loaders, tmp_path):
    recipe = Recipe(epochs=8, lr=1e-9, schedule="constant")  # nothing is learnt: epoch 1 stays the best
    model, path = nn.Linear(6, 3), tmp_path / "run.pt"
    cut = fit(model, *loaders(), recipe, patience=3, checkpoint=path, on_epoch=stop_after(2))
    resumed = fit(model, *loaders(), recipe, patience=3, resume=path)
    assert (cut.stopped, resumed.stopped) == ("interrupted", "patience")
    assert (len(resumed), resumed.best_epoch) == (4, 1)


def test_another_recipe_is_refused(net, loaders, tmp_path):
    fit(net(), *loaders(), RECIPES["adamw, cosine"], checkpoint=tmp_path / "run.pt")
    other = RECIPES["adamw, cosine"].replace(lr=0.5)
    with pytest.raises(ValueError, match=r"another recipe \(lr 0\.02 -> 0\.5\)"):
        fit(net(), *loaders(), other, resume=tmp_path / "run.pt")
    with pytest.raises(ValueError, match="epochs 4 -> 8"):
        fit(net(), *loaders(), RECIPES["adamw, cosine"].replace(epochs=8), resume=tmp_path / "run.pt")


def test_more_epochs_are_welcome_where_no_rate_depends_on_them(net, loaders, tmp_path):
    recipe, straight = RECIPES["momentum, steps"], net()
    fit(straight, *loaders(), recipe)
    fit(net(), *loaders(), recipe.replace(epochs=2), checkpoint=tmp_path / "run.pt")
    resumed = net(seed=3)
    fit(resumed, *loaders(), recipe, resume=tmp_path / "run.pt")
    assert_identical(straight.state_dict(), resumed.state_dict())


def test_another_kind_of_loader_is_refused(net, loaders, tmp_path):
    recipe = RECIPES["adamw, cosine"]
    fit(net(), *loaders(), recipe, checkpoint=tmp_path / "run.pt")
    with pytest.raises(ValueError, match=r"1 loader generators, this run has .* 0"):
        fit(net(), *loaders(generator=None), recipe, resume=tmp_path / "run.pt")


def test_no_checkpoint_is_a_clear_error(net, loaders, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*none\.pt"):
        fit(net(), *loaders(), RECIPES["bf16"], resume=tmp_path / "none.pt")


def test_the_machine_of_the_checkpoint_is_used_again(net, loaders, tmp_path):
    recipe = Recipe(epochs=3)
    machine = Machine(precision="bf16", name="the first")
    fit(net(), *loaders(), recipe, machine=machine, checkpoint=tmp_path / "run.pt", on_epoch=stop_after(1))
    assert Machine.from_dict(read_checkpoint(tmp_path / "run.pt")["machine"]) == machine
    seen, model = [], net()
    model.head.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    fit(model, *loaders(), recipe, resume=tmp_path / "run.pt", checkpoint=tmp_path / "run.pt")
    assert set(seen) == {torch.bfloat16}
    assert Machine.from_dict(read_checkpoint(tmp_path / "run.pt")["machine"]) == machine


def test_a_checkpoint_is_written_whole_or_not_at_all(monkeypatch, net, loaders, tmp_path):
    path, recipe = tmp_path / "deep" / "run.pt", RECIPES["rmsprop, constant"]
    fit(net(), *loaders(), recipe, checkpoint=path)
    assert [each.name for each in path.parent.iterdir()] == ["run.pt"]
    before = path.read_bytes()

    def fails(state, file):
        file.write_bytes(b"half of it")
        raise OSError("no space left")

    monkeypatch.setattr(checkpoint_module.torch, "save", fails)
    with pytest.raises(OSError, match="no space left"):
        fit(net(), *loaders(), recipe, checkpoint=path)
    assert path.read_bytes() == before


def test_a_scale_of_the_loss_is_not_made_up(net, loaders, tmp_path):
    recipe, path = Recipe(epochs=3), tmp_path / "run.pt"
    fit(net(), *loaders(), recipe, machine=Machine(), checkpoint=path, on_epoch=stop_after(1))
    state = read_checkpoint(path)
    state["machine"]["precision"] = "fp16"
    torch.save(state, path)
    with pytest.raises(
        ValueError, match=r"was trained in fp16, and this run is in fp32; resume with the same precision"
    ):
        fit(net(), *loaders(), recipe, machine=Machine(), resume=path)


def test_a_machine_with_fewer_devices_restores_those_that_it_has(monkeypatch):
    given = {}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: given.update({device: state}))
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: ["of the first", "of the second"])
    restore_random_state(random_state())
    assert given == {0: "of the first"}


def test_every_generator_is_restored():
    seeds.seed_everything(0)
    np.random.randn()  # leaves half of a pair of normal numbers behind  # noqa: NPY002
    state = random_state()
    first = random.random(), np.random.randn(), np.random.rand(), float(torch.rand(1))  # noqa: NPY002
    seeds.seed_everything(1)
    restore_random_state(state)
    assert (random.random(), np.random.randn(), np.random.rand(), float(torch.rand(1))) == first  # noqa: NPY002
