import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from clslab import data, runs
from clslab.preregistration import Plan
from clslab.recipe import Recipe
from clslab.records import Predictions, Run

HEAD = Recipe(data="own", train_part="probe", image_size=64, batch_size=16)
COLOURS = Recipe(data="own", model="colour-numbers")


def plan(**changes: object) -> Plan:
    settings = {"challenger": HEAD, "baseline": COLOURS, "margin": 0.05, "fingerprint": "ab12", "seeds": (0, 1)}
    return Plan("borrowed features beat colours", **(settings | changes))


def run(recipe: Recipe, share: float, *, n: int = 200, groups: int | None = None, **changes: object) -> Run:
    """A run that gets the first `share` of its test pictures right."""
    said = np.zeros((n, 2))
    targets = np.arange(n) % 2
    right = np.arange(n) < round(share * n)
    said[np.arange(n), np.where(right, targets, 1 - targets)] = 1.0
    of = None if groups is None else np.arange(n) * groups // n
    made = Run(recipe, "local", "ab12", ("a", "b"), {"train": 10, "val": 10, "test": n})
    made.record("test", Predictions.of(said, targets, [str(i) for i in range(n)], of))
    made.opened_test = 1
    made.notes["test_opened"] = "2026-05-02T10:00:00+00:00"
    return dataclasses.replace(made, **changes)


def both(challenger: float, baseline: float, **options: object) -> dict[str, list[Run]]:
    return {
        "challenger": [run(HEAD.replace(seed=seed), challenger, **options) for seed in (0, 1)],
        "baseline": [run(COLOURS.replace(seed=seed), baseline, **options) for seed in (0, 1)],
    }


def test_a_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    written = plan(metric="balanced_accuracy").save(tmp_path / "plan.toml")
    assert written.written.endswith("+00:00")
    assert Plan.from_toml(tmp_path / "plan.toml") == written
    assert Plan.from_toml(written.to_toml()) == written


def test_a_plan_is_written_once(tmp_path: Path) -> None:
    plan().save(tmp_path / "plan.toml")
    before = (tmp_path / "plan.toml").read_text()
    with pytest.raises(FileExistsError):
        plan(margin=0.01).save(tmp_path / "plan.toml")
    assert (tmp_path / "plan.toml").read_text() == before


def test_a_second_run_of_a_notebook_keeps_the_first_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = plan(expected=0.2).keep(tmp_path / "plan.toml")
    assert plan(expected=0.2).keep(tmp_path / "plan.toml") == first
    assert capsys.readouterr().out == ""
    assert plan(margin=0.0).keep(tmp_path / "plan.toml") == first
    assert "another plan was written here on 2" in capsys.readouterr().out
    with pytest.raises(ValueError, match="is a plan for other pictures"):
        plan(fingerprint="cd34").keep(tmp_path / "plan.toml")


def test_what_the_two_recipes_differ_in() -> None:
    assert set(plan().changed) == {"model", "train_part", "image_size", "batch_size"}
    assert plan(baseline=HEAD.replace(lr=0.1, seed=7)).changed == ("lr",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"margin": 5.0}, r"margin = 5.0; give a share"),
        ({"margin": "0.05"}, r"margin = '0.05'; give a share"),
        ({"expected": 12}, r"expected = 12; give a share"),
        ({"seeds": 3}, r"seeds = 3; give a list"),
        ({"seeds": ("a",)}, r"give a list of whole numbers"),
        ({"seeds": (0, 0)}, "each once"),
        ({"seeds": ()}, "at least one"),
        ({"metric": "auc"}, "use accuracy or balanced_accuracy"),
        ({"fingerprint": " "}, "fingerprint is empty"),
        ({"baseline": HEAD.replace(seed=3)}, "the same recipe"),
        ({"baseline": COLOURS.replace(data="debris")}, "recipes for two sets"),
        ({"baseline": COLOURS.replace(variant="random-split")}, "recipes for two sets"),
    ],
)
def test_a_plan_that_decides_nothing_is_refused(changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plan(**changes)


@pytest.mark.parametrize(
    ("text", "words"),
    [("claim = 'x'", "lacks baseline, challenger, fingerprint, margin"), ("", "no TOML file")],
)
def test_a_file_that_is_no_plan(text: str, words: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        Plan.from_toml(text)
    with pytest.raises(ValueError, match="has the unknown colour"):
        Plan.from_toml('colour = "red"\n' + plan().to_toml())


@pytest.mark.parametrize(
    ("shares", "margin", "verdict"),
    [
        ((0.9, 0.6), 0.05, "holds"),
        ((0.9, 0.6), 0.5, "refuted"),
        ((0.7, 0.66), 0.05, "open"),
        ((0.6, 0.6), -0.05, "holds"),  # not worse by five points
        ((0.5, 0.9), 0.0, "refuted"),
    ],
)
def test_the_interval_decides(shares: tuple[float, float], margin: float, verdict: str) -> None:
    found = plan(margin=margin).decide(both(*shares))
    assert found.verdict == verdict
    assert found.difference == pytest.approx(shares[0] - shares[1])
    assert found.low <= found.difference <= found.high
    assert (found.n, found.groups, found.seeds, found.deviations) == (200, None, 2, ())
    assert not found.stand_in


def test_seeds_that_change_nothing_are_one_training() -> None:
    made = both(0.9, 0.6)
    assert plan(expected=0.25).decide(made).unmoved == ("challenger", "baseline")
    made["challenger"][1] = run(HEAD.replace(seed=1), 0.8)
    found = plan(expected=0.25).decide(made)
    assert found.unmoved == ("baseline",)
    assert found.lines()[2:] == [
        "expected were +25.0 points",
        "the seeds of baseline change no answer: they count as one training",
        "2 seeds are few: on their side the interval is too narrow; ask Student's t as well "
        "(clslab.records.difference_over_seeds)",
    ]


def test_few_seeds_are_said_to_be_few_where_there_is_luck_in_them() -> None:
    made = both(0.9, 0.6)
    assert not any("are few" in line for line in plan().decide(made).lines())  # neither has any luck
    many = {
        name: [run(one.recipe.replace(seed=seed), 0.5 + seed / 50) for seed in range(5)]
        for name, (one, _) in made.items()
    }
    assert not any("are few" in line for line in plan(seeds=range(5)).decide(many).lines())


def test_runs_of_several_recipes_are_refused_by_name() -> None:
    made = both(0.9, 0.6)
    made["challenger"][1] = run(HEAD.replace(seed=1, lr=0.5), 0.9)
    with pytest.raises(ValueError, match="cannot be compared: the challenger was changed in lr"):
        plan().decide(made)
    made = both(0.9, 0.6)
    made["baseline"] = [run(COLOURS.replace(seed=seed), 0.6, fingerprint="cd34") for seed in (0, 1)]
    with pytest.raises(ValueError, match="cannot be compared: the pictures or their split are others"):
        plan().decide(made)


def test_a_time_without_a_zone_is_taken_as_utc() -> None:
    made = both(0.9, 0.6)
    made["baseline"][0].notes["test_opened"] = "2026-04-30T00:00:00"
    assert plan(written="2026-05-01T00:00:00").deviations(made) == (
        "the test split was opened before the plan was written (baseline)",
    )


def test_objects_are_drawn_whole() -> None:
    alone, together = plan().decide(both(0.9, 0.6)), plan().decide(both(0.9, 0.6, groups=10))
    assert together.groups == 10
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert "200 pictures of 10 objects" in together.lines()[0]


def test_what_was_done_as_planned_says_nothing() -> None:
    assert plan(written="2026-05-01T00:00:00+00:00").deviations(both(0.9, 0.6)) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda made: made["challenger"].pop(), "seeds of the challenger are 0, planned were 0, 1"),
        (lambda made: made["baseline"].append(run(COLOURS.replace(seed=2), 0.6)), "baseline are 0, 1, 2, planned"),
        (
            lambda made: made.update(challenger=[run(HEAD.replace(seed=seed, lr=0.5), 0.9) for seed in (0, 1)]),
            "the challenger was changed in lr",
        ),
        (
            lambda made: made.update(
                {name: [dataclasses.replace(one, fingerprint="cd34") for one in runs] for name, runs in made.items()}
            ),
            "the pictures or their split are others",
        ),
        (
            lambda made: made["baseline"][0].notes.update(test_opened="2026-04-30T00:00:00+00:00"),
            r"opened before the plan was written \(baseline\)",
        ),
    ],
)
def test_every_deviation_is_named(change, words: str) -> None:
    made = both(0.9, 0.6)
    change(made)
    dated = plan(written="2026-05-01T00:00:00+00:00")
    (told,) = dated.deviations(made)
    assert re.search(words, told)
    assert f"not as planned: {told}" in dated.decide(made).lines()


def test_a_difference_of_one_seed_and_of_drawings_says_so() -> None:
    made = {
        "challenger": [run(HEAD, 0.9, source="stand-in")],
        "baseline": [run(COLOURS, 0.6, source="stand-in")],
    }
    lines = plan(seeds=(0,)).decide(made).lines()
    assert "one seed: this is about two trained networks, not about two recipes" in lines
    assert "on generated pictures: nothing is decided about real ones" in lines


def test_nothing_is_decided_without_runs_or_a_test() -> None:
    with pytest.raises(ValueError, match="there are no runs of the baseline"):
        plan().decide({"challenger": both(0.9, 0.6)["challenger"]})
    untested = both(0.9, 0.6)
    del untested["baseline"][0].predictions["test"]
    with pytest.raises(ValueError, match="has not scored its test split"):
        plan().decide(untested)


def test_from_the_plan_to_the_decision(empty_machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a student does: load, plan, record, decide."""
    splits = data.load("own")
    majority = COLOURS.replace(model="majority")
    made = plan(challenger=COLOURS, baseline=majority, fingerprint=splits.fingerprint).save(tmp_path / "plan.toml")
    runs.sweep(made.recipes, made.seeds, directory=tmp_path / "runs", allow_stand_ins=True, say=lambda _: None)
    found = made.decide(runs.load_runs(tmp_path / "runs"))
    assert found.deviations == ()
    assert (found.n, found.stand_in, found.seeds) == (48, True, 2)
    assert found.groups == 12
