"""Writes and checks the notebooks that lie beside the chapters.

The MyST file is the source; `NN_topic.ipynb` is made from it and never edited. It holds the same
cells under ids that depend on their text only, and stored outputs for exactly the cells tagged
`nbval-check-output`, whose text is the same on every machine and in every profile. So a notebook
changes only when its source does.

`python -m book.tools.pairs` writes what is missing or stale and runs a notebook only when it needs
outputs; `--check` compares and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from book.tools.execute import cache_folder, run_pages
from book.tools.pages import CHECK_TAG, COLAB_TAG, BookError, Page, chapter_pages, read_notebook, tags

PROFILE = "smoke"
"""Stored outputs come from this profile; they must be the same in every other."""


def read_pair(page: Page) -> NotebookNode:
    """The stored notebook of a page."""
    if not page.pair.is_file():
        raise BookError(f"{page.name}.ipynb is missing: run `make notebooks`.")
    notebook: NotebookNode = nbformat.read(page.pair, as_version=4)
    return notebook


def stored_output(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    """The part of a cell's outputs that a pair keeps: printed text and plain results."""
    kept = []
    for output in outputs:
        if output.output_type == "stream":
            kept.append(nbformat.v4.new_output("stream", name=output.name, text=output.text))
        elif output.output_type in ("execute_result", "display_data"):
            plain = {"text/plain": output.data["text/plain"]}
            kept.append(nbformat.v4.new_output("display_data", data=plain))
    return kept


def with_outputs(notebook: NotebookNode, sources: dict[str, list[NotebookNode]]) -> NotebookNode:
    """Puts outputs, found by cell id, into the checked cells of a notebook, and none elsewhere."""
    count = 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        count += 1
        cell.outputs, cell.execution_count = [], None
        if CHECK_TAG in tags(cell):
            cell.outputs = sources.get(cell["id"], [])
            cell.execution_count = count
    return notebook


def outputs_by_id(notebook: NotebookNode) -> dict[str, list[NotebookNode]]:
    """Stored outputs of a pair by cell id."""
    return {cell["id"]: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def text_of(notebook: NotebookNode) -> str:
    """The notebook as it is written to a file."""
    return str(nbformat.writes(notebook, indent=1)) + "\n"


def code_of(notebook: NotebookNode) -> list[tuple[str, list[str]]]:
    """Sources and tags of the code cells: if these are equal, stored outputs still hold.

    The cell that installs the library in Colab does nothing here, so it does not count.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [(cell.source, tags(cell)) for cell in code if COLAB_TAG not in tags(cell)]


def differences(page: Page) -> list[str]:
    """How the stored pair of a page differs from its source; empty when it does not."""
    source = read_notebook(page)
    try:
        pair = read_pair(page)
    except BookError as error:
        return [str(error)]
    found = []
    if len(source.cells) != len(pair.cells):
        found.append(f"{len(source.cells)} cells in the source, {len(pair.cells)} in the pair")
    for number, (ours, theirs) in enumerate(zip(source.cells, pair.cells, strict=False), 1):
        for what in ("cell_type", "source", "metadata", "id"):
            if ours.get(what) != theirs.get(what):
                found.append(f"cell {number}: {what} differs")
                break
    if not found and source.metadata != pair.metadata:
        found.append("the notebook's metadata differ")
    found += output_faults(pair)
    return [f"{page.name}.ipynb: {fault}; run `make notebooks`." for fault in found]


def output_faults(pair: NotebookNode) -> list[str]:
    """Checked cells without a stored output, which would pass unseen, and outputs elsewhere."""
    found = []
    for number, cell in enumerate(pair.cells, 1):
        if cell.cell_type != "code":
            continue
        if CHECK_TAG in tags(cell):
            if not cell.outputs:
                found.append(f"cell {number} is tagged {CHECK_TAG} but has no stored output")
            elif not cell.execution_count:
                found.append(f"cell {number} is tagged {CHECK_TAG} but has no execution count")
            elif any(output.get("name") == "stderr" for output in cell.outputs):
                found.append(f"cell {number} stores an output to stderr")
        elif cell.outputs:
            found.append(f"cell {number} stores an output without the tag {CHECK_TAG}")
    return found


def needs_run(page: Page, notebook: NotebookNode) -> bool:
    """Whether the stored outputs of a page are missing or belong to other code."""
    if not any(CHECK_TAG in tags(cell) for cell in notebook.cells):
        return False
    if not page.pair.is_file():
        return True
    pair = read_pair(page)
    return code_of(pair) != code_of(notebook) or bool(output_faults(pair))


def write(root: Path, chosen: Sequence[Page], *, force: bool = False, jobs: int = 1) -> list[Page]:
    """Writes the pairs of pages; returns those whose file changed.

    Args:
        root: folder of `_toc.yml`.
        chosen: pages to pair.
        force: run every page that has checked cells, also where the code did not change.
        jobs: pages that run at once.
    """
    fresh = {page.name: read_notebook(page) for page in chosen}
    checked = [p for p in chosen if any(CHECK_TAG in tags(c) for c in fresh[p.name].cells)]
    waiting = [p for p in checked if force or needs_run(p, fresh[p.name])]
    results = run_pages(waiting, profile=PROFILE, cache=cache_folder(root, PROFILE), jobs=jobs)
    executed = {result.page.name: result.notebook for result in results}
    changed = []
    for page in chosen:
        notebook = fresh[page.name]
        if page.name in executed:
            code = [cell for cell in notebook.cells if cell.cell_type == "code"]
            ran = [cell for cell in executed[page.name].cells if cell.cell_type == "code"]
            outputs = {cell["id"]: stored_output(other.outputs) for cell, other in zip(code, ran, strict=True)}
        else:
            outputs = outputs_by_id(read_pair(page)) if page.pair.is_file() else {}
        text = text_of(with_outputs(notebook, outputs))
        if not page.pair.is_file() or page.pair.read_text("utf-8") != text:
            page.pair.write_text(text, encoding="utf-8")
            changed.append(page)
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `make notebooks`; with `--check` it only compares."""
    parser = argparse.ArgumentParser(prog="python -m book.tools.pairs", description=__doc__)
    parser.add_argument("names", nargs="*", help="chapters, all of them when none is named")
    parser.add_argument("--root", type=Path, default=Path.cwd())
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if stale")
    parser.add_argument("--force", action="store_true", help="run pages whose code did not change")
    parser.add_argument("--jobs", type=int, default=1, help="pages that run at once")
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    try:
        chosen = chapter_pages(root)
        if options.names:
            wanted = {name.removesuffix(".md").removesuffix(".ipynb") for name in options.names}
            chosen = [p for p in chosen if {p.name, Path(p.name).name} & wanted]
            if not chosen:
                raise BookError(f"no chapter called {' or '.join(sorted(wanted))} in _toc.yml.")
        if options.check:
            found = [fault for page in chosen for fault in differences(page)]
            print("\n".join(found) or f"{len(chosen)} pairs: as their sources")
            return 1 if found else 0
        for page in write(root, chosen, force=options.force, jobs=options.jobs):
            print(f"wrote {page.name}.ipynb")
    except BookError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    faults = [fault for page in chosen for fault in differences(page)]
    print("\n".join(faults) or f"{len(chosen)} pairs: as their sources")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
