"""`python -m clslab test`: the test split of a trained run, opened once, reported as often as one likes."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from clslab import cli, data, plots, runs
from clslab.commands import test as test_command
from clslab.data import SealedTest
from clslab.device import Machine
from clslab.recipe import Recipe
from clslab.records import Run, read_record
from clslab.scorecard import Scorecard

DRAWN = data.load

SMALL = Recipe(
    data="cifar100",
    model="small_cnn",
    model_options={"width": 4},
    train_part="scratch",
    image_size=32,
    augment="shift-flip",
    epochs=2,
    batch_size=64,
    subset=2,
    tta="flip",
)
PHOTOS = Recipe(image_size=32, subset=8, epochs=1, model_options={"dropout": 0.1})
FIXED = ("--threads", 1, "--precision", "fp32", "--memory-format", "contiguous")


@pytest.fixture(scope="module", autouse=True)
def small_drawings(empty_machine):
    """A few drawings, drawn once, and one thread."""
    read = {}

    def load(*arguments, **keywords):
        key = (arguments, tuple(keywords.items()), os.environ["CLSLAB_PROFILE"])
        if key not in read:
            read[key] = DRAWN(*arguments, **keywords)
        return read[key]

    empty_machine.setattr(data, "load", load)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_figures(monkeypatch):
    """Drawing takes most of the time of a report."""
    monkeypatch.setattr(Scorecard, "figures", lambda card: {})


def call(*arguments):
    return cli.main([str(argument) for argument in arguments])


def trained(recipe, out, *options):
    recipe.to_toml(out.with_suffix(".toml"))
    assert call("train", out.with_suffix(".toml"), "--out", out, *FIXED, *options) == 0
    return out


@pytest.fixture(scope="module")
def untested(tmp_path_factory, small_drawings):
    return trained(SMALL, tmp_path_factory.mktemp("untested") / "run", "--no-test")


@pytest.fixture
def run(untested, tmp_path):
    """The folder of a run that left its test split closed."""
    return Path(shutil.copytree(untested, tmp_path / "run"))


@pytest.fixture
def opened(monkeypatch):
    """Each opening of a sealed test split."""
    times = []
    monkeypatch.setattr(SealedTest, "_open", lambda sealed: times.append(1) or sealed._dataset)
    return times


RECIPES = {
    "small pictures": SMALL,
    "log-probabilities": SMALL.replace(loss="nll"),
    "a head on features": PHOTOS,
    "photographs": PHOTOS.replace(augment="crop-flip", train_part="all", model="small_cnn", model_options={}),
    "averaged weights": SMALL.replace(ema=0.5),
    "averaged weights of the end": SMALL.replace(ema=0.9, choose_epoch=False),
    "log-probabilities of a head": PHOTOS.replace(loss="nll"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_split_opened_later_scores_as_if_opened_at_once(name, tmp_path, opened, no_figures, capsys):
    at_once = trained(RECIPES[name], tmp_path / "at_once")
    later = trained(RECIPES[name], tmp_path / "later", "--no-test")
    assert (len(opened), read_record(later / "run.json").opened_test) == (1, 0)
    assert not (later / "predictions.npz").exists()
    capsys.readouterr()
    assert call("test", later) == 0
    assert "the test split was opened now, for the only time" in capsys.readouterr().out
    expected, found = read_record(at_once / "run.json"), read_record(later / "run.json")
    assert (len(opened), found.opened_test) == (2, 1)
    assert found.metrics == expected.metrics
    for kept in ("probabilities", "targets", "ids"):
        both = [np.load(folder / "predictions.npz")[kept] for folder in (at_once, later)]
        assert np.array_equal(*both)


def test_it_is_opened_once_and_reported_again(run, opened, capsys):
    assert call("test", run) == 0
    first = capsys.readouterr().out
    record, table = (run / "run.json").read_bytes(), (run / "test_per_class.csv").read_bytes()
    assert call("test", run) == 0
    again = capsys.readouterr().out
    assert len(opened) == 1
    when = json.loads(record)["notes"]["test_opened"]
    assert again.startswith(f"the test split was opened before, at {when}; this is what was recorded then\n")
    scores = [text[text.index("test accuracy: ") :] for text in (first, again)]
    assert scores[0] == scores[1]
    for words in ("top-5 accuracy", "superclass accuracy", "calibration error", "worst classes", "confusions"):
        assert words in scores[0]
    assert ((run / "run.json").read_bytes(), (run / "test_per_class.csv").read_bytes()) == (record, table)
    names = {path.name for path in run.iterdir()}
    assert {"test_confusion.png", "test_reliability.png", "test_roc.png", "test_pr.png", "predictions.npz"} <= names
    assert len(pd.read_csv(run / "test_per_class.csv")) == 100


def test_a_run_that_train_tested_is_reported(tmp_path, opened, no_figures, capsys):
    run = trained(SMALL, tmp_path / "run")
    capsys.readouterr()
    assert call("test", run) == 0
    assert len(opened) == 1
    assert "mean average precision" in capsys.readouterr().out
    (run / "predictions.npz").unlink()
    assert call("test", run) == 0
    assert "no ROC and PR curves: they need every probability" in capsys.readouterr().out


def test_nothing_is_shown_before_it_is_recorded(run, opened, monkeypatch, capsys):
    monkeypatch.setattr("clslab.records.write_record", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
    assert call("test", run) == 2
    captured = capsys.readouterr()
    assert "the disk is full" in captured.err
    assert "accuracy" not in captured.out


@pytest.mark.parametrize("spoil", ["weights", "recipe", "data", "no checkpoint"])
def test_what_does_not_belong_together_leaves_the_split_closed(spoil, run, opened, monkeypatch, capsys):
    before = (run / "run.json").read_bytes()
    checkpoint = torch.load(run / "checkpoint.pt", weights_only=True)
    if spoil == "weights":
        best = checkpoint["parts"]["best"]["weights"]
        best |= {name: torch.randn_like(value) for name, value in best.items() if value.is_floating_point()}
    if spoil == "recipe":
        checkpoint["recipe"]["lr"] = 0.5
    torch.save(checkpoint, run / "checkpoint.pt")
    if spoil == "data":
        monkeypatch.setenv("CLSLAB_PROFILE", "cpu")
    if spoil == "no checkpoint":
        (run / "checkpoint.pt").unlink()
    assert call("test", run) == 2
    words = {
        "weights": "of 200 validation pictures otherwise than the record says",
        "recipe": "belongs to another recipe than the record",
        "data": "was trained on other pictures (stand-in)",
        "no checkpoint": "no checkpoint at",
    }
    assert words[spoil] in capsys.readouterr().err
    assert opened == []
    assert (run / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (PHOTOS.replace(model="majority", model_options={}), "majority is no network and leaves no checkpoint"),
        (PHOTOS.replace(train_part="probe", model_options={}), "a probe is no network and leaves no checkpoint"),
    ],
)
def test_without_a_network_there_is_nothing_to_restore(recipe, words, tmp_path, capsys):
    run = trained(recipe, tmp_path / "run", "--no-test")
    assert call("test", run) == 2
    assert words in capsys.readouterr().err


def test_a_folder_without_a_run(tmp_path, capsys):
    assert call("test", tmp_path / "none") == 2
    assert f"train RECIPE --out {tmp_path / 'none'} --no-test" in capsys.readouterr().err


def test_a_run_that_was_opened_without_a_score_says_so(run, capsys):
    found = read_record(run / "run.json")
    found.opened_test = 1
    (run / "run.json").write_text(found.to_json(), encoding="utf-8")
    assert call("test", run) == 2
    assert "the run did not score its test split" in capsys.readouterr().err


# ------------------------------------------------------------------------------------ TensorBoard


def tags(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    return events


@pytest.mark.parametrize("later", [False, True])
def test_tensorboard_gets_the_epochs_and_then_the_test(later, tmp_path, monkeypatch, capsys):
    bars = {"confusion": plots.parameter_bars({"a": (1, 2)}, alt="quickly drawn")}
    monkeypatch.setattr(Scorecard, "figures", lambda card: bars)
    board = tmp_path / "board"
    run = trained(SMALL, tmp_path / "run", "--tensorboard", board, *(["--no-test"] if later else []))
    assert [event.step for event in tags(board).Scalars("val_accuracy")] == [1, 2]
    assert ("test/accuracy" in tags(board).Tags()["scalars"]) == (not later)
    assert call("test", run) == 0
    events = tags(board)
    assert [event.step for event in events.Scalars("test/accuracy")] == [2]
    assert "test/confusion" in events.Tags()["images"]
    other = tmp_path / "other"
    assert call("test", run, "--tensorboard", other) == 0
    assert "test/accuracy" in tags(other).Tags()["scalars"]


def test_the_machine_of_a_run_may_be_gone(run, no_figures, monkeypatch, capsys):
    found = read_record(run / "run.json")
    found.machine = found.machine | {"device": "cuda"}
    (run / "run.json").write_text(found.to_json(), encoding="utf-8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert call("test", run) == 0
    assert "trained on cuda, tested on cpu" in capsys.readouterr().out
    assert read_record(run / "run.json").opened_test == 1


def test_the_second_device_of_a_run_may_be_gone(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr("clslab.device._check_device", lambda _: None)
    run = Run(SMALL, "local", "f" * 64, ("a", "b"), {})
    run.machine = Machine(device="cuda:1", precision="bf16", threads=1, name="a card").to_dict()
    assert test_command._machine(run).device == "cuda"
    assert "trained on cuda:1, tested on cuda (a card, 1 thread), bf16" in capsys.readouterr().out
    run.machine = run.machine | {"device": "cuda:0"}
    assert test_command._machine(run).device == "cuda:0"
    assert capsys.readouterr().out == ""


def test_the_test_is_dated(shelf):
    run = runs.execute(SMALL.replace(epochs=0), shelf=shelf)
    assert run.notes["test_opened"].endswith("+00:00")
    untested = runs.execute(SMALL.replace(epochs=0), shelf=shelf, test=False)
    assert "test_opened" not in untested.notes
