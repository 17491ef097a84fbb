"""Intervals and tests against closed forms, against scipy, and by simulation of their coverage."""

import numpy as np
import pytest
from scipy import stats as reference

from clslab import stats


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (1, 10), (9, 10), (5, 5), (1929, 2000)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_is_that_of_scipy(successes, n, confidence):
    found = reference.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert stats.wilson(successes, n, confidence) == pytest.approx((found.low, found.high), abs=1e-12)


def test_wilson_reaches_the_ends_and_is_symmetric():
    assert stats.wilson(0, 7)[0] == 0.0
    assert stats.wilson(7, 7)[1] == 1.0
    low, high = stats.wilson(3, 7)
    assert stats.wilson(4, 7) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1, 0), "n = 0"), ((-1, 5), "successes = -1"), ((6, 5), "successes = 6 of n = 5"), ((1, 5, 1.0), "confidence")],
)
def test_wilson_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        stats.wilson(*arguments)


def test_mcnemar_closed_forms():
    assert stats.mcnemar(0, 0) == 1
    assert stats.mcnemar(4, 4) == 1
    assert stats.mcnemar(0, 6) == pytest.approx(2 * 0.5**6)
    assert stats.mcnemar(1, 9) == pytest.approx(2 * 11 * 0.5**10)
    assert stats.mcnemar(30, 12) == stats.mcnemar(12, 30)
    assert stats.mcnemar(30, 12) == pytest.approx(min(1, 2 * reference.binom.cdf(12, 42, 0.5)))
    for wrong in ((-1, 2), (1.5, 2)):
        with pytest.raises(ValueError, match="is no count"):
            stats.mcnemar(*wrong)


@pytest.mark.parametrize(
    ("a", "n_a", "b", "n_b", "p"),
    [
        (1929, 2000, 1936, 2000, 0.54),  # S3: learning rate .001 against .0012
        (8310, 10000, 8330, 10000, 0.72),  # S2: smoothing, 0.8311 → 0.833, about
        (8400, 10000, 8437, 10000, 0.47),  # S2: test-time augmentation
        (0.885 * 1012, 1012, 0.892 * 1012, 1012, 0.60),  # S4: fixed against fine-tuned
    ],
)
def test_the_sources_differences_are_within_sampling(a, n_a, b, n_b, p):
    assert stats.two_proportions_p(a, n_a, b, n_b) == pytest.approx(p, abs=0.02)


def test_the_sources_clear_differences_are_clear():
    assert stats.two_proportions_p(1936, 2000, 1976, 2000) < 1e-4  # S3: SGD against Adam
    assert stats.two_proportions_p(7900, 10000, 8150, 10000) < 1e-4  # S2: AutoAugment
    assert stats.two_proportions_p(8150, 10000, 8311, 10000) < 0.01  # S2: SAM


def test_two_proportions_is_the_chi_squared_test():
    table = [[40, 60], [55, 45]]
    expected = reference.chi2_contingency(table, correction=False).pvalue
    assert stats.two_proportions_p(40, 100, 55, 100) == pytest.approx(expected)
    assert stats.two_proportions_p(10, 10, 5, 5) == 1
    with pytest.raises(ValueError, match="n = 0"):
        stats.two_proportions_p(0, 0, 1, 2)


def test_spread():
    assert stats.spread([1.0, 2.0, 3.0]) == (2.0, 1.0)
    mean, deviation = stats.spread([0.5])
    assert mean == 0.5
    assert np.isnan(deviation)
    for wrong in ([], [np.nan], [[1.0]]):
        with pytest.raises(ValueError, match="list of finite scores"):
            stats.spread(wrong)


def test_one_seed_is_the_bootstrap_of_scipy():
    correct = np.random.default_rng(0).random(300) < 0.8
    estimate, low, high = stats.bootstrap(correct, resamples=8_000)
    found = reference.bootstrap(
        (correct.astype(float),), np.mean, method="percentile", n_resamples=8_000, rng=1
    ).confidence_interval
    assert estimate == correct.mean()
    assert (low, high) == pytest.approx((found.low, found.high), abs=0.005)


def test_same_seed_same_interval_and_chunks_do_not_matter(monkeypatch):
    correct = np.random.default_rng(0).random((3, 50)) < 0.8
    first = stats.bootstrap(correct, seed=4)
    assert stats.bootstrap(correct, seed=4) == first
    assert stats.bootstrap(correct, seed=5) != first
    monkeypatch.setattr(stats, "_CHUNK_NUMBERS", 700)
    chunked = stats.bootstrap(correct, seed=4)
    assert chunked == pytest.approx(first, abs=0.02)


def test_draws_that_are_kept_change_no_interval(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 50)) < [[[0.8]], [[0.6]]]
    found = [stats.bootstrap(a), stats.bootstrap(b), stats.paired_bootstrap(a, b), stats.bootstrap(a[:, :40])]
    kept = stats._kept.cache_info()
    assert [stats.bootstrap(a), stats.bootstrap(b), stats.paired_bootstrap(a, b), stats.bootstrap(a[:, :40])] == found
    assert stats._kept.cache_info().hits == kept.hits + 4
    monkeypatch.setattr(stats, "_KEPT_NUMBERS", 50 * 2000 - 1)  # now those of forty items alone are kept
    assert [stats.bootstrap(a), stats.bootstrap(b), stats.paired_bootstrap(a, b), stats.bootstrap(a[:, :40])] == found
    assert stats._kept.cache_info().hits == kept.hits + 5


def test_seeds_that_disagree_widen_the_interval():
    """The variance over seeds and items together is that of the random-effects formula, not that of the items alone."""
    rng = np.random.default_rng(1)
    calm = np.tile(rng.random(400) < 0.8, (5, 1))
    skill = np.array([0.6, 0.7, 0.8, 0.9, 0.95])
    wild = rng.random((5, 400)) < skill[:, None]
    assert np.ptp(stats.bootstrap(wild)[1:]) > 2 * np.ptp(stats.bootstrap(calm)[1:])
    low, high = stats.bootstrap(wild, resamples=8_000)[1:]
    means = wild.mean(axis=1)
    # Given the seeds the resampled mean varies by its items too: both variances add.
    variance = means.var() / 5 + wild.mean(axis=0).var() / 400
    assert (high - low) / (2 * 1.96) == pytest.approx(np.sqrt(variance), rel=0.15)


def test_whole_groups_widen_the_interval_by_the_design_effect():
    """Ten identical items per group are one item: the interval is that of the groups."""
    per_group = np.random.default_rng(2).random(60) < 0.7
    items, groups = np.repeat(per_group, 10), np.repeat(np.arange(60), 10)
    grouped = stats.bootstrap(items, groups=groups, resamples=10_000)
    alone = stats.bootstrap(per_group, resamples=10_000)
    assert grouped == pytest.approx(alone, abs=0.01)
    assert np.ptp(grouped[1:]) > 2.5 * np.ptp(stats.bootstrap(items)[1:])


def test_groups_of_any_name_and_size():
    correct = [1, 0, 1, 1, 0]
    by_text = stats.bootstrap(correct, groups=["b", "b", "a", "c", "c"])
    assert by_text == stats.bootstrap(correct, groups=[7, 7, 3, 9, 9])
    assert by_text[0] == pytest.approx(0.6)


def test_balanced_estimate_is_the_mean_of_class_means():
    labels = [0] * 8 + [1] * 2
    correct = [[1] * 8 + [0, 0], [1] * 8 + [1, 0]]
    estimate, low, high = stats.bootstrap(correct, labels=labels, statistic="balanced")
    assert estimate == pytest.approx((1.0 + 0.25) / 2)
    assert low <= estimate <= high
    with pytest.raises(ValueError, match="needs labels="):
        stats.bootstrap(correct, statistic="balanced")


def test_chance_of_one_seed_on_one_item_counts_three_times():
    """The known conservatism of drawing rows and columns: coin flips have variance 1/4 each, the interval shows 3/4."""
    flips = np.random.default_rng(8).random((20, 400)) < 0.5
    low, high = stats.bootstrap(flips, resamples=8_000)[1:]
    assert (high - low) / (2 * 1.96) == pytest.approx(np.sqrt(3 * 0.25 / flips.size), rel=0.1)


@pytest.mark.parametrize(("seeds", "floor", "ceiling"), [(1, 0.91, 0.99), (8, 0.95, 1.0)])
def test_coverage(seeds, floor, ceiling):
    """About 95 % of the intervals hold the truth for one seed, and no fewer where seeds and items both vary."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(150):
        hard = rng.normal(0.8, 0.1, 200).clip(0, 1)
        skill = rng.normal(0, 0.02, seeds) if seeds > 1 else np.zeros(1)
        correct = rng.random((seeds, 200)) < (hard + skill[:, None]).clip(0, 1)
        _, low, high = stats.bootstrap(correct, resamples=300)
        held += low <= 0.796 <= high  # the mean of the clipped normal
    assert floor <= held / 150 <= ceiling


def test_coverage_of_the_paired_difference():
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(150):
        hard = rng.uniform(0.4, 1.0, 150)
        a = rng.random((2, 150)) < hard - 0.1
        b = rng.random((3, 150)) < hard
        _, low, high = stats.paired_bootstrap(a, b, resamples=300)
        held += low <= -0.1 <= high
    assert held / 150 >= 0.92


def test_pairing_cancels_what_makes_an_item_hard():
    rng = np.random.default_rng(5)
    easy = rng.random(500) < 0.7
    a, b = easy.copy(), easy.copy()
    a[:10] = True
    difference, low, high = stats.paired_bootstrap(a, b)
    assert difference == pytest.approx(a.mean() - b.mean())
    assert high - low < 0.5 * np.ptp(stats.bootstrap(a)[1:])
    assert stats.paired_bootstrap(a, a) == (0.0, 0.0, 0.0)


def test_the_difference_turns_its_sign():
    rng = np.random.default_rng(6)
    a, b = rng.random((2, 80)) < 0.8, rng.random((2, 80)) < 0.6
    forth, back = stats.paired_bootstrap(a, b, resamples=5000), stats.paired_bootstrap(b, a, resamples=5000)
    assert forth[0] == pytest.approx(-back[0])
    assert (forth[1], forth[2]) == pytest.approx((-back[2], -back[1]), abs=0.01)


def test_balanced_difference():
    labels = [0, 0, 0, 1]
    found = stats.paired_bootstrap([1, 1, 1, 0], [1, 1, 1, 1], labels=labels, statistic="balanced")
    assert found[0] == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": [1, 2]}, r"groups has shape \(2,\) for 3 items"),
        ({"labels": [1], "statistic": "balanced"}, r"labels has shape \(1,\)"),
        ({"statistic": "median"}, "statistic = 'median' is unknown"),
        ({"confidence": 95}, "confidence = 95"),
        ({"resamples": 10}, "resamples = 10 is too few"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        stats.bootstrap([1, 0, 1], **options)


@pytest.mark.parametrize("correct", [[], [[]], [[[1]]], 1])
def test_wrong_shapes_are_refused(correct):
    with pytest.raises(ValueError, match="it has to be"):
        stats.bootstrap(correct)


def test_wrong_pairs_are_refused():
    with pytest.raises(ValueError, match="A has 2 items and B 3"):
        stats.paired_bootstrap([1, 0], [1, 0, 1])
    with pytest.raises(ValueError, match="correct_b holds values that are not finite"):
        stats.paired_bootstrap([1, 0], [1, np.nan])


# ---------------------------------------------------------------- ratios


def heights(seed, size=(4, 120)):
    """Heights of mistakes, 0 where an answer is right."""
    return np.random.default_rng(seed).integers(0, 4, size=size).astype(float)


def test_a_ratio_of_one_seed_is_that_of_scipy():
    above = heights(0)[0]
    found = stats.ratio_bootstrap(above, above > 0, resamples=5000)
    expected = reference.bootstrap(
        (above, (above > 0).astype(float)),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        n_resamples=5000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert found[0] == above[above > 0].mean()
    assert found[1:] == pytest.approx((expected.low, expected.high), abs=0.02)


def test_a_ratio_over_ones_is_the_mean():
    above = heights(1)
    groups = np.arange(120) // 5
    assert stats.ratio_bootstrap(above, np.ones_like(above)) == pytest.approx(stats.bootstrap(above))
    assert stats.ratio_bootstrap(above, np.ones_like(above), groups=groups) == pytest.approx(
        stats.bootstrap(above, groups=groups)
    )


def test_the_interval_of_a_ratio_covers_it():
    # Each item is wrong with probability 0.4, and then its height is 1 or 3: the severity is 2.
    rng, inside = np.random.default_rng(2), 0
    for _ in range(200):
        above = rng.choice([1.0, 3.0], size=(1, 150)) * (rng.random((1, 150)) < 0.4)
        _, low, high = stats.ratio_bootstrap(above, above > 0, resamples=300)
        inside += low <= 2 <= high
    assert 180 <= inside <= 199


def test_a_ratio_without_anything_below_the_line():
    assert np.isnan(stats.ratio_bootstrap([0, 0, 0], [0, 0, 0])).all()
    # One of two items counts, so that a quarter of the resamples has nothing below the line.
    assert stats.ratio_bootstrap([2, 0], [1, 0]) == (2, 2, 2)


def test_wrong_ratios_are_refused():
    with pytest.raises(ValueError, match=r"numerator has shape \(1, 2\) and denominator \(1, 3\)"):
        stats.ratio_bootstrap([1, 0], [1, 0, 1])
    with pytest.raises(ValueError, match="denominator holds -1"):
        stats.ratio_bootstrap([1, 0], [1, -1])


# ---------------------------------------------------------------- how many objects


def test_the_intraclass_correlation_of_shrout_and_fleiss() -> None:
    """Table 2 of their paper: six targets, four judges, ICC(1, 1) = .17 (Table 4)."""
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    groups = np.repeat(np.arange(6), 4)
    assert stats.intraclass_correlation(np.ravel(ratings), groups) == pytest.approx(0.17, abs=0.005)


def test_the_intraclass_correlation_of_groups_of_any_size() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4000), rng.integers(1, 8, 4000))
    values = np.sqrt(0.3) * rng.normal(size=4000)[groups] + np.sqrt(0.7) * rng.normal(size=len(groups))
    assert stats.intraclass_correlation(values, groups) == pytest.approx(0.3, abs=0.02)
    assert stats.intraclass_correlation(rng.permutation(values), groups) == pytest.approx(0.0, abs=0.02)
    for value in (1.0, 0.1, 0.7):  # whose mean need not be the value itself, to the last bit
        assert np.isnan(stats.intraclass_correlation(np.full(9, value), np.arange(9) // 2))


@pytest.mark.parametrize(("values", "groups"), [([1, 0, 1], [1, 2, 3]), ([1, 0], [1, 1]), ([[1, 0]], [1, 2])])
def test_what_has_no_intraclass_correlation(values: list, groups: list) -> None:
    with pytest.raises(ValueError, match="give"):
        stats.intraclass_correlation(values, groups)


@pytest.mark.parametrize(("per_group", "correlation"), [(1, 0.0), (5, 0.0), (5, 0.5), (5, 1.0)])
def test_the_half_width_is_that_of_simulated_accuracies(per_group: int, correlation: float) -> None:
    """Objects of which each is right with a probability of its own: beta-binomial, of that correlation."""
    rng, share, groups = np.random.default_rng(1), 0.8, 40
    if correlation in (0.0, 1.0):
        own = np.full((20_000, groups), share) if correlation == 0 else rng.random((20_000, groups)) < share
    else:
        spread = 1 / correlation - 1
        own = rng.beta(share * spread, (1 - share) * spread, (20_000, groups))
    accuracy = rng.binomial(per_group, own).mean(axis=1) / per_group
    expected = stats.half_width(share, groups, per_group=per_group, correlation=correlation)
    assert 1.96 * accuracy.std() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("share", "groups", "options"),
    [(1.0, 10, {}), (0.5, 0, {}), (0.5, 10, {"per_group": 0}), (0.5, 10, {"correlation": 1.5})],
)
def test_a_half_width_of_nothing(share: float, groups: int, options: dict) -> None:
    with pytest.raises(ValueError, match="give"):
        stats.half_width(share, groups, **options)
