"""What the figures about errors compute before they draw."""

import numpy as np
import pytest

from clslab import plots

ALT = "What the figure shows."


def test_tail_recall_draws_means_over_neighbours_in_frequency():
    counts = np.array([4, 100, 20, 50, 10])  # in no order
    figure = plots.tail_recall(counts, {"plain": [0.0, 1.0, 0.6, 0.8, 0.2]}, window=3, alt=ALT)
    x, y = figure.axes[0].lines[0].get_data()
    assert y == pytest.approx([80, 100 * 1.6 / 3, 100 * 0.8 / 3])
    assert x == pytest.approx([np.cbrt(100 * 50 * 20), np.cbrt(50 * 20 * 10), np.cbrt(20 * 10 * 4)])
    assert figure.axes[0].get_xlim()[0] > figure.axes[0].get_xlim()[1]  # frequent classes on the left


def test_a_window_wider_than_the_classes_is_all_of_them():
    figure = plots.tail_recall([9, 1], {"plain": [0.5, 0.1]}, window=15, alt=ALT)
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx([30])


def test_threshold_panels_mark_the_first_threshold_that_finds_enough():
    wrong, found, right = [0, 0.1, 0.3, 1], [0, 0.4, 0.6, 1], [1, 0.8, 0.7, 0.5]
    figure = plots.threshold_panels(wrong, found, right, prevalence=0.5, recalls=[0.5, 0.6, 0.9], alt=ALT)
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in figure.axes[1].lines if line.get_marker() == "o"]
    assert np.array(points) == pytest.approx(np.array([(60, 70), (60, 70), (100, 50)]))


def test_ranking_and_reliability_leaves_out_empty_bins():
    figure = plots.ranking_and_reliability({"a": 1.0}, [np.nan, 0.8], [np.nan, 0.5], counts=[0, 9], alt=ALT)
    assert figure.axes[1].lines[1].get_data() == (pytest.approx([80]), pytest.approx([50]))
    with pytest.raises(ValueError, match="confidence"):
        plots.ranking_and_reliability({"a": 1.0}, [np.nan, 0.8], [0.5, 0.5], counts=[1, 9], alt=ALT)


def test_the_highlighted_curve_is_drawn_last():
    curves = {name: ([0, 1], [0, height]) for name, height in (("low", 0.2), ("middle", 0.5), ("high", 0.9))}
    figure = plots.stated_against_true(curves, highlight="middle", alt=ALT)
    assert figure.axes[0].lines[-1].get_ydata() == pytest.approx([0, 50])
    assert len(figure.axes[0].lines) == 4


def test_dot_rows_begin_at_the_top():
    figure = plots.dot_rows({"fish": {"a": 0.9}, "trees": {"a": 0.4}}, x_label="area (%)", alt=ALT)
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fish", "trees"]
    assert ax.lines[0].get_xdata() == pytest.approx([90, 40])
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
