"""How soon a page shows something: first contentful paint of every page, from the local disk, in headless Chromium.

Aim: under 1.5 s for the slowest page. And what `make book` costs when nothing changed; aim: under 15 s.

    python benchmarks/pages.py [--site _build/smoke/_build/html] [--rebuild] [--quick] [--record]

Each page is opened REPEATS times in a fresh context (no cache of the browser) from its folder; the page's number is the
median. The paint is what the browser itself measures (the Paint Timing API).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from clslab.device import choose

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 3
PAINT = """() => new Promise(done => {
  const read = () => performance.getEntriesByName('first-contentful-paint')[0];
  if (read()) { done(read().startTime); return; }
  new PerformanceObserver((_, watch) => { if (read()) { watch.disconnect(); done(read().startTime); } })
    .observe({type: 'paint', buffered: true});
})"""


def paints(site: Path, repeats: int) -> dict[str, float]:
    """Median milliseconds to the first contentful paint, for every page."""
    os.environ["CLSLAB_SITE"] = str(site)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "site")]
    from browsing import page_names, visiting

    from book.tools.browser import launched

    found = {}
    with launched() as browser:
        for name in page_names():
            times = []
            for _ in range(repeats):
                with visiting(browser, site.as_uri()) as visit:
                    visit.page.goto(f"{visit.base}/{name}", wait_until="load")
                    times.append(visit.page.evaluate(PAINT))
            found[name] = statistics.median(times)
    return found


def unchanged() -> float | None:
    """Seconds of a build for which nothing changed, or None if the site is not up to date."""
    begin = time.perf_counter()
    done = subprocess.run(["make", "site-smoke"], cwd=ROOT, text=True, capture_output=True, check=False)
    return time.perf_counter() - begin if "nothing changed" in done.stdout else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "smoke" / "_build" / "html")
    parser.add_argument("--rebuild", action="store_true", help="time `make site-smoke` with nothing changed")
    parser.add_argument("--record", action="store_true", help="keep the result with the book's records")
    parser.add_argument("--quick", action="store_true", help="open each page once")
    options = parser.parse_args()
    if options.quick and options.record:
        parser.error("--quick is a first look: it is not recorded; leave one of the two out")
    repeats = 1 if options.quick else REPEATS
    found = paints(options.site.resolve(), repeats)
    slowest = sorted(found.items(), key=lambda item: -item[1])
    result = {
        "benchmark": "pages",
        "ratios": {},
        "pages": len(found),
        "repeats": repeats,
        "slowest": {name: round(value) for name, value in slowest[:5]},
        "median_ms": round(statistics.median(found.values())),
        "cores": os.cpu_count(),
        "load": [round(one, 1) for one in os.getloadavg()],
        "machine": choose().name,
        "day": date.today().isoformat(),
    }
    if options.rebuild:
        result["unchanged_build_s"] = unchanged()
    print(json.dumps(result, indent=2))
    if options.record:
        path = ROOT / "book" / "results" / "benchmarks" / "pages.json"
        before = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        kept = {name: value for name, value in before.items() if name == "unchanged_build_s"}  # where not measured anew
        path.write_text(json.dumps(kept | result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
