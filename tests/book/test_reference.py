"""The reference names every public part of the library, and autodoc understands the docstrings."""

import importlib
import inspect
import pkgutil
import re
from types import SimpleNamespace
from typing import Any

import pytest
from books import ROOT
from sphinx.util.docstrings import prepare_docstring

import clslab
from book.tools import reference

PAGES = sorted((ROOT / "book" / "api").glob("*.md"))
COMMAND_LINE = ("clslab.cli", "clslab.commands", "clslab.__main__")
"""What `python -m clslab --help` explains."""


def listed() -> list[str]:
    """Modules that the pages name."""
    return [name for page in PAGES for name in re.findall(r"^\.\. automodule:: (\S+)$", page.read_text("utf-8"), re.M)]


def objects(name: str) -> list[Any]:
    """What autodoc shows for a module: what is in its `__all__`, else the public things that are its own."""
    module = importlib.import_module(name)
    names = getattr(module, "__all__", None) or [one for one in vars(module) if not one.startswith("_")]
    found = [getattr(module, one) for one in names]
    own = [one for one in found if inspect.isfunction(one) or inspect.isclass(one)]
    return own if hasattr(module, "__all__") else [one for one in own if one.__module__ == name]


def documented(name: str) -> set[str]:
    """Names of the objects that autodoc shows for a module."""
    return {f"{one.__module__}.{one.__qualname__}" for one in objects(name)}


def leads_to_a_chapter(one: Any) -> bool:
    """Whether the build makes a link to a chapter of the docstring."""
    lines = prepare_docstring(one.__doc__ or "")
    reference.process(SimpleNamespace(srcdir=str(ROOT)), "", "", one, None, lines)
    return any("</chapters/" in line for line in lines)


def public() -> set[str]:
    """Every public function and class of the library but those of the command line.

    A module with an `__all__` says itself what is public, a package also of its modules.
    """
    found = set()
    for module in pkgutil.walk_packages(clslab.__path__, "clslab."):
        private = any(part.startswith("_") for part in module.name.split("."))
        package = importlib.import_module(module.name.rpartition(".")[0])
        if private or module.name.startswith(COMMAND_LINE) or hasattr(package, "__all__"):
            continue
        names = vars(importlib.import_module(module.name))
        for name in names.get("__all__", [name for name in names if not name.startswith("_")]):
            one = names[name]
            if (inspect.isfunction(one) or inspect.isclass(one)) and one.__module__ == module.name:
                found.add(f"{module.name}.{one.__qualname__}")
    return found


def test_every_public_name_is_in_the_reference():
    shown = set().union(*(documented(name) for name in listed()))
    assert sorted(public() - shown) == []


def test_no_module_stands_twice():
    names = listed()
    assert len(names) == len(set(names))


def test_chapters_that_teach_become_links():
    pages = reference.pages_of(ROOT / "chapters")
    assert pages["5"] == "05_fine_tuning"
    assert pages["A1"] == "A1_many_machines"
    lines = reference.taught(["Taught in chapters 1, 5 and A1.", "See chapter 5."], pages)
    assert re.findall(r":doc:`(\w+) </chapters/(\w+)>`", lines[0]) == [(n, pages[n]) for n in ("1", "5", "A1")]
    assert lines[1] == "See chapter 5."


@pytest.mark.parametrize("name", listed())
def test_every_public_name_leads_to_the_chapter_that_teaches_it(name):
    if leads_to_a_chapter(importlib.import_module(name)):  # it stands above all that is in the module
        return
    without = [one.__qualname__ for one in objects(name) if not leads_to_a_chapter(one)]
    assert without == [], f'{name}: end the docstring of the module, or of these, with "Taught in chapter N."'


def test_every_mention_of_a_chapter_that_teaches_becomes_a_link():
    pages = reference.pages_of(ROOT / "chapters")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "clslab").rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if re.search(r"\bTaught\b", line) and not reference.taught([line], pages)[0].count("</chapters/")
    ]
    assert found == [], 'write "Taught in chapter N." or "Taught in appendix A1." on one line'


def test_tables_become_list_tables():
    lines = reference.tables(["Before.", "", "| a | b |", "|---|---|", "| `x` | |", "| y | z |", "", "After."])
    assert [line.strip() for line in lines if line.startswith("   ")] == [
        ":header-rows: 1", "* - a", "- b", "* - `x`", "-", "* - y", "- z",
    ]  # fmt: skip
    assert lines[0] == "Before."
    assert lines[-1] == "After."


@pytest.mark.parametrize(
    ("lines", "literal"),
    [
        (["A layout:", "", "    birds/*.ogg", "", "After."], True),
        (["Args:", "    x: a number."], False),
        (["Args:", "    x: a number.", "", "    y: another."], False),
        (["- a point", "", "    that goes on"], False),
        (["A sentence", "    that goes on."], False),
    ],
)
def test_indented_blocks_are_literal_outside_sections_and_lists(lines, literal):
    made = reference.blocks(lines)
    assert (".. code-block:: text" in made) == literal
    assert [line for line in made if line in lines] == lines if not literal else True
