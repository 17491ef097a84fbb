"""What a run scored: in words, as a table, as figures, and in TensorBoard."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import f1_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from clslab import metrics, stats
from clslab.data.cifar100 import CLASSES, taxonomy
from clslab.records import Predictions, read_predictions, write_predictions
from clslab.scorecard import Scorecard

TREE = taxonomy()


def predictions(items=600, classes=100, *, right=3.0, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, items)
    odds = np.exp(rng.normal(size=(items, classes)) + right * (targets[:, None] == np.arange(classes)))
    scores = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
    return Predictions.of(scores, targets, [f"test/{number:05d}" for number in range(items)])


@pytest.fixture
def found():
    return predictions()


@pytest.fixture
def card(found):
    return Scorecard(found, CLASSES, TREE)


def line(card, beginning):
    (only,) = [one for one in card.lines() if one.startswith(beginning)]
    return only.removeprefix(beginning)


def first_number(text):
    return float(text.split()[0])


def test_the_lines_say_what_was_counted(card, found):
    right = int(found.correct.sum())
    low, high = stats.wilson(right, 600)
    told = f" {right / 600:.4f} (n = 600; 95 % interval {low:.4f} to {high:.4f})"
    assert line(card, "test accuracy:") == told
    assert first_number(line(card, "macro F1:")) == pytest.approx(
        f1_score(found.targets, found.predicted, average="macro"), abs=5e-5
    )
    assert first_number(line(card, "top-5 accuracy:")) == pytest.approx(
        metrics.topk_accuracy(found.probabilities, found.targets, 5), abs=1e-4
    )
    coarse = TREE.coarsen(found.predicted, 0) == TREE.coarsen(found.targets, 0)
    assert first_number(line(card, "superclass accuracy:")) == pytest.approx(coarse.mean(), abs=1e-4)
    inside = coarse[~found.correct].mean()
    assert first_number(line(card, "mistakes that stay in their superclass:")) == pytest.approx(inside, abs=1e-4)
    error = metrics.expected_calibration_error(found.probabilities, found.targets)
    assert first_number(line(card, "expected calibration error:")) == pytest.approx(error, abs=1e-4)
    mean = metrics.average_precision(found.probabilities, found.targets)
    assert first_number(line(card, "mean average precision over the classes:")) == pytest.approx(mean, abs=1e-4)


def test_the_worst_classes_and_the_most_frequent_confusions_come_first(card, found):
    recall = metrics.per_class_recall(found.targets, found.predicted, 100)
    worst = line(card, "worst classes (recall):").split(", ")
    assert len(worst) == 5
    assert worst[0].split() == [CLASSES[int(np.nanargmin(recall))], f"{np.nanmin(recall):.2f}"]
    matrix = metrics.confusion_matrix(found.targets, found.predicted, 100)
    often = metrics.top_confusions(matrix, 1, classes=CLASSES).iloc[0]
    told = line(card, "most frequent confusions (true → predicted):")
    assert told.startswith(f" {often['true']} → {often['predicted']} {often['count']}, ")


def test_the_table_has_a_row_for_each_class(card, found):
    table = card.per_class()
    assert table["class"].tolist() == list(CLASSES)
    assert table["superclass"].tolist() == [path[0] for path in TREE.paths]
    assert table["n"].sum() == 600
    recall = metrics.per_class_recall(found.targets, found.predicted, 100)
    np.testing.assert_allclose(table["recall"], recall)
    assert (table["recall_low"] <= table["recall"])[table["n"] > 0].all()
    assert (table["recall"] <= table["recall_high"])[table["n"] > 0].all()
    taken = np.bincount(found.predicted, minlength=100)
    precision = np.bincount(found.predicted[found.correct], minlength=100) / taken
    np.testing.assert_allclose(table["precision"], precision)
    harmonic = 2 / (1 / table["recall"] + 1 / table["precision"])
    both = (table["recall"] > 0) & (table["precision"] > 0)
    np.testing.assert_allclose(table["f1"][both], harmonic[both])
    for _, row in table[table["times"] > 0].iterrows():
        true, predicted = CLASSES.index(row["class"]), CLASSES.index(row["most_often_taken_for"])
        assert ((found.targets == true) & (found.predicted == predicted)).sum() == row["times"]


def test_a_class_without_pictures_has_no_recall():
    scores = [[0.8, 0.2, 0.0], [0.3, 0.7, 0.0]]
    table = Scorecard(Predictions.of(scores, [0, 1], "ab"), ("a", "b", "c")).per_class()
    assert np.isnan(table["recall"][2])
    assert np.isnan(table["average_precision"][2])
    assert (table["n"][2], table["most_often_taken_for"][2]) == (0, "")


def test_everything_is_written(card, tmp_path):
    written = card.write(tmp_path / "new")
    names = [path.name for path in written]
    assert names == ["test_per_class.csv", "test_confusion.png", "test_reliability.png", "test_roc.png", "test_pr.png"]
    table = pd.read_csv(written[0])
    np.testing.assert_allclose(table["recall"], card.per_class()["recall"], rtol=1e-5)
    for path in written[1:]:
        with Image.open(path) as picture:
            assert min(picture.size) > 300


def test_a_record_of_many_classes_has_no_curves_but_with_the_file_beside_it(card, found, tmp_path):
    stored = Predictions.from_dict(found.to_dict())
    bare = dataclasses.replace(card, predictions=stored)
    assert not bare.has_curves
    assert set(bare.figures()) == {"confusion", "reliability"}
    assert "average_precision" not in bare.per_class()
    kept = [one for one in card.lines() if not one.startswith(("mean average", "expected calibration"))]
    assert [one for one in bare.lines() if not one.startswith("expected calibration")] == kept
    write_predictions(found, tmp_path / "predictions.npz")
    again = dataclasses.replace(card, predictions=read_predictions(tmp_path / "predictions.npz", stored))
    assert again.lines() == card.lines()
    assert again.per_class().equals(card.per_class())


def test_the_file_of_probabilities_belongs_to_its_record(found, tmp_path):
    path = tmp_path / "predictions.npz"
    with pytest.raises(FileNotFoundError, match=r"there is no .*predictions\.npz; without it there are no curves"):
        read_predictions(path, found)
    write_predictions(found, path)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match="belongs to another run"):
        read_predictions(path, predictions(seed=1))
    with pytest.raises(ValueError, match="belongs to another run"):
        read_predictions(path, dataclasses.replace(found, predicted=np.roll(found.predicted, 1)))
    with pytest.raises(ValueError, match="hold no probabilities"):
        write_predictions(Predictions.from_dict(found.to_dict()), path)
    path.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(ValueError, match=r"predictions\.npz does not hold predictions"):
        read_predictions(path, found)


def test_the_curves_show_the_best_the_median_and_the_worst_class(card, found):
    shown = card.shown_classes()
    average = metrics.per_class_average_precision(found.probabilities, found.targets)
    assert next(iter(shown.values())) is None
    _, best, median, worst = shown.values()
    assert average[best] == np.nanmax(average)
    assert average[worst] == np.nanmin(average)
    assert average[median] == pytest.approx(np.nanmedian(average), abs=0.05)
    assert list(shown)[1] == f"best: {CLASSES[best].replace('_', ' ')}"


@pytest.mark.parametrize("classes", [2, 5, 13])
def test_few_classes_without_a_tree(classes, tmp_path):
    names = tuple(f"class {number}" for number in range(classes))
    card = Scorecard(predictions(60, classes), names, split="val")
    drawn = set(card.figures())
    assert drawn == {"reliability", "roc", "pr"} | ({"confusion"} if classes <= 12 else set())
    lines = "\n".join(card.lines())
    assert lines.startswith("val accuracy: ")
    assert "superclass" not in lines
    assert ("top-5" in lines) == (classes > 5)


def test_tensorboard_holds_scores_figures_and_curves(card, tmp_path):
    card.to_tensorboard(tmp_path, step=7)
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    (accuracy,) = events.Scalars("test/accuracy")
    assert (accuracy.step, accuracy.value) == (7, pytest.approx(float(card.predictions.correct.mean())))
    assert {"test/confusion", "test/reliability", "test/roc", "test/pr"} <= set(tags["images"])
    assert {f"test/{name}" for name in card.shown_classes()} <= set(tags["tensors"])
