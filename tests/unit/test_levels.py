"""The route of a tree, from a recipe to a record."""

import pytest
import torch

from clslab import levels, runs
from clslab.checkpoint import read_checkpoint
from clslab.device import Machine
from clslab.recipe import Recipe
from clslab.records import Run
from clslab.routes import Task, before_training, training_indices
from clslab.taxonomy import Taxonomy

BASE = Recipe(
    data="cifar100",
    subset=2,
    image_size=32,
    model="resnet9",
    model_options={"width": 2},
    train_part="scratch",
    pretrained=False,
    epochs=1,
    batch_size=50,
    augment="plain",
    precision="fp32",
    choose_epoch=False,
)
TREE = Taxonomy.from_paths([("o", "f", "s0"), ("o", "g", "s1"), ("p", "h", "s2")])


CPU = Machine("cpu", threads=1, name="test")

pytestmark = pytest.mark.usefixtures("empty_machine")


@pytest.fixture
def recorded(shelf):
    """Trains the small recipe with the given hierarchy."""

    def execute(hierarchy, **changes):
        options = {name: changes.pop(name) for name in ("test", "checkpoint", "on_epoch", "resume") if name in changes}
        return runs.execute(BASE.replace(hierarchy=hierarchy, **changes), shelf=shelf, machine=CPU, **options)

    return execute


@pytest.mark.parametrize(
    "hierarchy",
    [
        {"mode": "flat"},
        {"mode": "joint", "adapter": "conv", "weights": [[0.9, 0.1], [0.0, 1.0]], "starts": [0, 1]},
        {"mode": "two-stage", "shallow": "fixed", "first_epochs": 1},
        {"mode": "two-stage", "shallow": "updated", "adapter": "coral", "temporal": "attention", "weights": [[0.1, 1]]},
    ],
)
def test_a_recipe_becomes_a_record_of_the_finest_level(hierarchy, recorded):
    run = recorded(hierarchy)
    assert run.metrics["test"]["n"] == len(run.predictions["test"].targets)
    assert len(run.classes) == 100
    assert len(run.notes.get("coarse_val_accuracy", [])) == (0 if hierarchy["mode"] == "flat" else 1)
    assert len(run.notes.get("first_stage", [])) == (1 if hierarchy["mode"] == "two-stage" else 0)
    assert Run.from_json(run.to_json()).recipe.hierarchy == run.recipe.hierarchy


def test_validation_is_seen_in_the_views_that_the_test_is_seen_in(recorded):
    run = recorded({"mode": "joint"}, tta="flip", epochs=2)
    single, several = (run.predictions[split].own for split in ("val-single-view", "val"))
    assert not (single == several).all()
    plain = recorded({"mode": "joint"}, epochs=2)
    assert (plain.predictions["val"].own == single).all()


def test_the_same_seed_gives_the_same_run(recorded):
    settings = {"mode": "two-stage", "shallow": "fixed", "first_epochs": 1}
    once, again = (recorded(settings).predictions["val"].own for _ in range(2))
    assert (once == again).all()


def test_a_recipe_gives_the_coarse_heads_their_bands(shelf):
    recipe = BASE.replace(hierarchy={"mode": "two-stage", "shallow": "updated", "first_epochs": 1, "bands": 4})
    splits = shelf.splits(recipe)
    model, _, _ = before_training(Task(recipe, splits, training_indices(splits, recipe), CPU, shelf))
    plain = levels.network(
        Task(recipe.replace(hierarchy={"mode": "joint"}), splits, training_indices(splits, recipe), CPU, shelf)
    )
    assert model.heads[0].in_features == 4 * plain.heads[0].in_features
    assert model.heads[1].in_features == plain.heads[1].in_features


def test_stage_one_trains_heads_with_bands(recorded):
    run = recorded({"mode": "two-stage", "shallow": "fixed", "first_epochs": 1, "bands": 4})
    without = recorded({"mode": "two-stage", "shallow": "fixed", "first_epochs": 1})
    assert run.notes["first_stage"][0]["train_loss"] != without.notes["first_stage"][0]["train_loss"]


def test_what_is_fixed_is_not_counted_as_trained(recorded):
    settings = {"mode": "two-stage", "first_epochs": 1}
    fixed, updated = (recorded(settings | {"shallow": kind}) for kind in ("fixed", "updated"))
    assert fixed.parameters_total == updated.parameters_total == updated.parameters_trained
    assert fixed.parameters_trained < updated.parameters_trained


def test_the_first_stage_is_trained_before_the_shallow_part_is_fixed(monkeypatch, shelf):
    recipe = BASE.replace(hierarchy={"mode": "two-stage", "shallow": "fixed", "first_epochs": 2})
    splits = shelf.splits(recipe)
    task = Task(recipe, splits, training_indices(splits, recipe), CPU, shelf)
    model, batches, _ = before_training(task)
    start = {name: value.clone() for name, value in model.parts[0].state_dict().items()}
    seen = []
    monkeypatch.setattr(levels, "_last_stage", lambda task, model, *_: seen.append(model) or pytest.fail("stop here"))
    with pytest.raises(pytest.fail.Exception):
        levels.train_levels(task, model, batches, batches, None, plain=[])
    moved = [name for name, value in model.parts[0].state_dict().items() if not torch.equal(value, start[name])]
    assert any("weight" in name for name in moved)
    assert any("running_mean" in name for name in moved)
    assert not any(weights.requires_grad for weights in model.parts[0].parameters())


def test_levels_can_be_picked():
    picked = levels.tree_of(TREE, BASE.replace(hierarchy={"mode": "joint", "levels": [0, 2]}))
    assert picked.paths == (("o", "s0"), ("o", "s1"), ("p", "s2"))
    flat = levels.tree_of(TREE, BASE.replace(hierarchy={"mode": "flat"}))
    assert flat.paths == (("s0",), ("s1",), ("s2",))


def test_a_random_tree_is_another_one_for_each_seed():
    tree = Taxonomy.from_paths([(f"super{leaf // 5}", f"class{leaf}") for leaf in range(100)])
    joint = BASE.replace(hierarchy={"mode": "joint", "tree": "random"})
    drawn = [levels.tree_of(tree, joint.replace(seed=seed)) for seed in (0, 1, 0)]
    assert drawn[0] == drawn[2] != drawn[1]
    assert levels.tree_of(tree, joint.replace(hierarchy={"mode": "joint", "tree": "true"})) == tree


def test_the_loss_of_each_mode():
    def weights(hierarchy, count=2):
        return levels.loss_of(BASE.replace(hierarchy=hierarchy), count).rows

    assert weights({"mode": "flat"}, 1) == ((1.0,),)
    assert weights({"mode": "joint"}) == ((0.5, 0.5),)
    assert weights({"mode": "two-stage"}) == ((0.0, 1.0),)
    assert weights({"mode": "two-stage", "weights": [[0.2, 1]]}) == ((0.2, 1.0),)


def test_level_weights_follow_the_epochs_of_the_training(monkeypatch, recorded):
    seen = []
    forward = levels.LevelLoss.forward
    monkeypatch.setattr(
        levels.LevelLoss, "forward", lambda self, *batch: seen.append(self.now) or forward(self, *batch)
    )
    rows = [[1, 0], [0, 1]]
    recorded({"mode": "joint", "weights": rows, "starts": [0, 2]}, epochs=4)
    steps = len(seen) // 4
    assert seen == [(1.0, 0.0)] * 2 * steps + [(0.0, 1.0)] * 2 * steps


def test_a_run_that_was_interrupted_goes_on_where_it_was(tmp_path, recorded):
    settings = {"mode": "two-stage", "shallow": "fixed", "adapter": "coral", "first_epochs": 1}
    whole = recorded(settings, epochs=3, test=False)
    path = tmp_path / "checkpoint.pt"

    def stop_after_two(record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recorded(settings, epochs=3, test=False, checkpoint=path, on_epoch=stop_after_two)
    resumed = recorded(settings, epochs=3, test=False, resume=path)
    assert len(resumed.history) == 3
    losses = [[epoch["train_loss"] for epoch in run.notes["first_stage"]] for run in (resumed, whole)]
    assert losses[0] == losses[1]
    first = read_checkpoint(path)["parts"]
    spent = [*first["first_stage"]["records"], *first["history"]["records"]]
    assert resumed.seconds_fit > sum(epoch["seconds"] for epoch in spent)
    assert (resumed.predictions["val"].own == whole.predictions["val"].own).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hierarchy": {"mode": "twostage"}}, "choose one of flat, joint, two-stage"),
        ({"hierarchy": {"mode": "flat", "depth": 3}}, "hierarchy has depth"),
        ({"hierarchy": {"mode": "flat", "shallow": "fixed"}}, "hierarchy.shallow has no meaning"),
        ({"hierarchy": {"mode": "flat", "bands": 4}}, "hierarchy.bands has no meaning"),
        ({"hierarchy": {"mode": "joint", "first_epochs": 3}}, "hierarchy.first_epochs has no meaning"),
        ({"hierarchy": {"mode": "joint", "levels": [0]}}, r"hierarchy.levels = \[0\]"),
        ({"hierarchy": {"mode": "joint", "levels": [1, 0]}}, r"hierarchy.levels = \[1, 0\]"),
        ({"hierarchy": {"mode": "flat", "tree": "random"}}, "hierarchy.tree has no meaning"),
        ({"hierarchy": {"mode": "joint", "tree": "shuffled"}}, "'shuffled' is unknown; choose one of true, random"),
        ({"hierarchy": {"mode": "joint"}, "mix": "mixup"}, "mix = 'mixup'"),
        ({"hierarchy": {"mode": "joint"}, "loss": "focal"}, "loss = 'focal'"),
        ({"hierarchy": {"mode": "joint"}, "data": "debris", "augment": "resize"}, "choose an augment of"),
        ({"hierarchy": {"mode": "joint"}, "model": "vit_tiny", "model_options": {}}, "cannot be cut"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, words, recorded):
    with pytest.raises(ValueError, match=words):
        recorded(**changes)


def test_a_set_without_a_tree_is_named():
    with pytest.raises(ValueError, match="debris has no tree of labels"):
        levels.tree_of(None, Recipe(hierarchy={"mode": "flat"}))
