"""The route of sounds, from a recipe to a record."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clslab import losses, metrics, probes, runs, sound_route
from clslab.data import birds, load
from clslab.data.sounds import SoundDataset
from clslab.device import Machine
from clslab.recipe import Recipe
from clslab.records import Run
from clslab.sound_route import BAND_NUMBERS, SpectrogramBatches, band_numbers, pooled
from clslab.tree_records import levels_table

BASE = Recipe(
    data="birds",
    variant="core",
    model="mobilenet",
    model_options={"width": 4},
    train_part="scratch",
    pretrained=False,
    augment="roll-mask",
    epochs=1,
    batch_size=16,
    precision="fp32",
    choose_epoch=False,
)
CPU = Machine("cpu", threads=1, name="test")

pytestmark = pytest.mark.usefixtures("empty_machine")


@pytest.fixture
def recorded(shelf):
    """Trains the small recipe with some changes."""

    def execute(**changes):
        return runs.execute(BASE.replace(**changes), shelf=shelf, machine=CPU)

    return execute


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hierarchy": {"mode": "two-stage", "shallow": "fixed", "first_epochs": 1, "temporal": "gru"}},
        {"loss": "hierarchical", "spectrogram": "multi"},
        {"model": "efficientnet_lite0", "model_options": {}, "train_part": "head", "pretrained": True},
    ],
)
def test_a_recipe_becomes_a_record_of_species(changes, recorded):
    run = recorded(**changes)
    assert run.classes[0] == "Spinus psaltria"
    assert run.metrics["test"]["n"] == 20
    assert run.opened_test == 1
    assert len(set(run.predictions["test"].groups)) < 20  # clips of one recording
    assert (run.parameters_trained == run.parameters_total) == (
        not changes.get("hierarchy") and "head" not in changes.values()
    )


def test_the_same_seed_gives_the_same_run(recorded):
    once, again = (recorded().predictions["test"].probabilities for _ in range(2))
    assert np.array_equal(once, again)


def test_folds_answer_every_recording_once(recorded, shelf):
    run = recorded(folds=3)
    splits = shelf.splits(BASE)
    count = len(splits.train) + len(splits.val) + len(splits.test)
    said = run.predictions["val"]
    assert len(said.targets) == len(set(said.ids)) == count
    assert (said.probabilities.sum(axis=1) > 0.99).all()
    assert run.opened_test == 1
    assert "test_opened" in run.notes
    assert {epoch["fold"] for epoch in run.history} == {0, 1, 2}
    assert "test" not in run.metrics


def test_a_loss_that_weighs_classes_counts_what_is_learnt(recorded, shelf, monkeypatch):
    counted = []
    create = losses.create

    def counting(recipe, counts, taxonomy):
        counted.append(np.asarray(counts))
        return create(recipe, counts, taxonomy)

    monkeypatch.setattr(losses, "create", counting)
    recorded(folds=3, epochs=0, loss="class-balanced")
    everything = pooled(shelf.splits(BASE)).train
    for counts, (learnt, _) in zip(counted, birds.folds(everything, count=3, seed=BASE.seed), strict=True):
        assert counts.tolist() == np.bincount(everything.targets[learnt], minlength=len(counts)).tolist()


def test_pooled_holds_every_clip_and_its_recording():
    splits = load("birds", variant="core")
    everything = pooled(splits)
    assert everything.test is None
    assert len(everything.train) == len(splits.train) + len(splits.val) + len(splits.test)
    assert set(splits.train.ids) < set(everything.train.ids)


@pytest.fixture
def pictures():
    return torch.randn(10, 2, 12, 18, generator=torch.Generator().manual_seed(0))


def test_batches_without_shuffling_are_the_set_itself(pictures):
    found = list(SpectrogramBatches(pictures, torch.arange(10), batch_size=4))
    assert [len(targets) for _, targets in found] == [4, 4, 2]
    assert torch.equal(torch.cat([inputs for inputs, _ in found]), pictures)


def test_order_and_draws_depend_on_seed_and_epoch_alone(pictures):
    def epoch(number, seed=0):
        batches = SpectrogramBatches(pictures, torch.arange(10), batch_size=4, augment="mask", shuffle=True, seed=seed)
        batches.set_epoch(number)
        return list(batches)

    for (inputs, targets), (again, same) in zip(epoch(1), epoch(1), strict=True):
        assert torch.equal(inputs, again)
        assert torch.equal(targets, same)
    order = torch.cat([targets for _, targets in epoch(1)])
    assert sorted(order.tolist()) == list(range(10))
    assert not torch.equal(order, torch.cat([targets for _, targets in epoch(2)]))
    assert not torch.equal(order, torch.cat([targets for _, targets in epoch(1, seed=1)]))


def test_rolling_keeps_every_column_of_every_clip(pictures):
    batches = SpectrogramBatches(pictures, torch.arange(10), batch_size=10, augment="roll-mask")
    batches._augmented = lambda pictures, draw: _rolled(batches, pictures, draw)
    ((moved, _),) = list(batches)
    for before, after in zip(pictures, moved, strict=True):
        shifts = [torch.equal(before.roll(-shift, dims=2), after) for shift in range(18)]
        assert sum(shifts) == 1
    assert not torch.equal(pictures, moved)


def _rolled(batches, pictures, draw):
    """What "roll-mask" does before the masks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clslab.audio.spec_augment", lambda pictures, **_: pictures)
        return SpectrogramBatches._augmented(batches, pictures, draw)


def test_a_last_clip_alone_is_left_out_of_training_only(pictures):
    for shuffle, sizes in ((True, [9]), (False, [9, 1])):
        batches = SpectrogramBatches(pictures, torch.arange(10), batch_size=9, shuffle=shuffle)
        assert [len(targets) for _, targets in batches] == sizes
        assert len(batches) == len(sizes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"augment": "shift-flip"}, "choose one of plain, mask, roll-mask"),
        ({"mix": "mixup"}, "mix = 'mixup' is made for pictures"),
        ({"tta": "flip"}, "tta = 'flip' is made for pictures"),
        ({"sampling": "balanced"}, "sampling = 'balanced'"),
        ({"spectrogram": "cqt"}, "no spectrogram transform 'cqt'"),
        ({"folds": 3, "subset": 2}, "leave subset out"),
        ({"data": "debris", "variant": None, "folds": 3, "augment": "resize"}, "folds = 3 is for sounds"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, words, recorded):
    with pytest.raises(ValueError, match=words):
        recorded(**changes)


def test_folds_are_none_or_at_least_two():
    with pytest.raises(ValueError, match="folds = 1"):
        Recipe(folds=1)


def test_a_clip_becomes_a_picture_once_however_many_folds_and_runs(recorded, monkeypatch):
    heard = []
    listen = SoundDataset.waveform
    monkeypatch.setattr(
        SoundDataset, "waveform", lambda self, index: heard.append(self.ids[index]) or listen(self, index)
    )
    first = recorded(folds=2, epochs=0)
    recorded(folds=3, epochs=0, seed=1)
    assert sorted(heard) == sorted(first.predictions["val"].ids)
    recorded(folds=2, epochs=0, spectrogram="mel-small")
    assert len(heard) == 2 * len(first.predictions["val"].ids)


def test_a_record_holds_what_the_measures_of_a_tree_need(recorded):
    """Macro recall, calibration, severity and distance at k are computed from the answers that a record keeps."""
    run = Run.from_json(recorded(folds=2).to_json())
    said, tree = run.predictions["val"], load("birds", variant="core").taxonomy
    assert metrics.balanced_accuracy(said.targets, said.predicted) == run.metrics["val"]["balanced_accuracy"]
    assert 0 <= metrics.expected_calibration_error(said.probabilities, said.targets) <= 1
    ranked = (-said.probabilities).argsort(axis=1, kind="stable")
    table = levels_table({"x": [run]}, tree, split="val").set_index("quantity")
    assert tree.hierarchical_distance(ranked, said.targets, k=1) == pytest.approx(table["mean"]["height"])
    assert tree.hierarchical_distance(ranked, said.targets, k=3) >= 2 / 3  # two of three guesses are wrong at least
    assert tree.severity(said.predicted, said.targets) == pytest.approx(table["mean"]["severity"])


NUMBERS = {"model": BAND_NUMBERS, "model_options": {}, "augment": "plain"}


def test_with_folds_by_recordist_no_network_has_heard_the_person(recorded, shelf, monkeypatch):
    splits = pooled(shelf.splits(BASE))
    recordist = dict(zip(splits.train.ids, splits.train.extra["recordist"], strict=True))
    heard = []
    learning = sound_route.training_batches
    monkeypatch.setattr(
        sound_route,
        "training_batches",
        lambda task, sounds, model: heard.append(list(sounds.ids)) or learning(task, sounds, model),
    )
    said = recorded(folds=3, folds_by="recordist", epochs=0).predictions["val"]
    assert len(said.ids) == len(splits.train)
    assert len(heard) == 3
    for ids in heard:
        known = {recordist[one] for one in ids}
        asked = {recordist[one] for one in said.ids if one not in set(ids)}
        assert asked
        assert not known & asked
    assert said.groups.tolist() == [recordist[one] for one in said.ids]


def test_numbers_of_the_bands_are_those_found_by_hand(pictures):
    found = band_numbers(pictures)
    assert found.shape == (10, 4 * 2 * 12)
    assert found[3, 12 + 5] == pytest.approx(np.mean(pictures[3, 1, 5].numpy(), dtype=np.float64))
    assert found[3, 24 + 7] == pytest.approx(np.std(pictures[3, 0, 7].numpy().astype(np.float64)))
    assert found[4, 48 + 12 + 1] == pytest.approx(pictures[4, 1, 1].min().item())
    assert found[4, 72 + 2] == pytest.approx(pictures[4, 0, 2].max().item())
    assert np.allclose(found, band_numbers(pictures.flip(3)))  # they do not know before from after


def test_the_baseline_without_a_network_is_better_than_a_guess(recorded):
    run = recorded(**NUMBERS, spectrogram="mel-tiny")
    assert run.metrics["test"]["accuracy"] > 2 / len(run.classes)
    assert run.parameters_total == (4 * 32 + 1) * len(run.classes)
    assert run.notes["C"] in probes.STRENGTHS


def test_the_baseline_is_dealt_the_same_folds_as_a_network(recorded):
    run, network = recorded(**NUMBERS, folds=3), recorded(folds=3, epochs=0)
    said, of_network = run.predictions["val"], network.predictions["val"]
    assert said.ids == of_network.ids
    assert said.groups.tolist() == of_network.groups.tolist()
    sounds = pooled(load("birds", variant="core")).train.with_transform("mel")
    numbers = band_numbers(sounds.tensors()[0])
    learnt, asked = birds.folds(sounds, count=3)[1]
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=5000))
    reference.fit(numbers[learnt], sounds.targets[learnt])
    assert said.probabilities[asked] == pytest.approx(reference.predict_proba(numbers[asked]), abs=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds_by": "recordist"}, "folds_by = 'recordist' says how folds are dealt"),
        ({"folds": 3, "folds_by": "weekday"}, "by is 'weekday'"),
        ({"folds": 3, "folds_by": "recordist", "rare": {"shots": [0]}}, "rare deals recordings"),
        (NUMBERS | {"augment": "mask"}, "augment = 'mask' has no meaning for band-numbers"),
        (NUMBERS | {"hierarchy": {"mode": "flat"}}, "hierarchy = .* has no meaning"),
        (NUMBERS | {"model_options": {"width": 4}}, "model_options has width; band-numbers knows C alone"),
    ],
)
def test_what_the_baseline_and_the_folds_refuse(changes, message, recorded):
    with pytest.raises(ValueError, match=message):
        recorded(**changes)
