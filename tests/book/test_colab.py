"""The first cell is enough in Colab: what is recorded of Colab, and what pip would do there."""

import datetime as dt
import json
import re
import sys
import tomllib

import colab_venv
import pytest
from books import ROOT
from colab import LIST, RENEWED, faults, header, installed_by, library, recorded
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from book.tools import address
from book.tools.pages import chapter_pages

TEXT = LIST.read_text("utf-8")
HEADER, COLAB = header(TEXT), recorded(TEXT)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CELLS = {page.name: page.text().split("```{code-cell}")[1].split("```")[0] for page in chapter_pages(ROOT)}
PLAIN = next(cell for cell in CELLS.values() if "submitit" not in cell)


def test_the_list_says_whence_when_and_of_which_python():
    assert re.fullmatch(r"https://github\.com/googlecolab/backend-info/blob/[0-9a-f]{40}/.+", HEADER["source"])
    assert dt.date.fromisoformat(HEADER["newest package"]) <= dt.date.fromisoformat(HEADER["recorded"])
    assert SpecifierSet(PROJECT["requires-python"]).contains(Version(HEADER["python"]))
    lines = [line for line in TEXT.splitlines() if not line.startswith("#")]
    assert len(lines) == len(COLAB), "a package stands there twice"
    assert lines == sorted(lines, key=str.lower)


@pytest.mark.parametrize("name", sorted(CELLS))
def test_the_first_cell_brings_what_colab_lacks_and_replaces_nothing(name):
    assert faults(library(), CELLS[name], COLAB, HEADER["python"]) == []
    brought = {Requirement(one).name for one in installed_by(CELLS[name])}
    assert {"tomli-w", "torch-lr-finder"} <= brought
    assert not brought & {"torch", "torchvision", "numpy", *RENEWED}


def test_the_packages_that_are_taken_for_granted_are_there():
    assert {name for name in address.COLAB_HAS if name not in COLAB} == set()


@pytest.mark.parametrize(
    ("changed", "cell", "fault"),
    [
        ({"torch": "2.8.0"}, PLAIN, "clslab needs torch>=2.9, and Colab has 2.8.0"),
        ({"timm": "1.0.3"}, PLAIN, "clslab needs timm>=1.0.9, and Colab has 1.0.3"),
        ({}, PLAIN.replace(" tomli-w", ""), "clslab needs tomli-w>=1.0, which neither Colab nor the cell brings"),
        ({"torch": "0.4.0"}, PLAIN, "torch-lr-finder needs torch>=0.4.1, and Colab has 0.4.0"),
    ],
    ids=["old-torch", "old-timm", "forgotten", "needed-by-what-is-brought"],
)
def test_a_colab_that_would_not_do_is_seen(changed, cell, fault):
    colab = COLAB | {name: Version(version) for name, version in changed.items()}
    assert fault in faults(library(), cell, colab, HEADER["python"])


def test_a_venv_of_another_python_than_colabs_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(colab_venv.__dict__, "header", lambda _: {"python": "2.7.18"})
    with pytest.raises(SystemExit, match=r"Colab has Python 2\.7, and .+ is 3\.\d+; name another one by --python"):
        colab_venv.filled(tmp_path, sys.executable)


def test_a_package_that_the_cell_replaced_is_named(monkeypatch):
    there = [{"name": name, "version": str(version)} for name, version in COLAB.items()]
    monkeypatch.setattr(colab_venv, "pip", lambda *_: json.dumps(there))
    assert colab_venv.changed(None) == []
    there = [one | ({"version": "9.9"} if one["name"] == "numpy" else {}) for one in there if one["name"] != "timm"]
    assert colab_venv.changed(None) == [
        f"numpy: Colab has {COLAB['numpy']}, now 9.9",
        f"timm: Colab has {COLAB['timm']}, now gone",
    ]


def test_the_kernel_gets_the_library_from_this_repository_and_nothing_else_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("CLSLAB_DATA", "/somewhere")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    variables = colab_venv.as_in_colab(tmp_path, tmp_path / "venv" / "bin" / "python")
    assert not {"CLSLAB_DATA", "PYTHONPATH"} & set(variables)
    assert variables["GIT_CONFIG_KEY_0"] == f"url.{ROOT.as_uri()}.insteadOf"
    assert f"git+{variables['GIT_CONFIG_VALUE_0']}\n" in PLAIN
    kernel = json.loads((tmp_path / "jupyter" / "kernels" / "colab" / "kernel.json").read_text("utf-8"))
    assert kernel["argv"][0] == str(tmp_path / "venv" / "bin" / "python")
