"""How long does marking one hand-in take, two at a time, and how long would thirty?

A sheet with two coded exercises and one in words is marked from copies of one right hand-in, through the same code as
`make grade`: rebuilding, a fenced kernel, nbgrader, feedback. With `--torch` the sheet's first cell imports torch, as
most sheets of the book do. The aim is 30 hand-ins in 300 seconds on two idle cores.

    python benchmarks/grading.py [--quick] [--record] [--torch]
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import io
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "book" / "results" / "benchmarks"
AIM = 300.0
CLASS = 30

sys.path.insert(0, str(ROOT / "tests" / "exercises"))
sys.path.insert(0, str(ROOT))


def seconds(hand_ins: int, *, jobs: int, torch: bool) -> tuple[float, bool]:
    """Seconds for marking some hand-ins, without the start, and whether all got their points."""
    import handins

    from book.grading.grade import Grading

    sheet, answer = handins.release(), handins.right()
    if torch:
        for notebook in (sheet, answer):
            notebook.cells[1].source = "import torch\n" + notebook.cells[1].source
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        for number in range(hand_ins):
            handins.write(answer, Path(folder, "submitted", f"student-{number:02d}.ipynb"))
        grading = Grading(handins.NAME, sheet, Path(folder, "submitted"), Path(folder, "out"))
        started = time.perf_counter()
        grading.run(jobs=jobs)
        taken = time.perf_counter() - started
        right = all(grading.row(one)["total"] == "7" for one in grading.results.values())
    return taken, right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few hand-ins: a first look, not a result")
    parser.add_argument("--record", action="store_true", help="write the result to book/results/benchmarks")
    parser.add_argument("--torch", action="store_true", help="the sheet imports torch")
    parser.add_argument("--jobs", type=int, default=2, help="hand-ins at a time (default 2)")
    chosen = parser.parse_args()
    if chosen.quick and chosen.record:
        parser.error("--quick is a first look: it is not recorded; leave one of the two out")
    number = 4 if chosen.quick else CLASS
    seconds(1, jobs=1, torch=chosen.torch)  # warm-up: the server of processes, the disk's cache
    taken, right = seconds(number, jobs=chosen.jobs, torch=chosen.torch)
    result = {
        "benchmark": "grading",
        "ratios": {},
        "hand_ins": number,
        "jobs": chosen.jobs,
        "torch": chosen.torch,
        "seconds": round(taken, 2),
        "seconds_per_hand_in": round(taken / number, 3),
        "seconds_for_thirty": round(taken / number * CLASS, 1),
        "aim_for_thirty": AIM,
        "all_marked_rightly": right,
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
    }
    print(json.dumps(result))
    if chosen.record:
        RECORDS.mkdir(parents=True, exist_ok=True)
        (RECORDS / "grading.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
