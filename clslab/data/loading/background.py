"""Read the next batches while the model works on this one: a thread beside the loop."""

from __future__ import annotations

import _thread
import functools
import math
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

import torch
from torch.utils.data import DataLoader, Dataset

from clslab.data.loading.wrapper import LoaderWrapper, announce_epoch

T = TypeVar("T")

_END = object()  # in place of an item, where there is none left
# Waiting is done in short pieces, since Windows notices Ctrl-C between them only.
_PIECE_SECONDS = 0.2
_PATIENCE_SECONDS = 5.0  # for the item that is being read when an iteration is given up


class ReadAhead(LoaderWrapper, Generic[T]):
    """What `read_ahead` returns: the same items, read by a thread before they are asked for."""

    def __init__(self, iterable: Iterable[T], *, ahead: int = 2) -> None:
        super().__init__(iterable)
        self.ahead = _checked(ahead)

    def __iter__(self) -> Reader[T]:
        source = iter(self.loader)
        own = source is not self.loader  # an iterator that was handed to us is not ours to close
        return Reader(source, self.ahead, close=getattr(source, "close", None) if own else None)


def read_ahead(iterable: Iterable[T], *, ahead: int = 2) -> ReadAhead[T]:
    """The items of an iterable in their order, read by a thread before they are asked for.

    The thread helps where reading is waiting (for a disk, a network, worker processes) or is spent in code that
    releases Python's lock, as most of torch, NumPy and Pillow does. Pure Python code in the thread and in the loop
    takes turns, and nothing is gained.

    Each iteration has a thread of its own. It ends with the last item, with an exception, or as soon as nobody holds
    the iterator any more (a `break`, an exception in the loop). At most one item is then still being read, and it is
    waited for, five seconds at most. An exception in the thread is raised in the loop, at the item that it belongs to,
    with its own type.

    Args:
        iterable: read from one thread at a time; `len` and `set_epoch` are passed on to it.
        ahead: how many items may be ready or in work beside the one in use. More than two only helps if reading times
            vary, and costs the memory of as many items.

    Returns:
        An iterable of the same items; it can be iterated as often as `iterable`.

    Raises:
        ValueError: if `ahead` is less than 1.

    Taught in chapter 8.

    >>> list(read_ahead([3, 1, 2]))
    [3, 1, 2]
    """
    return ReadAhead(iterable, ahead=ahead)


class BackgroundLoader(DataLoader[Any]):
    """A `DataLoader` whose batches are fetched by a thread before they are asked for.

    The batches are those of the plain loader in the same order. How the thread works, and how it ends, is told in
    `read_ahead`.

    With `num_workers` of 1 or more, the workers load, each with random numbers of its own, and the thread receives:
    every random number is that of the plain loader. What the thread adds then is small: the workers read ahead too, and
    it only takes receiving and `pin_memory` out of the loop.

    With `num_workers=0` the items themselves are made in the thread. The order is still that of the plain loader: it is
    drawn with the first batch, which is read in the calling thread when it is asked for (nothing could hide it anyway),
    and what the loop draws later does not change it. Augmentations however draw from the same global generators as the
    loop (dropout, for instance), and which of the two draws first is not decided: for runs that repeat exactly, use one
    worker, or transforms with a generator of their own. Likewise, if a second loader shuffles while this one is read,
    give it a `generator`. After a `break` the global generators have moved on by what was read ahead.

    With `persistent_workers=True` there is one set of workers, and so one iteration at a time: as in the plain loader,
    a new one ends the one before.

    Worker processes start before the thread does. Where they are forked (Linux before Python 3.14), do not start a
    second loader with workers while the thread of another one is reading: pass `multiprocessing_context="spawn"` there.

    Args:
        dataset: as for `DataLoader`.
        ahead: batches ready or in work beside the one in use, at least 1.
        **arguments: of `torch.utils.data.DataLoader`.

    Raises:
        ValueError: if `ahead` is less than 1, or as `DataLoader` does.

    Taught in chapter 8.

    >>> [batch.tolist() for batch in BackgroundLoader(range(5), batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, dataset: Dataset[Any], *, ahead: int = 2, **arguments: Any) -> None:
        self.ahead = _checked(ahead)
        super().__init__(dataset, **arguments)
        self._before: tuple[weakref.ref[Reader[Any]], ThreadPoolExecutor] | None = None

    def __iter__(self) -> Reader[Any]:  # type: ignore[override]
        if self._before is not None:
            before, pool = self._before[0](), self._before[1]
            if before is not None:
                before.close()
            pool.shutdown(wait=True)  # one that was given up may still be receiving from the same workers
        source: Iterator[Any] = super().__iter__()
        # Without this, workers would live as long as somebody keeps an exception that came out of the thread.
        end_workers = None if self.persistent_workers else getattr(source, "_shutdown_workers", None)
        reader = Reader(source, self.ahead, first_here=self.num_workers == 0, close=end_workers)
        if self.persistent_workers:
            self._before = weakref.ref(reader), reader.pool
        return reader

    def set_epoch(self, epoch: int) -> None:
        """Announce the number of the epoch to the sampler, where it wants to know it."""
        announce_epoch(epoch, self.sampler)
        announce_epoch(epoch, self.batch_sampler)


@dataclass
class _Reading(Generic[T]):
    """What the thread knows. It must not know the `Reader`, or that one would never be garbage."""

    source: Iterator[T] | None
    pool: ThreadPoolExecutor
    close: Callable[[], object] | None
    futures: deque[Future[T]] = field(default_factory=deque)
    stopped: bool = False
    thread: int | None = None
    process: int = field(default_factory=os.getpid)


class Reader(Iterator[T]):
    """One iteration over a source that a thread reads ahead of the loop.

    Args:
        source: read from the thread from now on.
        ahead: items ready or in work beside the one in use.
        first_here: read the first item when it is asked for, in the calling thread, and start the thread then.
        close: called after the thread has ended.

    Attributes:
        pool: the thread.
    """

    def __init__(
        self,
        source: Iterator[T],
        ahead: int,
        *,
        first_here: bool = False,
        close: Callable[[], object] | None = None,
    ) -> None:
        # The current CUDA device belongs to a thread, and a new thread would pin memory for the first one.
        device = torch.cuda.current_device() if torch.cuda.is_initialized() else None
        start = functools.partial(_use_device, device)
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead", initializer=start)
        self._reading = _Reading(source, self.pool, close)
        self._collected = weakref.finalize(self, _end_collected, self._reading)
        # At the exit of Python, the threads of a pool have been waited for before finalizers run.
        self._collected.atexit = False
        self._ahead = ahead
        self._first_here = first_here
        if not first_here:
            self._fill()

    def __next__(self) -> T:
        if not self._collected.alive:
            raise StopIteration
        if self._reading.process != os.getpid():
            raise RuntimeError(
                "this iteration was started in the process that this one was forked from, and its thread is there; "
                "iterate over the loader anew"
            )
        try:
            item = self._take()
        except BaseException as error:
            # After Ctrl-C nothing is waited for: reading may be what hangs.
            self._close(patience=0 if isinstance(error, KeyboardInterrupt) else None)
            raise
        if item is _END:
            self.close()
            raise StopIteration
        self._fill()
        return item

    def _take(self) -> Any:
        """The next item, or `_END`."""
        if self._first_here:
            self._first_here = False
            return next(cast(Iterator[T], self._reading.source), _END)
        future = self._reading.futures[0]
        while not future.done():
            wait((future,), timeout=_PIECE_SECONDS)
        return self._reading.futures.popleft().result()

    def _fill(self) -> None:
        """Ask the thread for as many items as are to be ahead."""
        while len(self._reading.futures) < self._ahead:
            self._reading.futures.append(self._reading.pool.submit(_read, self._reading))

    def close(self) -> None:
        """End the iteration: wait for the item that is being read, and end the thread and what it read from."""
        self._close(patience=None)

    def _close(self, patience: float | None) -> None:
        if self._collected.detach() is not None:
            _end(self._reading, patience)


def _use_device(device: int | None) -> None:
    """Make the CUDA device of the loop that of the thread too."""
    if device is not None:
        torch.cuda.set_device(device)


def _read(reading: _Reading[T]) -> Any:
    """The next item: what the thread does."""
    reading.thread = threading.get_ident()
    source = reading.source
    if reading.stopped or source is None:
        return _END
    try:
        return next(source, _END)
    except BaseException:
        reading.stopped = True  # or the item after the one that failed would still be read
        raise


def _end(reading: _Reading[T], patience: float | None) -> None:
    """End the thread, then what it read from.

    Args:
        reading: what the thread knows.
        patience: seconds to wait for the item that is being read; `None` for as long as it takes. A thread that is
            not waited for ends after its item, and what it read from is then garbage.
    """
    if reading.process != os.getpid():
        return  # a forked copy: thread and workers belong to the other process
    reading.stopped = True
    running = [future for future in reading.futures if not future.cancel()]
    reading.futures.clear()
    close, reading.close, reading.source = reading.close, None, None
    # Garbage is collected by any thread, so perhaps by the one that reads, which cannot wait for itself.
    ended = reading.thread != threading.get_ident() and _all_done(running, patience)
    reading.pool.shutdown(wait=ended)
    if ended and close is not None:
        close()


def _end_collected(reading: _Reading[T]) -> None:
    """End the thread of a reader that nobody holds any more."""
    try:
        # Not without limit: the loop may hold a lock (that of logging, say) which the thread is waiting for.
        _end(reading, _PATIENCE_SECONDS)
    except KeyboardInterrupt:
        # Python drops what is raised while garbage is collected. The user wants to stop: say it again, outside.
        again = threading.Timer(_PIECE_SECONDS, _thread.interrupt_main)
        again.daemon = True
        again.start()


def _all_done(futures: list[Future[T]], patience: float | None) -> bool:
    """Wait until all are done, or patience ends; whether they are."""
    deadline = math.inf if patience is None else time.monotonic() + patience
    while wait(futures, timeout=_PIECE_SECONDS).not_done:
        if time.monotonic() > deadline:
            return False
    return True


def _checked(ahead: int) -> int:
    if ahead < 1:
        raise ValueError(f"ahead is {ahead}; read at least 1 batch ahead, or take the plain loader")
    return ahead
