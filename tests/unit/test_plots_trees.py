"""What the figures of page 15 compute before they draw."""

import numpy as np
import pytest

from clslab import plots

ALT = "What the figure shows."
PATHS = [("fish", "ray"), ("tree", "oak"), ("fish", "shark")]
COUNTS = [[6, 1, 3], [0, 10, 0], [2, 0, 8]]


def bar_lengths(figure: plots.BookFigure) -> np.ndarray:
    """[heights, rows] in per cent."""
    return np.array([[bar.get_width() for bar in container] for container in figure.axes[1].containers])


def test_bars_divide_the_answers_of_a_row_by_height():
    figure = plots.tree_mistakes(COUNTS, PATHS, alt=ALT)
    names = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert names == ["ray", "shark", "oak"]  # relatives side by side
    assert bar_lengths(figure) == pytest.approx(np.array([[60, 80, 100], [30, 20, 0], [10, 0, 0]]))


def test_a_coarser_level_has_a_row_for_each_of_its_nodes():
    figure = plots.tree_mistakes(COUNTS, PATHS, level=0, alt=ALT)
    assert bar_lengths(figure) == pytest.approx(np.array([[70, 100], [25, 0], [5, 0]]))


def test_only_rows_that_are_confused_are_joined():
    assert len(plots.tree_mistakes(COUNTS, PATHS, alt=ALT).axes[0].patches) == 2
    assert len(plots.tree_mistakes(COUNTS, PATHS, most=1, alt=ALT).axes[0].patches) == 1
    assert len(plots.tree_mistakes(np.diag([1, 2, 3]), PATHS, alt=ALT).axes[0].patches) == 0


def test_stage_two_begins_after_stage_one():
    stages = {"stage one, coarse labels": [3.0, 2.0], "train": [4.0, 3.0, 2.0]}
    figure = plots.loss_panels({"flat": {"train": [5.0, 4.0]}, "fixed": stages}, alt=ALT)
    flat, fixed = figure.axes
    assert flat.lines[0].get_xdata() == pytest.approx([1, 2])
    assert [line.get_xdata()[0] for line in fixed.lines if len(line.get_xdata()) == 3] == [3, 3]  # a seed and the mean


def test_answers_of_all_levels_and_silence_are_the_whole():
    answers = {"species": (0.5, 0.1), "genus": (0.0, 0.05), "family": (0.2, 0.05)}
    ax = plots.answers_by_level(answers, silent=0.1, alt=ALT).axes[0]
    right, wrong, silent = ([bar.get_width() for bar in bars] for bars in ax.containers)
    assert right == pytest.approx([50, 0, 20])
    assert wrong == pytest.approx([10, 5, 5])
    assert silent == pytest.approx([10])
    assert [bar.get_x() for bar in ax.containers[1]] == pytest.approx([50, 0, 20])  # behind the right ones
    assert [label.get_text() for label in ax.get_yticklabels()] == ["species", "genus", "family", "no answer"]
    assert [text.get_text() for text in ax.texts] == ["60 %", "5 %", "25 %", "10 %"]


WAYS = {
    "class": {"stem": (0.1, 0.0, 0.2), "b4": (0.6, 0.5, 0.7), "head": (1.0, 0.9, 1.1)},
    "superclass": {"stem": (0.3, 0.2, 0.4), "b4": (0.7, 0.6, 0.8), "head": (1.0, 0.95, 1.05)},
}


def test_one_layer_stands_out_and_all_frames_have_the_same_axis():
    limits = set()
    for place, layer in enumerate(("stem", "b4", "head")):
        ax = plots.way_to_last_layer(WAYS, layer=layer, alt=ALT).axes[0]
        lines = ax.lines[2:]  # after those of chance and of the last layer
        for row, (others, whisker, dot) in enumerate(zip(lines[0::3], lines[1::3], lines[2::3], strict=True)):
            estimates = 100 * np.array(list(list(WAYS.values())[row].values()))
            assert dot.get_xdata() == pytest.approx(estimates[place, :1])
            assert whisker.get_xdata() == pytest.approx(estimates[place, 1:])
            assert others.get_xdata() == pytest.approx(np.delete(estimates[:, 0], place))
        limits.add(ax.get_xlim())
    assert len(limits) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.label_tree([("a", "b"), ("c",)], alt=ALT), "pass one length"),
        (lambda: plots.label_tree([("a", "b")], levels=["one"], alt=ALT), "1 names for 2 levels"),
        (lambda: plots.tree_mistakes(np.eye(2), PATHS, alt=ALT), "whole numbers"),
        (lambda: plots.tree_mistakes(COUNTS, PATHS, level=2, alt=ALT), "level 2 does not exist"),
        (lambda: plots.tree_mistakes(COUNTS, PATHS, names=["right"], alt=ALT), "heights 0 to 2"),
        (lambda: plots.loss_panels({"a": {"test": [1.0]}}, alt=ALT), "has split 'test'"),
        (lambda: plots.loss_panels({}, alt=ALT), "pass 1 to 3"),
        (lambda: plots.answers_by_level({}, silent=1.0, alt=ALT), "pass at least one level"),
        (lambda: plots.answers_by_level({"a": (0.5, 0.2)}, silent=0.2, alt=ALT), "the shares sum to 0.9"),
        (lambda: plots.answers_by_level({"a": (50, 20)}, silent=0.3, alt=ALT), "divide percentages"),
        (lambda: plots.way_to_last_layer(WAYS, layer="b9", alt=ALT), "'b9' is none of the layers"),
        (lambda: plots.way_to_last_layer(WAYS | {"x": {"b4": (0, 0, 0)}}, layer="b4", alt=ALT), "pass the same layers"),
        (lambda: plots.way_to_last_layer({"x": {"b4": (0.5, 0.6, 0.7)}}, layer="b4", alt=ALT), "low <= value <= high"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
