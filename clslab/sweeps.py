"""What `clslab.runs.sweep` is made of: jobs, who does them, what becomes of each, and how it is said.

A job is one run. Whoever does it claims it first (`clslab.claims`), trains, and writes the record itself, in one step.
So nothing that is finished depends on the process that started the sweep, and several sweeps may share a folder.

Taught in appendix A1.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from clslab import claims, device
from clslab.data.catalog import data_root
from clslab.device import Machine, MemoryFormat
from clslab.executors import environment
from clslab.recipe import Recipe
from clslab.records import Run, failure_path, record_path, record_state, write_record
from clslab.routes import Shelf

ASK_AGAIN = 1.0  # seconds between two looks at runs that other processes hold

# The random numbers and the threads belong to a process: two runs at once in one would not be repeatable.
_turn = threading.Lock()


class Submits(Protocol):
    """Whatever takes work as `concurrent.futures` executors do.

    `submit(function, argument)` returns a future with `result`, `exception`, `cancel` and `add_done_callback`.
    """

    def submit(self, fn: Callable[..., Any], /, *arguments: Any) -> Any:
        """Hands over a call and returns its future."""


@dataclass(frozen=True)
class Settings:
    """How a run computes, wherever it does.

    Attributes:
        machine: where and how to compute; `None` for `clslab.device.choose()` there: full precision, plain memory
            format, nothing measured.
        threads: threads on the CPU; `None` leaves them as the machine says.
        memory_format: likewise.
        environment: variables of the process that started the sweep, which another machine may not have.
    """

    machine: Machine | None = None
    threads: int | None = None
    memory_format: MemoryFormat | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def in_force(self) -> Iterator[Machine]:
        """The machine with these settings, and its threads for every library that computes.

        Raises:
            ValueError: if the machine's device is not there, or there is less than one thread.
        """
        with environment(self.environment):
            machine = device.choose() if self.machine is None else self.machine
            # This checks the device here, where it may not be there.
            machine = machine.replace(memory_format=self.memory_format or machine.memory_format)
            with self._threads_in_force():
                yield machine if self.threads is None else machine.replace(threads=self.threads)

    @contextlib.contextmanager
    def _threads_in_force(self) -> Iterator[None]:
        if self.threads is None:
            yield
            return
        if self.threads < 1:
            raise ValueError(f"threads = {self.threads} is out of range; give at least 1")
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with threadpool_limits(self.threads):
                yield
        finally:
            torch.set_num_threads(before)


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        name: of the recipe.
        recipe: with its seed.
        directory: the folder of records.
        seen: what lay at the record's place when the sweep was planned.
        settings: how to compute.
        options: passed on to `clslab.runs.execute`.
    """

    name: str
    recipe: Recipe
    directory: Path
    seen: tuple[Any, ...]
    settings: Settings
    options: Mapping[str, Any]

    @property
    def title(self) -> str:
        """The run in words.

        >>> Job("debris/head", Recipe(seed=3), Path(), (), Settings(), {}).title
        'debris/head seed 3'
        """
        return f"{self.name} seed {self.recipe.seed}"

    @property
    def record(self) -> Path:
        """Where it is recorded."""
        return record_path(self.directory, self.name, self.recipe.seed)

    def now(self) -> tuple[Any, ...]:
        """What lies at the record's place now, to be compared with `seen`."""
        return tuple(_stamp(path) for path in (self.record, failure_path(self.record)))

    def by_others(self) -> Outcome | None:
        """What another process has made of this run since it was planned; `None` for nothing yet."""
        if self.now() == self.seen:
            return None
        state = record_state(self.record, self.recipe, test=self.options.get("test", False))
        if state == "absent":  # a failure was removed by hand
            return None
        kind: Kind = "kept" if state == "recorded" else state
        return Outcome(kind, f"{self.title}: {'failed' if kind == 'failed' else 'recorded'} by another process")


Kind = Literal["recorded", "kept", "stale", "failed", "claimed"]


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        kind: "claimed" where another living process is doing it.
        line: what to say about it.
        circumstances: what runs that are compared have in common: device, precision, memory format, threads and source.
        owner: who is doing it.
    """

    kind: Kind
    line: str
    circumstances: Mapping[str, Any] = field(default_factory=dict)
    owner: claims.Owner | None = None


@dataclass
class SweepReport:
    """What became of every run of a sweep, as "NAME seed S".

    Attributes:
        recorded: finished and written by this sweep.
        kept: recorded with the same recipe before, or by another process meanwhile.
        stale: recorded with another recipe (or without the test that is now asked for), and left alone.
        failed: raised an error, which is written beside the records.
        lost: neither, since the process that did it ended or could not do it; the next call does it.
    """

    recorded: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every run has a record of its present recipe."""
        return not self.stale and not self.failed and not self.lost

    def describe(self) -> str:
        """The counts in one line, and what needs attention."""
        counts = {"recorded": self.recorded, "kept": self.kept, "stale": self.stale, "failed": self.failed}
        if self.lost:
            counts["lost"] = self.lost
        lines = [", ".join(f"{len(titles)} {kind}" for kind, titles in counts.items())]
        lines += [f"stale: {one} (recorded with another recipe; --redo records it again)" for one in self.stale]
        lines += [f"failed: {one} (the error is in its .failed.json)" for one in self.failed]
        lines += [f"lost: {one} (its process ended; the same call does it again)" for one in self.lost]
        return "\n".join(lines)


class Progress:
    """Says how far a sweep is: below a bar with the time left on a terminal, in plain lines elsewhere.

    Args:
        total: number of runs.
        say: takes the lines; `None` prints them.
    """

    def __init__(self, total: int, say: Callable[[str], Any] | None = None) -> None:
        on_terminal = say is None and total > 0 and sys.stderr.isatty()
        self._bar = tqdm(total=total, unit="run", file=sys.stderr) if on_terminal else None
        self._say = say or (tqdm.write if on_terminal else _print)
        self._total, self._done, self._started = total, 0, time.perf_counter()

    def say(self, line: str) -> None:
        """A line that is about no single run."""
        self._say(line)

    def advance(self, line: str) -> None:
        """One run more is done."""
        self._done += 1
        if self._bar is not None:
            self._say(line)
            self._bar.update()
            return
        elapsed, remaining = time.perf_counter() - self._started, self._total - self._done
        left = f", about {clock(elapsed / self._done * remaining)} left" if remaining else ""
        self._say(f"[{self._done}/{self._total}, {clock(elapsed)} elapsed{left}] {line}")

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[Machine]:
    """The machine with these settings, while no other run computes in this process."""
    with _turn, settings.in_force() as machine:
        yield machine


def attempt(job: Job, execute: Callable[..., Run], shelf: Shelf | None = None) -> Outcome:
    """Does a job in this process, unless another one holds it or has done it.

    The run's record, or that of its failure, is written here.

    Args:
        job: the run.
        execute: as `clslab.runs.execute`.
        shelf: shared with other runs; by default that of this process.

    Raises:
        FileNotFoundError: if this machine does not see the folder of records.
        ValueError: if the settings cannot be had here.
    """
    if not job.directory.is_dir():
        raise FileNotFoundError(
            f"{socket.gethostname()} sees no folder {job.directory}; give a folder of records that all machines share"
        )
    with _turn:
        claim = claims.take(job.record)
        if isinstance(claim, claims.Owner):
            return Outcome("claimed", f"{job.title}: {claim.describe()} is at it", owner=claim)
        with claim:
            done = job.by_others()
            if done is not None:
                return done
            with job.settings.in_force() as machine:
                try:
                    run = execute(job.recipe, machine=machine, shelf=shelf or _shelf(), **job.options)
                    body = run.to_json()  # refuses scores that are not finite
                except Exception as error:  # noqa: BLE001 (whatever ends one run is recorded and must not end the others)
                    return _failed(job, error)
            write_record(body, job.record)
            failure_path(job.record).unlink(missing_ok=True)
            return _recorded(job, run)


def outcomes(
    jobs: Sequence[Job], executor: Submits | None, do: Callable[[Job], Outcome]
) -> Iterator[tuple[Job, Outcome | Exception]]:
    """Each job with what became of it, in the order in which they end.

    Args:
        jobs: the runs.
        executor: does them; `None` does one after the other here.
        do: a function of a module, so that another process can find it.

    Yields:
        The job, and its outcome or the error of the executor that lost it.

    Raises:
        KeyboardInterrupt: from here or from the executor; what has not begun is cancelled.
    """
    if executor is None:
        for job in jobs:
            yield job, do(job)
        return
    finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
    futures: dict[int, tuple[Any, Job]] = {}
    try:
        for job in jobs:
            try:
                future = executor.submit(do, job)
            except BrokenExecutor as error:
                yield job, error
                continue
            futures[id(future)] = (future, job)
            future.add_done_callback(finished.put)
        while futures:
            future, job = futures.pop(id(_next(finished)))
            yield job, _result(future)
    finally:
        for future, _ in futures.values():
            future.cancel()


def wait_for_others(jobs: Sequence[Job]) -> list[Job]:
    """Waits until at least one of these runs is no longer claimed by another process, and returns those."""
    while True:
        free = [job for job in jobs if claims.holder(job.record) is None]
        if free:
            return free
        time.sleep(ASK_AGAIN)


def course_variables() -> dict[str, str]:
    """The variables of this process that the course reads, paths made absolute."""
    found = {name: value for name, value in os.environ.items() if name.startswith("CLSLAB_")}
    if found.get("CLSLAB_DATA"):
        found["CLSLAB_DATA"] = str(data_root().resolve())
    return found


def mixture(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """What differs between runs that are to be compared, one line each; empty when nothing does.

    >>> mixture([{"device": "cpu", "threads": 1}, {"device": "cuda", "threads": 1}])
    ['these runs do not share one device (cpu, cuda): compare them with care']
    """
    lines = []
    for name in dict.fromkeys(name for one in found for name in one):
        values = sorted({str(one[name]) for one in found if name in one})
        if len(values) > 1:
            lines.append(f"these runs do not share one {name} ({', '.join(values)}): compare them with care")
    return lines


def clock(seconds: float) -> str:
    """Seconds as hours, minutes and seconds.

    >>> clock(3725)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _recorded(job: Job, run: Run) -> Outcome:
    scores = ", ".join(f"{split} {scores['accuracy']:.4f}" for split, scores in run.metrics.items())
    line = f"{job.title}: {scores} ({run.seconds_fit:.1f} s of training, {run.seconds_total:.1f} s in all)"
    shared = {name: run.machine[name] for name in ("device", "precision", "memory_format", "threads") if run.machine}
    return Outcome("recorded", line, shared | {"source": run.source})


def _failed(job: Job, error: Exception) -> Outcome:
    body = {
        "recipe": job.recipe.to_dict(),
        "seed": job.recipe.seed,
        "error": type(error).__name__,
        "message": str(error),
        "traceback": _short_traceback(error),
    }
    write_record(json.dumps(body, indent=1, ensure_ascii=False) + "\n", failure_path(job.record))
    return Outcome("failed", f"{job.title}: FAILED, {type(error).__name__}: {error}")


def _short_traceback(error: Exception) -> list[str]:
    """Where an error came from, file names without the folders of this machine."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}: {frame.line}" for frame in frames]


def _result(future: Any) -> Outcome | Exception:
    try:
        failed = future.exception()
    except CancelledError as error:  # by the executor: nothing here has cancelled it
        return error
    if failed is None:
        outcome: Outcome = future.result()
        return outcome
    if isinstance(failed, Exception):
        return failed
    raise failed


def _next(finished: queue.SimpleQueue[Any]) -> Any:
    while True:
        try:
            return finished.get(timeout=1.0)  # without a limit Ctrl-C is not heard on Windows
        except queue.Empty:
            continue


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from the one that replaces it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _print(line: str) -> None:
    print(line, flush=True)  # a long sweep is watched through a pipe


@cache
def _shelf() -> Shelf:
    """What the runs of a worker share, so that it reads its pictures once."""
    return Shelf()
