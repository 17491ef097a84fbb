"""`python -m clslab lr-find`, as a user calls it."""

import functools
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from clslab import cli, data, losses, optim
from clslab.commands import lr_find
from clslab.device import Machine
from clslab.lr_finder import RULES, LRCurve, Spread, range_test
from clslab.recipe import Recipe
from clslab.routes import Shelf, Task, before_training, train_task, training_indices

RECIPE = Recipe(
    data="cifar100",
    image_size=32,
    model="resnet9",
    model_options={"width": 2},
    pretrained=False,
    train_part="scratch",
    augment="shift-flip",
    batch_size=16,
    optimizer="sgd",
    optimizer_options={"momentum": 0.9},
    precision="fp32",
)
CPU = Machine("cpu", threads=1, name="test")


@pytest.fixture(scope="module")
def drawn_once():
    """`data.load`, which here draws each set once for the whole module."""
    return functools.cache(data.load)


@pytest.fixture(autouse=True)
def small_drawings(monkeypatch, tmp_path, drawn_once):
    """Test on a few drawings, whatever lies on the machine, with one thread."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("CLSLAB_DATA", str(tmp_path / "empty"))
    monkeypatch.setattr(data, "load", drawn_once)
    monkeypatch.setenv("CLSLAB_PROFILE", "smoke")
    monkeypatch.setenv("CLSLAB_DEVICE", "cpu")
    monkeypatch.setenv("CLSLAB_THREADS", "1")
    monkeypatch.setenv("CLSLAB_MEMORY_FORMAT", "contiguous")


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "small.toml"
    RECIPE.to_toml(path)
    return path


def call(*arguments):
    return cli.main(["lr-find", *(str(argument) for argument in arguments)])


def task_of(recipe):
    shelf = Shelf()
    splits = shelf.splits(recipe)
    return Task(recipe, splits, training_indices(splits, recipe), CPU, shelf)


def test_a_test_from_end_to_end(recipe, tmp_path, capsys):
    out = tmp_path / "found" / "here"
    assert call(recipe, "--seeds", 2, "--steps", 12, "--start", 1e-3, "--end", 100, "--out", out) == 0
    printed = capsys.readouterr().out.splitlines()
    assert sorted(path.name for path in out.iterdir()) == ["lr_curve.csv", "lr_curve.png"]
    table = pd.read_csv(out / "lr_curve.csv")
    assert list(table.columns) == ["seed", "lr", "loss", "smoothed"]
    assert set(table["seed"]) == {0, 1}
    assert table["lr"].min() == pytest.approx(1e-3)
    with Image.open(out / "lr_curve.png") as picture:
        assert picture.width == 864
    assert sum(line.startswith("machine: cpu") for line in printed) == 1
    assert [line.split()[0] for line in printed if line.split()[0] in RULES] == list(RULES)
    assert printed[-1].startswith("written: ")


def test_the_curve_is_that_of_the_recipe(recipe, tmp_path):
    """The same numbers as without the command: model, order and augmentation are those that training begins with."""
    assert call(recipe, "--seeds", 2, "--steps", 12, "--out", tmp_path, "--set", "batch_size=8") == 0
    table = pd.read_csv(tmp_path / "lr_curve.csv")
    for seed in (0, 1):
        seeded = RECIPE.replace(seed=seed, batch_size=8)
        model, batches, machine = before_training(task_of(seeded))
        criterion, optimizer = losses.create(seeded), optim.create(seeded, model)
        curve = range_test(model, optimizer, criterion, batches, start=1e-5, steps=12, machine=machine)
        assert table.loc[table["seed"] == seed, "loss"].to_numpy() == pytest.approx(curve.losses, rel=1e-5)


def test_before_training_is_where_training_begins():
    """One step of `fit` at a rate that moves nothing has the loss of the first batch of a range test."""
    tiny = RECIPE.replace(epochs=1, lr=1e-12, schedule="constant", weight_decay=0.0, subset=1, batch_size=200)
    history = train_task(task_of(tiny)).history
    model, batches, machine = before_training(task_of(tiny))
    curve = range_test(model, optim.create(tiny, model), losses.create(tiny), batches, steps=10, machine=machine)
    assert curve.losses[0] == pytest.approx(history[0]["train_loss"], rel=1e-4)


def test_several_levels_begin_with_the_weights_of_the_first_epoch():
    rows = [[0.9, 0.1], [0.0, 1.0]]
    tree = RECIPE.replace(hierarchy={"mode": "joint", "weights": rows, "starts": [0, 5]}, label_smoothing=0.1)
    task = task_of(tree)
    model, batches, _ = before_training(task)
    inputs, targets = next(iter(batches))
    with torch.no_grad():
        outputs = model(inputs)
        found = lr_find._criterion(task, model)(outputs, targets)
    pairs = zip(outputs, targets.T, strict=True)
    each = [torch.nn.functional.cross_entropy(*pair, label_smoothing=0.1) for pair in pairs]
    assert found.item() == pytest.approx(0.9 * each[0].item() + 0.1 * each[1].item())


def test_two_stages_have_no_single_range(recipe, tmp_path, capsys):
    RECIPE.replace(hierarchy={"mode": "two-stage", "first_epochs": 1}).to_toml(tmp_path / "two.toml")
    assert call(tmp_path / "two.toml", "--seeds", 1, "--steps", 10, "--out", tmp_path / "out") == cli.EXIT_MISTAKE
    assert "trains two networks one after the other" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adamw", "optimizer_options": {}},
        {"sam_rho": 0.05},
        {"mix": "mixup", "label_smoothing": 0.1},
        {"model": "small_cnn", "model_options": {"width": 4}, "loss": "nll"},
        {"model": "small_cnn", "model_options": {"width": 4}, "augment": "resize", "image_size": 16},
        {"hierarchy": {"mode": "flat"}, "label_smoothing": 0.1},
        {"hierarchy": {"mode": "joint", "weights": [[0.9, 0.1], [0, 1]], "starts": [0, 5]}},
        {
            "data": "debris",
            "model": "efficientnet_lite0",
            "model_options": {},
            "augment": "resize",
            "train_part": "head",
        },
    ],
)
def test_other_recipes(changes, tmp_path):
    RECIPE.replace(**changes).to_toml(tmp_path / "other.toml")
    assert call(tmp_path / "other.toml", "--seeds", 1, "--steps", 10, "--out", tmp_path) == 0
    assert len(pd.read_csv(tmp_path / "lr_curve.csv")) > 3


def test_the_folder_is_named_for_the_recipe(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(recipe, "--seeds", 1, "--steps", 10) == 0
    assert (tmp_path / "runs" / "small-lr-find" / "lr_curve.png").exists()


def test_every_rule_and_the_spread_are_printed(capsys):
    lrs = np.geomspace(1e-4, 10, 60)
    curves = {}
    for seed, shift in enumerate((0.5, 1.0, 2.0)):
        at = np.log10(lrs * shift)
        curves[seed] = LRCurve(lrs, 4 - 1 / (1 + np.exp(-4 * (at + 2))) + np.exp(4 * (at - 0.6)))
    curves[3] = LRCurve(lrs, np.full(60, 4.0))
    spread = Spread(curves)
    lr_find._report(spread)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rule", "seed", "0", "seed", "1", "seed", "2", "seed", "3", "median", "factor"]
    for rule, line in zip(RULES, lines[1:], strict=False):
        name, *numbers, median, factor = line.split()
        assert name == rule
        assert numbers[3] == "–"
        assert [float(number) for number in numbers[:3]] == pytest.approx(
            [lr for lr in spread.suggestions(rule).values() if math.isfinite(lr)], rel=0.01
        )
        assert float(median) == pytest.approx(spread.median(rule), rel=0.01)
        assert float(factor) == pytest.approx(spread.to_frame().loc[rule, "factor"], abs=0.06)
    assert lines[5].startswith("seed 3 suggests nothing by some rule: the loss falls by 0 at most")
    assert "it is not a suggestion" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.toml"], "no TOML file at none.toml"),
        (["{small}", "--seeds", "0"], "--seeds 0 is out of range"),
        (["{small}", "--steps", "3"], "steps = 3 are too few"),
        (["{small}", "--start", "1", "--end", "0.1"], "start below end"),
        (["{small}", "--set", "lrr=0.1"], "the nearest one is 'lr'"),
        (
            ["{small}", "--set", 'model="majority"', "--set", "augment=resize"],
            "model = 'majority' is not trained batch",
        ),
        (["{probe}"], "train_part = 'probe' is not trained batch by batch from the start"),
        (["{small}", "--out", "{small}"], "is a file; give a folder"),
    ],
)
def test_mistakes_are_explained(arguments, words, recipe, tmp_path, capsys):
    Recipe(train_part="probe").to_toml(tmp_path / "probe.toml")
    files = {path.stem: path for path in tmp_path.glob("*.toml")}
    given = [argument.format(**files) for argument in arguments]
    assert call(*given, *([] if "--out" in given else ["--out", tmp_path / "out"])) == 2
    error = capsys.readouterr().err
    assert words in error
    assert not (tmp_path / "out").exists()


def test_registering_loads_no_torch():
    program = "import sys; from clslab import cli; cli.parser(); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
