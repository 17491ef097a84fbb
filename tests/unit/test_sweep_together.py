"""Many runs at once: real processes, a real Dask cluster, `kill -9` in the middle, two sweeps on one folder."""

import dataclasses
import itertools
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor

import pytest
import torch
from test_sweep import Trainer, sweep

from clslab import claims, records, runs, sweeps
from clslab.executors import on_dask
from clslab.recipe import Recipe

SCRIPT = """
import pathlib, sys, time
sys.path.insert(0, sys.argv[2])
from test_sweep import RECIPES, Trainer
from clslab import runs

class Slow(Trainer):
    def __call__(self, recipe, **options):
        if recipe.lr == 0.2 and sys.argv[3] == "hang":
            time.sleep(600)
        time.sleep(0.05)
        print("trained", recipe.lr, recipe.seed, flush=True)
        return super().__call__(recipe, **options)

runs.execute = Slow()
say = lambda line: print(line, flush=True)
print(runs.sweep(RECIPES, list(range(int(sys.argv[4]))), directory=sys.argv[1], say=say).describe(), flush=True)
"""


@pytest.fixture
def trainer(monkeypatch):
    trainer = Trainer()
    monkeypatch.setattr(runs, "execute", trainer)
    monkeypatch.setattr(sweeps, "ASK_AGAIN", 0.01)
    return trainer


@pytest.fixture
def another(tmp_path, request):
    """Starts a sweep in another process."""
    begun = []

    def start(mode="go", seeds=2):
        here = str(request.path.parent)
        command = [sys.executable, "-c", SCRIPT, str(tmp_path), here, mode, str(seeds)]
        begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def until(condition, within=500):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def left(directory):
    return sorted(path.name for path in directory.rglob(".seed-*"))


def pid_of_holder(record):
    """The process that has claimed a run; None without one, 0 while the claim is being written."""
    owner = claims.holder(record)
    return None if owner is None else owner.pid


def test_kill_in_the_middle(tmp_path, trainer, another):
    process = another("hang")
    claimed = tmp_path / "debris" / "all" / "seed-0.json"
    until(lambda: pid_of_holder(claimed) == process.pid)
    process.kill()
    process.wait()
    assert left(tmp_path) == [".seed-0.claim1"]
    first = tmp_path / "debris" / "head" / "seed-0.json"
    before = first.stat().st_mtime_ns
    report, _ = sweep(tmp_path)
    assert report.complete
    assert (report.kept, trainer.seen) == (["debris/head seed 0", "debris/head seed 1"], [(0.2, 0), (0.2, 1)])
    assert first.stat().st_mtime_ns == before
    assert left(tmp_path) == []


def test_two_sweeps_share_the_runs(tmp_path, trainer, another):
    both = [another(seeds=8), another(seeds=8)]
    output = [process.communicate(timeout=300)[0] for process in both]
    trained = [line for text in output for line in text.splitlines() if line.startswith("trained")]
    assert len(trained) == len(set(trained)) == 16
    assert sum(len(found) for found in records.load_runs(tmp_path).values()) == 16
    assert all("0 stale, 0 failed" in text for text in output)
    assert left(tmp_path) == []
    assert sweep(tmp_path, seeds=range(8))[0].recorded == []


def test_a_run_of_a_living_process_is_waited_for(tmp_path, trainer, another):
    process = another("hang")
    until(lambda: (tmp_path / "debris" / "all" / ".seed-0.claim1").is_file())
    with ThreadPoolExecutor(1) as thread:
        ours = thread.submit(sweep, tmp_path)
        until(lambda: (0.2, 1) in trainer.seen)
        assert not ours.done()
        process.kill()
        process.wait()
        report, said = ours.result(60)
    assert report.complete
    assert trainer.seen == [(0.2, 1), (0.2, 0)]
    assert any(f"debris/all seed 0: process {process.pid} on" in line for line in said)


def test_what_another_process_does_meanwhile_is_kept(tmp_path, trainer):
    """The second recipe's runs are recorded, one wrongly, one as a failure, while the first one's are trained."""
    failure = records.failure_path(records.record_path(tmp_path, "debris/all", 2))

    def meanwhile(recipe, **options):
        run = trainer(recipe, **options)
        if (recipe.lr, recipe.seed) == (0.1, 0):
            for seed, lr in ((0, 0.2), (1, 0.9)):
                other = trainer(Recipe(lr=lr, seed=seed))
                records.write_record(other.to_json(), records.record_path(tmp_path, "debris/all", seed))
            records.write_record("{}", failure)
        return run

    runs.execute = meanwhile
    report, said = sweep(tmp_path, seeds=(0, 1, 2))
    assert report.kept == ["debris/all seed 0"]
    assert report.stale == ["debris/all seed 1"]
    assert report.failed == ["debris/all seed 2"]
    assert len(report.recorded) == 3
    assert "debris/all seed 0: recorded by another process" in said[4]


def test_redoing_twice_at_once_does_a_run_once(tmp_path, trainer):
    sweep(tmp_path)

    def meanwhile(recipe, **options):
        run = trainer(recipe, **options)
        if (recipe.lr, recipe.seed) == (0.1, 0):
            other = trainer(Recipe(lr=0.2, seed=1))
            records.write_record(other.to_json(), records.record_path(tmp_path, "debris/all", 1))
        return run

    runs.execute = meanwhile
    report, _ = sweep(tmp_path, redo=True)
    assert report.kept == ["debris/all seed 1"]
    assert len(report.recorded) == 3


class Stub:
    """An executor with futures of its own: the first job is lost with its process, the others are done."""

    def __init__(self, error):
        self.error, self.given, self.cancelled = error, 0, []

    def submit(self, function, job):
        self.given += 1
        future = Future()
        future.cancel = lambda: self.cancelled.append(job.title)
        if self.given == 1 and self.error is not None:
            future.set_exception(self.error)
        elif self.given == 2 and self.error is None:
            raise BrokenExecutor("the pool has ended")
        else:
            future.set_result(function(job))
        return future


@pytest.mark.parametrize("error", [OSError("the process was killed"), None])
def test_what_an_executor_loses_is_done_by_the_next_sweep(tmp_path, trainer, error):
    report, said = sweep(tmp_path, executor=Stub(error))
    assert len(report.lost) == 1
    assert not report.complete
    assert "3 recorded, 0 kept, 0 stale, 0 failed, 1 lost" in report.describe()
    assert "the same call does it again" in report.describe()
    assert any("LOST" in line for line in said)
    assert not list(tmp_path.rglob("*.failed.json"))
    report, _ = sweep(tmp_path)
    assert report.complete
    assert len(report.recorded) == 1


def test_an_interrupt_cancels_what_has_not_begun(tmp_path, trainer):
    stub = Stub(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, executor=stub)
    assert len(stub.cancelled) == 3


def test_every_worker_computes_alike(tmp_path, trainer, monkeypatch):
    monkeypatch.setenv("CLSLAB_MEMORY_FORMAT", "contiguous")
    monkeypatch.setenv("CLSLAB_PROFILE", "cpu")
    found = []

    def look(recipe, *, machine, profile=None, **options):
        found.append((machine.threads, torch.get_num_threads(), machine.memory_format, machine.precision, profile))
        return trainer(recipe, **options)

    runs.execute = look
    before = torch.get_num_threads()
    with ThreadPoolExecutor(2) as pool:
        sweep(tmp_path / "a", executor=pool)
        sweep(tmp_path / "b", executor=pool, threads=2, memory_format="channels_last", profile="smoke")
    sweep(tmp_path / "c", threads=3)
    runs.repeat(Recipe(), [0])
    assert found[:4] == [(1, 1, "contiguous", "fp32", "cpu")] * 4
    assert found[4:8] == [(2, 2, "channels_last", "fp32", "smoke")] * 4
    assert found[8:12] == [(3, 3, "contiguous", "fp32", None)] * 4
    assert found[12][:2] == (before, before)
    assert torch.get_num_threads() == before
    with pytest.raises(ValueError, match="threads = 0"):
        sweep(tmp_path / "d", threads=0)


def test_threads_of_one_process_take_turns(tmp_path, trainer):
    inside, most = [], []

    def look(recipe, **options):
        inside.append(recipe)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        return trainer(recipe, **options)

    runs.execute = look
    with ThreadPoolExecutor(4) as pool:
        assert sweep(tmp_path, executor=pool)[0].complete
        assert [run.seed for run in runs.repeat(Recipe(lr=0.1), [3, 1, 2], pool)] == [3, 1, 2]
    assert max(most) == 1


def test_the_variables_of_the_course_go_along(monkeypatch, tmp_path):
    monkeypatch.setenv("CLSLAB_DATA", "sets")
    monkeypatch.chdir(tmp_path)
    settings = sweeps.Settings(environment=sweeps.course_variables())
    monkeypatch.setenv("CLSLAB_DATA", "elsewhere")
    with settings.in_force():
        assert sweeps.course_variables()["CLSLAB_DATA"] == str((tmp_path / "sets").resolve())
    assert sweeps.course_variables()["CLSLAB_DATA"] == str((tmp_path / "elsewhere").resolve())


def test_a_machine_that_does_not_share_the_folder_says_so(tmp_path, trainer):
    class Far(Stub):
        def submit(self, function, job):
            future = Future()
            try:
                function(dataclasses.replace(job, directory=tmp_path / "not here"))
            except FileNotFoundError as error:
                future.set_exception(error)
            return future

    report, said = sweep(tmp_path, executor=Far(None))
    assert len(report.lost) == 4
    assert "give a folder of records that all machines share" in said[1]


def test_runs_that_were_computed_differently_are_remarked(tmp_path, trainer):
    def differ(recipe, **options):
        run = trainer(recipe, **options)
        run.machine = {"device": "cpu", "precision": "fp32", "memory_format": "contiguous", "threads": recipe.seed + 1}
        return run

    runs.execute = differ
    _, said = sweep(tmp_path)
    assert said[-1] == "these runs do not share one threads (1, 2): compare them with care"


def test_a_bar_on_a_terminal_and_lines_in_a_pipe(monkeypatch, capsys):
    monkeypatch.setattr(sweeps.time, "perf_counter", itertools.count(0, 5).__next__)

    def show():
        progress = sweeps.Progress(2)
        progress.say("begin")
        progress.advance("one done")
        progress.close()
        return capsys.readouterr()

    shown = show()
    assert shown.out.splitlines() == ["begin", "[1/2, 0:00:05 elapsed, about 0:00:05 left] one done"]
    assert shown.err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    shown = show()
    assert shown.out.splitlines() == ["begin", "one done"]
    assert "1/2" in shown.err


def real(tmp_path, monkeypatch):
    """Recipes that take no time, on drawings."""
    monkeypatch.setenv("CLSLAB_PROFILE", "smoke")
    monkeypatch.setenv("CLSLAB_DATA", str(tmp_path / "no sets here"))
    return {"debris/majority": Recipe(data="debris", model="majority")}


def test_a_real_dask_cluster(tmp_path, monkeypatch):
    recipes = real(tmp_path, monkeypatch)
    directory = tmp_path / "results"
    with on_dask(jobs=2) as cluster:
        report, said = sweep(directory, recipes, (0, 1, 2), executor=cluster)
        assert report.complete, said
        repeated = runs.repeat(recipes["debris/majority"], [2, 0], cluster)
    found = records.load_runs(directory)["debris/majority"]
    assert [run.seed for run in found] == [0, 1, 2]
    assert {run.machine["threads"] for run in found} == {1}
    assert [run.metrics for run in repeated] == [found[2].metrics, found[0].metrics]
    assert left(directory) == []


def test_the_command_with_processes_killed_in_the_middle(tmp_path, monkeypatch):
    """The pool's workers end with the command, and what they had claimed is free again."""
    real(tmp_path, monkeypatch)
    file = tmp_path / "sweep.toml"
    file.write_text(
        'seeds = [0]\n[defaults]\ndata = "debris"\n[runs.fast]\nmodel = "majority"\n'
        '[runs.slow]\nmodel = "small_cnn"\ntrain_part = "scratch"\nepochs = 1000000\nimage_size = 32\n'
    )
    results = tmp_path / "results"
    command = [sys.executable, "-m", "clslab", "sweep", str(file), "--results", str(results)]
    process = subprocess.Popen([*command, "--executor", "processes", "--jobs", "2"], stdout=subprocess.DEVNULL)
    slow = results / "slow" / "seed-0.json"
    fast = results / "fast" / "seed-0.json"
    until(lambda: pid_of_holder(slow) and fast.is_file() and left(results) == [".seed-0.claim1"])
    owner = claims.holder(slow)
    assert owner.pid != process.pid
    process.kill()
    process.wait()
    until(owner.is_gone)
    assert left(results) == [".seed-0.claim1"]
    again = subprocess.run([*command, "--only", "fast"], capture_output=True, text=True, check=True)
    assert "0 recorded, 1 kept, 0 stale, 0 failed" in again.stdout
    with claims.take(slow) as claim:
        assert claim.path.name == ".seed-0.claim2"
