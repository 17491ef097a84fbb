"""Runs all pages and builds the strict site: what `make book` calls.

The pages run first, each in a kernel of its own (`book.tools.execute`), then Jupyter Book makes
the site from their results with every warning an error, then the site is looked over once more
(`book.tools.checks`). A build for which nothing changed ends after the hash of its inputs.

Each further language is one more site inside the first, made at the same time from the same results.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from book.tools import catalogues, checks, costs, language, provenance
from book.tools.execute import (
    Execution,
    cache_folder,
    digest,
    environment_key,
    files_below,
    run_pages,
)
from book.tools.pages import BookError, Page, find_page, pages

PROFILES = ("smoke", "cpu", "gpu")
EXTENSIONS = tuple(
    f"book.tools.{name}" for name in ("provenance", "overview", "reference", "launch", "language", "theme")
)
"""Our own Sphinx extensions; they are named here since `_config.yml` is read by tools that do not have them."""
CONFIGURATION = ("_config.yml", "_toc.yml", "CHANGELOG.md")


@dataclass(frozen=True)
class Job:
    """One build.

    Attributes:
        root: folder of `_toc.yml`.
        output: folder whose `_build/html` becomes the site.
        profile: `smoke`, `cpu` or `gpu`.
        jobs: pages that run at once.
        languages: further languages that the site is made in.
    """

    root: Path
    output: Path
    profile: str
    jobs: int
    languages: tuple[str, ...] = ()

    @property
    def site(self) -> Path:
        """The folder of the finished pages."""
        return self.output / "_build" / "html"

    @property
    def stamp(self) -> Path:
        """The file that says for which inputs the site was built."""
        return self.output / "_build" / "site.json"

    @property
    def page_runs(self) -> Path:
        """The file that says when each page ran, and on what."""
        return self.output / "_build" / "runs.json"


def chosen_profile() -> str:
    """$CLSLAB_PROFILE, or `cpu`: the book's own setting, with or without a GPU."""
    profile = os.environ.get("CLSLAB_PROFILE") or "cpu"
    if profile not in PROFILES:
        raise BookError(f"CLSLAB_PROFILE is {profile!r}; it must be one of {', '.join(PROFILES)}.")
    return profile


def usual_jobs() -> int:
    """Pages at once: one per core up to four, but one alone on a GPU, whose memory they would share."""
    return 1 if chosen_profile() == "gpu" else min(4, os.cpu_count() or 1)


def site_key(root: Path, profile: str, languages: Sequence[str] = ()) -> str:
    """Hash of everything that the site is made from."""
    files = [root / name for name in CONFIGURATION if (root / name).is_file()]
    files += files_below(root / "book")
    if (root / "chapters").is_dir():
        files += [path for path in files_below(root / "chapters") if path.suffix != ".ipynb"]
    return digest(root, files, environment_key(root, profile), *languages)


def configuration(job: Job, cache: Path, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """`_config.yml` with the folder of the execution cache filled in, and more settings for Sphinx."""
    config: dict[str, Any] = yaml.safe_load((job.root / "_config.yml").read_text("utf-8"))
    config.setdefault("execute", {}).update({"execute_notebooks": "cache", "cache": str(cache)})
    sphinx = config.setdefault("sphinx", {})
    sphinx.setdefault("extra_extensions", []).extend(EXTENSIONS)
    sphinx.setdefault("config", {}).update({"page_runs": str(job.page_runs), **(settings or {})})
    return config


def run_sphinx(
    job: Job, cache: Path, *, strict: bool = True, toc: Path | None = None, settings: dict[str, Any] | None = None
) -> tuple[int, str]:
    """Calls Jupyter Book on the results in the cache; returns its exit status and what it printed."""
    folder = job.output / "_build"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yml"
    config.write_text(yaml.safe_dump(configuration(job, cache, settings)), encoding="utf-8")
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "."]
    command += ["--config", str(config), "--path-output", str(job.output), "--all", "--keep-going"]
    command += ["-W", "-n"] if strict else []
    command += ["--toc", str(toc)] if toc else []
    env = {**os.environ, "CLSLAB_PROFILE": job.profile, "PYTHONUNBUFFERED": "1"}
    env["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])  # our extension, wherever the book lies
    env.pop("LANGUAGE", None)  # gettext's own variable; `make book LANGUAGE=…` sets it by the way
    done = subprocess.run(command, cwd=job.root, env=env, text=True, capture_output=True, check=False)
    output = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    (folder / "build.log").write_text(output, encoding="utf-8")
    return done.returncode, output


def warnings_in(output: str) -> list[str]:
    r"""Lines of a build's output that report a fault, without repetitions.

    >>> warnings_in("reading a.md\na.md:3: WARNING: no such label\n")
    ['a.md:3: WARNING: no such label']
    """
    lines = [line.strip() for line in output.splitlines()]
    faults = [line for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL):", line)]
    return list(dict.fromkeys(faults))


def make_sites(
    job: Job, cache: Path, all_pages: Sequence[Page], executions: Sequence[Execution]
) -> tuple[int, list[str]]:
    """Makes the site and those of the further languages, all at once; returns the worst exit status and the faults."""
    others: dict[str, Any] = {"book_languages": {"others": list(job.languages)}}
    sites = {language.SOURCE: (job, others)}
    for code in job.languages:
        one = replace(job, output=job.output / "_build" / code)
        settings = catalogues.settings(job.root, code, one.output / "locale")
        sites[code] = (one, {**settings, "page_runs": str(job.page_runs)})
        shutil.rmtree(one.site, ignore_errors=True)
    with ThreadPoolExecutor(max_workers=len(sites)) as pool:
        built = pool.map(lambda site: run_sphinx(site[0], cache, settings=site[1]), sites.values())
        results = dict(zip(sites, built, strict=True))
    faults: list[str] = []
    for code, (_, output) in results.items():
        found = warnings_in(output) + checks.site_faults(sites[code][0].site, all_pages, executions)
        faults += [fault if code == language.SOURCE else f"{code}: {fault}" for fault in found]
    worst = max(status for status, _ in results.values())
    if worst == 0 and not faults:
        for code in job.languages:
            shutil.move(sites[code][0].site, job.site / language.folder(code))
    elif not faults:
        faults = [output[-4000:] for status, output in results.values() if status]
    return worst, faults


def build(job: Job, *, force: bool = False, record_costs: bool = False) -> int:
    """Builds the whole site; returns the exit status.

    Args:
        job: what to build, and where to.
        force: build again although nothing changed.
        record_costs: run every page afresh, one at a time, and record what it cost.
    """
    begin = time.perf_counter()
    key = site_key(job.root, job.profile, job.languages)
    if not (force or record_costs) and up_to_date(job, key):
        print(f"nothing changed: {job.site / 'index.html'} is up to date ({job.profile} profile)")
        return 0
    job.stamp.unlink(missing_ok=True)
    shutil.rmtree(job.site, ignore_errors=True)
    all_pages = pages(job.root)
    running = [page for page in all_pages if page.runs()]
    cache = cache_folder(job.root, job.profile)
    print(f"running {len(running)} pages in the {job.profile} profile", flush=True)
    executions = run_pages(running, profile=job.profile, cache=cache, jobs=job.jobs, fresh=record_costs)
    if record_costs:
        costs.write_records(job.root, job.profile, executions)
        costs.write(job.root)
        key = site_key(job.root, job.profile, job.languages)
    provenance.write(job.page_runs, executions, profile=job.profile)
    print("building the site", flush=True)
    status, faults = make_sites(job, cache, all_pages, executions)
    if status != 0 or faults:
        print("\n".join(faults), file=sys.stderr)
        log = job.output / "_build" / "build.log"
        print(f"\nthe build failed with {len(faults)} fault(s); whole log: {log}", file=sys.stderr)
        return 1
    seconds = {e.page.name: round(e.seconds, 1) for e in executions}
    job.stamp.write_text(json.dumps({"key": key, "seconds": seconds}, indent=2), encoding="utf-8")
    report(job, executions, time.perf_counter() - begin)
    return 0


def up_to_date(job: Job, key: str) -> bool:
    """Whether the site was already built from exactly these inputs."""
    if not (job.stamp.is_file() and (job.site / "index.html").is_file()):
        return False
    return bool(json.loads(job.stamp.read_text("utf-8")).get("key") == key)


def report(job: Job, executions: Sequence[Execution], seconds: float) -> None:
    """Prints what each page took, and where the site is."""
    print("\nseconds  memory   page")
    for execution in executions:
        again = "  (kept from an earlier run)" if execution.cached else ""
        print(f"{execution.seconds:7.1f}  {execution.peak_mb:4.0f} MB  {execution.page.name}{again}")
    print(f"\n{job.profile} profile, {seconds:.0f} s in all. Open {job.site / 'index.html'}")


def preview(job: Job, name: str) -> int:
    """Runs one page and shows it with its neighbours' pages of prose only: seconds, not minutes.

    References to pages that are left out cannot resolve, so warnings are printed, not fatal.
    """
    page = find_page(job.root, name)
    shown: list[Page] = [page]
    sheet = f"{page.name}_exercises"
    shown += [other for other in pages(job.root) if other.name == sheet]
    prose = [p for p in pages(job.root) if not p.in_chapters and not p.runs()]
    # A folder for each page, so that two people's previews do not meet.
    output = replace(job, output=job.root / "_build" / "preview" / Path(name).stem, languages=())
    toc = output.output / "_toc.yml"
    toc.parent.mkdir(parents=True, exist_ok=True)
    names = dict.fromkeys(p.name for p in [*shown, *prose] if p.name != prose[0].name)
    others = [{"file": one} for one in names]
    toc.write_text(yaml.safe_dump({"format": "jb-book", "root": prose[0].name, "chapters": others}), "utf-8")
    cache = cache_folder(job.root, job.profile)
    executions = run_pages([p for p in shown if p.runs()], profile=job.profile, cache=cache, jobs=job.jobs)
    shutil.rmtree(output.site, ignore_errors=True)
    provenance.write(output.page_runs, executions, profile=job.profile)
    settings = {}
    for code in job.languages[:1]:
        settings = catalogues.settings(job.root, code, output.output / "locale")
        settings["book_languages"]["others"] = []
    status, text = run_sphinx(output, cache, strict=False, toc=toc, settings=settings)
    stem = Path(page.name).name
    mine = [line for line in warnings_in(text) if stem in line]
    faults = mine + checks.site_faults(output.site, shown, executions)
    print("\n".join(faults) or "no warnings on this page")
    report(output, executions, sum(e.seconds for e in executions if not e.cached))
    print(f"The page: {output.site / page.name}.html")
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `make book` and `make chapter`."""
    parser = argparse.ArgumentParser(prog="python -m book.tools.build", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd())
    parser.add_argument("--output", type=Path, help="the site goes to OUTPUT/_build/html")
    parser.add_argument("--jobs", type=int, help="pages at once (default: one per core, up to 4)")
    parser.add_argument("--force", action="store_true", help="build although nothing changed")
    parser.add_argument("--record-costs", action="store_true", help="measure every page, one by one")
    parser.add_argument("--chapter", metavar="NAME", help="run and show this one page only")
    parser.add_argument("--language", metavar="CODE", action="append", default=[], help="also in this language: zh_CN")
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    try:
        jobs = 1 if options.record_costs else options.jobs or usual_jobs()
        languages = tuple(catalogues.language(code) for code in options.language)
        job = Job(root, (options.output or root).resolve(), chosen_profile(), jobs, languages)
        if options.chapter:
            return preview(job, options.chapter)
        return build(job, force=options.force, record_costs=options.record_costs)
    except BookError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
