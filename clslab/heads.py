"""Many linear heads on the same features, trained side by side: what one seed changes, seen two hundred times.

Taught in chapter 3.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor


def train_heads(
    features: Tensor,
    targets: Tensor,
    scored: Tensor,
    seeds: Iterable[int],
    *,
    per_class: int,
    lr: float = 0.001,
    epochs: int = 20,
    batch_size: int = 25,
) -> NDArray[np.int64]:
    """Predictions of one linear head per seed, after every epoch.

    A seed decides a head's training pictures, its first weights and the order of its batches. All heads take the same
    step at once, in one matrix product. Features are standardised by those of the training pictures.

    Args:
        features: `[N, D]` of the training pictures.
        targets: `[N]` their classes, 0 to C − 1.
        scored: `[M, D]` features of the pictures to predict.
        seeds: one head for each.
        per_class: training pictures of each class that a head gets.
        lr: learning rate of AdamW, constant.
        epochs: passes over a head's own pictures.
        batch_size: pictures per step.

    Returns:
        Predicted classes `[seeds, epochs, M]`.

    Raises:
        ValueError: if there is no seed, or a class has fewer than `per_class` training pictures.

    Taught in chapter 3.

    >>> features, targets = torch.tensor([[0.0], [0.2], [0.8], [1.0]]), torch.tensor([0, 0, 1, 1])
    >>> train_heads(features, targets, features, [0, 1], per_class=2, lr=0.5, epochs=3)[:, -1].tolist()
    [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    draws = [np.random.default_rng(seed) for seed in seeds]
    if not draws:
        raise ValueError("seeds is empty; give at least one, range(200) for two hundred heads")
    own = np.stack([_own_pictures(targets.numpy(), per_class, draw) for draw in draws])
    classes = int(targets.max()) + 1
    mean, deviation = features.mean(dim=0), features.std(dim=0) + 1e-6
    inputs, scored = _with_one((features - mean) / deviation), _with_one((scored - mean) / deviation)
    start = np.stack([draw.normal(0, 0.01, (inputs.shape[1], classes)) for draw in draws])
    weights = torch.tensor(start, dtype=torch.float32, requires_grad=True)  # [seeds, D + 1, C]
    optimizer = torch.optim.AdamW([weights], lr=lr)
    predictions = []
    for _ in range(epochs):
        order = torch.tensor(np.stack([draw.permutation(rows) for draw, rows in zip(draws, own, strict=True)]))
        for batch in order.split(batch_size, dim=1):  # [seeds, B]: every head has pictures of its own
            logits = torch.bmm(inputs[batch], weights)
            # A sum over the heads of each one's mean: no head's gradient depends on how many others there are.
            loss = F.cross_entropy(logits.flatten(0, 1), targets[batch].flatten(), reduction="sum") / batch.shape[1]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        predictions.append(_predicted(scored, weights.detach()))
    return np.stack(predictions, axis=1)


def _own_pictures(targets: ArrayLike, per_class: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of the pictures that one head is trained on, `per_class` of each class."""
    labels = np.asarray(targets)
    counts = np.bincount(labels)
    if per_class < 1 or counts.min() < per_class:
        raise ValueError(f"per_class = {per_class}, and the smallest class has {counts.min()} pictures; take 1 to that")
    pools = [np.flatnonzero(labels == label) for label in range(len(counts))]
    return np.concatenate([draw.choice(pool, per_class, replace=False) for pool in pools])


def _with_one(features: Tensor) -> Tensor:
    """The features with a last column of ones, whose weight is the bias."""
    return torch.cat([features, torch.ones(len(features), 1)], dim=1)


def _predicted(scored: Tensor, weights: Tensor) -> NDArray[np.int64]:
    seeds, _, classes = weights.shape
    logits = (scored @ weights.permute(1, 0, 2).flatten(1)).view(len(scored), seeds, classes)
    return logits.argmax(dim=2).T.numpy()
