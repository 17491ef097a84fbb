"""Figures of augmentation: each policy keeps its row, and the frames of a slider can be compared."""

from __future__ import annotations

import numpy as np
import pytest

from clslab import plots

SCORES = {
    "none": {10: (0.30, 0.28, 0.32), 100: (0.31, 0.29, 0.33)},
    "shift and flip": {10: (0.28, 0.26, 0.30), 100: (0.42, 0.40, 0.44)},
    "strong": {10: (0.20, 0.18, 0.22), 100: (0.45, 0.43, 0.47), 400: (0.50, 0.48, 0.52)},
}


def line(figure, colour):
    """Places and values of the line of one colour."""
    (found,) = [one for one in figure.axes[0].lines if one.get_color() == colour and one.get_linestyle() == "-"]
    return list(found.get_xdata()), np.round(found.get_ydata(), 6).tolist()


def ring(figure):
    """Where the ring is."""
    (found,) = [one for one in figure.axes[0].lines if one.get_markerfacecolor() == "none"]
    return found.get_xdata()[0], round(found.get_ydata()[0], 6)


@pytest.mark.parametrize(
    ("budget", "places", "values", "best"),
    [
        (10, [0, 1, 2], [30, 28, 20], (0, 30)),
        (100, [0, 1, 2], [31, 42, 45], (2, 45)),
        (400, [2], [50], (2, 50)),
    ],
)
def test_the_chosen_budget_is_drawn_and_its_highest_ringed(budget, places, values, best):
    figure = plots.strength_at_budget(SCORES, budget=budget, alt="Accuracy against strength.")
    assert line(figure, plots.PALETTE[0]) == (places, values)
    assert ring(figure) == best


def test_all_frames_have_the_same_axes():
    figures = [
        plots.strength_at_budget(SCORES, budget=budget, alt="Accuracy against strength.") for budget in (10, 100, 400)
    ]
    limits = {(figure.axes[0].get_xlim(), figure.axes[0].get_ylim()) for figure in figures}
    assert len(limits) == 1
    low, high = figures[0].axes[0].get_ylim()
    assert low < 18
    assert high > 52


def extents(figure):
    """Left, right, bottom and top of every picture, in inches, with its first value."""
    return [(image.get_extent(), float(np.ravel(image.get_array())[0])) for image in figure.axes[0].images]


def test_a_gallery_shows_every_picture_in_its_row():
    grey = {f"policy {row}": [np.full((4, 4), (3 * row + column) / 10) for column in range(3)] for row in range(3)}
    figure = plots.policy_gallery(grey, alt="Nine grey squares.")
    in_reading_order = sorted(extents(figure), key=lambda one: (-round(one[0][3], 3), one[0][0]))
    np.testing.assert_allclose([value for _, value in in_reading_order], np.arange(9) / 10)
    names = [text.get_text() for text in sorted(figure.axes[0].texts, key=lambda text: -text.get_position()[1])]
    assert names == list(grey)
    for text, row in zip(names, range(3), strict=True):
        (place,) = [one.get_position() for one in figure.axes[0].texts if one.get_text() == text]
        left, _, bottom, top = in_reading_order[3 * row][0]
        assert bottom < place[1] < top
        assert place[0] < left


def test_pictures_of_a_gallery_do_not_overlap_or_leave_it():
    figure = plots.policy_gallery({name: [np.zeros((8, 8, 3))] * 8 for name in "ab"}, alt="Sixteen black squares.")
    boxes = sorted(box for box, _ in extents(figure))
    assert boxes[0][0] > 1
    assert boxes[-1][1] <= figure.get_figwidth()
    rights = [left[1] for left, right in zip(boxes, boxes[2:], strict=False) if left[1] > right[0]]
    assert rights == []


def test_tall_pictures_get_tall_rows():
    tall, wide = np.zeros((8, 4)), np.ones((4, 4))
    figure = plots.policy_gallery({"tall": [tall, tall], "wide": [wide, wide]}, alt="Two tall pictures, two wide.")
    heights = {value: box[3] - box[2] for box, value in extents(figure)}
    assert heights[0] == pytest.approx(2 * heights[1], rel=0.05)
    lowest_tall = min(box[2] for box, value in extents(figure) if value == 0)
    assert max(box[3] for box, _ in extents(figure)) <= figure.get_figheight()
    assert max(box[3] for box, value in extents(figure) if value == 1) <= lowest_tall
