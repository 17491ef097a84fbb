import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clslab.data.splits import group_split, long_tail_counts, nested_subsets, random_split

FRACTIONS = st.sampled_from([(0.5, 0.5), (0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.25, 0.25, 0.25, 0.25)])
SEEDS = st.integers(0, 2**31)


def everything_once(parts: list[np.ndarray], n: int) -> bool:
    return sorted(np.concatenate(parts).tolist()) == list(range(n))


# ---------------------------------------------------------------- groups


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=80), FRACTIONS, SEEDS)
def test_no_group_is_on_two_sides(groups: list[int], fractions: tuple[float, ...], seed: int) -> None:
    if len(set(groups)) < len(fractions):
        with pytest.raises(ValueError, match="cannot fill"):
            group_split(groups, fractions, seed=seed)
        return
    parts = group_split(groups, fractions, seed=seed)
    assert everything_once(parts, len(groups))
    held = [set(np.asarray(groups)[part]) for part in parts]
    assert sum(map(len, held)) == len(set(groups))
    for part in parts:
        assert len(part) > 0
        assert (np.diff(part) > 0).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(5, 60), SEEDS)
def test_groups_of_one_item_reach_the_shares_to_within_one(n: int, seed: int) -> None:
    parts = group_split(list(range(n)), [0.6, 0.2, 0.2], seed=seed)
    for part, share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        assert abs(len(part) - share * n) <= 1


def test_equal_groups_reach_the_shares_exactly() -> None:
    groups = np.repeat([f"module {i}" for i in range(10)], 7)
    assert [len(part) for part in group_split(groups, [0.6, 0.2, 0.2], seed=5)] == [42, 14, 14]


def test_classes_are_shared_out_as_well_as_groups_allow() -> None:
    groups = np.repeat(np.arange(40), 12)
    labels = (groups < 12).astype(int)
    for part in group_split(groups, [0.5, 0.25, 0.25], stratify=labels, seed=0):
        assert labels[part].mean() == pytest.approx(0.3, abs=0.01)


def test_mixed_groups_are_stratified_too() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(44), 60)
    labels = rng.random(len(groups)) < rng.beta(0.9, 2, 44)[groups]
    plain, stratified = (
        max(abs(labels[part].mean() - labels.mean()) for part in parts)
        for parts in (
            group_split(groups, [0.6, 0.2, 0.2], seed=1),
            group_split(groups, [0.6, 0.2, 0.2], stratify=labels, seed=1),
        )
    )
    assert stratified < 0.02 < plain


def test_the_seed_decides_alone() -> None:
    groups = np.repeat(np.arange(20), 5)
    first, again, other = (group_split(groups, [0.5, 0.5], seed=seed) for seed in (1, 1, 2))
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def test_one_giant_group_leaves_no_part_empty() -> None:
    parts = group_split([0] * 1000 + [1, 2], [0.6, 0.2, 0.2])
    assert sorted(map(len, parts)) == [1, 1, 1000]


def test_labels_of_another_length() -> None:
    with pytest.raises(ValueError, match="3 groups but 2 labels"):
        group_split([0, 1, 2], [0.5, 0.5], stratify=[0, 1])


def test_no_items() -> None:
    with pytest.raises(ValueError, match=r"0 group\(s\) cannot fill 2 parts"):
        group_split([], [0.5, 0.5])


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ([0.5, 0.4], "add up to 0.9, not to 1"),
        ([1.0], "two or more positive"),
        ([1.5, -0.5], "two or more positive"),
        ([0.0, 1.0], "two or more positive"),
    ],
)
def test_fractions_that_make_no_split(fractions: list[float], message: str) -> None:
    for split in (group_split, random_split):
        with pytest.raises(ValueError, match=message):
            split([0, 1, 2, 3], fractions)


# ---------------------------------------------------------------- at random


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=20, max_size=120), FRACTIONS, SEEDS)
def test_each_class_is_shared_to_within_one(labels: list[int], fractions: tuple[float, ...], seed: int) -> None:
    parts = random_split(labels, fractions, seed=seed)
    assert everything_once(parts, len(labels))
    for label in set(labels):
        for part, share in zip(parts, fractions, strict=True):
            held = int((np.asarray(labels)[part] == label).sum())
            assert abs(held - share * labels.count(label)) <= 1
    for part, share in zip(parts, fractions, strict=True):
        assert abs(len(part) - share * len(labels)) <= 2


def test_unstratified_ignores_the_labels() -> None:
    by_label, by_other = (random_split(labels, [0.5, 0.5], stratify=False) for labels in ([0, 1] * 8, [0] * 16))
    assert all(map(np.array_equal, by_label, by_other))


def test_random_split_repeats_with_its_seed() -> None:
    labels = ["a", "b"] * 30
    first, again, other = (random_split(labels, [0.5, 0.5], seed=seed) for seed in (1, 1, 2))
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def test_shares_that_are_whole_numbers_are_kept() -> None:
    assert [len(part) for part in random_split([0] * 5, [0.6, 0.4])] == [3, 2]


def test_too_few_items_for_the_parts() -> None:
    with pytest.raises(ValueError, match=r"2 item\(s\) are too few"):
        random_split([0, 1], [0.5, 0.25, 0.25])


# ---------------------------------------------------------------- subsets


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_subsets_are_nested_balanced_and_of_the_size_asked_for(seed: int) -> None:
    labels = np.array([0] * 30 + [1] * 12 + [2] * 17)
    subsets = nested_subsets(labels, [1, 4, 4, 12], seed=seed)
    for subset, size in zip(subsets, [1, 4, 4, 12], strict=True):
        assert np.bincount(labels[subset]).tolist() == [size] * 3
        assert (np.diff(subset) > 0).all()
    for small, large in itertools.pairwise(subsets):
        assert set(small) <= set(large)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 6), SEEDS)
def test_groups_come_whole_and_exactly_where_they_fit(views: int, seed: int) -> None:
    groups = np.repeat(np.arange(20), views)
    labels = groups % 2
    sizes = [views, 3 * views, 10 * views]
    subsets = nested_subsets(labels, sizes, groups=groups, seed=seed)
    for subset, size in zip(subsets, sizes, strict=True):
        assert np.bincount(labels[subset]).tolist() == [size, size]
        for group in np.unique(groups[subset]):
            assert (groups[subset] == group).sum() == views
    assert set(subsets[0]) < set(subsets[1]) < set(subsets[2])


def test_mixed_groups_come_whole_with_at_least_the_size() -> None:
    rng = np.random.default_rng(1)
    groups, labels = np.repeat(np.arange(30), 8), rng.integers(0, 3, 240)
    subsets = nested_subsets(labels, [5, 20, 40], groups=groups, seed=2)
    for subset, size in zip(subsets, [5, 20, 40], strict=True):
        assert np.bincount(labels[subset]).min() >= size
        assert np.isin(np.flatnonzero(np.isin(groups, groups[subset])), subset).all()
    assert set(subsets[0]) <= set(subsets[1]) <= set(subsets[2])


def test_subsets_repeat_with_their_seed() -> None:
    labels = np.repeat([0, 1], 50)
    first, again, other = (nested_subsets(labels, [10], seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("sizes", [[], [0, 1], [2, 1]])
def test_sizes_that_do_not_ascend(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="positive images per class, ascending"):
        nested_subsets([0, 0, 1, 1], sizes)


def test_a_class_that_is_too_small_is_named() -> None:
    with pytest.raises(ValueError, match="3 images per class asked for, but class dog has 2"):
        nested_subsets(["cat"] * 5 + ["dog"] * 2, [1, 3])


def test_a_class_with_too_few_images_gives_all_where_that_is_said() -> None:
    labels = np.array(["cat"] * 5 + ["dog"] * 2)
    one, three = nested_subsets(labels, [1, 3], strict=False)
    assert np.unique(labels[three], return_counts=True)[1].tolist() == [3, 2]
    assert set(one) < set(three)
    assert (nested_subsets(labels, [2], strict=False)[0] == nested_subsets(labels, [2])[0]).all()
    groups = np.arange(7)
    assert len(nested_subsets(labels, [6], groups=groups, strict=False)[0]) == 7


def test_groups_of_another_length() -> None:
    with pytest.raises(ValueError, match="4 labels but 3 groups"):
        nested_subsets([0, 0, 1, 1], [1], groups=[0, 1, 2])


# ---------------------------------------------------------------- long tail


def test_the_long_tail_in_closed_form() -> None:
    assert long_tail_counts(500, 3, 0.01) == [500, 50, 5]
    assert long_tail_counts(8, 4, 1 / 8) == [8, 4, 2, 1]
    assert long_tail_counts(7, 1, 0.5) == [7]
    assert long_tail_counts(500, 10, 1.0) == [500] * 10
    cifar = long_tail_counts(500, 100, 0.01)
    # The published size of CIFAR-100-LT at a ratio of 100.
    assert (len(cifar), cifar[0], cifar[-1], sum(cifar)) == (100, 500, 5, 10847)


@settings(deadline=None)
@given(st.integers(100, 10_000), st.integers(1, 200), st.floats(0.01, 1.0))
def test_the_long_tail_never_rises(largest: int, classes: int, ratio: float) -> None:
    counts = long_tail_counts(largest, classes, ratio)
    assert len(counts) == classes
    assert counts[0] == largest
    assert all(b <= a for a, b in itertools.pairwise(counts))
    assert counts[-1] >= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((500, 0, 0.1), "num_classes is 0"),
        ((500, 10, 0.0), "smallest_over_largest is 0.0"),
        ((500, 10, 1.5), "smallest_over_largest is 1.5"),
        ((50, 10, 0.01), "at least 100 images"),
    ],
)
def test_tails_that_cannot_be(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        long_tail_counts(*arguments)
