"""The executors of a sweep: fresh processes that end with their maker, Dask, submitit's jobs as futures."""

import math
import multiprocessing
import operator
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError

import psutil
import pytest

from clslab import executors
from clslab.executors import Processes, Submitted, on_dask, on_slurm, opened


def gone(pid, within=60):
    """Whether a process ends in time."""
    deadline = time.monotonic() + within
    try:
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
    except psutil.NoSuchProcess:
        pass
    return True


def test_processes_are_others_and_know_their_threads():
    with Processes(2, threads=3) as pool:
        assert pool.submit(os.getpid).result() != os.getpid()
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == "3"
        assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN  # Ctrl-C is the maker's
        with pytest.raises(ZeroDivisionError):
            pool.submit(operator.truediv, 1, 0).result()
    assert executors.side_by_side(1) >= executors.side_by_side(2) >= executors.side_by_side(1000) == 1
    for wrong in ({"jobs": 0}, {"threads": 0}):
        with pytest.raises(ValueError, match="give at least 1 of each"):
            Processes(**wrong)


def test_an_error_breaks_off_what_is_under_way():
    futures = []

    def interrupted():
        with Processes(1) as pool:
            futures.append(pool.submit(os.getpid))
            futures[0].result()
            futures.extend(pool.submit(time.sleep, 600) for _ in range(6))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    worker, *waiting = futures[0].result(), *futures[1:]
    assert gone(worker)
    assert all(future.done() for future in waiting)
    assert not [child for child in multiprocessing.active_children() if child.pid == worker]


def test_workers_end_when_their_maker_is_killed():
    code = (
        "import os, time\n"
        "from clslab.executors import Processes\n"
        "if __name__ == '__main__':\n"
        "    pool = Processes(1)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    pool.submit(time.sleep, 600).result()\n"
    )
    maker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    worker = int(maker.stdout.readline())
    assert psutil.pid_exists(worker)
    maker.kill()
    maker.communicate()
    assert gone(worker)


class Later:
    """Stands in for submitit: jobs end when they are told to."""

    def __init__(self):
        self.jobs = []

    def submit(self, function, *arguments, **options):
        if function is None:
            raise ValueError("the queue is closed")
        self.jobs.append(LaterJob(function, arguments, options))
        return self.jobs[-1]


class LaterJob:
    def __init__(self, function, arguments, options):
        self.call = (function, arguments, options)
        self.ended = threading.Event()
        self.cancelled = False

    def done(self):
        return self.ended.is_set()

    def result(self):
        if self.cancelled:
            raise RuntimeError("cancelled by hand")
        function, arguments, options = self.call
        return function(*arguments, **options)

    def cancel(self):
        self.cancelled = True
        self.ended.set()


def started(queue, count):
    deadline = time.monotonic() + 30
    while len(queue.jobs) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(queue.jobs)


def test_so_many_jobs_are_in_the_queue_and_no_more():
    queue = Later()
    with Submitted(queue, jobs=2, ask=0.01) as pool:
        futures = [pool.submit(math.sqrt, number) for number in (1, 4, 9)]
        assert started(queue, 2) == 2
        time.sleep(0.05)
        assert len(queue.jobs) == 2
        queue.jobs[1].ended.set()
        assert futures[1].result(30) == 2
        assert started(queue, 3) == 3
        for job in queue.jobs:
            job.ended.set()
    assert [future.result() for future in futures] == [1, 2, 3]
    with pytest.raises(RuntimeError, match="was shut down"):
        pool.submit(math.sqrt, 1)
    with pytest.raises(ValueError, match="0 jobs at once"):
        Submitted(queue, jobs=0)


def test_errors_of_a_job_and_of_the_queue_are_those_of_the_future():
    queue = Later()
    with Submitted(queue, ask=0.01) as pool:
        future, refused = pool.submit(math.sqrt, -1), pool.submit(None)
        started(queue, 1)
        queue.jobs[0].ended.set()
        assert isinstance(future.exception(30), ValueError)
        with pytest.raises(ValueError, match="queue is closed"):
            refused.result(30)


def test_an_error_cancels_the_jobs():
    queue = Later()
    futures = []

    def interrupted():
        with Submitted(queue, jobs=1, ask=0.01) as pool:
            futures.extend(pool.submit(math.sqrt, 1) for _ in range(2))
            started(queue, 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert isinstance(futures[0].exception(30), RuntimeError)
    with pytest.raises(CancelledError):
        futures[1].result(30)
    assert len(queue.jobs) == 1
    assert queue.jobs[0].cancelled


def test_submitit_itself(tmp_path):
    options = {"timeout_min": 5, "partition": "gpu"}  # a partition means something to Slurm alone
    with on_slurm(tmp_path / "jobs", jobs=1, options=options, cluster="local") as pool:
        right, wrong = pool.submit(operator.truediv, 1, 4), pool.submit(operator.truediv, 1, 0)
        assert right.result(120) == 0.25
        assert "ZeroDivisionError" in str(wrong.exception(120))
    assert list((tmp_path / "jobs").glob("*_log.out"))
    for options in ({"colour": "red"}, {"timeout_min": "soon"}):
        with (
            pytest.raises(ValueError, match="submitit refuses the options"),
            on_slurm(tmp_path / "jobs", options=options, cluster="local"),
        ):
            pass


@pytest.mark.filterwarnings("ignore:Creating scratch directories:UserWarning")  # a slow disk, and no fault
def test_a_dask_cluster_of_this_machine_and_one_that_runs_already():
    import distributed

    with on_dask(jobs=1, threads=2) as pool:
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result(60) == "2"
        assert pool.submit(os.getpid).result(60) != os.getpid()
        with pytest.raises(ZeroDivisionError):
            pool.submit(operator.truediv, 1, 0).result(60)
    cluster = distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    )
    with cluster, on_dask(cluster.scheduler_address) as pool:
        assert pool.submit(operator.add, 2, 3).result(60) == 5
    with pytest.raises(ValueError, match="no Dask scheduler answers at 'nonsense://x'"), on_dask("nonsense://x"):
        pass


def test_by_name(tmp_path, monkeypatch):
    with opened("local", directory=tmp_path) as nothing:
        assert nothing is None
    with opened("processes", directory=tmp_path, jobs=1) as pool:
        assert isinstance(pool, Processes)
    with (
        pytest.raises(ValueError, match="choose one of local, processes, dask, slurm"),
        opened("x", directory=tmp_path),
    ):
        pass
    monkeypatch.setenv("PATH", str(tmp_path))  # no sbatch here
    with pytest.raises(ValueError, match=r"(?i)sbatch|srun|slurm"), opened("slurm", directory=tmp_path):
        pass
    for name, kind in (("distributed", "dask"), ("submitit", "slurm")):
        monkeypatch.setitem(sys.modules, name, None)
        with (
            pytest.raises(ValueError, match=rf"{kind}.* needs the package {name}.*clslab\[cluster\]"),
            opened(kind, directory=tmp_path),
        ):
            pass


def test_a_worker_is_not_kept_waiting_for_torch():
    code = "import sys, clslab.executors; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
