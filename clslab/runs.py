"""From a recipe to a recorded run, repeats over seeds, and sweeps that can be interrupted.

    recipe → `execute` → `Run` → JSON (`clslab.records`) → tables and intervals

A run is scored on the validation split, and on the sealed test split exactly once.

Taught in chapter 3.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

import clslab
from clslab.data import Splits
from clslab.device import Machine, choose
from clslab.recipe import Recipe
from clslab.records import (
    MixedSourcesError,
    Predictions,
    Run,
    difference,
    failure_path,
    is_stand_in,
    load_runs,
    read_record,
    record_path,
    record_state,
    results_table,
    write_record,
)
from clslab.routes import Scorer, Shelf, Task, network_scorer, train_task, training_indices

__all__ = [
    "MixedSourcesError",
    "Predictions",
    "Run",
    "SweepReport",
    "TestOpenedTwice",
    "difference",
    "execute",
    "load_runs",
    "read_record",
    "repeat",
    "results_table",
    "sweep",
    "test_once",
]

PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow")


class TestOpenedTwice(ValueError):  # noqa: N818 (named for what happened)
    """A run asked for its test split a second time."""

    __test__ = False  # pytest would take the name for a test


def execute(
    recipe: Recipe,
    *,
    machine: Machine | None = None,
    test: bool = True,
    profile: str | None = None,
    root: str | Path | None = None,
    on_epoch: Callable[..., Any] | None = None,
    shelf: Shelf | None = None,
    allow_stand_in: bool = True,
) -> Run:
    """Trains what a recipe says, scores it, and returns everything worth keeping.

    Args:
        recipe: the settings; its seed decides everything random, the split apart, which is the same for all seeds.
        machine: where to compute; by default `clslab.device.choose()`, in the recipe's precision.
        test: open the test split (once) at the end.
        profile: "smoke" takes a small part of the data; by default `$CLSLAB_PROFILE`.
        root: folder of the data sets, by default `$CLSLAB_DATA`.
        on_epoch: called after each epoch, see `clslab.train.fit`.
        shelf: keeps pictures and features for the runs that follow.
        allow_stand_in: whether a generated stand-in may take the place of data that are not there.

    Raises:
        ValueError: if the recipe names something unknown, or settings that do not go together.
        MixedSourcesError: if the data are not there and a stand-in is not allowed.
        KeyboardInterrupt: if training was interrupted; nothing is returned then.

    Taught in chapters 1 and 3.
    """
    started = time.perf_counter()
    machine = _machine(recipe, machine)
    shelf = Shelf() if shelf is None else shelf
    splits = shelf.splits(recipe, profile=profile, root=root)
    if splits.source == "stand-in" and not allow_stand_in:
        raise MixedSourcesError(
            f"{recipe.data} is not on this machine, and its stand-in may not be recorded beside results on real data; "
            f"fetch it (python -m clslab data get {recipe.data}), choose another folder of results, or allow stand-ins"
        )
    indices = training_indices(splits, recipe)
    trained = train_task(Task(recipe, splits, indices, machine, shelf, on_epoch))
    run = Run(
        recipe=recipe,
        source=splits.source,
        fingerprint=splits.fingerprint,
        classes=tuple(splits.classes),
        sizes={"train": len(indices), "val": len(splits.val)}
        | ({"test": len(splits.test)} if splits.test is not None else {}),
        history=trained.history,
        seconds_fit=trained.seconds,
        parameters_trained=trained.parameters_trained,
        parameters_total=trained.parameters_total,
        code=code_version(),
        packages=packages(),
        machine=machine.to_dict(),
        notes=trained.notes,
    )
    val = trained.out_of_fold
    if val is None:
        val = Predictions.of(trained.val_probabilities, splits.val.targets, splits.val.ids, splits.val.groups)
    run.record("val", val)
    if test and splits.test is not None:
        test_once(trained.scorer, splits, run)
    run.peak_memory = peak_memory()
    run.seconds_total = time.perf_counter() - started
    return run


def test_once(model: nn.Module | Scorer, splits: Splits, run: Run) -> dict[str, float]:
    """Opens the sealed test split, scores a trained model on it, and records that it was opened.

    Args:
        model: the trained network, or a function from untransformed pictures to probabilities [N, C].
        splits: the splits that the model was trained on.
        run: takes the scores and predictions. Its `opened_test` becomes 1, before anything is scored.

    Returns:
        The scores, as in `run.metrics["test"]`.

    Raises:
        TestOpenedTwice: if this run has opened its test split before.
        ValueError: if the data set has no test split, or is not the one that the run was trained on.

    Taught in chapter 3.
    """
    if splits.test is None:
        raise ValueError(f"{run.recipe.data} has no public test split; report the validation score, and say so")
    if run.opened_test:
        raise TestOpenedTwice(
            "this run has opened its test split already: a score that was looked at before choosing is no test score; "
            "compare on the validation split, and train a new run for a new test"
        )
    if splits.fingerprint != run.fingerprint:
        raise ValueError(f"the run was trained on data {run.fingerprint[:12]}, these are {splits.fingerprint[:12]}")
    run.opened_test += 1
    pictures = splits.test._open()
    scorer = network_scorer(model, run.recipe, Machine(**run.machine)) if isinstance(model, nn.Module) else model
    return run.record("test", Predictions.of(scorer(pictures), pictures.targets, pictures.ids, pictures.groups))


test_once.__test__ = False  # type: ignore[attr-defined]  # pytest would take the name for a test


def repeat(recipe: Recipe, seeds: Sequence[int], executor: Executor | None = None, **options: Any) -> list[Run]:
    """One run per seed of the same recipe, in the order of the seeds.

    Args:
        recipe: its own seed is not used.
        seeds: the seeds, each at most once.
        executor: runs them at once; by default one after the other.
        options: passed on to `execute`.

    Taught in chapter 3.
    """
    recipes = [recipe.replace(seed=seed) for seed in _distinct(seeds)]
    if executor is None:
        shelf = Shelf()
        return [execute(one, shelf=shelf, **options) for one in recipes]
    return [future.result() for future in [executor.submit(execute, one, **options) for one in recipes]]


@dataclass
class SweepReport:
    """What became of every run of a sweep, as "NAME seed S".

    Attributes:
        recorded: finished and written now.
        kept: recorded before with the same recipe.
        stale: recorded before with another recipe (or without the test that is now asked for), and left alone.
        failed: raised an error, which is written beside the records.
    """

    recorded: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every run has a record of its present recipe."""
        return not self.stale and not self.failed

    def describe(self) -> str:
        """The counts in one line, and what needs attention."""
        lines = [
            f"{len(self.recorded)} recorded, {len(self.kept)} kept, {len(self.stale)} stale, {len(self.failed)} failed"
        ]
        lines += [f"stale: {one} (recorded with another recipe; --redo records it again)" for one in self.stale]
        lines += [f"failed: {one} (the error is in its .failed.json)" for one in self.failed]
        return "\n".join(lines)


def sweep(
    recipes: Mapping[str, Recipe],
    seeds: Sequence[int] | Mapping[str, Sequence[int]],
    executor: Executor | None = None,
    *,
    directory: str | Path,
    redo: bool = False,
    test: bool = True,
    allow_stand_ins: bool = False,
    say: Callable[[str], Any] = print,
    **options: Any,
) -> SweepReport:
    """Records every recipe with every seed, and can be interrupted and called again.

    A run is written as soon as it is finished. What is recorded with the same recipe is kept; what is recorded with
    another one is reported as stale and left alone. A run that raises an error leaves `seed-S.failed.json`, and the
    sweep goes on.

    Args:
        recipes: by name; "debris/head" is written to `directory/debris/head/seed-S.json`.
        seeds: the seeds of every recipe, each at most once; or those of each recipe, by its name.
        executor: runs several at once; by default one after the other, sharing decoded pictures.
        directory: the folder of records.
        redo: record again whatever is recorded.
        test: open the test split of every run; a search for settings must not.
        allow_stand_ins: allow runs on generated stand-ins beside records on real data.
        say: takes the line per run.
        options: passed on to `execute`.

    Raises:
        ValueError: if a seed occurs twice or a name is not one of a run.

    Taught in chapter 3.
    """
    report, jobs = SweepReport(), []
    for name, recipe in recipes.items():
        for seed in _distinct(seeds[name] if isinstance(seeds, Mapping) else seeds):
            one = recipe.replace(seed=seed)
            state = "absent" if redo else record_state(record_path(directory, name, seed), one, test=test)
            if state in ("absent", "failed"):
                jobs.append((name, one))
            else:
                (report.stale if state == "stale" else report.kept).append(_title(name, seed))
    options["test"] = test
    options["allow_stand_in"] = allow_stand_ins or not _holds_real_records(directory)
    say(f"{len(jobs)} runs to record, {len(report.kept)} recorded before, {len(report.stale)} stale")
    started = time.perf_counter()
    for done, (name, recipe, outcome) in enumerate(_outcomes(jobs, executor, options), start=1):
        line = _write_outcome(directory, name, recipe, outcome, report)
        elapsed = time.perf_counter() - started
        say(f"[{done}/{len(jobs)}, {_clock(elapsed)} elapsed, {len(jobs) - done} remaining] {line}")
    return report


def code_version() -> str:
    """Version, hash of the library's sources, and commit where the library lies in a repository."""
    return f"clslab {clslab.__version__}, sources {_source_hash()}{_commit()}"


def packages() -> dict[str, str]:
    """Versions of Python and of the packages that compute."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **versions}


def peak_memory() -> int:
    """Largest amount of memory in bytes that this process has held so far."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)  # macOS counts bytes, Linux kibibytes


def _machine(recipe: Recipe, machine: Machine | None) -> Machine:
    machine = choose() if machine is None else machine
    return machine if recipe.precision == "auto" else machine.replace(precision=recipe.precision)


def _outcomes(
    jobs: Sequence[tuple[str, Recipe]], executor: Executor | None, options: Mapping[str, Any]
) -> Iterator[tuple[str, Recipe, Run | Exception]]:
    """Each job with its run, or with the error that ended it."""
    if executor is None:
        shelf = Shelf()
        for name, recipe in jobs:
            try:
                yield name, recipe, execute(recipe, shelf=shelf, **options)
            except Exception as error:  # noqa: BLE001 (whatever ends one run is recorded and must not end the others)
                yield name, recipe, error
        return
    futures = {executor.submit(execute, recipe, **options): (name, recipe) for name, recipe in jobs}
    for future in as_completed(futures):
        failed = future.exception()
        if failed is not None and not isinstance(failed, Exception):
            raise failed
        yield *futures[future], failed or future.result()


def _write_outcome(
    directory: str | Path, name: str, recipe: Recipe, outcome: Run | Exception, report: SweepReport
) -> str:
    """Writes a record, or the record of a failure, and returns what to say about it."""
    path = record_path(directory, name, recipe.seed)
    failure = failure_path(path)
    title = _title(name, recipe.seed)
    if isinstance(outcome, Run):
        write_record(outcome.to_json(), path)
        failure.unlink(missing_ok=True)
        report.recorded.append(title)
        scores = ", ".join(f"{split} {scores['accuracy']:.4f}" for split, scores in outcome.metrics.items())
        return f"{title}: {scores} ({outcome.seconds_fit:.1f} s of training, {outcome.seconds_total:.1f} s in all)"
    report.failed.append(title)
    body = {
        "recipe": recipe.to_dict(),
        "seed": recipe.seed,
        "error": type(outcome).__name__,
        "message": str(outcome),
        "traceback": _short_traceback(outcome),
    }
    write_record(json.dumps(body, indent=1, ensure_ascii=False) + "\n", failure)
    return f"{title}: FAILED, {type(outcome).__name__}: {outcome}"


def _short_traceback(error: Exception) -> list[str]:
    """Where an error came from, file names without the folders of this machine."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}: {frame.line}" for frame in frames]


def _holds_real_records(directory: str | Path) -> bool:
    if not Path(directory).is_dir() or not any(Path(directory).rglob("seed-*[0-9].json")):
        return False
    return any(not is_stand_in(run) for runs in load_runs(directory).values() for run in runs)


def _distinct(seeds: Sequence[int]) -> list[int]:
    found = list(seeds)
    if not found or len(set(found)) < len(found):
        raise ValueError(f"seeds = {found}: give at least one, and each at most once")
    return found


def _title(name: str, seed: int) -> str:
    return f"{name} seed {seed}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


@cache
def _source_hash() -> str:
    """Hash of the library's sources as they lie on disk."""
    digest = hashlib.sha256()
    root = Path(clslab.__file__).parent
    for path in sorted(root.rglob("*.py")):
        # Line ends may differ between checkouts of one version.
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()[:12]


@cache
def _commit() -> str:
    """The commit of the library's own repository, and whether files were changed since; empty elsewhere."""
    root = Path(clslab.__file__).parent.parent
    if not (root / ".git").exists():
        return ""
    commit = _git(root, "rev-parse", "--short=12", "HEAD")
    if not commit:
        return ""
    changed = _git(root, "status", "--porcelain", "--", "clslab")
    return f", commit {commit}{' with changes' if changed else ''}"


def _git(root: Path, *arguments: str) -> str:
    """What a git command prints; empty where git is not installed or has no answer, which a record can do without."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
