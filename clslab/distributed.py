"""Several processes that train one model together.

Each process holds a whole copy of the model and takes its part of every batch. After the backward pass
`DistributedDataParallel` (Li et al., arXiv:2006.15704) averages the gradients, so that all copies take the same step.
The processes are started by torchrun, and a program joins them for as long as a block lasts:

    torchrun --nproc-per-node=2 my_program.py

    with distributed.joined():
        fit(model, train, val, recipe)

Without torchrun there is one process, and everything here does nothing.

Taught in appendix A1.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Sampler

from clslab import seeds

Value = TypeVar("Value")

_SET_BY_TORCHRUN = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")

# What gloo and nccl say when the process at the other end is no longer there.
_SIGNS_OF_LOSS = ("closed by peer", "reset by peer", "Broken pipe", "pair closure", "Connection refused", "NCCL")


class ProcessLost(ConnectionError):  # noqa: N818 (named for what happened)
    """Another process of the job has ended, so this one cannot go on."""


@dataclass(frozen=True)
class World:
    """Which process this is, out of how many.

    Attributes:
        rank: number of this process, from 0.
        local_rank: its number among those on the same computer; the number of its graphics card.
        world_size: processes in all.

    >>> World()
    World(rank=0, local_rank=0, world_size=1)
    """

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1


def world() -> World:
    """This process; the only one outside of `joined`."""
    if not (dist.is_available() and dist.is_initialized()):
        return World()
    rank = dist.get_rank()
    return World(rank, int(os.environ.get("LOCAL_RANK", rank)), dist.get_world_size())


def is_writer() -> bool:
    """Whether this process is the one that prints and writes files."""
    return world().rank == 0


@contextlib.contextmanager
def joined(backend: str | None = None) -> Iterator[World]:
    """Join the processes that torchrun started, until the block ends.

    If another process ends before this one, by an error or by a signal, this one ends too, with `ProcessLost`. Give
    each process one thread per core that is left for it: torchrun sets `OMP_NUM_THREADS=1` unless it is set already.

    Args:
        backend: "nccl" (CUDA devices) or "gloo" (CPU); by default nccl where there is a CUDA device, unless
            `$CLSLAB_DEVICE` names the CPU.

    Yields:
        Which process this is. Without torchrun, or if it started a single one: the only one.

    Raises:
        ProcessLost: if another process has ended, or torchrun asks this one to end.
        ValueError: if the environment is not that of torchrun, or there are fewer CUDA devices than processes.

    Taught in appendix A1.
    """
    if dist.is_available() and dist.is_initialized():
        raise ValueError("this process has joined a job already; leave that block first")
    size = os.environ.get("WORLD_SIZE", "1")
    if size == "1":
        yield World()
        return
    missing = [name for name in _SET_BY_TORCHRUN if name not in os.environ]
    if missing:
        raise ValueError(
            f"WORLD_SIZE is {size} and {', '.join(missing)} not set; start the processes with "
            f"torchrun --nproc-per-node={size} …, or unset WORLD_SIZE"
        )
    with _ended_by_sigterm():
        dist.init_process_group(_backend() if backend is None else backend)
        try:
            yield world()
        except RuntimeError as error:
            if not _says_lost(error):
                raise
            raise _lost(f"another process has ended ({str(error).strip().splitlines()[0]})") from error
        finally:
            dist.destroy_process_group()


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """The sum of a tensor over all processes, the same in each of them.

    All processes have to call this, and all collective functions, the same number of times in the same order.

    Args:
        tensor: of equal shape and type in every process; not changed.
    """
    if world().world_size == 1:
        return tensor
    total = tensor.detach().to(_device(), copy=True)
    dist.all_reduce(total)
    return total.to(tensor.device)


def gather(value: Value) -> list[Value]:
    """What each process holds, in the order of their ranks, the same list in each of them.

    Args:
        value: anything that can be pickled.

    >>> gather("mine")
    ['mine']
    """
    size = world().world_size
    if size == 1:
        return [value]
    everyone: list[Any] = [None] * size
    dist.all_gather_object(everyone, value)
    return everyone


def agreed(value: Value) -> Value:
    """What process 0 holds, in every process: for choices that were measured, such as the machine."""
    if world().world_size == 1:
        return value
    shared: list[Any] = [value]
    dist.broadcast_object_list(shared, src=0, device=_device())
    return shared[0]


def share_of(batch_size: int) -> int:
    """Items per batch and process, out of those of the whole batch, which is what a recipe states.

    Raises:
        ValueError: if the batch cannot be divided evenly.

    >>> share_of(256)
    256
    """
    size = world().world_size
    if batch_size % size:
        near = max(size, batch_size // size * size)
        raise ValueError(
            f"batch_size {batch_size} cannot be divided by {size} processes; take one that can, such as {near}, or "
            "another number of processes"
        )
    return batch_size // size


# ---------------------------------------------------------------------------------------- loaders


class ShardSampler(Sampler[int]):
    """This process's part of the items, for a `DataLoader` of the same batch size.

    The order of an epoch is drawn from seed and epoch, the same in every process, and cut into groups of `world_size *
    batch_size` items. Of a full group, rank r takes items `r * batch_size` to `(r + 1) * batch_size`; so the processes
    together take the batches that a single one with the whole batch size would take. The last, short group is divided
    as evenly as possible. If it holds fewer items than there are processes, it is left out where the order is shuffled,
    because every process has to take the same number of training steps; otherwise each item is seen exactly once.
    `clslab.data.loading.BatchLoader` does the same.

    Args:
        size: number of items.
        batch_size: items per batch and process, as for the `DataLoader`; see `share_of`.
        shuffle: a new order each epoch, which `set_epoch` has to announce (`fit` does).
        drop_last: leave out the last group if it is short.
        seed: of the order.
        rank: number of this process; by default that of `world()`.
        world_size: number of processes; likewise.

    Raises:
        ValueError: if there are fewer items than processes, or a number is out of range.

    Taught in appendix A1.

    >>> [list(ShardSampler(7, batch_size=2, rank=rank, world_size=2)) for rank in (0, 1)]
    [[0, 1, 4, 5], [2, 3, 6]]
    """

    even_until_last = True  # see `even_steps`

    def __init__(
        self,
        size: int,
        *,
        batch_size: int,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        here = world()
        self.rank = here.rank if rank is None else rank
        self.world_size = here.world_size if world_size is None else world_size
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank {self.rank} of {self.world_size} processes; ranks go from 0 to world_size - 1")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; give at least 1")
        if size < self.world_size:
            raise ValueError(f"{size} items for {self.world_size} processes; give at least one item to each")
        self.size, self.batch_size, self.shuffle, self.drop_last = size, batch_size, shuffle, drop_last
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(part.stop - part.start for part in self._parts())

    def __iter__(self) -> Iterator[int]:
        order = np.arange(self.size)
        if self.shuffle:
            drawn = np.random.SeedSequence((self.seed, self.epoch, 1)).generate_state(1, np.uint64)[0]
            order = torch.randperm(self.size, generator=torch.Generator().manual_seed(int(drawn))).numpy()
        for part in self._parts():
            yield from order[part].tolist()

    def _parts(self) -> Iterator[slice]:
        """This process's part of each group."""
        group = self.world_size * self.batch_size
        for start in range(0, self.size, group):
            left = min(group, self.size - start)
            each, over = divmod(left, self.world_size)
            if (each == 0 and self.shuffle) or (left < group and self.drop_last):
                return
            first = start + self.rank * each + min(self.rank, over)
            yield slice(first, first + each + (self.rank < over))


def parts_of_loader(loader: Iterable[Any]) -> Iterator[Any]:
    """A loader, the samplers that it draws from, and the loaders that it wraps (attribute `loader`)."""
    part: Any = loader
    while part is not None:
        yield part
        samplers = (getattr(part, name, None) for name in ("sampler", "batch_sampler"))
        yield from (sampler for sampler in samplers if sampler is not None)
        part = getattr(part, "loader", None)


def is_divided(loader: Iterable[Any]) -> bool:
    """Whether a loader gives each process its own part; it, or its sampler, then has a `world_size`.

    Raises:
        ValueError: if it is divided for another number of processes than there are.
    """
    sizes = {getattr(part, "world_size", 1) for part in parts_of_loader(loader)} - {1}
    size = world().world_size
    if sizes - {size}:
        raise ValueError(
            f"the loader is divided for {max(sizes)} processes, and there {'is' if size == 1 else 'are'} {size}; make "
            "it with the world_size of clslab.distributed.world()"
        )
    return bool(sizes)


def undivided(batches: Sequence[Value], loader: Iterable[Any]) -> list[Value]:
    """What the processes made of the batches of a divided loader, in the order of the undivided one.

    Args:
        batches: one value per batch that this process was given; anything that can be pickled.
        loader: what gave them. If it is not divided, every process has seen all of it already.

    Raises:
        ValueError: if the loader is divided for another number of processes than there are.

    >>> undivided(["first", "second"], loader=[1, 2])
    ['first', 'second']
    """
    if not is_divided(loader):
        return list(batches)
    steps = itertools.zip_longest(*([(batch,) for batch in own] for own in gather(batches)))
    return [held[0] for step in steps for held in step if held is not None]


def length_of(loader: Iterable[Any]) -> int | None:
    """Batches of an epoch; `None` of a loader that does not know, such as a `DataLoader` over a stream.

    >>> length_of([1, 2]), length_of(iter([1, 2]))
    (2, None)
    """
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # a DataLoader has a length in name, and asks its dataset, which may have none
        return None


def check_in_step(train: Iterable[Any]) -> None:
    """Refuse a training loader with which the processes would wait for each other for ever.

    Raises:
        ValueError: if it is not divided over the processes, or gives them different numbers of batches.
    """
    if world().world_size == 1:
        return
    if not is_divided(train):
        raise ValueError(
            f"the training loader is not divided, so each of the {world().world_size} processes would train on every "
            "item; take a BatchLoader with rank and world_size, or a DataLoader with a ShardSampler"
        )
    counts = gather(length_of(train))
    if len(set(counts)) > 1:
        raise ValueError(f"the processes have {counts} training batches; give each the same number")


def even_steps(train: Iterable[Any]) -> int:
    """Number of steps, from the first of an epoch, in which every process has equally many items.

    A `BatchLoader`, or a `DataLoader` with a `ShardSampler`, gives each process a full batch in all steps but the last,
    so nobody has to ask. Of another loader this is not known, which is 0.

    Args:
        train: a loader that `check_in_step` has found to give all processes equally many batches.
    """
    known = any(getattr(part, "even_until_last", False) for part in parts_of_loader(train))
    return max(0, (length_of(train) or 0) - 1) if known else 0


# ------------------------------------------------------------------------------------------ models


def together(model: nn.Module) -> nn.Module:
    """The model for the forward passes of training: its backward passes average the gradients over all processes.

    Starts from the weights of process 0. Parameters are shared with `model`, whose state dict keeps its own keys. Batch
    norm sees the items of its own process only, see `average_statistics`.
    """
    if world().world_size == 1:
        return model
    devices = [torch.cuda.current_device()] if _device().type == "cuda" else None
    network = DistributedDataParallel(model, device_ids=devices)
    # Batch norm's running statistics are not read in training: once per epoch (`average_statistics`) is enough. The
    # argument that says so has two names in the releases of torch that this library supports, the attribute one.
    network.broadcast_buffers = False
    return network


def draw_apart() -> None:
    """Give each process but the first random numbers of its own, drawn from the seed that all were given.

    Two processes that were seeded alike would drop the same units of their different items, and vary them alike.
    """
    here = world()
    if here.rank > 0:
        mixed = np.random.SeedSequence((torch.initial_seed(), here.rank)).generate_state(1)[0]
        seeds.seed_everything(int(mixed))


def average_statistics(model: nn.Module) -> None:
    """Give all processes the same buffers: the mean of what batch norm counted in each, process 0's of all others.

    In training, batch norm normalises by the items of its own process: with R processes by 1/R of the batch. That is
    another function of the batch than one process computes, and no averaging afterwards makes up for it; only its
    running statistics, which evaluation uses, are brought together here. `torch.nn.SyncBatchNorm` would count over all
    processes in every layer, on CUDA devices only.

    Taught in appendix A1.
    """
    size = world().world_size
    if size == 1:
        return
    counted = {
        id(tensor)
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.training
        for tensor in (module.running_mean, module.running_var)
        if tensor is not None
    }
    for buffer in model.buffers():
        if id(buffer) in counted:
            buffer.copy_(sum_over_ranks(buffer) / size)
        else:
            shared = buffer.detach().to(_device(), copy=True)
            dist.broadcast(shared, src=0)
            buffer.copy_(shared)


# ----------------------------------------------------------------------------------------- private


def _backend() -> str:
    """The backend for this machine: nccl with a card for each process of this computer, else gloo."""
    if not torch.cuda.is_available() or os.environ.get("CLSLAB_DEVICE", "").startswith("cpu"):
        return "gloo"
    local_rank, cards = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local_rank >= cards:
        raise ValueError(
            f"process {local_rank} of this computer has no CUDA device: torch sees {cards}; start at most {cards} "
            f"processes (--nproc-per-node={cards}), or set CLSLAB_DEVICE=cpu"
        )
    torch.cuda.set_device(local_rank)
    return "nccl"


def _device() -> torch.device:
    """Where tensors have to lie that the processes exchange."""
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")


def _lost(what: str) -> ProcessLost:
    here = world()
    return ProcessLost(
        f"process {here.rank} of {here.world_size} stops: {what}. The first message above says why; if there is none, "
        "it was killed, for instance because memory ran out. The job can go on from its last checkpoint (--resume)"
    )


def _says_lost(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or any(sign in str(error) for sign in _SIGNS_OF_LOSS)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Turn SIGTERM, by which torchrun ends the processes that are left, into an error with a message."""

    def end(*_: Any) -> NoReturn:
        raise _lost("it was asked to (SIGTERM), as torchrun does when another process has ended")

    if threading.current_thread() is not threading.main_thread():  # only there may Python set one
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
