"""The figure of tries that are all worth the same: what it computes before it draws."""

import numpy as np
import pytest

from clslab import plots

ALT = "What the figure shows."
SCORES = [0.88, 0.87, 0.91, 0.9, 0.93]


def test_it_shows_the_tries_so_far_and_rings_the_best_of_them():
    ax = plots.tries_so_far(SCORES, tries=4, truth=0.885, alt=ALT).axes[0]
    level, dots, best, _, ring = ax.lines
    assert level.get_ydata() == pytest.approx([88.5, 88.5])
    assert (dots.get_xdata(), dots.get_ydata()) == (pytest.approx([1, 2, 3, 4]), pytest.approx([88, 87, 91, 90]))
    assert best.get_ydata() == pytest.approx([88, 88, 91, 91])
    assert (ring.get_xdata(), ring.get_ydata()) == (pytest.approx([3]), pytest.approx([91]))


def test_the_line_of_the_best_never_falls_and_all_frames_have_the_same_axes():
    scores = np.random.default_rng(0).uniform(size=30)
    limits = set()
    for tries in (1, 7, 30):
        ax = plots.tries_so_far(scores, tries=tries, truth=0.5, alt=ALT).axes[0]
        assert (np.diff(ax.lines[2].get_ydata()) >= 0).all()
        limits.add((*ax.get_xlim(), *ax.get_ylim()))
    assert len(limits) == 1


@pytest.mark.parametrize("tries", [0, 6])
def test_a_number_of_tries_that_was_not_made_is_refused(tries):
    with pytest.raises(ValueError, match=f"tries = {tries} of 5 scores: pass 1 to 5"):
        plots.tries_so_far(SCORES, tries=tries, truth=0.885, alt=ALT)


def test_a_percentage_is_refused():
    with pytest.raises(ValueError, match="divide percentages"):
        plots.tries_so_far(SCORES, tries=1, truth=88.5, alt=ALT)
