"""Intervals and paired tests: how far a score could have come out otherwise.

Two things vary when a run is repeated: the seed of the training and the items of the test set. The resampling here
draws both. Only numpy and scipy are needed.

Taught in chapter 3.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats as distributions

Floats = NDArray[np.float64]
Statistic = Literal["mean", "balanced"]

_CHUNK_NUMBERS = 4_000_000  # numbers held at once while resampling: 32 MB
_KEPT_NUMBERS = (
    24_000_000  # draws of that many bytes are kept: 2,000 of the 10,000 test pictures of CIFAR-100 are fewer
)


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval for a proportion, the interval beside an accuracy of one run.

    Args:
        successes: how many of the `n` cases were right.
        n: number of cases, at least 1.
        confidence: two-sided coverage in (0, 1).

    Returns:
        Lower and upper end, both in [0, 1].

    Raises:
        ValueError: if `n` is not positive, or `successes` is not between 0 and `n`.

    Source: Wilson (1927); Brown, Cai and DasGupta (2001) on why not the normal interval.
    Taught in chapter 1.

    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    _check_count(successes, n)
    z = distributions.norm.isf((1 - _checked_confidence(confidence)) / 2)
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low = 0.0 if successes == 0 else float(centre - half)
    high = 1.0 if successes == n else float(centre + half)
    return low, high


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value of McNemar's test: do two trained models differ on one shared test set?

    Only the items on which exactly one of the two is right carry information. If the models were equally good, each
    such item would be a fair coin. The test compares two trained models, not two recipes.

    Args:
        only_a: items that model A alone got right.
        only_b: items that model B alone got right.

    Returns:
        The p-value in (0, 1]; 1 where the models never disagree.

    Raises:
        ValueError: if a count is negative or no whole number.

    Source: McNemar (1947). Taught in chapter 3.

    >>> round(mcnemar(8, 2), 3)
    0.109
    """
    for name, count in (("only_a", only_a), ("only_b", only_b)):
        if count < 0 or count != int(count):
            raise ValueError(f"{name} = {count} is no count; give the number of items that one model alone got right")
    if only_a + only_b == 0:
        return 1.0
    return float(distributions.binomtest(int(only_a), int(only_a + only_b), 0.5).pvalue)


def two_proportions_p(successes_a: int, n_a: int, successes_b: int, n_b: int) -> float:
    """Two-sided p-value of the pooled z test for two proportions from separate samples.

    The sources give one accuracy per setting and nothing per item, so this is the test that their tables allow: the
    doubt within unpaired test sampling. Two models on one shared test set call for `mcnemar`.

    Args:
        successes_a: how many of the `n_a` cases of A were right.
        n_a: number of cases of A, at least 1.
        successes_b: how many of the `n_b` cases of B were right.
        n_b: number of cases of B, at least 1.

    Returns:
        The p-value in [0, 1]; 1 where both are all right or all wrong.

    Raises:
        ValueError: if a number of cases is not positive or a number of successes is outside it.

    Taught in chapter 3.

    >>> round(two_proportions_p(1929, 2000, 1936, 2000), 2)
    0.54
    """
    _check_count(successes_a, n_a)
    _check_count(successes_b, n_b)
    pooled = (successes_a + successes_b) / (n_a + n_b)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    if error == 0:
        return 1.0
    return float(2 * distributions.norm.sf(abs(successes_a / n_a - successes_b / n_b) / error))


def spread(values: ArrayLike) -> tuple[float, float]:
    """Mean and standard deviation (with n − 1) of one score over seeds; the deviation of a single value is nan.

    Raises:
        ValueError: if there is no value, or one that is not finite.

    Taught in chapter 3.

    >>> [round(number, 4) for number in spread([0.88, 0.90, 0.92])]
    [0.9, 0.02]
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) == 0 or not np.isfinite(numbers).all():
        raise ValueError(f"{values!r} is no list of finite scores; give one number per seed, at least one")
    deviation = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else float("nan")
    return float(np.mean(numbers)), deviation


def bootstrap(
    correct: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    statistic: Statistic = "mean",
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Bootstrap interval for a score of one recipe, over seeds and over test items.

    Each resample draws as many seeds as there are, with replacement, and independently as many items as there are,
    with replacement, the same items for every seed drawn. With `groups`, whole groups are drawn instead of items (all
    pictures of one object, all clips of one recording), because items of one group are not independent. The interval
    holds the middle share of the resampled scores (percentile method). With a single seed it covers items only.

    The interval errs on the wide side: chance that belongs to one seed on one item enters through the seeds, through
    the items and through both, so its share of the variance counts three times.

    Args:
        correct: [seeds, N] (or [N]) of booleans or of any per-item score.
        labels: [N] true classes, needed for the statistic "balanced".
        groups: [N] group of each item, or None where every item stands alone.
        statistic: "mean" over items, or "balanced": the mean over classes of the per-class mean. A class that a
            resample misses is left out of that resample's mean.
        confidence: two-sided coverage in (0, 1).
        resamples: number of resamples, at least 100.
        seed: of the resampling.

    Returns:
        The score itself, and the lower and upper end of its interval.

    Raises:
        ValueError: if the shapes do not fit or a value is out of range.

    Source: Efron (1979); rows and columns together, Owen (2007), the pigeonhole bootstrap. Taught in chapter 3.

    >>> estimate, low, high = bootstrap([[1, 1, 0, 1], [1, 0, 1, 1]])
    >>> estimate, 0 <= low < estimate < high <= 1
    (0.75, True)
    """
    scores = _score_matrix(correct, "correct")
    sums, counts = _totals(scores, labels, groups, statistic)
    return _interval(sums, counts, [len(scores)], confidence, resamples, seed)


def paired_bootstrap(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    statistic: Statistic = "mean",
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Bootstrap interval for the difference A − B of two recipes on one shared test set.

    The items (or whole groups) are drawn once per resample and scored by both recipes: what makes an item hard is
    shared, and cancels. The seeds of A and of B are drawn separately, since seed 0 of one recipe has no more in common
    with seed 0 of the other than with its seed 1. Each side is averaged over its seeds.

    Args:
        correct_a: [seeds of A, N] (or [N]) of booleans or of any per-item score.
        correct_b: [seeds of B, N] (or [N]); the same items in the same order.
        labels: [N] true classes, needed for the statistic "balanced".
        groups: [N] group of each item; groups are resampled whole.
        statistic: "mean" or "balanced", as in `bootstrap`.
        confidence: two-sided coverage in (0, 1).
        resamples: number of resamples, at least 100.
        seed: of the resampling.

    Returns:
        The difference of the scores, and the lower and upper end of its interval. An interval that holds 0 is worded
        "no clear difference", which is not "equal".

    Raises:
        ValueError: if the shapes do not fit or a value is out of range.

    Taught in chapter 3.

    >>> difference, low, high = paired_bootstrap([[1, 1, 1, 0]], [[1, 0, 1, 0]])
    >>> difference, low
    (0.25, 0.0)
    """
    a, b = _score_matrix(correct_a, "correct_a"), _score_matrix(correct_b, "correct_b")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"A has {a.shape[1]} items and B {b.shape[1]}; a paired comparison needs the same items")
    # B enters with its sign turned, so that the sum over the two blocks of seeds is the difference.
    sums, counts = _totals(np.concatenate([a, -b]), labels, groups, statistic)
    return _interval(sums, counts, [len(a), len(b)], confidence, resamples, seed)


def ratio_bootstrap(
    numerator: ArrayLike,
    denominator: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Bootstrap interval for a ratio of two sums over the same seeds and items, such as a mean over the mistakes alone.

    How many items count changes from resample to resample, as it would from test set to test set. Seeds and items (or
    whole groups) are drawn as in `bootstrap`.

    Args:
        numerator: [seeds, N] (or [N]) what each item adds above the line, such as the height of a mistake.
        denominator: [seeds, N] (or [N]) what it adds below, 0 or more, such as 1 for a mistake and 0 elsewhere.
        groups: [N] group of each item; groups are resampled whole.
        confidence: two-sided coverage in (0, 1).
        resamples: number of resamples, at least 100.
        seed: of the resampling.

    Returns:
        The ratio, and the lower and upper end of its interval. Resamples without anything below the line are left out;
        all three are nan where the items themselves have nothing there.

    Raises:
        ValueError: if the shapes do not fit or a value is out of range.

    Source: Cochran, Sampling Techniques (1977), chapter 6, on ratios. Taught in chapter 15.

    >>> ratio, low, high = ratio_bootstrap([0, 1, 0, 2], [0, 1, 0, 1])
    >>> ratio, low, high
    (1.5, 1.0, 2.0)
    """
    above, below = _score_matrix(numerator, "numerator"), _score_matrix(denominator, "denominator")
    if above.shape != below.shape:
        raise ValueError(f"numerator has shape {above.shape} and denominator {below.shape}; give one of each per item")
    if (below < 0).any():
        raise ValueError(f"denominator holds {below.min():g}; what an item adds below the line is 0 or more")
    blocks = [len(above)]
    means = [_resampled(*_totals(scores, None, groups, "mean"), blocks, resamples, seed) for scores in (above, below)]
    (first, drawn_first), (second, drawn_second) = means
    if second == 0:
        return float("nan"), float("nan"), float("nan")
    low, high = _middle(drawn_first[drawn_second > 0] / drawn_second[drawn_second > 0], confidence)
    return first / second, low, high


def intraclass_correlation(values: ArrayLike, groups: ArrayLike) -> float:
    """How alike the items of one group are: the share of the variance that lies between groups, ICC(1).

    1 where all items of a group agree, 0 where a group says nothing about its items; an estimate may fall below 0. Of
    ten pictures of one object of which a classifier gets all or none right it is 1, and they are worth one picture.

    Args:
        values: [N] numbers or booleans, such as whether each item was right.
        groups: [N] group of each item; groups may differ in size.

    Returns:
        The estimate from the one-way analysis of variance, with the usual mean size for groups of different sizes
        (Donner and Koval 1980, *Biometrics* 36, 19–25); nan where all values are equal.

    Raises:
        ValueError: if there are fewer than two groups, or none has two items.

    Source: Shrout and Fleiss (1979), doi:10.1037/0033-2909.86.2.420. Taught in chapter 16.

    >>> intraclass_correlation([1, 1, 0, 0, 1, 1], ["a", "a", "b", "b", "c", "c"])
    1.0
    """
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1:
        raise ValueError(f"values have the shape {scores.shape}; give one per item")
    codes = _codes(groups, len(scores), "groups")
    if len(scores) and np.ptp(scores) == 0:
        return float("nan")
    sizes = np.bincount(codes)
    n, count = len(scores), len(sizes)
    if count < 2 or n == count:
        raise ValueError(f"{n} items in {count} group(s); give at least two groups, and two items in one of them")
    means = np.bincount(codes, weights=scores) / sizes
    between = float((sizes * (means - scores.mean()) ** 2).sum()) / (count - 1)
    within = float(((scores - means[codes]) ** 2).sum()) / (n - count)
    typical = (n - float((sizes**2).sum()) / n) / (count - 1)
    total = between + (typical - 1) * within
    return (between - within) / total if total else float("nan")


def half_width(
    share: float, groups: int, *, per_group: int = 1, correlation: float = 0.0, confidence: float = 0.95
) -> float:
    """Half-width of the interval for an accuracy that is still to be measured: how many test objects a claim needs.

    The normal approximation, widened by the design effect 1 + (per_group − 1) · correlation: with a correlation of 1
    further pictures of an object bring nothing, with 0 each is a new sample. It covers the luck of the items alone.

    Args:
        share: the accuracy that is expected, in (0, 1).
        groups: number of test objects.
        per_group: pictures of each.
        correlation: of the pictures of one object, from `intraclass_correlation`, in [0, 1].
        confidence: two-sided coverage in (0, 1).

    Raises:
        ValueError: if a value is out of range.

    Source: the design effect is Kish's (1965, *Survey Sampling*). Taught in chapter 16.

    >>> round(half_width(0.8, 100), 3), round(half_width(0.8, 100, per_group=10, correlation=1.0), 3)
    (0.078, 0.078)
    """
    if not 0 < share < 1:
        raise ValueError(f"share = {share}; give the accuracy that you expect, between 0 and 1")
    if groups < 1 or per_group < 1 or not 0 <= correlation <= 1:
        raise ValueError(
            f"{groups} groups of {per_group} with a correlation of {correlation}; give at least 1, 1, and 0 to 1 "
            "(0 for an estimate below it)"
        )
    z = float(distributions.norm.ppf(0.5 + _checked_confidence(confidence) / 2))
    effect = 1 + (per_group - 1) * correlation
    return z * float(np.sqrt(share * (1 - share) * effect / (groups * per_group)))


def _score_matrix(correct: ArrayLike, name: str) -> Floats:
    scores = np.asarray(correct, dtype=np.float64)
    scores = scores[None, :] if scores.ndim == 1 else scores
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(f"{name} has shape {np.shape(correct)}; it has to be [seeds, N] with at least one of each")
    if not np.isfinite(scores).all():
        raise ValueError(f"{name} holds values that are not finite; give 0 or 1 (or a finite score) per item")
    return scores


def _totals(
    scores: Floats, labels: ArrayLike | None, groups: ArrayLike | None, statistic: str
) -> tuple[Floats, Floats]:
    """Sums [seeds, units, classes] and counts [units, classes]; a unit is what is drawn: an item or a group."""
    n = scores.shape[1]
    if statistic not in ("mean", "balanced"):
        raise ValueError(f'statistic = {statistic!r} is unknown; choose "mean" or "balanced"')
    if statistic == "balanced" and labels is None:
        raise ValueError('the statistic "balanced" needs labels=, the true class of each item')
    classes = _codes(labels, n, "labels") if statistic == "balanced" else np.zeros(n, dtype=np.int64)
    units = _codes(groups, n, "groups") if groups is not None else np.arange(n)
    shape = (int(units.max()) + 1, int(classes.max()) + 1)
    cell = units * shape[1] + classes
    counts = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    sums = [np.bincount(cell, weights=row, minlength=shape[0] * shape[1]).reshape(shape) for row in scores]
    return np.stack(sums), counts


def _codes(values: ArrayLike | None, n: int, name: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.shape != (n,):
        raise ValueError(f"{name} has shape {array.shape} for {n} items; give one value per item")
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def _interval(
    sums: Floats, counts: Floats, blocks: list[int], confidence: float, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Estimate and percentile interval; each block of seeds is averaged, the blocks are added."""
    estimate, resampled = _resampled(sums, counts, blocks, resamples, seed)
    return estimate, *_middle(resampled, confidence)


def _middle(values: Floats, confidence: float) -> tuple[float, float]:
    """Ends of the middle share of the values."""
    tail = (1 - _checked_confidence(confidence)) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _resampled(sums: Floats, counts: Floats, blocks: list[int], resamples: int, seed: int) -> tuple[float, Floats]:
    """The score itself and that of each resample."""
    if resamples < 100:
        raise ValueError(f"resamples = {resamples} is too few for an interval; take at least 100")
    seeds_once = np.concatenate([np.full(size, 1 / size) for size in blocks])[None, :]
    units_once = np.ones((1, len(counts)))
    estimate = float(_scores(sums, counts, seeds_once, units_once)[0])
    width = sums.shape[0] * counts.shape[1]
    draws = _weights(tuple(blocks), len(counts), width, resamples, seed)
    return estimate, np.concatenate([_scores(sums, counts, seeds, units.astype(np.float64)) for seeds, units in draws])


def _weights(
    blocks: tuple[int, ...], units: int, width: int, resamples: int, seed: int
) -> Iterable[tuple[Floats, NDArray[np.unsignedinteger]]]:
    """How often each seed (as a share of its block) and each unit is drawn, in chunks that bound the memory.

    The draws do not depend on the scores, and take most of the time: those of the last few calls are kept for the next
    row of a table over the same items.
    """
    drawn = _kept if resamples * units <= _KEPT_NUMBERS else _drawn
    return drawn(blocks, units, max(1, min(resamples, _CHUNK_NUMBERS // max(units, width))), resamples, seed)


def _drawn(
    blocks: tuple[int, ...], units: int, chunk: int, resamples: int, seed: int
) -> Iterator[tuple[Floats, NDArray[np.unsignedinteger]]]:
    """The chunks one by one.

    Drawing n of n with replacement is a multinomial count per unit, which turns every resample into a matrix product.
    A count seldom needs more than a byte.
    """
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        seeds = [rng.multinomial(count, np.full(count, 1 / count), size=size) / count for count in blocks]
        counts = rng.multinomial(units, np.full(units, 1 / units), size=size)
        yield np.concatenate(seeds, axis=1), counts.astype(np.min_scalar_type(counts.max()))


@functools.lru_cache(maxsize=4)
def _kept(
    blocks: tuple[int, ...], units: int, chunk: int, resamples: int, seed: int
) -> tuple[tuple[Floats, NDArray[np.unsignedinteger]], ...]:
    """All chunks, for the next call as well."""
    return tuple(_drawn(blocks, units, chunk, resamples, seed))


def _scores(sums: Floats, counts: Floats, seeds: Floats, units: Floats) -> Floats:
    """Score of each resample [R] from weights of the seeds [R, seeds] and of the units [R, units]."""
    n_seeds, n_units, n_classes = sums.shape
    per_unit = sums.transpose(1, 0, 2).reshape(n_units, n_seeds * n_classes)
    totals = (units @ per_unit).reshape(len(units), n_seeds, n_classes)
    sizes = units @ counts
    present = sizes > 0
    weighted = np.einsum("rs,rsc->rc", seeds, totals)
    recall = np.divide(weighted, sizes, out=np.zeros_like(weighted), where=present)
    return np.asarray(recall.sum(axis=1) / present.sum(axis=1), dtype=np.float64)


def _check_count(successes: Any, n: Any) -> None:
    if n < 1:
        raise ValueError(f"n = {n} is no number of cases; it has to be at least 1")
    if not 0 <= successes <= n:
        raise ValueError(f"successes = {successes} of n = {n} is impossible; it has to lie between 0 and n")


def _checked_confidence(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence} is no coverage; it has to lie strictly between 0 and 1")
    return confidence
