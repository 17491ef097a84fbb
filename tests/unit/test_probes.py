"""Cross-validation on features: every item scored once, by a probe that had not seen it."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from clslab import probes


def _memory_task(groups: int = 20, members: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features that name the group and nothing else; the class belongs to the group."""
    rng = np.random.default_rng(0)
    group_of = np.repeat(np.arange(groups), members)
    labels = rng.permutation(np.arange(groups) % 2)[group_of]
    identity = rng.normal(size=(groups, 64))[group_of]
    return identity + 0.05 * rng.normal(size=identity.shape), labels, group_of


def test_each_item_is_scored_by_a_probe_fitted_to_the_others() -> None:
    # A label that is a pure coin toss cannot be foreseen out of fold, however many features remember it in fold.
    rng = np.random.default_rng(1)
    features, labels = rng.normal(size=(200, 150)), rng.integers(0, 2, 200)
    probabilities = probes.out_of_fold(features, labels, num_classes=2, strength=10.0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert 0.35 < np.mean(probabilities.argmax(axis=1) == labels) < 0.65


def test_keeping_groups_whole_takes_away_what_only_memory_knew() -> None:
    features, labels, group_of = _memory_task()
    by_item = probes.out_of_fold(features, labels, num_classes=2, strength=1.0)
    by_group = probes.out_of_fold(features, labels, num_classes=2, groups=group_of, strength=1.0)
    assert np.mean(by_item.argmax(axis=1) == labels) > 0.95
    assert np.mean(by_group.argmax(axis=1) == labels) < 0.8


@pytest.mark.parametrize("classifier", probes.CLASSIFIERS)
def test_out_of_fold_is_the_classifier_that_was_asked_for(classifier: str) -> None:
    features, labels, group_of = _memory_task()
    found = probes.out_of_fold(
        features, labels, num_classes=2, groups=group_of, folds=4, seed=5, classifier=classifier, strength=0.1
    )
    for learnt, asked in StratifiedGroupKFold(4, shuffle=True, random_state=5).split(features, labels, group_of):
        probe = probes.fit_probe(
            *(features[learnt], labels[learnt], features[asked], labels[asked]),
            num_classes=2,
            classifier=classifier,
            strengths=[0.1],
            seed=5,
        )
        np.testing.assert_allclose(found[asked], probe.probabilities(features[asked]))


def test_an_unknown_classifier_is_named() -> None:
    features, labels, _ = _memory_task()
    with pytest.raises(ValueError, match="classifier = 'knn' is unknown; choose one of logistic, svm"):
        probes.out_of_fold(features, labels, num_classes=2, classifier="knn")


def test_seed_decides_the_folds() -> None:
    features, labels, group_of = _memory_task()
    first, again, other = (
        probes.out_of_fold(features, labels, num_classes=2, groups=group_of, seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("folds", [0, 1, 21])
def test_a_number_of_folds_that_groups_do_not_allow(folds: int) -> None:
    features, labels, group_of = _memory_task()
    with pytest.raises(ValueError, match=rf"folds = {folds}; 20 groups allow 2 to 20"):
        probes.out_of_fold(features, labels, num_classes=2, groups=group_of, folds=folds)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_an_svm_predicts_what_scikit_learn_s_predicts(num_classes: int) -> None:
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(num_classes, 8))
    labels = rng.integers(0, num_classes, 400)
    features = centres[labels] + rng.normal(size=(400, 8))
    # A validation split in which one class is rare must not move the line between the classes.
    rare = np.flatnonzero((labels[200:] != 0) | (np.arange(200) % 10 == 0)) + 200
    probe = probes.fit_probe(
        features[:200], labels[:200], features[rare], labels[rare], num_classes=num_classes, classifier="svm"
    )
    found = probe.probabilities(features[200:])
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    np.testing.assert_array_equal(found.argmax(axis=1), probe.pipeline.predict(features[200:]))


def test_a_class_that_training_lacked_has_probability_zero() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 60) * 2  # classes 0 and 2 of three
    features = rng.normal(size=(60, 4)) + labels[:, None]
    for classifier in probes.CLASSIFIERS:
        probe = probes.fit_probe(features, labels, features, labels, num_classes=3, classifier=classifier)
        assert probe.probabilities(features)[:, 1].tolist() == [0.0] * 60
