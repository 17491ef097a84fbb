"""Runs the pages that hold code, measures them, and keeps the results where the book finds them.

The results go into a cache of the format that MyST-NB reads, so the build itself runs nothing
again. The folder of the cache is named by a hash of everything but the page that a result depends
on (library, records, packages, profile, data): a change there means another folder, and no stale
result can be shown. The page's own cells are the key inside the folder.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import nbformat
import psutil
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from myst_nb.core.read import read_myst_markdown_notebook
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from traitlets.config import Config

from book.tools.pages import RAISES_TAG, BookError, Page, tags

CELL_TIMEOUT = 1200
"""Seconds that one cell may take before the page counts as failed."""

KEPT_CACHES = 4
"""How many cache folders stay: two profiles, each with and without real data."""

IN_USE = 6 * 3600
"""Seconds for which a cache folder counts as possibly in use by another build, and stays."""


@dataclass(frozen=True)
class Execution:
    """A page that ran to its end.

    Attributes:
        page: the page.
        notebook: its cells with their outputs.
        seconds: wall time, start of the kernel included.
        peak_mb: most resident memory of the kernel and its children, in MB.
        cached: whether the result was there already.
        ran: when it ran.
    """

    page: Page
    notebook: NotebookNode
    seconds: float
    peak_mb: float
    cached: bool
    ran: datetime


class PageError(BookError):
    """A page did not run; the message names the cell and holds its traceback."""


def files_below(folder: Path, *, skip: Sequence[str] = ()) -> list[Path]:
    """Files below a folder that belong to it, sorted.

    Left out are caches, the named subfolders and hidden files: a sweep that is running hides its claims so.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        if not hidden and "__pycache__" not in parts and parts[0] not in skip and path.is_file():
            found.append(path)
    return found


def digest(root: Path, files: Iterable[Path], *words: str) -> str:
    """One hash of the files' names and contents and of some words."""
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(path.relative_to(root).as_posix().encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    for word in words:
        total.update(b"\0" + word.encode())
    return total.hexdigest()


def data_identity() -> str:
    """A hash of which data sets this machine offers: names and sizes of the files, not where they lie.

    Looks where `clslab.data.load` looks: $CLSLAB_DATA, the user's cache, torch's cache of weights.
    """
    import platformdirs

    folders = [os.environ.get("CLSLAB_DATA"), platformdirs.user_cache_dir("clslab")]
    folders.append(os.environ.get("TORCH_HOME", str(Path.home() / ".cache" / "torch")))
    total = hashlib.sha256()
    for folder in folders:
        total.update(b"|")
        if not folder or not Path(folder).is_dir():
            continue
        for where, below, names in os.walk(folder, followlinks=True):
            below.sort()
            for name in sorted(names):
                path = Path(where) / name
                size = path.stat().st_size if path.exists() else -1
                total.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
    return total.hexdigest()


def packages_identity() -> str:
    """A hash of the interpreter's version and every installed package's."""
    found = sorted(f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions())
    return hashlib.sha256("\n".join([sys.version, *found]).encode()).hexdigest()


def environment_key(root: Path, profile: str) -> str:
    """Hash of what the results of every page depend on, besides the page itself."""
    files = files_below(root / "clslab") if (root / "clslab").is_dir() else []
    for name, skip in (("book/results", ("cost",)), ("book/sweeps", ())):
        if (root / name).is_dir():
            files += files_below(root / name, skip=skip)
    public = os.environ.get("CLSLAB_PUBLISH", "")
    return digest(root, files, profile, data_identity(), packages_identity(), public)


def cache_folder(root: Path, profile: str) -> Path:
    """The cache for the present state; older ones beyond `KEPT_CACHES` are removed."""
    home = root / "_build" / "execution"
    folder = home / f"{profile}-{environment_key(root, profile)[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    folder.touch()
    by_age = sorted(home.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in by_age[KEPT_CACHES:]:
        if time.time() - old.stat().st_mtime > IN_USE:
            shutil.rmtree(old)
    return folder


def read_for_cache(page: Page) -> NotebookNode:
    """The page as the build reads it: the cache compares exactly this."""
    return read_myst_markdown_notebook(page.text(), add_source_map=True, path=str(page.source))


class _MemorySampler(threading.Thread):
    """Watches the resident memory of a process and its children, five times a second."""

    def __init__(self, client: NotebookClient) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.peak = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.2):
            provisioner = getattr(self.client.km, "provisioner", None)
            pid = getattr(provisioner, "pid", None)
            if pid is None:
                continue
            try:
                kernel = psutil.Process(pid)
                family = [kernel, *kernel.children(recursive=True)]
                self.peak = max(self.peak, sum(member.memory_info().rss for member in family))
            except psutil.NoSuchProcess:
                continue  # the kernel ended between two looks


def _place(page: Page, notebook: NotebookNode, index: int) -> str:
    line = notebook.metadata.get("source_map", [0] * len(notebook.cells))[index] + 1
    return f"{page.name}.md, line {line}"


def _failure(page: Page, notebook: NotebookNode, error: Exception) -> PageError:
    code = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    ran = [i for i in code if notebook.cells[i].get("execution_count") or notebook.cells[i].outputs]
    at = ran[-1] if ran else code[0]
    source = "\n".join("    " + line for line in notebook.cells[at].source.splitlines())
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    return PageError(f"{_place(page, notebook, at)}: this cell failed\n\n{source}\n\n{text}")


def _meeting_in(folder: Path) -> Config:
    """Settings by which a kernel is spoken to through files of this folder.

    By default it is given the numbers of free ports, and another kernel that starts may be faster to take one.
    """
    if sys.platform == "win32":  # there kernels know ports alone
        return Config()
    return Config(AsyncKernelManager={"transport": "ipc", "ip": str(folder / "s")})


def run_page(page: Page, env: dict[str, str]) -> Execution:
    """Runs one page in a fresh kernel, in the page's own folder.

    Raises:
        PageError: if a cell raises, a cell that is said to raise does not, a cell prints to
            stderr, or a cell did not run at all.
    """
    notebook = read_for_cache(page)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="kernel-") as meeting:
        client = NotebookClient(
            notebook,
            config=_meeting_in(Path(meeting)),
            timeout=CELL_TIMEOUT,
            iopub_timeout=60,
            raise_on_iopub_timeout=True,  # else late outputs would be dropped on a busy machine, and nobody would know
            kernel_name="python3",
            record_timing=True,
            extra_arguments=["--IPKernelApp.log_level=40"],  # no notices of the kernel in our output
            resources={"metadata": {"path": str(page.source.parent)}},
        )
        sampler = _MemorySampler(client)
        sampler.start()
        try:
            asyncio.run(client.async_execute(env={**os.environ, **env}))
        except (CellControlSignal, CellTimeoutError, DeadKernelError) as error:
            raise _failure(page, notebook, error) from error
        finally:
            sampler.done.set()
    seconds = time.perf_counter() - begin
    check_outputs(page, notebook)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the times would make every build differ
    notebook.metadata.pop("widgets", None)
    return Execution(page, notebook, seconds, sampler.peak / 1e6, cached=False, ran=datetime.now(UTC))


def check_outputs(page: Page, notebook: NotebookNode) -> None:
    """Raises `PageError` for a cell that ran no time, wrote to stderr, or failed to raise."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        place = _place(page, notebook, index)
        if not cell.get("execution_count"):
            raise PageError(f"{place}: this cell did not run; is it empty?\n\n{cell.source}")
        times = cell.metadata.get("execution")
        if times is not None and times.get("shell.execute_reply", "") <= times.get("iopub.status.busy", ""):
            raise PageError(f"{place}: this cell ran in 0 s.\n\n{cell.source}")
        raised = any(out.output_type == "error" for out in cell.outputs)
        if (RAISES_TAG in tags(cell)) != raised:
            what = "raised nothing although it is tagged" if not raised else "raised without the tag"
            raise PageError(f"{place}: this cell {what} {RAISES_TAG}.\n\n{cell.source}")
        stderr = [out.text for out in cell.outputs if out.get("name") == "stderr"]
        if stderr:
            raise PageError(
                f"{place}: this cell wrote to stderr, which a page must not show. Mend the cause, "
                f"or filter that one warning in the cell.\n\n{cell.source}\n\n{''.join(stderr)}"
            )


def kernel_environment(profile: str, jobs: int) -> dict[str, str]:
    """Variables for a kernel: the profile, and threads shared out among the pages that run at once."""
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // jobs))
    return {
        "CLSLAB_PROFILE": profile,
        "OMP_NUM_THREADS": threads,
        "TQDM_DISABLE": "1",
        "PYTHONHASHSEED": "0",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def run_pages(
    pages: Sequence[Page], *, profile: str, cache: Path, jobs: int = 1, fresh: bool = False
) -> list[Execution]:
    """Runs pages, or takes their results from the cache.

    Args:
        pages: pages that hold code.
        profile: `smoke`, `cpu` or `gpu`.
        cache: folder from `cache_folder`.
        jobs: pages at once.
        fresh: run again what is cached, for a measurement of the costs.

    Raises:
        PageError: all failures in one message, after every page had its turn.
    """
    store = get_cache(cache)
    env = kernel_environment(profile, jobs)
    done: dict[str, Execution] = {}
    waiting = []
    for page in pages:
        notebook = read_for_cache(page)
        try:
            record = store.match_cache_notebook(notebook)
        except KeyError:
            record = None
        if record is None or fresh:
            waiting.append(page)
            continue
        _, merged = store.merge_match_into_notebook(notebook)
        cost = record.data
        done[page.name] = Execution(
            page, merged, cost["execution_seconds"], cost["peak_mb"], cached=True, ran=record.created
        )
    if waiting:  # on a fresh machine the first figure would say on its page that matplotlib looks for fonts
        fonts = [sys.executable, "-c", "import matplotlib.font_manager"]
        subprocess.run(fonts, env={**os.environ, **env}, check=True)
    failures = []
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        futures = [(page, pool.submit(run_page, page, env)) for page in waiting]
        for page, future in futures:
            try:
                result = future.result()
            except PageError as failure:
                print(f"  failed   {page.name}", flush=True)
                failures.append(str(failure))
                continue
            print(f"  {result.seconds:6.1f} s  {result.peak_mb:5.0f} MB  {page.name}", flush=True)
            bundle = CacheBundleIn(
                nbformat.from_dict(result.notebook),
                str(page.source),
                data={"execution_seconds": result.seconds, "peak_mb": result.peak_mb},
            )
            store.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            done[page.name] = result
    if failures:
        bar = "\n" + "=" * 78 + "\n"
        raise PageError(f"{len(failures)} page(s) failed.{bar}" + bar.join(failures))
    return [done[page.name] for page in pages]
