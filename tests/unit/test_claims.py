"""A run is claimed by one living process; what a dead one has left is taken over."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from clslab import claims
from clslab.claims import Claim, Owner


@pytest.fixture
def record(tmp_path):
    return tmp_path / "debris" / "seed-1.json"


def left_behind(record, owner, number=1, age=0.0):
    """A claim as a killed process leaves it."""
    record.parent.mkdir(parents=True, exist_ok=True)
    path = record.parent / f".{record.stem}.claim{number}"
    path.write_text(owner if isinstance(owner, str) else json.dumps(vars(owner)))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def dead():
    """A process of this machine that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    owner = Owner.of(psutil.Process(process.pid))
    process.wait()
    return owner


ELSEWHERE = Owner("another machine", 1, 0.0)


def names(record):
    return sorted(path.name for path in record.parent.iterdir())


def test_one_process_holds_it_until_it_lets_go(record):
    claim = claims.take(record)
    assert isinstance(claim, Claim)
    assert claims.take(record) == Owner.this_process() == claims.holder(record)
    assert names(record) == [".seed-1.claim1"]
    other = claims.take(record.with_name("seed-10.json"))
    assert isinstance(other, Claim)
    other.release()
    assert names(record) == [".seed-1.claim1"]
    claim.release()
    assert names(record) == []
    assert claims.holder(record) is None


def test_it_is_let_go_after_an_error(record):
    with pytest.raises(KeyboardInterrupt), claims.take(record):
        raise KeyboardInterrupt
    assert names(record) == []


@pytest.mark.parametrize(
    ("owner", "age", "void"),
    [
        (lambda: dead(), 0, True),
        (lambda: Owner(Owner.this_process().host, os.getpid(), 1000.0), 0, True),  # the number was used again
        (lambda: Owner.this_process(), 10_000, False),
        (lambda: ELSEWHERE, 0, False),
        (lambda: ELSEWHERE, claims.PATIENCE - 60, False),
        (lambda: ELSEWHERE, claims.PATIENCE + 60, True),
        (lambda: "", 0, False),
        (lambda: "", 60, True),
        (lambda: "[1]", 60, True),
    ],
)
def test_who_is_gone_holds_nothing(record, owner, age, void):
    left_behind(record, owner(), age=age)
    record.with_name(".seed-1-abc.part").write_text("half a rec")
    found = claims.take(record)
    assert isinstance(found, Claim) == void
    assert (".seed-1-abc.part" in names(record)) != void
    if void:
        assert found.path.name == ".seed-1.claim2"
        assert claims.holder(record) == Owner.this_process()
        found.release()
        assert names(record) == []


def test_a_clock_that_is_put_right_ends_no_process(monkeypatch):
    started, booted = psutil.Process().create_time(), psutil.boot_time()
    owner = Owner.this_process()
    if not owner.boot:  # macOS and Windows keep the date of the start itself
        return
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: started + 3600)
    monkeypatch.setattr(psutil, "boot_time", lambda: booted + 3600)
    assert not owner.is_gone()
    monkeypatch.setattr(psutil, "boot_time", lambda: booted)
    assert owner.is_gone()  # another one, an hour younger


def test_a_process_of_before_the_machine_was_started_anew_is_gone(monkeypatch, tmp_path):
    """Services come up in one order: the same number, as many seconds after the start."""
    boot = tmp_path / "boot_id"
    monkeypatch.setattr(claims, "_BOOT", boot)
    boot.write_text("the first\n")
    owner = Owner.this_process()
    assert not owner.is_gone()
    boot.write_text("the second\n")
    assert owner.is_gone()


def test_a_killed_process_is_gone_before_its_parent_looks(record):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    owner = Owner.of(psutil.Process(process.pid))
    left_behind(record, owner)
    assert claims.take(record) == owner
    assert owner.describe() == f"process {process.pid} on {owner.host}"
    process.kill()
    deadline = time.monotonic() + 30
    while not owner.is_gone() and time.monotonic() < deadline:
        time.sleep(0.01)
    with claims.take(record) as claim:
        assert claim.path.name == ".seed-1.claim2"
    process.wait()


def test_whoever_was_outbid_removes_its_own_only(record):
    ours = claims.take(record)
    theirs = left_behind(record, ELSEWHERE, number=2)
    ours.release()
    assert names(record) == [theirs.name]


def test_a_living_claim_below_counts_too(record):
    left_behind(record, ELSEWHERE, number=1)
    left_behind(record, dead(), number=2)
    assert claims.take(record) == ELSEWHERE


def test_who_looked_too_early_steps_back(record, monkeypatch):
    """Between looking and creating, the old claim went and somebody else claimed anew."""
    left_behind(record, dead(), number=1)
    create = claims._create

    def late(path):
        monkeypatch.setattr(claims, "_create", create)
        left_behind(record, ELSEWHERE, number=1)
        return create(path)

    monkeypatch.setattr(claims, "_create", late)
    assert claims.take(record) == ELSEWHERE
    assert names(record) == [".seed-1.claim1"]


def test_a_file_is_created_by_one(record):
    record.parent.mkdir()
    path = record.with_name(".seed-1.claim1")
    assert claims._create(path)
    before = path.read_text()
    assert not claims._create(path)
    assert path.read_text() == before


def test_of_many_at_once_one_gets_it(record):
    for round_ in range(20):
        if round_ % 2:
            left_behind(record, dead() if round_ == 1 else Owner(Owner.this_process().host, os.getpid(), 1000.0))
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: claims.take(record), range(8)))
        held = [one for one in found if isinstance(one, Claim)]
        assert len(held) == 1
        held[0].release()
        assert names(record) == []


def test_a_held_claim_is_touched(record, monkeypatch):
    monkeypatch.setattr(claims, "HEARTBEAT", 0.01)
    with claims.take(record) as claim:
        os.utime(claim.path, (1000, 1000))
        deadline = time.monotonic() + 30
        while claim.path.stat().st_mtime == 1000 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert claim.path.stat().st_mtime > 1000
        claim.path.unlink()  # by another machine that has outbid it, and has finished
        claim._heart.join(30)
        assert not claim._heart.is_alive()
