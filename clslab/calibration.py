"""What can be changed about probabilities after training: how sure they are, and which class shares they expect.

Both leave the network alone and work on what it said. A temperature makes every answer more or less sure and moves no
class past another one; a change of the class shares does move them, and tells common from rare.

Taught in chapter 12.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import softmax

from clslab.metrics import checked_probabilities

Floats = NDArray[np.float64]

COLDEST, HOTTEST = 0.01, 100.0
"""The temperatures between which `fit_temperature` looks."""


# [temperature]
def fit_temperature(scores: ArrayLike, targets: ArrayLike, *, logits: bool = False) -> float:
    """The temperature T for which softmax(logits / T) has the smallest cross-entropy.

    Above 1 the network was too sure of itself, below 1 not sure enough. Fit it on pictures that neither trained the
    network nor will be used to report its calibration.

    The cross-entropy is convex in 1 / T, so there is one such T, and it is found where the slope is 0: where the score
    that the probabilities expect is the score that the true classes have.

    Args:
        scores: [N, C] probabilities, whose logarithms serve as logits; or logits, with `logits=True`.
        targets: [N] true classes.
        logits: whether the scores are logits.

    Returns:
        T, between 0.01 and 100.

    Raises:
        ValueError: if the scores are no probabilities and not said to be logits, the shapes do not fit, or there is no
            best T: where every answer is right, or the true classes score no better than the average of all.

    Source: Guo et al., arXiv:1706.04599. Taught in chapter 12.

    >>> round(fit_temperature([[0.9, 0.1]] * 4, [0, 0, 0, 1]), 6)  # says 90 %, right in 75 %: ln 9 / ln 3
    2.0
    """
    z, true = _as_logits(scores, targets, logits=logits)
    own = float(z[np.arange(len(z)), true].mean())

    def slope(inverse: float) -> float:
        expected = (softmax(inverse * z, axis=1) * z).sum(axis=1).mean()
        return float(expected) - own

    if slope(1 / HOTTEST) >= 0:
        raise ValueError(
            f"the true classes score {own:.3g} on average, no more than the other classes do: no temperature helps; "
            "check that scores and targets belong together"
        )
    if slope(1 / COLDEST) <= 0:
        raise ValueError(
            f"all {len(z)} answers are right, or nearly so: the colder, the better, and there is no best temperature; "
            "give more pictures, among them some that the network gets wrong"
        )
    return 1 / float(brentq(slope, 1 / HOTTEST, 1 / COLDEST))


def apply_temperature(scores: ArrayLike, temperature: float, *, logits: bool = False) -> Floats:
    """Probabilities [N, C] at a temperature: softmax(logits / T). The order of the classes stays.

    Args:
        scores: as for `fit_temperature`.
        temperature: above 0; 1 changes nothing.
        logits: as for `fit_temperature`.

    Raises:
        ValueError: if the temperature is not above 0 and finite, or the scores are no probabilities.

    Source: Guo et al., arXiv:1706.04599. Taught in chapter 12.

    >>> apply_temperature([[0.9, 0.1]], 2.0).round(6).tolist()  # the odds of 9 become their root, 3
    [[0.75, 0.25]]
    """
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature = {temperature} is out of range; it has to be above 0 and finite")
    z, _ = _as_logits(scores, None, logits=logits)
    return np.asarray(softmax(z / temperature, axis=1), dtype=np.float64)


# [/temperature]


# [shift-prior]
def shift_prior(
    probabilities: ArrayLike, trained: ArrayLike, used: ArrayLike | None = None, *, tau: float = 1.0
) -> Floats:
    """Probabilities [N, C] for other class shares than those of the training pictures, without training again.

    Each probability is multiplied by (share where it is used / share in training)^τ, and the rows are brought back to
    sum 1. With equal shares in use this is logit adjustment after training. It is exact for τ = 1 if the probabilities
    are right for the training's shares and the pictures of a class look the same in both places.

    Args:
        probabilities: [N, C], rows that sum to 1.
        trained: [C] training pictures of each class, or their shares.
        used: [C] likewise where the answers are used; `None` for classes that are equally frequent.
        tau: strength; 0 changes nothing.

    Raises:
        ValueError: if rows are no probabilities, a count is not above 0, or the lengths differ.

    Source: Saerens et al. (2002); Menon et al., arXiv:2007.07314. Taught in chapter 12.

    >>> shift_prior([[0.9, 0.1]], trained=[90, 10]).round(6).tolist()  # all that it knew was the share
    [[0.5, 0.5]]
    """
    rows = checked_probabilities(probabilities, np.zeros(len(np.asarray(probabilities)), dtype=np.int64))[0]
    before = _shares("trained", trained, rows.shape[1])
    after = np.full_like(before, 1 / len(before)) if used is None else _shares("used", used, rows.shape[1])
    shifted = rows * (after / before) ** tau
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float64)


# [/shift-prior]


def _as_logits(scores: ArrayLike, targets: ArrayLike | None, *, logits: bool) -> tuple[Floats, NDArray[np.int64]]:
    values = np.asarray(scores, dtype=np.float64)
    true = np.zeros(len(values), dtype=np.int64) if targets is None else np.asarray(targets)
    if not logits:
        rows, true = checked_probabilities(values, true)
        # A probability that was rounded to 0 is small, not impossible.
        return np.log(np.maximum(rows, float(np.finfo(np.float32).tiny))), true
    if values.ndim != 2 or len(values) == 0 or true.shape != (len(values),) or not np.isfinite(values).all():
        raise ValueError(f"logits have shape {values.shape} and targets {true.shape}; give finite [N, C] and [N]")
    if not np.issubdtype(true.dtype, np.integer) or true.min() < 0 or true.max() >= values.shape[1]:
        raise ValueError(
            f"targets are {true.dtype}, {true.min()} to {true.max()}; give classes below {values.shape[1]}"
        )
    return values - values.max(axis=1, keepdims=True), true.astype(np.int64)


def _shares(name: str, counts: ArrayLike, classes: int) -> Floats:
    sizes = np.asarray(counts, dtype=np.float64)
    if sizes.shape != (classes,):
        raise ValueError(f"{name} has shape {sizes.shape} for {classes} classes; give one count for each")
    if not ((sizes > 0) & np.isfinite(sizes)).all():
        worst = int(np.argmin(np.where(np.isfinite(sizes), sizes, -1)))
        raise ValueError(f"{name} has {sizes[worst]:g} pictures of class {worst}; leave out classes without any")
    return sizes / sizes.sum()
