"""The reader of CIFAR-100 on a small copy of its layout, and on the real set where the developer has it."""

import os
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clslab import data
from clslab.data import cifar100, splits, standins
from clslab.data.images import ImageDataset
from clslab.seeds import seed_everything

EACH = {"train": 20, "test": 4}
COARSE = [list(cifar100.SUPERCLASSES).index(cifar100._COARSE_OF[name]) for name in cifar100.CLASSES]


def write(path: Path, table: dict) -> None:
    # Protocol 2, that of the authors' files.
    path.write_bytes(pickle.dumps(table, protocol=2))


def half(name: str, *, shuffle: int | None = None) -> dict:
    """The table of one half: pictures of noise."""
    rng = np.random.default_rng(len(name))
    fine = np.repeat(np.arange(100), EACH[name])
    pixels = rng.integers(0, 256, (len(fine), 3072), dtype=np.uint8)
    if shuffle is not None:
        order = np.random.default_rng(shuffle).permutation(len(fine))
        fine, pixels = fine[order], pixels[order]
    return {"data": pixels, "fine_labels": fine.tolist(), "coarse_labels": [COARSE[label] for label in fine]}


def lay_out(root: Path, *, shuffle: int | None = 7) -> Path:
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for name in EACH:
        write(folder / name, half(name, shuffle=shuffle))
    names = {"fine_label_names": list(cifar100.CLASSES), "coarse_label_names": list(cifar100.SUPERCLASSES)}
    write(folder / "meta", names)
    return root


@pytest.fixture(scope="module")
def kept_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("sets"))


@pytest.fixture
def own_root(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "sets")


def pictures(part: ImageDataset) -> dict[bytes, int]:
    return {source.tobytes(): int(target) for source, target in zip(part.sources, part.targets, strict=True)}


# ---------------------------------------------------------------- the layout


def test_the_layout_is_read(kept_root: Path) -> None:
    found = data.load("cifar100", root=kept_root)
    assert (found.source, found.classes) == ("local", cifar100.CLASSES)
    assert found.groups == {"train": None, "val": None, "test": None}
    test = found.test._open()
    for part, each in ((found.train, 18), (found.val, 2), (test, 4)):
        assert np.bincount(part.targets).tolist() == [each] * 100
        assert part.image(0).size == (32, 32)
    table = half("test")
    rows = {row.reshape(3, 32, 32).transpose(1, 2, 0).tobytes(): fine for row, fine in zip(
        table["data"], table["fine_labels"], strict=True)}  # fmt: skip
    assert pictures(test) == rows
    assert len(pictures(found.train) | pictures(found.val)) == 2000


def test_the_order_of_the_files_makes_no_difference(kept_root: Path, tmp_path: Path) -> None:
    one, other = data.load("cifar100", root=kept_root), data.load("cifar100", root=lay_out(tmp_path, shuffle=None))
    assert one.fingerprint == other.fingerprint
    for a, b in ((one.train, other.train), (one.val, other.val), (one.test._open(), other.test._open())):
        assert a.ids == b.ids
        assert np.array_equal(a.targets, b.targets)
        assert all(np.array_equal(x, y) for x, y in zip(a.sources, b.sources, strict=True))


def test_other_pictures_or_labels_give_another_fingerprint(kept_root: Path, tmp_path: Path) -> None:
    table = half("test")
    table["data"][5] = 0
    root = lay_out(tmp_path)
    write(root / "cifar-100-python" / "test", table)
    assert data.load("cifar100", root=root).fingerprint != data.load("cifar100", root=kept_root).fingerprint


def test_the_seed_chooses_the_validation_pictures(kept_root: Path) -> None:
    first, again, other = (data.load("cifar100", root=kept_root, seed=seed) for seed in (0, 0, 1))
    assert first.val.ids == again.val.ids
    assert first.val.ids != other.val.ids
    assert first.test._open().ids == other.test._open().ids
    assert set(first.train.ids).isdisjoint(first.val.ids)
    # not the first of each class in the sorted order, which would give "train" other pictures than "val"
    places = np.array([int(name[-5:]) for name in first.val.ids])
    assert 0.4 < places.mean() / 2000 < 0.6


def test_a_long_tail_thins_out_training_alone(kept_root: Path) -> None:
    whole, tail = (data.load("cifar100", root=kept_root, variant=variant) for variant in (None, "long-tail-10"))
    assert np.bincount(tail.train.targets).tolist() == splits.long_tail_counts(18, 100, 0.1)
    assert set(tail.train.ids) < set(whole.train.ids)
    assert tail.val.ids == whole.val.ids
    assert tail.test._open().ids == whole.test._open().ids
    assert tail.fingerprint != whole.fingerprint
    with pytest.raises(ValueError, match="leave the last class empty"):
        data.load("cifar100", root=kept_root, variant="long-tail-100")


def test_twenty_classes_above_a_hundred(kept_root: Path) -> None:
    for variant in (None, "long-tail-10"):
        tree = data.load("cifar100", root=kept_root, variant=variant).taxonomy
        assert (tree.levels, tree.num_classes(0), tree.num_classes(1)) == (2, 20, 100)
    number = cifar100.CLASSES.index
    heights = tree.lca_height(number("maple_tree"), [number(name) for name in ("maple_tree", "oak_tree", "whale")])
    assert heights.tolist() == [0, 1, 2]
    assert set(Counter(tree.coarsen(range(100), 0)).values()) == {5}


def test_smoke_takes_some_of_every_class(kept_root: Path) -> None:
    small = data.load("cifar100", root=kept_root, profile="smoke")
    assert (len(small.train), len(small.val), len(small.test)) == (1000, 200, 200)
    assert np.bincount(small.train.targets).tolist() == [10] * 100


# ---------------------------------------------------------------- files that are no CIFAR-100


class Command:
    """What a stranger's pickle might hold."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (os.mkdir, (str(self.mark),))


@pytest.mark.parametrize("file", ["train", "test", "meta"])
def test_a_pickle_that_would_run_something_is_not_read(own_root: Path, file: str, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    write(own_root / "cifar-100-python" / file, {"data": Command(mark)})
    with pytest.raises(
        ValueError, match=rf"{file} is no file of CIFAR-100 \(it asks for \w+\.mkdir\).*data get cifar100"
    ):
        data.load("cifar100", root=own_root)
    assert not mark.exists()


def test_files_that_are_broken(own_root: Path) -> None:
    path = own_root / "cifar-100-python" / "train"
    for bad in (path.read_bytes()[:100_000], b"", b"<html>not found</html>"):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="train is no file of CIFAR-100"):
            data.load("cifar100", root=own_root)
    write(path, [1, 2])
    with pytest.raises(ValueError, match="train holds a list, not a table"):
        data.load("cifar100", root=own_root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.pop("coarse_labels"), "train lacks coarse_labels"),
        (lambda table: table.update(data=table["data"][:, :1024]), "one row of 3072 bytes for each of its 2000 labels"),
        (lambda table: table.update(data=table["data"].tolist()), "one row of 3072 bytes"),
        (lambda table: table.update(fine_labels=[100, *table["fine_labels"][1:]]), "not numbers from 0 to 99"),
        (lambda table: table.update(fine_labels=["apple"]), "not numbers from 0 to 99"),
        (lambda table: table.update(fine_labels=[]), "not numbers from 0 to 99"),
        (lambda table: table.update(coarse_labels=[0] * 2000), "coarse labels are not those of its fine ones"),
    ],
)
def test_tables_of_something_else(own_root: Path, change, message: str) -> None:
    table = half("train")
    change(table)
    write(own_root / "cifar-100-python" / "train", table)
    with pytest.raises(ValueError, match=f"{message}.*fetch the set again"):
        data.load("cifar100", root=own_root)


def test_names_in_another_order(own_root: Path) -> None:
    names = {"fine_label_names": list(cifar100.CLASSES)[::-1], "coarse_label_names": list(cifar100.SUPERCLASSES)}
    write(own_root / "cifar-100-python" / "meta", names)
    with pytest.raises(ValueError, match="fine_label_names are not the names of CIFAR-100"):
        data.load("cifar100", root=own_root)


# ---------------------------------------------------------------- duplicates


def test_duplicates_are_found_where_they_were_put(own_root: Path) -> None:
    train, test = half("train"), half("test")
    train["data"][1] = train["data"][0]  # two of class 0
    train["data"][40] = train["data"][20]  # classes 2 and 1
    test["data"][9] = test["data"][8]
    test["data"][30] = train["data"][60]  # class 7 in test, class 3 in train
    write(own_root / "cifar-100-python" / "train", train)
    write(own_root / "cifar-100-python" / "test", test)
    found = cifar100.duplicates(own_root)
    assert (len(found.train), len(found.test), len(found.across)) == (2, 1, 1)
    classes = {tuple(item.split()[1] for item in group) for group in (*found.train, *found.test, *found.across)}
    names = cifar100.CLASSES
    assert classes == {(names[0],) * 2, (names[1], names[2]), (names[2],) * 2, (names[3], names[7])}
    assert {tuple(item.split()[0][:5] for item in group) for group in found.across} == {("train", "test/")}
    assert len(found.contradictory) == 2
    assert found.describe().startswith("groups of equal pictures: 2 in train, 1 in test, 1 in both, 2 with")
    ids = set(data.load("cifar100", root=own_root).train.ids) | set(data.load("cifar100", root=own_root).val.ids)
    assert {item.split()[0] for group in found.train for item in group} <= ids


def test_no_duplicates_and_no_set(kept_root: Path, tmp_path: Path) -> None:
    assert cifar100.duplicates(kept_root) == cifar100.Duplicates((), (), ())
    with pytest.raises(FileNotFoundError, match=r"no cifar100 in .*data get cifar100"):
        cifar100.duplicates(tmp_path)


def test_the_real_set_or_its_stand_in(real_or_drawn: None) -> None:
    found = data.load("cifar100")
    real = found.source == "local"
    sizes = (450, 50, 100) if real else (100, 10, 10)
    for part, each in zip((found.train, found.val, found.test._open()), sizes, strict=True):
        assert np.bincount(part.targets, minlength=100).tolist() == [each] * 100
        assert part.image(0).size == (32, 32)
    if real:
        copies = cifar100.duplicates()
        assert (len(copies.train), len(copies.test), len(copies.across)) == (14, 2, 10)
        images, _ = found.train.tensors()
        mean = images.double().mean(dim=(0, 2, 3)) / 255
        assert mean.tolist() == pytest.approx([0.507, 0.487, 0.441], abs=0.002)  # as published for the 50,000
        # No picture is on both sides of the validation split.
        side = dict.fromkeys(found.train.ids, "train") | dict.fromkeys(found.val.ids, "val")
        assert all(len({side[item.split()[0]] for item in group}) == 1 for group in copies.train)


# ---------------------------------------------------------------- the stand-in


@pytest.fixture(scope="module")
def drawn() -> dict[str, ImageDataset]:
    return cifar100.stand_in(seed=0)


def test_the_stand_in_has_every_class_and_its_own_pictures(drawn: dict) -> None:
    assert {split: np.bincount(part.targets).tolist() for split, part in drawn.items()} == {
        "train": [100] * 100,
        "val": [10] * 100,
        "test": [10] * 100,
    }
    every = [source.tobytes() for part in drawn.values() for source in part.sources]
    assert len(set(every)) == len(every)
    ids = [name for part in drawn.values() for name in part.ids]
    assert len(set(ids)) == len(ids)


def test_the_seed_draws_the_stand_in(drawn: dict) -> None:
    again, other = cifar100.stand_in(seed=0), cifar100.stand_in(seed=1)
    assert np.array_equal(np.stack(drawn["val"].sources), np.stack(again["val"].sources))
    assert not np.array_equal(np.stack(drawn["val"].sources), np.stack(other["val"].sources))


@pytest.mark.parametrize(("variant", "smallest"), [("long-tail-100", 1), ("long-tail-10", 10)])
def test_the_stand_in_has_long_tails(variant: str, smallest: int) -> None:
    counts = np.bincount(data.load("cifar100", variant=variant).train.targets)
    assert (counts[0], counts[-1]) == (100, smallest)
    assert (np.diff(counts) <= 0).all()


def colours(part: ImageDataset) -> np.ndarray:
    images, _ = part.tensors()
    middle = images[:, :, 8:24, 8:24].float().flatten(2)
    return torch.cat([middle.mean(2), middle.std(2)], dim=1).numpy()


def test_colours_alone_do_not_tell_the_stand_ins_classes(drawn: dict) -> None:
    seed_everything(0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    model.fit(colours(drawn["train"])[:4000], drawn["train"].targets[:4000])
    accuracy = model.score(colours(drawn["val"]), drawn["val"].targets)
    assert 0.015 < accuracy < 0.2  # chance is 0.01


def test_the_fine_class_leaves_the_background_alone() -> None:
    """With the same random numbers."""
    coarse, fine = np.repeat([0, 10], 5), np.tile(np.arange(5), 2)
    drawn = [standins._small_pictures(np.random.default_rng(0), coarse, order) for order in (fine, fine[::-1])]
    assert not np.array_equal(*drawn)
    corners = [pixels[:, :3, :3].astype(int) for pixels in drawn]
    assert np.abs(corners[0] - corners[1]).max() <= 1
