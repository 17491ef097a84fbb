"""How long does marking one hand-in take, two at a time, and how long would thirty?

A sheet with two coded exercises and one in words is marked from copies of one right hand-in, through the same code as
`make grade`: rebuilding, a fenced kernel, nbgrader, feedback. With `--torch` the sheet's first cell imports torch, as
most sheets of the book do. The aim is 30 hand-ins in 300 seconds on two idle cores.

    python benchmarks/grading.py [--quick] [--record] [--torch]
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

import interleaved

ROOT = Path(__file__).resolve().parent.parent
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
    chosen = interleaved.arguments(
        __doc__,
        ("--torch", {"action": "store_true", "help": "the sheet imports torch"}),
        ("--jobs", {"type": int, "default": 2, "help": "hand-ins at a time (default 2)"}),
    )
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
    interleaved.keep("grading", chosen.record, result)


if __name__ == "__main__":
    main()
