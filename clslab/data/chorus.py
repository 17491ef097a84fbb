"""Several birds at once: clips mixed into one, with the truth of who is in it.

A recording at dawn holds more than one species. Clips of different species that are added up make a test for it whose
truth is known; `clslab.metrics.mean_average_precision` scores it.

Taught in chapter 15.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clslab.data.sounds import SoundDataset


@dataclass(frozen=True)
class Chorus:
    """Mixed clips.

    Attributes:
        waveforms: float `[M, T]`, each with a peak of 0.9.
        present: bool `[M, C]`, which classes are to be heard in it.
        members: `[M, birds]`, the numbers of the clips that were mixed.
    """

    waveforms: Tensor
    present: NDArray[np.bool_]
    members: NDArray[np.int64]


def mixed(sounds: SoundDataset, count: int, *, birds: int = 2, decibels: float = 6.0, seed: int = 0) -> Chorus:
    """Mixes clips of different classes.

    Each class is as likely to be drawn as any other, and each of its clips too. Every clip is brought to the
    same power and then made up to `decibels` louder or softer.

    Args:
        sounds: the clips; its transform is not used.
        count: M, how many mixtures to make.
        birds: how many classes are in each, at least 1.
        decibels: the largest change of loudness, at least 0.
        seed: of the draws.

    Raises:
        ValueError: if there are fewer classes with clips than birds, or a number is out of range.

    Taught in chapter 15.
    """
    there = np.unique(sounds.targets)
    if count < 1 or not 1 <= birds <= len(there) or decibels < 0:
        raise ValueError(
            f"count = {count}, birds = {birds}, decibels = {decibels} with {len(there)} classes; give count ≥ 1, birds "
            f"from 1 to {len(there)} and decibels ≥ 0"
        )
    draw = np.random.default_rng(seed)
    waveforms, members = [], np.zeros((count, birds), dtype=np.int64)
    present = np.zeros((count, len(sounds.classes)), dtype=np.bool_)
    for number in range(count):
        classes = draw.choice(there, size=birds, replace=False)
        members[number] = [draw.choice(np.flatnonzero(sounds.targets == one)) for one in classes]
        present[number, classes] = True
        gains = 10 ** (draw.uniform(-decibels, decibels, size=birds) / 20)
        parts = [
            gain * clip / clip.square().mean().sqrt().clamp_min(1e-9)
            for gain, clip in zip(gains, (sounds.waveform(int(one)) for one in members[number]), strict=True)
        ]
        together = torch.stack(parts).sum(dim=0)
        waveforms.append(0.9 * together / together.abs().max())
    return Chorus(torch.stack(waveforms).float(), present, members)
