"""Resampling: an order in which every class comes equally often."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from torch.utils.data import Sampler


class BalancedSampler(Sampler[int]):
    """As many draws an epoch as there are items, each class equally often, whatever the set holds of it.

    The draws go to the classes in equal shares (where they do not divide evenly, some classes of the epoch get one
    more). A class deals out its items in a random order, and starts over in a new one when it has none left: an item of
    a rare class comes many times an epoch, and of a common class some items do not come at all.

    The order of an epoch depends on seed and epoch alone, so a run that is resumed needs to know its epoch and nothing
    else, and all processes of a distributed run draw the same one.

    Args:
        targets: `[N]` class of each item, whole numbers.
        seed: of the orders, from 0 to 2**32 - 1.

    Raises:
        ValueError: if there is no item, or the targets are not one class per item.

    Source: the class-balanced sampling of arXiv:1910.09217. Taught in chapter 12.

    >>> sampler = BalancedSampler([0, 0, 0, 0, 0, 1])
    >>> sorted(sampler)[3:]  # three draws of the only item of class 1
    [5, 5, 5]
    """

    def __init__(self, targets: ArrayLike, *, seed: int = 0) -> None:
        classes = np.asarray(targets)
        if classes.ndim != 1 or not np.issubdtype(classes.dtype, np.integer):
            raise ValueError(f"targets are {classes.dtype} {classes.shape}; give one class per item, as whole numbers")
        if len(classes) == 0:
            raise ValueError("there are no items to draw; check the split")
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed {seed} is out of range; it has to be at least 0 and below 2**32")
        self._members = [np.flatnonzero(classes == one) for one in np.unique(classes)]
        self._size, self.seed, self.epoch = len(classes), seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self.seed, self.epoch])
        each, over = divmod(self._size, len(self._members))
        # Which classes get one more is drawn too, or the same ones would have it in every epoch.
        one_more = generator.permutation(len(self._members)) < over
        drawn = [
            np.concatenate([generator.permutation(members) for _ in range(-(-count // len(members)))])[:count]
            for members, count in zip(self._members, each + one_more, strict=True)
            if count
        ]
        yield from generator.permutation(np.concatenate(drawn)).tolist()
