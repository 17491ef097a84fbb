"""Comparisons of recorded runs with a verdict: what a change brought, and whether chance explains it.

The course keeps its comparisons in one file, `book/comparisons.toml`: what did not help is told beside what did.

Taught in chapter 3.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from clslab.records import Run, Split, difference, difference_over_seeds, load_runs, same_training

Verdict = Literal["helped", "no clear difference", "harmed", "one seed: no verdict", "not recorded yet"]


@dataclass(frozen=True)
class Comparison:
    """One change, and the two recorded runs that show what it brought.

    Attributes:
        what: the change, in words.
        with_: name of the run with the change; `without` that of the run it is compared with.
        page: the page that tells of it, such as `chapters/05_fine_tuning`.
        metric: "accuracy" or "balanced_accuracy".
        split: "test", or "val" where the test was not opened or the answers are out of fold.
        reported: the two scores of a source, with and without the change, if it made the comparison.
        source: which document that is.
        differs: what is different there.
    """

    what: str
    with_: str
    without: str
    page: str
    metric: Literal["accuracy", "balanced_accuracy"] = "accuracy"
    split: Split = "test"
    reported: tuple[float, float] | None = None
    source: str = ""
    differs: str = ""


def read(path: str | Path) -> list[Comparison]:
    """The comparisons of a TOML file, in its order.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if an entry lacks a key or has one that is not known, or `reported` does not hold two scores.

    Taught in chapter 3.
    """
    entries = tomllib.loads(Path(path).read_text("utf-8")).get("comparison", [])
    return [_comparison(entry, f"{path}, comparison {number}") for number, entry in enumerate(entries, start=1)]


def _comparison(entry: dict[str, Any], place: str) -> Comparison:
    values = {("with_" if key == "with" else key): value for key, value in entry.items()}
    if "reported" in values:
        reported = values["reported"]
        if not (isinstance(reported, list) and len(reported) == 2 and all(0 <= one <= 1 for one in reported)):
            raise ValueError(f"{place}: reported = {reported!r}; give two scores between 0 and 1, with and without")
        values["reported"] = (float(reported[0]), float(reported[1]))
    try:
        return Comparison(**values)
    except TypeError as error:
        raise ValueError(f"{place}: {error}; it needs what, with, without and page") from error


def verdict(low: float, high: float) -> Verdict:
    """What an interval of a gain allows to say.

    >>> verdict(0.2, 1.1), verdict(-0.3, 0.4), verdict(-2.0, -0.1)
    ('helped', 'no clear difference', 'harmed')

    Taught in chapter 3.
    """
    if low > 0:
        return "helped"
    return "harmed" if high < 0 else "no clear difference"


def measure(comparisons: Sequence[Comparison], directory: str | Path) -> pd.DataFrame:
    """What the recorded runs say to each comparison.

    Args:
        comparisons: as `read` gives them.
        directory: the folder of records, such as `book/results`.

    Returns:
        One row each, in their order: `what`, `page`, `gain`, `low` and `high` (fractions: the paired difference and
        its 95 % interval; nan where a run is not recorded), `seeds` (the smaller number of the two), `n` (test or
        validation items), `verdict` by that interval, `by_t` ("yes" or "no" where there is a
        verdict: does the interval of Student's t over the seeds lie on the same side of zero?), `reported` (the
        source's gain, nan without one), `source`, `differs`.

    Raises:
        MixedSourcesError: if one side is on a stand-in and the other on real data.

    Taught in chapter 3.
    """
    wanted = {name for one in comparisons for name in (one.with_, one.without)}
    found = {name: runs for name in sorted(wanted) if (runs := _runs(Path(directory), name))}
    return pd.DataFrame([_row(one, found.get(one.with_), found.get(one.without)) for one in comparisons])


def _runs(directory: Path, name: str) -> list[Run] | None:
    folder = directory / name
    recorded = folder.is_dir() and any(path.parent == folder for path in folder.glob("seed-*[0-9].json"))
    return load_runs(directory, name)[name] if recorded else None


def _row(one: Comparison, with_: Sequence[Run] | None, without: Sequence[Run] | None) -> dict[str, Any]:
    row: dict[str, Any] = {"what": one.what, "page": one.page, "gain": float("nan"), "low": float("nan")}
    row |= {"high": float("nan"), "seeds": 0, "n": 0, "verdict": "not recorded yet", "by_t": ""}
    if with_ and without and all(one.split in run.predictions for run in (*with_, *without)):
        how: dict[str, Any] = {"metric": one.metric, "split": one.split, "same_networks": same_training(with_, without)}
        gain, low, high = difference(with_, without, **how)
        seeds = min(len(with_), len(without))
        said = verdict(low, high) if seeds > 1 else "one seed: no verdict"
        row |= {"gain": gain, "low": low, "high": high, "verdict": said}
        if said in ("helped", "harmed"):
            _, t_low, t_high = difference_over_seeds(with_, without, **how)
            row["by_t"] = "yes" if verdict(t_low, t_high) == said else "no"
        row |= {"seeds": seeds, "n": len(with_[0].predictions[one.split].ids)}
    row["reported"] = float("nan") if one.reported is None else one.reported[0] - one.reported[1]
    return row | {"source": one.source, "differs": one.differs}
