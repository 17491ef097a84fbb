"""Numbers in the prose are compared with the records, and a wrong or unknown one is named with its line."""

from pathlib import Path

import numpy as np
import pytest
from books import ROOT, edit

from book.tools import numbers
from book.tools.pages import BookError
from clslab.recipe import Recipe
from clslab.records import Predictions, Run, record_path, write_record

PAGE = Path("page.md")


def one(text: str) -> numbers.Marker:
    markers, faults = numbers.parse(PAGE, text)
    assert faults == []
    assert len(markers) == 1
    return markers[0]


def record(results: Path, name: str, right: int, seeds: int = 3) -> None:
    """Runs that get the first `right` of 100 pictures right, one fewer with each seed."""
    targets = np.arange(100) % 2
    for seed in range(seeds):
        predicted = np.where(np.arange(100) < right - seed, targets, 1 - targets)
        probabilities = np.full((100, 2), 0.1)
        probabilities[np.arange(100), predicted] = 0.9
        run = Run(Recipe(data="debris", seed=seed), "local", "f" * 64, ("other", "plastic"), {"train": 8})
        run.seconds_fit = 10.0 + seed
        run.record("test", Predictions.of(probabilities, targets, [f"item{i}" for i in range(100)]))
        write_record(run.to_json(), record_path(results, name, seed))


@pytest.fixture(scope="module")
def lookup(tmp_path_factory) -> numbers.Lookup:
    results = tmp_path_factory.mktemp("results")
    record(results, "debris/head", 90)
    record(results, "debris/all", 95)
    return numbers.recorded(results)


def test_the_numbers_of_the_book_are_as_recorded():
    assert numbers.problems(ROOT, numbers.recorded(ROOT / "book" / "results")) == []


def test_the_grammar():
    marker = one("x 89.2 % <!-- run: debris/head, test accuracy, tol 0.3 -->")
    assert (marker.stated, marker.scale, marker.tolerance, marker.split) == (89.2, 100, 0.3, "test")
    marker = one("by −1.5 points\n<!-- run: a/b vs a/c,\n  val balanced_accuracy low -->")
    assert (marker.stated, marker.other, marker.split, marker.statistic) == (-1.5, "a/c", "val", "low")
    assert marker.tolerance == pytest.approx(0.05)
    marker = one("in **1,205** <!-- run: a, seconds -->")
    assert (marker.stated, marker.scale, marker.metric, marker.tolerance) == (1205, 1, "seconds", 0.5)
    assert one("(sd 1.4 %) <!-- run: a, test sd -->").metric == "accuracy"
    assert one("0.892 <!-- run: a, test accuracy -->").scale == 1
    assert one("of 244 pictures <!-- run: a, n -->").stated == 244


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("89 % <!-- run: debris/head -->", "cannot read"),
        ("89 % <!-- run: debris/head, test prettiness -->", "is no metric"),
        ("89 % <!-- run: debris/head, test accuracy, tol much -->", "cannot read"),
        ("nothing <!-- run: debris/head, test accuracy -->", "no number stands before"),
    ],
)
def test_an_unreadable_marker_is_a_fault(text, message):
    markers, faults = numbers.parse(PAGE, "first line\n" + text)
    assert markers == []
    assert len(faults) == 1
    assert faults[0].startswith("page.md:2: ")
    assert message in faults[0]


@pytest.mark.parametrize(
    "text",
    [
        "89.0 % <!-- run: debris/head, test accuracy -->",
        "0.89 <!-- run: debris/head, test accuracy -->",
        "1.0 points <!-- run: debris/head, test sd -->",
        "5.0 points <!-- run: debris/all vs debris/head, test accuracy -->",
        "11 s <!-- run: debris/head, seconds -->",
        "100 pictures <!-- run: debris/head, test n -->",
        "3 seeds <!-- run: debris/head, seeds -->",
        "89.0 % <!-- run: debris/head, test balanced_accuracy -->",
    ],
)
def test_a_true_number_passes(lookup, text):
    assert numbers.compare(one(text), lookup) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("89.2 % <!-- run: debris/head, test accuracy -->", "the prose says 89.2, the record of debris/head says 89"),
        ("4 points <!-- run: debris/all vs debris/head, test accuracy -->", "debris/all vs debris/head says 5"),
        ("89 % <!-- run: debris/heads, test accuracy -->", "no run 'debris/heads' is recorded"),
        ("2 points <!-- run: debris/all vs debris/head, test accuracy sd -->", "a difference has no sd"),
        ("89 % <!-- run: debris/head, val accuracy -->", "was not scored on the val split"),
    ],
)
def test_a_wrong_number_is_named_with_its_line(lookup, text, message):
    fault = numbers.compare(one("first line\n" + text), lookup)
    assert fault is not None
    assert fault.startswith("page.md:2: ")
    assert message in fault


def test_intervals_enclose_the_mean(lookup):
    low, high = (lookup(one(f"1 <!-- run: debris/head, test accuracy {end} -->")) for end in ("low", "high"))
    assert low < 0.89 < high
    texts = [f"1 <!-- run: debris/all vs debris/head, test accuracy {end} -->" for end in ("low", "high")]
    low, high = (lookup(one(text)) for text in texts)
    assert low < 0.05 < high


def test_a_missing_record_turns_the_command_red(small, tool):
    (small / "book" / "results").mkdir()
    done = tool("numbers", small)
    assert done.returncode == 1
    assert "chapters/00_sample.md:" in done.stdout
    assert "no run 'small/sum'" in done.stdout


def test_a_lookup_that_disagrees_is_reported_for_the_page(small):
    def four(_: numbers.Marker) -> float:
        return 4.0

    assert numbers.problems(small, four) == []
    edit(small / "chapters" / "00_sample.md", "are 4.0", "are 5.0")
    found = numbers.problems(small, four)
    assert len(found) == 1
    assert "says 5, the record of small/sum says 4" in found[0]

    def none(_: numbers.Marker) -> float:
        raise BookError("there is no such run")

    assert "there is no such run" in numbers.problems(small, none)[0]


def test_a_calibration_error_is_compared_in_points_where_it_is_kept(lookup, tmp_path):
    probabilities = np.full((100, 30), 0.2 / 29)
    targets = np.arange(100) % 30
    probabilities[np.arange(100), (targets + (np.arange(100) >= 50)) % 30] = 0.8  # half of them right, and sure by 80 %
    run = Run(Recipe(data="cifar100"), "local", "f" * 64, tuple(map(str, range(30))), {"train": 8})
    run.record("test", Predictions.of(probabilities, targets, [f"item{i}" for i in range(100)]))
    write_record(run.to_json(), record_path(tmp_path, "cifar100/sure", 0))
    many = numbers.recorded(tmp_path)
    assert numbers.compare(one("30.0 points <!-- run: cifar100/sure, test ece -->"), many) is None
    wrong = numbers.compare(one("31.0 points <!-- run: cifar100/sure, test ece -->"), many)
    assert wrong is not None
    assert "says 30" in wrong
    few = numbers.compare(one("30.0 points <!-- run: debris/head, test ece -->"), lookup)
    assert few is not None
    assert "more than 20 classes" in few
