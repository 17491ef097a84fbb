"""Two ways of doing the same work, timed in turns, and what is reported about them.

A ratio is measured within one run: both ways are timed one after the other, pair by pair, and the
order changes from pair to pair, so that whatever else the machine is doing meets both alike. What is
reported is the median over the pairs with a bootstrap interval, beside the wall times and the machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clslab.device import Machine

RECORDS = Path(__file__).resolve().parent.parent / "book" / "results" / "benchmarks"
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Seconds of the first way over seconds of the second: above 1 the second is the faster one.

    Attributes:
        median: over the pairs.
        low: lower end of a bootstrap interval (95 %) of that median.
        high: its upper end.
        pairs: number of pairs.
        seconds_first: median seconds of the first way.
        seconds_second: median seconds of the second way.
    """

    median: float
    low: float
    high: float
    pairs: int
    seconds_first: float
    seconds_second: float

    @classmethod
    def of(cls, first: np.ndarray, second: np.ndarray, *, resamples: int = 2000) -> Ratio:
        """The ratio of paired timings.

        Args:
            first: [pairs] seconds.
            second: [pairs] seconds.
            resamples: bootstrap resamples.
        """
        ratios = np.asarray(first) / np.asarray(second)
        drawn = np.random.default_rng(0).choice(ratios, size=(resamples, len(ratios)))
        low, high = np.quantile(np.median(drawn, axis=1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return cls(
            float(np.median(ratios)),
            float(low),
            float(high),
            len(ratios),
            float(np.median(first)),
            float(np.median(second)),
        )

    def to_dict(self) -> dict[str, float]:
        """Every field, rounded to four digits after the point (seconds to six)."""
        fields = dataclasses.asdict(self)
        return {name: round(value, 6 if name.startswith("seconds") else 4) for name, value in fields.items()}


def compare(first: Callable[[], object], second: Callable[[], object], *, pairs: int, warmup: int = 1) -> Ratio:
    """Time two functions in turns.

    Args:
        first: the way that `second` is compared with.
        second: the other way.
        pairs: how often each is timed.
        warmup: calls of each before anything is timed.
    """
    for _ in range(warmup):
        first()
        second()
    seconds = np.empty((pairs, 2))
    for pair in range(pairs):
        order = (0, 1) if pair % 2 == 0 else (1, 0)
        for which in order:
            started = time.perf_counter()
            (first, second)[which]()
            seconds[pair, which] = time.perf_counter() - started
    return Ratio.of(seconds[:, 0], seconds[:, 1])


def arguments(description: str | None, *flags: tuple[str, dict[str, Any]]) -> argparse.Namespace:
    """`--quick` for a first look, `--record` to keep the result with the book's records.

    `record` is `None` without the option, and "" where it has no value.

    Args:
        description: the script's docstring; its first line is shown.
        flags: further options of the script, each with its settings for `add_argument`.
    """
    parser = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few pairs: a first look, not a result")
    parser.add_argument(
        "--record",
        nargs="?",
        const="",
        type=_kind,
        metavar="KIND",
        help="write the result to book/results/benchmarks; with a word for the kind of this machine, such as gpu, "
        "beside what other kinds gave",
    )
    for flag, settings in flags:
        parser.add_argument(flag, **settings)
    chosen = parser.parse_args()
    if chosen.quick and chosen.record is not None:
        parser.error("--quick is a first look: it is not recorded; leave one of the two out")
    return chosen


def _kind(word: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]*", word):
        raise argparse.ArgumentTypeError(f"{word!r} names no kind of machine; give small letters, digits and hyphens")
    return word


def keep(name: str, record: str | None, result: Mapping[str, Any]) -> None:
    """Write a result to `book/results/benchmarks/NAME.json`, or `NAME@KIND.json`; `None` keeps nothing."""
    if record is not None:
        RECORDS.mkdir(parents=True, exist_ok=True)
        path = RECORDS / (f"{name}@{record}.json" if record else f"{name}.json")
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def report(
    name: str,
    ratios: Mapping[str, Ratio],
    *,
    aims: Mapping[str, float] | None = None,
    machine: Machine,
    notes: str = "",
    record: str | None = None,
    **facts: Any,
) -> None:
    """Print a result as one line of JSON, and keep it if asked to.

    Args:
        name: of the benchmark, and of its file.
        ratios: by what they compare.
        aims: for some of them, the value to reach.
        machine: where and how it was measured.
        notes: what a reader of the numbers has to know.
        record: as `keep` takes it.
        facts: further plain values.
    """
    result = {
        "benchmark": name,
        "ratios": {what: ratio.to_dict() for what, ratio in ratios.items()},
        "aims": dict(aims or {}),
        "machine": machine.to_dict() | {"described": machine.describe()},
        "torch": torch.__version__,
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "notes": notes,
        **facts,
    }
    print(json.dumps(result))
    keep(name, record, result)
