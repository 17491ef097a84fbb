"""The rates of recorded runs are those that their search chose, wherever the search is recorded."""

from typing import Any

import pytest
from books import ROOT

from clslab.commands.sweep import SweepFile
from clslab.records import load_runs

SWEEPS, RESULTS = ROOT / "book" / "sweeps", ROOT / "book" / "results"
UNTUNED = ("lr/", "one-rate/", "logistic-regression")
"""Rows whose rate is the source's, or that have none."""

LIKE = {"sgd-two-epochs": "sgd", "adam-two-epochs": "adam", "tta": "longer"}
"""Rows that take over the rate of another search, as the sweep file says."""


def searched() -> dict[str, dict[float, str]]:
    """What is tuned: way -> rate -> name of its run."""
    found: dict[str, dict[float, str]] = {}
    for name, recipe in SweepFile.read(SWEEPS / "homework_tuning.toml").recipes.items():
        found.setdefault(name.split("/", 2)[2].rsplit("-lr", 1)[0], {})[recipe.lr] = name
    return found


def chosen(scores: dict[Any, tuple[float, float]]) -> Any:
    """The key with the best validation accuracy, of equal ones the lower loss."""
    return min(scores, key=lambda rate: (-scores[rate][0], scores[rate][1]))


ROWS = {
    "cifar100/ladder-tuning": ("ladder_tuning", "ladder"),
    "cifar100/ladder-long-tuning": ("ladder_long_tuning", "ladder_long"),
    "cifar100/optimizers-tuning": ("optimizers_tuning", "optimizers"),
    "cifar100/models-tuning": ("models_tuning", "models"),
    "cifar100/tail-100-tuning": ("long_tail_tuning", "long_tail"),
    "cifar100/tail-10-tuning": ("long_tail_tuning", "long_tail"),
}
"""Folder of a search -> the sweep that holds it, and the sweep whose rows take its rates."""


@pytest.mark.parametrize("folder", ROWS)
def test_a_row_has_the_rate_that_its_search_chose(folder):
    search, rows = (SweepFile.read(SWEEPS / f"{sweep}.toml").recipes for sweep in ROWS[folder])
    runs = load_runs(RESULTS, "cifar100/*")
    tried: dict[str, dict[float, str]] = {}
    for name, recipe in search.items():
        way, varied, _ = name.removeprefix(f"{folder}/").rpartition("-lr")
        if name.startswith(f"{folder}/") and varied:
            tried.setdefault(way, {})[recipe.lr] = name
    assert tried
    for way, names in tried.items():
        row = rows[f"{folder.removesuffix('-tuning')}/{way}"]
        if all(name in runs for name in names.values()):
            metrics = {rate: runs[name][0].metrics["val"] for rate, name in names.items()}
            best = chosen({rate: (one["accuracy"], one["loss"]) for rate, one in metrics.items()})
            assert row.lr == best, f"{way}: validation chose {best:g}"


BORROWED = {
    "plain": "shift-flip",
    "smoothing": "cutmix",
    "sam-half": "sam",
    **dict.fromkeys(("erase-smoothing", "views", "wide", "together"), "erase"),
}
"""Rungs of the longer ladder that were not searched -> the rung whose rate they have, as the sweep file says."""


def test_the_rungs_of_the_longer_ladder_have_a_rate_of_a_search():
    rows = SweepFile.read(SWEEPS / "ladder_long.toml").recipes
    rungs = {name.rpartition("/")[2]: recipe for name, recipe in rows.items()}
    search = {
        name.rpartition("/")[2].rpartition("-lr")[0]
        for name in SweepFile.read(SWEEPS / "ladder_long_tuning.toml").recipes
    }
    assert set(rungs) == search | set(BORROWED)
    for rung, lender in BORROWED.items():
        assert rungs[rung].lr == rungs[lender].lr, f"{rung} has not the rate of {lender}"


def test_no_rung_of_the_longer_ladder_is_recorded_before_its_search():
    runs = load_runs(RESULTS, "cifar100/*")
    tried: dict[str, list[float]] = {}
    for name, found in runs.items():
        if name.startswith("cifar100/ladder-long-tuning/"):
            tried.setdefault(name.rpartition("/")[2].rpartition("-lr")[0], []).append(found[0].recipe.lr)
    for name, found in runs.items():
        if name.startswith("cifar100/ladder-long/"):
            rung = name.rpartition("/")[2]
            rates = tried.get(BORROWED.get(rung, rung), [])
            assert rates, f"{name} is recorded, and no rate of it is"
            assert min(rates) < found[0].recipe.lr < max(rates), f"{name}: its rate is at an end of {sorted(rates)}"


def test_of_equal_accuracies_the_lower_loss_is_chosen():
    assert chosen({0.1: (0.97, 0.2), 0.3: (0.97, 0.1), 1.0: (0.96, 0.05)}) == 0.3


def test_every_tuned_row_of_the_homework_has_one_of_the_rates_that_were_tried():
    tried = searched()
    for name, recipe in SweepFile.read(SWEEPS / "homework.toml").recipes.items():
        row = name.removeprefix("catsdogs/homework/")
        if not row.startswith(UNTUNED) and row != "best":
            assert recipe.lr in tried[LIKE.get(row, row)], f"{row}: {recipe.lr} was not tried"


def test_the_homeworks_rates_are_those_that_validation_chose():
    runs = load_runs(RESULTS)
    rows = SweepFile.read(SWEEPS / "homework.toml").recipes
    for way, names in searched().items():
        if all(name in runs for name in names.values()):
            metrics = {rate: runs[name][0].metrics["val"] for rate, name in names.items()}
            best = chosen({rate: (one["accuracy"], one["loss"]) for rate, one in metrics.items()})
            assert rows[f"catsdogs/homework/{way}"].lr == best, f"{way}: validation chose {best:g}"


def test_the_homeworks_best_row_is_the_winner_of_the_whole_search():
    runs = load_runs(RESULTS)
    best = SweepFile.read(SWEEPS / "homework.toml").recipes["catsdogs/homework/best"]
    search = SweepFile.read(SWEEPS / "homework_tuning.toml").recipes
    assert best.replace(tta=None).key() in {recipe.key() for recipe in search.values()}
    if all(name in runs for name in search):
        metrics = {name: runs[name][0].metrics["val"] for name in search}
        winner = chosen({name: (one["accuracy"], one["loss"]) for name, one in metrics.items()})
        assert best.replace(tta=None).key() == search[winner].key(), f"validation chose {winner}"


def test_the_homeworks_search_leaves_the_test_shut_and_shares_no_seed_with_the_runs():
    search, runs = (SweepFile.read(SWEEPS / f"{name}.toml") for name in ("homework_tuning", "homework"))
    assert search.test is False
    assert runs.test is True
    seeds = [{seed for one in plan.seeds.values() for seed in one} for plan in (search, runs)]
    assert not seeds[0] & seeds[1]
