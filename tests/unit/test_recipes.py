"""The recipes that come with the library, and changes to them."""

import dataclasses

import numpy as np
import pytest

from clslab import losses, models, optim, recipes, routes
from clslab.data.augment import PRESETS
from clslab.device import Machine
from clslab.recipe import Recipe
from clslab.tta import VIEWS

CPU = Machine("cpu", threads=1, name="test")

SOURCE_ROWS = {
    "resnet18": 0.75,
    "resnet50": 0.78,
    "resnet101": 0.79,
    "resnet50-erasing": 0.79,
    "resnet50-autoaugment": 0.815,
    "resnet50-adam": 0.79,
    "resnet50-ranger": 0.65,
    "resnet50-sam": 0.8311,
    "resnet50-smoothing": 0.833,
    "wrn40_10": 0.840,
    "wrn40_10-tta": 0.8437,
}
"""What the source reported for each row of its table."""


# ------------------------------------------------------------------------------------- as shipped


def test_every_row_of_the_source_is_there():
    shipped = {name.removeprefix("cifar100/source/") for name in recipes.names() if "/source/" in name}
    assert shipped == set(SOURCE_ROWS)
    assert {"cifar100/full", "cifar100/cpu", "cifar100/minutes"} <= set(recipes.names())


@pytest.mark.parametrize(("row", "reported"), SOURCE_ROWS.items())
def test_a_row_says_what_the_source_reported_and_follows_its_settings(row, reported):
    text = (recipes.FOLDER / "cifar100" / "source" / f"{row}.toml").read_text(encoding="utf-8")
    header = " ".join(line.removeprefix("#").strip() for line in text.split("\n\ndata = ")[0].splitlines())
    assert f"reported an accuracy of {reported:.4f}".rstrip("0") in header
    assert "one run" in header
    assert "Adapted: " in header
    found = recipes.read(f"cifar100/source/{row}")
    assert (found.epochs, found.batch_size, found.warmup, found.schedule) == (200, 128, 5.0, "cosine")
    assert (found.weight_decay, found.decay_norm_and_bias, found.init) == (0.0005, False, "kaiming")
    assert found.model == row.split("-")[0]


def test_one_row_differs_from_its_partner_in_one_thing():
    def differing(a, b):
        old, new = (recipes.read(f"cifar100/source/{row}").to_dict() for row in (a, b))
        return {field for field in old if old[field] != new[field]}

    assert differing("resnet18", "resnet50") == {"model"}
    assert differing("resnet50", "resnet50-erasing") == {"augment"}
    assert differing("resnet50-erasing", "resnet50-autoaugment") == {"augment"}
    assert differing("resnet50-autoaugment", "resnet50-adam") == {"optimizer", "optimizer_options", "lr"}
    assert differing("resnet50-autoaugment", "resnet50-sam") == {"sam_rho", "sam_adaptive"}
    assert differing("resnet50-sam", "resnet50-smoothing") == {"label_smoothing"}
    assert differing("resnet50-smoothing", "wrn40_10") == {"model", "model_options"}
    assert differing("wrn40_10", "wrn40_10-tta") == {"tta"}


def test_full_holds_the_whole_recipe():
    full = recipes.read("cifar100/full")
    assert full.sam_rho > 0
    assert full.label_smoothing > 0
    assert full.tta in VIEWS
    assert (full.model, full.augment) == ("wrn40_10", "autoaugment-rotate-erase")


@pytest.mark.parametrize("name", recipes.names())
def test_a_shipped_recipe_takes_a_step_and_is_scored(name, empty_machine, shelf):
    recipe = recipes.read(name)
    assert recipe.model in models.list_models()
    assert recipe.augment in PRESETS
    assert recipe.loss in losses.NAMES
    assert recipe.optimizer in optim.NAMES
    narrow = recipe.replace(epochs=1, warmup=0.0, batch_size=8, model_options=recipe.model_options | {"width": 2})
    splits = shelf.splits(narrow)
    few = dataclasses.replace(splits, val=splits.val.subset(range(4)))
    trained = routes.train_task(routes.Task(narrow, few, np.arange(8), CPU, shelf))
    assert len(trained.history) == 1
    assert np.isfinite(trained.history[0]["train_loss"])
    assert trained.val_probabilities.shape == (4, 100)
    assert trained.val_probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)


# ---------------------------------------------------------------------------------------- changed


START = Recipe(lr=0.1, mix="mixup", optimizer_options={"momentum": 0.9}, model_options={"width": 16})


@pytest.mark.parametrize(
    ("assignments", "changes"),
    [
        ([], {}),
        (["lr=0.05"], {"lr": 0.05}),
        (["lr = 1", "epochs=3"], {"lr": 1.0, "epochs": 3}),
        (['optimizer="sgd"'], {"optimizer": "sgd"}),
        (["optimizer='sgd'"], {"optimizer": "sgd"}),
        (["optimizer=sgd"], {"optimizer": "sgd"}),
        (["augment=autoaugment-erase"], {"augment": "autoaugment-erase"}),
        (["sam_adaptive=true"], {"sam_adaptive": True}),
        (["mix="], {"mix": None}),
        (["optimizer_options="], {"optimizer_options": {}}),
        (["optimizer_options.nesterov=true"], {"optimizer_options": {"momentum": 0.9, "nesterov": True}}),
        (["model_options={width = 8, dropout = 0.1}"], {"model_options": {"width": 8, "dropout": 0.1}}),
        (["optimizer_options=", "optimizer_options.betas=[0.9, 0.99]"], {"optimizer_options": {"betas": [0.9, 0.99]}}),
        (["lr=0.05", "lr=0.02"], {"lr": 0.02}),
    ],
)
def test_fields_are_changed(assignments, changes):
    assert recipes.changed(START, assignments) == START.replace(**changes)
    assert START.optimizer_options == {"momentum": 0.9}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("lr", "--set lr: write FIELD=VALUE, such as lr=0.05"),
        ("=3", "write FIELD=VALUE"),
        ("lrr=0.1", "a recipe has no field 'lrr'; the nearest one is 'lr'"),
        ("lrr=", "a recipe has no field 'lrr'"),
        ("lr=fast", "lr = 'fast' is a str; it has to be a number"),
        ("lr=-1", "lr = -1.0 is out of range"),
        ("lr=0.1 0.2", "0.1 0.2 is no value as TOML writes it"),
        ("betas=[0.9,", "is no value as TOML writes it"),
        ("lr.x=1", r"lr = \{'x': 1\} is a dict; it has to be a number"),
        ("model_options.width=", "only whole fields can be left out"),
        ("lr=1\nepochs = 2", "is no value as TOML writes it"),
    ],
)
def test_changes_that_are_none(assignment, message):
    with pytest.raises(ValueError, match=message):
        recipes.changed(START, [assignment])
