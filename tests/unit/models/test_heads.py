"""Many heads at once are the same heads as one at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clslab.heads import train_heads


def blobs(n: int, seed: int, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    targets = torch.arange(n) % classes
    return torch.randn(n, 6, generator=draw) + 3 * torch.eye(classes, 6)[targets], targets


def test_a_head_does_not_depend_on_its_neighbours() -> None:
    features, targets = blobs(60, 0)
    scored, _ = blobs(40, 1)
    together = train_heads(features, targets, scored, range(5), per_class=10, lr=0.02, epochs=4, batch_size=7)
    alone = train_heads(features, targets, scored, [3], per_class=10, lr=0.02, epochs=4, batch_size=7)
    assert together.shape == (5, 4, 40)
    assert np.array_equal(together[3], alone[0])


def test_heads_learn_and_seeds_differ() -> None:
    features, targets = blobs(90, 0)
    scored, truth = blobs(300, 1)
    found = train_heads(features, targets, scored, range(4), per_class=4, lr=0.05, epochs=20)
    assert (found[:, -1] == truth.numpy()).mean() > 0.8
    assert len({row.tobytes() for row in found[:, -1]}) > 1


def test_bad_settings_are_refused() -> None:
    features, targets = blobs(9, 0)
    with pytest.raises(ValueError, match="the smallest class has 3"):
        train_heads(features, targets, features, [0], per_class=4)
    with pytest.raises(ValueError, match="seeds is empty"):
        train_heads(features, targets, features, [], per_class=1)
