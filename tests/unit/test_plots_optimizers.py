"""The figures of optimizers: what is drawn of a path, and which loss is the worst."""

from __future__ import annotations

import numpy as np
import pytest

from clslab import plots

ALT = "What the figure shows, in one sentence."


def test_a_path_that_leaves_the_bowl_is_drawn_up_to_there() -> None:
    astray = [(-3.0, (-2.0) ** t) for t in range(60)]  # the last one is 5e17 away
    figure = plots.bowl_paths({"home": [(-3, 1), (-1, 0.5)], "astray": astray}, curvatures=(1, 20), alt=ALT)
    home, away = figure.axes
    assert home.get_title() == "home\nlast loss 3"  # (1 · 1² + 20 · 0.5²) / 2
    assert away.get_title() == "astray\nleaves the picture"
    assert len(away.get_lines()[0].get_xdata()) == 2  # 1 lies inside, -2 does not


def test_the_worst_loss_is_the_highest_within_the_radius() -> None:
    step = {"weight": 1.0, "top": 2.0, "after": 0.5}
    places, losses = [0.0, 1.0, 2.0, 3.0, 4.0], [5.0, 0.0, 1.0, 9.0, 2.0]
    assert worst_of(plots.valley_step(places, losses, radius=1.0, **step, alt=ALT)) == [[1, 5], [2, 9], [3, 9]]
    alone = plots.valley_step(places, losses, radius=0.0, **step, alt=ALT)
    assert worst_of(alone) == [list(pair) for pair in zip(places, losses, strict=True)]
    assert "lowest at 1.00" in alone.get_supxlabel()


@pytest.mark.parametrize(("after", "head"), [(0.5, "<"), (1.0, "D"), (1.5, ">")])
def test_the_weight_points_where_its_step_goes(after: float, head: str) -> None:
    figure = plots.valley_step([0, 1, 2], [1, 0, 1], radius=0.0, weight=1.0, top=1.0, after=after, alt=ALT)
    assert [line.get_marker() for line in figure.axes[0].get_lines() if "step" in str(line.get_label())] == [head]


def worst_of(figure: plots.BookFigure) -> list[list[float]]:
    (worst,) = (line for line in figure.axes[0].get_lines() if "worst" in str(line.get_label()))
    return np.asarray(worst.get_xydata()).tolist()
