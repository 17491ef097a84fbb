"""How long the whole book takes from nothing, and how long all tests.

`smoke` and `cpu` run every page and build the site in that profile, in a fresh clone with an empty cache and without a
data set; `test` is `make test` in a fresh clone, with the making of its environment. Aims on two cores: 12, 40 and 40
minutes. The machine should be idle; the load that it had before is recorded beside the seconds.

    python benchmarks/whole_book.py [--what smoke] [--record]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from clslab.device import choose

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "book" / "results" / "benchmarks" / "whole_book.json"
AIMS = {"smoke": 12 * 60, "cpu": 40 * 60, "test": 40 * 60}
"""Seconds."""


def seconds_of(what: str, clone: Path) -> float:
    """Wall time of one of `AIMS` in a clone.

    Raises:
        subprocess.CalledProcessError: if it fails.
    """
    variables = dict(os.environ)
    command = ["make", "test"]
    if what != "test":
        command = [sys.executable, "-m", "book.tools.build"]
        variables |= {"CLSLAB_PROFILE": what, "PYTHONPATH": str(clone), "HOME": str(clone.parent)}
        variables.pop("CLSLAB_DATA", None)
    began = time.perf_counter()
    subprocess.run(command, cwd=clone, env=variables, check=True)
    return time.perf_counter() - began


def measured(what: str) -> dict[str, object]:
    """Clones the newest commit and says what it took, and where.

    Raises:
        subprocess.CalledProcessError: if the clone or the work fails.
    """
    load = [round(one, 1) for one in os.getloadavg()]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
    with tempfile.TemporaryDirectory(prefix="clslab-book-") as folder:
        clone = Path(folder) / "book"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        seconds = seconds_of(what, clone)
    return {
        "seconds": round(seconds),
        "aim": AIMS[what],
        "commit": commit.stdout[:7],
        "cores": os.cpu_count(),
        "load_before": load,
        "machine": choose().name,
        "day": date.today().isoformat(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--what", choices=sorted(AIMS), default="smoke", help="the book in a profile, or all tests")
    parser.add_argument("--record", action="store_true", help="keep the result with the book's records")
    options = parser.parse_args()
    result = {options.what: measured(options.what)}
    print(json.dumps(result, indent=2))
    if options.record:
        before = (
            json.loads(RECORD.read_text("utf-8")) if RECORD.is_file() else {"benchmark": "whole_book", "ratios": {}}
        )
        RECORD.write_text(json.dumps(before | result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
