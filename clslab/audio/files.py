"""Sound files: reading them, saying what is wrong with them, and changing their rate."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from scipy import signal
from torch import Tensor

SILENCE = 1e-4
"""A file whose loudest sample is below this (−80 dB of full scale) counts as silent."""

_TAPS = 64  # of the low-pass filter, per sample of the slower rate and side: falls within a tenth of the band
_EDGE = 0.95  # where it falls, as a share of the lower of the two Nyquist frequencies


class BadSoundError(ValueError):
    """A file that cannot be used as a sound; the message names it and says why.

    Attributes:
        reason: why, without the name of the file.
    """

    def __init__(self, file: Path, reason: str, advice: str = "fetch or export it again") -> None:
        super().__init__(f"{file} {reason}; {advice}")
        self.reason = reason


@dataclass(frozen=True)
class SoundInfo:
    """What the header of a sound file says.

    Attributes:
        rate: samples per second.
        channels: 1, 2 for stereo, or more.
        seconds: its length.
    """

    rate: int
    channels: int
    seconds: float


def info(path: str | Path) -> SoundInfo:
    """What kind of sound a file holds, without decoding it.

    Raises:
        FileNotFoundError: if there is no such file.
        BadSoundError: if it is empty, cut off, or no sound, as far as that shows without decoding.

    Taught in chapter 14.
    """
    file = Path(path)
    _check_bytes(file)
    try:
        header = soundfile.info(file)
    except _UNREADABLE as error:
        raise _unreadable(file, error) from error
    if header.frames == 0:
        raise BadSoundError(file, "holds no samples")
    return SoundInfo(int(header.samplerate), int(header.channels), header.frames / header.samplerate)


# soundfile reports a broken file as its own error, and odd headers as others.
_UNREADABLE = (soundfile.SoundFileError, RuntimeError, TypeError, ValueError)


def _unreadable(file: Path, error: Exception) -> BadSoundError:
    # The library's message names the file once more.
    words = str(error).replace(repr(str(file)), "it").replace(str(file), "it").rstrip(".")
    return BadSoundError(file, f"cannot be read as a sound ({words})", "replace it, or convert it to FLAC or OGG")


def _check_bytes(file: Path) -> None:
    if not file.is_file():
        raise FileNotFoundError(f"there is no sound file {file}; check the path")
    if file.stat().st_size == 0:
        raise BadSoundError(file, "is empty (0 bytes)")
    complaint = cut_off(file)
    if complaint:
        raise BadSoundError(file, f"is cut off: {complaint}")


def read(path: str | Path, *, rate: int | None = None, allow_silence: bool = False) -> tuple[Tensor, int]:
    """A sound file as a waveform of one channel.

    OGG, FLAC, WAV, MP3 and whatever else soundfile reads. Several channels are averaged into one.

    Args:
        path: the file.
        rate: samples per second that are wanted; by default the file's own.
        allow_silence: return silence instead of refusing it.

    Returns:
        float32 `[T]`, mostly between −1 and 1, and its rate.

    Raises:
        FileNotFoundError: if there is no such file.
        BadSoundError: if the file is empty, cut off, silent or no sound, or holds samples that are no numbers.

    Taught in chapter 14.
    """
    file = Path(path)
    _check_bytes(file)
    samples, own_rate = _decode(file)
    if len(samples) == 0:
        raise BadSoundError(file, "holds no samples")
    mono = samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise BadSoundError(file, "holds samples that are no finite numbers", "export it again")
    loudest = float(np.abs(mono).max())
    if not allow_silence and loudest < SILENCE:
        raise BadSoundError(
            file, f"is silent: its loudest sample is {loudest:.1e} of full scale", "replace or remove it"
        )
    waveform = torch.from_numpy(mono)
    if rate is not None and rate != own_rate:
        return resample(waveform, own_rate, rate), rate
    return waveform, own_rate


def _decode(file: Path) -> tuple[NDArray[np.float32], int]:
    """Samples `[T, channels]` and their rate."""
    try:
        with soundfile.SoundFile(file) as stream:
            expected = stream.frames
            samples = stream.read(dtype="float32", always_2d=True)
            own_rate = int(stream.samplerate)
    except _UNREADABLE as error:
        raise _unreadable(file, error) from error
    # FLAC says in its header how long it should be. Of MP3 this is often an estimate; what is known of it was checked.
    if file.suffix.lower() != ".mp3" and len(samples) < expected:
        raise BadSoundError(file, f"is cut off: {len(samples)} of {expected} samples")
    return samples, own_rate


def cut_off(path: str | Path) -> str | None:
    """Why a file must be incomplete, told from its bytes alone, or None where nothing says so.

    The decoder reads what is there of a cut file and does not mind. Ogg marks its last page as such; WAV says how many
    bytes belong to it, and so does MP3 where its encoder wrote a Xing or Info header, as LAME does. Of an MP3 file
    without one nobody can tell.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "half.wav"
    ...     _ = file.write_bytes(b"RIFF" + (1000).to_bytes(4, "little") + b"WAVE" + bytes(88))
    ...     cut_off(file)
    'it has 100 bytes and its header says 1,008'
    """
    file = Path(path)
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(12)
        if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
            promised = int.from_bytes(head[4:8], "little") + 8
            # 0 and the largest number are what programs write that stream to a pipe.
            streamed = promised in (8, 2**32 + 7)
            return None if size >= promised or streamed else f"it has {size:,} bytes and its header says {promised:,}"
        if head[:4] == b"OggS":
            stream.seek(max(0, size - 2**16))
            return _last_page(stream.read())
        promised = _promised_by_mp3(stream)
        return f"it has {size:,} bytes and its header says {promised:,}" if size < promised else None


def _promised_by_mp3(stream: BinaryIO) -> int:
    """Bytes that an MP3 file has according to the Xing or Info header in its first frame; 0 where there is none."""
    stream.seek(0)
    label = stream.read(10)
    start = 0
    if label[:3] == b"ID3":  # title and pictures stand before the sound; their size has seven bits in each byte
        start = 10 + sum(byte << 7 * place for place, byte in enumerate(reversed(label[6:10])))
    stream.seek(start)
    frame = stream.read(64)
    if len(frame) < 64 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return 0
    # Behind 4 bytes of header, perhaps 2 of a check, and 9 to 32 bytes of which this frame has no need.
    place = max(frame.find(b"Xing", 0, 42), frame.find(b"Info", 0, 42))
    flags = int.from_bytes(frame[place + 4 : place + 8], "big")
    if place < 0 or not flags & 2:
        return 0
    counted = place + 8 + (4 if flags & 1 else 0)
    # Some encoders count the label in front, some do not: only what must be missing is called missing.
    return int.from_bytes(frame[counted : counted + 4], "big")


def _last_page(tail: bytes) -> str | None:
    """What is wrong with the last page of an Ogg file, of which a page takes at most 65,307 bytes."""
    start = tail.rfind(b"OggS")
    header = tail[start : start + 27]
    if start < 0 or len(header) < 27:
        return "it ends in the middle of a page"
    sizes = tail[start + 27 : start + 27 + header[26]]
    if len(sizes) < header[26] or len(tail) < start + 27 + header[26] + sum(sizes):
        return "it ends in the middle of a page"
    return None if header[5] & 4 else "its last page is missing"


def resample(waveform: Tensor, old: int, new: int) -> Tensor:
    """The same sound with another number of samples per second.

    Going down, what lies above half the new rate is filtered away first: it would come back as a tone that was never
    there. The filter keeps what is below 0.9 of the lower half rate and takes away what is above it by 90 dB.

    Args:
        waveform: float `[..., T]`. No gradient flows through this.
        old: its samples per second.
        new: those wanted.

    Returns:
        `[..., ceil(T · new / old)]` of the same type.

    Raises:
        ValueError: if a rate is not positive, or the waveform is empty or no float.

    Taught in chapter 14.

    >>> resample(torch.zeros(2, 48_000), 48_000, 22_050).shape
    torch.Size([2, 22050])
    """
    if old < 1 or new < 1:
        raise ValueError(f"{old} and {new} samples a second; give positive whole numbers")
    if not waveform.is_floating_point() or waveform.ndim < 1 or waveform.shape[-1] == 0:
        raise ValueError(f"a waveform of type {waveform.dtype} and shape {tuple(waveform.shape)}; give floats [..., T]")
    if old == new:
        return waveform
    divisor = math.gcd(old, new)
    up, down = new // divisor, old // divisor
    samples = waveform.detach().cpu().numpy()
    made = signal.resample_poly(samples, up, down, axis=-1, window=_low_pass(up, down))
    return torch.from_numpy(made.astype(samples.dtype, copy=False)).to(waveform.device)


@functools.lru_cache(maxsize=16)
def _low_pass(up: int, down: int) -> NDArray[np.float64]:
    slower = max(up, down)
    filtered: NDArray[np.float64] = signal.firwin(2 * _TAPS * slower + 1, _EDGE / slower, window=("kaiser", 9.0))
    return filtered
