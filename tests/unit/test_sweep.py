"""A sweep can be interrupted, goes on after a failure, and overwrites nothing unasked."""

import contextlib
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from clslab import cli, records, runs
from clslab.commands.sweep import SweepFile, results_beside
from clslab.recipe import Recipe
from clslab.records import Predictions, Run

TEXT = """
seeds = [0, 1]

[defaults]
epochs = 3
optimizer_options = { betas = [0.9, 0.99], eps = 1e-7 }

[runs."debris/head"]

[runs."debris/slow"]
lr = 1e-5
seeds = [7]
optimizer_options = { eps = 1e-6 }
"""


class Trainer:
    """Stands in for `execute`: counts, and fails where it is told to."""

    def __init__(self):
        self.seen = []
        self.fail = {}
        self.source = "local"

    def __call__(self, recipe, *, allow_stand_in=True, test=True, **_):
        self.seen.append((recipe.lr, recipe.seed))
        if (recipe.lr, recipe.seed) in self.fail:
            raise self.fail[recipe.lr, recipe.seed]
        if self.source == "stand-in" and not allow_stand_in:
            raise records.MixedSourcesError("no stand-in here")
        run = Run(recipe, self.source, "f" * 64, ("a", "b"), {"train": 1, "val": 4, "test": 4})
        found = Predictions.of(np.tile([0.7, 0.3], (4, 1)), [0, 0, 0, 1], list("pqrs"))
        run.record("val", found)
        if test:
            run.record("test", found)
            run.opened_test = 1
        return run


@pytest.fixture
def trainer(monkeypatch):
    trainer = Trainer()
    monkeypatch.setattr(runs, "execute", trainer)
    return trainer


RECIPES = {"debris/head": Recipe(lr=0.1), "debris/all": Recipe(lr=0.2)}
ALL = [(0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)]


def sweep(directory, recipes=RECIPES, seeds=(0, 1), **options):
    said = []
    report = runs.sweep(recipes, list(seeds), directory=directory, say=said.append, **options)
    return report, said


def test_everything_is_recorded_once(tmp_path, trainer):
    report, said = sweep(tmp_path)
    assert report.complete
    assert trainer.seen == ALL
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json")) == [
        "debris/all/seed-0.json",
        "debris/all/seed-1.json",
        "debris/head/seed-0.json",
        "debris/head/seed-1.json",
    ]
    assert said[0] == "4 runs to record, 0 recorded before, 0 stale"
    assert re.match(
        r"\[2/4, 0:\d\d:\d\d elapsed, about 0:\d\d:\d\d left\] debris/head seed 1: val 0\.7500, test 0\.7500", said[2]
    )
    again, _ = sweep(tmp_path)
    assert (again.recorded, len(again.kept), again.complete) == ([], 4, True)
    assert len(trainer.seen) == 4


def test_an_interrupted_sweep_goes_on_where_it_was(tmp_path, trainer):
    trainer.fail = {(0.2, 0): KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path)
    assert len(list(tmp_path.rglob("seed-*.json"))) == 2
    trainer.fail, trainer.seen = {}, []
    report, _ = sweep(tmp_path)
    assert trainer.seen == [(0.2, 0), (0.2, 1)]
    assert report.complete


def test_a_failure_is_recorded_and_the_rest_goes_on(tmp_path, trainer):
    trainer.fail = {(0.1, 1): RuntimeError("loss is nan")}
    report, said = sweep(tmp_path)
    failure = tmp_path / "debris" / "head" / "seed-1.failed.json"
    body = json.loads(failure.read_text())
    assert (body["error"], body["message"], body["recipe"]["lr"]) == ("RuntimeError", "loss is nan", 0.1)
    assert body["traceback"][-1].startswith("test_sweep.py:")
    assert not report.complete
    assert report.failed == ["debris/head seed 1"]
    assert len(report.recorded) == 3
    assert "FAILED, RuntimeError: loss is nan" in said[2]
    assert "failed: debris/head seed 1" in report.describe()
    assert set(records.load_runs(tmp_path)["debris/head"][0].metrics) == {"val", "test"}
    trainer.fail, trainer.seen = {}, []
    assert sweep(tmp_path)[0].complete
    assert trainer.seen == [(0.1, 1)]
    assert not failure.exists()


def test_a_score_that_is_no_number_fails_its_run_and_not_the_sweep(tmp_path, trainer, monkeypatch):
    def overflowed(run, *arguments, **keywords):
        record(run, *arguments, **keywords)
        if (run.recipe.lr, run.seed) == (0.1, 1):
            run.metrics["val"]["loss"] = float("nan")

    record = Run.record
    monkeypatch.setattr(Run, "record", overflowed)
    report, _ = sweep(tmp_path)
    assert (report.failed, len(report.recorded)) == (["debris/head seed 1"], 3)
    body = json.loads((tmp_path / "debris" / "head" / "seed-1.failed.json").read_text())
    assert body["error"] == "ValueError"
    assert not (tmp_path / "debris" / "head" / "seed-1.json").exists()


def test_another_recipe_is_stale_and_left_alone(tmp_path, trainer):
    sweep(tmp_path)
    path = tmp_path / "debris" / "all" / "seed-0.json"
    before = path.read_text()
    changed = RECIPES | {"debris/all": Recipe(lr=0.3)}
    report, _ = sweep(tmp_path, changed)
    assert report.stale == ["debris/all seed 0", "debris/all seed 1"]
    assert not report.complete
    assert "--redo records it again" in report.describe()
    assert path.read_text() == before
    report, _ = sweep(tmp_path, changed, redo=True)
    assert report.complete
    assert records.read_record(path).recipe.lr == 0.3


def test_a_record_without_the_test_is_stale_where_the_test_is_asked_for(tmp_path, trainer):
    sweep(tmp_path, test=False)
    assert sweep(tmp_path, test=False)[0].complete
    assert len(sweep(tmp_path)[0].stale) == 4


def test_stand_ins_stay_out_of_real_records(tmp_path, trainer):
    sweep(tmp_path, {"debris/head": Recipe(lr=0.1)})
    trainer.source = "stand-in"
    report, _ = sweep(tmp_path)
    assert report.failed == ["debris/all seed 0", "debris/all seed 1"]
    report, _ = sweep(tmp_path, allow_stand_ins=True)
    assert report.complete
    with pytest.raises(records.MixedSourcesError):
        records.results_table(records.load_runs(tmp_path))


def test_stand_ins_alone_are_welcome(tmp_path, trainer):
    trainer.source = "stand-in"
    assert sweep(tmp_path)[0].complete
    assert sweep(tmp_path, redo=True)[0].complete


def test_an_executor_runs_them_at_once(tmp_path, trainer):
    trainer.fail = {(0.2, 1): RuntimeError("loss is nan")}
    with ThreadPoolExecutor(2) as executor:
        report, _ = sweep(tmp_path, executor=executor)
    assert sorted(trainer.seen) == ALL
    assert (len(report.recorded), report.failed) == (3, ["debris/all seed 1"])


def test_each_recipe_may_have_seeds_of_its_own(tmp_path, trainer):
    runs.sweep(RECIPES, {"debris/head": [5], "debris/all": [0, 1]}, directory=tmp_path, say=str)
    assert trainer.seen == [(0.1, 5), (0.2, 0), (0.2, 1)]


def test_wrong_seeds_and_names_are_refused_before_anything_runs(tmp_path, trainer):
    for seeds in ([], [0, 0]):
        with pytest.raises(ValueError, match="each at most once"):
            sweep(tmp_path, seeds=seeds)
    with pytest.raises(ValueError, match="is no name of a run"):
        sweep(tmp_path, {"../x": Recipe()})
    assert trainer.seen == []


def test_a_sweep_file():
    plan = SweepFile.read(TEXT)
    assert plan.seeds == {"debris/head": (0, 1), "debris/slow": (7,)}
    assert plan.test
    assert plan.recipes["debris/head"].epochs == 3
    assert plan.recipes["debris/slow"].optimizer_options == {"betas": [0.9, 0.99], "eps": 1e-6}
    assert list(plan.only("*/slow").recipes) == ["debris/slow"]
    assert not SweepFile.read("test = false\n" + TEXT).test
    with pytest.raises(ValueError, match="no run fits 'birds/\\*'; the file names debris/head, debris/slow"):
        plan.only("birds/*")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = [0]", "names no run"),
        ('[runs."a"]\n', r"the sweep file: seeds = None; give a list"),
        ('seeds = [0, 0]\n[runs."a"]', r"seeds = \[0, 0\]"),
        ('seeds = [true]\n[runs."a"]', r"seeds = \[True\]"),
        ('seeds = [0]\nseed = 1\n[runs."a"]', "holds seeds, test, defaults and runs, not seed"),
        ('seeds = [0]\n[runs."a"]\nepohcs = 3', "a: a recipe has no field 'epohcs'; the nearest one is 'epochs'"),
        ('seeds = [0]\n[runs."a"]\nseed = 3', r"a sets seed = 3; write seeds = \[...\]"),
        ('seeds = [0]\n[runs."../a"]', "is no name of a run"),
        ("seeds = [0]\n[runs]\na = 3", 'runs."a" is no table'),
        ('seeds = [0]\ndefaults = 3\n[runs."a"]', "defaults = 3 is no table"),
        ('seeds = [0]\ntest = 3\n[runs."a"]', "test = 3"),
        ("seeds = [0", "no valid TOML"),
    ],
)
def test_wrong_sweep_files_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        SweepFile.read(text)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "book" / "sweeps" / "quick.toml"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    return path


def test_the_command(file, trainer, capsys):
    assert results_beside(file) == file.parent.parent / "results"
    assert cli.main(["sweep", str(file)]) == 0
    assert "3 recorded, 0 kept, 0 stale, 0 failed" in capsys.readouterr().out
    assert len(list((file.parent.parent / "results").rglob("seed-*.json"))) == 3
    file.write_text(TEXT.replace("1e-5", "1e-4"))
    assert cli.main(["sweep", str(file)]) == 1
    assert "stale: debris/slow seed 7" in capsys.readouterr().out
    assert cli.main(["sweep", str(file), "--only", "debris/head"]) == 0
    assert cli.main(["sweep", str(file), "--redo"]) == 0


def test_the_command_says_what_failed(file, trainer, tmp_path, capsys):
    trainer.fail = {(1e-5, 7): RuntimeError("loss is nan")}
    assert cli.main(["sweep", str(file), "--results", str(tmp_path / "here")]) == 1
    assert "failed: debris/slow seed 7" in capsys.readouterr().out
    assert (tmp_path / "here" / "debris" / "slow" / "seed-7.failed.json").is_file()
    trainer.fail = {(1e-5, 7): KeyboardInterrupt()}
    assert cli.main(["sweep", str(file), "--results", str(tmp_path / "here")]) == 130
    assert "goes on from there" in capsys.readouterr().out


def test_the_command_lists_without_torch(file, trainer):
    cli.main(["sweep", str(file), "--only", "*/head"])
    code = (
        "import sys; from clslab import cli; "
        f"code = cli.main(['sweep', {str(file)!r}, '--list']); print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split(" (key")[0] for line in lines[:3]] == [
        "recorded  debris/head seed 0",
        "recorded  debris/head seed 1",
        "absent    debris/slow seed 7",
    ]
    assert lines[-1] == "0 False"


def test_the_command_spreads_over_an_executor(file, trainer, capsys, monkeypatch):
    asked = {}

    @contextlib.contextmanager
    def opened(kind, **options):
        asked.update(options, kind=kind)
        with ThreadPoolExecutor(2) as executor:
            yield executor

    monkeypatch.setattr("clslab.commands.sweep.opened", opened)
    command = ["sweep", str(file), "--executor", "slurm", "--jobs", "4", "--memory-format", "channels_last"]
    options = ["--slurm-option", "partition=gpu", "--slurm-option", "timeout_min=60"]
    assert cli.main([*command, *options]) == 0
    assert asked == {
        "kind": "slurm",
        "directory": results_beside(file),
        "jobs": 4,
        "threads": 1,
        "dask": None,
        "slurm_options": {"partition": "gpu", "timeout_min": 60},
    }
    shown = capsys.readouterr().out
    assert "executor: slurm, each run as on this machine" in shown
    assert "1 thread), fp32, channels_last" in shown
    assert "3 recorded" in shown
    assert cli.main(["sweep", str(file), "--executor", "dask", "--dask", "tcp://a:1", "--threads", "2"]) == 0
    assert (asked["kind"], asked["dask"], asked["threads"]) == ("dask", "tcp://a:1", 2)


def test_wrong_use_of_the_command(file, trainer, capsys):
    assert cli.main(["sweep", str(file), "--jobs", "0"]) == 2
    assert "--jobs 0 is out of range" in capsys.readouterr().err
    assert cli.main(["sweep", str(file), "--executor", "slurm", "--slurm-option", "gpu"]) == 2
    assert "--slurm-option gpu is not of the form KEY=VALUE" in capsys.readouterr().err
    assert cli.main(["sweep", str(file), "--threads", "0"]) == 2
    assert "--threads 0 is out of range" in capsys.readouterr().err
    assert cli.main(["sweep", str(file.with_name("absent.toml"))]) == 2
    assert "no TOML file at" in capsys.readouterr().err
