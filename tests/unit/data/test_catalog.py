import csv
import re
import subprocess
import sys
from collections import Counter
from importlib.resources import files

import pytest

from clslab.data.catalog import ENTRIES, card, data_root, found

NAMES = sorted(ENTRIES)
PROSE = ("task", "counts", "made", "people", "provenance", "how_split", "groups", "on_page", "licence", "citation")


def test_the_sets_of_the_course_are_all_there():
    assert NAMES == ["birds", "catsdogs", "cifar100", "debris", "own", "pets", "solar"]


@pytest.mark.parametrize("name", NAMES)
def test_a_sheet_is_filled_in(name):
    entry = card(name)
    assert entry.name == name
    assert entry.warts
    for field in PROSE:
        assert len(getattr(entry, field)) > 3, field
    if entry.by_hand:  # nobody but its owner has it, or could cite it
        assert (entry.homepage, entry.citation_key) == ("", "")
    else:
        assert entry.homepage.startswith("https://")
        assert re.fullmatch(r"[a-z0-9]+", entry.citation_key)


@pytest.mark.parametrize("name", NAMES)
def test_archives_can_be_checked(name):
    for archive in card(name).archives:
        assert all(url.startswith("https://") for url in archive.urls)
        assert len(set(archive.urls)) == len(archive.urls)
        assert archive.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", archive.sha256)
        assert archive.sum_source


def test_every_set_that_can_be_read_can_be_had():
    for entry in ENTRIES.values():
        if entry.available:
            assert entry.archives or entry.in_package or entry.by_query or entry.by_hand, entry.name


def test_the_withdrawal_of_tiny_images_is_told():
    assert "withdrawn" in card("cifar100").provenance


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'cifar'.*Did you mean 'cifar100'.*debris"):
        card("cifar")


def test_data_root_is_given_then_environment_then_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CLSLAB_DATA", str(tmp_path / "env"))
    assert data_root(tmp_path / "given") == tmp_path / "given"
    assert data_root() == tmp_path / "env"
    monkeypatch.delenv("CLSLAB_DATA")
    assert data_root().name == "clslab"


def test_found_wants_every_part_of_a_set(tmp_path):
    assert found("debris", tmp_path) is None
    for part in ("train", "val", "test"):
        (tmp_path / "debris" / part).mkdir(parents=True)
    assert found("debris", tmp_path) is None
    (tmp_path / "debris" / "labels.csv").touch()
    assert found("debris", tmp_path) == str(tmp_path / "debris")


def test_the_catalog_and_the_download_load_no_torch():
    code = "import sys, clslab.cli, clslab.data.download; clslab.cli.parser(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def listed(name):
    text = (files("clslab.data") / f"{name}_split.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_the_list_of_debris_has_the_counts_of_its_sheet():
    rows = listed("debris")
    assert Counter(row["split"] for row in rows) == {"train": 952, "val": 244, "test": 244}
    assert Counter(row["material"] for row in rows) == {
        "plastic": 480, "glass": 240, "metal": 240, "paper": 240, "cardboard": 240,
    }  # fmt: skip
    names = [row["file"].rsplit("/", 1)[1] for row in rows]
    assert len(set(names)) == len(rows)
    for row, name in zip(rows, names, strict=True):
        assert row["file"] == f"{row['split']}/{row['label']}/{name}"
        assert name.startswith(row["material"])
        assert (row["label"] == "plastic") == (row["material"] == "plastic")
    # pixel-identical pictures under two labels
    bad = {"metal91", "glass115", "plastic332", "glass389", "plastic152", "glass176"}
    assert not bad & {name.removesuffix(".jpg") for name in names}


def test_the_list_of_cats_and_dogs_has_the_counts_of_its_sheet():
    rows = listed("catsdogs")
    assert Counter((row["split"], row["label"]) for row in rows) == {
        ("train", "cat"): 750, ("train", "dog"): 750, ("val", "cat"): 200, ("val", "dog"): 200,
    }  # fmt: skip
    assert len({row["file"].rsplit("/", 1)[1] for row in rows}) == len(rows)
    for row in rows:
        assert re.fullmatch(rf"{row['split']}/{row['label']}/{row['label']}\.\d+\.jpg", row["file"])
        assert min(int(row["width"]), int(row["height"])) <= 224
