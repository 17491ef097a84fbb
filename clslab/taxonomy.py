"""A tree of labels: parents, levels, and how far apart two classes are.

Every leaf is a class and has a path of names from the coarsest level to itself. The root above them all is implicit.
Nodes are identified by their whole path, so that two branches may use one name ("other").

Taught in chapters 12 and 15.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

Path = tuple[str, ...]

TREES = ("true", "random")
"""Trees that a recipe may name: the data's own, and one of the same shape that means nothing."""


@dataclass(frozen=True)
class Taxonomy:
    """A tree whose leaves are the classes 0 to C − 1, all at the same depth.

    Attributes:
        paths: for each leaf its names from the coarsest level to itself.

    Taught in chapter 15.

    >>> tree = Taxonomy.from_paths([("fish", "ray"), ("fish", "shark"), ("tree", "oak")])
    >>> tree.levels, tree.num_classes(0), int(tree.lca_height(0, 1)), int(tree.lca_height(0, 2))
    (2, 2, 1, 2)
    """

    paths: tuple[Path, ...]

    @classmethod
    def from_paths(cls, paths: Iterable[Sequence[str]]) -> Taxonomy:
        """The tree of the given leaves, which keep their order as class numbers.

        Args:
            paths: one sequence of names per leaf, coarse to fine, all of the same length. A reader fills a level that
                is not known with "unknown <parent>".

        Raises:
            ValueError: if there is no leaf, a path has another length than the first, a name is empty or no text, or
                a leaf occurs twice; the message names the leaf.
        """
        leaves = []
        for leaf in paths:
            if isinstance(leaf, str):
                raise ValueError(f"leaf {leaf!r} is a text; give a tuple of names, coarse to fine, such as ({leaf!r},)")
            leaves.append(tuple(leaf))
        if not leaves:
            raise ValueError("a taxonomy needs at least one leaf; give one path per class")
        for index, leaf in enumerate(leaves):
            if len(leaf) != len(leaves[0]) or not leaf:
                raise ValueError(
                    f"leaf {index} {leaf!r} has {len(leaf)} levels and leaf 0 {leaves[0]!r} has {len(leaves[0])}; give "
                    'all paths the same length (fill an unknown level with "unknown <parent>")'
                )
            if not all(isinstance(name, str) and name for name in leaf):
                raise ValueError(f"leaf {index} {leaf!r} holds an empty name, or one that is no text; name every level")
        if len(set(leaves)) < len(leaves):
            twice = next(leaf for index, leaf in enumerate(leaves) if leaf in leaves[:index])
            raise ValueError(f"leaf {twice!r} occurs twice; give one path per class")
        return cls(tuple(leaves))

    @property
    def levels(self) -> int:
        """L, the number of label levels; it is also the height of the tree in edges."""
        return len(self.paths[0])

    def num_classes(self, level: int) -> int:
        """Number of classes at a level, 0 the coarsest. A negative level counts from the finest, −1."""
        return len(self.nodes(level))

    def nodes(self, level: int) -> tuple[Path, ...]:
        """The nodes of a level as paths, numbered in the order in which the leaves name them first.

        Raises:
            ValueError: if there is no such level.
        """
        if not -self.levels <= level < self.levels:
            raise ValueError(f"level {level} does not exist; there are levels 0 (coarsest) to {self.levels - 1}")
        return self._nodes[level % self.levels]

    def coarsen(self, labels: ArrayLike, level: int) -> NDArray[np.int64]:
        """The class at a level for each leaf label, in the shape of the labels.

        Raises:
            ValueError: if a label is no leaf, or there is no such level.

        >>> Taxonomy.from_paths([("fish", "ray"), ("tree", "oak"), ("fish", "shark")]).coarsen([0, 1, 2], 0).tolist()
        [0, 1, 0]
        """
        self.nodes(level)  # refuses a level that does not exist
        return self._table[self._leaves(labels), level]

    def shuffled(self, seed: int) -> Taxonomy:
        """A tree of the same shape whose leaves are dealt to its places at random: the control for what a tree knows.

        The leaves keep their numbers and names; the nodes above them are called "group 1", "group 2", …, since their
        own names would no longer be true.

        Raises:
            ValueError: if two leaves that bear one name come under one parent.

        Taught in chapter 15.

        >>> tree = Taxonomy.from_paths([("fish", "ray"), ("fish", "shark"), ("tree", "oak"), ("tree", "elm")])
        >>> tree.shuffled(0).paths
        (('group 2', 'ray'), ('group 1', 'shark'), ('group 1', 'oak'), ('group 2', 'elm'))
        """
        places = np.random.default_rng(seed).permutation(len(self.paths))
        groups = self._table[places, :-1] + 1
        return Taxonomy.from_paths(
            [(*(f"group {group}" for group in above), leaf[-1]) for above, leaf in zip(groups, self.paths, strict=True)]
        )

    def kind(self, tree: str, seed: int) -> Taxonomy:
        """The tree that a recipe names: this one for "true", its control `shuffled` for "random".

        Raises:
            ValueError: if `tree` is neither, or for the reason of `shuffled`.

        Taught in chapter 15.
        """
        if tree not in TREES:
            raise ValueError(f"tree = {tree!r} is unknown; choose one of {', '.join(TREES)}")
        return self.shuffled(seed) if tree == "random" else self

    def lca_height(self, a: ArrayLike, b: ArrayLike) -> NDArray[np.int64]:
        """Height of the lowest common ancestor of leaves a and b, in edges above the leaves.

        0 for a leaf with itself, 1 for two leaves with one parent, L for two that meet at the root only. The two
        arguments are broadcast against each other.

        Raises:
            ValueError: if a label is no leaf.
        """
        same = self._table[self._leaves(a)] == self._table[self._leaves(b)]
        return np.asarray(self.levels - same.sum(axis=-1), dtype=np.int64)

    def severity(self, predicted: ArrayLike, true: ArrayLike) -> float:
        """Mean height of the mistakes; nan where there is none. What is right does not count.

        Args:
            predicted: [N] leaf labels.
            true: [N] leaf labels.

        Raises:
            ValueError: if a label is no leaf, or the shapes differ.

        Source: Bertinetto et al., arXiv:1912.09393. Taught in chapter 15.
        """
        guess, truth = self._leaves(predicted), self._leaves(true)
        if guess.shape != truth.shape:
            raise ValueError(f"{guess.shape} predicted and {truth.shape} true labels; give one of each per item")
        heights = self.lca_height(guess, truth)
        mistakes = heights[heights > 0]
        return float(mistakes.mean()) if len(mistakes) else float("nan")

    def hierarchical_distance(self, ranked: ArrayLike, true: ArrayLike, k: int) -> float:
        """Mean height between the true leaf and each of the first k guesses, over guesses and items.

        Args:
            ranked: [N, at least k] leaf labels, the most probable first.
            true: [N] leaf labels.
            k: how many guesses count, at least 1.

        Raises:
            ValueError: if a label is no leaf, or the shapes do not fit.

        Source: Bertinetto et al., arXiv:1912.09393. Taught in chapter 15.
        """
        guesses, truth = self._leaves(ranked), self._leaves(true)
        if guesses.ndim != 2 or truth.shape != guesses.shape[:1] or not 1 <= k <= guesses.shape[1] or not len(truth):
            raise ValueError(
                f"ranked has shape {guesses.shape}, true {truth.shape} and k is {k}; give [N, at least k] and [N]"
            )
        return float(self.lca_height(guesses[:, :k], truth[:, None]).mean())

    @cached_property
    def _nodes(self) -> tuple[tuple[Path, ...], ...]:
        return tuple(tuple(dict.fromkeys(leaf[: depth + 1] for leaf in self.paths)) for depth in range(self.levels))

    @cached_property
    def _table(self) -> NDArray[np.int64]:
        """[C, L] class of each leaf at each level."""
        numbers = [{node: number for number, node in enumerate(nodes)} for nodes in self._nodes]
        rows = [[numbers[depth][leaf[: depth + 1]] for depth in range(self.levels)] for leaf in self.paths]
        return np.array(rows, dtype=np.int64)

    def _leaves(self, labels: ArrayLike) -> NDArray[np.int64]:
        values = np.asarray(labels)
        if values.size and not np.issubdtype(values.dtype, np.integer):
            raise ValueError(f"labels are of type {values.dtype}; give leaf numbers, 0 to {len(self.paths) - 1}")
        outside = values[(values < 0) | (values >= len(self.paths))]
        if outside.size:
            raise ValueError(f"label {outside.flat[0]} is no leaf; there are leaves 0 to {len(self.paths) - 1}")
        return values.astype(np.int64)
