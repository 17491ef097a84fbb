"""Songs synthesised from a tree of labels, so that the truth is known.

The coarsest level sets the band in which a bird sings, the next one the syllable, the finest one the rhythm in which
syllables follow each other. So a coarse class is easier than a fine one, relatives are alike, and a model that has
learned a band knows something about a species that it has never heard. Every recording has its own bird (a little
higher, a little faster), and every recordist a background that is in all of his recordings: a split that cuts through
recordings or recordists leaks. No number measured on these songs is a result on real birds.

Taught in chapters 14 and 15.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from clslab.data.sounds import RATE, SECONDS, SoundDataset
from clslab.taxonomy import Taxonomy

_BIRDS = 6  # a number of its own, so that no other stand-in shares its random states

LOWEST, HIGHEST = 1200.0, 8500.0
"""Hz between which the bands of the coarse classes lie."""

SYLLABLES = ("whistle", "rise", "fall", "arch", "dip", "trill", "buzz", "stack")
"""What a syllable may be."""

RECORDISTS_PER_LEAF = 3


@dataclass(frozen=True)
class Voice:
    """What all birds of one leaf have in common: the truth about a synthesised species.

    Attributes:
        middle: centre of the band in Hz; set by the coarsest level.
        spread: width of the band as a ratio of frequencies.
        syllable: one of `SYLLABLES`; set by the level below.
        seconds: length of a syllable; set by the same.
        rhythm: gaps after the syllables of a phrase, in lengths of a syllable; set by the finest level.
    """

    middle: float
    spread: float
    syllable: str
    seconds: float
    rhythm: tuple[float, ...]


@dataclass(frozen=True)
class Song:
    """A clip that is sung when called.

    Attributes:
        voice: of its species.
        seed: of everything below.
        recording: number of the recording, and so of the bird.
        recordist: number of the person, and so of the background.
        clip: number of the clip in the recording.
        seconds: its length.
    """

    voice: Voice
    seed: int
    recording: int
    recordist: int
    clip: int
    seconds: float = SECONDS

    def __call__(self) -> NDArray[np.float32]:
        """The waveform `[T]` at 22,050 Hz, with a peak of 0.9."""
        return sing(self)


def voices(taxonomy: Taxonomy, *, seed: int = 0) -> list[Voice]:
    """The voice of every leaf of a tree.

    Bands divide the range evenly between the coarse classes. The classes of one parent have different syllables as far
    as there are enough; the leaves of one parent have different rhythms.

    Args:
        taxonomy: with any number of levels. With two the finer one sets syllable and rhythm, with one it sets all.
        seed: of lengths and rhythms.

    Taught in chapter 15.

    >>> tree = Taxonomy.from_paths([("a", "b", "c"), ("a", "b", "d"), ("e", "f", "g")])
    >>> first, second, third = voices(tree)
    >>> first.syllable == second.syllable, first.rhythm == second.rhythm, first.middle < third.middle
    (True, False, True)
    """
    coarse = taxonomy.nodes(0)
    # With three levels or more the second finest names the syllable, with two the finest does.
    depth = max(taxonomy.levels - 2, 1) if taxonomy.levels > 1 else 0
    bands = np.geomspace(LOWEST, HIGHEST, len(coarse) + 1)
    made: list[Voice] = []
    for leaf in taxonomy.paths:
        band, middle_level = coarse.index(leaf[:1]), leaf[: depth + 1]
        siblings = [node for node in taxonomy.nodes(depth) if node[:depth] == middle_level[:depth]]
        place = siblings.index(middle_level)
        shift = _number(seed, "syllable", *middle_level[:depth])
        own = np.random.default_rng((_BIRDS, seed, _number(seed, "length", *middle_level)))
        made.append(
            Voice(
                middle=float(np.sqrt(bands[band] * bands[band + 1])),
                spread=float(max((bands[band + 1] / bands[band]) ** 0.7, 1.12)),
                syllable=SYLLABLES[(shift + place) % len(SYLLABLES)],
                seconds=round(float(own.uniform(0.08, 0.22)), 3),
                rhythm=_rhythm(seed, leaf, [made[other].rhythm for other in _sisters(taxonomy, leaf)]),
            )
        )
    return made


def _sisters(taxonomy: Taxonomy, leaf: tuple[str, ...]) -> list[int]:
    """The leaves of the same parent that come before this one."""
    before = taxonomy.paths[: taxonomy.paths.index(leaf)]
    return [number for number, other in enumerate(before) if other[:-1] == leaf[:-1]]


def _rhythm(seed: int, leaf: tuple[str, ...], taken: list[tuple[float, ...]]) -> tuple[float, ...]:
    """Gaps of a leaf, other ones than its sisters have."""
    rng = np.random.default_rng((_BIRDS, seed, _number(seed, "rhythm", *leaf)))
    while True:
        gaps = tuple(float(gap) for gap in rng.choice([0.2, 0.5, 1.0, 2.0, 3.5], size=rng.integers(2, 6)))
        if gaps not in taken:
            return gaps


def _number(seed: int, *words: str) -> int:
    """A number that a name decides, the same on every machine and in every process."""
    return zlib.crc32(repr((seed, *words)).encode())


def sing(song: Song) -> NDArray[np.float32]:
    """The waveform of a song, float32 `[T]`: phrases of syllables over the background of the recordist."""
    bird = np.random.default_rng((_BIRDS, song.seed, 1, song.recording))
    now = np.random.default_rng((_BIRDS, song.seed, 2, song.recording, song.clip))
    length = round(song.seconds * RATE)
    # The individual: up to an eighth of the band higher or lower, up to a quarter faster or slower.
    middle = song.voice.middle * song.voice.spread ** bird.uniform(-0.125, 0.125)
    tempo = bird.uniform(0.8, 1.25)
    distance = bird.uniform(0.15, 1.0)
    samples = np.zeros(length)
    place, beat = now.uniform(0, 0.4), int(now.integers(len(song.voice.rhythm)))
    while place < song.seconds:
        seconds = song.voice.seconds / tempo * now.uniform(0.95, 1.05)
        syllable = _syllable(song.voice.syllable, middle * now.uniform(0.98, 1.02), song.voice.spread, seconds)
        start = round(place * RATE)
        kept = syllable[: max(0, length - start)]
        samples[start : start + len(kept)] += kept * now.uniform(0.7, 1.0)
        gap = song.voice.rhythm[beat % len(song.voice.rhythm)]
        # A phrase is followed by a breath.
        breath = 2.5 if (beat + 1) % len(song.voice.rhythm) == 0 else 0
        place += seconds + (gap + breath) * song.voice.seconds / tempo
        beat += 1
    samples = distance * samples + _background(song.seed, song.recordist, now, length)
    return (0.9 * samples / np.abs(samples).max()).astype(np.float32)


def _syllable(kind: str, middle: float, spread: float, seconds: float) -> NDArray[np.float64]:
    """One syllable under a soft envelope."""
    count = max(round(seconds * RATE), 8)
    along = np.linspace(0, 1, count)
    half = 0.5 * np.log(spread)
    courses = {
        "rise": half * (2 * along - 1),
        "fall": half * (1 - 2 * along),
        "arch": half * (1 - 2 * (2 * along - 1) ** 2),
        "dip": half * (2 * (2 * along - 1) ** 2 - 1),
        "trill": half * np.sign(np.sin(2 * np.pi * 25 * along * seconds * 2)),
        "buzz": half * np.sin(2 * np.pi * 110 * along * seconds),
    }
    hz = middle * np.exp(courses.get(kind, np.zeros(count)))
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    tone = np.sin(phase)
    if kind == "stack":
        tone = tone + (np.sin(0.75 * phase) + np.sin(1.25 * phase)) / 1.5
    envelope: NDArray[np.float64] = signal.windows.tukey(count, 0.5)
    return tone * envelope


def _background(seed: int, recordist: int, now: np.random.Generator, length: int) -> NDArray[np.float64]:
    """Wind, a hum and hiss: coloured and loud as this recordist always has it, different in every clip."""
    own = np.random.default_rng((_BIRDS, seed, 3, recordist))
    slope, hum, loud = own.uniform(0.2, 1.2), own.uniform(100, 5000), own.uniform(0.01, 0.06)
    spectrum = np.fft.rfft(now.normal(size=length))
    hz = np.fft.rfftfreq(length, 1 / RATE)
    spectrum *= (np.maximum(hz, 50) / 1000) ** (-slope / 2)
    noise = np.fft.irfft(spectrum, length)
    time = np.arange(length) / RATE
    return loud * (noise / noise.std() + 0.7 * np.sin(2 * np.pi * hum * time + now.uniform(0, 2 * np.pi)))


def synthesise(
    taxonomy: Taxonomy,
    classes: Sequence[str],
    *,
    recordings: tuple[int, int, int] = (6, 2, 2),
    clips: int = 2,
    seed: int = 0,
) -> dict[str, SoundDataset]:
    """Songs of all leaves of a tree, in the splits of a set.

    Args:
        taxonomy: the tree; its leaves are the classes.
        classes: their names.
        recordings: of each leaf in train, val and test.
        clips: of each recording.
        seed: of everything.

    Returns:
        The splits. Groups are recordings; `extra` has the recordist and the names of every level.

    Raises:
        ValueError: if a number is not positive.

    Taught in chapter 15.

    >>> tree = Taxonomy.from_paths([("low", "a"), ("low", "b"), ("high", "c")])
    >>> parts = synthesise(tree, ("a", "b", "c"), recordings=(2, 1, 1))
    >>> {split: len(part) for split, part in parts.items()}
    {'train': 12, 'val': 6, 'test': 6}
    """
    if min(recordings) < 1 or clips < 1:
        raise ValueError(f"recordings {recordings}, clips {clips}; give at least one of each")
    own = voices(taxonomy, seed=seed)
    each = sum(recordings)
    people = RECORDISTS_PER_LEAF * max(1, len(own) // 2)
    parts, first = {}, 0
    for split, count in zip(("train", "val", "test"), recordings, strict=True):
        songs = [
            (leaf, Song(own[leaf], seed, leaf * each + number, _person(seed, leaf, number, people), clip))
            for leaf in range(len(own))
            for number in range(first, first + count)
            for clip in range(clips)
        ]
        parts[split] = SoundDataset(
            [song for _, song in songs],
            [leaf for leaf, _ in songs],
            classes,
            taxonomy=taxonomy,
            groups=[f"S{song.recording:04d}" for _, song in songs],
            ids=[f"S{song.recording:04d}_{song.clip}" for _, song in songs],
            extra={"recordist": np.array([f"recordist {song.recordist:02d}" for _, song in songs])},
        )
        first += count
    return parts


def _person(seed: int, leaf: int, number: int, people: int) -> int:
    """Who recorded it: a leaf has few recordists, and one recordist several leaves."""
    rng = np.random.default_rng((_BIRDS, seed, 4, leaf))
    return int(rng.integers(people, size=RECORDISTS_PER_LEAF)[number % RECORDISTS_PER_LEAF])
