"""Scores beside accuracy: per class, balanced over classes, and whether confidence can be believed.

Scikit-learn computes what it has; the rest is checked here against closed forms. Probabilities go in, never logits.

Taught in chapters 2, 4 and 12.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as sklearn_metrics


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

    Only classes that occur among targets or predictions count. Taught in chapter 2.

    >>> round(macro_f1([0, 0, 1, 1], [0, 1, 1, 1]), 4)
    0.7333
    """
    true, predicted = _pair(targets, predictions)
    return float(sklearn_metrics.f1_score(true, predicted, average="macro", zero_division=0))


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
    scores, true = _checked_probabilities(probabilities, targets)
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
        ValueError: if the shapes differ, a confidence is no probability, or `bins` is below 1.

    >>> round(calibration_error_of([0.8] * 4, [True, True, True, False]), 6)
    0.05
    """
    stated, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if stated.ndim != 1 or stated.shape != right.shape or len(stated) == 0 or bins < 1:
        raise ValueError(
            f"confidence {stated.shape}, correct {right.shape}, {bins} bins; give [N], [N], at least 1 bin"
        )
    # A sum of float32 probabilities may pass 1 by a rounding.
    if not ((stated >= 0) & (stated <= 1 + 1e-3)).all():
        raise ValueError(f"confidence goes from {stated.min():g} to {stated.max():g}; give probabilities, in [0, 1]")
    return _gap(_bins_of(stated, right, bins))


def _gap(table: pd.DataFrame) -> float:
    filled = table[table["count"] > 0]
    gaps = (filled["confidence"] - filled["accuracy"]).abs()
    return float((gaps * filled["count"]).sum() / filled["count"].sum())


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


def _checked_probabilities(
    probabilities: ArrayLike, targets: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    scores, true = np.asarray(probabilities, dtype=np.float64), np.asarray(targets)
    if scores.ndim != 2 or true.shape != (len(scores),) or len(scores) == 0:
        raise ValueError(f"probabilities have shape {scores.shape} and targets {true.shape}; give [N, C] and [N]")
    _check_classes(true, scores.shape[1], "targets")
    # Half-precision records sum to 1 within about a thousandth.
    if not ((scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=5e-3)):
        raise ValueError("the rows are no probabilities (not in [0, 1] with sum 1); pass them through softmax first")
    return scores, true.astype(np.int64)
