"""Every row of every sweep file can be trained: what its recipe names exists, and takes the options that it gives."""

from functools import cache

import numpy as np
import pytest
from books import ROOT
from torch import nn

from clslab import data, losses, models, optim, routes, schedule, sound_route, whole_batches
from clslab.commands.sweep import SweepFile
from clslab.recipe import Recipe

FILES = sorted((ROOT / "book" / "sweeps").glob("*.toml"))
ROWS = [
    pytest.param(recipe, id=f"{path.stem}:{name}")
    for path in FILES
    for name, recipe in SweepFile.read(path).recipes.items()
]


@cache
def built(model: str, options: tuple) -> nn.Module:
    """One network of its name and options; many rows share it."""
    return models.create(model, num_classes=100, **dict(options))


def test_there_are_sweeps() -> None:
    assert len(FILES) > 20
    assert len(ROWS) > 200


@pytest.mark.parametrize("recipe", ROWS)
def test_a_row_can_be_trained(recipe: Recipe) -> None:
    routes._check_settings(recipe)
    if recipe.model in routes.BASELINES or (sound_route.takes_sounds(recipe) and recipe.train_part == "probe"):
        return
    optimizer = optim.create(recipe, nn.Linear(2, 2))
    schedule.create(recipe, optimizer, total=max(recipe.epochs, 2) * 10)
    tree = data.taxonomy(recipe.data, recipe.variant) if not sound_route.takes_sounds(recipe) else None
    classes = 2 if tree is None else tree.num_classes(tree.levels - 1)
    losses.create(recipe, np.full(classes, 5), tree)
    if whole_batches.takes_batches(recipe) and tree is not None:
        assert built(recipe.model, tuple(recipe.model_options.items())) is not None
