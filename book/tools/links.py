"""Asks every address that the book names whether it still answers: what `make links` calls.

Sphinx's own link check does it, without running a cell. It is the one check of the book that needs a network, so
`make test` leaves it out and a workflow runs it once a week.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from book.tools import provenance
from book.tools.build import Job, configuration
from book.tools.pages import BookError

PLACEHOLDER = r"https://[\w.]+/(?:.*/)?OWNER/.*"
"""Addresses of the book itself, before `make address` has said whose it is."""

RECORDING = r"https://(www\.)?xeno-canto\.org/\d+"
"""Single recordings: hundreds of addresses on the site of a foundation, which the page that credits them names."""

SETTINGS: dict[str, Any] = {
    "linkcheck_anchors": False,  # many sites make them with scripts
    "linkcheck_timeout": 30,  # seconds
    "linkcheck_retries": 2,
    "linkcheck_ignore": [PLACEHOLDER, RECORDING],
    "linkcheck_report_timeouts_as_broken": False,
}


@dataclass(frozen=True)
class Link:
    """An address that did not answer.

    Attributes:
        page: file that names it, relative to the book.
        line: line there, 0 where Sphinx does not know it.
        uri: the address.
        info: what went wrong.
    """

    page: str
    line: int
    uri: str
    info: str

    def __str__(self) -> str:
        """Place, address and reason, as compilers write them."""
        return f"{self.page}:{self.line}: {self.uri} ({self.info})"


def broken(report: str) -> list[Link]:
    r"""The broken ones in what Sphinx's link check writes, one JSON object a line.

    >>> line = {"filename": "a.md", "lineno": 3, "status": "broken", "uri": "https://x.example", "info": "404"}
    >>> [str(link) for link in broken(json.dumps(line) + "\n" + json.dumps({**line, "status": "working"}))]
    ['a.md:3: https://x.example (404)']
    """
    found = [json.loads(line) for line in report.splitlines() if line.strip()]
    return [Link(one["filename"], one["lineno"], one["uri"], one["info"]) for one in found if one["status"] == "broken"]


def check(root: Path, output: Path) -> tuple[int, list[Link]]:
    """Checks all external links of a book; returns how many there are, and the broken ones.

    Raises:
        BookError: if Sphinx did not get as far as a report.
    """
    folder = output / "_build"
    folder.mkdir(parents=True, exist_ok=True)
    job = Job(root, output, "smoke", 1)
    config = configuration(job, folder / "cache")
    config["execute"] = {"execute_notebooks": "off"}
    config["sphinx"]["config"] |= SETTINGS
    (folder / "config.yml").write_text(yaml.safe_dump(config), "utf-8")
    report = job.site / "output.json"
    report.unlink(missing_ok=True)
    provenance.write(job.page_runs, [], profile=job.profile)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "."]
    command += ["--config", str(folder / "config.yml"), "--path-output", str(output), "--builder", "linkcheck", "--all"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(command, cwd=root, env=env, text=True, capture_output=True, check=False)
    if not report.is_file():
        raise BookError(f"the link check ended without a report:\n{(done.stdout + done.stderr)[-4000:]}")
    text = report.read_text("utf-8")
    return len(text.splitlines()), broken(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `make links`."""
    parser = argparse.ArgumentParser(prog="python -m book.tools.links", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd())
    parser.add_argument("--output", type=Path, help="the report goes to OUTPUT/_build (default: _build/links)")
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    try:
        count, found = check(root, (options.output or root / "_build" / "links").resolve())
    except BookError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    print("\n".join(map(str, found)) or f"all {count} addresses answered, moved for good or asked to be left alone")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
