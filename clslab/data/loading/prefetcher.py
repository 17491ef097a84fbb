"""Batches that are on the device before the model asks for them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Protocol

import torch
from torch import Tensor

from clslab.data.loading.wrapper import LoaderWrapper
from clslab.device import Machine


class DevicePrefetcher(LoaderWrapper):
    """A loader whose batches lie on the device; on CUDA the next one is copied while the model works on this one.

    A CUDA device works through queues, called streams, and a copy in the queue of the model waits for the model. So
    copies have a stream of their own. Two streams know nothing of each other, hence two precautions:

    - **Wait.** Before a batch is handed out, the model's stream is told to wait for the copies (`wait_stream`). Else
      the model would read memory that is not yet filled.
    - **Record.** Each tensor is marked as used by the model's stream (`record_stream`). PyTorch gives freed memory
      back to the stream that it was allocated for, here that of the copies, and it is free as soon as Python drops the
      tensor. But Python is ahead of the device: when the loop moves on, the model's kernels for the old batch may still
      be queued. Without the mark, the next copy would be written over a batch that is still to be read, and nothing
      would report it: the numbers would just be wrong now and then. The prefetcher that is often copied from page to
      page waits, but does not record.

    The other remedy, to let the copies wait for the model too (waits in both directions), is also safe, but then a copy
    begins only when the model has finished all that was queued before it, and less is hidden.

    A copy runs beside the program only from pinned memory, so other tensors are pinned first. That takes time of the
    calling thread: let the loader do it (`pin_memory=True`), best a `BackgroundLoader`. What the loader itself takes is
    not hidden here, but by the loader: put this around a `BackgroundLoader`, not the other way round.

    On the CPU batches pass through as they are. On other devices (MPS) each is copied when it is asked for.
    `describe()` says which.

    A batch may be nested tuples, lists and dicts. Entries named `"meta"` in a dict, and whatever is no tensor, pass
    untouched. The loader's own containers are not changed.

    Args:
        loader: gives batches; `len` and `set_epoch` are passed on to it.
        device: such as "cuda", "cuda:1", "mps" or "cpu".

    Raises:
        ValueError: if it is a CUDA device that is not available.

    Taught in chapter 8.

    >>> prefetcher = DevicePrefetcher([(torch.ones(2), {"meta": "a.jpg"})], "cpu")
    >>> prefetcher.next()
    (tensor([1., 1.]), {'meta': 'a.jpg'})
    >>> print(prefetcher.next())
    None
    """

    def __init__(self, loader: Iterable[Any], device: str | torch.device) -> None:
        super().__init__(loader)
        self.device = torch.device(device)
        if self.device.type == "cuda":
            Machine(str(self.device))  # raises if the device is not there
        self._own: Transfer | None = None

    def __iter__(self) -> Transfer:
        """A new iteration, independent of others. `next()` starts again too."""
        self._own = None
        return Transfer(iter(self.loader), _copier(self.device))

    def next(self) -> Any | None:
        """The next batch of an iteration of this object's own, or `None` at its end and ever after.

        `iter(prefetcher)` sets it back to the start.
        """
        if self._own is None:
            self._own = iter(self)
        return next(self._own, None)

    def describe(self) -> str:
        """What is done on this device, in one line."""
        if self.device.type == "cuda":
            return f"the next batch is copied to {self.device} on a stream of its own while this one is in use"
        if self.device.type == "cpu":
            return "the batches stay on the CPU as they are: nothing is copied and nothing read ahead"
        return f"each batch is copied to {self.device} when it is asked for: nothing is read ahead"


class Copier(Protocol):
    """How tensors get to a device.

    Attributes:
        ahead: whether a copy goes on beside the program, so that it pays to start it early.
    """

    ahead: bool

    def send(self, tensor: Tensor) -> Tensor:
        """Start to copy a tensor; the result may be used after `receive`."""

    def receive(self, batch: Any) -> None:
        """Make sure that all tensors of a batch can be used by what comes next."""


class PlainCopier:
    """Copies at once, or not at all if the tensor is there already."""

    ahead = False

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def send(self, tensor: Tensor) -> Tensor:
        """The tensor on the device."""
        return tensor.to(self.device)

    def receive(self, batch: Any) -> None:
        """Nothing is left to be done."""


class CudaCopier:
    """Copies on a stream beside that of the model. Why it waits and records is told in `DevicePrefetcher`."""

    ahead = True

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.side = torch.cuda.Stream(device)

    def send(self, tensor: Tensor) -> Tensor:
        """Queue the copy on the side stream."""
        if tensor.device.type != "cpu":
            return tensor.to(self.device)  # made on the model's stream: it stays in that queue
        pinned = tensor if tensor.is_pinned() else tensor.pin_memory()
        with torch.cuda.stream(self.side):
            return pinned.to(self.device, non_blocking=True)

    def receive(self, batch: Any) -> None:
        """Let the model's stream wait for the copies, and mark every tensor as used by it."""
        model = torch.cuda.current_stream(self.device)
        model.wait_stream(self.side)

        def mark(tensor: Tensor) -> Tensor:
            tensor.record_stream(model)
            return tensor

        over_tensors(mark, batch)


class Transfer(Iterator[Any]):
    """One iteration over a loader, with its batches on the device.

    Args:
        source: gives the batches.
        copier: takes their tensors to the device.
    """

    def __init__(self, source: Iterator[Any], copier: Copier) -> None:
        self._source: Iterator[Any] | None = source
        self._copier = copier
        self._coming: list[Any] = []  # the batch on its way, if there is one
        self._error: Exception | None = None
        if copier.ahead:
            self._send_next()

    def __next__(self) -> Any:
        if not self._copier.ahead:
            self._send_next()
        if not self._coming:
            self.close()
            error, self._error = self._error, None
            if error is not None:
                raise error
            raise StopIteration
        batch = self._coming.pop()
        self._copier.receive(batch)
        if self._copier.ahead:
            self._send_next()  # after `receive`, so that the model does not wait for this copy
        return batch

    def close(self) -> None:
        """Let go of the loader's iteration."""
        source, self._source = self._source, None
        self._coming.clear()
        close: Callable[[], object] | None = getattr(source, "close", None)
        if close is not None:
            close()

    def _send_next(self) -> None:
        if self._source is None:
            return
        try:
            self._coming.append(over_tensors(self._copier.send, next(self._source)))
        except StopIteration:
            self._source = None
        except Exception as error:  # noqa: BLE001 (raised after the batch before it, where it belongs)
            self._error, self._source = error, None


def over_tensors(function: Callable[[Tensor], Tensor], batch: Any) -> Any:
    """A copy of nested tuples, lists and dicts, with a function applied to every tensor.

    Entries named `"meta"` of a dict, and whatever is no tensor, pass untouched.

    >>> over_tensors(lambda tensor: tensor + 1, {"x": [torch.tensor(1)], "meta": torch.tensor(1)})
    {'x': [tensor(2)], 'meta': tensor(1)}
    """
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        entries = {key: entry if key == "meta" else over_tensors(function, entry) for key, entry in batch.items()}
        if not isinstance(batch, MutableMapping):
            return entries
        changed = copy.copy(batch)  # keeps its type
        changed.update(entries)
        return changed
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(over_tensors(function, entry) for entry in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(over_tensors(function, entry) for entry in batch)
    return batch


def _copier(device: torch.device) -> Copier:
    return CudaCopier(device) if device.type == "cuda" else PlainCopier(device)
