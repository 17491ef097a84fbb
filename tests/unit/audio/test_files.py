"""Reading sound files, sound and broken; resampling; the cache; the lively seconds."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from clslab import audio

RATE = 22_050


def tone(hz, seconds=1.0, rate=RATE, amplitude=0.5):
    return amplitude * torch.sin(2 * math.pi * hz * torch.arange(round(seconds * rate), dtype=torch.float64) / rate)


def noise(samples, seed=0, amplitude=0.1):
    return amplitude * torch.randn(samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def write(tmp_path):
    """Write samples `[T]` or `[T, channels]` as a file."""

    def write(name, samples, rate=RATE):
        path = tmp_path / name
        soundfile.write(path, np.asarray(samples), rate)
        return path

    return write


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize(("name", "near"), [("a.wav", 1e-4), ("a.flac", 1e-4), ("a.ogg", 0.05), ("a.mp3", 0.05)])
def test_every_format_is_read(write, name, near):
    samples = tone(1000, seconds=2)
    waveform, rate = audio.read(write(name, samples))
    assert (waveform.dtype, waveform.ndim, rate) == (torch.float32, 1, RATE)
    assert len(waveform) == len(samples)
    # MP3 may come out some samples later; what matters is that the tone is there, and as loud.
    middle = slice(5000, 35_000)
    assert (waveform[middle].square().mean() * 2).sqrt().item() == pytest.approx(0.5, abs=near)
    power = audio.power_spectrogram(waveform, n_fft=2205, hop_length=2205)
    assert int(power[:, 5].argmax()) == 100


def test_stereo_becomes_the_mean_of_its_channels(write):
    left, right = tone(500), tone(2000)
    waveform, _ = audio.read(write("two.wav", torch.stack([left, right], dim=1)))
    assert torch.allclose(waveform.double(), (left + right) / 2, atol=1e-4)


def test_a_rate_is_made_where_it_is_asked_for(write):
    waveform, rate = audio.read(write("slow.wav", tone(1000, rate=8000), rate=8000), rate=RATE)
    assert (rate, len(waveform)) == (RATE, RATE)
    assert torch.allclose(waveform[2000:-2000].double(), tone(1000)[2000:-2000], atol=2e-3)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.ogg", b"", r"empty\.ogg is empty \(0 bytes\)"),
        ("text.wav", b"these are words, not a sound\n" * 9, r"text\.wav cannot be read as a sound"),
        ("page.ogg", b"<html>log in first</html>", r"page\.ogg cannot be read as a sound"),
    ],
)
def test_what_is_no_sound_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(audio.BadSoundError, match=message):
        audio.read(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no sound file .*none\.ogg; check the path"):
        audio.read(tmp_path / "none.ogg")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("share", [0.03, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(write, name, share):
    path = write(name, noise(4 * RATE))
    whole = path.read_bytes()
    audio.read(path)
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(audio.BadSoundError, match=rf"a\.{path.suffix[1:]} (is cut off|cannot be read as a sound)"):
        audio.read(path)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [22_050, 44_100])
def test_an_mp3_with_a_label_in_front(write, channels, rate):
    path = write("a.mp3", noise(4 * rate)[:, None].repeat(1, channels), rate=rate)
    # An empty field of 3,000 bytes, whose size is written with seven bits in each byte.
    label = b"ID3\x03\x00\x00" + bytes([0, 0, 3000 >> 7, 3000 & 127]) + bytes(3000)
    whole = label + path.read_bytes()
    path.write_bytes(whole)
    assert len(audio.read(path)[0]) == 4 * rate
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(audio.BadSoundError, match=rf"cut off: it has {len(whole) // 2:,} bytes and its header says"):
        audio.info(path)


def test_of_an_mp3_without_a_header_nobody_can_tell(write):
    path = write("a.mp3", noise(4 * RATE))
    whole = path.read_bytes()
    frames = whole[whole.index(whole[:2], 10) :]  # all but the first frame, which holds the header alone
    path.write_bytes(frames[: len(frames) // 2])
    assert 0 < len(audio.read(path)[0]) < 4 * RATE


def test_an_ogg_cut_between_two_pages(write):
    path = write("a.ogg", noise(20 * RATE))
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rfind(b"OggS")])
    with pytest.raises(audio.BadSoundError, match="its last page is missing"):
        audio.read(path)


def test_silence_is_refused_unless_allowed(write):
    path = write("still.flac", np.zeros(RATE))
    with pytest.raises(audio.BadSoundError, match=r"still\.flac is silent"):
        audio.read(path)
    assert not audio.read(path, allow_silence=True)[0].any()
    assert audio.read(write("faint.flac", 0.001 * noise(RATE)))[0].any()


def test_samples_that_are_no_numbers(tmp_path):
    samples = np.ones(1000)
    samples[10] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(audio.BadSoundError, match="no finite numbers"):
        audio.read(tmp_path / "nan.wav")


def test_a_file_without_samples(write):
    with pytest.raises(audio.BadSoundError, match="holds no samples"):
        audio.read(write("none.wav", np.zeros(0)))


# ---------------------------------------------------------------- rates


def level(waveform):
    """Root mean square without the ends, in dB below that of a tone of amplitude 0.5."""
    inner = waveform[len(waveform) // 10 : -len(waveform) // 10]
    return 20 * math.log10(float(inner.square().mean().sqrt()) / (0.5 / math.sqrt(2)) + 1e-12)


@pytest.mark.parametrize(("old", "new"), [(48_000, RATE), (44_100, RATE), (RATE, 8000), (32_000, 16_000)])
def test_a_tone_above_the_new_half_rate_vanishes_and_one_below_stays(old, new):
    for share, lowest, highest in ((0.3, -0.01, 0.01), (0.85, -0.05, 0.05), (1.01, -200, -75), (1.2, -200, -85)):
        made = audio.resample(tone(share * new / 2, rate=old), old, new)
        assert len(made) == new
        assert lowest <= level(made) <= highest, (share, level(made))


def test_upsampling_adds_no_mirror_of_a_tone():
    made = audio.resample(tone(3000, rate=8000), 8000, 24_000)
    assert torch.allclose(made[3000:-3000], tone(3000, rate=24_000)[3000:-3000], atol=1e-3)
    power = audio.power_spectrogram(made, n_fft=2400, hop_length=2400)[:, 5]
    assert power[401:].sum() < 1e-8 * power.sum()


def test_resampling_keeps_type_batches_and_length():
    waveform = noise(2 * 3001).reshape(2, 3001).float()
    made = audio.resample(waveform, 3, 2)
    assert (made.shape, made.dtype) == ((2, 2001), torch.float32)
    assert torch.allclose(made[1], audio.resample(waveform[1], 3, 2))
    assert audio.resample(waveform, 7, 7) is waveform


def test_rates_that_make_no_sense():
    with pytest.raises(ValueError, match="0 and 8000 samples a second; give positive"):
        audio.resample(torch.ones(3), 0, 8000)
    with pytest.raises(ValueError, match=r"of type torch\.int64 and shape \(3,\); give floats"):
        audio.resample(torch.ones(3, dtype=torch.int64), 2, 1)


# ---------------------------------------------------------------- lively seconds


def recording(at=(), seconds=20, loud=0.3):
    """Noise with a second of song at the given seconds."""
    made = noise(seconds * RATE, amplitude=0.003)
    for second in at:
        made[second * RATE : (second + 1) * RATE] += tone(4000, amplitude=loud)
    return made


def test_the_song_is_found():
    (window,) = audio.liveliest(recording(at=[13]), rate=RATE)
    assert window.start <= 13 * RATE
    assert window.start + 3 * RATE >= 14 * RATE
    assert window.activity_db > 20


def test_several_windows_do_not_overlap_and_the_liveliest_comes_first():
    sound = recording(at=[2, 12])
    sound[12 * RATE : 13 * RATE] *= 3
    windows = audio.liveliest(sound, rate=RATE, count=4)
    starts = [window.start for window in windows]
    assert starts[0] <= 12 * RATE <= starts[0] + 3 * RATE
    assert starts[1] <= 2 * RATE <= starts[1] + 3 * RATE
    assert [window.activity_db for window in windows] == sorted((w.activity_db for w in windows), reverse=True)
    assert min(np.diff(sorted(starts))) >= 3 * RATE


def test_rumble_below_the_band_is_no_song():
    sound = recording(at=[5])
    sound += torch.where(torch.arange(len(sound)) > 15 * RATE, tone(100, seconds=20, amplitude=1), 0.0)
    (window,) = audio.liveliest(sound, rate=RATE)
    assert window.start <= 5 * RATE <= window.start + 3 * RATE


def test_a_short_recording_is_one_window():
    assert [window.start for window in audio.liveliest(noise(RATE), rate=RATE, count=3)] == [0]
    assert audio.liveliest(torch.zeros(10), rate=RATE) == [audio.Window(0, 0.0)]


def test_a_window_lies_inside_the_recording():
    sound = recording(at=[19])
    (window,) = audio.liveliest(sound, rate=RATE)
    assert window.start + 3 * RATE <= len(sound)
    assert window.start + 3 * RATE > 19.5 * RATE


def test_noise_that_stays_is_no_activity():
    assert audio.activity(noise(10 * RATE), rate=RATE).mean() < 1
    assert audio.activity(recording(at=[3]), rate=RATE).shape == (1 + 20 * RATE // 256,)


def test_activity_refuses():
    with pytest.raises(ValueError, match="no frequency from 9000 to 10500 Hz at 8000 samples"):
        audio.activity(noise(8000), rate=8000, low=9000)
    with pytest.raises(ValueError, match=r"give one recording, \[T\]"):
        audio.liveliest(noise(100).reshape(2, 50), rate=RATE)
    with pytest.raises(ValueError, match="give at least one, of a positive length"):
        audio.liveliest(noise(100), rate=RATE, count=0)


# ---------------------------------------------------------------- cache


class Counter:
    """Makes a tensor and counts how often."""

    def __init__(self, value=1.0):
        self.calls, self.value = 0, value

    def __call__(self):
        self.calls += 1
        return torch.full((2, 3), self.value)


@pytest.fixture
def cache(tmp_path):
    return audio.SpectrogramCache(tmp_path / "cache")


@pytest.fixture
def sound(tmp_path):
    path = tmp_path / "sound.bin"
    path.write_bytes(b"one")
    return path


def test_an_entry_is_made_once_and_is_there_for_others(cache, sound):
    make = Counter()
    first = cache.get(sound, {"n_fft": 512}, make)
    again = audio.SpectrogramCache(cache.folder).get(sound, {"n_fft": 512}, make)
    assert torch.equal(first, again)
    assert make.calls == 1
    assert not list(cache.folder.rglob(".writing*"))


def test_other_settings_and_other_files_are_other_entries(cache, sound, tmp_path):
    make = Counter()
    settings = audio.TRANSFORMS["mel"].settings()
    cache.get(sound, settings, make)
    cache.get(sound, settings | {"hop_length": 128}, make)
    cache.get(sound, settings | {"version": 2}, make)
    assert make.calls == 3
    sound.write_bytes(b"two")
    cache.get(sound, settings, make)
    cache.get(b"two", settings, make)
    assert make.calls == 5
    moved = sound.rename(tmp_path / "elsewhere.bin")
    cache.get(moved, settings, make)
    assert (make.calls, cache.hits, cache.misses) == (5, 1, 5)


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:-5], lambda whole: whole[:-1] + b"!"])
def test_a_broken_entry_is_made_anew(cache, sound, damage):
    make = Counter()
    cache.get(sound, {}, make)
    (entry,) = cache.folder.rglob("*.spectrogram")
    entry.write_bytes(damage(entry.read_bytes()))
    assert torch.equal(cache.get(sound, {}, make), torch.ones(2, 3))
    cache.get(sound, {}, make)
    assert make.calls == 2


def test_what_fails_leaves_nothing(cache, sound):
    def fail():
        raise ValueError("no such sound")

    with pytest.raises(ValueError, match="no such sound"):
        cache.get(sound, {}, fail)
    assert not list(cache.folder.rglob("*"))


def test_an_interrupted_write_leaves_nothing(cache, sound, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        cache.get(sound, {}, Counter())
    assert not [path for path in cache.folder.rglob("*") if path.is_file()]


def fill(folder):
    cache = audio.SpectrogramCache(folder)
    return [float(cache.get(b"%d" % i, {}, Counter(float(i))).mean()) for i in range(40)]


def test_several_at_once_share_a_folder(tmp_path):
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(fill, [tmp_path] * 3))
    assert found == [[float(i) for i in range(40)]] * 3
    assert fill(tmp_path) == found[0]
