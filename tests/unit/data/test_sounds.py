"""The dataset of sounds, the table and its faults, the reader of birds, and synthesised songs."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from clslab import audio, data, train
from clslab.data import birds, songs, sounds
from clslab.data.loading import loader
from clslab.data.sounds import SoundDataset
from clslab.recipe import Recipe
from clslab.taxonomy import Taxonomy

RATE = 22_050
TREE = Taxonomy.from_paths([("low", "a"), ("low", "b"), ("high", "a")])


def tone(hz, seconds=3.0, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


@pytest.fixture
def dataset():
    sources = [tone(500 * (1 + i)).astype(np.float32) for i in range(6)]
    return SoundDataset(
        sources,
        [0, 1, 2, 0, 1, 2],
        ("a", "b", "a of high"),
        taxonomy=TREE,
        groups=["r0", "r0", "r1", "r1", "r2", "r2"],
        extra={"recordist": np.array(list("xxyyzz"))},
    )


# ---------------------------------------------------------------- the dataset


def test_items_are_waveforms_with_a_class_per_level(dataset):
    waveform, target = dataset[2]
    assert (waveform.shape, waveform.dtype) == ((66_150,), torch.float32)
    assert (target.tolist(), target.dtype) == ([1, 2], torch.int64)
    assert dataset.levels.tolist() == [[0, 0], [0, 1], [1, 2]] * 2
    assert dataset.targets.tolist() == [0, 1, 2, 0, 1, 2]
    assert len(list(dataset)) == 6


def test_a_batch_has_pictures_and_levels(dataset):
    (inputs, targets), _ = loader(dataset.with_transform("multi"), batch_size=4)
    assert inputs.shape == (4, 3, 64, 259)
    assert (targets.shape, targets.dtype) == ((4, 2), torch.int64)


def test_one_level_for_a_flat_model(dataset):
    coarse = dataset.with_transform("mel").at_level(0)
    assert (coarse.classes, coarse.targets.tolist()) == (("low", "high"), [0, 0, 1, 0, 0, 1])
    picture, target = coarse[2]
    assert (picture.shape, target) == ((1, 64, 259), 1)
    # Two branches use one name.
    assert dataset.at_level(-1).classes == ("low / a", "low / b", "high / a")
    with pytest.raises(ValueError, match="have no taxonomy"):
        coarse.at_level(0)
    with pytest.raises(ValueError, match="level 2 does not exist"):
        dataset.at_level(2)


def test_a_subset_takes_everything_along(dataset):
    part = dataset.with_transform("mel").in_memory().subset([5, 0])
    assert (part.targets.tolist(), part.groups.tolist(), part.ids) == ([2, 0], ["r2", "r0"], ["5", "0"])
    assert part.extra["recordist"].tolist() == ["z", "x"]
    assert torch.equal(part[0][0], dataset.with_transform("mel")[5][0])


def test_in_memory_nothing_is_computed_again(dataset):
    calls = []

    def counted(waveform):
        calls.append(1)
        return waveform[:10]

    kept = dataset.with_transform(counted).in_memory()
    for _ in range(2):
        assert torch.equal(kept[3][0], torch.from_numpy(dataset.sources[3])[:10])
    assert len(calls) == 6
    inputs, targets = kept.tensors()
    assert (inputs.shape, targets.shape) == ((6, 10), (6, 2))
    assert kept.at_level(0).tensors()[1].shape == (6,)
    assert kept.with_transform(None)[0][0].shape == (66_150,)


def test_long_and_short_sounds_come_to_one_length():
    long = 0.001 * np.random.default_rng(0).normal(size=10 * RATE)
    long[7 * RATE : 8 * RATE] += tone(3000, 1)
    clips = SoundDataset([long, tone(3000, 1.0)], [0, 0], ["bird"])
    assert [len(waveform) for waveform, _ in clips] == [66_150, 66_150]
    assert clips.waveform(0).square().sum() > 0.9 * 0.125 * RATE
    assert not clips.waveform(1)[RATE:].any()


def test_files_are_brought_to_one_rate(tmp_path):
    soundfile.write(tmp_path / "slow.wav", tone(1000, rate=8000), 8000)
    clips = SoundDataset([tmp_path / "slow.wav"], [0], ["bird"])
    power = audio.power_spectrogram(clips.waveform(0), n_fft=2205, hop_length=2205)
    assert int(power[:, 10].argmax()) == 100


def test_spectrograms_are_kept_on_disk_by_setting_and_file(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1000), RATE)
    clips = SoundDataset([path, tone(500).astype(np.float32)], [0, 0], ["bird"])
    cached = clips.with_transform("mel", cache=tmp_path / "cache")
    plain = clips.with_transform("mel")
    for _ in range(2):
        assert torch.equal(cached[0][0], plain[0][0])
        assert torch.equal(cached[1][0], plain[1][0])
    assert (cached.cache.hits, cached.cache.misses) == (2, 2)
    soundfile.write(path, tone(2000), RATE)
    assert torch.equal(cached[0][0], plain[0][0])
    other = clips.with_transform("multi", cache=cached.cache)
    assert other[0][0].shape == (3, 64, 259)
    assert cached.cache.misses == 4


def test_songs_are_kept_by_what_they_sing(tmp_path):
    parts = songs.synthesise(TREE, ("a", "b", "c"), recordings=(1, 1, 1))
    cached = parts["train"].with_transform("mel", cache=tmp_path)
    pictures = [cached[i][0] for i in range(6)]
    assert (cached.cache.hits, cached.cache.misses) == (0, 6)
    assert all(torch.equal(cached[i][0], pictures[i]) for i in range(6))
    assert cached.cache.hits == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": []}, "a SoundDataset of no sounds"),
        ({"targets": [0, 1]}, "6 sources but 2 targets"),
        ({"targets": [0, 1, 2, 3, 0, 0]}, "target 3 is no class; 3 classes"),
        ({"classes": ("a", "b", "c", "d")}, "4 classes, and the taxonomy has 3 leaves"),
        ({"groups": [1]}, "6 sources but 1 groups"),
    ],
)
def test_what_does_not_fit_is_said(dataset, changes, message):
    given = {"sources": dataset.sources, "targets": dataset.targets, "classes": dataset.classes, "taxonomy": TREE}
    with pytest.raises(ValueError, match=message):
        SoundDataset(**given | changes)


def test_transforms_that_do_not_fit(dataset):
    with pytest.raises(ValueError, match="no spectrogram transform 'mfcc'"):
        dataset.with_transform("mfcc")
    with pytest.raises(
        ValueError, match="for 16000 samples a second and the sounds have 22050; give one with rate=22050"
    ):
        dataset.with_transform(audio.SpectrogramTransform(rate=16_000, high=8000))


class TwoHeads(nn.Module):
    """The smallest model that answers on two levels."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d((8, 1)), nn.Flatten())
        self.heads = nn.ModuleList([nn.Linear(64, 2), nn.Linear(64, 3)])

    def forward(self, pictures):
        features = self.body(pictures)
        return tuple(head(features) for head in self.heads)


def test_fit_learns_both_levels(dataset):
    torch.manual_seed(0)
    pictures = dataset.with_transform("mel").in_memory()
    batches = loader(pictures, batch_size=3, shuffle=True)
    model = TwoHeads()

    def criterion(outputs, targets):
        pairs = zip(outputs, targets.unbind(dim=1), strict=True)
        return sum(nn.functional.cross_entropy(logits, level) for logits, level in pairs)

    recipe = Recipe(epochs=30, optimizer="adam", lr=0.01, schedule="constant", warmup=0)
    train.fit(model, batches, None, recipe, criterion=criterion)
    found = train.evaluate(model, loader(pictures, batch_size=6))
    assert len(found) == 2
    assert [one.accuracy for one in found] == [1.0, 1.0]


# ---------------------------------------------------------------- a folder of one's own

HEADER = "file,species,genus,family,order,recordist,recording_id,split,activity_db"


@pytest.fixture
def own(tmp_path):
    """A folder with two species of four recordings each; `own(lines)` adds lines to its table, `own.folder` is it."""
    folder = tmp_path / "mine"
    folder.mkdir()
    rows = []
    for number in range(8):
        name = f"sound{number}.wav"
        soundfile.write(folder / name, tone(1000 + 100 * number), RATE)
        species, family = (("Parus major", "Paridae"), ("Corvus corax", "Corvidae"))[number % 2]
        rows.append(f"{name},{species},,{family},Passeriformes,me,R{number},{('train', 'val')[number > 5]},")

    def write(*lines, header=HEADER, rows=rows):
        (folder / "metadata.csv").write_text("\n".join([header, *rows, *lines]) + "\n", encoding="utf-8")
        return folder

    write.folder, write.rows = folder, rows
    return write


def load(folder, capsys, **options):
    capsys.readouterr()
    splits = data.load("birds", root=folder, **options)
    return splits, capsys.readouterr().out


def test_a_folder_is_read_through_the_same_call(own, capsys):
    splits, said = load(own(), capsys)
    assert said.splitlines() == [splits.describe()]
    assert (splits.source, splits.banner, splits.test) == ("local", None, None)
    assert splits.classes == ("Corvus corax", "Parus major")
    # Two families of one species each: a level of families would say nothing new.
    assert splits.taxonomy.paths == (("Corvus corax",), ("Parus major",))
    assert (len(splits.train), len(splits.val)) == (6, 2)
    assert splits.groups["val"].tolist() == ["R6", "R7"]
    assert splits.train.extra["genus"].tolist()[:2] == ["Parus", "Corvus"]
    assert str(own.folder) not in said


def test_the_same_folder_below_a_root(own, capsys):
    own()
    (own.folder / "clips").mkdir()
    own.folder.rename(own.folder.parent / "birds")
    splits, _ = load(own.folder.parent, capsys)
    assert splits.classes == ("Corvus corax", "Parus major")


def test_a_spreadsheet_writes_a_mark_and_blanks(own, capsys):
    own()
    table = own.folder / "metadata.csv"
    table.write_text("\ufeff" + table.read_text().replace(",", " , "), encoding="utf-8")
    assert load(own.folder, capsys)[0].classes == ("Corvus corax", "Parus major")


def test_without_a_split_it_is_divided_by_recording(own, capsys):
    rows = [line.replace(",train,", ",,").replace(",val,", ",,") for line in own.rows]
    for number in range(8, 20):
        soundfile.write(own.folder / f"sound{number}.wav", tone(900), RATE)
        rows.append(f"sound{number}.wav,Parus major,,Paridae,Passeriformes,me,R{number // 2},,")
    splits, said = load(own(rows=rows), capsys)
    assert "the table has no split; divided 60/20/20 by recording" in said
    assert (len(splits.train), len(splits.val), len(splits.test)) == (12, 4, 4)
    groups = [set(splits.groups[split]) for split in ("train", "val", "test")]
    assert not any(a & b for a, b in itertools.combinations(groups, 2))


@pytest.mark.parametrize(
    ("name", "spoil", "reason"),
    [
        ("gone.wav", lambda path: None, "there is no such file"),
        ("empty.ogg", lambda path: path.write_bytes(b""), r"is empty (0 bytes)"),
        ("words.wav", lambda path: path.write_bytes(b"words " * 99), "cannot be read as a sound"),
        ("still.wav", lambda path: soundfile.write(path, np.zeros(RATE * 3), RATE), "is silent"),
        ("half.ogg", lambda path: cut_ogg(path), "is cut off"),
    ],
)
def test_a_file_that_cannot_be_used_is_left_out_and_named(own, capsys, name, spoil, reason):
    spoil(own.folder / name)
    splits, said = load(own(f"{name},Parus major,,Paridae,Passeriformes,me,R9,train,"), capsys)
    assert len(splits.train) == 6
    assert f"birds: left out: line 10, {name} ({reason}" in said.replace("it: ", "")
    assert str(own.folder) not in said


def test_a_table_from_windows_names_the_same_files(own, capsys):
    (own.folder / "deep").mkdir()
    soundfile.write(own.folder / "deep" / "new.wav", tone(700), RATE)
    splits, said = load(own("deep\\new.wav,Parus major,,Paridae,Passeriformes,me,R9,train,"), capsys)
    assert "left out" not in said
    assert any("deep/new.wav" in name for name in splits.train.ids)


def test_functions_with_one_name_are_not_one_sound():
    class Noise:
        def __init__(self, level):
            self.level = level

        def __call__(self):
            return np.full(8, self.level, dtype=np.float32)

        def __repr__(self):
            return "<function <lambda> at 0x7f0000000000>"  # an address that was used before

    assert sounds._described(Noise(0.1)) != sounds._described(Noise(0.2))
    assert sounds._described(Noise(0.1)) == sounds._described(Noise(0.1))


def cut_ogg(path):
    soundfile.write(path, tone(1000), RATE)
    path.write_bytes(path.read_bytes()[:-100])


def test_what_is_changed_about_files_is_said(own, capsys):
    soundfile.write(own.folder / "two.wav", np.stack([tone(700), tone(900)], axis=1), RATE)
    soundfile.write(own.folder / "slow.wav", tone(700, rate=8000), 8000)
    soundfile.write(own.folder / "short.wav", tone(700, 1.0), RATE)
    soundfile.write(own.folder / "long.wav", tone(700, 9.0), RATE)
    lines = [f"{n}.wav,Parus major,,Paridae,Passeriformes,me,{n},train," for n in ("two", "slow", "short", "long")]
    splits, said = load(own(*lines), capsys)
    assert len(splits.train) == 10
    assert {len(waveform) for waveform, _ in splits.train} == {66_150}
    assert "1 file with several channels, which are averaged into one: two.wav" in said
    assert "nothing is above half of what they have: slow.wav (8,000 Hz)" in said
    assert "1 file shorter than 3 s, followed by silence: short.wav" in said
    assert "1 file longer than 3 s, of which the liveliest 3 s are used: long.wav" in said


def test_a_species_without_a_family(own, capsys):
    soundfile.write(own.folder / "new.wav", tone(700), RATE)
    soundfile.write(own.folder / "odd.wav", tone(700), RATE)
    lines = ["new.wav,Upupa epops,,,Bucerotiformes,me,R9,train,", "odd.wav,Chupacabra,,,,me,R10,train,"]
    splits, said = load(own(*lines), capsys)
    assert "no family given for Chupacabra, Upupa epops: counted as unknown, unknown Bucerotiformes" in said
    paths = {path[-1]: path for path in splits.taxonomy.paths}
    assert paths["Upupa epops"] == ("Bucerotiformes", "Upupa epops")
    assert paths["Chupacabra"] == ("unknown", "Chupacabra")
    broad, _ = load(own.folder, capsys, variant="broad")
    assert ("Bucerotiformes", "unknown Bucerotiformes") in broad.taxonomy.paths
    assert ("unknown", "unknown") in broad.taxonomy.paths
    assert set(splits.train.extra["genus"]) == {"Parus", "Corvus", "Upupa", "unknown"}


def test_a_parent_that_one_row_leaves_open_is_that_of_another(own, capsys):
    soundfile.write(own.folder / "new.wav", tone(700), RATE)
    splits, said = load(own("new.wav,Parus minor,,,,me,R9,train,"), capsys, variant="broad")
    assert "no family given" not in said
    assert splits.taxonomy.paths == (("Passeriformes", "Corvidae"), ("Passeriformes", "Paridae"))


def test_a_class_without_a_validation_or_test_clip_is_named(own, capsys):
    rows = [line.replace(",train,", ",,").replace(",val,", ",,") for line in own.rows]
    soundfile.write(own.folder / "rare.wav", tone(700), RATE)
    rows.append("rare.wav,Upupa epops,,Upupidae,Bucerotiformes,me,R99,,")
    parts = birds.read(own(rows=rows))
    said = capsys.readouterr().out
    rare = parts["train"].classes.index("Upupa epops")
    held = [split for split, part in parts.items() if rare in part.targets]
    assert len(held) == 1
    for split, word in (("train", "training"), ("val", "validation"), ("test", "test")):
        lines = [line for line in said.splitlines() if line.startswith(f"birds: no {word} clip of")]
        assert any("Upupa epops" in line for line in lines) == (split not in held)


def test_headers_may_be_written_in_other_ways(own, capsys):
    header = "File,SPECIES,Family,License"
    rows = [f"{line.split(',')[0]},{line.split(',')[1]},Aves,CC0" for line in own.rows]
    splits, _ = load(own(header=header, rows=rows), capsys)
    assert set(splits.train.extra["family"]) == {"Aves"}
    assert set(splits.train.extra["licence"]) == {"CC0"}


def test_a_table_in_another_encoding_is_refused_with_advice(own):
    own()
    table = own.folder / "metadata.csv"
    table.write_bytes(table.read_text("utf-8").replace(",me,", ",Jürgen,").encode("cp1252"))
    with pytest.raises(ValueError, match=r'metadata\.csv is not written in UTF-8 \(byte \d+\); save it as "CSV UTF-8"'):
        data.load("birds", root=own.folder)


def test_what_is_advised_where_there_is_no_folder_can_be_done(tmp_path):
    with pytest.raises(FileNotFoundError, match="data get birds --species 'Genus species' --root"):
        data.load("birds", root=tmp_path / "nowhere")


def test_a_row_twice_counts_once(own, capsys):
    splits, said = load(own(own.rows[0]), capsys)
    assert len(splits.train) == 6
    assert "left out: line 10, sound0.wav (the same as line 2)" in said


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sound0.wav,Corvus corax,,Corvidae,Passeriformes,me,R0,train,", "lines 2 and 10 say different things"),
        ("x.wav,Parus major,,Corvidae,Passeriformes,me,R9,train,", "the family of Parus is Paridae in line 2"),
        ("x.wav,Parus major,,Paridae,Passeriformes,me,R0,val,", r"R0 is in train \(line 2\) and in val"),
        ("x.wav,Parus major,,Paridae,Passeriformes,me,R9,dev,", "line 10: split 'dev'; use train, val or test"),
        ("x.wav,,,Paridae,Passeriformes,me,R9,train,", "line 10: no species; fill it in"),
        ("sound0b.wav,Parus major,,Paridae,Passeriformes,me,R9,,", "some rows have no split"),
    ],
)  # fmt: skip
def test_a_table_that_contradicts_itself(own, line, message):
    soundfile.write(own.folder / "sound0b.wav", tone(700), RATE)
    with pytest.raises(ValueError, match=message):
        data.load("birds", root=own(line))


def test_columns_that_are_missing_are_named(own):
    with pytest.raises(ValueError, match="has no column file and no column species; its columns are name, bird"):
        data.load("birds", root=own(header="name,bird", rows=["a.wav,tit"]))
    with pytest.raises(ValueError, match="separated by commas"):
        data.load("birds", root=own(header="file;species", rows=["a.wav;tit"]))
    with pytest.raises(ValueError, match="no sound file of the table can be used; the lines above say why"):
        data.load("birds", root=own(header="file,species", rows=["a.wav,tit"]))


def test_two_columns_are_enough(own, capsys):
    rows = [",".join(line.split(",")[:2]) for line in own.rows]
    splits, _ = load(own(header="file,species", rows=rows), capsys)
    assert splits.classes == ("Corvus corax", "Parus major")
    assert splits.taxonomy.levels == 1
    assert splits.train[0][1].shape == (1,)
    assert len(splits.train) + len(splits.val) + len(splits.test) == 8


def test_levels_that_divide_nothing_are_left_out(own, capsys):
    soundfile.write(own.folder / "blue.wav", tone(700), RATE)
    splits, _ = load(own("blue.wav,Parus minor,,Paridae,Passeriformes,me,R9,train,"), capsys)
    # Two families, two genera, three species: the genus says nothing that the family does not.
    assert splits.taxonomy.paths[1] == ("Paridae", "Parus major")
    broad, _ = load(own.folder, capsys, variant="broad")
    assert broad.taxonomy.paths == (("Passeriformes", "Corvidae"), ("Passeriformes", "Paridae"))
    with pytest.raises(ValueError, match="has no rows of the subset 'core'"):
        load(own.folder, capsys, variant="core")


def test_a_split_without_validation(own):
    with pytest.raises(ValueError, match="no row is in val"):
        data.load("birds", root=own(rows=[line.replace(",val,", ",train,") for line in own.rows]))


# ---------------------------------------------------------------- the set and its stand-in


@pytest.mark.parametrize(
    ("variant", "counts"),
    [(None, [6, 9, 10]), ("genera", [7, 10]), ("three-genera", [2, 3]), ("broad", [19, 47]), ("orders", [19])],
)
def test_the_stand_in_has_the_tree_of_the_set(variant, counts, capsys):
    splits = data.load("birds", variant=variant)
    assert splits.source == "stand-in"
    assert "STAND-IN: synthesised songs, not the real set birds" in splits.banner
    assert splits.describe().split(":")[1].startswith(" synthesised stand-in")
    assert splits.taxonomy == data.taxonomy("birds", variant)
    assert [splits.taxonomy.num_classes(level) for level in range(splits.taxonomy.levels)] == counts
    assert len(splits.classes) == counts[-1]
    assert set(splits.train.targets) == set(range(counts[-1]))
    waveform, target = splits.train[0]
    assert (waveform.shape, waveform.abs().max()) == ((66_150,), pytest.approx(0.9))
    assert target.shape == (len(counts),)
    groups = {split: set(found) for split, found in splits.groups.items()}
    assert not groups["train"] & (groups["val"] | groups["test"])


def test_the_sealed_test_tells_nothing_about_sounds():
    sealed = data.load("birds").test
    for name in ("waveform", "levels", "tensors", "at_level", "in_memory"):
        with pytest.raises(data.SealedError, match="sealed"):
            getattr(sealed, name)


def real_or_stand_in(variant):
    """The developer's real set if there is one, else the stand-in."""
    splits = data.load("birds", variant=variant)
    return splits, {"train": splits.train, "val": splits.val, "test": splits.test._open()}


@pytest.mark.usefixtures("real_or_drawn")
@pytest.mark.parametrize("variant", ["core", "genera", "three-genera", "broad", "orders"])
def test_the_tree_of_the_real_table_is_the_one_that_is_written_down(variant):
    splits, parts = real_or_stand_in(variant)
    assert splits.taxonomy == birds.taxonomy(variant)
    assert splits.classes == tuple(path[-1] for path in birds.taxonomy(variant).paths)
    whole = birds.unsplit(parts)
    assert len(whole) == sum(map(len, parts.values()))
    assert len(set(whole.ids)) == len(whole)
    if splits.source == "local":
        assert {"core": 207, "genera": 226, "three-genera": 122, "broad": 808, "orders": 808}[variant] == len(whole)


@pytest.mark.usefixtures("real_or_drawn")
@pytest.mark.parametrize("by", ["recording", "recordist"])
def test_folds_test_every_recording_once(by):
    whole = birds.unsplit(real_or_stand_in("core")[1])
    dealt = birds.folds(whole, by=by, seed=1)
    assert len(dealt) == 5
    assert np.sort(np.concatenate([tested for _, tested in dealt])).tolist() == list(range(len(whole)))
    groups = whole.groups if by == "recording" else whole.extra["recordist"]
    for rest, tested in dealt:
        assert len(rest) + len(tested) == len(whole)
        assert not set(groups[rest]) & set(groups[tested])
        if by == "recording":
            assert set(whole.targets[rest]) == set(whole.targets[tested]) == set(range(10))
    if by == "recording":  # a few recordists can be dealt evenly in one way only
        assert not np.array_equal(dealt[0][1], birds.folds(whole, by=by, seed=2)[0][1])


@pytest.mark.usefixtures("real_or_drawn")
def test_a_split_by_recordist_shares_none():
    whole = birds.unsplit(real_or_stand_in("core")[1])
    parts = birds.by_recordist(whole)
    assert sum(map(len, parts)) == len(whole)
    assert abs(len(parts[0]) / len(whole) - 0.6) < 0.1
    people = [set(whole.extra["recordist"][part]) for part in parts]
    assert not any(a & b for a, b in itertools.combinations(people, 2))
    assert set(whole.targets[parts[0]]) == set(range(10))
    with pytest.raises(ValueError, match="by is 'country'; use 'recording' or 'recordist'"):
        birds.folds(whole, by="country")


# ---------------------------------------------------------------- synthesised songs


def test_songs_are_the_same_every_time_and_differ_where_they_should():
    tree = birds.taxonomy("core")
    first, again = (songs.synthesise(tree, birds.CLASSES, seed=3)["train"] for _ in range(2))
    assert torch.equal(first.waveform(7), again.waveform(7))
    assert not torch.equal(first.waveform(0), first.waveform(1))
    other = songs.synthesise(tree, birds.CLASSES, seed=4)["train"]
    assert not torch.equal(first.waveform(7), other.waveform(7))


def peak_of(dataset, leaf):
    """Median over the clips of a leaf of the frequency where most changes from frame to frame."""
    found = []
    for i in np.flatnonzero(dataset.targets == leaf)[:6]:
        power = audio.power_spectrogram(dataset.waveform(int(i)), n_fft=1024, hop_length=256)
        # A hum is there all the time; a song comes and goes.
        found.append(int((power.quantile(0.97, dim=1) - power.median(dim=1).values).argmax()) * RATE / 1024)
    return float(np.median(found))


def test_the_family_sets_the_band():
    tree = birds.taxonomy("core")
    heard = songs.synthesise(tree, birds.CLASSES)["train"]
    bands = np.geomspace(songs.LOWEST, songs.HIGHEST, 7)
    # A stack of tones has its outer tones a quarter outside, so it may stand next to its band.
    for leaf, voice in enumerate(songs.voices(tree)):
        family = tree.coarsen(leaf, 0)
        low, high = (0.7, 1.3) if voice.syllable == "stack" else (0.95, 1.05)
        assert bands[family] * low < peak_of(heard, leaf) < bands[family + 1] * high, tree.paths[leaf]


def test_relatives_share_what_their_level_sets():
    for variant in ("core", "broad"):
        tree = birds.taxonomy(variant)
        made = songs.voices(tree)
        for a, b in itertools.combinations(range(len(made)), 2):
            height = int(tree.lca_height(a, b))
            assert (made[a].middle == made[b].middle) == (height < tree.levels)
            if height == 1:
                assert made[a].rhythm != made[b].rhythm
            if height == 1 and tree.levels == 3:
                assert (made[a].syllable, made[a].seconds) == (made[b].syllable, made[b].seconds)
    # A genus next to another of its family sings another syllable.
    core = songs.voices(birds.taxonomy("core"))
    assert core[2].syllable != core[3].syllable
    assert len({core[number].syllable for number in (5, 6, 7)}) == 3


def test_every_syllable_can_be_sung():
    for kind in songs.SYLLABLES:
        song = songs.Song(songs.Voice(3000.0, 1.3, kind, 0.1, (0.5, 1.0)), 0, 0, 0, 0)
        waveform = song()
        assert (waveform.dtype, waveform.shape) == (np.float32, (66_150,))
        assert np.isfinite(waveform).all()
        assert songs.Song(**vars(song))().tobytes() == waveform.tobytes()


def test_a_recordist_is_heard_in_all_of_his_recordings():
    def background(recordist, clip):
        rng = np.random.default_rng(clip)
        noise = songs._background(0, recordist, rng, 66_150)
        return audio.decibels(audio.mel_spectrogram(torch.from_numpy(noise), rate=RATE)).mean(dim=1)

    same = (background(1, 0) - background(1, 1)).abs().mean()
    assert same < 0.3 * (background(1, 0) - background(2, 0)).abs().mean()


def test_recordists_record_several_species_and_a_species_has_several():
    whole = birds.unsplit(songs.synthesise(birds.taxonomy("core"), birds.CLASSES))
    pairs = {(int(leaf), person) for leaf, person in zip(whole.targets, whole.extra["recordist"], strict=True)}
    people = {person for _, person in pairs}
    assert len(people) >= 5
    assert len(pairs) > len(people)
    assert max(sum(1 for leaf, _ in pairs if leaf == one) for one in range(10)) >= 2


def test_songs_refuse():
    with pytest.raises(ValueError, match="give at least one of each"):
        songs.synthesise(TREE, ("a", "b", "c"), recordings=(1, 0, 1))


def test_the_table_of_the_real_set_has_no_other_columns_than_are_written_by_the_fetcher(tmp_path):
    from clslab.data import xeno_canto

    path = tmp_path / "clips" / "a.ogg"
    path.parent.mkdir()
    soundfile.write(path, tone(700), RATE)
    row = dict.fromkeys(xeno_canto.COLUMNS, "") | {
        "file": "clips/a.ogg",
        "species": "Parus major",
        "activity_db": "3.0",
    }
    with (tmp_path / "metadata.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, xeno_canto.COLUMNS)
        writer.writeheader()
        writer.writerow(row)
    from clslab.data.sound_table import read_table

    (found,) = read_table(Path(tmp_path))
    assert (found.listened, found.genus, found.recording) == (True, "Parus", "clips/a.ogg")
