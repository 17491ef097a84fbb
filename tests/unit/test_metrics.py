"""Metrics against scikit-learn and against closed forms."""

import numpy as np
import pytest
from sklearn import metrics as reference

from clslab import metrics


@pytest.fixture
def labels():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 4, 200)
    return targets, np.where(rng.random(200) < 0.6, targets, rng.integers(0, 4, 200))


def test_confusion_rows_are_true_classes():
    matrix = metrics.confusion_matrix([0, 0, 0, 2], [1, 1, 0, 2], 3)
    assert matrix.tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 1]]
    assert matrix.dtype == np.int64


def test_against_scikit_learn(labels):
    targets, predictions = labels
    assert np.array_equal(
        metrics.confusion_matrix(targets, predictions, 4), reference.confusion_matrix(targets, predictions)
    )
    assert metrics.balanced_accuracy(targets, predictions) == pytest.approx(
        reference.balanced_accuracy_score(targets, predictions)
    )
    assert metrics.macro_f1(targets, predictions) == pytest.approx(
        reference.f1_score(targets, predictions, average="macro")
    )
    recalls = reference.recall_score(targets, predictions, average=None)
    assert metrics.per_class_recall(targets, predictions, 4) == pytest.approx(recalls)


def test_balanced_accuracy_leaves_out_absent_classes():
    assert metrics.balanced_accuracy([0, 0, 3], [0, 1, 3]) == pytest.approx(0.75)
    assert metrics.balanced_accuracy([0, 0], [5, 5]) == 0
    assert metrics.balanced_accuracy([0, 0], [0, 0]) == 1


@pytest.mark.parametrize(
    ("targets", "predictions", "message"),
    [
        ([0, 3], [0, 1], "targets hold class 3, outside 0 to 2"),
        ([0, 1], [0, -1], "predictions hold class -1"),
        ([0, 1], [0], "one class per item"),
        ([], [], "one class per item"),
        ([0, 1], [0.2, 0.8], "as whole numbers, not scores"),
    ],
)
def test_wrong_labels_are_refused(targets, predictions, message):
    with pytest.raises(ValueError, match=message):
        metrics.confusion_matrix(targets, predictions, 3)


def test_calibration_closed_forms():
    sure = np.array([[1.0, 0.0]] * 4)
    assert metrics.expected_calibration_error(sure, [0, 0, 0, 0]) == 0
    assert metrics.expected_calibration_error(sure, [0, 0, 1, 1]) == pytest.approx(0.5)
    assert metrics.expected_calibration_error([[0.75, 0.25]] * 4, [0, 0, 0, 1]) == pytest.approx(0)


def test_calibration_of_two_bins_by_hand():
    probabilities = [[0.6, 0.4], [0.6, 0.4], [0.9, 0.1], [0.9, 0.1]]
    # bin (.5, .75]: confidence .6, accuracy .5; bin (.75, 1]: confidence .9, accuracy 1
    found = metrics.expected_calibration_error(probabilities, [0, 1, 0, 0], bins=4)
    assert found == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)


def test_gaps_of_one_bin_cancel_and_those_of_two_do_not():
    probabilities, targets = [[0.6, 0.4], [0.9, 0.1]], [0, 1]
    assert metrics.expected_calibration_error(probabilities, targets, bins=1) == pytest.approx(0.25)
    assert metrics.expected_calibration_error(probabilities, targets, bins=4) == pytest.approx((0.4 + 0.9) / 2)


def test_bins_are_closed_on_the_right():
    table = metrics.reliability_bins([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]], [0, 0, 0], bins=4)
    assert table["count"].tolist() == [0, 1, 1, 1]
    assert table["high"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert np.isnan(table["accuracy"][0])
    assert np.isnan(table["confidence"][0])


def test_rounding_past_one_stays_in_the_last_bin():
    scores = np.array([[1.0 + 1e-7, 0.0]])
    assert metrics.reliability_bins(scores, [0], bins=3)["count"].tolist() == [0, 0, 1]


def test_logits_are_refused():
    with pytest.raises(ValueError, match="through softmax first"):
        metrics.expected_calibration_error([[2.0, -1.0]], [0])
    with pytest.raises(ValueError, match="bins = 0"):
        metrics.reliability_bins([[1.0, 0.0]], [0], bins=0)
    with pytest.raises(ValueError, match="targets hold class 2"):
        metrics.reliability_bins([[1.0, 0.0]], [2])


def test_the_calibration_error_of_confidences_is_that_of_their_rows():
    rng = np.random.default_rng(0)
    scores, targets = rng.dirichlet(np.ones(7), 300), rng.integers(0, 7, 300)
    whole = metrics.expected_calibration_error(scores, targets)
    assert metrics.calibration_error_of(scores.max(axis=1), scores.argmax(axis=1) == targets) == pytest.approx(whole)


@pytest.mark.parametrize(
    ("confidence", "correct", "bins"),
    [([0.5, 0.5], [True], 15), ([], [], 15), ([1.2], [True], 15), ([-0.1], [True], 15), ([0.5], [True], 0)],
)
def test_confidences_that_are_none(confidence, correct, bins):
    with pytest.raises(ValueError, match="confidence"):
        metrics.calibration_error_of(confidence, correct, bins)
