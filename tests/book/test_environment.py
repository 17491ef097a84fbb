"""`environment.yml` is what conda can read, and asks for the same packages as `pyproject.toml`."""

import tomllib

import pytest
import rattler
import yaml
from books import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LINES = [line for line in ENVIRONMENT["dependencies"] if isinstance(line, str)]
PIP = next(line["pip"] for line in ENVIRONMENT["dependencies"] if isinstance(line, dict))

OTHER_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib", "pysoundfile": "soundfile"}
"""conda-forge's name, and PyPI's."""

CONDA_ONLY = {"python", "pip"}


def wanted() -> dict[str, Requirement]:
    """What the library, its data, TensorBoard, clusters, shards, the book, marking and JupyterLab need, by name."""
    extras = PROJECT["optional-dependencies"]
    lines = list(PROJECT["dependencies"])
    for extra in ("solar", "tensorboard", "cluster", "shards", "book", "grading", "lab"):
        lines += extras[extra]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def conda() -> dict[str, rattler.MatchSpec]:
    """conda's lines by PyPI's name."""
    specs = [rattler.MatchSpec(line) for line in LINES]
    names = [spec.name.normalized for spec in specs]
    return {OTHER_NAMES.get(name, name): spec for name, spec in zip(names, specs, strict=True)}


def pip() -> dict[str, Requirement]:
    """pip's lines by name, without the library itself."""
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in PIP if line != "-e ."}


@pytest.mark.parametrize("line", LINES)
def test_conda_reads_the_line(line):
    spec = rattler.MatchSpec(line)
    assert spec.name.normalized == line.split()[0]


def test_a_line_that_conda_cannot_read_would_be_seen():
    with pytest.raises(Exception, match=r"(?i)version|parse|invalid"):
        rattler.MatchSpec("numpy >=>1.26")


def test_the_same_packages_as_pyproject():
    assert set(conda()) - CONDA_ONLY | set(pip()) == set(wanted())


def test_the_same_ranges_as_pyproject():
    for name, spec in conda().items():
        if name in CONDA_ONLY:
            continue
        assert SpecifierSet(str(spec.version)) == wanted()[name].specifier, name
    for name, requirement in pip().items():
        assert requirement.specifier == wanted()[name].specifier, name


def test_the_python_of_pyproject():
    lowest = str(conda()["python"].version).split(",")[0]
    assert lowest == PROJECT["requires-python"]
    assert "-e ." in PIP


def test_constraints_lie_inside_the_ranges():
    pins = [Requirement(line) for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if "==" in line]
    ranges = wanted() | {
        canonicalize_name(Requirement(line).name): Requirement(line)
        for extra in ("pdf", "test")
        for line in PROJECT["optional-dependencies"][extra]
    }
    for pin in pins:
        requirement = ranges.get(canonicalize_name(pin.name))
        version = str(pin.specifier).removeprefix("==")
        assert requirement is None or requirement.specifier.contains(version), pin
