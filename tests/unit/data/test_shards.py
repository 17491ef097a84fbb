"""Shards give every picture once, in an order that seed and epoch decide, and name what is broken."""

import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from clslab import cli, train
from clslab.data import shards
from clslab.data.images import BadImageError
from clslab.recipe import Recipe

CLASSES = ("ant", "bee", "cow")
COUNT = 23


def paint(folder, count=COUNT, size=8):
    """Pictures whose one colour is their number; PNG, so that it survives."""
    for number in range(count):
        path = folder / CLASSES[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((size, size, 3), number, dtype=np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    place = tmp_path_factory.mktemp("shards")
    shards.write(paint(place / "pictures"), place / "packed", per_shard=5, say=str)
    return place / "packed"


def numbers(loader):
    """The pictures' numbers per batch; the classes are checked."""
    found = []
    for inputs, targets in loader:
        of_batch = (inputs[:, 0, 0, 0] * 255).round().long()
        assert torch.equal(of_batch % 3, targets)
        found.append(of_batch.tolist())
    return found


def flat(batches):
    return [one for batch in batches for one in batch]


def test_the_index_says_what_is_there(packed):
    index = shards.verify(packed)
    assert index.classes == CLASSES
    assert [shard.count for shard in index.splits["all"]] == [5, 5, 5, 5, 3]
    assert index.per_class == {"all": (8, 8, 7)}
    assert index.describe() == "all: 23 pictures in 5 shards; 3 classes"
    with tarfile.open(packed / "all-000000.tar") as tar:
        assert tar.getnames()[:2] == ["000000000.cls", "000000000.png"]
        assert {member.mtime for member in tar} == {0}


def test_the_same_pictures_give_the_same_files(tmp_path, packed):
    again = shards.write(paint(tmp_path / "pictures"), tmp_path / "packed", per_shard=5, say=str)
    assert again.splits == shards.Index.read(packed).splits
    other = shards.write(tmp_path / "pictures", tmp_path / "other", per_shard=5, seed=1, say=str)
    assert other.splits != again.splits


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("buffer", [0, 4, 100])
def test_every_picture_comes_once(packed, workers, buffer):
    loader = shards.open(packed, batch_size=4, shuffle_buffer=buffer, workers=workers)
    batches = numbers(loader)
    assert sorted(flat(batches)) == list(range(COUNT))
    assert len(batches) == len(loader) == 6
    assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4, 3]


def test_the_order_belongs_to_seed_and_epoch(packed):
    def epochs(seed, count=2):
        loader = shards.open(packed, batch_size=4, shuffle_buffer=6, seed=seed)
        return [numbers(loader) for _ in range(count)]

    first, second = epochs(0)
    assert first != second
    assert [first, second] == epochs(0)
    assert epochs(1)[0] != first
    loader = shards.open(packed, batch_size=4, shuffle_buffer=6)
    loader.set_epoch(1)
    assert numbers(loader) == second
    assert numbers(loader) == second
    plain = shards.open(packed, batch_size=4)
    assert numbers(plain) == numbers(plain)


def test_a_buffer_mixes_and_the_shards_are_mixed_too(packed):
    stored = flat(numbers(shards.open(packed, batch_size=4)))
    shards_only = flat(numbers(shards.open(packed, batch_size=4, shuffle_buffer=1)))
    assert shards_only != stored
    begins = [stored.index(shards_only[0]), stored.index(shards_only[-1])]
    assert begins[0] % 5 == 0  # whole shards, each in the order in which it was written


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_processes_share_the_pictures(packed, world_size, workers):
    def parts(buffer):
        return [
            numbers(
                shards.open(
                    packed, batch_size=4, shuffle_buffer=buffer, rank=rank, world_size=world_size, workers=workers
                )
            )
            for rank in range(world_size)
        ]

    assert sorted(flat(flat(parts(0)))) == list(range(COUNT))
    training = parts(6)
    assert len({len(flat(batches)) for batches in training}) == 1  # equally many, so equally many steps
    seen = flat(flat(training))
    assert len(seen) == len(set(seen)) == COUNT - COUNT % world_size


def test_the_last_batch_can_be_left_out(packed):
    loader = shards.open(packed, batch_size=4, drop_last=True)
    assert [len(batch) for batch in numbers(loader)] == [4] * 5 == [4] * len(loader)
    with pytest.raises(ValueError, match="23 pictures for 1 processes give no batch of 24"):
        shards.open(packed, batch_size=24, drop_last=True)


def test_fit_takes_it(packed):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))
    loader = shards.open(packed, batch_size=4, shuffle_buffer=8)
    history = train.fit(model, loader, shards.open(packed, batch_size=8), Recipe(epochs=2, batch_size=4))
    assert len(history) == 2
    evaluation = train.evaluate(model, shards.open(packed, batch_size=7))
    assert evaluation.count == COUNT


def test_splits_share_their_classes(tmp_path):
    for split, count in (("train", 9), ("val", 6)):
        paint(tmp_path / "pictures" / split, count)
    index = shards.write(tmp_path / "pictures", tmp_path / "packed", say=str)
    assert {name: index.count(name) for name in index.splits} == {"train": 9, "val": 6}
    assert sorted(flat(numbers(shards.open(tmp_path / "packed", "val", batch_size=4)))) == list(range(6))
    with pytest.raises(ValueError, match="split = None is none of these shards; choose one of train, val"):
        shards.open(tmp_path / "packed", batch_size=4)


def test_a_broken_picture_is_named_when_written_and_when_read(tmp_path):
    paint(tmp_path / "pictures", 9)
    broken = tmp_path / "pictures" / "bee" / "4.png"
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(BadImageError, match=r"4\.png cannot be read"):
        shards.write(tmp_path / "pictures", tmp_path / "refused", say=str)
    assert not (tmp_path / "refused" / "index.json").exists()
    shards.write(tmp_path / "pictures", tmp_path / "packed", per_shard=3, check=False, say=str)
    with pytest.raises(BadImageError, match=r"00000000\d in all-00000\d\.tar cannot be read as a picture"):
        numbers(shards.open(tmp_path / "packed", batch_size=2))


def copy_of(packed, tmp_path):
    place = tmp_path / "copy"
    place.mkdir()
    for file in packed.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    return place


def test_a_shard_that_was_cut_off_is_named(packed, tmp_path):
    place = copy_of(packed, tmp_path)
    shard = place / "all-000002.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 3 + 100])
    with pytest.raises(shards.ShardError, match=r"all-000002\.tar"):
        numbers(shards.open(place, batch_size=4))
    with pytest.raises(shards.ShardError, match=r"all-000002\.tar is not the file that was written"):
        shards.verify(place)
    with pytest.raises(shards.ShardError, match=r"all-000002\.tar"):
        numbers(shards.open(place, batch_size=4, workers=1))
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=r"all-000002\.tar is missing"):
        numbers(shards.open(place, batch_size=4))


def test_a_shard_with_too_few_members_is_named(packed, tmp_path):
    place = copy_of(packed, tmp_path)
    with tarfile.open(place / "all-000001.tar") as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar][:6]
    with tarfile.open(place / "all-000001.tar", "w") as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    with pytest.raises(shards.ShardError, match=r"all-000001\.tar ends after 3 of 5 pictures"):
        numbers(shards.open(place, batch_size=4))


def test_what_is_no_picture_with_a_class_is_named(packed, tmp_path):
    place = copy_of(packed, tmp_path)
    with tarfile.open(place / "all-000000.tar") as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(place / "all-000000.tar", "w") as tar:
        for member, content in members:
            if member.name != "000000001.cls":
                tar.addfile(member, io.BytesIO(content))
    with pytest.raises(shards.ShardError, match=r"000000001 in all-000000\.tar is not one picture with its class"):
        numbers(shards.open(place, batch_size=4))


def test_wrong_arguments_are_refused(packed, tmp_path):
    with pytest.raises(FileNotFoundError, match="make shards with"):
        shards.open(tmp_path, batch_size=4)
    for wrong in ({"batch_size": 0}, {"workers": -1}, {"shuffle_buffer": -1}, {"rank": 1}, {"rank": -1}):
        with pytest.raises(ValueError, match="give at least 1, 0, 0, and a rank"):
            shards.open(packed, **{"batch_size": 4} | wrong)
    pictures = paint(tmp_path / "pictures", 6)
    with pytest.raises(ValueError, match="per_shard = 0"):
        shards.write(pictures, tmp_path / "packed", per_shard=0)
    with pytest.raises(ValueError, match="holds shards already"):
        shards.write(pictures, packed)
    with pytest.raises(ValueError, match="choose a folder outside"):
        shards.write(pictures, pictures / "packed")


@pytest.mark.parametrize("text", ["[]", "{}", "no json", json.dumps({"schema": 99})])
def test_a_wrong_index_is_refused(tmp_path, text):
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(shards.ShardError, match="is no index of shards"):
        shards.Index.read(tmp_path)


def test_the_command(tmp_path, capsys):
    paint(tmp_path / "pictures", 9)
    command = ["data", "shard", str(tmp_path / "pictures"), str(tmp_path / "packed"), "--per-shard", "4"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out == "all: 9 pictures in 3 shards; 3 classes\n"
    assert cli.main(command) == 2
    assert "holds shards already" in capsys.readouterr().err
