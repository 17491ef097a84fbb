import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clslab import data
from clslab.data import catalog
from clslab.recipe import Recipe
from clslab.task import Shelf

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", data.READERS)
def test_every_set_loads_without_anything(name: str, no_packages: None, capsys: Captured) -> None:
    splits = data.load(name, profile="smoke")
    assert splits.source == "stand-in"
    assert splits.banner is not None
    assert name in splits.banner
    assert splits.card is catalog.card(name)
    # A sheet does not list a hundred classes.
    assert splits.classes == (splits.card.classes or importlib.import_module(f"clslab.data.{name}").CLASSES)
    said = capsys.readouterr().out.splitlines()
    assert said == [splits.describe(), splits.banner]
    assert "STAND-IN" in splits.banner
    item, target = splits.train[0]
    if splits.card.kind == "sounds":
        assert item.shape == (66_150,)
        assert target[-1] < len(splits.classes)
    else:
        assert item.mode == "RGB"
        assert 0 <= target < len(splits.classes)


@pytest.mark.parametrize("name", data.READERS)
def test_smoke_is_small_and_keeps_the_proportions(name: str, no_packages: None) -> None:
    full, small = data.load(name, profile="cpu"), data.load(name, profile="smoke")
    train, held_out = {"cifar100": (1000, 200), "birds": (60, 20)}.get(name, (96, 48))
    assert (len(small.train), len(small.val)) == (train, held_out)
    assert small.test is None or len(small.test) == held_out
    assert small.train.targets.mean() == pytest.approx(full.train.targets.mean(), abs=0.02)
    assert set(small.train.ids) < set(full.train.ids)
    assert small.fingerprint != full.fingerprint


@pytest.mark.parametrize("name", ["debris", "solar"])
def test_smoke_takes_few_groups_rather_than_a_bit_of_each(name: str, no_packages: None) -> None:
    small, full = data.load(name, profile="smoke").train, data.load(name, profile="cpu").train
    sizes = {group: (full.groups == group).sum() for group in set(small.groups)}
    whole = sum(size for group, size in sizes.items() if (small.groups == group).sum() == size)
    assert whole >= (0.5 if name == "debris" else 0.0) * len(small)
    assert len(sizes) <= (20 if name == "debris" else 6)


def test_the_profile_of_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLSLAB_PROFILE", "smoke")
    assert len(data.load("debris").train) == 96


def test_a_set_smaller_than_smoke_is_taken_whole(catsdogs_root: Path) -> None:
    assert len(data.load("catsdogs", root=catsdogs_root, profile="smoke").train) == 12


def test_the_environment_names_the_folder(debris_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("CLSLAB_DATA", str(debris_root))
    splits = data.load("debris")
    assert (splits.source, splits.banner) == ("local", None)
    said = capsys.readouterr().out
    assert said.splitlines() == [splits.describe()]
    assert str(debris_root) not in said, "a stored output must not name a folder of this machine"


def test_the_cache_folder_is_looked_at_without_the_environment(
    debris_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLSLAB_DATA")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(debris_root))
    assert data.load("debris").source == "local"


def test_a_package_comes_before_the_stand_in_and_its_notice_is_said(
    solar_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr("clslab.data.packaged", lambda entry: solar_root / "solar")
    splits = data.load("solar")
    assert splits.source == "package"
    said = capsys.readouterr().out.splitlines()
    assert said == [splits.describe(), splits.card.notice]
    assert "CC BY-NC-SA 4.0" in said[1]
    assert "credit" in said[1]


def test_packaged_finds_a_module_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "elpv_dataset"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "elpv_dataset", raising=False)
    assert data.packaged(catalog.card("solar")) == package / "data"
    assert data.packaged(catalog.card("debris")) is None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert data.packaged(catalog.card("solar")) is None


def test_a_worker_that_lives_on_reads_what_was_laid_out_meanwhile(
    debris_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, recipe, later = Shelf(), Recipe(data="debris"), tmp_path / "later"
    monkeypatch.setenv("CLSLAB_DATA", str(later))
    monkeypatch.setenv("CLSLAB_PROFILE", "smoke")
    drawn = shelf.splits(recipe)
    assert drawn.source == "stand-in"
    assert shelf.splits(recipe) is drawn
    shutil.copytree(debris_root, later)
    assert shelf.splits(recipe).source == "local"
    monkeypatch.setenv("CLSLAB_DATA", str(tmp_path / "nothing"))
    assert shelf.splits(recipe).source == "stand-in"
    monkeypatch.setenv("CLSLAB_PROFILE", "cpu")
    assert len(shelf.splits(recipe).train) > len(drawn.train)


def test_a_download_only_when_asked_for(debris_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Path]] = []

    def fetch_set(name: str, root: Path) -> Path:
        asked.append((name, root))
        return debris_root / "debris"

    monkeypatch.setattr("clslab.data.download.fetch_set", fetch_set)
    assert data.load("debris", profile="smoke").source == "stand-in"
    assert asked == []
    assert data.load("debris", download=True).source == "download"
    assert data.load("debris", root=debris_root, download=True).source == "local"
    assert asked == [("debris", tmp_path / "no sets here")]


# ---------------------------------------------------------------- errors


def test_an_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"no data set is called 'imagenet'.*debris"):
        data.load("imagenet")
    with pytest.raises(ValueError, match=r"'gulls' is no set with a reader; use debris, .*, birds"):
        data.taxonomy("gulls")


@pytest.mark.parametrize(("name", "known"), [("debris", "None"), ("solar", "None, 'certain', 'random-split'")])
def test_an_unknown_variant(name: str, known: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has no variant 'blue'; use one of {known}"):
        data.load(name, variant="blue")


def test_an_unknown_profile() -> None:
    with pytest.raises(ValueError, match="profile is 'tpu'; use 'smoke', 'cpu' or 'gpu'"):
        data.load("debris", profile="tpu")


def test_a_root_without_the_set_is_an_error_and_no_stand_in(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no .*debris; fetch it with .*data get debris"):
        data.load("debris", root=tmp_path)


def test_a_root_without_recordings_names_the_table_of_an_own_folder(tmp_path: Path) -> None:
    words = rf"there is no .*birds, and no metadata\.csv in {tmp_path} for recordings of your own; fetch it"
    with pytest.raises(FileNotFoundError, match=words):
        data.load("birds", root=tmp_path)


def test_a_set_without_an_archive_says_how_it_is_fetched() -> None:
    with pytest.raises(ValueError, match=r"birds has no archive; .*data get birds --species"):
        data.load("birds", download=True)


def test_half_a_set_is_an_error_and_no_stand_in(tmp_path: Path, paint: Callable[..., Path]) -> None:
    paint(tmp_path / "catsdogs" / "train" / "cat" / "a.jpg")
    with pytest.raises(ValueError, match=r"is not a complete catsdogs: there is no val\. Finish it"):
        data.load("catsdogs", root=tmp_path)


# ---------------------------------------------------------------- the sealed test


def test_a_sealed_test_can_be_counted_but_not_looked_at(debris_root: Path) -> None:
    test = data.load("debris", root=debris_root).test
    assert test is not None
    assert (len(test), repr(test)) == (39, "SealedTest(39 items)")
    for look in (
        lambda: test[0],
        lambda: next(iter(test)),
        lambda: list(test),
        lambda: test.targets,
        lambda: test.image(0),
        lambda: test.subset([0]),
        lambda: test.with_transform(None),
    ):
        with pytest.raises(data.SealedError, match=r"opened once per run by clslab\.runs\.test_once"):
            look()
    assert len(test._open()) == 39
    assert not hasattr(test, "colour")
    assert issubclass(data.SealedError, ValueError)


# ---------------------------------------------------------------- fingerprint, groups


def test_the_fingerprint_is_the_sum_of_sorted_lines(debris_root: Path) -> None:
    import hashlib

    parts = {"val": data.load("debris", root=debris_root).val.subset([1, 0])}
    lines = sorted(f"{parts['val'].ids[i]}\t{parts['val'].targets[i]}\tval" for i in range(2))
    assert data.fingerprint(parts) == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_the_fingerprint_sees_labels_and_splits_but_not_order(debris_root: Path) -> None:
    parts = debris_parts(debris_root)
    same = {"val": parts["val"], "train": parts["train"].subset(np.arange(len(parts["train"]))[::-1])}
    assert data.fingerprint(parts) == data.fingerprint(same)
    swapped = {"train": parts["val"], "val": parts["train"]}
    assert data.fingerprint(parts) != data.fingerprint(swapped)
    relabelled = parts["train"].subset(range(len(parts["train"])))
    relabelled.targets[0] = 1 - relabelled.targets[0]
    assert data.fingerprint(parts) != data.fingerprint(parts | {"train": relabelled})


def debris_parts(root: Path) -> dict:
    splits = data.load("debris", root=root)
    return {"train": splits.train, "val": splits.val}


def test_groups_are_given_per_split(debris_root: Path) -> None:
    splits = data.load("debris", root=debris_root)
    assert list(splits.groups) == ["train", "val", "test"]
    assert np.array_equal(splits.groups["val"], splits.val.groups)
    assert len(splits.groups["test"]) == len(splits.test)


def test_one_line_says_everything(solar_root: Path) -> None:
    line = data.load("solar", root=solar_root, variant="certain").describe()
    assert "\n" not in line
    for part in ("solar (certain)", "from this machine", "test (sealed)", "intact, defective"):
        assert part in line


def test_splits_are_frozen(catsdogs_root: Path) -> None:
    splits = data.load("catsdogs", root=catsdogs_root)
    with pytest.raises(AttributeError):
        splits.train = splits.val
