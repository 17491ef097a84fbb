"""Heights, levels and severities on trees whose answers are known."""

import math

import numpy as np
import pytest

from clslab.taxonomy import Taxonomy


@pytest.fixture
def cifar_like():
    """20 superclasses of 5 classes, numbered alphabetically so that siblings are not neighbours."""
    paths = [(f"super{leaf % 20}", f"class{leaf}") for leaf in range(100)]
    return Taxonomy.from_paths(paths)


def test_levels_and_counts(cifar_like):
    assert cifar_like.levels == 2
    assert [cifar_like.num_classes(level) for level in (0, 1, -1)] == [20, 100, 100]
    with pytest.raises(ValueError, match="level 2 does not exist"):
        cifar_like.num_classes(2)


def test_heights_are_0_1_2(cifar_like):
    heights = cifar_like.lca_height(np.arange(100)[:, None], np.arange(100)[None, :])
    assert heights.shape == (100, 100)
    values, counts = np.unique(heights, return_counts=True)
    assert values.tolist() == [0, 1, 2]
    assert counts.tolist() == [100, 100 * 4, 100 * 95]
    assert np.array_equal(heights, heights.T)


def test_coarsen(cifar_like):
    assert cifar_like.coarsen([0, 20, 41, 99], 0).tolist() == [0, 0, 1, 19]
    labels = np.arange(100).reshape(4, 25)
    assert np.array_equal(cifar_like.coarsen(labels, 1), labels)
    assert np.array_equal(cifar_like.coarsen(labels, -1), labels)


def test_severity(cifar_like):
    assert math.isnan(cifar_like.severity([1, 2], [1, 2]))
    assert cifar_like.severity([1, 20, 1], [1, 0, 0]) == pytest.approx(1.5)
    with pytest.raises(ValueError, match="one of each per item"):
        cifar_like.severity([1, 2], [1])


def test_hierarchical_distance(cifar_like):
    ranked = [[0, 20, 1], [5, 5, 25]]
    assert cifar_like.hierarchical_distance(ranked, [0, 5], 1) == 0
    assert cifar_like.hierarchical_distance(ranked, [0, 5], 2) == pytest.approx(1 / 4)
    assert cifar_like.hierarchical_distance(ranked, [0, 5], 3) == pytest.approx((0 + 1 + 2 + 0 + 0 + 1) / 6)
    for k in (0, 4):
        with pytest.raises(ValueError, match=f"k is {k}"):
            cifar_like.hierarchical_distance(ranked, [0, 5], k)


def test_three_levels_with_one_name_in_two_branches():
    tree = Taxonomy.from_paths([("a", "other", "x"), ("a", "other", "y"), ("b", "other", "z"), ("a", "p", "q")])
    assert [tree.num_classes(level) for level in range(3)] == [2, 3, 4]
    assert tree.nodes(1) == (("a", "other"), ("b", "other"), ("a", "p"))
    assert tree.lca_height(0, [0, 1, 2, 3]).tolist() == [0, 1, 3, 2]


def test_equal_trees_are_equal():
    one, other = Taxonomy.from_paths([["a", "b"]]), Taxonomy.from_paths([("a", "b")])
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([("fish", "ray"), ("oak",)], r"leaf 1 \('oak',\) has 1 levels and leaf 0 \('fish', 'ray'\) has 2"),
        ([], "at least one leaf"),
        ([("a",), ("a",)], r"leaf \('a',\) occurs twice"),
        ([("a", "")], r"leaf 0 \('a', ''\) holds an empty name"),
        ([("a", 3)], "one that is no text"),
        (["oak"], "leaf 'oak' is a text"),
        ([()], "has 0 levels"),
    ],
)
def test_wrong_trees_are_refused(paths, message):
    with pytest.raises(ValueError, match=message):
        Taxonomy.from_paths(paths)


@pytest.mark.parametrize("labels", [[100], [-1], [[0, 100]]])
def test_labels_outside_are_refused(cifar_like, labels):
    with pytest.raises(ValueError, match="is no leaf; there are leaves 0 to 99"):
        cifar_like.coarsen(labels, 0)


def test_scores_are_no_labels(cifar_like):
    with pytest.raises(ValueError, match="of type float64"):
        cifar_like.lca_height([0.5], [1])


def test_a_shuffled_tree_has_the_shape_and_leaves_of_the_true_one_and_no_more_in_common_than_chance(cifar_like):
    leaves = np.arange(100)
    together = cifar_like.lca_height(leaves[:, None], leaves[None, :]) == 1
    kept = []
    for seed in range(200):
        mixed = cifar_like.shuffled(seed)
        assert [path[-1] for path in mixed.paths] == [path[-1] for path in cifar_like.paths]
        assert np.bincount(mixed.coarsen(leaves, 0)).tolist() == [5] * 20
        kept.append((mixed.lca_height(leaves[:, None], leaves[None, :]) == 1)[together].mean())
    # A pair of siblings stays one with probability 4/99; 200 pairs a draw, of which few are independent.
    assert np.mean(kept) == pytest.approx(4 / 99, abs=0.005)


def test_a_shuffled_tree_keeps_its_upper_levels_together():
    paths = [
        (order, f"{order}{family}", f"{order}{family}{leaf}") for order in "ab" for family in "xyz" for leaf in "12"
    ]
    mixed = Taxonomy.from_paths(paths).shuffled(3)
    assert [mixed.num_classes(level) for level in range(3)] == [2, 6, 12]
    assert len({path[:2] for path in mixed.paths}) == 6  # no family stands under two orders
    assert not {"a", "ax"} & {name for path in mixed.paths for name in path}
