"""Tables of recorded runs by the levels of a tree: how often right at each level, and how far off where wrong.

Everything is computed from the predicted leaf: its ancestor is the answer at a coarser level. Intervals are over seeds
and items (whole groups where they are recorded), as in `clslab.records`.

Taught in chapter 15.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from clslab import stats
from clslab.records import Predictions, Run, Split
from clslab.taxonomy import Taxonomy

Quantity = int | Literal["height"]
"""A level of the tree (0 the coarsest, −1 the leaves), or "height", see `tree_scores`."""


def tree_scores(
    runs: Sequence[Run],
    taxonomy: Taxonomy,
    quantity: Quantity,
    *,
    split: Split = "test",
    classes: ArrayLike | None = None,
) -> NDArray[Any]:
    """One score per seed and item: [seeds, N].

    Args:
        runs: of one recipe, on the same items.
        taxonomy: the tree; its leaves are the classes of the runs.
        quantity: a level, for 1 where the predicted leaf has the right ancestor there and 0 elsewhere; or "height", for
            the height of the lowest common ancestor of the predicted and the true leaf, 0 where it is right. Its mean
            over all items is the hierarchical distance of the first guess. (The mean over the mistakes alone, the
            severity, also falls when a model makes additional mild mistakes, and rises when it mends the mild ones.)
        split: "test" or "val".
        classes: numbers of leaves; only items that are one of them count, such as the rare classes'. None counts all.

    Raises:
        ValueError: if there is no run, the runs scored different items, the classes are no leaves of the tree, or no
            item is of the wanted classes.

    Source: Bertinetto et al., arXiv:1912.09393. Taught in chapter 15.
    """
    if not runs:
        raise ValueError("there are no runs; load them with clslab.records.load_runs")
    first = runs[0].predictions[split]
    chosen = _chosen(first, classes)
    rows = []
    for run in runs:
        said = run.predictions[split]
        if said.ids != first.ids:
            raise ValueError(f"the run of seed {run.seed} scored other items than that of seed {runs[0].seed}")
        if quantity == "height":
            rows.append(taxonomy.lca_height(said.predicted, said.targets).astype(np.float64))
        else:
            same = taxonomy.coarsen(said.predicted, quantity) == taxonomy.coarsen(said.targets, quantity)
            rows.append(same.astype(np.float64))
    return np.stack(rows)[:, chosen]


def levels_table(
    runs_by_name: Mapping[str, Sequence[Run]],
    taxonomy: Taxonomy,
    *,
    split: Split = "test",
    classes: ArrayLike | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """One row per recipe and quantity: accuracy at every level, coarse to fine, then the mean height and the severity.

    Args:
        runs_by_name: as `clslab.records.load_runs` returns it.
        taxonomy: the tree of the runs' classes.
        split: "test" or "val".
        classes: as for `tree_scores`.
        confidence: coverage of the intervals.

    Returns:
        Columns `name`, `seeds`, `n`, `quantity` (a level, "height" or "severity"), `mean`, `low`, `high`. The severity
        is the mean height of the mistakes alone, nan where there is none.

    Raises:
        ValueError: for the reasons of `tree_scores`.

    Taught in chapter 15.
    """
    rows = []
    for name, runs in runs_by_name.items():
        for quantity in (*range(taxonomy.levels), "height"):
            scores = tree_scores(runs, taxonomy, quantity, split=split, classes=classes)
            groups = _groups(runs, split, classes)
            found = {quantity: stats.bootstrap(scores, groups=groups, confidence=confidence)}
            if quantity == "height":
                found["severity"] = stats.ratio_bootstrap(scores, scores > 0, groups=groups, confidence=confidence)
            for what, (mean, low, high) in found.items():
                row = {"name": name, "seeds": len(runs), "n": scores.shape[1], "quantity": what}
                rows.append(row | {"mean": mean, "low": low, "high": high})
    return pd.DataFrame(rows, columns=["name", "seeds", "n", "quantity", "mean", "low", "high"])


def tree_difference(
    runs_a: Sequence[Run],
    runs_b: Sequence[Run],
    taxonomy: Taxonomy,
    quantity: Quantity,
    *,
    split: Split = "test",
    classes: ArrayLike | None = None,
    confidence: float = 0.95,
) -> tuple[float, float, float]:
    """Difference A − B of two recipes at a level or in height, with its paired bootstrap interval.

    Args:
        runs_a: of recipe A.
        runs_b: of recipe B, on the same items.
        taxonomy: the tree of the runs' classes.
        quantity: as for `tree_scores`.
        split: "test" or "val".
        classes: as for `tree_scores`.
        confidence: coverage of the interval.

    Raises:
        ValueError: if the two scored different items, or for the reasons of `tree_scores`.

    Taught in chapter 15.
    """
    a = tree_scores(runs_a, taxonomy, quantity, split=split, classes=classes)
    b = tree_scores(runs_b, taxonomy, quantity, split=split, classes=classes)
    if runs_a[0].predictions[split].ids != runs_b[0].predictions[split].ids:
        raise ValueError("A and B scored different items; compare runs on the same data")
    return stats.paired_bootstrap(a, b, groups=_groups(runs_a, split, classes), confidence=confidence)


def _chosen(said: Predictions, classes: ArrayLike | None) -> NDArray[np.bool_]:
    """[M] whether an item is of the wanted classes."""
    if classes is None:
        return np.ones(len(said.targets), dtype=bool)
    inside = np.isin(said.targets, np.asarray(classes))
    if not inside.any():
        raise ValueError(f"no item is of the classes {np.asarray(classes).tolist()}; give classes that were scored")
    return inside


def _groups(runs: Sequence[Run], split: Split, classes: ArrayLike | None) -> NDArray[Any] | None:
    said = runs[0].predictions[split]
    return None if said.groups is None else np.asarray(said.groups)[_chosen(said, classes)]
