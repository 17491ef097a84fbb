"""Which pages the book has, and the cells that a page is made of.

Every other tool asks here, so that "a page", "a chapter" and "a cell" mean one thing everywhere.
A book is named by its root folder, which lets the tests hand in small broken books.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import yaml
from nbformat import NotebookNode

CHECK_TAG = "nbval-check-output"
"""Cells with this tag keep their text output in the pair, and the tests compare it."""

COLAB_TAG = "colab"
"""The tag of the first cell, which installs the library in Colab and does nothing elsewhere."""

RAISES_TAG = "raises-exception"
"""Cells with this tag must raise: the page shows the error on purpose."""


class BookError(ValueError):
    """Something in the book's sources is wrong; the message names the file and the next step."""


@dataclass(frozen=True)
class Page:
    """One page of the table of contents.

    Attributes:
        root: folder that holds `_toc.yml`.
        name: path of the page without its suffix, as `_toc.yml` writes it.
    """

    root: Path
    name: str

    @property
    def source(self) -> Path:
        """The MyST file, the only place where the page is written."""
        return self.root / f"{self.name}.md"

    @property
    def pair(self) -> Path:
        """The notebook made from the source; only chapters have one."""
        return self.root / f"{self.name}.ipynb"

    @property
    def in_chapters(self) -> bool:
        """Whether the page is a chapter or an exercise sheet, and so has a pair."""
        return Path(self.name).parts[0] == "chapters"

    def text(self) -> str:
        """The source's text; a page that is listed but missing is a `BookError`."""
        if not self.source.is_file():
            raise BookError(f"{self.name}.md is listed in _toc.yml but there is no such file.")
        return self.source.read_text(encoding="utf-8")

    def runs(self) -> bool:
        """Whether the page holds code cells that the build executes."""
        return is_notebook(self.text())


def toc_names(toc: dict[str, Any]) -> list[str]:
    """Page names of a parsed `_toc.yml`, in reading order.

    >>> toc_names({"root": "a", "parts": [{"chapters": [{"file": "b", "sections": [{"file": "c"}]}]}]})
    ['a', 'b', 'c']
    """

    def walk(entries: list[dict[str, Any]]) -> list[str]:
        found: list[str] = []
        for entry in entries:
            if "file" in entry:
                found.append(entry["file"])
            found += walk(entry.get("sections", []))
        return found

    names = [toc["root"]]
    for part in toc.get("parts", []):
        names += walk(part.get("chapters", []))
    return names + walk(toc.get("chapters", []))


def pages(root: Path) -> list[Page]:
    """All pages of the book at `root`, in reading order."""
    toc = root / "_toc.yml"
    if not toc.is_file():
        raise BookError(f"no _toc.yml in {root}: run this from the root of the repository.")
    return [Page(root, name) for name in toc_names(yaml.safe_load(toc.read_text("utf-8")))]


def chapter_pages(root: Path) -> list[Page]:
    """The pages that have a pair: chapters and exercise sheets."""
    return [page for page in pages(root) if page.in_chapters]


def find_page(root: Path, name: str) -> Page:
    """The page called `name`: `05_fine_tuning`, `chapters/05_fine_tuning` or with its suffix."""
    wanted = name.removesuffix(".md").removesuffix(".ipynb")
    known = pages(root)
    for page in known:
        if wanted in (page.name, Path(page.name).name):
            return page
    raise BookError(f"no page {name!r} in _toc.yml. Known: {', '.join(Path(p.name).name for p in known)}.")


def front_matter(text: str) -> dict[str, Any]:
    """The YAML block at the top of a page, empty when there is none."""
    if not text.startswith("---\n"):
        return {}
    end = text.find("\n---", 4)
    parsed = yaml.safe_load(text[4:end]) if end > 0 else None
    return parsed if isinstance(parsed, dict) else {}


def is_notebook(text: str) -> bool:
    """Whether a page's text is a MyST notebook, which its front matter says.

    >>> is_notebook("# A page of prose")
    False
    """
    jupytext_block = front_matter(text).get("jupytext", {})
    return jupytext_block.get("text_representation", {}).get("format_name") == "myst"


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell, in order."""
    return list(cell.metadata.get("tags", []))


def cell_ids(stem: str, cells: list[NotebookNode]) -> list[str]:
    """Ids that depend on the page and the cells' text only, so that rewriting changes nothing.

    Two cells with the same text are told apart by how often it came before.
    """
    seen: dict[str, int] = {}
    ids = []
    for cell in cells:
        text = f"{stem}\0{cell.cell_type}\0{cell.source}"
        seen[text] = seen.get(text, 0) + 1
        ids.append(hashlib.sha256(f"{text}\0{seen[text]}".encode()).hexdigest()[:12])
    return ids


def read_notebook(page: Page) -> NotebookNode:
    """The page as a notebook without outputs: what its pair holds before anything has run.

    Raises:
        BookError: if the page is no MyST notebook, or fences its cells as ``python3``, which
            jupytext would rewrite for ever.
    """
    text = page.text()
    if not is_notebook(text):
        raise BookError(
            f"{page.name}.md is no MyST notebook: it needs the front matter that CONTRIBUTING.md "
            "shows (jupytext: text_representation: format_name: myst, and a kernelspec)."
        )
    if "```{code-cell} python3" in text:
        raise BookError(f"{page.name}.md: write ```{{code-cell}} ipython3, not python3.")
    notebook: NotebookNode = jupytext.reads(text, fmt="md:myst")
    for cell, cell_id in zip(notebook.cells, cell_ids(Path(page.name).name, notebook.cells), strict=True):
        cell["id"] = cell_id
    notebook.metadata = nbformat.from_dict(
        {
            "jupytext": {"formats": "ipynb,md:myst"},
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook
