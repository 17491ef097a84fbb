"""What everything that stands around a loader has in common."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any, cast


class LoaderWrapper:
    """Something around a loader that is to be used in its place.

    It has the length of the loader and announces epochs to it; any other attribute is looked up there (`batch_size`,
    `sampler`, `world_size`).

    Args:
        loader: anything that can be iterated.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self.loader = loader

    def __len__(self) -> int:
        """Number of batches.

        Raises:
            TypeError: if the loader does not know it.
        """
        return len(cast(Sized, self.loader))

    def set_epoch(self, epoch: int) -> None:
        """Announce the number of the epoch to the loader and its sampler, where they want to know it."""
        announce_epoch(epoch, self.loader)

    def __getattr__(self, name: str) -> Any:
        # Without these exceptions an object that is just being copied would look for its loader for ever.
        if name == "loader" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.loader, name)


def announce_epoch(epoch: int, loader: object) -> None:
    """Tell a loader, its sampler and its batch sampler which epoch comes next, where they have a `set_epoch`."""
    parts = (loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None))
    for part in parts:
        announce = getattr(part, "set_epoch", None)
        if announce is not None:
            announce(epoch)
