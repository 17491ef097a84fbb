"""Mel bands against values worked out by hand, loudness, several windows on one grid, masks, presets."""

import math

import numpy as np
import pytest
import torch
from scipy import signal

from clslab import audio

RATE = 22_050


def tone(hz, seconds=1.0):
    return torch.sin(2 * math.pi * hz * torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_two_scales_at_points_that_their_authors_give():
    # Slaney: 13 linear steps of 66.67 Hz reach 866.7 Hz; 27 logarithmic ones lead from 1 to 6.4 kHz.
    assert audio.mel_to_hz([1, 13, 15, 42]) == pytest.approx([200 / 3, 866.6667, 1000, 6400])
    # O'Shaughnessy's formula puts 1000 mel at 1000 Hz (to a part in a million of 2595 · log10).
    assert audio.hz_to_mel([0, 700, 1000], scale="htk") == pytest.approx([0, 2595 * math.log10(2), 999.9855], abs=1e-3)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_there_and_back(scale):
    hz = np.linspace(0, 11_025, 500)
    assert np.allclose(audio.mel_to_hz(audio.hz_to_mel(hz, scale=scale), scale=scale), hz)
    assert (np.diff(audio.hz_to_mel(hz, scale=scale)) > 0).all()


def triangle(f, left, middle, right):
    """Height at f of a triangle, as one draws it."""
    if left < f <= middle:
        return (f - left) / (middle - left)
    if middle < f < right:
        return (right - f) / (right - middle)
    return 0.0


@pytest.mark.parametrize("norm", ["area", None])
def test_the_bank_is_triangles_drawn_one_by_one(norm):
    low, high, bands, n_fft = 0.0, 4000.0, 10, 512
    # By hand: with HTK's scale the edges are evenly spaced in 2595 · log10(1 + f / 700).
    top = 2595 * math.log10(1 + high / 700)
    edges = [700 * (10 ** (top * i / (bands + 1) / 2595) - 1) for i in range(bands + 2)]
    expected = np.array(
        [
            [
                triangle(k * 8000 / n_fft, *edges[m : m + 3]) * (2 / (edges[m + 2] - edges[m]) if norm else 1)
                for k in range(n_fft // 2 + 1)
            ]
            for m in range(bands)
        ]
    )
    bank = audio.mel_filter_bank(bands, n_fft=n_fft, rate=8000, low=low, high=high, scale="htk", norm=norm)
    assert np.allclose(bank, expected, atol=1e-12)


def test_triangles_of_height_one_add_up_to_one_between_the_outer_middles():
    bank = audio.mel_filter_bank(40, n_fft=4096, rate=RATE, low=300, high=10_500, norm=None)
    middles = audio.mel_to_hz(np.linspace(*audio.hz_to_mel([300, 10_500]), 42))[[1, -2]]
    hz = np.arange(2049) * RATE / 4096
    inside = (hz >= middles[0]) & (hz <= middles[1])
    assert np.allclose(bank.sum(dim=0)[inside], 1)


@pytest.mark.parametrize("n_fft", [128, 256, 1024, 8192])
def test_read_between_bins_every_band_has_its_area_at_every_window(n_fft):
    bank = audio.mel_filter_bank(64, n_fft=n_fft, rate=RATE, low=300, high=10_500, between_bins=True)
    assert bank.shape == (64, n_fft // 2 + 1)
    assert np.allclose(bank.sum(dim=1) * RATE / n_fft, 1, atol=0.02)


def test_read_between_bins_a_fine_bank_is_the_plain_one():
    plain = audio.mel_filter_bank(30, n_fft=16_384, rate=RATE, low=300)
    between = audio.mel_filter_bank(30, n_fft=16_384, rate=RATE, low=300, between_bins=True)
    assert (plain - between).abs().max() < 0.02 * plain.max()


def test_a_band_between_two_bins_is_an_error_that_says_what_to_do():
    with pytest.raises(ValueError, match=r"of 64 bands, .* lie between two bins of 172 Hz; take fewer bands"):
        audio.mel_filter_bank(64, n_fft=128, rate=RATE)


def test_a_tone_lands_in_its_band():
    edges = audio.mel_to_hz(np.linspace(*audio.hz_to_mel([300, 10_500]), 66))
    for band in (0, 20, 63):
        power = audio.mel_spectrogram(tone(edges[band + 1]), rate=RATE, n_fft=4096, low=300, high=10_500)
        assert int(power[:, 40].argmax()) == band


def test_it_is_the_bank_times_the_power():
    waveform = noise(2, 3, 9000)
    power = audio.power_spectrogram(waveform, n_fft=1024, hop_length=256)
    bank = audio.mel_filter_bank(40, n_fft=1024, rate=RATE, low=100)
    assert torch.allclose(audio.mel_spectrogram(waveform, rate=RATE, n_mels=40, low=100), bank @ power)


def test_white_noise_is_as_loud_in_every_band_and_at_every_window():
    power = audio.multi_resolution(noise(30 * RATE), (256, 1024, 4096), rate=RATE, low=300, high=10_500)
    level = power.mean(dim=-1) * RATE / 2
    assert torch.allclose(level, torch.ones_like(level), atol=0.2)
    assert torch.allclose(level.mean(dim=1), torch.ones(3, dtype=torch.float64), atol=0.03)


def test_several_windows_are_the_single_ones_stacked():
    waveform = noise(2, 5000)
    settings = {"rate": RATE, "hop_length": 200, "n_mels": 32, "low": 300.0}
    stack = audio.multi_resolution(waveform, (512, 2048), **settings)
    assert stack.shape == (2, 2, 32, 26)
    for channel, n_fft in enumerate((512, 2048)):
        alone = audio.mel_spectrogram(waveform, n_fft=n_fft, between_bins=True, **settings)
        assert torch.equal(stack[:, channel], alone)


def test_the_long_window_shows_two_tones_and_the_short_one_two_clicks():
    sound = tone(1000) + tone(1100)
    sound[11_025] += 50
    sound[11_025 + 441] += 50
    short, long = audio.multi_resolution(sound, (128, 4096), rate=RATE, hop_length=32, n_mels=256, low=300, high=5000)

    def count(curve):
        return len(signal.find_peaks(curve.numpy(), height=float(curve.max()) / 10)[0])

    edges = audio.mel_to_hz(np.linspace(*audio.hz_to_mel([300, 5000]), 258))[1:-1]
    tones, late = (edges > 900) & (edges < 1200), slice(500, 600)
    assert count(long[tones, late].mean(dim=1)) == 2
    assert count(short[tones, late].mean(dim=1)) < 2
    clicks = slice(11_025 // 32 - 40, 11_025 // 32 + 60)
    assert count(short[edges > 3000, clicks].sum(dim=0)) == 2
    assert count(long[edges > 3000, clicks].sum(dim=0)) < 2


def test_a_sound_shorter_than_the_window():
    assert audio.mel_spectrogram(noise(100), rate=RATE).shape == (64, 1)
    assert audio.TRANSFORMS["multi"](noise(100)).isfinite().all()


def test_float32_is_near_float64_in_decibels():
    waveform = noise(RATE)
    exact = audio.decibels(audio.mel_spectrogram(waveform, rate=RATE))
    single = audio.decibels(audio.mel_spectrogram(waveform.float(), rate=RATE))
    assert (exact - single).abs().max() < 0.01


def test_gradients_flow_through_bands_and_loudness():
    waveform = noise(500).requires_grad_()

    def picture(x):
        mel = audio.mel_spectrogram(x, rate=8000, n_fft=128, hop_length=100, n_mels=8, low=200)
        return audio.pcen(mel, rate=8000, hop_length=100) + audio.decibels(mel)

    assert torch.autograd.gradcheck(picture, (waveform,), fast_mode=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"low": 5000, "high": 4000}, "bands from 5000 to 4000 Hz; give 0 ≤ low < high ≤ 11025"),
        ({"high": 12_000}, "≤ 11025, half the rate"),
        ({"scale": "bark"}, "mel scale 'bark' is not known; use 'slaney' or 'htk'"),
        ({"norm": "height"}, "norm is 'height'; use 'area' or None"),
        ({"n_mels": 0}, "n_mels 0"),
    ],
)
def test_what_is_wrong_is_said(settings, message):
    with pytest.raises(ValueError, match=message):
        audio.mel_spectrogram(torch.zeros(3000), rate=RATE, **settings)


@pytest.mark.parametrize("lengths", [(), (256, 511)])
def test_window_lengths_that_do_not_share_frames(lengths):
    with pytest.raises(ValueError, match="give one or more even lengths"):
        audio.multi_resolution(torch.zeros(3000), lengths, rate=RATE)


# ---------------------------------------------------------------- loudness


def test_decibels():
    assert audio.decibels(torch.tensor([2.0, 1e-3])).tolist() == pytest.approx([3.0103, -30])
    assert audio.decibels(torch.zeros(1), floor=1e-8).item() == pytest.approx(-80)
    with pytest.raises(ValueError, match="floor is 0; give a positive power"):
        audio.decibels(torch.ones(1), floor=0)


def test_pcen_is_its_recursion():
    energy = noise(3, 50).abs()
    rate, hop, seconds = 1000, 10, 0.2
    t = seconds * rate / hop
    s = (math.sqrt(1 + 4 * t**2) - 1) / (2 * t**2)
    expected, mean = torch.empty_like(energy), energy[:, 0]
    for frame in range(50):
        mean = (1 - s) * mean + s * energy[:, frame] if frame else energy[:, 0]
        expected[:, frame] = (energy[:, frame] / (1e-10 + mean) ** 0.98 + 2) ** 0.5 - 2**0.5
    assert torch.allclose(audio.pcen(energy, rate=rate, hop_length=hop, seconds=seconds), expected)


def test_pcen_takes_the_gain_out_and_leaves_silence():
    mel = audio.mel_spectrogram(noise(RATE), rate=RATE) * 1000
    near, far = (audio.pcen(mel * gain, rate=RATE, hop_length=256, gain=1.0) for gain in (1.0, 0.01))
    assert torch.allclose(near, far, rtol=1e-4)
    assert not audio.pcen(torch.zeros(4, 20), rate=RATE, hop_length=256).any()


@pytest.mark.parametrize("settings", [{"seconds": 0}, {"gain": -1}, {"eps": 0}])
def test_pcen_refuses(settings):
    with pytest.raises(ValueError, match="all have to be positive"):
        audio.pcen(torch.ones(2, 2), rate=RATE, hop_length=256, **settings)
    with pytest.raises(ValueError, match="give bands and frames"):
        audio.pcen(torch.ones(2), rate=RATE, hop_length=256)


# ---------------------------------------------------------------- masks


def masked(shape=(200, 2, 40, 90), seed=0, **settings):
    generator = torch.Generator().manual_seed(seed)
    return audio.spec_augment(torch.ones(shape), fill=0.0, generator=generator, **settings) == 0


def test_stripes_are_whole_and_no_wider_than_asked():
    hidden = masked(frequency_masks=1, frequency_width=7, time_masks=0)
    bands = hidden.all(dim=(1, 3))
    assert torch.equal(hidden.any(dim=(1, 3)), bands)
    widths = bands.sum(dim=1)
    assert set(widths.tolist()) == set(range(8))
    # One stripe each: no band is taken up again after one that was left.
    assert (bands.int().diff(dim=1).clamp(min=0).sum(dim=1) + bands[:, 0].int() <= 1).all()
    assert bands.any(dim=0).all(), "every band is hidden at some time, the outermost too"


def test_stripes_of_frames_and_of_both():
    hidden = masked(frequency_masks=0, time_masks=2, time_width=10)
    frames = hidden.any(dim=(1, 2))
    assert torch.equal(hidden.all(dim=(1, 2)), frames)
    assert 10 < frames.sum(dim=1).max() <= 20
    both = masked(frequency_masks=1, frequency_width=5, time_masks=1, time_width=5)
    assert both.float().mean() == pytest.approx(1 - (1 - 2.5 / 40) * (1 - 2.5 / 90), abs=0.02)


def test_items_differ_channels_do_not_and_a_seed_repeats():
    hidden = masked()
    assert torch.equal(hidden[:, 0], hidden[:, 1])
    assert not torch.equal(hidden[0], hidden[1])
    assert torch.equal(hidden, masked())
    assert not torch.equal(hidden, masked(seed=1))


def test_the_fill_is_each_items_own_mean_and_the_input_is_left_alone():
    batch = torch.stack([torch.full((40, 90), 3.0), torch.arange(3600.0).reshape(40, 90)])
    before = batch.clone()
    made = audio.spec_augment(batch, generator=torch.Generator().manual_seed(3))
    assert torch.equal(batch, before)
    assert torch.equal(made[0], batch[0])
    changed = made[1][made[1] != batch[1]]
    assert len(changed) > 0
    assert torch.allclose(changed, batch[1].mean())
    assert audio.spec_augment(batch[0]).shape == (40, 90)


def test_masks_that_do_not_fit():
    with pytest.raises(ValueError, match="2 time masks of up to 40 in a picture of 30; give 0 to 30"):
        audio.spec_augment(torch.ones(40, 30))
    with pytest.raises(ValueError, match="give bands and frames at the end"):
        audio.spec_augment(torch.ones(40))


# ---------------------------------------------------------------- presets


@pytest.mark.parametrize("name", sorted(audio.TRANSFORMS))
def test_every_preset_makes_a_picture(name):
    made = audio.transform(name)
    picture = made(0.1 * noise(2, 3 * RATE).float())
    frames = 3 * RATE // made.hop_length + 1
    assert picture.shape == (2, made.channels, made.n_mels, frames)
    sizes = {"small": (32, 130), "tiny": (32, 65), "decibels": (40, 259)}
    assert (made.n_mels, frames) == sizes.get(name.rpartition("-")[2], (64, 259))
    assert picture.dtype == torch.float32
    if not made.standardize:
        assert torch.allclose(made(0.01 * noise(2, 3 * RATE).float()), picture - 20, atol=0.1), "it knows the loudness"
        return
    assert torch.allclose(picture.mean(dim=(-2, -1)), torch.zeros(2, made.channels), atol=1e-4)
    assert torch.allclose(picture.std(dim=(-2, -1)), torch.ones(2, made.channels), atol=1e-3)
    assert not made(torch.zeros(RATE)).any(), "silence is flat, not noise blown up"


def test_the_picture_does_not_depend_on_the_gain():
    waveform = noise(RATE)
    for name in ("multi", "multi-pcen"):
        loud, soft = audio.transform(name)(waveform), audio.transform(name)(0.1 * waveform)
        assert (loud - soft).abs().max() < 0.2, name


def test_settings_tell_presets_apart():
    found = [str(made.settings()) for made in audio.TRANSFORMS.values()]
    assert len(set(found)) == len(found)


def test_presets_refuse():
    with pytest.raises(ValueError, match="no spectrogram transform 'cqt'; use one of mel"):
        audio.transform("cqt")
    with pytest.raises(ValueError, match="loudness is 'sone'; use 'decibels' or 'pcen'"):
        audio.SpectrogramTransform(loudness="sone")
    with pytest.raises(ValueError, match="at 8000 samples a second, which hold nothing above 4000 Hz"):
        audio.SpectrogramTransform(rate=8000)
