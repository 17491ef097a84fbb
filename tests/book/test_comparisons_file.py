"""The file of comparisons holds what the chapters say, so that a null result is on the page of null results."""

import re
from pathlib import Path

import pytest

from book.tools.pages import chapter_pages
from clslab import comparisons

ROOT = Path(__file__).resolve().parents[2]

QUESTIONS = {
    "01_borrowed_features": "whether a baseline is beaten",
    "04_new_sample": "how a score depends on the split and on the number of pictures",
    "07_learning_rate": "what a rate that is too small or too large costs",
}
"""Chapters whose differences show what a score depends on, not what a change brings."""

NO_CHANGE = {
    frozenset({"cifar100/ladder/shift-flip", "cifar100/hierarchy/flat"}),
    frozenset({"cifar100/hierarchy/updated", "cifar100/ladder/shift-flip"}),
    frozenset({"birds/recordist/flat", "birds/species/flat"}),
    frozenset({"birds/recordist/band-numbers", "birds/species/band-numbers"}),
    frozenset({"birds/species/band-numbers", "birds/species/pretrained"}),
    frozenset({"debris/probe-n300", "debris/probe-n50"}),
    frozenset({"solar/probe-n300", "solar/probe-n50"}),
}
"""Pairs that differ in several ways at once, in the items that they were scored on, or in how many there were."""

MARKER = re.compile(r"<!-- run: (\S+) vs (\S+?),")


@pytest.mark.parametrize("page", chapter_pages(ROOT), ids=lambda page: Path(page.name).name)
def test_a_difference_that_a_chapter_states_is_in_the_file(page):
    name = Path(page.name).name
    told = {frozenset(pair) for pair in MARKER.findall(page.text())} - NO_CHANGE
    if name in QUESTIONS:
        return
    listed = {frozenset({one.with_, one.without}) for one in comparisons.read(ROOT / "book" / "comparisons.toml")}
    assert not {tuple(sorted(pair)) for pair in told - listed}


def test_no_comparison_stands_twice():
    pairs = [(one.with_, one.without, one.split) for one in comparisons.read(ROOT / "book" / "comparisons.toml")]
    assert len(set(pairs)) == len(pairs)
