"""The route of small pictures, from a recipe to a record, on the drawn stand-in of CIFAR-100."""

import dataclasses

import numpy as np
import pytest
import torch

from clslab import losses, records, routes, runs, task, whole_batches
from clslab.data import SealedError, augment
from clslab.device import Machine
from clslab.recipe import Recipe

CPU = Machine("cpu", threads=1, name="test")

QUICK = Recipe(
    data="cifar100",
    model="resnet9",
    model_options={"width": 4},
    train_part="scratch",
    image_size=32,
    augment="shift-flip",
    epochs=2,
    batch_size=64,
    optimizer="sgd",
    optimizer_options={"momentum": 0.9, "nesterov": True},
    lr=0.2,
    label_smoothing=0.1,
    subset=3,
)


@pytest.fixture(scope="module", autouse=True)
def no_data_here(empty_machine):
    """Every test works on the drawn stand-in."""


@pytest.fixture
def splits(shelf):
    return shelf.splits(QUICK)


@pytest.fixture
def to_do(shelf, splits):
    def of(**changes):
        recipe = QUICK.replace(**changes)
        return routes.Task(recipe, splits, routes.training_indices(splits, recipe), CPU, shelf)

    return of


@pytest.fixture(scope="module")
def run(shelf):
    return runs.execute(QUICK, machine=CPU, shelf=shelf)


def test_an_average_and_views_leave_the_training_as_it_is(run, shelf):
    asked, another = (
        runs.execute(QUICK.replace(**changes), machine=CPU, shelf=shelf, test=False)
        for changes in ({"ema": 0.9, "tta": "flip-shift"}, {"label_smoothing": 0.0})
    )
    assert records.same_training([asked], [run])
    assert not records.same_training([another], [run])
    assert not np.array_equal(asked.predictions["val"].own, run.predictions["val"].own)


def test_a_recipe_leaves_a_whole_record(run):
    assert run.sizes == {"train": 300, "val": 200, "test": 200}
    assert (run.opened_test, run.source, len(run.history)) == (1, "stand-in", 2)
    assert run.parameters_trained == run.parameters_total > 10_000
    assert run.machine == CPU.to_dict()
    assert run.seconds_fit > 0
    for split in ("val", "test"):
        found = run.predictions[split]
        assert found.probabilities.shape == (200, 100)
        assert found.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert set(run.metrics[split]) == {"n", "loss", "accuracy", "balanced_accuracy", "top5_accuracy", "ece"}
    again = runs.Run.from_json(run.to_json())
    assert again.metrics == run.metrics
    assert np.array_equal(again.predictions["test"].predicted, run.predictions["test"].predicted)


def test_the_seed_decides_everything(run, shelf):
    again, other = (runs.execute(QUICK.replace(seed=seed), machine=CPU, shelf=shelf) for seed in (0, 1))
    for split in ("val", "test"):
        assert np.array_equal(again.predictions[split].probabilities, run.predictions[split].probabilities)
        assert not np.array_equal(other.predictions[split].probabilities, run.predictions[split].probabilities)
    without_seconds = [[{**epoch, "seconds": 0} for epoch in one.history] for one in (again, run)]
    assert without_seconds[0] == without_seconds[1]


def test_the_seed_decides_the_order_and_the_changes(to_do, splits):
    statistics = whole_batches.Statistics((0.5,) * 3, (1.0,) * 3)
    first, again, other = (
        next(iter(whole_batches._training_batches(to_do(seed=seed), *splits.train.tensors(), statistics, CPU)))[0]
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_it_learns(shelf):
    recipe = QUICK.replace(subset=None, epochs=8, model_options={"width": 8}, augment="plain")
    run = runs.execute(recipe, machine=CPU, shelf=shelf, test=False)
    losses = [epoch["train_loss"] for epoch in run.history]
    assert losses[-1] < losses[0] - 0.8
    assert run.metrics["val"]["accuracy"] > 0.05  # chance is 0.01


def test_the_pictures_of_training_give_the_statistics(to_do, splits):
    one = to_do()
    images, _ = splits.train.subset(one.indices).tensors()
    scaled = images.double() / 255
    found = whole_batches.statistics_of(splits, one.recipe)
    assert found.mean == pytest.approx(scaled.mean(dim=(0, 2, 3)).tolist(), abs=1e-6)
    assert found.std == pytest.approx(scaled.std(dim=(0, 2, 3), correction=0).tolist(), abs=1e-6)
    assert whole_batches.statistics_of(splits, QUICK.replace(seed=5)) != found  # another subset
    for batches in (
        whole_batches._batches(splits.val, one.recipe, found, CPU),
        whole_batches._training_batches(one, *splits.train.tensors(), found, CPU),
    ):
        assert (batches.mean, batches.std) == (pytest.approx(found.mean), pytest.approx(found.std))


def test_a_trained_model_is_scored_by_test_once_like_its_run(run, to_do, splits):
    trained = routes.train_task(to_do())
    assert np.array_equal(trained.val_probabilities, trained.scorer(splits.val))
    run_of_it = runs.Run.from_json(run.to_json())
    run_of_it.opened_test = 0
    runs.test_once(trained.model, splits, run_of_it)
    expected = run.predictions["test"].probabilities
    assert run_of_it.predictions["test"].probabilities == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match="give the splits that they are in"):
        routes.network_scorer(trained.model, QUICK, CPU)


def test_the_test_split_stays_shut(shelf):
    run = runs.execute(QUICK.replace(epochs=0), machine=CPU, shelf=shelf, test=False)
    assert run.opened_test == 0
    with pytest.raises(SealedError):
        _ = shelf.splits(QUICK).test.targets


@pytest.mark.parametrize("mix", augment.MIXINGS)
def test_mixing_reaches_the_batches(to_do, mix, splits):
    one = to_do(mix=mix, subset=None)
    batches = whole_batches._training_batches(
        one, *splits.train.tensors(), whole_batches.Statistics((0.5,) * 3, (1.0,) * 3), CPU
    )
    inputs, targets = next(iter(batches))
    assert (inputs.shape, targets.shape) == ((64, 3, 32, 32), (64, 100))
    assert targets.sum(dim=1).tolist() == pytest.approx([1] * 64, abs=1e-5)
    assert (targets.max(dim=1).values < 1).any()
    assert routes.train_task(to_do(mix=mix, epochs=1)).history


@pytest.mark.parametrize("name", augment.PRESETS)
def test_every_preset_trains(to_do, name):
    trained = routes.train_task(to_do(augment=name, epochs=1, subset=1))
    assert np.isfinite(trained.val_probabilities).all()


def test_what_is_erased_has_the_mean_colour(to_do):
    images = torch.full((64, 3, 32, 32), 255, dtype=torch.uint8)
    statistics = whole_batches.Statistics((0.25, 0.5, 0.75), (1.0, 1.0, 1.0))
    one, targets = to_do(augment="shift-flip-erase"), torch.zeros(64, dtype=torch.int64)
    inputs, _ = next(iter(whole_batches._training_batches(one, images, targets, statistics, CPU)))
    black, white = (torch.tensor(statistics.mean).mul(-1).add(level)[:, None, None] for level in (0, 1))
    erased = ((inputs - black).abs() > 1e-5) & ((inputs - white).abs() > 1e-5)
    assert erased.any(dim=1).flatten(1).any(dim=1).float().mean() > 0.3
    assert inputs[erased].abs().max() < 0.005  # a step of 1/255


def test_a_lonely_last_picture_is_left_out(to_do, splits):
    few = splits.train.subset(range(65))
    one = to_do()
    statistics = whole_batches.Statistics((0.5,) * 3, (1.0,) * 3)
    images, targets = few.tensors()
    assert len(whole_batches._training_batches(one, images, targets, statistics, CPU)) == 1
    assert len(whole_batches._training_batches(one, images[:64], targets[:64], statistics, CPU)) == 1
    assert len(whole_batches._training_batches(one, images[:63], targets[:63], statistics, CPU)) == 1
    assert len(whole_batches._batches(few, one.recipe, statistics, CPU)) == 2


def test_the_small_network_takes_this_route_too(to_do):
    trained = routes.train_task(to_do(model="small_cnn", epochs=1))
    assert type(trained.model).__name__ == "SmallCNN"


def test_log_probabilities_are_trained_too(to_do):
    both = [routes.train_task(to_do(loss=loss, label_smoothing=0.0)) for loss in ("cross-entropy", "nll")]
    assert both[0].val_probabilities == pytest.approx(both[1].val_probabilities, abs=1e-4)


@pytest.mark.parametrize("loss", losses.NAMES)
def test_every_loss_trains(to_do, loss):
    trained = routes.train_task(to_do(loss=loss, label_smoothing=0.0, epochs=1, model="small_cnn"))
    assert np.isfinite(trained.history[0]["train_loss"])


def test_a_loss_is_given_the_counts_of_the_pictures_in_use(shelf, monkeypatch):
    given = []
    create = losses.create
    monkeypatch.setattr(
        losses, "create", lambda recipe, counts, *tree: given.append(counts) or create(recipe, counts, *tree)
    )
    recipe = QUICK.replace(variant="long-tail-10", subset=None, loss="class-balanced", model="small_cnn", epochs=1)
    splits = shelf.splits(recipe)
    routes.train_task(routes.Task(recipe, splits, np.arange(5, len(splits.train)), CPU, shelf))
    (counts,) = given
    assert counts.sum() == len(splits.train) - 5
    assert counts.tolist() == np.bincount(splits.train.targets[5:], minlength=100).tolist()
    assert len(set(counts.tolist())) > 1


# ---------------------------------------------------------------- the machine


def test_without_a_machine_one_is_measured_on_the_models_own_batch(to_do, monkeypatch):
    asked, precisions = [], []

    def choose(given=None, *, precision):
        asked.append(given)
        precisions.append(precision)
        return CPU.replace(memory_format="channels_last")

    monkeypatch.setattr(routes, "choose", choose)
    fixed = routes.train_task(to_do(epochs=1))
    measured = routes.train_task(dataclasses.replace(to_do(epochs=1), machine=None))
    (model, inputs), *more = asked
    assert more == []
    assert type(model).__name__ == "ResNet9"
    assert inputs.shape == (64, 3, 32, 32)
    assert inputs.dtype == torch.float32
    assert fixed.machine == CPU
    assert measured.machine == CPU.replace(memory_format="channels_last")
    assert measured.val_probabilities == pytest.approx(fixed.val_probabilities, abs=0.02)
    routes.train_task(dataclasses.replace(to_do(epochs=1, precision="bf16"), machine=None))
    majority = QUICK.replace(model="majority", augment="resize")
    assert routes.train_task(dataclasses.replace(to_do(), recipe=majority, machine=None)).machine is not None
    assert asked[-1] is None
    assert precisions == ["auto", "bf16", "auto"]


# ---------------------------------------------------------------- settings that do not go together


def test_the_two_kinds_of_augmentation_have_different_names():
    assert set(augment.PRESETS).isdisjoint(task.VIEWS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": "blur"}, r"'blur' is unknown; choose one of resize.*or of plain, shift, flip, shift-flip"),
        (
            {"augment": "resize"},
            r"resnet9 is made for small pictures.*set augment to one of plain, shift, flip, shift-flip",
        ),
        ({"augment": "resize", "model": "resnet18", "mix": "mixup"}, r"mix = 'mixup' mixes whole batches"),
        ({"train_part": "all"}, r'set train_part = "scratch", not \'all\''),
        ({"train_part": "head"}, r'set train_part = "scratch", not \'head\''),
        ({"model": "small_cnn", "train_part": "head"}, "no borrowed part"),
        ({"model": "resnet"}, r"no model is called 'resnet'\. Did you mean"),
        ({"model": "majority"}, r"augment = 'shift-flip' has no meaning for majority"),
        ({"model_options": {"depth": 2}}, "resnet9 has no option 'depth'"),
        ({"image_size": 64}, r"image_size = 64, and the pictures of cifar100 have 32 × 32 pixels; set image_size = 32"),
        ({"mix": "stir"}, r"no mixing 'stir'; use one of"),
        ({"loss": "nll", "mix": "mixup", "label_smoothing": 0.0}, r"mix = 'mixup' .*cross-entropy"),
        ({"loss": "focal", "mix": "mixup", "label_smoothing": 0.0}, r"mix = 'mixup' .*cross-entropy\", not 'focal'"),
    ],
)
def test_what_does_not_go_together(to_do, changes, message):
    with pytest.raises(ValueError, match=message):
        routes.train_task(to_do(**changes))


def test_photographs_do_not_take_this_route(shelf):
    recipe = QUICK.replace(data="debris", subset=None)
    with pytest.raises(ValueError, match=r"pictures that lie in memory.*for the photographs of debris"):
        runs.execute(recipe, machine=CPU, test=False)


def test_small_pictures_may_take_the_route_of_photographs(to_do):
    trained = routes.train_task(to_do(augment="resize", model="small_cnn", image_size=16, subset=1, epochs=1))
    assert trained.val_probabilities.shape == (200, 100)


def test_balanced_sampling_shows_rare_classes_as_often_as_common_ones(shelf):
    recipe = QUICK.replace(variant="long-tail-10", subset=None, sampling="balanced", batch_size=50)
    splits = shelf.splits(recipe)
    to_do = routes.Task(recipe, splits, routes.training_indices(splits, recipe), CPU, shelf)
    counts = to_do.counts()
    batches = whole_batches.training_batches(to_do, CPU)
    batches.set_epoch(1)
    seen = np.bincount(torch.cat([targets for _, targets in batches]).numpy(), minlength=100)
    assert counts.max() > 2 * counts.min()  # there is a tail at all
    assert seen.max() - seen.min() <= 1
    assert seen.sum() == counts.sum()


def test_balanced_sampling_is_refused_for_photographs():
    with pytest.raises(ValueError, match="leave sampling out, or weigh the classes"):
        runs.execute(Recipe(sampling="balanced"), machine=CPU)


def test_a_run_with_several_views_keeps_its_answers_in_one_view_too(run, shelf):
    seen_twice = runs.execute(QUICK.replace(tta="flip"), machine=CPU, shelf=shelf)
    plain = records.single_view(records.Run.from_json(seen_twice.to_json()))
    assert plain.recipe == QUICK
    assert set(plain.predictions) == set(plain.metrics) == {"val", "test"}
    for split in ("val", "test"):
        # The same training scored in one view is the run without views.
        assert plain.metrics[split] == pytest.approx(run.metrics[split], abs=1e-3)
        assert np.array_equal(plain.predictions[split].predicted, run.predictions[split].predicted)
        gap = np.abs(seen_twice.predictions[split].own - plain.predictions[split].own)
        assert gap.max() > 1e-4  # the record rounds to about 1e-5
    assert seen_twice.opened_test == 1


def test_only_a_run_with_several_views_has_a_single_one(run):
    with pytest.raises(ValueError, match="tta = None"):
        records.single_view(run)


def test_without_choosing_an_epoch_the_last_weights_are_scored(shelf):
    chosen, last = (
        runs.execute(QUICK.replace(epochs=3, choose_epoch=one), machine=CPU, shelf=shelf) for one in (True, False)
    )
    at_the_end = chosen.history[-1]
    assert last.metrics["val"]["accuracy"] == pytest.approx(at_the_end["val_accuracy"])
    assert [epoch["val_accuracy"] for epoch in last.history] == [None] * 3
    assert [epoch["train_loss"] for epoch in last.history] == [epoch["train_loss"] for epoch in chosen.history]
    assert records.Run.from_json(last.to_json()).history == last.history
