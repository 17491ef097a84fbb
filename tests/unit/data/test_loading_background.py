import gc
import itertools
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset

from clslab import seeds
from clslab.data.loading import BackgroundLoader, BatchLoader, read_ahead

KINDS = {
    "here": {},
    "worker": {"num_workers": 1},
    "persistent": {"num_workers": 1, "persistent_workers": True},
}
every_kind = pytest.mark.parametrize("arguments", KINDS.values(), ids=KINDS)


class Numbers(Dataset):
    """0 to n - 1, each with a random number beside it; some of them fail."""

    def __init__(self, n: int = 10, broken: int | None = None) -> None:
        self.n, self.broken = n, broken

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int):
        if index == self.broken:
            raise ZeroDivisionError(f"item {index}")
        return index, torch.rand(())


def reading() -> list[str]:
    """Threads that read ahead."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(5))


@pytest.fixture(autouse=True)
def _nothing_is_left_behind():
    yield
    gc.collect()
    assert not reading()
    assert not torch.multiprocessing.active_children()


def indices(batches) -> list[list[int]]:
    return [batch[0].tolist() for batch in batches]


@every_kind
@pytest.mark.parametrize("n", [1, 7, 8])
def test_the_batches_are_those_of_the_plain_loader(arguments, n) -> None:
    plain, ahead = (
        kind(Numbers(n), batch_size=4, shuffle=True, generator=seeds.generator(1), **arguments)
        for kind in (DataLoader, BackgroundLoader)
    )
    assert len(ahead) == len(plain)
    torch.manual_seed(0)
    expected = [list(plain) for _ in range(2)]
    torch.manual_seed(0)
    for epoch in expected:
        batches = list(ahead)
        assert len(batches) == len(epoch)
        for ours, theirs in zip(batches, epoch, strict=True):
            assert torch.equal(ours[0], theirs[0])
            assert torch.equal(ours[1], theirs[1]), "the random numbers of the items too"


@pytest.mark.parametrize("arguments", [KINDS["here"], KINDS["worker"]], ids=["here", "worker"])
def test_the_order_is_that_of_the_plain_loader_while_the_loop_draws_numbers(arguments) -> None:
    def order(kind):
        torch.manual_seed(3)
        found = []
        for numbers, _ in kind(Numbers(40), batch_size=4, shuffle=True, **arguments):
            torch.rand(7)  # as dropout does
            found.append(numbers.tolist())
        return found

    assert order(BackgroundLoader) == order(DataLoader)


def test_the_order_is_that_of_the_plain_loader_while_two_are_read_together() -> None:
    def orders(kind):
        torch.manual_seed(3)
        loaders = [iter(kind(range(40), batch_size=4, shuffle=True)) for _ in range(2)]
        time.sleep(0.05)  # enough for a thread that should not yet be there
        torch.rand(7)
        return [(first.tolist(), second.tolist()) for first, second in zip(*loaders, strict=True)]

    assert orders(BackgroundLoader) == orders(DataLoader)


@pytest.mark.parametrize("ahead", [1, 5, 100])
def test_any_number_of_batches_can_be_ahead(ahead) -> None:
    assert indices(BackgroundLoader(Numbers(), batch_size=4, ahead=ahead)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(read_ahead(range(7), ahead=ahead)) == list(range(7))


@every_kind
def test_an_empty_loader_gives_nothing(arguments) -> None:
    loader = BackgroundLoader(Numbers(0), batch_size=4, **arguments)
    assert len(loader) == 0
    assert list(loader) == []
    assert list(loader) == []


def test_other_forms_of_a_data_loader_work() -> None:
    assert [batch.tolist() for batch in BackgroundLoader(Stream(), batch_size=2)] == [[0, 1], [2, 3], [4]]
    assert list(BackgroundLoader(Stream(), batch_size=None)) == list(range(5))
    assert indices(BackgroundLoader(Numbers(), batch_sampler=[[3, 1], [2]])) == [[3, 1], [2]]


@every_kind
@pytest.mark.parametrize("broken", [0, 9])
def test_an_exception_of_the_dataset_surfaces_with_its_type_and_in_its_place(arguments, broken) -> None:
    loader = BackgroundLoader(Numbers(10, broken), batch_size=2, **arguments)
    found = []
    with pytest.raises(ZeroDivisionError, match=f"item {broken}"):
        found.extend(batch[0].tolist() for batch in loader)
    assert found == indices(DataLoader(Numbers(broken), batch_size=2))[: broken // 2]
    if "persistent_workers" not in arguments:
        assert not torch.multiprocessing.active_children(), "though the exception is still known"


def test_after_an_exception_the_iteration_is_over_and_nothing_more_is_read() -> None:
    read = []

    def numbers():
        for number in itertools.count():
            read.append(number)
            yield 1 / (2 - number)

    class Stubborn:
        """An iterator that could go on after an exception, as that of a DataLoader can."""

        count = -1

        def __iter__(self):
            return self

        def __next__(self):
            self.count += 1
            read.append(self.count)
            return 1 / (2 - self.count)

    for source in (numbers(), Stubborn()):
        read.clear()
        items = iter(read_ahead(source, ahead=3))
        assert [next(items), next(items)] == [0.5, 1.0]
        with pytest.raises(ZeroDivisionError):
            next(items)
        assert list(items) == []
        assert read == [0, 1, 2]


@every_kind
def test_breaking_out_leaves_nothing_behind(arguments) -> None:
    loader = BackgroundLoader(Numbers(100), batch_size=2, **arguments)
    for _ in range(2):
        for numbers, _random in loader:
            assert numbers.tolist() == [0, 1]
            break
        assert not reading()
        if "persistent_workers" not in arguments:
            assert not torch.multiprocessing.active_children()
    assert len(indices(loader)) == 50, "and the loader can be used again"


def test_spawned_workers_work_and_end_too() -> None:
    loader = BackgroundLoader(Numbers(6, broken=5), batch_size=2, num_workers=1, multiprocessing_context="spawn")
    for numbers, _random in loader:
        assert numbers.tolist() == [0, 1]
        break
    assert not reading()
    assert not torch.multiprocessing.active_children()
    batches = iter(loader)
    assert [next(batches)[0].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(ZeroDivisionError, match="item 5"):
        next(batches)
    assert not torch.multiprocessing.active_children()


def test_an_exception_in_the_loop_leaves_nothing_behind() -> None:
    def fail():
        for item in read_ahead(itertools.count()):
            raise KeyError(item)

    with pytest.raises(KeyError):
        fail()
    assert not reading()


def test_a_generator_around_the_loop_can_be_thrown_away() -> None:
    def around():
        yield from read_ahead(itertools.count())

    items = around()
    assert next(items) == 0
    items.close()
    assert not reading()
    items = around()
    next(items)
    del items
    assert not reading()


def test_close_ends_an_iteration() -> None:
    items = iter(read_ahead(itertools.count()))
    next(items)
    items.close()
    items.close()
    assert not reading()
    assert list(items) == []


def test_an_iteration_that_is_never_begun_leaves_nothing_behind() -> None:
    iter(read_ahead(itertools.count()))
    assert not reading()


def test_a_generator_that_was_made_for_an_iteration_is_closed_with_it() -> None:
    ended = []

    class Source:
        def __iter__(self):
            try:
                yield from range(100)
            finally:
                ended.append(threading.current_thread())

    for _ in read_ahead(Source()):
        break
    assert ended == [threading.current_thread()]
    mine = iter(Source())
    for _ in read_ahead(mine):
        break
    assert len(ended) == 1, "one that was handed over belongs to who made it"
    assert next(mine) <= 4


def test_garbage_is_collected_in_the_thread_that_reads() -> None:
    """The last reference to an iteration may go while its own thread is reading: it cannot wait for itself."""
    reached, go_on = threading.Event(), threading.Event()

    def collecting():
        yield 0
        reached.set()
        go_on.wait(10)
        gc.collect()
        yield 1
        raise AssertionError("read on after the end")

    gc.disable()  # or the garbage below may be found too early
    try:
        items = iter(read_ahead(collecting()))
        next(items)
        reached.wait(10)
        cycle = [items]
        cycle.append(cycle)
        gone = weakref.ref(items)
        started = time.monotonic()
        del items, cycle
        go_on.set()
        while gone() is not None or reading():
            assert time.monotonic() - started < 4, "the thread waits for itself"
            time.sleep(0.01)
    finally:
        gc.enable()


def test_an_iteration_that_is_given_up_is_not_waited_for_without_limit(monkeypatch) -> None:
    """The thread may wait for a lock that the loop holds at the moment when garbage is collected."""
    monkeypatch.setattr("clslab.data.loading.background._PATIENCE_SECONDS", 0.1)
    lock, at_the_lock = threading.Lock(), threading.Event()

    def locking():
        yield 0
        at_the_lock.set()
        with lock:
            yield 1

    with lock:
        items = iter(read_ahead(locking()))
        next(items)
        assert at_the_lock.wait(60)
        del items  # would wait for ever
        assert reading(), "the thread was waited for, and yet it waits for this lock"
    while reading():
        time.sleep(0.01)


def test_iterations_can_be_nested() -> None:
    loader = BackgroundLoader(Numbers(4), batch_size=2)
    pairs = [(outer[0].tolist(), inner[0].tolist()) for outer in loader for inner in loader]
    assert pairs == [(outer, inner) for outer in ([0, 1], [2, 3]) for inner in ([0, 1], [2, 3])]
    assert list(read_ahead(read_ahead(range(9)))) == list(range(9))


def test_with_persistent_workers_a_new_iteration_ends_the_one_before() -> None:
    loader = BackgroundLoader(Numbers(20), batch_size=2, num_workers=1, persistent_workers=True)
    before = iter(loader)
    next(before)
    assert len(indices(loader)) == 10
    assert list(before) == []


class Slow(Numbers):
    def __getitem__(self, index: int):
        time.sleep(index == 1)  # a second
        return super().__getitem__(index)


def test_persistent_workers_serve_one_thread_at_a_time(monkeypatch) -> None:
    monkeypatch.setattr("clslab.data.loading.background._PATIENCE_SECONDS", 0.0)
    loader = BackgroundLoader(Slow(4), batch_size=1, num_workers=1, persistent_workers=True)
    for _ in loader:
        break  # its thread is still receiving
    batches = iter(loader)
    assert len(reading()) == 1
    assert indices(batches) == [[0], [1], [2], [3]]


def test_the_workers_of_two_epochs_can_be_the_same() -> None:
    loader = BackgroundLoader(Numbers(4), batch_size=2, num_workers=1, persistent_workers=True)
    workers = []
    for _ in range(2):
        assert indices(loader) == [[0, 1], [2, 3]]
        workers.append([child.pid for child in torch.multiprocessing.active_children()])
    assert workers[0] == workers[1]


def test_epochs_are_announced() -> None:
    def sampler():
        return DistributedSampler(Numbers(), num_replicas=1, rank=0, seed=1)

    expected, ours = sampler(), BackgroundLoader(Numbers(), batch_size=10, sampler=sampler())
    wrapped = read_ahead(DataLoader(Numbers(), batch_size=10, sampler=sampler()))
    for epoch in (0, 1):
        expected.set_epoch(epoch)
        ours.set_epoch(epoch)
        wrapped.set_epoch(epoch)
        assert indices(ours) == indices(wrapped) == [list(expected)]
    BackgroundLoader(Numbers()).set_epoch(1)  # nobody there who wants to know


def test_reading_ahead_stands_in_for_the_loader() -> None:
    images = torch.randint(256, (20, 1, 2, 2), dtype=torch.uint8)
    plain, source = (BatchLoader(images, torch.arange(20), batch_size=4, shuffle=True) for _ in range(2))
    ahead = read_ahead(source)
    assert (len(ahead), ahead.batch_size, ahead.world_size) == (5, 4, 1)
    for _ in range(2):
        for ours, theirs in zip(ahead, plain, strict=True):
            assert torch.equal(ours[0], theirs[0])
            assert torch.equal(ours[1], theirs[1])
    ahead.set_epoch(9)
    assert source.epoch == 9
    assert not hasattr(ahead, "no such thing")
    with pytest.raises(TypeError):
        len(read_ahead(iter([1])))


@pytest.mark.parametrize(
    "make", [lambda ahead: read_ahead([], ahead=ahead), lambda ahead: BackgroundLoader([], ahead=ahead)]
)
def test_nothing_ahead_is_refused(make) -> None:
    with pytest.raises(ValueError, match="ahead is 0; read at least 1"):
        make(0)


def test_not_more_is_read_than_was_agreed() -> None:
    read = []

    def source():
        for number in itertools.count():
            read.append(number)
            yield number

    items = iter(read_ahead(source(), ahead=2))
    deadline = time.monotonic() + 10
    for used in range(1, 4):
        next(items)
        while len(read) < used + 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        assert len(read) == used + 2


def test_a_forked_copy_of_an_iteration_says_so_and_does_not_wait(monkeypatch) -> None:
    items = iter(read_ahead(itertools.count()))
    next(items)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(os, "getpid", lambda: -1)  # what a forked child would see, on every system
        with pytest.raises(RuntimeError, match="iterate over the loader anew"):
            next(items)
        items.close()
    assert reading(), "the thread belongs to the other process"
    del items
    while reading():
        time.sleep(0.01)


def run(script: str, *, code: int = 0) -> str:
    """The output of a Python process, which has to end by itself."""
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == code, ended.stderr
    return ended.stdout + ended.stderr


def test_python_ends_although_iterations_are_open() -> None:
    said = run("""
        import itertools
        from clslab.data.loading import BackgroundLoader, read_ahead
        items = iter(read_ahead(itertools.count()))
        batches = iter(BackgroundLoader(range(100), batch_size=2, num_workers=1))
        print(next(items), next(batches).tolist())
    """)
    assert said.strip() == "0 [0, 1]"


INTERRUPTED = """
    import _thread, itertools, signal, threading, time
    from clslab.data.loading import read_ahead

    # A job in the background of a script ignores Ctrl-C, and what it starts does too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def slow():
        for number in itertools.count():
            time.sleep({seconds} * (number > 0))
            yield number

    def interrupt():
        time.sleep(0.3)
        _thread.interrupt_main()

    try:
        threading.Thread(target=interrupt).start()
        {body}
    except KeyboardInterrupt:
        while threading.active_count() > 1:
            time.sleep(0.01)
        print("interrupted")
"""


def test_ctrl_c_is_noticed_while_the_loop_waits_for_a_batch() -> None:
    body = "list(read_ahead(slow()))"
    assert run(INTERRUPTED.format(seconds=1, body=body)).strip() == "interrupted"


def test_ctrl_c_is_noticed_while_an_iteration_is_given_up() -> None:
    body = "[next(iter(read_ahead(slow()))), [time.sleep(0.01) for _ in range(500)]]"
    assert run(INTERRUPTED.format(seconds=2, body=body)).strip() == "interrupted"
