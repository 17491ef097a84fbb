"""Classifiers without a training loop: probes on fixed features, and the two baselines that every model has to beat.

Taught in chapters 1 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from clslab.data.images import ImageDataset

STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # candidates for C, the inverse of the regularisation
CLASSIFIERS = ("logistic", "svm")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Probe:
    """A linear classifier on standardised features.

    Attributes:
        pipeline: scikit-learn's scaler and classifier.
        num_classes: C, of the data set; classes that training lacked have probability 0.
        strength: the C that validation chose.
    """

    pipeline: Any
    num_classes: int
    strength: float

    def probabilities(self, features: ArrayLike) -> Floats:
        """Probabilities [N, C] of features [N, D].

        An SVM gives margins, not probabilities. Their logistic function (softmax of more than two) stands in: it is
        highest for the class that the SVM predicts and ranks items as the margins do, but is not calibrated.
        """
        rows = np.asarray(features)
        found = np.zeros((len(rows), self.num_classes))
        found[:, self.pipeline.classes_] = self._of_classes(rows)
        return found

    def _of_classes(self, rows: NDArray[Any]) -> Floats:
        """Probabilities of the classes that training held."""
        if hasattr(self.pipeline, "predict_proba"):
            return self.pipeline.predict_proba(rows)
        margins = self.pipeline.decision_function(rows)
        if margins.ndim == 1:  # two classes have one margin
            return np.stack([expit(-margins), expit(margins)], axis=1)
        return softmax(margins, axis=1)

    def linear(self) -> tuple[Floats, Floats]:
        """Weights [C, D] and biases [C] of the linear layer that gives the same probabilities, scaling included.

        Raises:
            ValueError: if the probe is no logistic regression, or training lacked a class.
        """
        scaler, regression = self.pipeline[0], self.pipeline[-1]
        if not isinstance(regression, LogisticRegression) or len(regression.classes_) != self.num_classes:
            raise ValueError("only a logistic probe that saw every class is one linear layer")
        weights, biases = regression.coef_, regression.intercept_
        if self.num_classes == 2:  # scikit-learn keeps one row for two classes
            weights, biases = np.concatenate([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
        weights = weights / scaler.scale_
        return weights, biases - weights @ scaler.mean_


def fit_probe(
    features: ArrayLike,
    targets: ArrayLike,
    val_features: ArrayLike,
    val_targets: ArrayLike,
    *,
    num_classes: int,
    classifier: str = "logistic",
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
) -> Probe:
    """A linear classifier on standardised features, its regularisation chosen on the validation split.

    C is the one of `strengths` with the highest validation accuracy, the smallest of them where several tie.

    Args:
        features: [N, D] of the training pictures.
        targets: [N] their classes.
        val_features: [M, D].
        val_targets: [M].
        num_classes: C of the data set.
        classifier: "logistic" (logistic regression) or "svm" (linear support vector machine).
        strengths: candidates for C; a single one is taken as it is.
        seed: of the SVM's solver.

    Raises:
        ValueError: if the classifier is unknown, or training holds a single class.

    Taught in chapter 5.
    """
    _check_classifier(classifier)
    x, y = np.asarray(features, dtype=np.float64), np.asarray(targets)
    val_x, val_y = np.asarray(val_features, dtype=np.float64), np.asarray(val_targets)
    if len(np.unique(y)) < 2:
        raise ValueError(f"all {len(y)} training items have class {y[0]}; a probe needs at least two classes")
    candidates = [_linear(classifier, strength, seed).fit(x, y) for strength in strengths]
    accuracies = [float(np.mean(candidate.predict(val_x) == val_y)) for candidate in candidates]
    best = int(np.argmax(accuracies))
    return Probe(candidates[best], num_classes, strengths[best])


# [out-of-fold]
def out_of_fold(
    features: ArrayLike,
    targets: ArrayLike,
    *,
    num_classes: int,
    groups: ArrayLike | None = None,
    folds: int = 5,
    seed: int = 0,
    classifier: str = "logistic",
    strength: float = 0.01,
) -> Floats:
    """Probabilities [N, C] of every item from a linear probe that was not fitted to it: cross-validation.

    The items are dealt into folds; each fold is scored by a probe fitted to the others. With `groups`, a group lies in
    one fold as a whole, so that nothing of it was fitted to. Classes are shared out evenly in both cases.

    Args:
        features: [N, D].
        targets: [N] classes.
        num_classes: C of the data set.
        groups: [N] group of each item; None deals item by item.
        folds: number of folds, from 2 to the number of groups (or items).
        seed: of the dealing, and of the SVM's solver.
        classifier: as for `fit_probe`.
        strength: C of the classifier. It is fixed, for there is no split left to choose it on.

    Raises:
        ValueError: if `folds` is out of range, or the classifier is unknown.

    Taught in chapter 4.
    """
    _check_classifier(classifier)
    x, y = np.asarray(features, dtype=np.float64), np.asarray(targets)
    units = len(y) if groups is None else len(np.unique(np.asarray(groups)))
    if not 2 <= folds <= units:
        raise ValueError(f"folds = {folds}; {units} {'items' if groups is None else 'groups'} allow 2 to {units}")
    if groups is None:
        dealt = StratifiedKFold(folds, shuffle=True, random_state=seed).split(x, y)
    else:
        dealt = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(x, y, np.asarray(groups))
    probabilities = np.zeros((len(y), num_classes))
    for fitted, scored in dealt:
        probe = Probe(_linear(classifier, strength, seed).fit(x[fitted], y[fitted]), num_classes, strength)
        probabilities[scored] = probe.probabilities(x[scored])
    return probabilities


# [/out-of-fold]


def colour_numbers(dataset: ImageDataset) -> Floats:
    """Six numbers [N, 6] per picture: mean and standard deviation of red, green and blue, in [0, 1].

    What a model knows beyond them is not colour alone. Taught in chapter 1.
    """
    rows = []
    for index in range(len(dataset)):
        pixels = np.asarray(dataset.image(index), dtype=np.float64) / 255
        rows.append(np.concatenate([pixels.mean(axis=(0, 1)), pixels.std(axis=(0, 1))]))
    return np.stack(rows)


def class_shares(targets: ArrayLike, num_classes: int) -> Floats:
    """Share [C] of each class: the "majority" baseline predicts these for every item.

    Taught in chapter 1.

    >>> class_shares([0, 0, 0, 1], 2).tolist()
    [0.75, 0.25]
    """
    counts = np.bincount(np.asarray(targets), minlength=num_classes)
    return counts / counts.sum()


def _check_classifier(classifier: str) -> None:
    if classifier not in CLASSIFIERS:
        raise ValueError(f"classifier = {classifier!r} is unknown; choose one of {', '.join(CLASSIFIERS)}")


def _linear(classifier: str, strength: float, seed: int) -> Pipeline:
    if classifier == "svm":
        return make_pipeline(StandardScaler(), LinearSVC(C=strength, max_iter=20_000, random_state=seed))
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5_000))
