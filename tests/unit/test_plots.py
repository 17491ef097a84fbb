"""Every public figure function, from one register of examples: how it looks and what it refuses."""

from __future__ import annotations

import copy
import doctest
import importlib
import inspect
import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.text import Text

from clslab import plots
from clslab.data.cifar100 import SUPERCLASSES
from clslab.plots import diagrams, style
from clslab.plots.style import DPI, GREY, INK, PALE, PALETTE, RULE, WHITE, WIDTH

Example = tuple[tuple[Any, ...], dict[str, Any]]
ALT = "What the figure shows, in one sentence."
PHONE = 390  # CSS pixels across a phone
MARGIN = 16  # CSS pixels that a page leaves at each side
LEAST_TEXT = 9.0  # CSS pixels


def drawn_picture(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    """A disc of one colour on a gradient, uint8 [H, W, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    shade = 0.35 + 0.4 * (x / width)[..., None] * rng.uniform(0.5, 1, 3)
    centre = rng.uniform(0.35, 0.65, 2) * (height, width)
    inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < (0.25 * min(height, width)) ** 2
    picture = np.where(inside[..., None], rng.uniform(0, 1, 3), shade)
    noise = rng.normal(0, 0.03, picture.shape)
    return (255 * np.clip(picture + noise, 0, 1)).astype(np.uint8)


def around(value: float, half: float) -> tuple[float, float, float]:
    return value, max(0.0, value - half), min(1.0, value + half)


def falling(start: float, end: float, epochs: int, seed: int, noise: float = 0.02) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return end + (start - end) * np.exp(-np.arange(epochs) / 4) + rng.normal(0, noise, epochs)


S4 = {
    "train": ([0.5825, 0.5767, 0.5955, 0.5804, 0.5861, 0.6172, 0.6108, 0.4601, 0.4466, 0.4320],
              [0.7469, 0.7627, 0.7631, 0.7671, 0.7681, 0.7598, 0.7581, 0.8027, 0.8002, 0.8059]),
    "val": ([0.3196, 0.4760, 0.3651, 0.3384, 0.3921, 1.0636, 0.6338, 0.3158, 0.3944, 0.3080],
            [0.8824, 0.8626, 0.8597, 0.8824, 0.8824, 0.6927, 0.8014, 0.8854, 0.8439, 0.8923]),
    "test": ([0.3056, 0.4525, 0.3174, 0.2855, 0.3655, 1.0862, 0.6197, 0.2824, 0.3604, 0.2920],
             [0.8883, 0.8755, 0.8715, 0.8874, 0.8834, 0.7026, 0.7955, 0.8903, 0.8508, 0.8903]),
}  # fmt: skip


BIRDS = [
    ("Fringillidae", "Spinus", "Spinus psaltria"),
    ("Parulidae", "Leiothlypis", "Leiothlypis celata"),
    ("Parulidae", "Setophaga", "Setophaga coronata"),
    ("Parulidae", "Setophaga", "Setophaga townsendi"),
    ("Passerellidae", "Zonotrichia", "Zonotrichia leucophrys"),
    ("Tyrannidae", "Sayornis", "Sayornis nigricans"),
]


def examples() -> dict[str, Example]:
    """One plausible call of every public figure function, near the size that the chapters use."""
    rng = np.random.default_rng(0)
    bird_pictures = [drawn_picture(i) for i in range(12)]
    materials = ["plastic", "wood", "glass", "metal", "foam", "paper"]
    truth = [materials[i % 6] for i in range(12)]
    predicted = [materials[(i * 7 + (i % 3 > 0)) % 6] for i in range(12)]
    confidence = np.linspace(0.99, 0.51, 12)
    grid = [16, 32, 64, 128, 212, 500, 1012, 2000, 5000, 10000]
    layers = ["stem", "block 1", "block 2", "block 3", "block 4", "block 5", "head"]
    counts = [[112, 9, 4, 2, 1, 0], [12, 80, 0, 3, 3, 1], [3, 1, 61, 7, 0, 0],
              [0, 5, 9, 44, 2, 1], [1, 0, 0, 2, 38, 6], [0, 2, 1, 0, 8, 29]]  # fmt: skip
    sizes = [5, 10, 20, 50, 100, 200]
    over = np.linspace(0, 1, 2001)
    rates = np.geomspace(1e-4, 10, 60)
    range_test = 4.6 - 0.5 / (1 + np.exp(-3 * (np.log10(rates) + 2))) + np.exp(4 * (np.log10(rates) - 0.9))
    heat = np.exp(-((np.mgrid[:9, :9] - 4.0) ** 2).sum(0) / 6) * 0.6
    buffers = [f"block {b}, {k}" for b in range(1, 6) for k in ("running mean", "running variance")]
    return {
        "score_bars": (
            ({"linear head on borrowed features": {"validation": around(0.905, 0.03),
                                                   "test": around(0.892, 0.021)},
              "six colour numbers": {"validation": around(0.772, 0.04), "test": around(0.76, 0.031)},
              "majority class": {"validation": around(0.66, 0.045), "test": around(0.66, 0.034)}},),
            {"n": {"validation": 212, "test": 426}, "seeds": 5, "chance": 0.5, "alt": ALT},
        ),
        "leak_bars": (
            ({"debris": around(0.894, 0.03), "solar": around(0.795, 0.025),
              "birds, ten genera": around(0.64, 0.05)},
             {"debris": around(0.887, 0.03), "solar": around(0.713, 0.028),
              "birds, ten genera": around(0.54, 0.06)},
             {"debris": (0.007, -0.022, 0.036), "solar": (0.082, 0.05, 0.114),
              "birds, ten genera": (0.10, 0.03, 0.17)}),
            {"n": 426, "seeds": 5, "alt": ALT},
        ),
        "forest": (
            ({"S4: fixed → fine-tuned": (0.007, -0.0195, 0.0335),
              "S3: lr .0010 → .0012": (0.0035, -0.008, 0.015),
              "S3: SGD → Adam": (0.02, 0.0107, 0.0293),
              "S2: plain → AutoAugment": (0.025, 0.0136, 0.0364)},),
            {"margin": 0.01, "favours": ("the first is better", "the second is better"),
             "footnote": "95 % intervals, unpaired", "alt": ALT},
        ),
        "distribution": (
            ({"seeds": rng.normal(0.889, 0.004, 200), "seeds and resamples":
              rng.normal(0.888, 0.016, 200)},),
            {"x_label": "accuracy (%)", "percent": True, "alt": ALT,
             "references": {0.885: "S4, fixed", 0.892: "S4, fine-tuned", 0.93: "our best of 200"}},
        ),
        "batch_norm_modes": (
            ({"before batch norm": rng.normal(3.0, 2.0, 512), "after, train mode":
              rng.normal(0.0, 1.0, 512), "after, eval mode": rng.normal(0.9, 1.6, 512)},),
            {"alt": ALT},
        ),
        "parameter_bars": (
            ({"head": (2_562, 3_373_570), "last block and head": (717_122, 3_373_570),
              "all": (3_373_570, 3_373_570), "from scratch (small CNN)": (98_000, 98_000)},),
            {"alt": ALT},
        ),
        "moved_buffers": (
            ({"train mode": dict(zip(buffers, rng.uniform(0.05, 0.9, 10), strict=True)),
              "eval mode": dict.fromkeys(buffers, 0.0)},),
            {"alt": ALT},
        ),
        "learning_curves": (
            ({"fine-tuned": {"train": [falling(0.8, 0.05, 20, s) for s in range(3)],
                             "val": [falling(0.7, 0.30, 20, s) for s in range(3, 6)]},
              "head only": {"train": [falling(0.9, 0.32, 20, s) for s in range(6, 9)],
                            "val": [falling(0.9, 0.38, n, n) for n in (20, 18, 15)]}},
             {"fine-tuned": {"train": [1 - falling(0.4, 0.02, 20, s, 0.006) for s in range(3)],
                             "val": [1 - falling(0.4, 0.10, 20, s, 0.006) for s in range(3, 6)]},
              "head only": {"train": [1 - falling(0.5, 0.11, 20, s, 0.006) for s in range(6, 9)],
                            "val": [1 - falling(0.5, 0.14, n, n, 0.006) for n in (20, 18, 15)]}}),
            {"notes": {7: "learning rate divided by ten", 15: "first seed stops"}, "alt": ALT},
        ),
        "annotated_log": (
            ({k: v[0] for k, v in S4.items()}, {k: v[1] for k, v in S4.items()}),
            {"notes": {1: "training stays 10 points under validation: augmentation, and batch norm "
                          "statistics that move",
                       5: "collapse on validation and test alike, not on training",
                       7: "learning rate divided by ten"},
             "footnote": "n = 1,012 validation images; one run", "alt": ALT},
        ),
        "size_curve": (
            ({name: {s: around(top - (0.3 + 0.1 * i) * 4 / (s + 5), 0.18 / math.sqrt(s / 2))
                     for s in sizes}
              for i, (name, top) in enumerate([("head", 0.885), ("all layers", 0.9),
                                               ("from scratch", 0.72)])},),
            {"chance": 0.5, "alt": ALT},
        ),
        "best_of_k": (
            ({f"n = {n}": {k: (0.9 + d * math.sqrt(math.log(k)), 0.9 + d * math.sqrt(math.log(k)) - d,
                               0.9 + d * math.sqrt(math.log(k)) + d)
                           for k in (1, 2, 3, 5, 10, 20, 50, 100, 200)}
              for n, d in ((200, 0.021), (1012, 0.0094), (10000, 0.003))},),
            {"truth": 0.9, "alt": ALT},
        ),
        "interval_width": (
            ({f"accuracy {p:.0%}": {n: 1.96 * math.sqrt(p * (1 - p) / n) for n in grid}
              for p in (0.7, 0.9, 0.97)},),
            {"sizes": {212: "debris, test", 1012: "S4, validation", 1200: "a course set",
                       2000: "S3, validation", 10000: "CIFAR-100, test"},
             "margins": {0.007: "0.7 points, S4's gain", 0.02: "2 points, S3's gain of Adam"},
             "alt": ALT},
        ),
        "probe_by_depth": (
            ({"debris": {k: around(0.7 + 0.19 * i / 6, 0.03) for i, k in enumerate(layers)},
              "solar": {k: around(0.6 + 0.09 * min(i, 4) / 4, 0.03) for i, k in enumerate(layers)},
              "CIFAR-100": {k: around(0.07 + 0.49 * i / 6, 0.015) for i, k in enumerate(layers)}},),
            {"chance": {"debris": 0.25, "solar": 0.5, "CIFAR-100": 0.01}, "alt": ALT},
        ),
        "time_and_accuracy": (
            ({"majority": (0.4, around(0.66, 0.04)), "colour numbers": (1.1, around(0.76, 0.035)),
              "head": (11.0, around(0.885, 0.03)), "last block": (35.0, around(0.893, 0.03)),
              "all layers": (140.0, around(0.9, 0.028)), "LP-FT": (155.0, around(0.905, 0.027)),
              "from scratch": (130.0, around(0.71, 0.04))},),
            {"footnote": "whiskers: 95 % interval; two CPU cores", "alt": ALT},
        ),
        "confusion": ((counts, materials), {"alt": ALT}),
        "picture_grid": (
            (bird_pictures[:6],),
            {"truth": truth[:6], "predicted": predicted[:6], "confidence": confidence[:6],
             "alt": ALT},
        ),
        "worst_errors": (
            (bird_pictures,),
            {"truth": truth, "predicted": predicted, "confidence": confidence, "count": 6,
             "alt": ALT},
        ),
        "side_by_side": (
            ({f"cat {i}": [drawn_picture(i, 75, 100), drawn_picture(i, 75, 100)[9:66, 21:78],
                           drawn_picture(i, 64, 64)] for i in range(2)},),
            {"columns": ["original", "centre crop", "resize"], "alt": ALT},
        ),
        "occlusion_map": (
            (bird_pictures[:2], [heat - 0.05, -heat / 3]),
            {"captions": ["plastic, 97 %", "wood, 61 %"], "alt": ALT},
        ),
        "convolution_shapes": (
            (32, [plots.Layer("convolution", kernel=3, padding=1, channels=16),
                  plots.Layer("max-pooling", kernel=2, stride=2),
                  plots.Layer("convolution", kernel=3, stride=2, padding=1, channels=32),
                  plots.Layer("average pooling", kernel=8)]),
            {"alt": ALT},
        ),
        "cost_map": (
            ({"residual": {"resnet9": (6.6e6, 3.8e8), "resnet18": (1.12e7, 5.6e8), "resnet50": (2.4e7, 1.3e9),
                           "resnet101": (4.3e7, 2.5e9), "wrn28_10": (3.65e7, 5.2e9)},
              "cheap convolutions": {"mobilenet": (3.3e6, 1.8e8), "mobilenetv2": (2.4e6, 8.8e7),
                                     "shufflenet": (1.0e6, 4.3e7), "xception": (2.1e7, 1.4e9)},
              "transformers": {"vit_tiny": (5.4e6, 3.7e8)}},),
            {"labels": ["resnet9", "wrn28_10", "shufflenet", "mobilenetv2", "vit_tiny"],
             "footnote": "at 100 classes and 32 by 32 pixels", "alt": ALT},
        ),
        "policy_gallery": (
            (dict.fromkeys(("as it is", "crop and resize", "TrivialAugment", "erasing"), bird_pictures[:5]),),
            {"alt": ALT},
        ),
        "strength_at_budget": (
            ({"none": {25: around(0.3, 0.02), 100: around(0.31, 0.02)},
              "shift and flip": {25: around(0.33, 0.02), 100: around(0.42, 0.02)},
              "strong": {25: around(0.25, 0.02), 100: around(0.43, 0.02), 400: around(0.48, 0.02)}},),
            {"budget": 100, "alt": ALT},
        ),
        "bowl_paths": (
            ({"SGD": [(-3 * 0.95 ** t, (-0.9) ** t) for t in range(30)],
              "momentum 0.9": [(-3 * 0.8 ** t * math.cos(0.3 * t), 0.8 ** t * math.cos(t)) for t in range(30)],
              "RMSprop": [(-3 + 0.1 * t, max(0.0, 1 - 0.1 * t)) for t in range(30)],
              "goes astray": [(-3.0, (-1.5) ** t) for t in range(30)]},),
            {"curvatures": (1, 20), "footnote": "30 steps at learning rate 0.095", "alt": ALT},
        ),
        "valley_step": (
            (np.linspace(-4, 4, 401), 0.1 * np.linspace(-4, 4, 401) ** 2 + np.cos(2 * np.linspace(-4, 4, 401))),
            {"radius": 0.6, "weight": -2.4, "top": -3.0, "after": -2.2, "footnote": "the step goes right", "alt": ALT},
        ),
        "nested_subsets": ((sizes,), {"groups": [3, 5, 9, 21, 40, 77], "alt": ALT}),
        "reliability": (
            (np.linspace(0.55, 0.97, 8), [around(a, 0.08) for a in np.linspace(0.5, 0.93, 8)],
             [6, 9, 12, 14, 20, 31, 52, 282]),
            {"edges": np.linspace(0.5, 1.0, 9), "alt": ALT},
        ),
        "step_timeline": (
            ({name: {part: rng.uniform(0.6, 1.4, 15) * mean for part, mean in
                     (("waiting", wait), ("copying", 0.001), ("forward", 0.03), ("backward", 0.06), ("step", 0.004))}
              for name, wait in (("plain loader", 0.08), ("background thread", 0.002), ("two workers", 0.01))},),
            {"footnote": "64 pictures a step; simulated wait", "alt": ALT},
        ),
        "speed_ups": (
            ({"background thread, loading waits": (1.82, 1.74, 1.9), "prefetcher": (1.01, 0.98, 1.04),
              "two workers": (1.75, 1.6, 1.83), "batches from memory": (14.2, 12.0, 15.1)},),
            {"aims": {"two workers": 1.5}, "footnote": "two cores", "alt": ALT},
        ),
        "lanes": (
            ({name: {"loader": [(8 * i, 4, str(i + 1)) for i in range(4)],
                     "copies": [(8 * i + 4, 0.5, str(i + 1)) for i in range(4)],
                     "model": [(8 * i + 4.5, 3.5, str(i + 1)) for i in range(4)]}
              for name in ("one after the other", "background thread", "thread and prefetcher")},),
            {"footnote": "constructed, not measured", "alt": ALT},
        ),
        "occupancy_log": (
            ({f"run {letter}": rng.uniform(0.1, 1.0, 60) for letter in "ABC"},), {"every": 0.5, "alt": ALT},
        ),
        "lr_curves": (
            ({"ResNet-9 of width 16": [(rates, range_test + 0.03 * rng.normal(size=60)) for _ in range(5)],
              "the same, after two epochs": [(rates, range_test - 0.4)]},),
            {"points": {"ResNet-9 of width 16": [(rates, range_test + rng.normal(size=60)) for _ in range(5)]},
             "marks": {"steepest": 0.0086, "valley": 0.011, "minimum/10": 0.02, "minimum": 0.2}, "alt": ALT},
        ),
        "lr_sweep": (
            ({"no warm-up": {0.003 * 4 ** i: around(value, 0.02) for i, value in
                             enumerate((0.06, 0.14, 0.25, 0.31, 0.3, 0.22, 0.02))},
              "one epoch of warm-up": {3.072: around(0.27, 0.02), 12.288: around(0.15, 0.02)}},),
            {"suggestions": {"steepest": [0.006, 0.01, 0.02], "valley": [0.01, 0.011, 0.012],
                             "minimum/10": [0.02, 0.03, 0.018], "minimum": [0.2, 0.3, 0.18]},
             "chance": 0.01, "alt": ALT},
        ),
        "lr_position": (
            ((rates, range_test), {0.003 * 4 ** i: around(value, 0.02) for i, value in
                                   enumerate((0.06, 0.14, 0.25, 0.31, 0.3, 0.22, 0.02))}),
            {"lr": 0.32, "footnote": "five seeds", "alt": ALT},
        ),
        "roc_curves": (
            ({kind: (over, over ** power) for kind, power in
              (("all decisions", 0.05), ("best: wardrobe", 0.01), ("middle: bicycle", 0.1), ("last: boy", 0.3))},),
            {"areas": {"all decisions": 0.95, "best: wardrobe": 0.99, "middle: bicycle": 0.91, "last: boy": 0.77},
             "footnote": "one class against the 99 others", "alt": ALT},
        ),
        "precision_recall_curves": (
            ({kind: (over[::-1], 1 - over[::-1] ** power) for kind, power in
              (("all decisions", 4), ("best: wardrobe", 20), ("middle: bicycle", 3), ("last: boy", 0.5))},),
            {"areas": {"all decisions": 0.8, "best: wardrobe": 0.95, "middle: bicycle": 0.75, "last: boy": 0.33},
             "prevalence": 0.01, "alt": ALT},
        ),
        "tail_recall": (
            (np.geomspace(225, 2, 100), {name: np.linspace(0.3, 0.3 - 0.09 * place, 100) for place, name in
                                         enumerate(("even", "tail, plain", "tail, adjusted", "tail, resampled"))}),
            {"groups": (9, 45), "footnote": "live, one seed", "alt": ALT},
        ),
        "threshold_panels": (
            (over, over ** 0.1, 0.01 * over ** 0.1 / np.maximum(0.01 * over ** 0.1 + 0.99 * over, 1e-9)),
            {"prevalence": 0.01, "footnote": "people against the rest; area 0.909 throughout", "alt": ALT},
        ),
        "ranking_and_reliability": (
            ({"maple_tree": 0.62, "oak_tree": 0.2, "large_man-made_outdoor_things": 0.1, "sea": 0.05, "bus": 0.01},
             np.linspace(0.05, 0.95, 10), np.linspace(0.03, 0.6, 10)),
            {"counts": [0, 50, 200, 400, 300, 200, 100, 80, 60, 40], "footnote": "T = 1", "alt": ALT},
        ),
        "stated_against_true": (
            ({f"γ = {gamma}": (over, over ** (1 + 0.1 * gamma)) for gamma in (0, 1, 2, 5)},),
            {"highlight": "γ = 2", "footnote": "two classes", "alt": ALT},
        ),
        "dot_rows": (
            ({name: {"probability": 0.9 - 0.01 * place, "distance in features": 0.7, "distance in pixels": 0.45}
              for place, name in enumerate(SUPERCLASSES)},),
            {"x_label": "area under the ROC curve (%)", "reference": 0.5, "footnote": "one seed", "alt": ALT},
        ),
        "risk_coverage": (
            ({name: (over[1:], high * over[1:] ** 3) for name, high in (("as it is", 0.02), ("blurred", 0.09),
                                                                       ("JPEG, quality 10", 0.05))},),
            {"marks": {"as it is": (0.9, 0.015), "blurred": (0.7, 0.031)}, "allowed": 0.01,
             "footnote": "live, one seed", "alt": ALT},
        ),
        "interval_rows": (
            ({"the homework: VGG16, n = 2,000": {"learning rate 0.001": around(0.9645, 0.008),
                                                 "learning rate 0.00115": around(0.957, 0.009),
                                                 "Adam at SGD's rate": around(0.988, 0.005)},
              "here: EfficientNet-Lite0, n = 400": {"learning rate 0.001": around(0.9, 0.03),
                                                    "Adam at SGD's rate": around(0.97, 0.02)}},),
            {"footnote": "whiskers: 95 % interval", "alt": ALT},
        ),
        "waveforms": (
            ({"a tone of 440 Hz": np.sin(over[:400] * 800), "two clicks, and silence": over[:400] > 0.15},),
            {"rate": 8000, "footnote": "made by calculation", "alt": ALT},
        ),
        "spectra": (
            ({"cut off sharply": (4000 * over, -40 * np.abs(over - 0.25)), "faded in and out": (4000 * over, -300 *
              np.abs(over - 0.25))},),
            {"marks": {1000: "the first tone", 1400: "the second tone, a hundred times weaker"}, "bottom": -80,
             "alt": ALT},
        ),
        "filter_bank": (
            (np.maximum(0, 1 - np.abs(np.linspace(0, 20, 201) - np.arange(1, 20)[:, None])),
             np.linspace(0, 11_025, 201)),
            {"footnote": "19 bands", "alt": ALT},
        ),
        "spectrograms": (
            ({name: rng.normal(-50, 15, (64, 120)) for name in ("256 samples", "1,024 samples", "4,096 samples")},
             np.geomspace(300, 10_500, 64)),
            {"seconds": 3.0, "span": 60, "spans": [(1.0, 1.5)], "footnote": "one song", "alt": ALT},
        ),
        "window_trade": (
            (rng.normal(-30, 10, (40, 60)), (np.linspace(1800, 2250, 200), -40 * over[:200] * 9),
             (np.linspace(-40, 60, 200), -40 * over[:200] * 9)),
            {"tones": [2000, 2050], "clicks": [0, 20], "hertz": (1500, 2600), "seconds": (0, 1.2), "footnote": "Hann",
             "titles": ("tones: 2 peaks", "clicks: 1 peak"), "alt": ALT},
        ),
        "lively_windows": (
            (12 * over, 10 * np.abs(np.sin(20 * over)), [(3.0, 6.0), (8.0, 11.0)]),
            {"footnote": "a recording of 12 s", "alt": ALT},
        ),
        "confusion_blocks": (
            (rng.poisson(0.05, (100, 100)) + 70 * np.eye(100),
             {name: range(5 * place, 5 * place + 5) for place, name in enumerate(SUPERCLASSES)}),
            {"alt": ALT},
        ),
        "label_tree": ((BIRDS,), {"levels": ["family", "genus", "species"], "alt": ALT}),
        "tree_mistakes": (
            (rng.poisson(0.4, (100, 100)) + 60 * np.eye(100),
             [(above, f"{above} {number}") for above in SUPERCLASSES for number in range(5)]),
            {"level": 0, "names": ["right", "wrong, same superclass", "other superclass"], "alt": ALT},
        ),
        "loss_panels": (
            ({"flat": {"train": [falling(4.3, 1.2, 60, seed) for seed in range(3)]},
              "two stages, updated": {"stage one, coarse labels": [falling(2.8, 2.0, 20, seed) for seed in range(3)],
                                      "train": [falling(4.2, 1.4, 40, seed) for seed in range(3)]},
              "two stages, fixed": {"stage one, coarse labels": [falling(2.8, 2.0, 20, 4)],
                                    "train": [falling(4.2, 1.9, 40, 5)]}},),
            {"footnote": "recorded; thin lines: single seeds", "alt": ALT},
        ),
        "answers_by_level": (
            ({"species": (0.449, 0.151), "genus": (0.003, 0.005), "family": (0.088, 0.07)},),
            {"silent": 0.234, "alt": ALT,
             "footnote": "recorded, flat, 5 seeds; sure from 0.60; of the species 75 % right"},
        ),
        "way_to_last_layer": (
            ({question: {layer: (way + lead, way + lead - 0.08, way + lead + 0.08)
                         for layer, way in (("stem", 0.05), ("b2", 0.2), ("b4", 0.6), ("head", 1.0))}
              for question, lead in (("class", 0.0), ("superclass", 0.1), ("random group", 0.03))},),
            {"layer": "b4", "footnote": "superclass ahead of class by +10, random group by +7", "alt": ALT},
        ),
        "tries_so_far": (
            (rng.binomial(1012, 0.885, 50) / 1012,),
            {"tries": 20, "truth": 0.885, "x_label": "epoch", "alt": ALT,
             "footnote": "reported 90.3 %: +1.8 points, on average +1.8"},
        ),
    }  # fmt: skip


EXAMPLES = examples()
WITHOUT_AXES = {"picture_grid", "worst_errors", "side_by_side", "occlusion_map", "convolution_shapes",
                "policy_gallery", "label_tree"}  # pictures and drawings: no quantity along an axis  # fmt: skip


def figure_functions() -> dict[str, Callable[..., plots.BookFigure]]:
    public = {name: getattr(plots, name) for name in plots.__all__}
    return {name: f for name, f in public.items() if inspect.isfunction(f)}


@pytest.fixture(params=sorted(EXAMPLES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


class DrawnFigure(NamedTuple):
    before: Example  # a copy of what was passed in
    figure: plots.BookFigure
    texts: list[Text]


@pytest.fixture(scope="module")
def drawn() -> Callable[[str], DrawnFigure]:
    """Each example drawn once, with the texts that were really painted (ticks in view, axes that are on)."""
    made: dict[str, DrawnFigure] = {}

    def draw(name: str) -> DrawnFigure:
        if name not in made:
            positional, keywords = EXAMPLES[name]
            before = copy.deepcopy(EXAMPLES[name])
            figure = figure_functions()[name](*positional, **keywords)
            made[name] = DrawnFigure(before, figure, painted_texts(figure))
        return made[name]

    return draw


def painted_texts(figure: Figure) -> list[Text]:
    texts: list[Text] = []
    paint = Text.draw

    def paint_and_note(self: Text, *arguments: Any, **keywords: Any) -> None:
        if self.get_visible() and self.get_text().strip() and self not in texts:
            texts.append(self)
        paint(self, *arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", paint_and_note)
        figure.canvas.draw()
    assert texts
    return texts


def boxes(texts: list[Text]) -> list[tuple[str, Any]]:
    return [(t.get_text(), t.get_window_extent()) for t in texts]


def overlap(a: Any, b: Any) -> float:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return min(width, height)


def test_every_public_figure_has_an_example() -> None:
    assert set(EXAMPLES) == set(figure_functions())


def test_every_signature_is_data_first_and_alt_is_required_by_keyword(name: str) -> None:
    parameters = inspect.signature(figure_functions()[name]).parameters
    alt = parameters["alt"]
    assert alt.kind is inspect.Parameter.KEYWORD_ONLY
    assert alt.default is inspect.Parameter.empty
    positional = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert 1 <= len(positional) <= 3


def test_returns_a_figure_of_the_standard_width_with_its_alt(name: str, drawn: Callable[[str], DrawnFigure]) -> None:
    figure = drawn(name).figure
    assert isinstance(figure, Figure)
    assert figure.clslab_alt == ALT
    assert figure.get_figwidth() == WIDTH
    assert to_hex(figure.get_facecolor()).upper() == WHITE
    assert mpl._pylab_helpers.Gcf.get_all_fig_managers() == []  # unknown to pyplot: not shown twice


@pytest.mark.parametrize("alt", ["", "  \n", None])
def test_an_empty_alt_is_refused(name: str, alt: str | None) -> None:
    positional, keywords = EXAMPLES[name]
    with pytest.raises(ValueError, match="alt is"):
        figure_functions()[name](*positional, **{**keywords, "alt": alt})


def test_axes_say_what_they_show(name: str, drawn: Callable[[str], DrawnFigure]) -> None:
    if name in WITHOUT_AXES:
        return
    figure = drawn(name).figure
    shown = [ax for ax in figure.axes if ax.axison]
    assert shown
    assert any(ax.get_xlabel() for ax in shown)
    for ax in shown:
        ticked = [t for t in ax.get_yticklabels() if t.get_text() and t.get_visible()]
        named = any(not _is_number(t.get_text()) for t in ticked)
        assert ax.get_ylabel() or named or not ticked or shares_y(ax)


def shares_y(ax: Axes) -> bool:
    return len(ax.get_shared_y_axes().get_siblings(ax)) > 1


def _is_number(text: str) -> bool:
    return text.replace("−", "-").replace(",", "").replace(".", "").lstrip("-").isdigit()


def test_text_is_readable_on_a_phone(name: str, drawn: Callable[[str], DrawnFigure]) -> None:
    for width in (PHONE, PHONE - 2 * MARGIN):
        for text in drawn(name).texts:
            pixels = text.get_fontsize() / 72 * width / WIDTH
            assert pixels >= LEAST_TEXT, f"{text.get_text()!r} is {pixels:.1f} px at {width} px"


def test_no_text_is_cut_off_and_no_two_overlap(name: str, drawn: Callable[[str], DrawnFigure]) -> None:
    check_texts(drawn(name).figure, drawn(name).texts)


def check_texts(figure: Figure, texts: list[Text]) -> None:
    placed = boxes(texts)
    for text, box in placed:
        inside = box.x0 >= -1 and box.y0 >= -1
        inside = inside and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
        assert inside, f"{text!r} leaves the figure: {box}"
    for (first, a), (second, b) in itertools.combinations(placed, 2):
        assert overlap(a, b) < 2, f"{first!r} and {second!r} overlap by {overlap(a, b):.0f} px"


TALL, WIDE = drawn_picture(1, 100, 75), drawn_picture(2, 75, 100)
LONG = ["intact", "cracked cell", "finger interruption", "material defect", "unknown bird of prey"]
AWKWARD: dict[str, Callable[[], plots.BookFigure]] = {
    "ends of the scale": lambda: plots.score_bars(
        {"perfect": {"test": (1.0, 0.98, 1.0)}, "hopeless": {"test": (0.02, 0.0, 0.05)}},
        n=212,
        seeds=1,
        chance=0.01,
        alt=ALT,
    ),
    "many bars": lambda: plots.score_bars(
        {f"method number {i} with a long name": dict.fromkeys("abc", around(0.5, 0.1)) for i in range(8)},
        n={"validation": 212, "test": 426},
        seeds=5,
        alt=ALT,
    ),
    "long legend": lambda: plots.learning_curves(
        {name: {"train": [3.0, 2.0], "val": [0.8, 0.6]} for name in ("the source's template", LONG[4], LONG[2])},
        alt=ALT,
    ),
    "long class names": lambda: plots.confusion(np.full((10, 10), 1234), LONG * 2, alt=ALT),
    "mixed shapes": lambda: plots.picture_grid([TALL, WIDE, TALL, WIDE, WIDE], captions=LONG, columns=4, alt=ALT),
    "two long captions": lambda: plots.picture_grid(
        [TALL, WIDE], truth=[LONG[4], "b"], predicted=[LONG[2], "b"], confidence=[1, 0.5], alt=ALT
    ),
    "mixed rows": lambda: plots.side_by_side(
        {"cat 12": [WIDE, TALL, drawn_picture(0)], "dog 7": [WIDE, WIDE, drawn_picture(0)]},
        columns=["a long name that goes over two lines", "Resize((224, 224))", "CenterCrop(224)"],
        alt=ALT,
    ),
    "two rows of squares": lambda: plots.side_by_side(
        {"a": [drawn_picture(0)] * 3, "b": [drawn_picture(0)] * 3},
        columns=["a long caption that goes over two lines", "b", "c"],
        alt=ALT,
    ),
    "one folded caption": lambda: plots.occlusion_map(
        [WIDE], [np.eye(5)], captions=["plastic, 97 %, a longer caption that folds"], alt=ALT
    ),
    "three tall maps": lambda: plots.occlusion_map([TALL] * 3, [np.eye(5)] * 3, captions=["a", "b", "c"], alt=ALT),
    "crowded points": lambda: plots.time_and_accuracy(
        {f"method {i}": (10 * 1.3**i, around(0.8 + 0.01 * i, 0.02)) for i in range(10)}, alt=ALT
    ),
    "large shapes": lambda: plots.convolution_shapes(
        224,
        [plots.Layer("stem convolution", 7, 2, 3, 64), plots.Layer("convolution", 3, 2, 1, 2048)],
        alt=ALT,
    ),
    "one panel of short blocks": lambda: plots.lanes(
        {"a": {"the loader": [(i, 0.1, "a long label") for i in range(9)], "model": []}}, alt=ALT
    ),
    "steps without any time": lambda: plots.step_timeline({"a": {"waiting": [0.0], "computing": [0.0]}}, alt=ALT),
    "slower in six ways": lambda: plots.speed_ups(
        {f"way {i} of doing the same thing": (0.1 * i + 0.02, 0.01, 0.1 * i + 0.03) for i in range(6)}, alt=ALT
    ),
    "many buffers": lambda: plots.moved_buffers(
        {"a": {f"blocks.{i}.0.bn1.running_mean": 1.0 for i in range(24)}}, alt=ALT
    ),
}


@pytest.mark.parametrize("case", AWKWARD)
def test_awkward_data_leave_all_text_readable(case: str) -> None:
    figure = AWKWARD[case]()
    check_texts(figure, painted_texts(figure))


def test_no_legend_covers_the_axes(name: str, drawn: Callable[[str], DrawnFigure]) -> None:
    figure = drawn(name).figure
    for legend in figure.legends:
        box = legend.get_window_extent()
        for ax in figure.axes:
            assert overlap(box, ax.get_window_extent()) < 1
        assert box.x1 <= figure.bbox.x1 + 1


def contrast(colour: Any) -> float:
    """WCAG contrast against white."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


def test_palette_has_the_contrast_a_graphic_needs() -> None:
    assert all(contrast(colour) >= 3 for colour in PALETTE)
    assert contrast(INK) >= 7
    assert contrast(GREY) >= 4.5


def test_colours_come_from_the_palette(name: str, drawn: Callable[[str], DrawnFigure]) -> None:
    allowed = {c.upper() for c in (*PALETTE, INK, GREY, PALE, RULE, WHITE, diagrams.TINT)}
    figure = drawn(name).figure
    for artist in figure.findobj(lambda a: isinstance(a, (Patch, mpl.lines.Line2D, Collection))):
        in_bar = artist.axes is not None and artist.axes.get_label() == "<colorbar>"
        if in_bar or not artist.get_visible():
            continue  # a colour bar's strips are the colours in between
        if isinstance(artist, mpl.lines.Line2D):
            colours = [artist.get_color()]
        elif isinstance(artist, Patch):
            colours = [artist.get_facecolor(), artist.get_edgecolor()]
        else:
            colours = [*artist.get_facecolor(), *artist.get_edgecolor()]
        for colour in colours:
            if not np.isclose(mpl.colors.to_rgba(colour)[3], 0):
                assert to_hex(colour).upper() in allowed, f"{artist} is {to_hex(colour)}"


def test_series_differ_without_colour() -> None:
    looks = list(style.series(["a", "b", "c", "d", "e"]).values())
    for channel in ("marker", "dash", "hatch"):
        assert len({str(getattr(look, channel)) for look in looks}) == len(looks)
    with pytest.raises(ValueError, match="6 series"):
        style.series(list("abcdef"))


def test_bars_start_at_zero(drawn: Callable[[str], DrawnFigure]) -> None:
    for name in ("score_bars", "parameter_bars", "moved_buffers", "speed_ups"):
        assert drawn(name).figure.axes[0].get_xlim()[0] == 0
    assert drawn("leak_bars").figure.axes[0].get_xlim() == (0, 100)


def test_data_are_left_as_they_were(name: str, drawn: Callable[[str], DrawnFigure]) -> None:
    np.testing.assert_equal(EXAMPLES[name], drawn(name).before)


def emptied(value: Any) -> Any:
    return type(value)() if isinstance(value, (dict, list)) else value[:0]


def test_nothing_to_draw_is_refused(name: str) -> None:
    positional, keywords = EXAMPLES[name]
    if name == "convolution_shapes":
        data: tuple[Any, ...] = (positional[0], [])
    else:
        data = tuple(emptied(argument) for argument in positional)
    with pytest.raises(ValueError, match=r"\w"):
        figure_functions()[name](*data, **keywords)


def broken(value: Any) -> tuple[Any, bool]:
    """The first number in a nest of mappings and sequences replaced by NaN."""
    if isinstance(value, dict):
        keys = list(value)
        for key in keys:
            new, done = broken(value[key])
            if done:
                return {**value, key: new}, True
        return value, False
    if isinstance(value, np.ndarray):
        new = value.astype(float)
        new.flat[0] = np.nan
        return new, True
    if isinstance(value, (list, tuple)) and not isinstance(value, plots.Layer):
        for index, item in enumerate(value):
            new, done = broken(item)
            if done:
                changed = [*value[:index], new, *value[index + 1 :]]
                return tuple(changed) if isinstance(value, tuple) else changed, True
        return value, False
    if isinstance(value, (int, float)):
        return math.nan, True
    return value, False


def valley(places: list[float], losses: list[float], **changed: float) -> plots.BookFigure:
    step = {"radius": 0.0, "weight": 1.0, "top": 1.0, "after": 1.0} | changed
    return plots.valley_step(places, losses, **step, alt=ALT)


def test_nan_is_refused_by_name(name: str) -> None:
    positional, keywords = EXAMPLES[name]
    if name == "label_tree":  # it is drawn from names alone
        return
    if name == "worst_errors":  # of the pictures only those shown are looked at
        keywords = {**keywords, "confidence": [math.nan] * len(positional[0])}
        data = positional[0]
    else:
        data, done = broken(positional[0])
        assert done
    with pytest.raises(ValueError, match="nan"):
        figure_functions()[name](data, *positional[1:], **keywords)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.score_bars({"a": {"t": (89.2, 86.0, 92.0)}}, n=9, seeds=1, alt=ALT), "divide perc"),
        (lambda: plots.score_bars({"a": {"t": (0.8, 0.9, 0.95)}}, n=9, seeds=1, alt=ALT), "outside its"),
        (lambda: plots.score_bars({"a": {"t": (0.8, 0.9)}}, n=9, seeds=1, alt=ALT), "value, low, high"),
        (lambda: plots.score_bars({"a": {"t": (0.8, 0.7, 0.9)}}, n=0, seeds=1, alt=ALT), "n is 0"),
        (lambda: plots.score_bars({"a": {"t": (0.8, 0.7, 0.9)}}, n=9, seeds=0, alt=ALT), "seeds is 0"),
        (
            lambda: plots.score_bars({"a": {"t": (0.8, 0.7, 0.9)}, "b": {"v": (0.8, 0.7, 0.9)}}, n=9, seeds=1, alt=ALT),
            "same keys",
        ),
        (lambda: plots.leak_bars({"a": (0.8, 0.7, 0.9)}, {"a": (0.8, 0.7, 0.9)}, {}, alt=ALT), "diff"),
        (lambda: plots.forest({"a": (7.0, 2.0, 9.0)}, alt=ALT), "divide points"),
        (lambda: plots.forest({"a": (0.0, 0.0, 0.0)}, margin=1.5, alt=ALT), "margin is 1.5"),
        (lambda: plots.distribution({"a": [1.0]}, bins=1, x_label="x", alt=ALT), "bins is 1"),
        (lambda: plots.parameter_bars({"a": (5, 2)}, alt=ALT), r"\(5, 2\)"),
        (
            lambda: plots.moved_buffers({"a": {str(i): 0.1 for i in range(30)}}, alt=ALT),
            "30 buffers",
        ),
        (lambda: plots.moved_buffers({"a": {"x": -0.1}}, alt=ALT), "-0.1"),
        (lambda: plots.learning_curves({"a": {"dev": [1.0]}}, alt=ALT), "split 'dev'"),
        (lambda: plots.annotated_log({"t": [1.0, 2.0]}, {"t": [0.5]}, alt=ALT), r"\[1, 2\] epochs"),
        (
            lambda: plots.annotated_log({"t": [1.0]}, {"t": [0.5]}, notes={9: "late"}, alt=ALT),
            "mark at 9",
        ),
        (lambda: plots.size_curve({"a": {0: (0.8, 0.7, 0.9)}}, alt=ALT), "log axis"),
        (lambda: plots.best_of_k({"a": {1: (0.8, 0.7, 0.9)}}, truth=90, alt=ALT), "90"),
        (lambda: plots.interval_width({"a": {100: 5.9}}, alt=ALT), "divide percentages"),
        (
            lambda: plots.picture_grid([np.zeros((8, 8))], captions=["a"], truth=["a"], predicted=["a"], alt=ALT),
            "not both",
        ),
        (lambda: plots.time_and_accuracy({"a": (0.0, (0.8, 0.7, 0.9))}, alt=ALT), "log axis"),
        (lambda: plots.cost_map({}, alt=ALT), "no series to draw"),
        (lambda: plots.cost_map({"a": {"net": (0, 1e6)}}, alt=ALT), "costs of 'net'"),
        (lambda: plots.cost_map({"a": {"net": (1e6, 1e6)}}, labels=["nut"], alt=ALT), "'nut', which is in no group"),
        (lambda: plots.confusion([[1, 2]], ["a", "b"], alt=ALT), r"shape \(1, 2\)"),
        (lambda: plots.confusion([[0.5, 2], [1, 1]], ["a", "b"], alt=ALT), "0.5: pass counts"),
        (lambda: plots.confusion(np.eye(13), list("abcdefghijklm"), alt=ALT), "13 classes"),
        (lambda: plots.picture_grid([np.zeros((3, 8, 8))], captions=["a"], alt=ALT), "channels fir"),
        (lambda: plots.picture_grid([np.full((8, 8), 2.0)], captions=["a"], alt=ALT), "undo the nor"),
        (lambda: plots.picture_grid([np.zeros((8, 8))], captions=[], alt=ALT), "lengths differ"),
        (lambda: plots.picture_grid([np.zeros((8, 8))], alt=ALT), "truth and predicted, not both"),
        (
            lambda: plots.worst_errors([np.zeros((8, 8))], truth=["a"], predicted=["a"], confidence=[0.9], alt=ALT),
            "none of the 1",
        ),
        (
            lambda: plots.side_by_side({"a": [np.zeros((8, 8))]}, columns=["x", "y"], alt=ALT),
            "1 versions for 2",
        ),
        (
            lambda: plots.convolution_shapes(4, [plots.Layer("conv", kernel=7)], alt=ALT),
            "leaves a side of -2",
        ),
        (lambda: plots.nested_subsets([10, 10], alt=ALT), "larger than the one before"),
        (lambda: plots.reliability([0.5], [0.5], [0], alt=ALT), "at least one item"),
        (lambda: plots.step_timeline({"a": {"x": [-0.1]}}, alt=ALT), "has -0.1"),
        (lambda: plots.step_timeline({"a": {"x": [0.1], "y": [0.1, 0.2]}}, alt=ALT), "lengths differ"),
        (lambda: plots.step_timeline({"a": {"x": [0.1]}, "b": {"y": [0.1]}}, alt=ALT), "same parts"),
        (lambda: plots.speed_ups({"a": (0.0, 0.0, 1.0)}, alt=ALT), r"\(0.0, 0.0, 1.0\)"),
        (lambda: plots.speed_ups({"a": (1.2, 1.3, 1.4)}, alt=ALT), "low ≤ ratio"),
        (lambda: plots.speed_ups({"a": (1.2, 1.1, 1.4)}, aims={"b": 1.0}, alt=ALT), r"\['b'\]"),
        (lambda: plots.lanes({"a": {"x": [(0, 2, "1"), (1, 2, "2")]}}, alt=ALT), "at 1 that begins before"),
        (lambda: plots.lanes({"a": {"x": [(0, -2, "1")]}}, alt=ALT), r"\(0, -2\)"),
        (lambda: plots.lanes({"a": {"x": []}}, alt=ALT), "no block"),
        (lambda: plots.occupancy_log({"a": [55.0]}, alt=ALT), "divide percentages"),
        (lambda: plots.occupancy_log({"a": [0.5]}, every=0, alt=ALT), "every is 0"),
        (lambda: plots.tail_recall([9, 0], {"a": [0.5, 0.5]}, alt=ALT), "counts contains 0"),
        (lambda: plots.tail_recall([9, 1], {"a": [0.5]}, alt=ALT), "counts 2, a 1"),
        (lambda: plots.tail_recall([9, 1], {"a": [50, 40]}, alt=ALT), "a contains 50"),
        (lambda: plots.threshold_panels([0, 1], [0, 1], [1], prevalence=0.1, alt=ALT), "lengths differ"),
        (lambda: plots.threshold_panels([0, 1], [0, 1], [1, 0.1], prevalence=10, alt=ALT), "prevalence contains 10"),
        (lambda: plots.ranking_and_reliability({"a": 70}, [0.5], [0.5], counts=[1], alt=ALT), "divide percentages"),
        (lambda: plots.ranking_and_reliability({"a": 1}, [0.5], [0.5, 0.6], counts=[1], alt=ALT), "lengths differ"),
        (lambda: plots.stated_against_true({"a": ([0], [0])}, highlight="b", alt=ALT), "highlight = .b. is none"),
        (lambda: plots.dot_rows({"a": {"x": 0.5}, "b": {"y": 0.5}}, x_label="", alt=ALT), "pass the same"),
        (lambda: plots.dot_rows({"a": {"x": 50}}, x_label="", alt=ALT), "divide percentages"),
        (lambda: plots.risk_coverage({"a": ([0.5, 1], [0.1])}, alt=ALT), "lengths differ"),
        (lambda: plots.risk_coverage({"a": ([0.5, 1], [0, 10])}, alt=ALT), "a contains 10"),
        (lambda: plots.risk_coverage({"a": ([1], [0])}, marks={"b": (1, 0)}, alt=ALT), "marks name 'b'"),
        (lambda: plots.interval_rows({}, alt=ALT), "groups is empty"),
        (lambda: plots.interval_rows({"a": {"x": (96.8, 95.9, 97.5)}}, alt=ALT), "divide percentages"),
        (lambda: plots.interval_rows({"a": {str(i): (0.5, 0.4, 0.6) for i in range(25)}}, alt=ALT), "25 rows"),
        (lambda: plots.policy_gallery({}, alt=ALT), "rows is empty"),
        (lambda: plots.policy_gallery({"a": [TALL]}, alt=ALT), "1 pictures in a row"),
        (lambda: plots.policy_gallery({"a": [TALL, TALL], "b": [TALL] * 3}, alt=ALT), "different lengths"),
        (lambda: plots.policy_gallery({str(i): [TALL, TALL] for i in range(17)}, alt=ALT), "17 policies"),
        (lambda: plots.strength_at_budget({"a": {5: (0.5, 0.4, 0.6)}}, budget=6, alt=ALT), "budget is 6"),
        (lambda: plots.strength_at_budget({"a": {0: (0.5, 0.4, 0.6)}}, budget=0, alt=ALT), "budgets contains 0"),
        (lambda: plots.strength_at_budget({"a": {5: (50, 40, 60)}}, budget=5, alt=ALT), "divide percentages"),
        (lambda: plots.bowl_paths({"a": [[1, 2, 3]]}, curvatures=(1, 2), alt=ALT), r"shape \(1, 3\)"),
        (lambda: plots.bowl_paths({"a": [[0, 0], [1, 1]]}, curvatures=(1, 2), alt=ALT), "begins at"),
        (lambda: plots.bowl_paths({"a": [[1, 1]]}, curvatures=(1, 0), alt=ALT), "two numbers above 0"),
        (lambda: valley([0, 1], [1, 2, 3]), "lengths differ"),
        (lambda: valley([0, 2, 1], [1, 2, 3]), "do not rise"),
        (lambda: valley([0, 1, 2], [1, 2, 3], weight=2.5), "weight is 2.5"),
        (lambda: valley([0, 1, 2], [1, 2, 3], top=-0.5), "top is -0.5"),
        (lambda: valley([0, 1, 2], [1, 2, 3], radius=-1), "radius is -1"),
        (lambda: valley([0, 1, 2], [1, 2, 3], radius=1.5), "no place has neighbours"),
    ],
)
def test_an_error_says_the_value(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_layer_follows_the_formula_of_the_convolution() -> None:
    for n, k, s, p in itertools.product((7, 32), (1, 3, 5), (1, 2), (0, 1)):
        expected = sum(1 for start in range(-p, n + p - k + 1, s))
        assert plots.Layer("c", kernel=k, stride=s, padding=p).side(n) == expected


def test_reliability_computes_the_ece_of_its_bins() -> None:
    figure = plots.reliability([0.6, 0.9, np.nan], [0.5, 0.8, np.nan], [50, 150, 0], alt=ALT)
    assert "ECE 10.0 points" in figure.get_supxlabel()


def test_distribution_in_panels_has_one_panel_for_each_sample() -> None:
    figure = plots.distribution(
        {"seeds": [0.1, 0.2], "pictures": [0.3, 0.4, 0.5]},
        x_label="accuracy (%)",
        alt=ALT,
        references={0.2: "a line"},
        panels=True,
    )
    assert [ax.get_xlim() for ax in figure.axes] == [figure.axes[0].get_xlim()] * 2


def test_worst_errors_shows_the_most_confident_first() -> None:
    grey = [np.full((4, 4), v) for v in (0.1, 0.2, 0.3)]
    figure = plots.worst_errors(
        grey, truth=["a", "a", "b"], predicted=["b", "a", "a"], confidence=[0.6, 0.99, 0.9], alt=ALT
    )
    captions = [ax.get_xlabel() for ax in figure.axes if ax.axison]
    assert captions == ["✗ a, 90 %\ntrue: b", "✗ b, 60 %\ntrue: a"]


def test_the_readers_own_settings_change_nothing() -> None:
    positional, keywords = EXAMPLES["score_bars"]
    plain = plots.score_bars(*positional, **keywords)._repr_png_()[0]
    with mpl.rc_context({"font.size": 5, "axes.facecolor": "black", "ytick.labelsize": 4}):
        before = dict(mpl.rcParams)
        styled = plots.score_bars(*positional, **keywords)._repr_png_()[0]
        assert dict(mpl.rcParams) == before
    assert styled == plain


def test_import_needs_neither_torch_nor_seaborn_nor_pyplot() -> None:
    code = "import sys, clslab.plots; print([m for m in ('torch', 'seaborn', 'matplotlib.pyplot') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "name",
    ["", ".style", ".bars", ".curves", ".pictures", ".diagrams", ".steps", ".optimizers", ".augmentation", ".errors"],
)
def test_the_examples_in_the_docstrings_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module("clslab.plots" + name))
    assert result.failed == 0
    assert result.attempted > 0


def test_every_docstring_has_an_example_and_names_its_chapter(name: str) -> None:
    text = inspect.getdoc(figure_functions()[name]) or ""
    assert ">>> " in text
    assert "Taught in chapter" in text
    assert "Raises:" in text


def test_png_has_the_stated_size_and_metadata(drawn: Callable[[str], DrawnFigure]) -> None:
    data, metadata = drawn("score_bars").figure._repr_png_()
    assert data.startswith(b"\x89PNG")
    assert int.from_bytes(data[16:20], "big") == WIDTH * DPI
    assert metadata == {"width": style.CSS_WIDTH, "alt": ALT}
