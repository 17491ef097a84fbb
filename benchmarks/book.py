"""How long the whole book takes from nothing: every page run and the site built, in a fresh clone with an empty cache.

Aims on two cores: 12 minutes in the `smoke` profile, 40 in `cpu`. The machine should be idle; the load that it had
before is recorded beside the seconds.

    python benchmarks/book.py [--profile smoke] [--record]
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
RECORD = ROOT / "book" / "results" / "benchmarks" / "book.json"
AIMS = {"smoke": 12 * 60, "cpu": 40 * 60}
"""Seconds."""


def whole_book(profile: str) -> dict[str, object]:
    """Clones the newest commit, builds its book without a data set, and says what that took.

    Raises:
        subprocess.CalledProcessError: if the clone or the build fails.
    """
    load = [round(one, 1) for one in os.getloadavg()]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
    kept = {name: value for name, value in os.environ.items() if name != "CLSLAB_DATA"}
    with tempfile.TemporaryDirectory(prefix="clslab-book-") as folder:
        clone = Path(folder) / "book"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        variables = kept | {"CLSLAB_PROFILE": profile, "PYTHONPATH": str(clone), "HOME": folder}
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "book.tools.build"], cwd=clone, env=variables, check=True)
        seconds = time.perf_counter() - began
        pages = len(list((clone / "_build" / "html").rglob("*.html")))
    return {
        "seconds": round(seconds),
        "aim": AIMS[profile],
        "html_pages": pages,
        "commit": commit.stdout[:7],
        "cores": os.cpu_count(),
        "load_before": load,
        "machine": choose().name,
        "day": date.today().isoformat(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--profile", choices=sorted(AIMS), default="smoke", help="how much is computed")
    parser.add_argument("--record", action="store_true", help="keep the result with the book's records")
    options = parser.parse_args()
    result = {options.profile: whole_book(options.profile)}
    print(json.dumps(result, indent=2))
    if options.record:
        before = json.loads(RECORD.read_text("utf-8")) if RECORD.is_file() else {"benchmark": "book", "ratios": {}}
        RECORD.write_text(json.dumps(before | result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
