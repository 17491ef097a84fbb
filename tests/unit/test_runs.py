"""From a recipe to a record: every route trains, scores once on the test split, and comes back from JSON unchanged."""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
from torch import nn

from clslab import probes, records, routes, runs, seeds, stats, train
from clslab import task as tasks
from clslab.data import SealedTest
from clslab.device import Machine
from clslab.models import transfer
from clslab.recipe import Recipe
from clslab.records import Predictions, Run

QUICK = Recipe(model="tiny", image_size=16, epochs=2, batch_size=16, lr=0.003)
CPU = Machine("cpu", threads=1, name="test")

WAYS = {
    "head": {},
    "head on crops": {"augment": "crop-flip"},
    "last-block": {"train_part": "last-block"},
    "all": {"train_part": "all", "lr": 1e-4, "augment": "source-train"},
    "scratch": {"train_part": "scratch", "pretrained": False},
    "probe": {"train_part": "probe", "model_options": {"layer": "stem"}},
    "svm": {"train_part": "probe", "model_options": {"classifier": "svm"}},
    "lp-ft": {"train_part": "lp-ft", "lr": 1e-4},
    "nll": {"loss": "nll"},
    "small_cnn": {"model": "small_cnn", "train_part": "scratch", "model_options": {"width": 4}},
    "colour-numbers": {"model": "colour-numbers"},
    "majority": {"model": "majority"},
}


def tiny_backbone(pretrained: bool) -> nn.Module:
    """Two convolutions with batch norm; "borrowed" weights are the same at every call."""
    with torch.random.fork_rng(enabled=pretrained):
        if pretrained:
            torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3),
            nn.BatchNorm2d(8),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )


TINY = transfer.Backbone(
    name="tiny",
    feature_dim=8,
    image_size=16,
    weights="drawn with a fixed seed",
    layers={"stem": "1", "head": "4"},
    last_block=("3", "4"),
    first_conv="0",
    create=tiny_backbone,
)


@pytest.fixture(scope="module", autouse=True)
def no_data_here(empty_machine):
    """Every test works on the drawn stand-in and a tiny backbone."""
    empty_machine.setitem(transfer.BACKBONES, "tiny", TINY)


@pytest.fixture
def task(shelf):
    def of(**changes):
        recipe = QUICK.replace(**changes)
        splits = shelf.splits(recipe)
        return routes.Task(recipe, splits, routes.training_indices(splits, recipe), CPU, shelf)

    return of


@pytest.fixture(scope="module")
def head_run(shelf):
    return runs.execute(QUICK, machine=CPU, shelf=shelf)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_leaves_a_whole_record(way, shelf):
    recipe = QUICK.replace(**WAYS[way])
    run = runs.execute(recipe, machine=CPU, shelf=shelf)
    assert run.opened_test == 1
    assert run.source == "stand-in"
    assert run.sizes == {"train": 96, "val": 48, "test": 48}
    for split in ("val", "test"):
        found = run.predictions[split]
        assert found.probabilities.shape == (48, 2)
        assert found.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert run.metrics[split] == found.scores()
        assert run.metrics[split]["accuracy"] == (found.probabilities.argmax(axis=1) == found.targets).mean()
    assert 0 < run.parameters_trained <= run.parameters_total
    assert run.seconds_fit >= 0
    assert run.peak_memory > 10**7
    assert same(Run.from_json(run.to_json()), run)


def same(one: Run, other: Run) -> bool:
    """Whether two runs are equal, predictions as they are stored."""
    stored = json.loads(one.to_json()), json.loads(other.to_json())
    return stored[0] == stored[1]


def test_a_record_says_how_it_came_about(head_run):
    body = json.loads(head_run.to_json())
    assert body["schema"] == records.SCHEMA
    assert body["key"] == QUICK.key()
    assert body["recipe"] == QUICK.to_dict()
    assert body["machine"]["device"] == "cpu"
    assert set(body["packages"]) >= {"python", "torch", "torchvision", "timm", "numpy"}
    assert body["code"].startswith("clslab ")
    assert [epoch["epoch"] for epoch in body["history"]] == [1, 2]
    assert len(body["fingerprint"]) == 64
    assert body["parameters_trained"] == 8 * 2 + 2


def test_the_same_seed_gives_the_same_run(head_run):
    again = runs.execute(QUICK, machine=CPU)
    other = runs.execute(QUICK.replace(seed=1), machine=CPU)
    for split in ("val", "test"):
        assert np.array_equal(again.predictions[split].probabilities, head_run.predictions[split].probabilities)
        assert not np.array_equal(other.predictions[split].probabilities, head_run.predictions[split].probabilities)


@pytest.mark.parametrize("options", [{}, {"dropout": 0.3}])
def test_stored_features_give_the_head_that_pictures_give(task, options):
    """The shortcut is the same computation: equal histories, equal weights, equal probabilities."""
    one = task(model_options=options, epochs=3, batch_size=19)  # a last batch of one picture, too
    seeds.seed_everything(0)
    quick = routes._head(one)
    seeds.seed_everything(0)
    direct = routes._network(one)
    assert quick.notes["features"] == "computed once"
    assert "features" not in direct.notes
    assert quick.val_probabilities == pytest.approx(direct.val_probabilities, abs=1e-5)
    assert torch.allclose(quick.model.head.weight, direct.model.head.weight, atol=1e-5)
    for a, b in zip(quick.history, direct.history, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], abs=1e-5)
        assert a["val_accuracy"] == b["val_accuracy"]
    assert quick.scorer(one.splits.val) == pytest.approx(quick.val_probabilities, abs=1e-5)


@pytest.mark.parametrize("changes", [{"augment": "crop-flip"}, {"model_options": {"frozen_statistics": False}}])
def test_features_that_change_are_not_stored(task, changes):
    assert "features" not in routes.train_task(task(epochs=1, **changes)).notes


def test_nll_and_cross_entropy_are_one_loss(task):
    cross_entropy, nll = (routes.train_task(task(loss=loss)) for loss in ("cross-entropy", "nll"))
    assert nll.val_probabilities == pytest.approx(cross_entropy.val_probabilities, abs=1e-5)


def test_pictures_from_memory_give_what_files_give(task, monkeypatch):
    cached = {view: torch.stack([item for item, _ in task(augment=view).seen("val")]) for view in routes.VIEWS}
    monkeypatch.setattr(tasks, "_CACHE_BYTES", 0)
    for view, pictures in cached.items():
        again = torch.stack([item for item, _ in task(augment=view).seen("val")])
        assert torch.equal(again, pictures), view


def test_the_shelf_charges_every_run_for_its_features(task):
    one = task()
    first, _ = routes._features(one, routes._build(one), "train")
    part = task(subset=3)
    second, seconds = routes._features(part, routes._build(part), "train")
    assert np.array_equal(second, first[part.indices])
    assert seconds > 0


def test_subsets_are_nested_and_even(task):
    small, large = task(subset=5), task(subset=20)
    assert set(small.indices) < set(large.indices)
    assert np.bincount(large.targets("train")).tolist() == [20, 20]
    assert set(small.indices) != set(task(subset=5, seed=1).indices)


def test_lp_ft_starts_from_the_probe(task):
    one = task(train_part="lp-ft", epochs=0)
    trained = routes.train_task(one)
    accuracy = (trained.val_probabilities.argmax(axis=1) == one.targets("val")).mean()
    assert accuracy == trained.notes["probe_val_accuracy"]
    assert trained.parameters_trained == trained.parameters_total


@pytest.mark.parametrize("split", ["random", "grouped"])
def test_a_cross_validation_records_every_open_item_once(split, shelf):
    options = {"folds": 3, "split": split}
    run = runs.execute(QUICK.replace(train_part="probe", model_options=options), machine=CPU, shelf=shelf, test=False)
    found = run.predictions["val"]
    assert len(found.ids) == len(set(found.ids)) == 96 + 48
    assert found.groups is not None
    assert run.metrics["val"]["n"] == 96 + 48
    assert run.opened_test == 0
    assert run.notes == options
    assert same(Run.from_json(run.to_json()), run)


def test_a_cross_validation_has_no_model_to_test_and_takes_every_picture(task, shelf):
    recipe = QUICK.replace(train_part="probe", model_options={"folds": 3})
    with pytest.raises(ValueError, match="test = false"):
        runs.execute(recipe, machine=CPU, shelf=shelf)
    with pytest.raises(ValueError, match="leave subset out"):
        routes.train_task(task(train_part="probe", model_options={"folds": 3}, subset=5))
    with pytest.raises(ValueError, match="'sideways'"):
        routes.train_task(task(train_part="probe", model_options={"folds": 3, "split": "sideways"}))


@pytest.mark.parametrize("classes", [2, 4])
def test_a_probe_is_one_linear_layer(classes):
    rng = np.random.default_rng(0)
    targets = rng.integers(0, classes, 120)
    features = rng.normal(3, 2, (120, 5)) + targets[:, None]
    probe = probes.fit_probe(features[:80], targets[:80], features[80:], targets[80:], num_classes=classes)
    weights, biases = probe.linear()
    logits = torch.from_numpy(features @ weights.T + biases)
    assert probe.probabilities(features) == pytest.approx(logits.softmax(dim=1).numpy(), abs=1e-9)
    assert probe.strength in probes.STRENGTHS


def test_a_class_that_training_lacks_has_probability_zero():
    features, targets = np.arange(12.0).reshape(6, 2), np.array([0, 0, 0, 2, 2, 2])
    probe = probes.fit_probe(features, targets, features, targets, num_classes=3)
    assert probe.probabilities(features)[:, 1].tolist() == [0] * 6
    assert probe.strength == min(probes.STRENGTHS)  # every candidate is right: the smallest is taken
    with pytest.raises(ValueError, match="saw every class"):
        probe.linear()
    with pytest.raises(ValueError, match="all 3 training items have class 0"):
        probes.fit_probe(features[:3], targets[:3], features, targets, num_classes=3)


def test_the_majority_says_the_shares(task):
    one = task(model="majority")
    shares = np.bincount(one.targets("train")) / 96
    assert routes.train_task(one).val_probabilities == pytest.approx(np.tile(shares, (48, 1)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "resnet19"}, "model = 'resnet19' is unknown; choose one of efficientnet_lite0"),
        ({"train_part": "neck"}, "train_part = 'neck' is unknown; choose one of head"),
        ({"augment": "blur"}, "augment = 'blur' is unknown; choose one of resize"),
        ({"model": "small_cnn"}, 'small_cnn has no borrowed part; set train_part = "scratch"'),
        ({"train_part": "probe", "augment": "crop-flip"}, "set augment = \"resize\", not 'crop-flip'"),
        ({"train_part": "probe", "label_smoothing": 0.1}, "label_smoothing = 0.1 has no meaning for a probe"),
        ({"train_part": "probe", "model_options": {"classifier": "knn"}}, "classifier = 'knn' is unknown"),
        ({"train_part": "probe", "model_options": {"layer": "neck"}}, "neck"),
        ({"optimizer": "newton"}, "unknown optimizer 'newton'"),
        ({"mix": "mixup"}, "mix"),
        ({"data": "debriss"}, "debriss"),
    ],
)
def test_wrong_settings_are_refused(changes, message, shelf):
    with pytest.raises(ValueError, match=re.escape(message)):
        runs.execute(QUICK.replace(**changes), machine=CPU, shelf=shelf)


def test_precision_comes_from_the_recipe():
    assert runs._machine(QUICK, CPU).precision == "fp32"
    assert runs._machine(QUICK.replace(precision="bf16"), CPU).precision == "bf16"


def test_an_interrupted_training_is_no_run(shelf):
    def interrupt(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.execute(QUICK, machine=CPU, shelf=shelf, on_epoch=interrupt)


def test_the_test_split_is_opened_once(shelf, monkeypatch):
    opened = []
    monkeypatch.setattr(SealedTest, "_open", lambda sealed: opened.append(1) or sealed._dataset)
    run = runs.execute(QUICK.replace(model="majority"), machine=CPU, shelf=shelf, test=False)
    assert (opened, run.opened_test, run.sizes["test"]) == ([], 0, 48)
    assert set(run.metrics) == {"val"}
    splits = shelf.splits(QUICK)
    scores = runs.test_once(lambda pictures: np.tile([0.6, 0.4], (len(pictures), 1)), splits, run)
    assert (opened, run.opened_test) == ([1], 1)
    assert run.metrics["test"] == scores
    with pytest.raises(runs.TestOpenedTwice, match="opened its test split already"):
        runs.test_once(lambda pictures: 1 / 0, splits, run)
    with pytest.raises(runs.TestOpenedTwice):
        runs.test_once(lambda pictures: 1 / 0, splits, Run.from_json(run.to_json()))
    assert opened == [1]


def test_a_failure_while_scoring_counts_as_opened(shelf):
    run = runs.execute(QUICK.replace(model="majority"), machine=CPU, shelf=shelf, test=False)
    with pytest.raises(ZeroDivisionError):
        runs.test_once(lambda pictures: 1 / 0, shelf.splits(QUICK), run)
    assert run.opened_test == 1


def test_a_network_can_be_tested_too(head_run, shelf, task):
    run = runs.execute(QUICK, machine=CPU, shelf=shelf, test=False)
    model = routes.train_task(task()).model
    assert runs.test_once(model, shelf.splits(QUICK), run) == head_run.metrics["test"]
    assert train.evaluate(model, task().batches(task().seen("val"))).accuracy == run.metrics["val"]["accuracy"]


def test_the_test_belongs_to_the_data_of_the_run(head_run, shelf):
    splits = shelf.splits(QUICK)
    fresh = dataclasses.replace(head_run, opened_test=0)
    with pytest.raises(ValueError, match="has no public test split"):
        runs.test_once(torch.nn.Identity(), dataclasses.replace(splits, test=None), fresh)
    with pytest.raises(ValueError, match="the run was trained on data"):
        runs.test_once(torch.nn.Identity(), dataclasses.replace(splits, fingerprint="0" * 64), fresh)
    assert fresh.opened_test == 0


def test_the_default_backbone(shelf):
    """The weights that are installed with the library: borrowed features tell the drawings apart."""
    probe = QUICK.replace(model="efficientnet_lite0", image_size=64, train_part="probe")
    assert runs.execute(probe, machine=CPU, shelf=shelf).metrics["val"]["accuracy"] > 0.6


def test_a_stand_in_can_be_refused():
    with pytest.raises(records.MixedSourcesError, match="debris is not on this machine"):
        runs.execute(QUICK, machine=CPU, allow_stand_in=False)


def test_repeat_takes_one_seed_after_the_other():
    found = runs.repeat(QUICK.replace(model="colour-numbers", subset=10), [3, 1], machine=CPU)
    assert [run.seed for run in found] == [3, 1]
    for wrong in ([], [1, 1]):
        with pytest.raises(ValueError, match="each at most once"):
            runs.repeat(QUICK, wrong)


# Records and tables, on runs that were not trained


def made(correct, *, seed=0, source="local", ids=None, groups=None, targets=None, **changes) -> Run:
    """A run whose correctness on val and test is given."""
    right = np.asarray(correct, dtype=bool)
    targets = np.arange(len(right)) % 2 if targets is None else np.asarray(targets)
    predicted = np.where(right, targets, 1 - targets)
    probabilities = np.where(predicted[:, None] == [0, 1], 0.9, 0.1)
    ids = [f"picture {index}" for index in range(len(right))] if ids is None else ids
    run = Run(Recipe(seed=seed, **changes), source, "f" * 64, ("a", "b"), {"train": 1, "val": 1, "test": 1})
    for split in ("val", "test"):
        run.record(split, Predictions.of(probabilities, targets, ids, groups))
    run.seconds_fit = float(seed)
    return run


def test_many_probabilities_keep_their_classes_at_half_precision():
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(20), 10_500)
    scores[0, :2] = scores[0].max() + np.array([0.0, 1e-6])  # a tie in 16 bits
    found = Predictions.of(scores, rng.integers(0, 20, 10_500), [str(index) for index in range(10_500)])
    again = Predictions.from_dict(json.loads(json.dumps(found.to_dict())))
    assert found.to_dict()["probabilities"]["dtype"] == "<f2"
    assert np.array_equal(again.predicted, found.predicted)
    assert again.probabilities == pytest.approx(scores, abs=1e-3)
    assert again.ids == found.ids


def test_groups_of_text_and_numbers_come_back():
    for groups in (["x", "y", "y"], [3, 1, 1]):
        found = Predictions.of([[1, 0]] * 3, [0, 1, 0], "abc", groups)
        assert np.array_equal(Predictions.from_dict(found.to_dict()).groups, groups)


def test_lengths_are_checked():
    with pytest.raises(ValueError, match="2 ids for 3 rows"):
        Predictions.of([[1, 0]] * 3, [0, 1, 0], "ab")
    with pytest.raises(ValueError, match="1 groups for 3 rows"):
        Predictions.of([[1, 0]] * 3, [0, 1, 0], "abc", [1])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 99}', '{"schema": 1}'])
def test_what_is_no_record_is_refused(text, tmp_path):
    path = tmp_path / "seed-0.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"seed-0\.json: .*record"):
        records.read_record(path)


def test_loading_by_name(tmp_path):
    for name, seed in (("debris/head", 10), ("debris/head", 2), ("solar/all", 0)):
        records.write_record(made([1, 0], seed=seed).to_json(), records.record_path(tmp_path, name, seed))
    records.write_record("{}", tmp_path / "debris" / "head" / "seed-3.failed.json")
    found = records.load_runs(tmp_path)
    assert {name: [run.seed for run in of_name] for name, of_name in found.items()} == {
        "debris/head": [2, 10],
        "solar/all": [0],
    }
    assert list(records.load_runs(tmp_path, "solar/*")) == ["solar/all"]
    assert not list(tmp_path.rglob("*.part"))
    with pytest.raises(FileNotFoundError, match="no record below"):
        records.load_runs(tmp_path, "birds/*")
    with pytest.raises(FileNotFoundError, match="no folder of records"):
        records.load_runs(tmp_path / "absent")


@pytest.mark.parametrize("name", ["", "/etc", "a//b", "../up", "a/./b", "c:/x", "a\\b"])
def test_names_stay_in_the_folder(name):
    with pytest.raises(ValueError, match="is no name of a run"):
        records.record_path(".", name, 0)


def test_a_write_that_fails_leaves_the_old_record(tmp_path, monkeypatch):
    path = tmp_path / "seed-0.json"
    records.write_record("old", path)

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        records.write_record("new", path)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["seed-0.json"]


def test_the_table_holds_spread_and_interval():
    a, b = np.array([1, 1, 1, 0] * 10), np.array([1, 0, 1, 0] * 10)
    table = records.results_table({"x": [made(a, seed=1), made(b, seed=2)]}, split="val")
    row = table.iloc[0]
    assert (row["name"], row["seeds"], row["n"], row["source"]) == ("x", 2, 40, "local")
    assert (row["mean"], row["sd"]) == pytest.approx((0.625, np.std([0.75, 0.5], ddof=1)))
    assert (row["low"], row["high"]) == stats.bootstrap(np.stack([a, b]))[1:]
    assert row["seconds"] == 1.5
    assert np.isnan(records.results_table({"x": [made(a)]})["sd"][0])


def test_the_table_draws_whole_groups_and_balances():
    right, groups = np.repeat([1, 0, 1, 1], 10), np.repeat([0, 1, 2, 3], 10)
    targets = np.repeat([0, 1, 0, 0], 10)
    runs_by_name = {"x": [made(right, groups=groups, targets=targets)]}
    row = records.results_table(runs_by_name).iloc[0]
    assert (row["low"], row["high"]) == stats.bootstrap(right, groups=groups)[1:]
    row = records.results_table(runs_by_name, metric="balanced_accuracy").iloc[0]
    assert row["mean"] == 0.5
    with pytest.raises(ValueError, match="'loss' has no interval"):
        records._resampling(targets, groups, "loss")


def test_the_table_refuses_to_mix_sources():
    with pytest.raises(records.MixedSourcesError, match="on the stand-in of debris"):
        records.results_table({"x": [made([1, 0])], "y": [made([1, 0], source="stand-in")]})
    assert len(records.results_table({"x": [made([1, 0])], "y": [made([1, 0], source="package")]})) == 2


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([made([1, 0], seed=1, lr=0.5)], "follow different recipes"),
        ([made([1, 0], seed=0)], "repeat a seed"),
        ([made([1, 0], seed=1, ids=["p", "q"])], "scored different items"),
    ],
)
def test_what_is_no_repeat_is_refused(others, message):
    with pytest.raises(ValueError, match=message):
        records.results_table({"x": [made([1, 0], seed=0), *others]})


def test_a_split_that_was_not_scored_is_refused():
    run = made([1, 0])
    del run.predictions["test"]
    with pytest.raises(ValueError, match="x, seed 0: the test split was not scored"):
        records.results_table({"x": [run]})
    with pytest.raises(ValueError, match="x has no runs"):
        records.results_table({"x": []})


def test_a_difference_pairs_items_by_name():
    a = [made([1, 1, 0, 1], ids=list("pqrs"), seed=seed) for seed in (0, 1)]
    b = [made([0, 1, 1], ids=list("srx"), lr=0.5, targets=[1, 0, 0])]
    difference, low, high = records.difference(a, b)
    assert difference == pytest.approx(0.5 - 0.5)  # r: 0 against 1; s: 1 against 0
    assert (low, high) == (-1, 1)
    with pytest.raises(ValueError, match="share no item"):
        records.difference(a, [made([1], ids=["z"])])
    with pytest.raises(ValueError, match="different true classes"):
        records.difference(a, [made([1, 1], ids=["p", "q"], targets=[1, 1])])
    with pytest.raises(records.MixedSourcesError):
        records.difference(a, [made([1, 0], source="stand-in")])


def test_two_ways_to_ask_the_same_networks_share_the_luck_of_the_training():
    rng = np.random.default_rng(0)
    level = np.array([0.3, 0.5, 0.7])  # three trainings of very different luck
    one = [rng.random(400) < share for share in level]
    views = [hits | (rng.random(400) < 0.05) for hits in one]  # a little better, each on its own network
    a = [made(hits, seed=seed) for seed, hits in enumerate(views)]
    b = [made(hits, seed=seed, lr=0.5) for seed, hits in enumerate(one)]
    same, apart = records.difference(a, b, same_networks=True), records.difference(a, b)
    assert same[0] == pytest.approx(apart[0])
    assert same == stats.bootstrap(np.array(views).astype(float) - np.array(one))
    assert same[1] > 0 > apart[1]
    with pytest.raises(ValueError, match="needs the same seeds"):
        records.difference(a, b[:2], same_networks=True)


def test_a_difference_draws_whole_groups():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 5)
    a, b = np.repeat(rng.random(10) < 0.8, 5), np.repeat(rng.random(10) < 0.5, 5)
    found = records.difference([made(a, groups=groups)], [made(b, groups=groups, lr=0.5)])
    assert found == stats.paired_bootstrap(a, b, groups=groups)
    assert np.ptp(found[1:]) > np.ptp(records.difference([made(a)], [made(b, lr=0.5)])[1:])
