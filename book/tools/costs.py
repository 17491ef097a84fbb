"""What a page costs to run: records of seconds and memory, and the line at the top of each chapter.

A record is one JSON file per page and profile, `book/results/cost/PROFILE/PAGE.json`, written by
`python -m book.tools.build --record-costs`. The line at the top of a page is made from it and
stands between two comments, so it is plain text in the book, in Jupyter and in Colab alike:

    <!-- cost: begin -->
    **Cost:** …
    <!-- cost: end -->

`python -m book.tools.costs` rewrites the lines, `--check` compares and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from book.tools.execute import Execution
from book.tools.pages import Page, chapter_pages

BEGIN, END = "<!-- cost: begin -->", "<!-- cost: end -->"
_BLOCK = re.compile(re.escape(BEGIN) + r"\n(.*?)" + re.escape(END), re.DOTALL)
_LOADED = re.compile(r"""\bload\(\s*["'](\w+)["']""")
SHOWN = ("cpu", "gpu")
"""Profiles whose costs a reader sees; `smoke` is for tests."""


def record_path(root: Path, profile: str, page: Page) -> Path:
    """Where the cost of a page in a profile is kept."""
    return root / "book" / "results" / "cost" / profile / f"{Path(page.name).name}.json"


def write_records(root: Path, profile: str, executions: Sequence[Execution]) -> list[Path]:
    """Writes one record per executed chapter page; returns the files written."""
    from clslab.device import choose

    written = []
    for execution in executions:
        if not execution.page.in_chapters:
            continue
        path = record_path(root, profile, execution.page)
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "page": execution.page.name,
            "profile": profile,
            "seconds": round(execution.seconds, 1),
            "peak_memory_mb": round(execution.peak_mb),
            "machine": choose().name,
            "cores": os.cpu_count(),
            "threads": int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1),
        }
        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        written.append(path)
    return written


def duration(seconds: float) -> str:
    """Seconds as a reader thinks of them.

    >>> duration(48.2), duration(100), duration(301)
    ('50 s', '2 min', '5 min')
    """
    if seconds < 90:
        return f"{max(5, round(seconds / 5) * 5)} s"
    return f"{round(seconds / 60)} min"


def memory(megabytes: float) -> str:
    """Megabytes in the unit that fits.

    >>> memory(640), memory(1270)
    ('640 MB', '1.3 GB')
    """
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"


def download(text: str) -> str:
    """What the real data of a page weigh, from the catalog: the sets that its cells load by name."""
    from clslab.data.catalog import ENTRIES

    parts = []
    for name in dict.fromkeys(_LOADED.findall(text)):
        entry = ENTRIES.get(name)
        if entry is not None and entry.archives:  # a package comes with pip, and some sets lie nowhere as a whole
            size = f", {memory(entry.size_bytes / 1e6)}" if entry.size_bytes else ""
            parts.append(f"`{name}`{size}")
    return f"download {' and '.join(parts)} (optional)" if parts else "no download"


def line(root: Path, page: Page, text: str) -> str:
    """The cost line of a page, made from its records; a page without one says that it was not measured."""
    shown = []
    for profile in SHOWN:
        path = record_path(root, profile, page)
        if path.is_file():
            record = json.loads(path.read_text("utf-8"))
            where = f"{record['threads']} of {record['cores']} cores" if profile == "cpu" else record["machine"]
            shown.append(
                f"{duration(record['seconds'])} and {memory(record['peak_memory_mb'])} of memory "
                f"in the `{profile}` profile ({where})"
            )
    if not shown:
        shown.append("not measured yet (`make costs` does)")
    return f"**Cost:** {'; '.join(shown)}; {download(text)}.\n"


def with_line(text: str, content: str) -> str:
    """The page's text with the part between the two comments replaced."""
    return _BLOCK.sub(lambda _: f"{BEGIN}\n{content}{END}", text)


def problems(root: Path) -> list[str]:
    """Pages whose line is missing or differs from the records; empty when all is well."""
    found = []
    for page in chapter_pages(root):
        text = page.text()
        if len(_BLOCK.findall(text)) != 1:
            found.append(f"{page.name}.md: needs one block `{BEGIN}` … `{END}` under its title.")
            continue
        if with_line(text, line(root, page, text)) != text:
            found.append(f"{page.name}.md: the cost line is stale; run `python -m book.tools.costs`.")
    return found


def write(root: Path) -> list[Page]:
    """Rewrites the lines of all pages that have a block for it; returns the changed pages."""
    changed = []
    for page in chapter_pages(root):
        text = page.text()
        new = with_line(text, line(root, page, text))
        if new != text:
            page.source.write_text(new, encoding="utf-8")
            changed.append(page)
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: rewrite the lines, or with `--check` report the stale ones."""
    parser = argparse.ArgumentParser(prog="python -m book.tools.costs", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd())
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if stale")
    options = parser.parse_args(arguments)
    if options.check:
        found = problems(options.root)
        print("\n".join(found) or "cost lines: as recorded")
        return 1 if found else 0
    for page in write(options.root):
        print(f"rewrote the cost line of {page.name}.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
