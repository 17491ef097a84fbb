"""What `import clslab` adds to the start of Python, and whether it loads torch.

Prints one JSON line. Every start is a process of its own; starts with and without the import
alternate. The aim is less than 50 ms. It is not recorded: a start of Python is not a chapter's matter.

    python benchmarks/import_time.py [--quick]
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time

import interleaved


def seconds(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started


def main() -> None:
    starts = 5 if interleaved.arguments(__doc__).quick else 25
    for code in ("pass", "import clslab"):  # warm-up: compiled files, the disk's cache
        seconds(code)
    pairs = [(seconds("pass"), seconds("import clslab")) for _ in range(starts)]
    loaded = "import sys, clslab; sys.exit('torch' in sys.modules)"
    result = {
        "benchmark": "import_time",
        "added_ms": round(1000 * statistics.median(after - before for before, after in pairs), 2),
        "starts": starts,
        "loads_torch": subprocess.run([sys.executable, "-c", loaded], check=False).returncode != 0,
        "python": platform.python_version(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
