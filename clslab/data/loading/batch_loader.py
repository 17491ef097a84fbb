"""Whole batches gathered from tensors that lie in memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from clslab.device import Targets

BatchCallable = Callable[..., tuple[Tensor, Any]]

# Last number of a seed, so that the order and the augmentations never share a random stream.
_ORDER, _DRAWS = 1, 2


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels of a set, on the scale from 0 to 1.

    Counted from a histogram, so that the result is exact and does not depend on device or threads.

    Args:
        images: uint8 `[N, C, H, W]`, N at least 1.

    Returns:
        The C means and the C standard deviations (of the pixels as a whole, not as a sample).

    Taught in chapter 8.

    >>> channel_statistics(torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1))
    ((0.5,), (0.5,))
    """
    values = np.arange(256)
    means, deviations = [], []
    for channel in images.unbind(dim=1):
        counts = torch.bincount(channel.flatten(), minlength=256).cpu().numpy()
        mean = float((counts * values).sum() / counts.sum())
        variance = float((counts * (values - mean) ** 2).sum() / counts.sum())
        means.append(mean / 255)
        deviations.append(variance**0.5 / 255)
    return tuple(means), tuple(deviations)


class BatchLoader:
    """Batches of pictures that all lie in memory: one gather per batch, no item ever alone.

    A `DataLoader` fetches picture by picture and stacks them, which for pictures of 32 × 32 costs more than training on
    them. Here a batch is one `index_select`, the transform sees the whole batch, and normalisation comes last. The
    order of an epoch is drawn from seed and epoch alone, so a run that is resumed needs to know its epoch and nothing
    else, and every process of a distributed run draws the same order and takes its own part of it.

    Over `world_size` processes the order is cut into groups of `world_size * batch_size` items. Of a full group, rank r
    takes items `r * batch_size` to `(r + 1) * batch_size`. The last, short group is divided evenly: the parts differ by
    one item at most. If it holds fewer items than there are processes, it is left out in training (`shuffle`, `sampler`
    or `drop_last`), because every process has to take the same number of steps; otherwise each item is seen exactly
    once, and some processes have one batch fewer.

    Args:
        images: uint8 `[N, C, H, W]`, on any device; batches lie on the same one.
        targets: `[N]` classes, `[N, L]` levels or `[N, C]` probabilities.
        batch_size: items per batch and process.
        mean: per channel, of pictures scaled to [0, 1]; `None` for the images' own.
        std: likewise. Validation and test batches take those of the training images: `train.mean`, `train.std`.
        transform: called with the uint8 batch and its targets before normalisation. A `clslab.data.augment`
            transform, or anything else with a parameter `generator`, is handed one that is seeded by seed, epoch, step
            and rank. Any other callable draws from wherever it likes. It may return floats on the scale from 0 to 255.
        shuffle: a new order each epoch.
        drop_last: leave out the last group if it is short.
        sampler: gives the indices of an epoch in place of `shuffle`; every process has to be given the same ones.
        rank: number of this process.
        world_size: number of processes.
        seed: of the order and of the transform, from 0 to 2**32 - 1.

    Attributes:
        mean: as used, one float per channel.
        std: as used.
        epoch: the epoch of the last iteration, or the one that `set_epoch` named.

    Yields:
        `(inputs, targets)`: float32 `[B, C, H, W]`, normalised, and the targets of these items.

    Raises:
        ValueError: if images and targets do not fit, a setting is out of range, or there would be no batch at all.

    Taught in chapter 8.

    >>> images = torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1)
    >>> batches = BatchLoader(images, torch.arange(5), batch_size=2, mean=[0], std=[1 / 255])
    >>> [inputs.flatten().round().tolist() for inputs, _ in batches]
    [[0.0, 1.0], [2.0, 3.0], [4.0]]
    """

    even_until_last = True  # over several processes; see `clslab.distributed.even_steps`

    def __init__(
        self,
        images: Tensor,
        targets: Tensor,
        *,
        batch_size: int,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        transform: BatchCallable | None = None,
        shuffle: bool = False,
        drop_last: bool = False,
        sampler: Iterable[int] | None = None,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
    ) -> None:
        _check_tensors(images, targets)
        _check_numbers(batch_size, rank, world_size, seed)
        if sampler is not None and shuffle:
            raise ValueError("a sampler gives the order of the items, and so does shuffle=True; leave one of them out")
        self.images, self.targets = images, targets.to(images.device)
        self.batch_size, self.rank, self.world_size, self.seed = batch_size, rank, world_size, seed
        self.shuffle, self.drop_last, self.sampler, self.transform = shuffle, drop_last, sampler, transform
        own_mean, own_std = channel_statistics(images) if mean is None or std is None else ((), ())
        self.mean = _per_channel("mean", own_mean if mean is None else mean, images)
        self.std = _per_channel("std", own_std if std is None else std, images)
        if 0 in self.std:
            raise ValueError(
                f"std {self.std}: channel {self.std.index(0)} cannot be divided by 0; all its pixels are the same? "
                "Give another std for it, such as 1"
            )
        # (x / 255 - mean) / std as one multiplication and one addition
        self._scale = torch.tensor([1 / (255 * std) for std in self.std]).to(images.device)[:, None, None]
        self._shift = torch.tensor([-m / s for m, s in zip(self.mean, self.std, strict=True)]).to(images.device)
        self._shift = self._shift[:, None, None]
        self._takes_generator = transform is not None and _takes_generator(transform)
        self.epoch = 0
        self._epoch_is_set = False
        self._check_not_empty()

    def set_epoch(self, epoch: int) -> None:
        """Fix the epoch of the iterations to come, until it is set again.

        Where this is never called, the first iteration is epoch 1 and each further one is the next epoch.

        Args:
            epoch: at least 0.

        Raises:
            ValueError: if it is negative.
        """
        if epoch < 0:
            raise ValueError(f"epoch {epoch} is negative; epochs are counted from 1")
        self.epoch, self._epoch_is_set = epoch, True
        self._announce()

    def _announce(self) -> None:
        announce = getattr(self.sampler, "set_epoch", None)
        if announce is not None:
            announce(self.epoch)

    def __len__(self) -> int:
        """Number of batches of this process.

        Raises:
            TypeError: if there is a sampler that does not know its length.
        """
        items = len(self.images) if self.sampler is None else len(cast(Sized, self.sampler))
        full, left = divmod(items, self.batch_size * self.world_size)
        return full + (0 if self._part_of_last(left) is None else 1)

    def __iter__(self) -> Iterator[tuple[Tensor, Targets]]:
        if not self._epoch_is_set:
            self.epoch += 1
            self._announce()
        # The order is drawn here and not at the first batch: by then the epoch may be another one.
        return self._batches(self.epoch, self._order(self.epoch))

    def _order(self, epoch: int) -> Tensor:
        if self.sampler is not None:
            order = torch.as_tensor(list(self.sampler), dtype=torch.int64)
        elif self.shuffle:
            order = torch.randperm(len(self.images), generator=_generator(self.seed, epoch, _ORDER))
        else:
            order = torch.arange(len(self.images))
        return order.to(self.images.device)

    def _batches(self, epoch: int, order: Tensor) -> Iterator[tuple[Tensor, Targets]]:
        size = self.batch_size * self.world_size
        for step, start in enumerate(range(0, len(order), size)):
            group = order[start : start + size]
            part = self._part_of_last(len(group)) if len(group) < size else self._part(self.batch_size)
            if part is not None:
                yield self._batch(group[part], epoch, step)

    def _part(self, each: int, extra: int = 0) -> slice:
        """This process's part of a group: `each` items, and one more for the first `extra` processes."""
        start = self.rank * each + min(self.rank, extra)
        return slice(start, start + each + (self.rank < extra))

    def _part_of_last(self, left: int) -> slice | None:
        """This process's part of a group of `left` items, fewer than a full one; `None` if it has none."""
        each, extra = divmod(left, self.world_size)
        in_step = self.shuffle or self.sampler is not None
        if self.drop_last or (each == 0 and (in_step or self.rank >= extra)):
            return None
        return self._part(each, extra)

    def _batch(self, indices: Tensor, epoch: int, step: int) -> tuple[Tensor, Targets]:
        inputs: Tensor = self.images.index_select(0, indices)
        targets: Targets = self.targets.index_select(0, indices)
        if self.transform is not None:
            if self._takes_generator:
                generator = _generator(self.seed, epoch, step, self.rank, _DRAWS)
                inputs, targets = self.transform(inputs, targets, generator=generator)
            else:
                inputs, targets = self.transform(inputs, targets)
        return inputs.to(torch.float32).mul(self._scale).add_(self._shift), targets

    def _check_not_empty(self) -> None:
        items = len(self.images)
        if self.sampler is not None:
            return  # its length may be unknown, or change from epoch to epoch
        group = self.batch_size * self.world_size
        if self.drop_last and items < group:
            raise ValueError(
                f"batch_size {self.batch_size} times {self.world_size} processes is more than the {items} items, and "
                "drop_last drops the only batch; give a smaller batch_size or drop_last=False"
            )
        if self.shuffle and items < self.world_size:
            raise ValueError(f"{items} items for {self.world_size} processes: give at least one item to each")


def _generator(*numbers: int) -> torch.Generator:
    """A generator on the CPU, seeded by several numbers; any change of one gives an unrelated stream."""
    seed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed))


def _takes_generator(transform: BatchCallable) -> bool:
    called = transform.forward if isinstance(transform, nn.Module) else transform
    return "generator" in inspect.signature(called).parameters


def _check_tensors(images: Tensor, targets: Tensor) -> None:
    if images.ndim != 4 or images.dtype != torch.uint8:
        raise ValueError(
            f"images are {images.dtype} {tuple(images.shape)}; give uint8 pictures [N, C, H, W] from 0 to 255"
        )
    if len(images) == 0:
        raise ValueError("there are no images, so there is no batch; check the split")
    if len(targets) != len(images):
        raise ValueError(f"{len(images)} images but {len(targets)} targets; give one per image")


def _check_numbers(batch_size: int, rank: int, world_size: int, seed: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give at least 1")
    if world_size < 1 or not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} of {world_size} processes; ranks go from 0 to world_size - 1")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed {seed} is out of range; it has to be at least 0 and below 2**32")


def _per_channel(name: str, values: Sequence[float], images: Tensor) -> tuple[float, ...]:
    given = tuple(float(value) for value in values)
    if len(given) != images.shape[1]:
        raise ValueError(f"{name} has {len(given)} values and the images have {images.shape[1]} channels")
    return given
