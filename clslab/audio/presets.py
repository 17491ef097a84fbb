"""From a waveform to the picture that a network takes: settings by name.

| name | channels | what it is |
|---|---|---|
| `mel` | 1 | mel bands in decibels, one window of 1,024 samples |
| `mel-short`, `mel-long` | 1 | the same with 256 and with 4,096 samples |
| `mel-small` | 1 | 32 bands and half as many frames: a quarter of the numbers, for many trainings on a processor |
| `mel-tiny` | 1 | 32 bands and a quarter of the frames: an eighth of the numbers |
| `multi` | 3 | 256, 1,024 and 4,096 samples on one grid |
| `multi-small`, `multi-tiny` | 3 | likewise, of three windows |
| `pcen` | 1 | as `mel`, with per-channel energy normalisation in place of decibels |
| `multi-pcen` | 3 | as `multi`, likewise |
| `mel-decibels` | 1 | 40 bands as loud as they are, for the baseline of `clslab.sound_route` |
"""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from clslab.audio.loudness import decibels, pcen
from clslab.audio.mel import multi_resolution

_VERSION = 1
"""Part of the key of every cached spectrogram: raised when the same settings give other numbers."""

_SMALLEST_SPREAD = 1e-3  # a channel that is flat is left flat, not blown up


@dataclasses.dataclass(frozen=True)
class SpectrogramTransform:
    """A waveform `[..., T]` becomes a float picture `[..., channels, n_mels, frames]`.

    Attributes:
        rate: samples per second that the waveform must have.
        n_ffts: window lengths in samples, one channel each.
        hop_length: samples from one frame to the next.
        n_mels: number of mel bands.
        low: lowest frequency in Hz. Wind and traffic lie below the default.
        high: highest one.
        loudness: `decibels` or `pcen`.
        standardize: bring every channel of every clip to mean 0 and standard deviation 1, so that neither the distance
            of the bird nor the gain of the recorder is seen.

    Taught in chapter 14.

    >>> import torch
    >>> TRANSFORMS["multi"](torch.randn(22_050)).shape
    torch.Size([3, 64, 87])
    """

    rate: int = 22_050
    n_ffts: tuple[int, ...] = (1024,)
    hop_length: int = 256
    n_mels: int = 64
    low: float = 300.0
    high: float = 10_500.0
    loudness: str = "decibels"
    standardize: bool = True

    def __post_init__(self) -> None:
        if self.loudness not in ("decibels", "pcen"):
            raise ValueError(f"loudness is {self.loudness!r}; use 'decibels' or 'pcen'")
        if not 0 <= self.low < self.high <= self.rate / 2:
            raise ValueError(
                f"bands from {self.low:g} to {self.high:g} Hz at {self.rate} samples a second, which hold nothing "
                f"above {self.rate / 2:g} Hz; give 0 ≤ low < high ≤ {self.rate / 2:g}"
            )

    @property
    def channels(self) -> int:
        """How many the picture has."""
        return len(self.n_ffts)

    def __call__(self, waveform: Tensor) -> Tensor:
        """The picture of a waveform at `rate`.

        Raises:
            ValueError: as in `clslab.audio.multi_resolution`.
        """
        power = multi_resolution(
            waveform,
            self.n_ffts,
            rate=self.rate,
            hop_length=self.hop_length,
            n_mels=self.n_mels,
            low=self.low,
            high=self.high,
        )
        if self.loudness == "pcen":
            # Parts of a band's bandwidth would be far below eps; the whole band's power is what it is meant for.
            picture = pcen(power * (self.high - self.low), rate=self.rate, hop_length=self.hop_length)
        else:
            picture = decibels(power, floor=1e-12)
        if not self.standardize:
            return picture
        mean = picture.mean(dim=(-2, -1), keepdim=True)
        spread = picture.std(dim=(-2, -1), keepdim=True).clamp(min=_SMALLEST_SPREAD)
        return (picture - mean) / spread

    def settings(self) -> dict[str, Any]:
        """Everything that the picture depends on besides the sound, as plain values: the key of a cache.

        >>> TRANSFORMS["mel"].settings()["n_ffts"]
        [1024]
        """
        return dataclasses.asdict(self) | {"n_ffts": list(self.n_ffts), "version": _VERSION}


_SEVERAL = (256, 1024, 4096)

TRANSFORMS: dict[str, SpectrogramTransform] = {
    "mel": SpectrogramTransform(),
    "mel-short": SpectrogramTransform(n_ffts=(256,)),
    "mel-long": SpectrogramTransform(n_ffts=(4096,)),
    "mel-small": SpectrogramTransform(n_mels=32, hop_length=512),
    "multi-small": SpectrogramTransform(n_ffts=_SEVERAL, n_mels=32, hop_length=512),
    "mel-tiny": SpectrogramTransform(n_mels=32, hop_length=1024),
    "multi-tiny": SpectrogramTransform(n_ffts=_SEVERAL, n_mels=32, hop_length=1024),
    "multi": SpectrogramTransform(n_ffts=_SEVERAL),
    "pcen": SpectrogramTransform(loudness="pcen"),
    "multi-pcen": SpectrogramTransform(n_ffts=_SEVERAL, loudness="pcen"),
    "mel-decibels": SpectrogramTransform(n_mels=40, standardize=False),
}
"""Transforms by name."""


def transform(name: str) -> SpectrogramTransform:
    """A transform by name.

    Raises:
        ValueError: if there is none of that name.

    >>> transform("multi").channels
    3
    """
    if name not in TRANSFORMS:
        raise ValueError(f"no spectrogram transform {name!r}; use one of {', '.join(TRANSFORMS)}")
    return TRANSFORMS[name]
