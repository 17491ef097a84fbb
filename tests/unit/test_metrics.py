"""Metrics against scikit-learn and against closed forms."""

import numpy as np
import pytest
from sklearn import metrics as reference

from clslab import metrics
from clslab.taxonomy import Taxonomy


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


def test_reliability_bins_from_confidences_are_those_of_the_rows(scores):
    probabilities, targets = scores
    whole = metrics.reliability_bins(probabilities, targets, bins=7)
    of_confidence = metrics.reliability_bins_of(
        probabilities.max(axis=1), probabilities.argmax(axis=1) == targets, bins=7
    )
    assert whole.equals(of_confidence)


# ------------------------------------------------------------------------- many classes, many thresholds


@pytest.fixture
def scores():
    """[300, 7] probabilities that know something, and targets; the last class does not occur."""
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 6, 300)
    logits = rng.normal(size=(300, 7)) + 2 * (targets[:, None] == np.arange(7))
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True), targets


@pytest.mark.parametrize("k", [1, 2, 5, 7])
def test_topk_accuracy_is_scikit_learns(k, scores):
    probabilities, targets = scores
    expected = 1.0 if k == 7 else reference.top_k_accuracy_score(targets, probabilities, k=k, labels=np.arange(7))
    assert metrics.topk_accuracy(probabilities, targets, k) == pytest.approx(expected)


def test_of_equal_probabilities_the_first_comes_first():
    assert metrics.topk_accuracy([[0.25] * 4] * 4, [0, 1, 2, 3], k=2) == 0.5


def rank_statistic(scores, truth):
    """Probability that a positive beats a negative, ties by half: the area's own definition."""
    ahead = scores[truth][:, None] - scores[~truth][None, :]
    return ((ahead > 0) + 0.5 * (ahead == 0)).mean()


def test_the_area_under_roc_is_the_probability_to_be_ahead(scores):
    probabilities, targets = scores
    rounded = np.round(probabilities, 1)  # many ties
    rounded[:, 0] += 1 - rounded.sum(axis=1)
    rounded = np.abs(rounded) / np.abs(rounded).sum(axis=1, keepdims=True)
    for given in (probabilities, rounded):
        for positive in range(6):
            curve = metrics.roc_curve(given, targets, positive=positive)
            assert curve.area == pytest.approx(rank_statistic(given[:, positive], targets == positive))
            assert (np.diff(curve.false_positive_rate) >= 0).all()
        pooled = metrics.roc_curve(given, targets)
        assert pooled.area == pytest.approx(rank_statistic(given.ravel(), (targets[:, None] == np.arange(7)).ravel()))


def test_precision_and_recall_are_those_of_each_threshold(scores):
    probabilities, targets = scores
    for positive in (2, None):
        curve = metrics.pr_curve(probabilities, targets, positive=positive)
        own = probabilities.ravel() if positive is None else probabilities[:, positive]
        truth = ((targets[:, None] == np.arange(7)) if positive is None else targets == positive).ravel()
        for place in range(0, len(curve.thresholds), 40):
            taken = own >= curve.thresholds[place]
            assert curve.precision[place] == pytest.approx(truth[taken].mean())
            assert curve.recall[place] == pytest.approx(taken[truth].mean())
        assert curve.prevalence == pytest.approx(truth.mean())
        steps = -(np.diff(curve.recall) * curve.precision[:-1]).sum()
        assert curve.average_precision == pytest.approx(steps)


def test_means_over_classes_leave_out_what_does_not_occur(scores):
    probabilities, targets = scores
    present = probabilities[:, :6] / probabilities[:, :6].sum(axis=1, keepdims=True)
    one_hot = np.eye(6)[targets]
    assert metrics.auroc(present, targets) == pytest.approx(
        reference.roc_auc_score(targets, present, multi_class="ovr", average="macro")
    )
    assert metrics.average_precision(present, targets) == pytest.approx(
        reference.average_precision_score(one_hot, present, average="macro")
    )
    assert metrics.auroc(present, targets, average="micro") == pytest.approx(
        reference.roc_auc_score(one_hot, present, average="micro")
    )
    assert metrics.average_precision(present, targets, average="micro") == pytest.approx(
        reference.average_precision_score(one_hot, present, average="micro")
    )
    for each in (metrics.per_class_auroc, metrics.per_class_average_precision):
        found = each(probabilities, targets)
        assert np.isnan(found[6])
        assert np.isfinite(found[:6]).all()
        mean = metrics.auroc if each is metrics.per_class_auroc else metrics.average_precision
        assert mean(probabilities, targets) == pytest.approx(found[:6].mean())


def test_a_high_area_goes_with_a_poor_classifier():
    """A hundred classes, the true one never first and always among the first five: accuracy 0."""
    probabilities = np.full((100, 100), 0.9 / 96 / 10)
    for row in range(100):
        probabilities[row, (row + np.arange(1, 5)) % 100] = 0.2
        probabilities[row, row] = 0.15
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    targets = np.arange(100)
    assert (probabilities.argmax(axis=1) == targets).mean() == 0
    assert metrics.auroc(probabilities, targets) > 0.95
    assert metrics.average_precision(probabilities, targets) < 0.3


def test_top_confusions_are_the_largest_off_the_diagonal(labels):
    matrix = np.array([[90, 1, 9], [4, 5, 4], [0, 9, 1]])
    found = metrics.top_confusions(matrix, 4)
    assert found[["true", "predicted", "count"]].to_numpy().tolist() == [[0, 2, 9], [2, 1, 9], [1, 0, 4], [1, 2, 4]]
    assert found["share"].tolist() == pytest.approx([0.09, 0.9, 4 / 13, 4 / 13])
    assert len(metrics.top_confusions(matrix, 99)) == 5
    assert matrix[0, 0] == 90  # left as it was
    assert len(metrics.top_confusions(np.eye(3, dtype=int))) == 0


def test_a_coarse_matrix_is_that_of_coarse_labels():
    rng = np.random.default_rng(0)
    tree = Taxonomy.from_paths([(f"s{number % 3}", f"c{number}") for number in (0, 1, 2, 3, 4, 5, 6)])
    targets, predictions = rng.integers(0, 7, (2, 400))
    found = metrics.coarse_confusion(metrics.confusion_matrix(targets, predictions, 7), tree)
    expected = metrics.confusion_matrix(tree.coarsen(targets, 0), tree.coarsen(predictions, 0), 3)
    assert found.tolist() == expected.tolist()


LOGITS, FINE = [[2.0, -1.0]], [[0.5, 0.5]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.roc_curve(LOGITS, [0]), "through softmax first"),
        (lambda: metrics.pr_curve(LOGITS, [0]), "through softmax first"),
        (lambda: metrics.auroc(LOGITS, [0]), "through softmax first"),
        (lambda: metrics.average_precision(LOGITS, [0]), "through softmax first"),
        (lambda: metrics.topk_accuracy(LOGITS, [0], 1), "through softmax first"),
        (lambda: metrics.topk_accuracy(FINE, [0], 3), "k = 3 is out of range; there are 2 classes"),
        (lambda: metrics.roc_curve(FINE, [0], positive=2), "positive = 2 is no class"),
        (lambda: metrics.roc_curve(FINE, [0], positive=1), "no item of class 1"),
        (lambda: metrics.roc_curve(FINE, [0], positive=0), "nothing but class 0"),
        (lambda: metrics.auroc(FINE, [0]), "every item is of class 0"),
        (lambda: metrics.top_confusions([[1, 2]]), r"the matrix is int64 \(1, 2\)"),
        (lambda: metrics.top_confusions([[0.5, 0.5], [0, 1]]), "the matrix is float64"),
        (lambda: metrics.top_confusions([[1, 2], [3, 4]], classes=["a"]), "1 names and k = 10 for a matrix of 2"),
        (
            lambda: metrics.coarse_confusion([[1]], Taxonomy.from_paths([("a", "b"), ("a", "c")])),
            "a matrix of 1 classes and a tree",
        ),
    ],
)
def test_what_cannot_be_scored_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ------------------------------------------------------------------------- classes of unequal frequency


def test_groups_by_frequency_hold_each_class_once_and_their_ends_are_medium():
    counts = [450, 101, 100, 60, 20, 19, 1]
    found = metrics.frequency_groups(counts)
    assert {name: numbers.tolist() for name, numbers in found.items()} == {
        "many": [0, 1],
        "medium": [2, 3, 4],
        "few": [5, 6],
    }
    assert sorted(np.concatenate(list(found.values()))) == list(range(7))


def test_recall_by_frequency_is_the_mean_of_the_recalls_of_a_group(labels):
    targets, predictions = labels
    recalls = metrics.per_class_recall(targets, predictions, 4)
    found = metrics.recall_by_frequency(targets, predictions, [500, 50, 30, 3])
    assert found["many"] == pytest.approx(recalls[0])
    assert found["medium"] == pytest.approx(recalls[1:3].mean())
    assert found["few"] == pytest.approx(recalls[3])
    assert found["all"] == pytest.approx(metrics.balanced_accuracy(targets, predictions))


def test_a_group_without_a_class_that_occurs_is_nan():
    found = metrics.recall_by_frequency([0, 0, 1], [0, 1, 1], [500, 400, 5])
    assert np.isnan(found["medium"])
    assert np.isnan(found["few"])
    assert found["many"] == found["all"] == pytest.approx(0.75)


def test_accuracy_at_shares_is_that_of_a_set_with_these_shares():
    """Every picture of class 1 three times over: the accuracy of that set, computed outright."""
    rng = np.random.default_rng(0)
    targets, predictions = rng.integers(0, 3, (2, 90))
    times = np.where(targets == 1, 3, 1)
    thrice = np.repeat(targets, times), np.repeat(predictions, times)
    shares = np.bincount(thrice[0])
    expected = (thrice[0] == thrice[1]).mean()
    assert metrics.accuracy_at_shares(targets, predictions, shares) == pytest.approx(expected)
    own = np.bincount(targets)
    assert metrics.accuracy_at_shares(targets, predictions, own) == pytest.approx((targets == predictions).mean())
    assert metrics.accuracy_at_shares([0, 0], [0, 1], [1, 0]) == 0.5  # a class of share 0 need not occur


def test_precision_at_prevalence_is_that_of_each_threshold(scores):
    probabilities, targets = scores
    roc = metrics.roc_curve(probabilities, targets, positive=2)
    prevalence = (targets == 2).mean()
    found = metrics.precision_at_prevalence(roc.true_positive_rate, roc.false_positive_rate, prevalence)
    assert found[0] == 1  # nothing is taken
    for place in range(1, len(found), 10):
        taken = probabilities[:, 2] >= roc.thresholds[place]
        assert found[place] == pytest.approx((targets[taken] == 2).mean())
    rarer = metrics.precision_at_prevalence(roc.true_positive_rate, roc.false_positive_rate, prevalence / 10)
    assert (rarer <= found).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.frequency_groups([5, 1], few=100, many=20), "few = 100 is above many = 20"),
        (lambda: metrics.frequency_groups([5, -1]), r"counts have shape \(2,\)"),
        (lambda: metrics.frequency_groups([]), r"counts have shape \(0,\)"),
        (lambda: metrics.recall_by_frequency([3], [0], [5, 1]), "targets hold class 3"),
        (lambda: metrics.accuracy_at_shares([0], [0], [1, -1]), "none negative"),
        (lambda: metrics.accuracy_at_shares([0], [0], [0, 0]), "not all 0"),
        (lambda: metrics.accuracy_at_shares([0], [0], [1, 1]), "class 1 is to have a share and no picture"),
        (lambda: metrics.precision_at_prevalence([0.5], [0.1], 0), "prevalence = 0 is out of range"),
        (lambda: metrics.precision_at_prevalence([0.5], [0.1], 1), "prevalence = 1 is out of range"),
        (lambda: metrics.precision_at_prevalence([50], [10], 0.5), "true_positive_rate goes from 50"),
        (lambda: metrics.precision_at_prevalence([0.5], [0.1, 0.2], 0.5), "at the same thresholds"),
    ],
)
def test_what_has_no_frequency_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()
