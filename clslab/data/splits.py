"""Dividing a set: by groups, at random, into nested subsets, into a long tail.

A split answers the question what a new sample is. Pictures of one object, module or recording are
not new to each other, so a group stands on one side of a split as a whole.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

RESTARTS = 32
RESTART_BUDGET = 4000


def group_split(
    groups: Sequence[Any] | np.ndarray,
    fractions: Sequence[float],
    *,
    stratify: Sequence[Any] | np.ndarray | None = None,
    seed: int = 0,
) -> list[np.ndarray]:
    """Split items so that no group is on two sides.

    Groups go one by one, large ones first, to the part that is furthest below its share, counted
    per class when `stratify` is given. Of several random orders the best balanced one is taken.

    Args:
        groups: group of each item, `[N]`.
        fractions: share of each part; positive, together 1.
        stratify: class of each item, `[N]`, to be shared out in the same proportions as far as
            whole groups allow.
        seed: of the order in which groups of one size are dealt.

    Returns:
        One sorted index array per part; together they hold every item once.

    Raises:
        ValueError: if lengths differ, fractions do not add up to 1, or groups are fewer than parts.

    Taught in chapter 4.

    >>> [part.tolist() for part in group_split(["a", "a", "b", "b"], [0.5, 0.5], seed=1)]
    [[2, 3], [0, 1]]
    """
    shares = _shares(fractions)
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    n = len(group_of)
    count = int(group_of.max()) + 1 if n else 0
    if count < len(shares):
        raise ValueError(
            f"{count} group(s) cannot fill {len(shares)} parts; a group stays whole, so give at "
            "least one group per part"
        )
    table = _group_table(group_of, count, stratify)
    rng = np.random.default_rng(seed)
    restarts = max(1, min(RESTARTS, RESTART_BUDGET // count))
    dealt = [_deal(table, shares, rng) for _ in range(restarts)]
    part_of = min(dealt, key=lambda candidate: candidate[0])[1]
    return [np.flatnonzero(part_of[group_of] == part) for part in range(len(shares))]


def _group_table(group_of: np.ndarray, count: int, stratify: Sequence[Any] | np.ndarray | None) -> np.ndarray:
    """What each group holds: items, then items of each class, as shares of the whole set."""
    columns = [np.bincount(group_of, minlength=count)]
    if stratify is not None:
        labels = np.asarray(stratify)
        if len(labels) != len(group_of):
            raise ValueError(f"{len(group_of)} groups but {len(labels)} labels to stratify by; give one per item")
        columns += [np.bincount(group_of[labels == label], minlength=count) for label in np.unique(labels)]
    table = np.stack(columns, axis=1).astype(float)
    return table / table.sum(axis=0)


def _deal(table: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> tuple[float, np.ndarray]:
    """Deal groups to parts; return the squared distance from the shares and the part of each."""
    # The jitter lets groups of similar size change places from one attempt to the next.
    order = np.argsort(-table[:, 0] * rng.uniform(0.7, 1.0, len(table)), kind="stable")
    missing = np.repeat(shares[:, None], table.shape[1], axis=1)
    part_of = np.full(len(table), -1)
    empty = np.ones(len(shares), dtype=bool)
    for position, group in enumerate(order):
        gain = 2 * missing @ table[group]
        if len(order) - position <= empty.sum():
            gain[~empty] = -np.inf
        part = int(np.argmax(gain))
        part_of[group] = part
        missing[part] -= table[group]
        empty[part] = False
    return float((missing**2).sum()), part_of


def random_split(
    labels: Sequence[Any] | np.ndarray,
    fractions: Sequence[float],
    *,
    stratify: bool = True,
    seed: int = 0,
) -> list[np.ndarray]:
    """Split items at random, whatever group they belong to.

    Args:
        labels: class of each item, `[N]`.
        fractions: share of each part; positive, together 1.
        stratify: give every part each class in these shares, to within one item.
        seed: of the shuffling.

    Returns:
        One sorted index array per part; together they hold every item once.

    Raises:
        ValueError: if fractions do not add up to 1, or there are too few items to fill every part.

    Taught in chapter 4.

    >>> [len(part) for part in random_split([0] * 80 + [1] * 20, [0.6, 0.2, 0.2])]
    [60, 20, 20]
    """
    shares = _shares(fractions)
    classes = np.asarray(labels) if stratify else np.zeros(len(labels), dtype=int)
    rng = np.random.default_rng(seed)
    parts: list[list[int]] = [[] for _ in shares]
    owed = np.zeros(len(shares))
    for label in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == label))
        exact = shares * len(members)
        # A tolerance, or 0.6 · 5 would be 2.
        sizes = np.floor(exact + 1e-9).astype(int)
        # The odd items go to the parts that have come off worst so far, not always to the first.
        owed += exact - sizes
        for part in np.argsort(-owed, kind="stable")[: len(members) - sizes.sum()]:
            sizes[part] += 1
            owed[part] -= 1
        for part, chosen in enumerate(np.split(members, np.cumsum(sizes)[:-1])):
            parts[part] += chosen.tolist()
    if not all(parts):
        raise ValueError(
            f"{len(classes)} item(s) are too few for the fractions {list(fractions)}: one part would be empty"
        )
    return [np.sort(np.array(part, dtype=np.int64)) for part in parts]


def _shares(fractions: Sequence[float]) -> np.ndarray:
    shares = np.asarray(fractions, dtype=float)
    if shares.ndim != 1 or len(shares) < 2 or (shares <= 0).any():
        raise ValueError(f"fractions {list(fractions)}; give two or more positive numbers")
    if not math.isclose(shares.sum(), 1.0, abs_tol=1e-6):
        raise ValueError(f"fractions {list(fractions)} add up to {shares.sum():g}, not to 1")
    return shares


def nested_subsets(
    labels: Sequence[Any] | np.ndarray,
    sizes: Sequence[int],
    *,
    groups: Sequence[Any] | np.ndarray | None = None,
    strict: bool = True,
    seed: int = 0,
) -> list[np.ndarray]:
    """Subsets of growing size, each inside the next, for a curve of accuracy against size.

    Nested, because otherwise a step of the curve could come from luckier pictures, not from more.

    Args:
        labels: class of each item, `[N]`.
        sizes: images per class, ascending.
        groups: group of each item, `[N]`. A group is then taken whole or not at all, and each class
            has at least the number of images asked for (exactly, if groups of one class fit).
        strict: refuse a size that a class does not reach; else such a class gives all its images, which is for a
            chapter that also has to run on a small stand-in.
        seed: of the order.

    Returns:
        One sorted index array per size.

    Raises:
        ValueError: if sizes do not ascend, or, when strict, a class has too few images.

    Taught in chapter 4.

    >>> small, large = nested_subsets([0, 0, 0, 1, 1, 1], [1, 2])
    >>> len(small), len(large), set(small) < set(large)
    (2, 4, True)
    """
    classes, label_of, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    wanted = [int(size) for size in sizes]
    if not wanted or wanted[0] < 1 or any(b < a for a, b in itertools.pairwise(wanted)):
        raise ValueError(f"sizes {list(sizes)}; give positive images per class, ascending")
    if strict and wanted[-1] > counts.min():
        raise ValueError(
            f"{wanted[-1]} images per class asked for, but class {classes[counts.argmin()]} has "
            f"{counts.min()}; ask for at most that"
        )
    rng = np.random.default_rng(seed)
    if groups is None:
        rank = np.empty(len(label_of), dtype=int)
        for label in range(len(classes)):
            members = np.flatnonzero(label_of == label)
            rank[rng.permutation(members)] = np.arange(len(members))
        return [np.flatnonzero(rank < size) for size in wanted]
    if len(groups) != len(label_of):
        raise ValueError(f"{len(label_of)} labels but {len(groups)} groups; give one per item")
    return _nested_groups(label_of, np.asarray(groups), wanted, rng)


def _nested_groups(
    label_of: np.ndarray, groups: np.ndarray, sizes: list[int], rng: np.random.Generator
) -> list[np.ndarray]:
    _, group_of = np.unique(groups, return_inverse=True)
    table = np.zeros((int(group_of.max()) + 1, int(label_of.max()) + 1), dtype=int)
    np.add.at(table, (group_of, label_of), 1)
    order = rng.permutation(len(table))
    taken = np.zeros(len(table), dtype=bool)
    have = np.zeros(table.shape[1], dtype=int)
    subsets = []
    for size in sizes:
        for group in order:
            if not taken[group] and (have[table[group] > 0] < size).any():
                taken[group] = True
                have += table[group]
        subsets.append(np.flatnonzero(taken[group_of]))
    return subsets


def long_tail_counts(largest: int, num_classes: int, smallest_over_largest: float) -> list[int]:
    """Images per class that fall off exponentially, as in the long-tailed CIFAR sets.

    Args:
        largest: images of the first class.
        num_classes: C, at least 1.
        smallest_over_largest: ratio of the last class to the first, in (0, 1].

    Returns:
        C counts, rounded down.

    Raises:
        ValueError: if a value is out of range, or the last class would be empty.

    Source: arXiv:1901.05555, arXiv:1906.07413. Taught in chapter 12.

    >>> long_tail_counts(500, 3, 0.01)
    [500, 50, 5]
    """
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}; give at least 1")
    if not 0 < smallest_over_largest <= 1:
        raise ValueError(f"smallest_over_largest is {smallest_over_largest}; give a ratio in (0, 1]")
    steps = max(num_classes - 1, 1)
    # The tolerance keeps 49.999… from becoming 49.
    counts = [math.floor(largest * smallest_over_largest ** (i / steps) + 1e-9) for i in range(num_classes)]
    if counts[-1] < 1:
        raise ValueError(
            f"{largest} images at a ratio of {smallest_over_largest} leave the last class empty; "
            f"give at least {math.ceil(1 / smallest_over_largest)} images"
        )
    return counts
