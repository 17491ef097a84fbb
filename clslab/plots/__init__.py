"""Every figure of the book: one palette, a second channel beside colour, an alt text always.

**How to call.** Data first, then keyword-only labels, then `alt`, which is required. Data are plain
numbers, arrays, and mappings whose order is the order in the figure. An estimate is a tuple
`(value, low, high)`. Rates and differences of rates go in as fractions and are drawn in per cent or
points. What is wrong with a value is said in a `ValueError` that names it. Nothing passed in is changed.

**What comes back.** A `BookFigure`, a matplotlib Figure that pyplot does not know. End the cell with the call
and it is shown once; no `plt.show()`, no semicolon. `figure.clslab_alt` holds the alt text, and so do the
metadata of the output (`metadata["image/png"]["alt"]`) and its plain-text form. The page takes its alt text from
the cell, so write the same sentence there too, on a chapter's cell that ends in a figure:

    ```{code-cell} ipython3
    ---
    mystnb:
      image:
        alt: The linear head reaches 89 % on the test set, six colour numbers reach 76 %.
    ---
    plots.score_bars(estimates, n=212, seeds=5,
                     alt="The linear head reaches 89 % on the test set, six colour numbers reach 76 %.")
    ```

An alt text says what a reader should see in the figure, with the numbers that matter, in a sentence or two.

**How it looks.** The palette is Okabe and Ito's (2008), the five of its colours that have a contrast of 3:1 or more on
white; each series has a marker, a dash and a hatch of its own as well. The background is white in the dark theme too.
A figure is 6 inches (576 CSS pixels) wide and its smallest text 11 points: 10 px tall at 390 px, 9 px with a
phone's margins. Legends stand above the axes, notes below; lettered marks explain places without covering data.

**What there is.** `bars` scores and differences, `curves` what changes along an axis, `pictures` pictures and matrices,
`diagrams` drawings from numbers, `steps` the time of a training step, `learning_rate` range tests and sweeps,
`thresholds` curves over all thresholds, `blocks` a confusion matrix of many classes, `networks` what networks cost,
`optimizers` paths to a minimum, `augmentation` policies and strengths, `errors` rare
classes, thresholds and confidences, `luck` tries that are all worth the same, `abstention` answers that are kept, and
scores in groups, `trees` labels that have relatives, `sound` waveforms and spectrograms:

    score_bars({"head": {"val": est, "test": est}}, n=212, seeds=5, chance=0.5, alt=...)
    leak_bars({"solar": est_random}, {"solar": est_grouped}, {"solar": est_difference}, n=426, seeds=5, alt=...)
    forest({"SGD → Adam": est_difference}, margin=0.01, favours=("SGD is better", "Adam is better"), alt=...)
    distribution({"seeds": scores}, x_label="accuracy (%)", percent=True, references={0.885: "the source"},
                 panels=False, alt=...)
    batch_norm_modes({"before": values, "train mode": values, "eval mode": values}, alt=...)
    parameter_bars({"head": (2_562, 3_373_570)}, alt=...)
    moved_buffers({"train mode": {"bn1.running_mean": 0.31}, "eval mode": {"bn1.running_mean": 0.0}}, alt=...)
    learning_curves({"head": {"train": [S, E], "val": [S, E]}}, accuracies, notes={7: "lr / 10"}, alt=...)
    annotated_log({"train": [E], "val": [E], "test": [E]}, accuracies, notes={5: "collapse"}, alt=...)
    size_curve({"head": {10: est, 100: est}}, chance=0.5, alt=...)
    best_of_k({"n = 200": {1: est, 10: est}}, truth=0.9, alt=...)
    tries_so_far([0.88, 0.9, 0.87], tries=2, truth=0.885, alt=...)
    interval_width({"accuracy 90 %": {100: 0.059}}, sizes={212: "debris"}, margins={0.007: "S4's gain"}, alt=...)
    probe_by_depth({"solar": {"stem": est, "head": est}}, chance={"solar": 0.5}, alt=...)
    time_and_accuracy({"head": (12.0, est)}, footnote="two CPU cores", alt=...)
    confusion(counts, ["intact", "defective"], alt=...)
    picture_grid(pictures, truth=[...], predicted=[...], confidence=[...], alt=...)      or captions=[...]
    worst_errors(pictures, truth=[...], predicted=[...], confidence=[...], count=9, alt=...)
    side_by_side({"cat 12": [original, cropped, resized]}, columns=["original", "centre crop", "resize"], alt=...)
    occlusion_map(pictures, heats, captions=["plastic, 97 %"], alt=...)
    convolution_shapes(32, [Layer("convolution", kernel=3, padding=1, channels=16)], alt=...)
    nested_subsets([10, 20, 50], groups=[4, 7, 18], alt=...)
    reliability(confidence, accuracy, counts, edges=None, alt=...)
    step_timeline({"plain loader": {"waiting": [S], "forward": [S]}}, alt=...)
    speed_ups({"background thread": (1.8, 1.7, 1.9)}, aims={"background thread": 1.5}, alt=...)
    lanes({"in turn": {"load": [(0, 4, "1")], "compute": [(4, 6, "1")]}}, alt=...)
    occupancy_log({"run A": [T]}, every=1.0, alt=...)
    lr_curves({"ResNet-9": [(lrs, smoothed)]}, points={"ResNet-9": [(lrs, losses)]}, marks={"lowest": 0.2}, alt=...)
    lr_sweep({"6 epochs": {0.05: est, 0.2: est}}, suggestions={"steepest": [0.01, 0.02]}, chance=0.01, alt=...)
    lr_position((lrs, smoothed), {0.05: est, 0.2: est}, lr=0.1, alt=...)
    roc_curves({"cat": (false_positive_rates, true_positive_rates)}, areas={"cat": 0.97}, alt=...)
    precision_recall_curves({"cat": (recalls, precisions)}, areas={"cat": 0.9}, prevalence=0.01, alt=...)
    cost_map({"residual": {"resnet18": (11_220_132, 555_468_800)}}, labels=["resnet18"], alt=...)
    confusion_blocks(counts, {"fish": [1, 32, 67]}, alt=...)
    policy_gallery({"as it is": [picture], "flip": [flipped]}, alt=...)
    strength_at_budget({"none": {10: est}, "strong": {10: est}}, budget=10, alt=...)
    bowl_paths({"SGD": [T, 2], "Adam": [T, 2]}, curvatures=(1, 20), alt=...)
    valley_step(places, losses, radius=0.3, weight=-0.9, top=-0.6, after=-1.0, alt=...)
    tail_recall([C], {"plain": [C], "resampled": [C]}, groups=(20, 100), alt=...)
    threshold_panels(false_positive_rates, true_positive_rates, precisions, prevalence=0.05, alt=...)
    ranking_and_reliability({"cat": 0.7, "dog": 0.2}, confidence, accuracy, counts=counts, alt=...)
    stated_against_true({"γ = 2": (true, stated)}, highlight="γ = 2", alt=...)
    dot_rows({"fish": {"probability": 0.9, "distance": 0.6}}, x_label="area (%)", reference=0.5, alt=...)
    risk_coverage({"validation": (coverage, risk)}, marks={"validation": (0.8, 0.01)}, allowed=0.01, alt=...)
    interval_rows({"the source": {"SGD": est, "Adam": est}, "here": {"SGD": est, "Adam": est}}, alt=...)
    label_tree([("fish", "ray"), ("fish", "shark")], levels=["order", "species"], alt=...)
    tree_mistakes(counts, [("fish", "ray"), ("fish", "shark")], level=0, alt=...)
    loss_panels({"flat": {"train": [S, E]}, "fixed": {"stage one, coarse labels": [S, E], "train": [S, E]}}, alt=...)
    answers_by_level({"species": (0.5, 0.1), "family": (0.2, 0.1)}, silent=0.1, alt=...)
    way_to_last_layer({"class": {"stem": est, "head": est}}, layer="stem", alt=...)
    waveforms({"a tone": [T], "two clicks": [T]}, rate=22_050, alt=...)
    spectra({"Hann": (hertz, decibels)}, marks={1000: "the tone"}, alt=...)
    filter_bank([M, F], hertz, alt=...)
    spectrograms({"256 samples": [F, frames], "4,096 samples": [F, frames]}, hertz, seconds=3.0, span=60, alt=...)
    window_trade([F, frames], (hertz, decibels), (ms, decibels), tones=[2000, 2050], clicks=[0, 20], hertz=(1700, 2400),
                 seconds=(0, 1), titles=("two tones", "one click"), alt=...)
    lively_windows(seconds, decibels, [(3.0, 6.0)], alt=...)

>>> from clslab import plots
>>> figure = plots.score_bars({"linear head": {"test": (0.89, 0.85, 0.92)}}, n=212, seeds=5,
...                           alt="The linear head reaches 89 % on the test set.")
>>> figure
<Figure: The linear head reaches 89 % on the test set.>
"""

from clslab.plots.abstention import interval_rows, risk_coverage
from clslab.plots.augmentation import policy_gallery, strength_at_budget
from clslab.plots.bars import (
    batch_norm_modes,
    distribution,
    forest,
    leak_bars,
    moved_buffers,
    parameter_bars,
    score_bars,
)
from clslab.plots.blocks import confusion_blocks
from clslab.plots.curves import (
    annotated_log,
    best_of_k,
    interval_width,
    learning_curves,
    probe_by_depth,
    size_curve,
    time_and_accuracy,
)
from clslab.plots.diagrams import Layer, convolution_shapes, nested_subsets, reliability
from clslab.plots.errors import (
    dot_rows,
    ranking_and_reliability,
    stated_against_true,
    tail_recall,
    threshold_panels,
)
from clslab.plots.learning_rate import lr_curves, lr_position, lr_sweep
from clslab.plots.luck import tries_so_far
from clslab.plots.networks import cost_map
from clslab.plots.optimizers import bowl_paths, valley_step
from clslab.plots.pictures import (
    confusion,
    occlusion_map,
    picture_grid,
    side_by_side,
    worst_errors,
)
from clslab.plots.sound import (
    filter_bank,
    lively_windows,
    spectra,
    spectrograms,
    waveforms,
    window_trade,
)
from clslab.plots.steps import lanes, occupancy_log, speed_ups, step_timeline
from clslab.plots.style import PALETTE, BookFigure
from clslab.plots.thresholds import precision_recall_curves, roc_curves
from clslab.plots.trees import answers_by_level, label_tree, loss_panels, tree_mistakes, way_to_last_layer

__all__ = [
    "PALETTE",
    "BookFigure",
    "Layer",
    "annotated_log",
    "answers_by_level",
    "batch_norm_modes",
    "best_of_k",
    "bowl_paths",
    "confusion",
    "confusion_blocks",
    "convolution_shapes",
    "cost_map",
    "distribution",
    "dot_rows",
    "filter_bank",
    "forest",
    "interval_rows",
    "interval_width",
    "label_tree",
    "lanes",
    "leak_bars",
    "learning_curves",
    "lively_windows",
    "loss_panels",
    "lr_curves",
    "lr_position",
    "lr_sweep",
    "moved_buffers",
    "nested_subsets",
    "occlusion_map",
    "occupancy_log",
    "parameter_bars",
    "picture_grid",
    "policy_gallery",
    "precision_recall_curves",
    "probe_by_depth",
    "ranking_and_reliability",
    "reliability",
    "risk_coverage",
    "roc_curves",
    "score_bars",
    "side_by_side",
    "size_curve",
    "spectra",
    "spectrograms",
    "speed_ups",
    "stated_against_true",
    "step_timeline",
    "strength_at_budget",
    "tail_recall",
    "threshold_panels",
    "time_and_accuracy",
    "tree_mistakes",
    "tries_so_far",
    "valley_step",
    "waveforms",
    "way_to_last_layer",
    "window_trade",
    "worst_errors",
]
