"""What a prediction rests on: cover one place of a picture after the other, and watch the probability.

Taught in chapter 1.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clslab.device import Machine
from clslab.train import predict


# [drop-map]
def drop_map(
    model: nn.Module,
    picture: Tensor,
    target: int,
    *,
    patch: int = 32,
    stride: int = 16,
    fill: float = 0.0,
    machine: Machine | None = None,
) -> NDArray[np.float64]:
    """How much of the probability of a class is lost when each place of a picture is covered.

    A square is slid over the picture. Every pixel gets the mean of the losses over all squares that
    covered it, so the map lies exactly on the picture.

    Args:
        model: gives logits `[B, C]` of pictures `[B, channels, H, W]`; given back as it was.
        picture: one picture `[channels, H, W]`, normalised as the model expects.
        target: the class whose probability is watched, usually the true one.
        patch: side of the square in pixels.
        stride: step of the square in pixels, at most `patch`, so that no pixel is passed over.
        fill: value of the square. 0 is the mean colour of a normalised picture.
        machine: where to compute; `None` as `clslab.train.predict` chooses.

    Returns:
        A map `[H, W]` of probability lost, in [-1, 1]. A negative value means that covering helped.

    Raises:
        ValueError: if the picture is not `[channels, H, W]`, the square does not fit into it, the
            stride passes pixels over, or the model has no such class.

    Source: Zeiler and Fergus, arXiv:1311.2901. Taught in chapter 1.
    """
    _check(picture, patch, stride)
    height, width = picture.shape[1:]
    corners = [(y, x) for y in _starts(height, patch, stride) for x in _starts(width, patch, stride)]
    copies = picture.repeat(len(corners) + 1, 1, 1, 1)  # the last one stays uncovered
    for copy, (y, x) in zip(copies, corners, strict=False):
        copy[:, y : y + patch, x : x + patch] = fill
    said = _probability(model, copies, target, machine)
    lost, covered = np.zeros((height, width)), np.zeros((height, width))
    for probability, (y, x) in zip(said, corners, strict=False):
        lost[y : y + patch, x : x + patch] += said[-1] - probability
        covered[y : y + patch, x : x + patch] += 1
    return lost / covered


# [/drop-map]


def _probability(model: nn.Module, pictures: Tensor, target: int, machine: Machine | None) -> NDArray[np.float64]:
    """Probability [N] of one class."""
    batches = [(batch, torch.zeros(len(batch), dtype=torch.long)) for batch in pictures.split(32)]
    probabilities, _ = predict(model, batches, machine=machine)
    if not isinstance(probabilities, Tensor):
        raise ValueError("the model gives one output per level of labels; pass one with a single output")
    if not 0 <= target < probabilities.shape[1]:
        raise ValueError(f"target {target} is no class of a model with {probabilities.shape[1]} classes")
    return probabilities[:, target].double().numpy()


def _starts(size: int, patch: int, stride: int) -> list[int]:
    """Where squares begin along one side; the last one ends at the edge.

    >>> _starts(10, 4, 4)
    [0, 4, 6]
    """
    return sorted({*range(0, size - patch + 1, stride), size - patch})


def _check(picture: Tensor, patch: int, stride: int) -> None:
    if picture.ndim != 3:
        raise ValueError(f"the picture has shape {tuple(picture.shape)}; pass one picture [channels, H, W]")
    if not 1 <= patch <= min(picture.shape[1:]):
        raise ValueError(f"patch = {patch} does not fit into a picture of {tuple(picture.shape[1:])} pixels")
    if not 1 <= stride <= patch:
        raise ValueError(f"stride = {stride} has to be at least 1 and at most patch = {patch}")
