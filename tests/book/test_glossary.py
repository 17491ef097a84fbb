"""Every word of the glossary is linked from a page, and every link leads to a word of the glossary."""

import re

import pytest
from books import ROOT

TERM = re.compile(r"^(\S.*)\n  \S", re.MULTILINE)
LINK = re.compile(r"\{term\}`(?:[^`<]*<([^`<>]+)>|([^`<>]+))`")


def linked(text: str) -> list[str]:
    """Words of the glossary that a page links, in small letters; a link may be broken over two lines."""
    return [" ".join((named or alone).split()).lower() for named, alone in LINK.findall(text)]


@pytest.fixture(scope="module")
def words() -> set[str]:
    """What the glossary explains."""
    return {word.lower() for word in TERM.findall((ROOT / "book" / "glossary.md").read_text("utf-8"))}


@pytest.fixture(scope="module")
def links() -> dict[str, list[str]]:
    """Words that are linked, by page."""
    pages = [*sorted((ROOT / "chapters").glob("*.md")), *sorted((ROOT / "book").glob("*.md"))]
    return {path.relative_to(ROOT).as_posix(): linked(path.read_text("utf-8")) for path in pages}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A {term}`head`.", ["head"]),
        ("{term}`Batch normalisation <batch normalisation>`", ["batch normalisation"]),
        ("the {term}`balanced\naccuracy`", ["balanced accuracy"]),
        ("the {term}`splits\n<split>`", ["split"]),
        (
            "{term}`Cross-validation` and {term}`SVM <support vector machine>`",
            ["cross-validation", "support vector machine"],
        ),
        ("{doc}`a head <head>` and `term`", []),
    ],
)
def test_links_are_found(text, found):
    assert linked(text) == found


def test_every_word_of_the_glossary_is_linked_from_a_page(words, links):
    assert sorted(words - {word for found in links.values() for word in found}) == []


def test_every_linked_word_is_in_the_glossary(words, links):
    unknown = {page: sorted(set(found) - words) for page, found in links.items()}
    assert {page: found for page, found in unknown.items() if found} == {}
