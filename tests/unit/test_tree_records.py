"""Scores of recorded runs by level, against counts by hand."""

import numpy as np
import pytest

from clslab.recipe import Recipe
from clslab.records import Predictions, Run
from clslab.taxonomy import Taxonomy
from clslab.tree_records import levels_table, tree_difference, tree_scores

TREE = Taxonomy.from_paths([("swim", "ray"), ("swim", "shark"), ("grow", "oak"), ("grow", "elm")])
TRUE = np.array([0, 0, 1, 2, 3, 3])


def run_that_says(predicted, *, seed=0, groups=None, ids=None):
    probabilities = np.full((len(TRUE), 4), 0.1)
    probabilities[np.arange(len(TRUE)), predicted] = 0.7
    run = Run(
        recipe=Recipe(seed=seed),
        source="local",
        fingerprint="0",
        classes=("ray", "shark", "oak", "elm"),
        sizes={"train": 1, "val": 6, "test": 6},
        history=[],
        seconds_fit=1.0,
        parameters_trained=1,
        parameters_total=1,
        code={},
        packages={},
        machine={},
    )
    names = [f"clip-{index}" for index in range(6)] if ids is None else ids
    run.record("test", Predictions.of(probabilities, TRUE, names, groups))
    return run


RIGHT = run_that_says(TRUE)
MILD = run_that_says([1, 0, 1, 3, 3, 3])  # two mistakes, both inside the family
BAD = run_that_says([2, 0, 1, 0, 3, 3], seed=1)  # two mistakes, both outside


def test_scores_of_each_level_are_counts_by_hand():
    assert tree_scores([MILD, BAD], TREE, -1).tolist() == [[0, 1, 1, 0, 1, 1], [0, 1, 1, 0, 1, 1]]
    assert tree_scores([MILD, BAD], TREE, 0).tolist() == [[1] * 6, [0, 1, 1, 0, 1, 1]]
    assert tree_scores([MILD, BAD], TREE, "height").tolist() == [[1, 0, 0, 1, 0, 0], [2, 0, 0, 2, 0, 0]]


def test_the_table_has_a_row_per_level_and_one_of_heights_and_severity():
    table = levels_table({"mild": [MILD], "both": [MILD, BAD], "right": [RIGHT]}, TREE).set_index(["name", "quantity"])
    assert table.loc[("mild", 0), "mean"] == 1
    assert table.loc[("mild", 1), "mean"] == pytest.approx(4 / 6)
    assert table.loc[("mild", "height"), "mean"] == pytest.approx(2 / 6)
    assert table.loc[("mild", "severity"), ["mean", "low", "high"]].tolist() == [1, 1, 1]
    assert table.loc[("both", "severity"), ["mean", "low", "high"]].tolist() == pytest.approx([6 / 4, 1, 2])
    assert table.loc[("right", "severity"), ["mean", "low", "high"]].isna().all()
    there = table.drop(("right", "severity"))
    assert (there["low"] <= there["mean"]).all()
    assert (there["mean"] <= there["high"]).all()


def test_two_models_of_equal_accuracy_differ_in_height():
    assert tree_difference([BAD], [MILD], TREE, -1) == (0, 0, 0)
    apart, low, high = tree_difference([BAD], [MILD], TREE, "height")
    assert apart == pytest.approx(2 / 6)
    assert 0 <= low < apart < high


def test_groups_are_drawn_whole():
    alone = levels_table({"x": [MILD]}, TREE)
    tied = levels_table({"x": [run_that_says([1, 0, 1, 3, 3, 3], groups=["a", "b", "b", "a", "b", "b"])]}, TREE)
    width = [float((table["high"] - table["low"]).max()) for table in (alone, tied)]
    assert width[1] > width[0]


def test_only_items_of_the_wanted_classes_count():
    assert tree_scores([MILD, BAD], TREE, -1, classes=[0, 2]).tolist() == [[0, 1, 0], [0, 1, 0]]
    assert tree_scores([BAD], TREE, "height", classes=[3]).tolist() == [[0, 0]]
    table = levels_table({"mild": [MILD]}, TREE, classes=[0]).set_index("quantity")
    assert table.loc[1, "mean"] == 0.5
    assert table.loc[1, "n"] == 2
    apart, _, _ = tree_difference([BAD], [MILD], TREE, 0, classes=[0, 2])
    assert apart == pytest.approx(-2 / 3)
    assert tree_difference([BAD], [MILD], TREE, 0, classes=[1, 3]) == (0, 0, 0)


def test_all_classes_together_are_all_items():
    every = levels_table({"both": [MILD, BAD]}, TREE, classes=range(4))
    assert every.equals(levels_table({"both": [MILD, BAD]}, TREE))


def test_groups_of_the_wanted_classes_stay_whole():
    one = run_that_says([1, 0, 1, 3, 3, 3], groups=["a", "b", "b", "a", "b", "b"])
    other = run_that_says(TRUE, groups=["a", "b", "b", "a", "b", "b"])
    # Drawn one by one, three clips would all be the wrong one in a 27th of the draws: less than the 5 % left out.
    apart, low, high = tree_difference([one], [other], TREE, -1, classes=[0, 1], confidence=0.9)
    assert (apart, low, high) == (pytest.approx(-1 / 3), -1, 0)


def test_classes_without_an_item_are_refused():
    with pytest.raises(ValueError, match=r"no item is of the classes \[9\]"):
        tree_scores([RIGHT], TREE, 0, classes=[9])


def test_runs_on_other_items_are_refused():
    other = run_that_says(TRUE, seed=2, ids=list("abcdef"))
    with pytest.raises(ValueError, match="seed 2 scored other items"):
        tree_scores([RIGHT, other], TREE, 0)
    with pytest.raises(ValueError, match="different items"):
        tree_difference([RIGHT], [other], TREE, 0)
    with pytest.raises(ValueError, match="no runs"):
        tree_scores([], TREE, 0)
