"""The sliders of the chapters: none is missing, what they compute is right, and they can be moved live afterwards."""

from __future__ import annotations

import ast
import re
import types

import jupytext
import numpy as np
import pytest
from books import ROOT
from scipy.stats import binom

from clslab import stats

SLIDERS = {
    "03_is_it_real": ["test pictures n", "epochs tried k"],
    "06_cats_and_dogs": ["what the network gets"],
    "07_learning_rate": ["learning rate"],
    "09_augmentation": ["strength of RandAugment's operations", "budget", "augmentation"],
    "10_optimizers": ["learning rate, the same for all four", "SAM's radius ρ"],
    "12_errors": ["people that the threshold finds", "temperature", "γ of the focal loss"],
    "14_sound": ["window length"],
    "15_tree": ["layer, from shallow to deep", "clips that get a species"],
}
"""Page -> what its sliders move, in their order."""


def cells_of(name: str) -> list[str]:
    """The cells of a page that Python can read: without the one that installs the library in Colab."""
    notebook = jupytext.read(ROOT / "chapters" / f"{name}.md")
    return [cell.source for cell in notebook.cells if cell.cell_type == "code" and "google.colab" not in cell.source]


def sliders_in(tree: ast.Module) -> list[ast.Call]:
    """Calls of `Frames.of`, in their order."""
    calls = [one for one in ast.walk(tree) if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute)]
    return [one for one in calls if ast.unparse(one.func) == "Frames.of"]


def shown_without_name(cell: str) -> list[str]:
    """Sliders that a cell makes in its last expression, so that nobody can call `live` on them afterwards."""
    last = ast.parse(cell).body[-1:]
    calls = [one for expr in last if isinstance(expr, ast.Expr) for one in ast.walk(expr) if isinstance(one, ast.Call)]
    return [ast.unparse(one) for one in calls if ast.unparse(one.func) in {"Frames", "Frames.of"}]


def names(node: ast.AST, kind: type[ast.expr_context]) -> set[str]:
    """Names that are read, or those that are given a value, outside of functions where they are local."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, kind)}


def bound_by(statement: ast.stmt) -> set[str]:
    """Names that a statement of a cell gives a value to."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    return names(statement, ast.Store)


def needed_by(function: str, defined: dict[str, ast.FunctionDef]) -> set[str]:
    """Names of the page that a function reads when it is called, through the functions that it calls."""
    needed, todo = set(), [function]
    while todo:
        name = todo.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in defined:
            inside = defined[name]
            own = names(inside, ast.Store) | {one.arg for one in ast.walk(inside) if isinstance(one, ast.arg)}
            todo += names(inside, ast.Load) - own
    return needed


def changed_afterwards(cells: list[str]) -> dict[str, list[str]]:
    """Drawing function -> names that it reads and that a later cell gives another value."""
    trees = [ast.parse(cell) for cell in cells]
    found = {}
    for number, tree in enumerate(trees):
        defined = {one.name: one for t in trees[: number + 1] for one in t.body if isinstance(one, ast.FunctionDef)}
        later = {name for t in trees[number + 1 :] for statement in t.body for name in bound_by(statement)}
        for call in sliders_in(tree):
            function = ast.unparse(call.args[0])
            found[function] = sorted(needed_by(function, defined) & later)
    return found


def test_every_slider_of_the_course_is_there():
    titles = {}
    for page in sorted((ROOT / "chapters").glob("*.md")):
        calls = [call for cell in cells_of(page.stem) if "Frames" in cell for call in sliders_in(ast.parse(cell))]
        if calls:
            said = [ast.unparse(k.value) for call in calls for k in call.keywords if k.arg == "title"]
            titles[page.stem] = [re.sub(r"^f?['\"]|(?: \(\{.*)?['\"]$", "", one) for one in said]
    assert titles == SLIDERS


def test_every_slider_that_is_shown_has_a_name():
    pages = sorted((ROOT / "chapters").glob("*.md"))
    cells = [(page.stem, cell) for page in pages for cell in cells_of(page.stem) if "Frames" in cell]
    assert len(cells) >= len(SLIDERS)
    assert [(page, one) for page, cell in cells for one in shown_without_name(cell)] == []


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("Frames.of(draw, [1, 2])", ["Frames.of(draw, [1, 2])"]),
        ("x = 1\nFrames(drawn) if x else 0", ["Frames(drawn)"]),
        ("display(Frames.of(draw, [1, 2]))", ["Frames.of(draw, [1, 2])"]),
        ("moved = Frames.of(draw, [1, 2])\nmoved", []),
        ("moved = Frames(drawn)", []),
        ("", []),
    ],
)
def test_that_check_finds_a_slider_without_a_name(cell, found):
    assert shown_without_name(cell) == found


@pytest.mark.parametrize("name", SLIDERS)
def test_at_the_end_of_a_page_its_sliders_can_still_be_moved_live(name):
    """A function that draws must not read a name that has another value by then."""
    found = changed_afterwards(cells_of(name))
    assert len(found) == len(SLIDERS[name])
    assert found == {function: [] for function in found}


def test_that_check_can_fail():
    cells = ["x = 1\ndef inner(): return x", "def draw(v): return inner() + v\nFrames.of(draw, [1, 2])"]
    assert changed_afterwards([*cells, "for x in '': pass"]) == {"draw": ["x"]}
    assert changed_afterwards([*cells, "def later(x): y = x"]) == {"draw": []}


@pytest.mark.parametrize("name", SLIDERS)
def test_a_comment_that_offers_the_live_slider_names_one_that_is_there(name):
    for cell in cells_of(name):
        for variable in re.findall(r"(\w+)\.live\(\)", cell):
            assert re.search(rf"^{variable} = Frames\.of\(", cell, re.MULTILINE)
            assert re.search(rf"^{variable}  # ", cell, re.MULTILINE)


class Told(types.SimpleNamespace):
    """What a page hands to a figure function."""


def frames_of(name: str, draw: str, *before: str) -> dict[object, Told]:
    """Value -> what is drawn at it, from the cell of a page that holds the slider, and cells that it needs."""
    cells, seen = cells_of(name), {}
    figures = types.SimpleNamespace(
        forest=lambda found, **options: Told(found=found, **options),
        tries_so_far=lambda scores, **options: Told(scores=scores, **options),
    )
    slider = types.SimpleNamespace(of=lambda at, values, **_: seen.update({value: at(value) for value in values}))
    space = {"np": np, "stats": stats, "plots": figures, "Frames": slider}
    for sign in (*before, f"def {draw}("):
        (cell,) = [one for one in cells if sign in one]
        exec(compile(ast.parse(cell), name, "exec"), space)
    return seen


def test_more_test_pictures_narrow_every_interval_about_the_same_difference():
    frames = frames_of("03_is_it_real", "at_size", "def unpaired(")
    halves, clear = [], []
    for n, frame in frames.items():
        for value, low, high in frame.found.values():
            assert low <= value <= high
        halves.append([high - low for _, low, high in frame.found.values()])
        clear.append([low > 0 or high < 0 for _, low, high in frame.found.values()])
        limits = np.array(list(frame.found.values()))
        assert frame.xlim[0] <= limits.min()
        assert limits.max() <= frame.xlim[1]
        assert f"n = {n:,}" in frame.footnote
        assert f"{sum(clear[-1])} of 6 clear" in frame.footnote
    assert (np.diff(halves, axis=0) < 0).all()
    first, last = (np.array([value for value, _, _ in frames[n].found.values()]) for n in (min(frames), max(frames)))
    assert np.abs(first - last).max() < 0.002  # right answers are whole numbers
    rows = list(frames[min(frames)].found)
    order = [next(n for n, one in zip(frames, clear, strict=True) if one[place]) for place in range(len(rows))]
    by_name = dict(zip(rows, order, strict=True))
    assert not any(clear[0])
    assert all(clear[-1])
    # The sentences below the slider.
    assert min(by_name, key=by_name.__getitem__) == "CIFAR: → Auto-Augment"
    assert sorted(by_name, key=by_name.__getitem__)[1] == "CIFAR: SGD → SAM"
    assert 10_000 < by_name["beach: fixed → fine-tuned"] < 100_000
    assert 10_000 < by_name["cats, dogs: lr .0010 → .0012"] < 100_000
    assert by_name["CIFAR: → label smoothing"] > 100_000


def test_the_best_of_k_tries_without_skill_rises_with_k():
    frames = frames_of("03_is_it_real", "after")
    means, reported = [], []
    for epochs, frame in frames.items():
        assert (frame.tries, frame.truth) == (epochs, 0.885)
        mean = float(re.search(r"on average ([+-][\d.]+)", frame.footnote)[1])
        # The distribution of the best of k binomials, without any draw.
        right = np.arange(1013)
        best = np.diff(np.append(0, binom.cdf(right, 1012, 0.885) ** epochs)) @ right / 1012
        assert mean == pytest.approx(100 * (best - 0.885), abs=0.12)
        means.append(mean)
        reported.append(frame.scores[:epochs].max())
    assert (np.diff(means) > 0).all()
    assert (np.diff(reported) >= 0).all()
    assert means[0] == pytest.approx(0, abs=0.12)
