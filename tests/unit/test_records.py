"""Predictions with many classes: three numbers per item instead of a row, and nothing lost that is asked for later."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student
from sklearn.metrics import top_k_accuracy_score

from clslab import metrics, records
from clslab.recipe import Recipe
from clslab.records import Predictions, Run


def predictions(items: int = 400, classes: int = 100, *, right: float = 3.0, names: str = "test/{:05d}") -> Predictions:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, classes, items)
    logits = rng.normal(size=(items, classes))
    logits[np.arange(items), targets] += right
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions.of(scores.astype(np.float32), targets, [names.format(index) for index in range(items)])


def through_json(found: Predictions) -> Predictions:
    return Predictions.from_dict(json.loads(json.dumps(found.to_dict())))


def test_scores_of_many_classes_add_two():
    found = predictions()
    scores = found.scores()
    labels = range(100)
    assert scores["top5_accuracy"] == pytest.approx(
        top_k_accuracy_score(found.targets, found.probabilities, k=5, labels=labels)
    )
    assert scores["ece"] == pytest.approx(metrics.expected_calibration_error(found.probabilities, found.targets))
    assert set(predictions(classes=20).scores()) == {"n", "loss", "accuracy", "balanced_accuracy"}


@pytest.mark.parametrize("classes", [21, 100, 300])
def test_many_classes_come_back_but_for_their_rows(classes):
    found = predictions(classes=classes)
    again = through_json(found)
    assert again.probabilities.shape == (400, 0)
    for name in ("targets", "predicted", "place"):
        assert np.array_equal(getattr(again, name), getattr(found, name)), name
        assert getattr(again, name).dtype == np.int64
    assert again.confidence == pytest.approx(found.confidence, rel=1e-3)
    assert again.own == pytest.approx(found.own, rel=1e-3)
    assert again.ids == found.ids
    assert np.array_equal(again.correct, found.correct)
    assert again.scores() == pytest.approx(found.scores(), abs=1e-3)
    assert through_json(again).scores() == again.scores()


def test_few_classes_keep_every_probability_as_before():
    found = predictions(classes=20)
    assert set(found.to_dict()) == {"probabilities", "targets", "predicted", "ids", "groups"}
    again = through_json(found)
    assert np.array_equal(again.probabilities, found.probabilities)
    for name in ("predicted", "place", "own", "confidence"):
        assert np.array_equal(getattr(again, name), getattr(found, name)), name


def test_the_place_of_the_true_class():
    rows = [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.4, 0.4, 0.2]]
    found = Predictions.of(rows, [0, 2, 0, 1], "abcd")
    assert found.place.tolist() == [0, 2, 0, 1]
    assert found.own.tolist() == [0.5, 0.2, 0.4, 0.4]
    assert found.confidence.tolist() == [0.5, 0.5, 0.4, 0.4]
    assert np.array_equal(found.place == 0, found.correct)


@pytest.mark.parametrize("names", ["test/{:05d}", "{}", "picture {:d}", "a{:03d}b", "{:020d}", "é{:04d}", "x{:02d}"])
def test_names_come_back_as_they_were(names):
    assert through_json(predictions(items=300, names=names)).ids == predictions(items=300, names=names).ids


def test_names_with_gaps_in_any_order_come_back():
    numbers = np.random.default_rng(0).permutation(90_000)[:50]
    found = predictions(items=50)
    named = Predictions.of(found.probabilities, found.targets, [f"train/{number:05d}" for number in numbers])
    assert through_json(named).ids == named.ids


def test_groups_of_many_classes_come_back():
    found = predictions(items=4)
    grouped = Predictions.of(found.probabilities, found.targets, found.ids, ["a", "b", "b", "c"])
    assert through_json(grouped).groups.tolist() == ["a", "b", "b", "c"]


def test_a_record_of_cifar100_is_small():
    run = Run(Recipe(), "local", "f" * 64, tuple(map(str, range(100))), {"train": 1, "val": 5000, "test": 10_000})
    run.record("val", predictions(5000, names="train/{:05d}"))
    run.record("test", predictions(10_000))
    assert len(run.to_json()) < 150_000


def test_runs_of_many_classes_are_compared_item_by_item(tmp_path):
    found = {}
    for name, right in (("good", 4.0), ("bad", 2.0)):
        run = Run(Recipe(lr=right), "local", "f" * 64, tuple(map(str, range(100))), {"train": 1, "val": 400})
        run.record("val", predictions(right=right))
        path = records.record_path(tmp_path, name, 0)
        records.write_record(run.to_json(), path)
        found[name] = [records.read_record(path)]
        assert found[name][0].metrics == run.metrics
    difference, low, _ = records.difference(found["good"], found["bad"], split="val")
    accuracy = {name: runs[0].metrics["val"]["accuracy"] for name, runs in found.items()}
    assert difference == pytest.approx(accuracy["good"] - accuracy["bad"])
    assert low > 0
    assert records.results_table(found, split="val")["mean"].tolist() == list(accuracy.values())


def test_the_records_of_the_book_are_still_read():
    book = Path(records.__file__).parents[1] / "book" / "results"
    path = next(path for path in sorted(book.rglob("seed-*.json")) if not path.name.endswith(".failed.json"))
    run = records.read_record(path)
    for split, found in run.predictions.items():
        assert found.scores()["accuracy"] == run.metrics[split]["accuracy"]
        if found.probabilities.shape[1]:
            assert found.probabilities.sum(axis=1) == pytest.approx(1, abs=5e-3)


def test_a_tie_that_rounding_made_does_not_move_the_true_class_to_the_front():
    scores = np.empty((10_500, 20))
    scores[:, 0], scores[:, 1] = 0.1, 0.1 + 1e-6  # one number in 16 bits
    scores[:, 2:] = (1 - scores[:, :2].sum(axis=1, keepdims=True)) / 18
    found = Predictions.of(scores, [0] * 10_500, list(map(str, range(10_500))))
    again = through_json(found)
    assert again.probabilities[0, 0] == again.probabilities[0, 1]
    assert set(again.predicted) == {1}
    assert set(again.place) == set(found.place) == {1}


def runs_that_said(right, *, groups=None, ids=None, targets=None) -> list[Run]:
    """Two runs of one recipe, right [2, N] where it says so, on items of two classes in groups."""
    made = []
    for seed, of_seed in enumerate(np.asarray(right, dtype=bool)):
        true = np.arange(len(of_seed)) % 2 if targets is None else np.asarray(targets)
        scores = np.where((true == 1) == of_seed, 0.9, 0.1)
        names = [f"item {index}" for index in (range(len(of_seed)) if ids is None else ids)]
        run = Run(Recipe(seed=seed), "local", "f" * 64, ("a", "b"), {"test": len(of_seed)})
        run.record("test", Predictions.of(np.stack([1 - scores, scores], axis=1), true, names, groups))
        made.append(run)
    return made


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_a_difference_does_not_ask_which_side_comes_first(metric):
    """One side is grouped by pairs and the other by fours, or not at all: what either keeps together stays so."""
    draw = np.random.default_rng(4)
    right = draw.random((2, 2, 48)) < 0.6
    fours, pairs = np.arange(48) // 4, np.arange(48) // 2
    both_by_fours = [runs_that_said(side, groups=fours) for side in right]
    expected = records.difference(*both_by_fours, metric=metric)
    for groups in (pairs, None):
        a, b = both_by_fours[0], runs_that_said(right[1], groups=groups)
        assert records.difference(a, b, metric=metric) == pytest.approx(expected)
        assert [-value for value in records.difference(b, a, metric=metric)] == pytest.approx(
            [expected[0], expected[2], expected[1]], abs=0.03
        )
    # Neither grouping holds the other: chains of items, each tied to the next by one of the two, are one group.
    shifted = (np.arange(48) + 1) // 2 % 24
    one = records.difference(runs_that_said(right[0], groups=pairs), runs_that_said(right[1], groups=shifted))
    assert one[0] == pytest.approx(np.mean(right[0]) - np.mean(right[1]))


def test_what_is_kept_together():
    kept = records._kept_together(np.array(["p", "p", "q", "r", "s"]), np.array([1, 2, 2, 3, 3]))
    assert kept[0] == kept[1] == kept[2] != kept[3] == kept[4]
    assert records._kept_together(None, None) is None


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_both_judges_look_at_the_same_items(metric):
    """B scored items that A did not: Student's t is over what both scored, as the bootstrap is."""
    draw = np.random.default_rng(5)
    right = draw.random((2, 2, 60)) < 0.5
    more = np.concatenate([right[1], np.ones((2, 40), dtype=bool)], axis=1)
    a, narrow, wide = runs_that_said(right[0]), runs_that_said(right[1]), runs_that_said(more)
    expected = records.difference_over_seeds(a, narrow, metric=metric)
    assert records.difference_over_seeds(a, wide, metric=metric) == pytest.approx(expected)
    assert records.difference(a, wide, metric=metric)[0] == pytest.approx(expected[0])
    with pytest.raises(ValueError, match="has no interval here"):
        records.difference_over_seeds(a, wide, metric="log_loss")


def runs_with(*accuracies: float, source: str = "local") -> list[Run]:
    """Runs of one recipe that reached these test accuracies, a seed each."""
    made = [Run(Recipe(seed=seed), source, "f" * 64, ("a", "b"), {"test": 100}) for seed in range(len(accuracies))]
    for run, accuracy in zip(made, accuracies, strict=True):
        run.metrics["test"] = {"accuracy": accuracy}
    return made


def test_the_same_training_is_told_by_its_losses():
    def trained(*losses, seeds=(0, 1)):
        runs = [Run(Recipe(seed=seed), "local", "f" * 64, ("a", "b"), {}) for seed in seeds]
        for run, first in zip(runs, losses, strict=True):
            run.history[:] = [{"epoch": epoch, "train_loss": first / epoch} for epoch in (1, 2)]
        return runs

    assert records.same_training(trained(0.5, 0.6), trained(0.5, 0.6))
    assert not records.same_training(trained(0.5, 0.6), trained(0.5, 0.6 + 1e-12))
    assert not records.same_training(trained(0.5, 0.6), trained(0.5, 0.6, seeds=(0, 2)))
    assert not records.same_training(trained(0.5, 0.6), trained(0.5, seeds=(0,)))
    assert not records.same_training(runs_with(0.5, 0.6), runs_with(0.5, 0.6))  # without a history nothing is known


def test_a_difference_over_seeds_is_welchs():
    a, b = (0.31, 0.33, 0.35, 0.36), (0.30, 0.29, 0.34)
    value, low, high = records.difference_over_seeds(runs_with(*a), runs_with(*b), confidence=0.9)
    va, vb = (np.var(side, ddof=1) / len(side) for side in (a, b))
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    half = student.ppf(0.95, freedom) * np.sqrt(va + vb)
    assert value == pytest.approx(np.mean(a) - np.mean(b))
    assert (low, high) == pytest.approx((value - half, value + half))


def test_a_difference_over_seeds_holds_nothing_where_there_is_nothing_as_often_as_it_says():
    draw = np.random.default_rng(0)
    scores = draw.normal(0.3, 0.01, (600, 2, 3))
    intervals = [records.difference_over_seeds(runs_with(*a), runs_with(*b))[1:] for a, b in scores]
    held = np.mean([low <= 0 <= high for low, high in intervals])
    assert 0.93 < held < 0.985  # Welch's is a little too wide with three seeds; the ranges overlap in 90 % of cases


def test_a_difference_over_seeds_without_a_spread_is_a_point():
    assert records.difference_over_seeds(runs_with(0.5, 0.5), runs_with(0.25, 0.25)) == (0.25, 0.25, 0.25)


def test_one_side_without_a_spread_leaves_the_other_sides():
    a = np.array([0.51, 0.53, 0.56])
    value, low, high = records.difference_over_seeds(runs_with(*a), runs_with(*[0.9344262295081968] * 3))
    half = student.ppf(0.975, 2) * np.std(a, ddof=1) / np.sqrt(3)
    assert (low, high) == pytest.approx((value - half, value + half))


def test_a_difference_over_seeds_needs_seeds_and_one_source():
    with pytest.raises(ValueError, match=r"A has the seeds \[0\]"):
        records.difference_over_seeds(runs_with(0.5), runs_with(0.4, 0.3))
    with pytest.raises(ValueError, match=r"B has the seeds \[0, 0\]"):
        records.difference_over_seeds(runs_with(0.5, 0.4), runs_with(0.5) * 2)
    with pytest.raises(ValueError, match=r"confidence is 95"):
        records.difference_over_seeds(runs_with(0.5, 0.4), runs_with(0.4, 0.3), confidence=95)
    with pytest.raises(records.MixedSourcesError):
        records.difference_over_seeds(runs_with(0.5, 0.4), runs_with(0.4, 0.3, source=records.STAND_IN))


def test_a_difference_over_the_same_networks_is_that_of_the_pairs():
    a, b = np.array([0.36, 0.33, 0.32]), np.array([0.34, 0.32, 0.30])
    value, low, high = records.difference_over_seeds(runs_with(*a), runs_with(*b), same_networks=True)
    half = student.ppf(0.975, 2) * np.std(a - b, ddof=1) / np.sqrt(3)
    assert (value, low, high) == pytest.approx((np.mean(a - b), np.mean(a - b) - half, np.mean(a - b) + half))
    assert records.difference_over_seeds(runs_with(*a), runs_with(*b))[1] < 0 < low  # the luck of training cancels
    with pytest.raises(ValueError, match="same seeds"):
        records.difference_over_seeds(runs_with(*a), runs_with(*b)[::-1], same_networks=True)


@pytest.mark.parametrize(
    ("a", "b", "interval", "said"),
    [
        ((0.5, 0.51, 0.52), (0.3, 0.31, 0.32), (0.2, 0.18, 0.22), "a clear difference"),
        ((0.31, 0.34, 0.37), (0.30, 0.31, 0.32), (0.03, 0.01, 0.05), "clear by the bootstrap, not by t"),
        ((0.31, 0.34, 0.37), (0.30, 0.31, 0.32), (0.03, -0.01, 0.05), "no clear difference"),
        ((0.5,), (0.3, 0.31, 0.32), (0.2, 0.18, 0.22), "one seed: no verdict on the recipe"),
    ],
)
def test_two_judges_have_to_agree_on_a_clear_difference(a, b, interval, said):
    assert records.verdict(interval, runs_with(*a), runs_with(*b)) == said
    flipped = (-interval[0], -interval[2], -interval[1])
    assert records.verdict(flipped, runs_with(*b), runs_with(*a)) == said
