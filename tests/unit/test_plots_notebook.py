"""In a notebook a figure is shown exactly once, with its alt text, whatever else the notebook does."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from clslab.plots.style import CSS_WIDTH, DPI, WIDTH

ROOT = Path(__file__).resolve().parents[2]
ALT = "One bar at 89 %."
CALL = f"plots.score_bars({{'head': {{'test': (0.89, 0.85, 0.92)}}}}, n=212, seeds=5, alt={ALT!r})"
CELLS = {
    "call": CALL,
    "name": f"figure = {CALL}\nfigure",
    "display": f"display({CALL})",
    "assigned": f"figure = {CALL}",
    "with pyplot": f"import matplotlib.pyplot as plt\n{CALL}",
    "after pyplot": CALL,
    "inline": f"%matplotlib inline\n{CALL}",
    "beside pyplot's own": f"plt.plot([1, 2])\nplt.close()\n{CALL}",
}
SHOWN = {name: 0 if name == "assigned" else 1 for name in CELLS}


@pytest.fixture(scope="module")
def outputs() -> dict[str, list[Any]]:
    """All cells run in order in one kernel: pyplot's backend starts half-way, as in a real chapter."""
    cells = [nbformat.v4.new_code_cell(code) for code in ("from clslab import plots", *CELLS.values())]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}})
    client.execute()
    assert notebook.cells[0].outputs == []
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells[1:], strict=True)}


@pytest.mark.parametrize("name", CELLS)
def test_a_figure_is_shown_exactly_once(name: str, outputs: dict[str, list[Any]]) -> None:
    images = [o for o in outputs[name] if "image/png" in o.get("data", {})]
    assert len(images) == SHOWN[name]
    assert len(outputs[name]) == SHOWN[name]  # no stray text, no warning


@pytest.mark.parametrize("name", [name for name, shown in SHOWN.items() if shown])
def test_the_output_holds_alt_width_and_the_uncropped_picture(name: str, outputs: dict[str, list[Any]]) -> None:
    (output,) = outputs[name]
    assert output["metadata"]["image/png"] == {"width": CSS_WIDTH, "alt": ALT}
    assert output["data"]["text/plain"] == f"<Figure: {ALT}>"
    png = base64.b64decode(output["data"]["image/png"])
    assert int.from_bytes(png[16:20], "big") == WIDTH * DPI
