"""Temperatures against closed forms and a brute search; class shares against Bayes' rule."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from clslab import calibration, metrics


def drawn(n: int = 4000, classes: int = 7, *, times: float = 1.0, seed: int = 0):
    """Logits whose softmax is `times` as sharp as the truth that the classes are drawn from."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 1.5, (n, classes))
    chances = softmax(honest, axis=1).cumsum(axis=1)
    return times * honest, (chances > rng.random((n, 1))).argmax(axis=1)


def loss(logits, targets, temperature):
    return -log_softmax(logits / temperature, axis=1)[np.arange(len(targets)), targets].mean()


@pytest.mark.parametrize("sure", [0.6, 0.9, 0.99])
@pytest.mark.parametrize("right", [0.55, 0.75, 0.95])
def test_two_classes_have_a_closed_form(sure, right):
    rows = [[sure, 1 - sure]] * 100
    targets = [0] * round(100 * right) + [1] * round(100 * (1 - right))
    expected = np.log(sure / (1 - sure)) / np.log(right / (1 - right))
    assert calibration.fit_temperature(rows, targets) == pytest.approx(expected)


@pytest.mark.parametrize("times", [0.3, 1.0, 4.0])
def test_no_other_temperature_has_a_smaller_loss(times):
    logits, targets = drawn(times=times)
    found = calibration.fit_temperature(logits, targets, logits=True)
    assert found == pytest.approx(times, rel=0.1)
    for other in (0.5, 0.99, 1.01, 2.0):
        assert loss(logits, targets, found) < loss(logits, targets, other * found)


def test_probabilities_and_their_logits_have_one_temperature():
    logits, targets = drawn(times=2.0)
    shifted = logits + np.linspace(-50, 50, len(logits))[:, None]  # a constant for each row says nothing
    of_logits = calibration.fit_temperature(shifted, targets, logits=True)
    assert calibration.fit_temperature(softmax(logits, axis=1), targets) == pytest.approx(of_logits)
    warm = calibration.apply_temperature(softmax(logits, axis=1), of_logits)
    assert warm == pytest.approx(calibration.apply_temperature(shifted, of_logits, logits=True))
    assert warm == pytest.approx(softmax(logits / of_logits, axis=1))


def test_a_temperature_calibrates_and_changes_no_order():
    logits, targets = drawn(times=3.0)
    cooled = calibration.apply_temperature(
        logits, calibration.fit_temperature(logits, targets, logits=True), logits=True
    )
    assert np.array_equal(np.argsort(cooled, axis=1), np.argsort(logits, axis=1))
    sure = softmax(logits, axis=1)
    assert metrics.expected_calibration_error(cooled, targets) < 0.03
    assert metrics.expected_calibration_error(sure, targets) > 0.15


def test_a_probability_that_was_rounded_to_zero_stays_finite():
    rows = np.array([[1.0, 0.0]] * 9 + [[0.7, 0.3]], dtype=np.float32)
    assert np.isfinite(calibration.fit_temperature(rows, [0] * 8 + [1, 0]))
    assert np.isfinite(calibration.apply_temperature(rows, 0.1)).all()


def test_other_class_shares_follow_bayes_rule():
    """One feature with three values, known chances: the posterior of another world is computed directly."""
    likelihood = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])  # of each value, for two classes
    before, after = np.array([0.9, 0.1]), np.array([0.25, 0.75])

    def posterior(shares):
        joint = likelihood.T * shares
        return joint / joint.sum(axis=1, keepdims=True)

    assert calibration.shift_prior(posterior(before), 90 * before, after) == pytest.approx(posterior(after))
    assert calibration.shift_prior(posterior(before), before) == pytest.approx(posterior(np.array([0.5, 0.5])))
    there_and_back = calibration.shift_prior(calibration.shift_prior(posterior(before), before, after), after, before)
    assert there_and_back == pytest.approx(posterior(before))


def test_the_strength_of_the_shift():
    rows = np.array([[0.8, 0.15, 0.05]])
    assert calibration.shift_prior(rows, [6, 3, 1], tau=0) == pytest.approx(rows)
    twice = calibration.shift_prior(calibration.shift_prior(rows, [6, 3, 1]), [6, 3, 1])
    assert calibration.shift_prior(rows, [6, 3, 1], tau=2) == pytest.approx(twice)


GOOD = [[0.6, 0.4], [0.3, 0.7]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibration.fit_temperature([[2.0, -1.0]], [0]), "through softmax first"),
        (lambda: calibration.fit_temperature([[2.0, np.nan]], [0], logits=True), "give finite"),
        (lambda: calibration.fit_temperature([[2.0, 1.0]], [0, 1], logits=True), r"logits have shape \(1, 2\)"),
        (lambda: calibration.fit_temperature([[2.0, 1.0]], [2], logits=True), "give classes below 2"),
        (lambda: calibration.fit_temperature([[2.0, 1.0]], [0.5], logits=True), "targets are float64"),
        (lambda: calibration.fit_temperature(GOOD, [0, 1]), "all 2 answers are right"),
        (lambda: calibration.fit_temperature(GOOD, [1, 0]), "no temperature helps"),
        (lambda: calibration.fit_temperature([[0.5, 0.5]], [0]), "no temperature helps"),
        (lambda: calibration.apply_temperature(GOOD, 0.0), "temperature = 0.0 is out of range"),
        (lambda: calibration.apply_temperature(GOOD, np.inf), "temperature = inf"),
        (lambda: calibration.shift_prior([[2.0, -1.0]], [1, 1]), "through softmax first"),
        (lambda: calibration.shift_prior(GOOD, [1, 2, 3]), r"trained has shape \(3,\) for 2 classes"),
        (lambda: calibration.shift_prior(GOOD, [5, 0]), "0 pictures of class 1"),
        (lambda: calibration.shift_prior(GOOD, [5, 1], [np.nan, 1]), "used has nan pictures of class 0"),
    ],
)
def test_what_cannot_be_done_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()
