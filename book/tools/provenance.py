"""What a page's numbers rest on, said at its foot: when it last ran, on what, and which records it quotes.

A Sphinx extension. `python -m book.tools.build` writes `runs.json`, one entry (`Stamp`) for each page that ran, and
names it in the configuration value `page_runs`; the records are those below `book/results`. The text is made anew in
every build, so it cannot be older than the page.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from book.tools.execute import Execution
from book.tools.pages import BookError
from clslab.data.catalog import ENTRIES
from clslab.records import Run, load_runs

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HEADING = "## What this page rests on"
_SOURCES = {
    "local": "real, from a data folder",
    "download": "real, downloaded",
    "package": "real, from a package",
    "stand-in": "stand-in",
}
_LOADED = re.compile(
    rf"^({'|'.join(map(re.escape, ENTRIES))})(?: \([\w-]+\))?: "
    r"(from this machine|downloaded|from an installed package|\w+ stand-in), \d+ train",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Stamp:
    """When and how a page ran.

    Attributes:
        day: date of the run, as in 2026-11-22.
        profile: `smoke`, `cpu` or `gpu`.
        machine: name of the processor or GPU.
        seconds: wall time of the run.
        loaded: what its cells said about the data that they loaded, set and origin, without repetition.
    """

    day: str
    profile: str
    machine: str
    seconds: float
    loaded: tuple[str, ...] = ()


def stamp(execution: Execution, *, profile: str, machine: str) -> Stamp:
    """The stamp of a page that ran."""
    printed = "\n".join(
        str(output.get("text", "")) for cell in execution.notebook.cells for output in cell.get("outputs", ())
    )
    loaded = dict.fromkeys(f"{name} {origin}" for name, origin in _LOADED.findall(printed))
    return Stamp(execution.ran.date().isoformat(), profile, machine, round(execution.seconds, 1), tuple(loaded))


def write(path: Path, executions: Sequence[Execution], *, profile: str) -> None:
    """Writes the stamps of all pages that ran, for the extension to read."""
    from clslab.device import choose

    machine = choose().name
    stamps = {one.page.name: asdict(stamp(one, profile=profile, machine=machine)) for one in executions}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stamps, indent=1) + "\n", encoding="utf-8")


def in_words(day: str) -> str:
    """A date as a reader writes it.

    >>> in_words("2026-11-02")
    '2 November 2026'
    """
    one = date.fromisoformat(day)
    return f"{one.day} {one:%B %Y}"


def last_run(one: Stamp) -> str:
    """The sentence about the page's own run.

    >>> last_run(Stamp("2026-11-02", "smoke", "AMD EPYC", 12.3, ("birds synthesised stand-in",)))
    'Last run on 2 November 2026 in the `smoke` profile, 12 s on AMD EPYC. Loaded: birds synthesised stand-in.'
    """
    loaded = f"Loaded: {'; '.join(one.loaded)}." if one.loaded else "It loaded no data set."
    return (
        f"Last run on {in_words(one.day)} in the `{one.profile}` profile, {max(1, round(one.seconds))} s on "
        f"{one.machine}. {loaded}"
    )


def families(runs_by_name: Mapping[str, Sequence[Run]]) -> dict[str, list[Run]]:
    """Runs by what their names begin with, all but the last part."""
    found: dict[str, list[Run]] = {}
    for name, runs in runs_by_name.items():
        found.setdefault(name.rpartition("/")[0], []).extend(runs)
    return found


def mentioned(text: str, runs_by_name: Mapping[str, Sequence[Run]]) -> list[str]:
    """The families that a page's source speaks of, in prose, markers or code.

    A family such as `cifar100/lr` counts when its name stands there; one whose name is that of a data set, such as
    `debris`, when one of its runs does.
    """
    said: set[str] = set()
    for path in re.findall(r"[\w-]+(?:/[\w.-]+)+", text.replace("book/results/", " ")):
        parts = path.rstrip(".").split("/")
        said |= {"/".join(parts[:end]) for end in range(2, len(parts) + 1)}
    return sorted({name.rpartition("/")[0] for name in runs_by_name if said & {name, name.rpartition("/")[0]}})


def measurements(text: str, records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The records of `benchmarks/` that a page's source speaks of, by the name of their script or file.

    >>> measurements('benchmark_table(RESULTS / "benchmarks", ["sam"])', {"sam": {}, "tta": {}})
    ['sam']
    """
    if "benchmarks" not in text:
        return []
    return [
        name
        for name in sorted(records)
        if re.search(rf"[\"'/]{re.escape(name.partition('@')[0])}(?:\.json|\.py)?[\"'`]", text)
    ]


def measurement_row(name: str, record: Mapping[str, Any]) -> str:
    """One such record as a line of a table: what was counted, on which machine, when.

    >>> measurement_row("sam", {"ratios": {"a": {"pairs": 21}}, "machine": {"name": "AMD EPYC"}, "date": "2026-11-02"})
    '| `benchmarks/sam.py` | 21 pairs | AMD EPYC | 2 November 2026 |'
    >>> measurement_row("sam@bf16", {"machine": "AMD EPYC", "day": "2026-11-02"})
    '| `benchmarks/sam.py` | – | AMD EPYC, bf16 | 2 November 2026 |'
    """
    pairs = [int(ratio["pairs"]) for ratio in record.get("ratios", {}).values()]
    counted = f"{_numbers(pairs)} pairs" if pairs else "–"
    if "judged" in record:
        counted = f"{record['judged']:,} pictures"
    machine = record.get("machine", "–")
    day = record.get("date") or record.get("day")
    named = machine["name"] if isinstance(machine, Mapping) else machine
    name, _, kind = name.partition("@")
    named += f", {kind}" if kind else ""
    return f"| `benchmarks/{name}.py` | {counted} | {named} | {in_words(day) if day else '–'} |"


def _numbers(values: Sequence[int]) -> str:
    """Different numbers, smallest to largest.

    >>> _numbers([400, 300, 400]), _numbers([10000])
    ('300 to 400', '10,000')
    """
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def row(name: str, runs: Sequence[Run]) -> str:
    """A family of runs as a line of a table: runs, seeds, items that were scored, data, machine, last day."""
    scored = ", ".join(
        f"{_numbers([int(run.metrics[split]['n']) for run in runs if split in run.metrics])} {words}"
        for split, words in (("test", "test"), ("val", "validation"))
        if any(split in run.metrics for run in runs)
    )
    sources = ", ".join(_SOURCES[source] for source in sorted({run.source for run in runs}))
    machines = Counter(f"{run.machine['name']}, {run.machine['precision']}" for run in runs)
    days = [day[:10] for run in runs if (day := run.notes.get("test_opened"))]
    settings = len({run.recipe.replace(seed=0).key() for run in runs})
    seeds = len({run.seed for run in runs})
    return (
        f"| `{name}` | {settings} | {seeds} | {len(runs)} | {scored} | {sources} | "
        f"{'; '.join(machines)} | {in_words(max(days)) if days else '–'} |"
    )


def foot(
    text: str,
    one: Stamp | None,
    recorded: Mapping[str, Sequence[Run]],
    measured: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """The Markdown that goes to the foot of a page; empty if it neither ran nor quotes a record."""
    quoted, of_family = mentioned(text, recorded), families(recorded)
    timed = measurements(text, measured or {})
    if one is None and not quoted and not timed:
        return ""
    lines = ["", "", HEADING, ""]
    if one is not None:
        lines += [last_run(one), ""]
    if quoted:
        lines += [
            "Records that it quotes or draws (the whole list is in {doc}`/book/results`):",
            "",
            "| runs | settings | seeds | records | scored on | data | machine | test opened, last |",
            "|---|---|---|---|---|---|---|---|",
            *(row(name, of_family[name]) for name in quoted),
            "",
        ]
    elif not timed:
        lines += ["It quotes no recorded run: what its cells print was computed then.", ""]
    if timed:
        lines += [
            "Measurements that it quotes or draws:",
            "",
            "| script | counted | machine | day |",
            "|---|---|---|---|",
            *(measurement_row(name, (measured or {})[name]) for name in timed),
            "",
        ]
    return "\n".join(lines)


@cache
def _recorded(results: Path) -> dict[str, list[Run]]:
    return load_runs(results) if any(results.rglob("seed-*.json")) else {}


@cache
def _measured(results: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((results / "benchmarks").glob("*.json"))}


@cache
def _stamps(path: Path) -> dict[str, Stamp]:
    if not path.is_file():
        raise BookError(f"{path} is missing; it says when the pages ran. Build with: python -m book.tools.build")
    found: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return {name: Stamp(**{**entry, "loaded": tuple(entry["loaded"])}) for name, entry in found.items()}


def add_foot(app: Sphinx, page: str, source: list[str]) -> None:
    """Handler of Sphinx's `source-read`: chapters get their foot, and tables of records say when they were made."""
    if not app.config.page_runs:
        return
    one = _stamps(Path(app.config.page_runs)).get(page)
    if page.startswith("chapters/"):
        results = Path(app.srcdir) / "book" / "results"
        source[0] += foot(source[0], one, _recorded(results), _measured(results))
    elif one is not None:
        source[0] += f"\n\n{HEADING}\n\n{last_run(one)}\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    app.add_config_value("page_runs", "", "env", [str])
    app.connect("source-read", add_foot)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
