"""Is shallow coarse? Linear probes on every layer of a borrowed network, on CIFAR-100: the record behind page 15.

Three questions are put to each layer: which of 100 classes, which of 20 superclasses, which of 20 random groups of
five classes (five deals of them, averaged). For each layer and question: the accuracy on pictures that no probe has
seen, and how much of the way from chance to the last layer's accuracy that is; for the superclasses also how far they
are ahead of the classes and of the random groups on that way, with intervals over the pictures. Not a speed: what is
recorded is what the probes can read.

    python benchmarks/depth.py [--quick] [--record]
"""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import interleaved
import numpy as np
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from clslab import data, seeds
from clslab.data.loading import BatchLoader
from clslab.depth import shuffled_groups
from clslab.device import choose
from clslab.models import transfer

NETWORK = "efficientnet_lite0"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # of the pictures that it was trained on
SIDE = 96  # pixels, to which pictures are enlarged
DEALS = 5
RESAMPLES = 2000


def enlarged(pictures: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures in which the deep layers have something left to see."""
    larger = nn.functional.interpolate(pictures.float(), size=SIDE, mode="bilinear")
    return larger.clamp(0, 255), targets


def features_of(split: Any, each: int, model: transfer.Transfer, machine: Any) -> tuple[dict[str, Any], np.ndarray]:
    """Features of every layer of the first pictures of each class, and their classes."""
    images, leaves = split.tensors()
    rows = np.concatenate([np.flatnonzero(leaves.numpy() == leaf)[:each] for leaf in range(100)])
    loader = BatchLoader(images[rows], leaves[rows], batch_size=100, mean=MEAN, std=STD, transform=enlarged)
    found, targets = transfer.features(model, loader, layer=list(model.spec.layers), machine=machine)
    return found, targets.numpy()


def hits_of(fitted: Any, judged: Any, labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[N] whether a linear probe is right about each judged picture."""
    probe = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1000.0)).fit(fitted.numpy(), labels)
    return (probe.predict(judged.numpy()) == truth).astype(float)


def summary(hits: dict[str, dict[str, np.ndarray]], chance: dict[str, float]) -> dict[str, Any]:
    """Accuracies, shares of the way and leads of the superclasses, each as [value, low, high]."""
    layers = list(hits["class"])
    count = len(hits["class"][layers[0]])
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count

    def with_interval(values: np.ndarray) -> list[float]:
        return [round(float(one), 4) for one in (values[0], *np.quantile(values[1:], [0.025, 0.975]))]

    # The first row is the score itself, the others are the resamples; the same pictures are drawn for every layer.
    scores = {
        question: {layer: np.concatenate([[row.mean()], draws @ row]) for layer, row in of_layers.items()}
        for question, of_layers in hits.items()
    }
    ways = {
        question: {
            layer: (row - chance[question]) / (of_layers[layers[-1]] - chance[question])
            for layer, row in of_layers.items()
        }
        for question, of_layers in scores.items()
    }
    return {
        "accuracy": {q: {layer: with_interval(row) for layer, row in rows.items()} for q, rows in scores.items()},
        "way": {q: {layer: with_interval(row) for layer, row in rows.items()} for q, rows in ways.items()},
        "superclass ahead of": {
            other: {layer: with_interval(ways["superclass"][layer] - ways[other][layer]) for layer in layers}
            for other in ("class", "random group")
        },
    }


def main() -> None:
    chosen = interleaved.arguments(__doc__)
    each = 5 if chosen.quick else 50
    seeds.seed_everything(0)
    machine = choose()
    splits = data.load("cifar100")
    if chosen.record is not None and splits.source == "stand-in":
        raise SystemExit(
            "no CIFAR-100 here, and drawings are not recorded; let CLSLAB_DATA name the folder that has it"
        )
    tree = splits.taxonomy
    model = transfer.build(NETWORK, num_classes=2)
    fitted, leaves = features_of(splits.train, each, model, machine)
    judged, truth = features_of(splits.val, each, model, machine)
    deals = [shuffled_groups(tree, 0, seed=deal) for deal in range(DEALS)]
    questions = {"class": [np.arange(100)], "superclass": [tree.coarsen(np.arange(100), 0)], "random group": deals}
    hits = {
        question: {
            layer: np.mean([hits_of(fitted[layer], judged[layer], of[leaves], of[truth]) for of in groupings], axis=0)
            for layer in fitted
        }
        for question, groupings in questions.items()
    }
    found = summary(hits, {"class": 1 / 100, "superclass": 1 / 20, "random group": 1 / 20})
    result = {
        "benchmark": "depth",
        "ratios": {},
        "network": f"{NETWORK}, weights of ImageNet, pictures enlarged to {SIDE} pixels",
        "data": f"cifar100, {splits.source}",
        "fitted": len(leaves),
        "judged": len(truth),
        "deals": DEALS,
        **found,
        "machine": machine.to_dict() | {"described": machine.describe()},
        "date": date.today().isoformat(),
    }
    print(json.dumps(result, indent=1))
    interleaved.keep("depth", chosen.record, result)


if __name__ == "__main__":
    main()
