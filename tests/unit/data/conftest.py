"""Small real layouts on disk, drawn on the spot, and a clean environment for every test."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# Read before the environment is cleaned: the folder of real sets that the developer may have.
REAL_DATA = os.environ.get("CLSLAB_DATA")


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLSLAB_DATA", str(tmp_path / "no sets here"))
    monkeypatch.setenv("CLSLAB_PROFILE", "cpu")


@pytest.fixture
def paint() -> Callable[..., Path]:
    """Write one picture of a plain colour with a little noise."""

    def paint(path: Path, colour: int = 100, size: tuple[int, int] = (40, 30)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(colour)
        pixels = rng.integers(colour, colour + 20, (size[1], size[0], 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return paint


@pytest.fixture
def debris_root(tmp_path: Path, paint: Callable[..., Path]) -> Path:
    """A data root with a tiny debris: blocks of twelve numbers, one stray per split."""
    root = tmp_path / "sets"
    lines = ["file,label,material,split"]
    numbers = {"train": range(1, 24), "val": [*range(24, 36), 3], "test": [*range(36, 48), 4]}
    for split, chosen in numbers.items():
        for label, material in (("plastic", "plastic"), ("other", "glass"), ("other", "paper")):
            for number in chosen:
                file = f"{split}/{label}/{material}{number}.jpg"
                paint(root / "debris" / file, colour=number * 4)
                lines.append(f"{file},{label},{material},{split}")
    (root / "debris" / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def solar_root(tmp_path: Path) -> Path:
    """A data root with 600 tiny cells in ten modules, all four probabilities, both kinds."""
    root = tmp_path / "sets"
    folder = root / "solar"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = []
    for number in range(1, 601):
        probability = rng.choice([0.0, 1 / 3, 2 / 3, 1.0], p=[0.55, 0.12, 0.05, 0.28])
        kind = "mono" if number % 120 < 60 else "poly"
        lines.append(f"images/cell{number:04d}.png  {probability!s:<20} {kind}")
        pixels = np.full((8, 8), number % 256, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"cell{number:04d}.png")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def pets_root(tmp_path: Path, paint: Callable[..., Path]) -> Path:
    """A data root with ten pictures of each of four breeds in either list."""
    root = tmp_path / "sets"
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    breeds = (("Abyssinian", 1, 1), ("Siamese", 33, 1), ("beagle", 5, 2), ("great_pyrenees", 16, 2))
    for table, numbers in (("trainval", range(10)), ("test", range(10, 20))):
        lines = []
        for breed, number, species in breeds:
            for i in numbers:
                paint(folder / "images" / f"{breed}_{i}.jpg", colour=number)
                lines.append(f"{breed}_{i} {number} {species} {number}")
        (folder / "annotations" / f"{table}.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def catsdogs_root(tmp_path: Path, paint: Callable[..., Path]) -> Path:
    root = tmp_path / "sets"
    for split, each in (("train", 6), ("val", 3)):
        for kind in ("cat", "dog"):
            for i in range(each):
                paint(root / "catsdogs" / split / kind / f"{kind}.{i}.jpg", colour=i)
    return root


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without the packages that ship data."""
    monkeypatch.setattr("clslab.data.packaged", lambda entry: None)


@pytest.fixture
def real_or_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's real sets if $CLSLAB_DATA names some, else whatever `load` falls back to."""
    if REAL_DATA:
        monkeypatch.setenv("CLSLAB_DATA", REAL_DATA)
