"""Runs the notebooks of the chapters the way a student would who has no data and no network.

    python tests/chapters/run.py [--jobs 2] [--profile smoke] [--report FILE.xml] [NOTEBOOK ...]

The notebooks, and the records that they read, are copied into a fresh folder and run by nbval there:
in the smoke profile, without CLSLAB_DATA, with a home folder that is empty, and with every connection
but loopback refused inside the kernels. The exit status is pytest's; no notebook at all is a failure.

In another profile they run as on the machine of somebody who has the data: with its home folder, its
variables and its network.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUARD = Path(__file__).resolve().parent / "guard"
CELL_TIMEOUT = {"smoke": 600, "cpu": 1800, "gpu": 14_400}
"""Seconds that one cell may take."""

DROPPED = ("CLSLAB_DATA", "TORCH_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "PYTHONSTARTUP", "CLSLAB_DEVICE")


def lay_out(notebooks: Sequence[Path], place: Path) -> list[Path]:
    """Copies the notebooks into `place/chapters` and the records beside them; returns the copies."""
    folder = place / "chapters"
    folder.mkdir()
    copies = []
    for notebook in notebooks:
        copies.append(Path(shutil.copy(notebook, folder)))
    for name in ("results", "sweeps"):
        if (ROOT / "book" / name).is_dir():
            shutil.copytree(ROOT / "book" / name, place / "book" / name)
    (place / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return copies


def environment(home: Path, profile: str = "smoke") -> dict[str, str]:
    """The variables of a machine that has nothing: no data, no cache, no way out; but for `smoke`, this one's."""
    if profile != "smoke":
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {**os.environ, "PYTHONPATH": path, "CLSLAB_PROFILE": profile, "TQDM_DISABLE": "1"}
    kept = {name: value for name, value in os.environ.items() if name not in DROPPED}
    path = os.pathsep.join([str(GUARD), str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
    return {
        **kept,
        "PYTHONPATH": path,
        "HOME": str(home),
        "USERPROFILE": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "IPYTHONDIR": str(home / "ipython"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "CLSLAB_PROFILE": "smoke",
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
    }


def run(notebooks: Sequence[Path], *, jobs: int = 2, profile: str = "smoke", report: Path | None = None) -> int:
    """Runs notebooks; returns pytest's exit status, or 1 when there is none to run.

    Args:
        notebooks: the notebooks.
        jobs: notebooks at once.
        profile: `smoke`, `cpu` or `gpu`.
        report: file for the results, in JUnit's XML.
    """
    if not notebooks:
        print("no notebook to run: chapters/*.ipynb is empty; run `make notebooks`.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="clslab-chapters-") as name:
        place = Path(name)
        home = place / "home"
        home.mkdir()
        copies = lay_out(notebooks, place)
        command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-q", "-p", "no:cacheprovider"]
        command += ["-p", "tests.chapters.meeting"]
        command += ["--nbval-cell-timeout", str(CELL_TIMEOUT[profile]), "-c", str(place / "pytest.ini")]
        command += ["--rootdir", str(place)]
        if min(jobs, len(copies)) > 1:
            command += ["-n", str(min(jobs, len(copies))), "--dist", "loadfile"]
        command += ["--junit-xml", str(report.resolve())] if report else []
        command += ["--durations=6", *map(str, copies)]
        return subprocess.run(command, cwd=place, env=environment(home, profile), check=False).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `make chapters`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of chapters/")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at once")
    parser.add_argument("--profile", choices=sorted(CELL_TIMEOUT), default="smoke")
    parser.add_argument("--report", type=Path, help="file for the results, in JUnit's XML")
    options = parser.parse_args(arguments)
    notebooks = options.notebooks or sorted((ROOT / "chapters").glob("*.ipynb"))
    return run(
        [path.resolve() for path in notebooks], jobs=options.jobs, profile=options.profile, report=options.report
    )


if __name__ == "__main__":
    sys.exit(main())
