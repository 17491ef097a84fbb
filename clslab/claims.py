"""Claims: how several processes share a list of runs without doing one of them twice.

Before a process starts a run it creates a small file beside the record to be, `.seed-S.claim1`. A file
that is created with "only if it is not there" is created by one process alone, on every file system.
While the run lasts the file is touched every `HEARTBEAT` seconds; when it has ended the file is removed.

A process that is killed removes nothing, so a claim may be left behind. It is **void**

- if its process ran on this machine and is no longer there (its number and its start are compared, and on Linux
  the start of the machine, so that a clock that is put right meanwhile changes nothing);
- if it ran on another machine, which cannot be asked, and the file was not touched for `PATIENCE` seconds.

A void claim is not removed and made anew, since two processes could do so at once and both believe
that they were first. It is outbid: `.seed-S.claim2` is created in the same way, and so on. Whoever has created
a claim looks once more, and steps back if another living claim is there.

Taught in appendix A1.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

HEARTBEAT = 30.0  # seconds between two touches of a claim
PATIENCE = 600.0  # seconds without a touch after which the claim of another machine is void
_WRITING = 5.0  # seconds that a claim may be empty: its maker is between creating and writing it
_SAME_START = 2.0  # two readings of one process' start differ by less
_BOOT = Path("/proc/sys/kernel/random/boot_id")  # of Linux


@dataclass(frozen=True)
class Owner:
    """The process that holds a claim.

    Attributes:
        host: name of its machine.
        pid: its number there.
        started: when it was started, in seconds: on Linux since the machine was, elsewhere since 1970.
            Numbers are used again, pairs of both are not.
        boot: what Linux calls this run of the machine, new at each start of it; elsewhere empty.
    """

    host: str
    pid: int
    started: float
    boot: str = ""

    @classmethod
    def this_process(cls) -> Owner:
        """The process that asks."""
        return cls.of(psutil.Process())

    @classmethod
    def of(cls, process: psutil.Process) -> Owner:
        """A process of this machine.

        Raises:
            psutil.NoSuchProcess: where it has ended.
        """
        started, boot = process.create_time(), ""
        if _BOOT.is_file():  # the kernel counts from the machine's start; as a date it moves with the clock
            started, boot = started - psutil.boot_time(), _BOOT.read_text(encoding="ascii").strip()
        return cls(socket.gethostname(), process.pid, started, boot)

    def describe(self) -> str:
        """The owner in words.

        >>> Owner("node7", 41, 0.0).describe()
        'process 41 on node7'
        """
        return f"process {self.pid} on {self.host}"

    def is_gone(self) -> bool:
        """Whether the process ran on this machine and no longer does; False for another machine, which is not asked."""
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:  # killed, and its parent has not looked yet
                return True
            there = Owner.of(process)
            return there.boot != self.boot or abs(there.started - self.started) > _SAME_START
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:  # there is one, of another user
            return False


class Claim:
    """The right to record one run, held until `release`.

    Made by `take`; also a context that releases at its end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="claim heartbeat", daemon=True)
        self._heart.start()

    def release(self) -> None:
        """Removes the claim, and the void ones that it outbid."""
        self._ended.set()
        self._heart.join()
        stem, own = _parts(self.path)
        for number, path in _claims(self.path.parent, stem):  # the lowest first: ours is seen until the end
            if number <= own:
                path.unlink(missing_ok=True)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            try:
                os.utime(self.path)
            except FileNotFoundError:  # another machine held this one for dead, outbid it and has finished
                return
            except OSError:  # a file server that does not answer now: the next beat comes before the claim is void
                continue


def take(record: Path) -> Claim | Owner:
    """Claims a run for this process.

    Args:
        record: where the run will be recorded.

    Returns:
        The claim; or the owner of the claim that another living process holds.
    """
    record.parent.mkdir(parents=True, exist_ok=True)
    stem = record.stem
    while True:
        found = _claims(record.parent, stem)
        number = found[-1][0] if found else 0
        owner = _any_holder(found)
        if owner is not None:
            return owner
        path = record.parent / f".{stem}.claim{number + 1}"
        if not _create(path):
            continue
        others = [(other, where) for other, where in _claims(record.parent, stem) if where != path]
        if _any_holder(others) is None:
            if number:
                _clear_parts(record.parent, stem)
            return Claim(path)
        # Two were quick, one of them with an old list. Both step back, and the next round tells them apart.
        path.unlink(missing_ok=True)
        time.sleep(random.uniform(0.01, 0.1))


def holder(record: Path) -> Owner | None:
    """The living process that has claimed a run; `None` where none has."""
    return _any_holder(_claims(record.parent, record.stem))


def _claims(folder: Path, stem: str) -> list[tuple[int, Path]]:
    """The claims on one run with their numbers, the lowest first."""
    pattern = re.compile(rf"\.{re.escape(stem)}\.claim(\d+)")
    named = ((pattern.fullmatch(path.name), path) for path in folder.glob(f".{stem}.claim*"))
    return sorted((int(name[1]), path) for name, path in named if name)


def _parts(claim: Path) -> tuple[str, int]:
    """The stem of the record and the number of a claim.

    >>> _parts(Path(".seed-3.claim12"))
    ('seed-3', 12)
    """
    stem, _, number = claim.name[1:].rpartition(".claim")
    return stem, int(number)


def _any_holder(claims: list[tuple[int, Path]]) -> Owner | None:
    return next((owner for owner in (_holder(path) for _, path in reversed(claims)) if owner is not None), None)


def _create(path: Path) -> bool:
    """Creates a claim of this process; False where another process was first."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(Owner.this_process())) + "\n")
    return True


def _holder(claim: Path) -> Owner | None:
    """The owner of a claim; `None` where the claim is void or was removed meanwhile."""
    try:
        text, touched = claim.read_text(encoding="utf-8"), claim.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        owner = Owner(**json.loads(text))
    except (json.JSONDecodeError, TypeError):
        # Its maker is still writing it, or was killed between creating and writing.
        return Owner("an unknown machine", 0, 0.0) if _now(claim.parent) - touched < _WRITING else None
    if owner.host == socket.gethostname():
        return None if owner.is_gone() else owner
    return None if _now(claim.parent) - touched > PATIENCE else owner


def _now(folder: Path) -> float:
    """The time by the clock that dates the files of a folder, which on a file server is not this machine's."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".now-", suffix=".part") as probe:
        return Path(probe.name).stat().st_mtime


def _clear_parts(folder: Path, stem: str) -> None:
    """Removes records that a killed process was writing."""
    for part in folder.glob(f".{stem}-*.part"):
        part.unlink(missing_ok=True)
