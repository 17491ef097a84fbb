"""What mel bands cost beside the bare transform and one matrix product, and several windows beside each alone.

The bare way is what nobody can leave out: `torch.stft`, its squared magnitude, one product with a matrix. Seconds of it
over seconds of `mel_spectrogram` on the same batch, pair by pair: 1 would mean that units, checks and shapes cost
nothing, and the aim is at least 0.9. Then `multi_resolution` of three windows over the three mel spectrograms one after
the other; the aim is at most 1.1. Last, reading the small pictures of page 15 from the cache, sums of the files
included, over one training epoch on them with the network and the batches of book/sweeps/birds.toml; the aim is at most
0.1, although that sweep reads them once and not in every epoch.

    python benchmarks/sound.py [--quick] [--record]
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import interleaved
import soundfile
import torch
from torch import nn

from clslab import audio, models, seeds
from clslab.device import choose

BATCH, RATE, SECONDS = 64, 22_050, 3
N_FFT, HOP, BANDS = 1024, 256, 64
WINDOWS = (256, 1024, 4096)
AIMS = {
    "bare over mel_spectrogram": 0.9,
    "multi_resolution over its parts": 1.1,
    "reading from the cache over a training epoch": 0.1,
}


def bare(waveforms: torch.Tensor, bank: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """The least that gives mel bands."""
    spectrum = torch.stft(waveforms, N_FFT, HOP, window=window, pad_mode="constant", return_complex=True)
    return bank @ spectrum.abs().square()


def milliseconds_per_clip(waveforms: torch.Tensor, *, clips: int) -> dict[str, float]:
    """Median time of making a spectrogram of three windows, of keeping it, and of reading it back."""
    made = audio.TRANSFORMS["multi"]
    taken: dict[str, list[float]] = {"making": [], "making and keeping": [], "reading": []}
    with tempfile.TemporaryDirectory() as folder:
        cache = audio.SpectrogramCache(folder)
        for number in range(clips):
            clip = waveforms[number]
            for what, work in (
                ("making", lambda clip=clip: made(clip)),
                ("making and keeping", lambda clip=clip, n=number: cache.get(b"%d" % n, {}, lambda: made(clip))),
                ("reading", lambda clip=clip, n=number: cache.get(b"%d" % n, {}, lambda: made(clip))),
            ):
                started = time.perf_counter()
                work()
                taken[what].append(1000 * (time.perf_counter() - started))
    return {what: round(statistics.median(times), 2) for what, times in taken.items()}


def reading_from(folder: Path, waveforms: torch.Tensor, *, preset: str = "mel-tiny") -> Callable[[], torch.Tensor]:
    """Clips as files in a folder, and what reads their spectrograms, which are in the cache already."""
    made, cache = audio.TRANSFORMS[preset], audio.SpectrogramCache(folder / "cache")
    files = [folder / f"{number}.ogg" for number in range(len(waveforms))]
    for file, clip in zip(files, waveforms, strict=True):
        soundfile.write(file, clip.numpy(), RATE)

    def read() -> torch.Tensor:
        return torch.stack(
            [
                cache.get(file, {"preset": preset}, lambda clip=clip: made(clip))
                for file, clip in zip(files, waveforms, strict=True)
            ]
        )

    read()
    return read


def epoch_on(pictures: torch.Tensor, *, classes: int = 10, batch_size: int = 16) -> Callable[[], None]:
    """One epoch of the flat network of page 15."""
    net = models.create("resnet9", num_classes=classes, in_channels=pictures.shape[1], width=8).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.005, weight_decay=0.05)
    targets = torch.arange(len(pictures)) % classes

    def epoch() -> None:
        for batch in torch.randperm(len(pictures)).split(batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(pictures[batch]), targets[batch]).backward()
            optimizer.step()

    return epoch


def main() -> None:
    chosen = interleaved.arguments(__doc__)
    pairs, clips = (3, 8) if chosen.quick else (61, BATCH)
    seeds.seed_everything(0)
    machine = choose()
    torch.set_num_threads(machine.threads)
    # What is heard does not matter to the time.
    waveforms = 0.1 * torch.randn(BATCH, SECONDS * RATE)
    bank = audio.mel_filter_bank(BANDS, n_fft=N_FFT, rate=RATE, low=300).float()
    window = torch.hann_window(N_FFT)
    settings = {"rate": RATE, "hop_length": HOP, "n_mels": BANDS, "low": 300.0}

    def parts() -> list[torch.Tensor]:
        return [audio.mel_spectrogram(waveforms, n_fft=length, between_bins=True, **settings) for length in WINDOWS]

    ratios = {
        "bare over mel_spectrogram": interleaved.compare(
            lambda: bare(waveforms, bank, window),
            lambda: audio.mel_spectrogram(waveforms, n_fft=N_FFT, **settings),
            pairs=pairs,
        ),
        "multi_resolution over its parts": interleaved.compare(
            lambda: audio.multi_resolution(waveforms, WINDOWS, **settings), parts, pairs=pairs
        ),
    }
    with tempfile.TemporaryDirectory() as folder:
        read = reading_from(Path(folder), waveforms)
        ratios["reading from the cache over a training epoch"] = interleaved.compare(
            read, epoch_on(read()), pairs=pairs
        )
    interleaved.report(
        "sound",
        ratios,
        aims=AIMS,
        machine=machine,
        notes=f"{BATCH} clips of {SECONDS} s at {RATE} samples a second, {BANDS} bands, hop {HOP}, windows {WINDOWS}; "
        "the bare way takes magnitudes by abs and squares them",
        record=chosen.record,
        milliseconds_per_clip=milliseconds_per_clip(waveforms, clips=clips),
    )


if __name__ == "__main__":
    main()
