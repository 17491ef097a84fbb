"""Compares the numbers in the prose with the recorded runs they were measured in.

Directly after a measured number stands a comment that a reader does not see:

    89.2 % <!-- run: debris/head, test accuracy, tol 0.3 -->
    4.1 points <!-- run: debris/all vs debris/head, val accuracy -->

Grammar: `run: NAME [vs NAME], [val|test] METRIC [STATISTIC] [, tol X]`. NAME is a run in
`book/results`. METRIC is accuracy, balanced_accuracy, ece (of runs with many classes), loss, seconds, n
(pictures) or seeds.
STATISTIC is mean (the default), sd, low or high, the ends of the interval; alone, it belongs to the
accuracy. With `vs` the number is the difference of the two means, or an end of its paired interval.
A number followed by % or "points" is 100 times the recorded one. Without `tol`, the number must be
the recorded value rounded as written; `tol` is in the unit of the number in the prose.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from book.tools.pages import BookError, pages
from clslab.records import Run, difference, load_runs, results_table, same_training
from clslab.stats import spread

INTERVALS = ("accuracy", "balanced_accuracy")
METRICS = (*INTERVALS, "ece", "loss", "seconds", "n", "seeds")
STATISTICS = ("mean", "sd", "low", "high")
_MARKER = re.compile(r"<!--\s*run:(.*?)-->", re.DOTALL)
_NUMBER = re.compile(r"([-+−–]?\d[\d,]*(?:\.\d+)?|[-+−–]?\.\d+)[*_]*\s*(%|points?|\w+)?[*_)]*\s*$")
_BODY = re.compile(
    r"^(?P<name>\S+?)(?:\s+vs\s+(?P<other>\S+?))?\s*,\s*(?:(?P<split>val|test)\s+)?"
    r"(?P<words>[a-z_]+(?:\s+[a-z_]+)?)(?:\s*,\s*tol\s+(?P<tol>\d*\.?\d+))?$"
)


@dataclass(frozen=True)
class Marker:
    """One number in the prose and the record that it names.

    Attributes:
        file: the page.
        line: line of the marker in it, from 1.
        stated: the number in the prose.
        scale: 100 for a number in per cent or points, else 1.
        tolerance: largest difference allowed, in the unit of the prose.
        name: run in `book/results`; `other` the one it is compared with, if any.
        split: `val` or `test`.
        metric: one of `METRICS`.
        statistic: one of `STATISTICS`.
    """

    file: Path
    line: int
    stated: float
    scale: int
    tolerance: float
    name: str
    other: str | None
    split: str
    metric: str
    statistic: str


Lookup = Callable[[Marker], float]
"""Recomputes the number of a marker, unscaled; raises `BookError` if there is no such record."""


def parse(file: Path, text: str) -> tuple[list[Marker], list[str]]:
    """The markers of a page's text, and what is wrong with those that cannot be read."""
    markers: list[Marker] = []
    faults: list[str] = []
    for match in _MARKER.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        try:
            markers.append(_marker(file, line, match.group(1), text[: match.start()]))
        except BookError as error:
            faults.append(f"{file}:{line}: {error}")
    return markers, faults


def _marker(file: Path, line: int, body: str, before: str) -> Marker:
    body = " ".join(body.split())
    parsed = _BODY.match(body)
    if parsed is None:
        raise BookError(
            f"cannot read `run: {body}`; it must be `run: NAME [vs NAME], [val|test] METRIC [STATISTIC] [, tol X]`."
        )
    words = parsed["words"].split()
    if words[0] in STATISTICS:
        words = ["accuracy", *words]
    metric, statistic = words[0], words[1] if len(words) == 2 else "mean"
    if metric not in METRICS or statistic not in STATISTICS:
        raise BookError(
            f"{parsed['words']!r} is no metric; known: {', '.join(METRICS)}, each with {', '.join(STATISTICS)}."
        )
    number = _NUMBER.search(before[-60:])
    if number is None:
        raise BookError(f"no number stands before `run: {body}`.")
    digits = re.sub(r"[−–]", "-", number[1]).replace(",", "")
    decimals = len(digits.partition(".")[2])
    percent = number[2] in ("%", "point", "points")
    return Marker(
        file=file,
        line=line,
        stated=float(digits),
        scale=100 if percent and metric in (*INTERVALS, "ece") else 1,
        tolerance=float(parsed["tol"]) if parsed["tol"] else 0.5 * 10.0**-decimals,
        name=parsed["name"],
        other=parsed["other"],
        split=parsed["split"] or "test",
        metric=metric,
        statistic=statistic,
    )


def recorded(results: Path) -> Lookup:
    """A lookup in the runs recorded below `results`."""

    @cache
    def load(name: str) -> list[Run]:
        try:
            return load_runs(results, name)[name]
        except FileNotFoundError as error:
            raise BookError(
                f"no run {name!r} is recorded in {results}: record it with its sweep file, "
                "`python -m clslab sweep book/sweeps/….toml`."
            ) from error

    def value(marker: Marker) -> float:
        first = load(marker.name)
        if marker.other is None:
            return _value(marker, first)
        if marker.metric in INTERVALS:
            metric: Any = marker.metric
            split: Any = marker.split
            other = load(marker.other)
            ends = difference(first, other, metric=metric, split=split, same_networks=same_training(first, other))
            return dict(zip(("mean", "low", "high"), ends, strict=True))[marker.statistic]
        return _value(marker, first) - _value(marker, load(marker.other))

    return value


def _value(marker: Marker, runs: Sequence[Run]) -> float:
    """One number of the runs of one name."""
    if marker.metric not in ("seconds", "seeds") and any(marker.split not in run.metrics for run in runs):
        raise BookError(f"the run {marker.name!r} was not scored on the {marker.split} split.")
    if marker.metric == "seeds":
        return float(len(runs))
    if marker.metric == "n":
        return float(runs[0].metrics[marker.split]["n"])
    if marker.metric in INTERVALS and marker.statistic in ("low", "high"):
        metric: Any = marker.metric
        split: Any = marker.split
        table = results_table({marker.name: runs}, metric=metric, split=split)
        return float(table[marker.statistic].iloc[0])
    if marker.metric == "ece" and any("ece" not in run.metrics[marker.split] for run in runs):
        raise BookError(f"the run {marker.name!r} has no ece: it is kept where there are more than 20 classes.")
    values = [
        run.seconds_fit if marker.metric == "seconds" else run.metrics[marker.split][marker.metric] for run in runs
    ]
    mean, sd = spread(values)
    if marker.statistic not in ("mean", "sd"):
        raise BookError(f"there is no interval of the {marker.metric}, only mean and sd.")
    return mean if marker.statistic == "mean" else sd


def compare(marker: Marker, lookup: Lookup) -> str | None:
    """What is wrong with a number, or None."""
    if marker.other and marker.metric in INTERVALS and marker.statistic == "sd":
        return f"{marker.file}:{marker.line}: a difference has no sd here; give low or high."
    try:
        value = lookup(marker) * marker.scale
    except ValueError as error:  # no such record, or one that has no such number
        return f"{marker.file}:{marker.line}: {error}"
    if abs(value - marker.stated) <= marker.tolerance * (1 + 1e-9):
        return None
    what = marker.name + (f" vs {marker.other}" if marker.other else "")
    return (
        f"{marker.file}:{marker.line}: the prose says {marker.stated:g}, the record of {what} says "
        f"{value:.4g} ({marker.split} {marker.metric} {marker.statistic}, "
        f"tolerance {marker.tolerance:g})"
    )


def problems(root: Path, lookup: Lookup) -> list[str]:
    """All numbers of the book that do not agree with their record, each with file and line."""
    found = []
    for page in pages(root):
        markers, faults = parse(Path(f"{page.name}.md"), page.text())
        found += faults
        found += [fault for marker in markers if (fault := compare(marker, lookup))]
    return found


def unmarked(text: str) -> list[tuple[int, str]]:
    """Percentages in prose without a marker: line and text, for the author to look through.

    >>> unmarked("It reached 89.2 % of them.")
    [(1, '89.2 %')]
    """
    prose = re.sub(r"^```.*?^```", lambda m: "\n" * m[0].count("\n"), text, flags=re.M | re.S)
    hits = re.finditer(r"\d+(?:\.\d+)?\s*(?:%|points\b)(?!\s*<!--\s*run:)", prose)
    return [(prose.count("\n", 0, hit.start()) + 1, hit[0]) for hit in hits]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: check all pages, or list the percentages that no record stands behind."""
    parser = argparse.ArgumentParser(prog="python -m book.tools.numbers", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd())
    parser.add_argument("--unmarked", action="store_true", help="list percentages without a marker")
    options = parser.parse_args(arguments)
    if options.unmarked:
        for page in pages(options.root):
            for line, text in unmarked(page.text()):
                print(f"{page.name}.md:{line}: {text}")
        return 0
    found = problems(options.root, recorded(options.root / "book" / "results"))
    print("\n".join(found) or "numbers in prose: as recorded")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
