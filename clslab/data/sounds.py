"""A set of labelled sounds: files, arrays or synthesised songs behind one small interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from clslab import audio
from clslab.data.items import check_items
from clslab.taxonomy import Taxonomy

Source = Path | np.ndarray | Callable[[], np.ndarray]
Transform = Callable[[Tensor], Tensor]

RATE = 22_050
SECONDS = 3.0


class SoundDataset(Dataset[tuple[Tensor, Any]]):
    """Labelled clips of one length, decoded when asked for.

    An item is `(waveform [T], target)`, or with a transform `(picture [channels, mel, frames], target)`. The target is
    a class number, or with a taxonomy a long tensor `[L]` of the classes on all levels, coarse to fine: batches then
    have targets `[B, L]`. `targets` holds the finest classes either way.

    Args:
        sources: one per clip: the path of a file, a float array `[T]`, or a function without arguments that returns one
            (a song made on demand).
        targets: class number of each clip, 0 to `len(classes) - 1`; with a taxonomy the number of a leaf.
        classes: the names of the classes.
        taxonomy: the tree above the classes.
        rate: samples per second of the items; files are brought to it. Arrays have it already.
        seconds: length of the items. Of a longer sound the liveliest seconds are taken, a shorter one is followed by
            silence.
        transform: applied to the waveform of each item, such as a `clslab.audio.SpectrogramTransform`.
        cache: where spectrograms are kept on disk, or None.
        groups: what belongs together, one value per clip: the recording.
        ids: a name per clip, unique and the same on every machine; by default its number.
        extra: further columns, one value per clip, such as the recordist.

    Raises:
        ValueError: if there is no clip, if lengths differ, or a target is no class.

    Taught in chapters 14 and 15.

    >>> clips = SoundDataset([np.zeros(5000, dtype=np.float32)], [0], ["silence"], rate=8000, seconds=0.5)
    >>> clips[0][0].shape, clips[0][1]
    (torch.Size([4000]), 0)
    """

    def __init__(
        self,
        sources: Sequence[Source],
        targets: Sequence[int] | NDArray[np.int64],
        classes: Sequence[str],
        *,
        taxonomy: Taxonomy | None = None,
        rate: int = RATE,
        seconds: float = SECONDS,
        transform: Transform | None = None,
        cache: audio.SpectrogramCache | None = None,
        groups: Sequence[Any] | np.ndarray | None = None,
        ids: Sequence[str] | None = None,
        extra: dict[str, np.ndarray] | None = None,
    ) -> None:
        self.sources = list(sources)
        self.targets = np.asarray(targets, dtype=np.int64)
        self.classes = tuple(classes)
        self.taxonomy = taxonomy
        self.rate, self.seconds = rate, seconds
        self.transform, self.cache = transform, cache
        self.groups = None if groups is None else np.asarray(groups)
        self.ids = [str(i) for i in range(len(self.sources))] if ids is None else list(ids)
        self.extra = {name: np.asarray(column) for name, column in (extra or {}).items()}
        self._inputs: Tensor | None = None
        self._check()

    def _check(self) -> None:
        columns = {"targets": self.targets, "ids": self.ids, "groups": self.groups, **self.extra}
        check_items(
            len(self.sources), columns, self.targets, self.classes, of="a SoundDataset of no sounds", one="sound"
        )
        if self.taxonomy is not None and self.taxonomy.num_classes(-1) != len(self.classes):
            raise ValueError(
                f"{len(self.classes)} classes, and the taxonomy has {self.taxonomy.num_classes(-1)} leaves; its leaves "
                "are the classes, in the same order"
            )

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        target = int(self.targets[index]) if self.taxonomy is None else torch.from_numpy(self.levels[index].copy())
        return self.input(index), target

    def __iter__(self) -> Iterator[tuple[Tensor, Any]]:
        return (self[i] for i in range(len(self)))

    @property
    def levels(self) -> NDArray[np.int64]:
        """Classes `[N, L]` of all clips on all levels, coarse to fine; `[N, 1]` without a taxonomy."""
        if self.taxonomy is None:
            return self.targets[:, None]
        return np.stack([self.taxonomy.coarsen(self.targets, level) for level in range(self.taxonomy.levels)], axis=1)

    def waveform(self, index: int) -> Tensor:
        """The clip at `index`, float32 `[round(seconds · rate)]`, untransformed.

        Raises:
            FileNotFoundError: if its file has gone.
            BadSoundError: if its file is broken, cut off or silent.
        """
        source = self.sources[index]
        if isinstance(source, Path):
            samples, _ = audio.read(source, rate=self.rate)
        else:
            made = source if isinstance(source, np.ndarray) else source()
            samples = torch.from_numpy(np.asarray(made, dtype=np.float32))
        return _of_length(samples, round(self.seconds * self.rate), self.rate)

    def input(self, index: int) -> Tensor:
        """What a network is given of the clip at `index`: the waveform, or what the transform makes of it."""
        if self._inputs is not None:
            return self._inputs[index]
        if self.transform is None:
            return self.waveform(index)
        source, transform = self.sources[index], self.transform
        # Only what says from which settings it was made can be found again.
        if self.cache is None or not isinstance(transform, audio.SpectrogramTransform):
            return transform(self.waveform(index))
        key = source if isinstance(source, Path) else _described(source)
        settings = transform.settings() | {"clip_rate": self.rate, "clip_seconds": self.seconds}
        return self.cache.get(key, settings, lambda: transform(self.waveform(index)))

    def with_transform(
        self, transform: str | Transform | None, *, cache: str | Path | audio.SpectrogramCache | None = None
    ) -> SoundDataset:
        """The same sounds under another transform.

        Args:
            transform: the name of one of `clslab.audio.TRANSFORMS`, a function of a waveform, or None.
            cache: a folder to keep the spectrograms in, for a `SpectrogramTransform`.

        Raises:
            ValueError: if there is no transform of that name, or it is for another rate.
        """
        chosen = audio.transform(transform) if isinstance(transform, str) else transform
        if isinstance(chosen, audio.SpectrogramTransform) and chosen.rate != self.rate:
            raise ValueError(
                f"the transform is for {chosen.rate} samples a second and the sounds have {self.rate}; give one with "
                f"rate={self.rate}"
            )
        kept = audio.SpectrogramCache(cache) if isinstance(cache, str | Path) else cache
        return self._like(np.arange(len(self)), transform=chosen, cache=kept)

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> SoundDataset:
        """The clips at `indices`, in that order, with their labels, groups, ids and columns."""
        chosen = np.asarray(indices, dtype=np.int64)
        made = self._like(chosen, transform=self.transform, cache=self.cache)
        made._inputs = None if self._inputs is None else self._inputs[torch.from_numpy(chosen)]
        return made

    def at_level(self, level: int) -> SoundDataset:
        """The same clips with the classes of one level as plain targets `[B]`: what a flat model is given.

        Args:
            level: 0 is the coarsest, −1 the finest.

        Raises:
            ValueError: if there is no taxonomy or no such level.
        """
        if self.taxonomy is None:
            raise ValueError("these sounds have no taxonomy, so there is one level only, the classes themselves")
        nodes = self.taxonomy.nodes(level)
        names = [node[-1] for node in nodes]
        # Two branches may use one name.
        classes = names if len(set(names)) == len(names) else [" / ".join(node) for node in nodes]
        made = self._like(np.arange(len(self)), transform=self.transform, cache=self.cache)
        made.targets, made.classes, made.taxonomy = self.taxonomy.coarsen(self.targets, level), tuple(classes), None
        made._inputs = self._inputs
        return made

    def in_memory(self) -> SoundDataset:
        """Compute the input of every clip once and keep them all: afterwards an epoch costs no spectrogram.

        What is random would be frozen, so augmentation belongs to the batches (`clslab.audio.spec_augment`).
        """
        made = self._like(np.arange(len(self)), transform=self.transform, cache=self.cache)
        made._inputs = self.tensors()[0]
        return made

    def tensors(self) -> tuple[Tensor, Tensor]:
        """All clips at once.

        Returns:
            Inputs, float `[N, …]`, and targets, int64 `[N]`, or `[N, L]` with a taxonomy.
        """
        inputs = self._inputs if self._inputs is not None else torch.stack([self.input(i) for i in range(len(self))])
        return inputs, torch.from_numpy(self.targets.copy() if self.taxonomy is None else self.levels)

    def _like(
        self, indices: NDArray[np.int64], *, transform: Transform | None, cache: audio.SpectrogramCache | None
    ) -> SoundDataset:
        return SoundDataset(
            [self.sources[i] for i in indices],
            self.targets[indices],
            self.classes,
            taxonomy=self.taxonomy,
            rate=self.rate,
            seconds=self.seconds,
            transform=transform,
            cache=cache,
            groups=None if self.groups is None else self.groups[indices],
            ids=[self.ids[i] for i in indices],
            extra={name: column[indices] for name, column in self.extra.items()},
        )


def _of_length(samples: Tensor, length: int, rate: int) -> Tensor:
    """The liveliest `length` samples of a longer sound, or a shorter one with silence behind it."""
    if len(samples) > length:
        (window,) = audio.liveliest(samples, rate=rate, seconds=length / rate)
        return samples[window.start : window.start + length].clone()
    return F.pad(samples, (0, length - len(samples)))


def _described(source: np.ndarray | Callable[[], np.ndarray]) -> bytes:
    """Bytes that tell one sound that is no file from another."""
    if isinstance(source, np.ndarray):
        return source.tobytes()
    said = repr(source)
    # A function is named by its address alone, and the next one may have the same: then the sound has to say who it is.
    return np.asarray(source()).tobytes() if " at 0x" in said else said.encode()
