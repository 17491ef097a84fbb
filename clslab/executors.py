"""Where the runs of a sweep are done: processes of this machine, a Dask cluster, a Slurm cluster.

`clslab.runs.sweep` and `repeat` take anything with the `submit` of `concurrent.futures`. These are the ones that
`python -m clslab sweep --executor …` uses:

===========  ==========================================================================================================
"local"      no executor: one run after the other, here
"processes"  a pool of fresh processes (`Processes`)
"dask"       the workers of a running scheduler, or of a cluster started on this machine (`on_dask`)
"slurm"      one Slurm job per run, through submitit (`Submitted`, `on_slurm`)
===========  ==========================================================================================================

A worker must see the folder of records. This module loads no torch, so that a worker can be given its number of threads
before any library reads it.

Taught in appendix A1.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

KINDS = ("local", "processes", "dask", "slurm")
JOBS_FOLDER = ".jobs"
"""Where submitit keeps the calls and the output of its jobs, below the folder of records."""

SUBMITIT_OPTIONS = (
    "name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node", "stderr_to_stdout",
)  # fmt: skip
"""What submitit sets on any cluster."""

_SLOW_DISK = "Creating scratch directories"
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Processes(ProcessPoolExecutor):
    """A pool of fresh processes on this machine, which ends with the process that made it, however that ends.

    Ctrl-C is heard by the maker alone. When an error or Ctrl-C leaves the `with` block, the runs under way are broken
    off; they leave no record and are done by the next sweep.

    Args:
        jobs: number of processes; by default the physical cores that this process may use, divided by `threads`.
        threads: that each process may use.

    Raises:
        ValueError: if either is less than one.

    Taught in appendix A1.
    """

    def __init__(self, jobs: int | None = None, *, threads: int = 1) -> None:
        jobs = side_by_side(threads) if jobs is None else jobs
        if jobs < 1 or threads < 1:
            raise ValueError(f"{jobs} processes of {threads} threads; give at least 1 of each")
        context = multiprocessing.get_context("spawn")
        lifeline, self._lifeline = context.Pipe(duplex=False)
        super().__init__(jobs, mp_context=context, initializer=_begin_worker, initargs=(lifeline, threads))

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self.shutdown(wait=True)
            self._lifeline.close()
            return
        # `shutdown` forgets its thread when it does not wait, and it must not wait before the workers have ended.
        manager = getattr(self, "_executor_manager_thread", None)
        self.shutdown(wait=False, cancel_futures=True)  # first, or the waiting calls would fail and not be cancelled
        self._lifeline.close()  # every worker waits for this, and ends
        if manager is not None:
            manager.join()


class Submitted(Executor):
    """A submitit executor with the futures of the standard library.

    At most `jobs` runs are in the cluster's queue at a time. A thread asks for them every `ask` seconds.

    Args:
        executor: a submitit executor, such as `submitit.AutoExecutor(folder)`.
        jobs: how many of its jobs may wait or run at once; `None` for all.
        ask: seconds between two looks.

    Taught in appendix A1.
    """

    def __init__(self, executor: Any, *, jobs: int | None = None, ask: float = 1.0) -> None:
        if jobs is not None and jobs < 1:
            raise ValueError(f"{jobs} jobs at once; give at least 1, or None for all")
        self._executor, self._at_once, self._ask = executor, jobs, ask
        self._waiting: deque[tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = deque()
        self._running: list[tuple[Future[Any], Any]] = []
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._attend, name="submitit", daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        """Hands over a call.

        Raises:
            RuntimeError: after `shutdown`.
        """
        future: Future[Any] = Future()
        with self._changed:
            if not self._open:
                raise RuntimeError("this executor was shut down; make a new one")
            self._waiting.append((future, fn, arguments, options))
            self._changed.notify()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more calls; `cancel_futures` forgets the waiting ones and cancels those in the cluster."""
        with self._changed:
            self._open = False
            if cancel_futures:
                for future, *_ in self._waiting:
                    future.cancel()
                self._waiting.clear()
                for _, job in self._running:
                    job.cancel()
            self._changed.notify()
        if wait:
            self._thread.join()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.shutdown(wait=kind is None, cancel_futures=kind is not None)

    def _attend(self) -> None:
        """Starts what may start and hands on what has ended, until there is nothing left to do."""
        while True:
            with self._changed:
                while self._waiting and (self._at_once is None or len(self._running) < self._at_once):
                    self._start(*self._waiting.popleft())
                ended = [(future, job) for future, job in self._running if job.done()]
                self._running = [pair for pair in self._running if pair not in ended]
                if not self._open and not self._waiting and not self._running and not ended:
                    return
                if not ended:
                    self._changed.wait(self._ask if self._running else None)
            for future, job in ended:  # outside the lock: what is called back may submit again
                _hand_on(future, job)

    def _start(
        self, future: Future[Any], function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            self._running.append((future, self._executor.submit(function, *arguments, **options)))
        except Exception as error:  # noqa: BLE001 (it surfaces where the future's result is asked for)
            future.set_exception(error)


@contextlib.contextmanager
def opened(
    kind: str,
    *,
    directory: Path,
    jobs: int | None = None,
    threads: int = 1,
    dask: str | None = None,
    slurm_options: Mapping[str, Any] | None = None,
) -> Iterator[Any]:
    """The executor of a name, closed at the end of the block.

    Args:
        kind: one of `KINDS`.
        directory: the folder of records.
        jobs: how many runs at once.
        threads: of each run.
        dask: address of a running scheduler; by default a cluster is started on this machine.
        slurm_options: for Slurm, see `on_slurm`.

    Yields:
        The executor; `None` for "local".

    Raises:
        ValueError: if the name is unknown, or its package is not installed.
    """
    if kind == "local":
        yield None
    elif kind == "processes":
        with Processes(jobs, threads=threads) as executor:
            yield executor
    elif kind == "dask":
        with on_dask(dask, jobs=jobs, threads=threads) as executor:
            yield executor
    elif kind == "slurm":
        options = {"cpus_per_task": threads, **(slurm_options or {})}
        with on_slurm(directory / JOBS_FOLDER, jobs=jobs, options=options) as executor:
            yield executor
    else:
        raise ValueError(f"executor {kind!r} is unknown; choose one of {', '.join(KINDS)}")


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These environment variables, until the block ends.

    >>> with environment({"CLSLAB_EXAMPLE": "1"}):
    ...     os.environ["CLSLAB_EXAMPLE"]
    '1'
    >>> "CLSLAB_EXAMPLE" in os.environ
    False
    """
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def on_dask(address: str | None = None, *, jobs: int | None = None, threads: int = 1) -> Iterator[Executor]:
    """The workers of a Dask cluster.

    Args:
        address: of its scheduler, such as "tcp://node1:8786"; `None` starts a cluster on this machine, in processes
            that answer to this machine only.
        jobs: number of workers of the cluster that is started; as for `Processes`.
        threads: that each of them may use.

    Yields:
        The executor. Errors cancel what it still has to do.

    Raises:
        ValueError: if Dask is not installed, or no scheduler answers.

    Taught in appendix A1.
    """
    distributed = _needed("distributed", "dask")
    with contextlib.ExitStack() as stack:
        if address is None:
            variables = {name: str(threads) for name in _THREAD_VARIABLES}
            settings = {"distributed.nanny.pre-spawn-environ": variables}
            stack.enter_context(importlib.import_module("dask").config.set(settings))
            # For Dask, what is set outside goes before its own settings: also a number of threads for this process.
            stack.enter_context(environment(variables))
            # On a busy disk Dask warns that its scratch folder was slow to make, here and in the workers.
            known = [os.environ.get("PYTHONWARNINGS"), f"ignore:{_SLOW_DISK}:UserWarning"]
            stack.enter_context(environment({"PYTHONWARNINGS": ",".join(filter(None, known))}))
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", message=_SLOW_DISK, category=UserWarning)
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=side_by_side(threads) if jobs is None else jobs,
                    threads_per_worker=1,  # one run at a time
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",  # any free port: two sweeps may run at once
                    memory_limit=None,  # a run that is paused half-way would look slow
                    silence_logs="ERROR",  # a slow end of a worker is no news
                )
            )
            client = stack.enter_context(distributed.Client(cluster))
        else:
            try:
                client = stack.enter_context(distributed.Client(address))
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"no Dask scheduler answers at {address!r} ({error}); start one with `dask scheduler`, "
                    "or leave the address out for a cluster on this machine"
                ) from error
        executor = client.get_executor()
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False)
            raise
        executor.shutdown(wait=True)


@contextlib.contextmanager
def on_slurm(
    folder: Path, *, jobs: int | None = None, options: Mapping[str, Any] | None = None, cluster: str = "slurm"
) -> Iterator[Submitted]:
    """One Slurm job for each call.

    Args:
        folder: for the calls and the output of the jobs; the nodes must see it.
        jobs: how many jobs may be in the queue at once; `None` for all.
        options: those of `SUBMITIT_OPTIONS`; others are Slurm's own ("partition", "account", "qos", …).
        cluster: "slurm", or "local" for processes of this machine in place of Slurm's jobs.

    Yields:
        The executor.

    Raises:
        ValueError: if submitit or Slurm is not there, or an option is unknown.

    Taught in appendix A1.
    """
    submitit = _needed("submitit", "slurm")
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
    except RuntimeError as error:
        raise ValueError(f"{error}; call this on a machine from which Slurm's sbatch works") from error
    given = {"name": "clslab", **(options or {})}
    named = {name if name in SUBMITIT_OPTIONS else f"slurm_{name}": value for name, value in given.items()}
    try:
        executor.update_parameters(**named)
    except (NameError, AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"submitit refuses the options {dict(options or {})}: {error}") from error
    with Submitted(executor, jobs=jobs) as submitted:
        yield submitted


def side_by_side(threads: int = 1) -> int:
    """How many runs of `threads` threads fit on the physical cores that this process may use, at least one."""
    allotted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or allotted
    return max(1, min(physical, allotted) // max(1, threads))


def _begin_worker(lifeline: Connection, threads: int) -> None:
    """What a process of the pool does first."""
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the maker decides what becomes of the runs
    threading.Thread(target=_end_with_maker, args=(lifeline,), name="lifeline", daemon=True).start()


def _end_with_maker(lifeline: Connection) -> None:
    """Ends this process when the other end of the pipe is closed: by its maker, or because that was killed."""
    try:
        lifeline.poll(None)
    finally:  # Windows reports the closed pipe as an error
        os._exit(1)  # at once, also out of a long computation


def _hand_on(future: Future[Any], job: Any) -> None:
    """Gives a future what became of its job."""
    try:
        future.set_result(job.result())
    except Exception as error:  # noqa: BLE001 (it surfaces where the future's result is asked for)
        future.set_exception(error)


def _needed(package: str, kind: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the executor {kind!r} needs the package {package}; install it with: pip install 'clslab[cluster]'"
        ) from error
