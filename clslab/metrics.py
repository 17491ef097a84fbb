"""Scores beside accuracy: per class, balanced over classes, over all thresholds, and how far to trust a confidence.

Scikit-learn computes what it has; the rest is checked here against closed forms. Probabilities go in, never logits.

Taught in chapters 2, 4, 12 and 15.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as sklearn_metrics

from clslab.taxonomy import Taxonomy


def confusion_matrix(targets: ArrayLike, predictions: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    """Counts [C, C] of true class (row) against predicted class (column).

    Args:
        targets: [N] true classes, 0 to C − 1.
        predictions: [N] predicted classes.
        num_classes: C; classes that do not occur keep their empty row and column.

    Raises:
        ValueError: if the lengths differ or a class lies outside 0 to C − 1.

    Taught in chapter 2.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], 2).tolist()
    [[1, 1], [0, 1]]
    """
    true, predicted = _pair(targets, predictions)
    for name, values in (("targets", true), ("predictions", predicted)):
        _check_classes(values, num_classes, name)
    matrix = sklearn_metrics.confusion_matrix(true, predicted, labels=np.arange(num_classes))
    return np.asarray(matrix, dtype=np.int64)


def per_class_recall(targets: ArrayLike, predictions: ArrayLike, num_classes: int) -> NDArray[np.float64]:
    """Share [C] of each true class that was found; nan for a class without items.

    Taught in chapter 2.

    >>> per_class_recall([0, 0, 1], [0, 1, 1], 3).tolist()
    [0.5, 1.0, nan]
    """
    matrix = confusion_matrix(targets, predictions, num_classes)
    sizes = matrix.sum(axis=1).astype(np.float64)
    found = np.diag(matrix).astype(np.float64)
    return np.divide(found, sizes, out=np.full(num_classes, np.nan), where=sizes > 0)


def balanced_accuracy(targets: ArrayLike, predictions: ArrayLike) -> float:
    """Mean recall over the classes that occur among the targets: chance is 1/C whatever the class sizes are.

    Taught in chapter 4.

    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    """
    true, predicted = _pair(targets, predictions)
    classes = max(2, int(max(true.max(), predicted.max())) + 1)
    return float(np.nanmean(per_class_recall(true, predicted, classes)))


def macro_f1(targets: ArrayLike, predictions: ArrayLike) -> float:
    """Mean over classes of F1, the harmonic mean of precision and recall; a class never predicted counts as 0.

    Only classes that occur among targets or predictions count. It is the mean of the classes' own F1, not the F1 of the
    mean precision and the mean recall, which is never lower (arXiv:1911.03347). Taught in chapter 12.

    >>> round(macro_f1([0, 0, 1, 1], [0, 1, 1, 1]), 4)
    0.7333
    """
    true, predicted = _pair(targets, predictions)
    return float(sklearn_metrics.f1_score(true, predicted, average="macro", zero_division=0))


def topk_accuracy(probabilities: ArrayLike, targets: ArrayLike, k: int = 5) -> float:
    """Share of items whose true class is among the k most probable ones; of equal probabilities the first comes first.

    Args:
        probabilities: [N, C], rows that sum to 1.
        targets: [N] true classes.
        k: from 1 to C.

    Raises:
        ValueError: if rows are no probabilities, the shapes do not fit, or k is out of range.

    Taught in chapter 12.

    >>> topk_accuracy([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], [1, 2], k=2)
    0.5
    """
    scores, true = checked_probabilities(probabilities, targets)
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k = {k} is out of range; there are {scores.shape[1]} classes")
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float((first == true[:, None]).any(axis=1).mean())


def top_confusions(matrix: ArrayLike, k: int = 10, *, classes: Sequence[str] | None = None) -> pd.DataFrame:
    """The k most frequent mistakes, the most frequent first.

    Args:
        matrix: counts [C, C], rows true, columns predicted.
        k: at least 1; fewer rows come back where there are fewer kinds of mistakes.
        classes: the C names; numbers unless given.

    Returns:
        Columns `true`, `predicted`, `count` and `share` (of the items of the true class). Mistakes that are equally
        frequent stand in the order of the classes.

    Raises:
        ValueError: if the matrix is not square, or the names are not as many.

    Taught in chapter 12.

    >>> top_confusions([[8, 2], [0, 5]], classes=["cat", "dog"]).to_numpy().tolist()
    [['cat', 'dog', 2, 0.2]]
    """
    counts = _square(matrix)
    names = list(range(len(counts))) if classes is None else list(classes)
    if len(names) != len(counts) or k < 1:
        raise ValueError(
            f"{len(names)} names and k = {k} for a matrix of {len(counts)} classes; give one name per class"
        )
    mistakes = counts.copy()
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:k]
    true, predicted = np.unravel_index(order[mistakes.flat[order] > 0], mistakes.shape)
    found = mistakes[true, predicted]
    rows = {
        "true": [names[index] for index in true],
        "predicted": [names[index] for index in predicted],
        "count": found,
        "share": found / counts.sum(axis=1)[true],
    }
    return pd.DataFrame(rows)


def coarse_confusion(matrix: ArrayLike, taxonomy: Taxonomy, level: int = 0) -> NDArray[np.int64]:
    """A confusion matrix of leaves added up to the classes of a coarser level, [S, S].

    Args:
        matrix: counts [C, C] over the leaves, rows true, columns predicted.
        taxonomy: has C leaves; the classes of the level are numbered as by `Taxonomy.nodes`.
        level: 0 is the coarsest.

    Raises:
        ValueError: if the matrix is not square or has another size than the tree.

    Taught in chapters 12 and 15.

    >>> tree = Taxonomy.from_paths([("fish", "ray"), ("fish", "shark"), ("tree", "oak")])
    >>> coarse_confusion([[3, 2, 0], [1, 4, 0], [1, 0, 5]], tree).tolist()
    [[10, 0], [1, 5]]
    """
    counts = _square(matrix)
    if len(counts) != len(taxonomy.paths):
        raise ValueError(
            f"a matrix of {len(counts)} classes and a tree of {len(taxonomy.paths)}; give those of one set"
        )
    above = taxonomy.coarsen(np.arange(len(counts)), level)
    coarse = np.zeros((taxonomy.num_classes(level),) * 2, dtype=np.int64)
    np.add.at(coarse, (above[:, None], above[None, :]), counts)
    return coarse


# ---------------------------------------------------------------------------- over all thresholds


@dataclass(frozen=True)
class RocCurve:
    """What a threshold on the probability of a class finds, and what it wrongly takes along.

    Attributes:
        false_positive_rate: share of the others above each threshold, rising from 0 to 1.
        true_positive_rate: share of the class above it (its recall).
        thresholds: falling; the first is infinite.
        area: under the curve: the probability that an item of the class gets a higher one than another item.
    """

    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    area: float


@dataclass(frozen=True)
class PrCurve:
    """How much of what lies above a threshold is right, against how much is found.

    Attributes:
        recall: falling from 1 to 0.
        precision: the last point is 1 by convention.
        thresholds: rising, one fewer than points.
        average_precision: mean precision over the steps of the recall.
        prevalence: share of positives: the precision of guessing.
    """

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    average_precision: float
    prevalence: float


def roc_curve(probabilities: ArrayLike, targets: ArrayLike, *, positive: int | None = None) -> RocCurve:
    """The ROC curve of one class against the rest, or of all decisions together.

    Of C classes, the rest is C − 1 times as frequent: a rate of false positives that looks small may be many times the
    number of true ones, and an area near 1 goes with a poor classifier. `pr_curve` shows what this one hides.

    Args:
        probabilities: [N, C], rows that sum to 1.
        targets: [N] true classes.
        positive: the class; `None` pools the N · C decisions of all classes (micro-average).

    Raises:
        ValueError: if rows are no probabilities (logits, for instance), the shapes do not fit, or the class does not
            occur, or nothing else does.

    Taught in chapter 12.

    >>> roc_curve([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]], [0, 1, 1], positive=1).area
    1.0
    """
    scores, truth = _decisions(probabilities, targets, positive)
    false, true, thresholds = sklearn_metrics.roc_curve(truth, scores)
    return RocCurve(false, true, thresholds, float(sklearn_metrics.auc(false, true)))


def pr_curve(probabilities: ArrayLike, targets: ArrayLike, *, positive: int | None = None) -> PrCurve:
    """The curve of precision against recall of one class, or of all decisions together.

    Args:
        probabilities: as for `roc_curve`.
        targets: as for `roc_curve`.
        positive: as for `roc_curve`.

    Raises:
        ValueError: for the reasons of `roc_curve`.

    Taught in chapter 12.

    >>> round(pr_curve([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], [0, 0, 1], positive=1).average_precision, 4)
    0.5
    """
    scores, truth = _decisions(probabilities, targets, positive)
    precision, recall, thresholds = sklearn_metrics.precision_recall_curve(truth, scores)
    average = float(sklearn_metrics.average_precision_score(truth, scores))
    return PrCurve(recall, precision, thresholds, average, float(truth.mean()))


Pooling = Literal["macro", "micro"]


def auroc(probabilities: ArrayLike, targets: ArrayLike, *, average: Pooling = "macro") -> float:
    """Area under the ROC curve, as a mean over classes ("macro") or of all decisions together ("micro").

    The mean is over the classes that occur. Raises the errors of `roc_curve`. Taught in chapter 12.

    >>> auroc([[0.9, 0.1], [0.2, 0.8]], [0, 1])
    1.0
    """
    if average == "micro":
        return roc_curve(probabilities, targets).area
    return float(np.nanmean(per_class_auroc(probabilities, targets)))


def average_precision(probabilities: ArrayLike, targets: ArrayLike, *, average: Pooling = "macro") -> float:
    """Average precision, as a mean over classes ("macro") or of all decisions together ("micro").

    The mean is over the classes that occur. Raises the errors of `roc_curve`. Taught in chapter 12.

    >>> average_precision([[0.9, 0.1], [0.2, 0.8]], [0, 1])
    1.0
    """
    if average == "micro":
        return pr_curve(probabilities, targets).average_precision
    return float(np.nanmean(per_class_average_precision(probabilities, targets)))


def per_class_auroc(probabilities: ArrayLike, targets: ArrayLike) -> NDArray[np.float64]:
    """Area under the ROC curve of each class against the rest, [C]; nan for a class that does not occur.

    Raises the errors of `roc_curve`. Taught in chapter 12.

    >>> per_class_auroc([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]], [0, 1]).tolist()
    [1.0, 1.0, nan]
    """
    return _per_class(sklearn_metrics.roc_auc_score, probabilities, targets)


def per_class_average_precision(probabilities: ArrayLike, targets: ArrayLike) -> NDArray[np.float64]:
    """Average precision of each class against the rest, [C]; nan for a class that does not occur.

    Raises the errors of `roc_curve`. Taught in chapter 12.

    >>> per_class_average_precision([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]], [0, 1]).tolist()
    [1.0, 1.0, nan]
    """
    return _per_class(sklearn_metrics.average_precision_score, probabilities, targets)


# ---------------------------------------------------------------------------- several classes in one item


def mean_average_precision(scores: ArrayLike, present: ArrayLike) -> float:
    """Mean average precision (mAP): the mean of `label_average_precision` over the classes that occur.

    For items in which any number of classes may be present, such as a clip with several birds. Ranks count alone, so
    the scores need not be probabilities and rows need not sum to 1.

    Raises the errors of `label_average_precision`. Taught in chapter 15.

    >>> round(mean_average_precision([[0.9, 0.8, 0.1], [0.2, 0.7, 0.3]], [[1, 0, 0], [0, 1, 1]]), 3)
    0.833
    """
    return float(np.nanmean(label_average_precision(scores, present)))


def label_average_precision(scores: ArrayLike, present: ArrayLike) -> NDArray[np.float64]:
    """Average precision of each class over the items in which it may be present, [C]; nan for one that never is.

    Args:
        scores: [N, C], higher where the model is surer; finite.
        present: [N, C] of true and false, or 1 and 0.

    Raises:
        ValueError: if the shapes differ, a score is not finite, present holds something else, or no class occurs.

    Taught in chapter 15.
    """
    said, there = np.asarray(scores, dtype=np.float64), np.asarray(present)
    if said.ndim != 2 or said.shape != there.shape or said.size == 0:
        raise ValueError(f"scores have shape {said.shape} and present {there.shape}; give [N, C] for both")
    if not np.isin(there, (0, 1)).all():
        raise ValueError("present holds more than true and false; give for each item and class whether it is there")
    if not np.isfinite(said).all():
        raise ValueError("a score is not finite; give finite scores")
    if not there.any():
        raise ValueError("no class is present in any item, so there is nothing to find; give items with a class")
    found = np.full(said.shape[1], np.nan)
    for number in np.flatnonzero(there.any(axis=0)):
        found[number] = sklearn_metrics.average_precision_score(there[:, number].astype(bool), said[:, number])
    return found


# ---------------------------------------------------------------------------- where classes are not equally frequent


def frequency_groups(counts: ArrayLike, *, few: float = 20, many: float = 100) -> dict[str, NDArray[np.int64]]:
    """The classes with many, a medium number of and few training pictures: group -> numbers of its classes.

    Args:
        counts: [C] training pictures of each class.
        few: a class with fewer than so many has few.
        many: a class with more than so many has many.

    Raises:
        ValueError: if `few` is above `many`, or the counts are not [C] and none negative.

    Source: Liu et al., arXiv:1904.05160. Taught in chapter 12.

    >>> {name: found.tolist() for name, found in frequency_groups([500, 100, 20, 5]).items()}
    {'many': [0], 'medium': [1, 2], 'few': [3]}
    """
    sizes = np.asarray(counts, dtype=np.float64)
    if sizes.ndim != 1 or len(sizes) == 0 or not (sizes >= 0).all():
        raise ValueError(f"counts have shape {sizes.shape}; give the number of training pictures of each class")
    if few > many:
        raise ValueError(f"few = {few:g} is above many = {many:g}; a class would be in both groups")
    found = {"many": sizes > many, "medium": (sizes >= few) & (sizes <= many), "few": sizes < few}
    return {name: np.flatnonzero(inside) for name, inside in found.items()}


def recall_by_frequency(
    targets: ArrayLike, predictions: ArrayLike, counts: ArrayLike, *, few: float = 20, many: float = 100
) -> dict[str, float]:
    """Mean recall of the classes with many, a medium number of and few training pictures, and of all.

    On a test set with equally many pictures of each class this is the accuracy on the pictures of the group.

    Args:
        targets: [N] true classes.
        predictions: [N] predicted classes.
        counts: as for `frequency_groups`.
        few: as for `frequency_groups`.
        many: as for `frequency_groups`.

    Returns:
        The means for "many", "medium", "few" and "all"; nan for a group without a class that occurs.

    Raises:
        ValueError: for the reasons of `frequency_groups` and `confusion_matrix`.

    Source: Liu et al., arXiv:1904.05160. Taught in chapter 12.

    >>> recall_by_frequency([0, 0, 1, 2], [0, 0, 1, 0], [500, 50, 5])
    {'many': 1.0, 'medium': 1.0, 'few': 0.0, 'all': 0.6666666666666666}
    """
    groups = frequency_groups(counts, few=few, many=many)
    recalls = per_class_recall(targets, predictions, len(np.asarray(counts)))
    groups["all"] = np.arange(len(recalls))
    occurring = {name: found[np.isfinite(recalls[found])] for name, found in groups.items()}
    return {name: float(recalls[found].mean()) if len(found) else float("nan") for name, found in occurring.items()}


def accuracy_at_shares(targets: ArrayLike, predictions: ArrayLike, shares: ArrayLike) -> float:
    """The accuracy to expect where the classes have other shares than in the pictures that were scored.

    It is the mean of the recalls, weighted by the shares. Equal shares give the balanced accuracy.

    Args:
        targets: [N] true classes.
        predictions: [N] predicted classes.
        shares: [C] shares of the classes, or counts; they are brought to sum 1.

    Raises:
        ValueError: if a share is negative, or a class that is to have a share does not occur among the targets.

    Taught in chapter 12.

    >>> accuracy_at_shares([0, 0, 1, 1], [0, 0, 0, 1], [9, 1])
    0.95
    """
    weights = np.asarray(shares, dtype=np.float64)
    if weights.ndim != 1 or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise ValueError(f"shares have shape {weights.shape}; give one for each class, none negative, not all 0")
    recalls = per_class_recall(targets, predictions, len(weights))
    missing = np.flatnonzero(np.isnan(recalls) & (weights > 0))
    if len(missing):
        raise ValueError(
            f"class {missing[0]} is to have a share and no picture of it was scored, so its recall is unknown; give it "
            "the share 0, or score pictures of it"
        )
    return float(np.nansum(recalls * weights) / weights.sum())


def precision_at_prevalence(
    true_positive_rate: ArrayLike, false_positive_rate: ArrayLike, prevalence: float
) -> NDArray[np.float64]:
    """Share of right ones among what lies above a threshold, if so many of all items are positive: Bayes' rule.

    The two rates are shares within the positives and within the others, so they do not depend on how many there are of
    each. The precision does.

    Args:
        true_positive_rate: of each threshold, in [0, 1], any shape.
        false_positive_rate: likewise, in the same shape.
        prevalence: share of positives, strictly between 0 and 1.

    Returns:
        The precisions; 1, by convention, where nothing lies above the threshold.

    Raises:
        ValueError: if a rate or the prevalence is out of range, or the shapes differ.

    Taught in chapter 12.

    >>> precision_at_prevalence([0.8, 0.8], [0.05, 0.05], 0.01).round(3).tolist()
    [0.139, 0.139]
    """
    found, wrong = np.asarray(true_positive_rate, dtype=np.float64), np.asarray(false_positive_rate, dtype=np.float64)
    if found.shape != wrong.shape:
        raise ValueError(f"the rates have shapes {found.shape} and {wrong.shape}; give both at the same thresholds")
    for name, rates in (("true_positive_rate", found), ("false_positive_rate", wrong)):
        if not ((rates >= 0) & (rates <= 1)).all():
            raise ValueError(f"{name} goes from {rates.min():g} to {rates.max():g}; rates lie in [0, 1]")
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence = {prevalence} is out of range; it has to lie strictly between 0 and 1")
    right = prevalence * found
    taken = right + (1 - prevalence) * wrong
    return np.divide(right, taken, out=np.ones_like(taken), where=taken > 0)


# ---------------------------------------------------------------------------- calibration


def reliability_bins(probabilities: ArrayLike, targets: ArrayLike, bins: int = 15) -> pd.DataFrame:
    """The table behind a reliability diagram: confidence against accuracy in bins of equal width.

    Confidence is the probability of the predicted class. The bins are closed on the right, (low, high], so that 0.5
    belongs to the lower of two halves.

    Args:
        probabilities: [N, C], rows that sum to 1.
        targets: [N] true classes.
        bins: number of bins over (0, 1].

    Returns:
        One row per bin: `low`, `high`, `count`, `confidence` and `accuracy` (means within the bin, nan if empty).

    Raises:
        ValueError: if rows are no probabilities (logits, for instance), the shapes do not fit, or `bins` is below 1.

    Source: Guo et al., arXiv:1706.04599. Taught in chapter 12.

    >>> reliability_bins([[0.9, 0.1], [0.4, 0.6]], [0, 0], bins=2)["count"].tolist()
    [0, 2]
    """
    if bins < 1:
        raise ValueError(f"bins = {bins} is no number of bins; take at least 1")
    scores, true = checked_probabilities(probabilities, targets)
    return _bins_of(scores.max(axis=1), scores.argmax(axis=1) == true, bins)


def _bins_of(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int) -> pd.DataFrame:
    right = correct.astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    # A sum of float32 probabilities may pass 1 by a rounding: it belongs to the last bin.
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(place, weights=confidence, minlength=bins) / count
        accuracy = np.bincount(place, weights=right, minlength=bins) / count
    return pd.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "count": count, "confidence": mean_confidence, "accuracy": accuracy}
    )


def reliability_bins_of(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> pd.DataFrame:
    """The table of `reliability_bins` where only the confidence of each prediction is known, not the whole row.

    Args:
        confidence: [N] probability of the predicted class, in [0, 1].
        correct: [N] whether each prediction is right.
        bins: as for `reliability_bins`.

    Raises:
        ValueError: if the shapes differ, a confidence is no probability, or `bins` is below 1.

    >>> reliability_bins_of([0.9, 0.6], [True, False], bins=2)["count"].tolist()
    [0, 2]
    """
    stated, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if stated.ndim != 1 or stated.shape != right.shape or len(stated) == 0 or bins < 1:
        raise ValueError(
            f"confidence {stated.shape}, correct {right.shape}, {bins} bins; give [N], [N], at least 1 bin"
        )
    # A sum of float32 probabilities may pass 1 by a rounding.
    if not ((stated >= 0) & (stated <= 1 + 1e-3)).all():
        raise ValueError(f"confidence goes from {stated.min():g} to {stated.max():g}; give probabilities, in [0, 1]")
    return _bins_of(stated, right, bins)


def expected_calibration_error(probabilities: ArrayLike, targets: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error: the gap between confidence and accuracy, averaged over bins by their counts.

    Args:
        probabilities: [N, C], rows that sum to 1.
        targets: [N] true classes.
        bins: number of bins of equal width, closed on the right.

    Returns:
        A number in [0, 1]; 0 for a model that is right as often as it says.

    Raises:
        ValueError: for the reasons of `reliability_bins`.

    Source: Guo et al., arXiv:1706.04599. Taught in chapter 12.

    >>> round(expected_calibration_error([[0.8, 0.2]] * 4, [0, 0, 0, 1]), 6)
    0.05
    """
    return _gap(reliability_bins(probabilities, targets, bins))


def calibration_error_of(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error where only the confidence of each prediction is known, not the whole row.

    Args:
        confidence: [N] probability of the predicted class, in [0, 1].
        correct: [N] whether each prediction is right.
        bins: as for `expected_calibration_error`.

    Raises:
        ValueError: for the reasons of `reliability_bins_of`.

    >>> round(calibration_error_of([0.8] * 4, [True, True, True, False]), 6)
    0.05
    """
    return _gap(reliability_bins_of(confidence, correct, bins))


def _gap(table: pd.DataFrame) -> float:
    filled = table[table["count"] > 0]
    gaps = (filled["confidence"] - filled["accuracy"]).abs()
    return float((gaps * filled["count"]).sum() / filled["count"].sum())


def _decisions(
    probabilities: ArrayLike, targets: ArrayLike, positive: int | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probability and truth of each decision "is it this class?", of one class or of all."""
    scores, true = checked_probabilities(probabilities, targets)
    classes = scores.shape[1]
    if positive is None:
        scores, truth = scores.ravel(), (true[:, None] == np.arange(classes)).ravel()
    else:
        if not 0 <= positive < classes:
            raise ValueError(f"positive = {positive} is no class; there are classes 0 to {classes - 1}")
        scores, truth = scores[:, positive], true == positive
    if truth.all() or not truth.any():
        kind = "nothing but" if truth.all() else "no item of"
        raise ValueError(f"there is {kind} class {positive}, so there is nothing to tell apart; take another class")
    return scores, truth


def _per_class(score: Callable[..., float], probabilities: ArrayLike, targets: ArrayLike) -> NDArray[np.float64]:
    scores, true = checked_probabilities(probabilities, targets)
    if len(np.unique(true)) < 2:
        raise ValueError(f"every item is of class {true[0]}, so there is nothing to tell apart; give more items")
    found = np.full(scores.shape[1], np.nan)
    for number in np.unique(true):
        found[number] = score(true == number, scores[:, number])
    return found


def _square(matrix: ArrayLike) -> NDArray[np.int64]:
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not np.issubdtype(counts.dtype, np.integer):
        raise ValueError(f"the matrix is {counts.dtype} {counts.shape}; give counts [C, C], rows true")
    return counts.astype(np.int64)


def _pair(targets: ArrayLike, predictions: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    true, predicted = np.asarray(targets), np.asarray(predictions)
    if true.ndim != 1 or true.shape != predicted.shape or len(true) == 0:
        raise ValueError(
            f"targets have shape {true.shape} and predictions {predicted.shape}; give one class per item for both"
        )
    for name, values in (("targets", true), ("predictions", predicted)):
        if not np.issubdtype(values.dtype, np.integer) and not np.issubdtype(values.dtype, np.bool_):
            raise ValueError(f"{name} are of type {values.dtype}; give classes as whole numbers, not scores")
    return true.astype(np.int64), predicted.astype(np.int64)


def _check_classes(values: NDArray[np.int64], num_classes: int, name: str) -> None:
    outside = values[(values < 0) | (values >= num_classes)]
    if len(outside):
        raise ValueError(f"{name} hold class {outside[0]}, outside 0 to {num_classes - 1}; check num_classes")


def checked_probabilities(
    probabilities: ArrayLike, targets: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities [N, C] and targets [N] as arrays, if that is what they are.

    Raises:
        ValueError: if the rows are no probabilities, the shapes do not fit, or a target is no class.
    """
    scores, true = np.asarray(probabilities, dtype=np.float64), np.asarray(targets)
    if scores.ndim != 2 or true.shape != (len(scores),) or len(scores) == 0:
        raise ValueError(f"probabilities have shape {scores.shape} and targets {true.shape}; give [N, C] and [N]")
    _check_classes(true, scores.shape[1], "targets")
    # Half-precision records sum to 1 within about a thousandth.
    if not ((scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=5e-3)):
        raise ValueError("the rows are no probabilities (not in [0, 1] with sum 1); pass them through softmax first")
    return scores, true.astype(np.int64)
