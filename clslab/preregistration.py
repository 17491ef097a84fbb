"""A claim written down, with everything that decides about it, before the test split is opened.

Whoever may choose the measure, the margin, the seeds and the recipes after the result is known can nearly always find a
result. A plan fixes them beforehand, in a file; afterwards `Plan.deviations` compares the recorded runs with it, and
`Plan.decide` says what the interval says about the margin, and nothing else.

Taught in chapter 16.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tomli_w

from clslab.recipe import Recipe, read_toml
from clslab.records import Run, difference, is_stand_in

Metric = Literal["accuracy", "balanced_accuracy"]
Verdict = Literal["holds", "refuted", "open"]

METRICS: tuple[Metric, ...] = ("accuracy", "balanced_accuracy")
_WORDS: dict[Verdict, str] = {
    "holds": "the claim holds: the whole interval lies above the margin",
    "refuted": "the claim is refuted: the whole interval lies below the margin",
    "open": "not decided: the interval holds the margin",
}


_FEW = 5
"""Seeds below which a bootstrap over them is too narrow by more than a little (chapter 3)."""


@dataclass(frozen=True)
class Decision:
    """What the runs say about a claim.

    Attributes:
        verdict: "holds" if the interval lies above the margin, "refuted" if below, else "open".
        difference: challenger − baseline on the test split, a share.
        low: lower end of its 95 % interval, paired over seeds and items (whole objects where they are known).
        high: upper end.
        margin: of the plan.
        n: items of the test split.
        groups: objects of the test split, or None where every item stands alone.
        seeds: trainings of each recipe.
        unmoved: names of recipes whose seeds change no answer, so that their repeats are one training.
        stand_in: the runs are on generated pictures, so that nothing is decided about real ones.
        expected: the difference that was expected, a share, or None.
        deviations: what was not done as planned.
    """

    verdict: Verdict
    difference: float
    low: float
    high: float
    margin: float
    n: int
    groups: int | None
    seeds: int
    stand_in: bool
    deviations: tuple[str, ...]
    unmoved: tuple[str, ...] = ()
    expected: float | None = None

    def lines(self) -> list[str]:
        """The decision in words, one line for each thing to know.

        >>> Decision("open", 0.05, -0.01, 0.11, 0.02, 60, 20, 3, False, ()).lines()[1]
        'not decided: the interval holds the margin (+2.0 points)'
        """
        of = f"{self.n} pictures" if self.groups is None else f"{self.n} pictures of {self.groups} objects"
        points, low, high = (100 * value for value in (self.difference, self.low, self.high))
        told = [
            f"challenger − baseline: {points:+.1f} points [{low:+.1f}, {high:+.1f}], {self.seeds} seed(s), {of}",
            f"{_WORDS[self.verdict]} ({100 * self.margin:+.1f} points)",
        ]
        if self.expected is not None:
            told.append(f"expected were {100 * self.expected:+.1f} points")
        if self.seeds < 2:
            told.append("one seed: this is about two trained networks, not about two recipes")
        elif self.unmoved:
            told.append(f"the seeds of {' and '.join(self.unmoved)} change no answer: they count as one training")
        if 2 <= self.seeds < _FEW and len(self.unmoved) < 2:
            told.append(
                f"{self.seeds} seeds are few: on their side the interval is too narrow; ask Student's t as well "
                "(clslab.records.difference_over_seeds)"
            )
        if self.stand_in:
            told.append("on generated pictures: nothing is decided about real ones")
        told += [f"not as planned: {deviation}" for deviation in self.deviations]
        return told


@dataclass(frozen=True)
class Plan:
    """A claim of the form "the challenger is better than the baseline by more than the margin, on new objects".

    Attributes:
        claim: the sentence, in words, that can turn out wrong.
        challenger: recipe of the new thing; its seed is not used.
        baseline: recipe of what it is compared with.
        margin: a share in (−1, 1): 0.05 claims more than five points, 0 any gain, −0.02 "not worse by two points".
        fingerprint: of the splits, from `clslab.data.Splits.fingerprint`: names of the pictures, their classes and
            their split. It sees no pixels, so a picture that is taken again needs another name.
        seeds: of every training, each once.
        metric: "accuracy" or "balanced_accuracy".
        expected: the difference that you expect, a share, or None.
        written: when, in UTC; set by `save`, and "" before.

    Raises:
        ValueError: if the claim is empty, the two recipes are the same or of two sets, a seed comes twice, a value has
            a wrong type, or the margin, the expectation or the metric is out of range.

    Taught in chapter 16.

    >>> plan = Plan("a linear head beats six colour numbers", Recipe(data="own"),
    ...             Recipe(data="own", model="colour-numbers"), margin=0.05, fingerprint="ab12")
    >>> plan.changed
    ('model',)
    """

    claim: str
    challenger: Recipe
    baseline: Recipe
    margin: float
    fingerprint: str
    seeds: tuple[int, ...] = (0, 1, 2)
    metric: Metric = "accuracy"
    expected: float | None = None
    written: str = ""

    def __post_init__(self) -> None:
        for name in ("claim", "fingerprint"):
            if not str(getattr(self, name)).strip():
                raise ValueError(f"{name} is empty; a plan needs one")
        for name, value in (("margin", self.margin), ("expected", self.expected)):
            if not (_is_share(value) or (name == "expected" and value is None)):
                raise ValueError(f"{name} = {value!r}; give a share between -1 and 1, such as 0.05 for five points")
        if not isinstance(self.seeds, Sequence) or not all(isinstance(seed, int) for seed in self.seeds):
            raise ValueError(f"seeds = {self.seeds!r}; give a list of whole numbers")
        object.__setattr__(self, "seeds", tuple(self.seeds))
        if self.metric not in METRICS:
            raise ValueError(f"metric = {self.metric!r}; use {' or '.join(METRICS)}")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds = {self.seeds}; give at least one, each once")
        if not self.changed:
            raise ValueError("challenger and baseline are the same recipe; a claim compares two")
        sets = {(recipe.data, recipe.variant) for recipe in (self.challenger, self.baseline)}
        if len(sets) > 1:
            raise ValueError("challenger and baseline are recipes for two sets; a claim is about one")

    @property
    def changed(self) -> tuple[str, ...]:
        """The fields in which the two recipes differ."""
        return _differing(self.challenger, self.baseline)

    @property
    def recipes(self) -> dict[str, Recipe]:
        """Both recipes by name, as `clslab.runs.sweep` takes them."""
        return {"challenger": self.challenger, "baseline": self.baseline}

    def save(self, path: str | Path) -> Plan:
        """Writes the plan with the time, and never over another one.

        Returns:
            The plan as it is written.

        Raises:
            FileExistsError: if there is a plan already; another claim is another file.
        """
        dated = dataclasses.replace(self, written=dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds"))
        with Path(path).open("x", encoding="utf-8") as opened:
            opened.write(dated.to_toml())
        return dated

    def keep(self, path: str | Path) -> Plan:
        """The plan that stands in the file; where there is none, this one, which is then saved.

        So a notebook can be run twice from top to bottom, and the first plan stays. A line is printed where it is not
        this one.

        Raises:
            ValueError: if the file holds a plan for other pictures, or none.
        """
        if not Path(path).exists():
            return self.save(path)
        kept = Plan.from_toml(path)
        if kept.fingerprint != self.fingerprint:
            raise ValueError(
                f"{path} is a plan for other pictures, another split or another profile; go back to those, or choose a "
                "new folder for a new plan"
            )
        if dataclasses.replace(kept, written="") != dataclasses.replace(self, written=""):
            print(f"another plan was written here on {kept.written[:10]}, and stays: {kept.claim}")
        return kept

    def to_toml(self) -> str:
        """The plan as TOML text."""
        body = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        body = {name: value for name, value in body.items() if value is not None}
        body["seeds"] = list(self.seeds)
        for name, recipe in self.recipes.items():
            body[name] = {field: value for field, value in recipe.to_dict().items() if value is not None}
        return tomli_w.dumps(body)

    @classmethod
    def from_toml(cls, source: str | Path) -> Plan:
        """A plan from a file or from TOML text.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if something is missing, unknown or out of range.
        """
        body = read_toml(source)
        known = {one.name for one in dataclasses.fields(cls)}
        needed = {one.name for one in dataclasses.fields(cls) if one.default is dataclasses.MISSING}
        lacking, unknown = sorted(needed - set(body)), sorted(set(body) - known)
        if lacking or unknown:
            problem = f"lacks {', '.join(lacking)}" if lacking else f"has the unknown {', '.join(unknown)}"
            raise ValueError(f"this is no plan: it {problem}; plans are written by Plan.save")
        return cls(**{**body, **{name: Recipe.from_dict(body[name]) for name in ("challenger", "baseline")}})

    def deviations(self, runs: Mapping[str, Sequence[Run]]) -> tuple[str, ...]:
        """What was not done as planned, in words; nothing if everything was.

        Args:
            runs: recorded runs under "challenger" and "baseline", one per seed.

        Raises:
            ValueError: if one of the two names is missing or has no run.
        """
        told: list[str] = []
        for name, recipe in self.recipes.items():
            if not runs.get(name):
                raise ValueError(
                    f"there are no runs of the {name}; record some with clslab.runs.sweep(plan.recipes, …)"
                )
            told += self._of_recipe(name, recipe, runs[name])
        return tuple(dict.fromkeys(told))

    def decide(self, runs: Mapping[str, Sequence[Run]]) -> Decision:
        """What the recorded runs say about the claim.

        Args:
            runs: as for `deviations`; all must have opened their test split.

        Raises:
            ValueError: if runs are missing, one has not scored its test split, or they cannot be compared: the runs of
                one side follow several recipes, or the two sides were tested on other items.
        """
        deviations = self.deviations(runs)
        everything = [run for name in self.recipes for run in runs[name]]
        if any("test" not in run.predictions for run in everything):
            raise ValueError("a run has not scored its test split; a plan is decided on the test split, once")
        mixed = [name for name in self.recipes if len({run.recipe.key() for run in runs[name]}) > 1]
        if mixed or len({run.fingerprint for run in everything}) > 1:
            raise ValueError(f"these runs cannot be compared: {'; '.join(deviations) or 'they are of two data sets'}")
        found, low, high = difference(runs["challenger"], runs["baseline"], metric=self.metric)
        said = everything[0].predictions["test"]
        return Decision(
            verdict="holds" if low > self.margin else "refuted" if high < self.margin else "open",
            difference=found,
            low=low,
            high=high,
            margin=self.margin,
            n=len(said.targets),
            groups=None if said.groups is None else len(set(said.groups.tolist())),
            seeds=min(len(runs[name]) for name in self.recipes),
            unmoved=tuple(name for name in self.recipes if _unmoved(runs[name])),
            stand_in=any(is_stand_in(run) for run in everything),
            expected=self.expected,
            deviations=deviations,
        )

    def _of_recipe(self, name: str, recipe: Recipe, runs: Sequence[Run]) -> list[str]:
        told = []
        seeds = sorted(run.seed for run in runs)
        if seeds != sorted(self.seeds):
            told.append(f"seeds of the {name} are {_listed(seeds)}, planned were {_listed(sorted(self.seeds))}")
        for run in runs:
            fields = _differing(run.recipe, recipe)
            if fields:
                told.append(f"the {name} was changed in {', '.join(fields)}")
            if run.fingerprint != self.fingerprint:
                told.append("the pictures or their split are others than those of the plan")
            opened = run.notes.get("test_opened")
            if opened and self.written and _time(opened) < _time(self.written):
                told.append(f"the test split was opened before the plan was written ({name})")
        return told


def _differing(one: Recipe, other: Recipe) -> tuple[str, ...]:
    a, b = one.replace(seed=0).to_dict(), other.replace(seed=0).to_dict()
    return tuple(name for name in a if a[name] != b[name])


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _time(text: Any) -> dt.datetime:
    read = dt.datetime.fromisoformat(str(text))
    return read if read.tzinfo else read.replace(tzinfo=dt.UTC)


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1 < value < 1


def _unmoved(runs: Sequence[Run]) -> bool:
    """Whether several seeds gave the same answers to every test item."""
    said = [run.predictions["test"].predicted.tolist() for run in runs]
    return len(said) > 1 and all(one == said[0] for one in said)
