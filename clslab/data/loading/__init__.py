"""From a dataset to batches.

| | what for |
|---|---|
| `loader` | items one by one, an order that depends on the seed alone |
| `BatchLoader` | pictures that lie in memory: whole batches at once |
| `BalancedSampler` | an order in which rare classes come as often as common ones |
| `BackgroundLoader`, `read_ahead` | the next batches are read while the model works on this one |
| `DevicePrefetcher` | the next batch is copied to the device while the model works on this one |
"""

from collections.abc import Sized
from typing import Any, cast

from torch.utils.data import DataLoader, Dataset

from clslab import seeds
from clslab.data.loading.background import BackgroundLoader, read_ahead
from clslab.data.loading.balanced import BalancedSampler
from clslab.data.loading.batch_loader import BatchLoader, channel_statistics
from clslab.data.loading.prefetcher import DevicePrefetcher

__all__ = [
    "BackgroundLoader",
    "BalancedSampler",
    "BatchLoader",
    "DevicePrefetcher",
    "channel_statistics",
    "loader",
    "read_ahead",
]


def loader(
    dataset: Dataset[Any],
    *,
    batch_size: int,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 0,
    drop_last: bool = False,
) -> DataLoader[Any]:
    """Batches of a dataset, in an order that depends on the seed alone.

    Args:
        dataset: items `(input, target)`.
        batch_size: items per batch; the last one may be smaller.
        shuffle: a new order each epoch.
        seed: of the order and of the workers.
        workers: processes that load in the background; 0 loads in this one.
        drop_last: leave out the last batch if it is smaller.

    Returns:
        A `DataLoader`.

    Raises:
        ValueError: if there would be no batch at all.

    Taught in chapter 2.
    """
    size = len(cast(Sized, dataset))
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give at least 1")
    if size == 0:
        raise ValueError("the dataset is empty, so there is no batch; check the split")
    if drop_last and batch_size > size:
        raise ValueError(
            f"batch_size {batch_size} is larger than the dataset ({size} items) and drop_last "
            f"drops the only batch; give at most {size} or drop_last=False"
        )
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=shuffle,
        num_workers=workers,
        drop_last=drop_last,
        generator=seeds.generator(seed),
        worker_init_fn=seeds.worker_init,
        # Fresh workers each epoch: their seeds come from the generator, so a resumed run is the same.
        persistent_workers=False,
    )
