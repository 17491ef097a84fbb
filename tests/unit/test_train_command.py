"""`python -m clslab train`, as a user calls it: by one process, by two, interrupted, killed, and resumed."""

import contextlib
import os
import subprocess
import sys
import time

import psutil
import pytest
import torch

from clslab import cli
from clslab.checkpoint import Checkpoint, read_checkpoint
from clslab.device import Machine
from clslab.recipe import Recipe
from clslab.records import read_record

RECIPE = Recipe(
    image_size=16,
    model="small_cnn",
    model_options={"width": 4},
    pretrained=False,
    train_part="scratch",
    epochs=3,
    batch_size=16,
    schedule="constant",
)
FIXED = ("--threads", 1, "--precision", "fp32", "--memory-format", "contiguous")
TIMEOUT = 300


@pytest.fixture(autouse=True)
def small_drawings(monkeypatch, tmp_path):
    """Train on a few drawings, whatever lies on the machine, with one thread."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("CLSLAB_DATA", str(tmp_path / "empty"))
    monkeypatch.setenv("CLSLAB_PROFILE", "smoke")
    monkeypatch.setenv("CLSLAB_DEVICE", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("CLSLAB_PRECISION", "CLSLAB_MEMORY_FORMAT", "CLSLAB_THREADS", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "small.toml"
    RECIPE.to_toml(path)
    return path


def call(*arguments):
    return cli.main(["train", *(str(argument) for argument in arguments)])


def facts(out):
    """The record of a run without its clocks and its memory."""
    run = read_record(out / "run.json")
    notes = {name: value for name, value in run.notes.items() if name != "test_opened"}
    history = [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in run.history]
    return run.recipe, run.machine, history, run.metrics, run.predictions["val"].probabilities.tolist(), notes


# ------------------------------------------------------------------------------------- one process


def test_a_run_from_end_to_end(recipe, tmp_path, capsys):
    out = tmp_path / "runs" / "one"
    assert call(recipe, "--out", out, "--seed", 4, *FIXED) == 0
    printed = capsys.readouterr().out
    assert (out / "log.txt").read_text(encoding="utf-8") == printed
    assert sorted(path.name for path in out.iterdir()) == ["checkpoint.pt", "log.txt", "predictions.npz", "run.json"]
    lines = printed.splitlines()
    assert lines[0].endswith("one, seed 4, 1 process")
    assert sum(line.startswith("machine: cpu") for line in lines) == 1
    assert [line.split()[1] for line in lines if line.startswith("epoch ")] == ["1", "2", "3"]
    assert sum(line.startswith("test accuracy: ") and "95 % interval" in line for line in lines) == 1
    run = read_record(out / "run.json")
    assert run.recipe == RECIPE.replace(seed=4)
    assert (run.opened_test, run.machine["threads"], "processes" in run.notes) == (1, 1, False)
    assert Machine.from_dict(run.machine) == Machine.from_dict(read_checkpoint(out / "checkpoint.pt")["machine"])


def test_fields_of_the_recipe_are_changed_and_recorded(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = ("--set", "lr=0.02", "--set", "model_options.width=2", "--set", "tta=flip")
    assert call(recipe, "--no-test", *changes, *FIXED) == 0
    changed = RECIPE.replace(lr=0.02, model_options={"width": 2}, tta="flip")
    out = tmp_path / "runs" / f"small-{changed.key()[:6]}-seed-0"  # apart from the runs of the recipe as it is
    assert read_record(out / "run.json").recipe == changed
    assert not (out / "predictions.npz").exists()
    assert read_record(out / "run.json").history[0]["lr"] == 0.02


def test_tensorboard_is_noted_from_the_folder_of_the_run(recipe, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out, board = tmp_path / "runs" / "one", tmp_path / "board"
    assert call(recipe, "--out", out, "--no-test", "--tensorboard", board, *FIXED) == 0
    assert read_record(out / "run.json").notes["tensorboard"] == "../../board"
    events = EventAccumulator(str(board))
    events.Reload()
    losses = [event.value for event in events.Scalars("train_loss")]
    assert losses == pytest.approx([epoch["train_loss"] for epoch in read_record(out / "run.json").history])


def test_a_folder_is_not_overwritten(recipe, tmp_path, capsys):
    assert call(recipe, "--out", tmp_path / "one", "--no-test", *FIXED) == 0
    assert "test" not in read_record(tmp_path / "one" / "run.json").metrics
    before = (tmp_path / "one" / "log.txt").read_bytes()
    assert call(recipe, "--out", tmp_path / "one") == 2
    assert "holds run.json and checkpoint.pt already; --resume goes on" in capsys.readouterr().err
    assert call(recipe, "--out", tmp_path / "one", "--resume") == 0
    assert "finished before" in capsys.readouterr().out
    assert (tmp_path / "one" / "log.txt").read_bytes() == before
    assert call(recipe, "--out", tmp_path / "one", "--resume", "--set", "lr=0.5") == 2
    assert "is the finished run of another recipe, it differs in lr 0.001 -> 0.5" in capsys.readouterr().err


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(recipe, tmp_path, capsys, monkeypatch):
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    assert call(recipe, "--out", straight, *FIXED) == 0
    save = Checkpoint.save

    def stop(self, path):
        save(self, path)
        if len(self.parts["history"]) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", stop)
    assert call(recipe, "--out", cut, *FIXED) == 130
    assert "To go on: the same command with --resume" in capsys.readouterr().out
    assert not (cut / "run.json").exists()
    monkeypatch.setattr(Checkpoint, "save", save)
    assert call(recipe, "--out", cut, "--resume", "--threads", 1) == 2
    assert "keeps the machine of its checkpoint; leave --threads out" in capsys.readouterr().err
    assert call(recipe, "--out", cut, "--resume") == 0
    assert facts(cut) == facts(straight)
    run = read_record(cut / "run.json")
    assert run.seconds_fit > sum(epoch["seconds"] for epoch in run.history[:2])
    lines = (cut / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split()[1] for line in lines if line.startswith("epoch ")] == ["1", "2", "3"]


def test_resume_starts_where_there_is_nothing_yet(recipe, tmp_path, capsys):
    assert call(recipe, "--out", tmp_path / "one", "--resume", *FIXED) == 0
    assert "from: the beginning" in capsys.readouterr().out


def test_the_folder_is_named_for_recipe_and_seed(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(recipe, "--no-test", *FIXED) == 0
    assert (tmp_path / "runs" / "small-seed-0" / "run.json").exists()


def test_options_fix_the_machine_for_this_run_only(recipe, tmp_path):
    assert call(recipe, "--out", tmp_path, "--precision", "bf16", "--memory-format", "channels_last", *FIXED[:2]) == 0
    machine = read_record(tmp_path / "run.json").machine
    assert (machine["precision"], machine["memory_format"], machine["threads"]) == ("bf16", "channels_last", 1)
    assert not {"CLSLAB_PRECISION", "CLSLAB_MEMORY_FORMAT", "CLSLAB_THREADS"} & set(os.environ)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cifar100/minute"], "(the nearest is 'cifar100/minutes')"),
        (["none.toml"], "no TOML file at none.toml"),
        (["{wrong}"], "wrong.toml: a recipe has no field 'epoch'; the nearest one is 'epochs'"),
        (["{fixed}", "--precision", "bf16"], "--precision bf16, and the recipe fixes fp32"),
        (["{small}", "--threads", "0"], "--threads 0 is out of range"),
        (["{small}", "--set", "lr"], "--set lr: write FIELD=VALUE"),
        (["{small}", "--set", "lrr=1"], "a recipe has no field 'lrr'; the nearest one is 'lr'"),
    ],
)
def test_mistakes_are_explained(arguments, words, recipe, tmp_path, capsys):
    (tmp_path / "wrong.toml").write_text("epoch = 3", encoding="utf-8")
    RECIPE.replace(precision="fp32").to_toml(tmp_path / "fixed.toml")
    files = {path.stem: path for path in tmp_path.glob("*.toml")}
    assert call(*(argument.format(**files) for argument in arguments), "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------- several processes


def torchrun(*arguments):
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--local-addr=127.0.0.1")
    rendezvous = ("--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0")
    command = [sys.executable, *launcher, *rendezvous, "-m", "clslab", "train", *arguments]
    return subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def wait_for(condition, what):
    deadline = time.monotonic() + TIMEOUT
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen in {TIMEOUT} s"
        time.sleep(0.05)
    return found


def worker(launched, rank):
    """The process of a rank, once torchrun has started it."""

    def find():
        for child in psutil.Process(launched.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # one that ended since they were listed
                if child.environ().get("RANK") == str(rank):
                    return child
        return None

    return wait_for(find, f"the start of process {rank}")


@pytest.mark.parametrize("part", ["head", "probe"])
def test_two_processes_fit_to_the_features_of_all_pictures(part, tmp_path):
    """Features are computed by both, each for its part, and what is fitted to them is that of one process."""
    recipe = RECIPE.replace(model="resnet18", model_options={}, train_part=part, augment="resize", image_size=32)
    recipe = recipe.replace(batch_size=1024, precision="fp32")  # one batch, so that their orders do not matter
    recipe.to_toml(tmp_path / "stored.toml")
    alone, together = tmp_path / "alone", tmp_path / "together"
    fixed = ("--threads", 1, "--memory-format", "contiguous")
    assert call(tmp_path / "stored.toml", "--out", alone, *fixed) == 0
    launched = torchrun(tmp_path / "stored.toml", "--out", together, *fixed)
    _, errors = launched.communicate(timeout=TIMEOUT)
    assert launched.returncode == 0, errors
    one, two = (read_record(out / "run.json") for out in (alone, together))
    for split in ("val", "test"):
        assert two.predictions[split].ids == one.predictions[split].ids
        assert two.predictions[split].probabilities == pytest.approx(one.predictions[split].probabilities, abs=2e-3)
    assert two.notes["processes"] == 2


def test_a_killed_process_ends_the_job_and_the_run_goes_on(tmp_path):
    """Two processes; one is killed as by a want of memory; the same command with --resume ends the run."""
    out, endless, shorter = tmp_path / "out", tmp_path / "endless.toml", tmp_path / "shorter.toml"
    RECIPE.replace(epochs=100_000).to_toml(endless)
    launched = torchrun(endless, "--out", out, *FIXED)
    second = worker(launched, 1)
    wait_for((out / "checkpoint.pt").exists, "the first checkpoint")
    second.kill()
    _, errors = launched.communicate(timeout=TIMEOUT)
    assert launched.returncode != 0
    assert "error: process 0 of 2 stops: " in errors
    assert "The job can go on from its last checkpoint (--resume)" in errors
    assert not (out / "run.json").exists()
    before = read_checkpoint(out / "checkpoint.pt")
    done = before["parts"]["history"]["records"]
    assert len(before["processes"]) == 2

    RECIPE.replace(epochs=len(done) + 2).to_toml(shorter)
    resumed = torchrun(shorter, "--out", out, "--resume")
    printed, errors = resumed.communicate(timeout=TIMEOUT)
    assert resumed.returncode == 0, errors
    run = read_record(out / "run.json")
    assert run.history[: len(done)] == done
    assert [epoch["epoch"] for epoch in run.history] == list(range(1, len(done) + 3))
    assert (run.notes["processes"], run.opened_test) == (2, 1)
    assert run.machine == before["machine"]
    assert printed.count("record: ") == 1
    assert f"from: {out / 'checkpoint.pt'}" in printed
