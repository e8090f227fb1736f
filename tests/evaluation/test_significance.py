from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from gnnrec.errors import DataError
from gnnrec.evaluation.significance import (
    bca_interval,
    benjamini_hochberg,
    compare,
    holm,
    paired_t,
    pairwise_p_values,
    sign_flip,
    wilcoxon,
)


def test_p_values_equal_scipy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(80), rng.random(80) + 0.05
    result = compare(first, second)
    assert result.p_t == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert result.p_wilcoxon == pytest.approx(stats.wilcoxon(first, second).pvalue)
    theirs = stats.permutation_test(
        (first - second,), np.mean, permutation_type="samples", n_resamples=9999, rng=np.random.default_rng(1)
    )
    assert result.p_permutation == pytest.approx(theirs.pvalue, abs=0.02)
    assert result.difference == pytest.approx((first - second).mean())
    assert result.effect_size == pytest.approx((first - second).mean() / (first - second).std(ddof=1))


def test_the_interval_equals_scipys_bca() -> None:
    difference = np.random.default_rng(0).exponential(size=60) - 0.8
    ours = bca_interval(difference, 0.9, 20000, np.random.default_rng(0))
    theirs = stats.bootstrap(
        (difference,),
        np.mean,
        n_resamples=20000,
        confidence_level=0.9,
        method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.01)
    percentile = np.quantile(
        [np.random.default_rng(s).choice(difference, 60).mean() for s in range(4000)], [0.05, 0.95]
    )
    assert ours[1] > percentile[1]  # skewed to the right: the interval is shifted


def test_sign_flips_of_few_users_are_exact() -> None:
    difference = np.array([0.3, -0.1, 0.4, 0.2, 0.0, 0.5])
    patterns = itertools.product((-1, 1), repeat=6)
    sums = np.array([np.dot(signs, difference) for signs in patterns])
    expected = (np.abs(sums) >= difference.sum() - 1e-9).mean()
    assert sign_flip(difference, 10, np.random.default_rng(0)) == pytest.approx(expected)


def test_nothing_differs() -> None:
    same = np.random.default_rng(0).random(40)
    result = compare(same, same)
    assert (result.p_t, result.p_wilcoxon, result.p_permutation) == (1, 1, 1)
    assert (result.difference, result.low, result.high) == (0, 0, 0)
    assert np.isnan(result.effect_size)


def test_equal_models_with_different_numbers_of_seeds_do_not_differ() -> None:
    values = np.random.default_rng(0).integers(1, 20, 200) / np.random.default_rng(1).integers(20, 40, 200)
    several = np.tile(values, (3, 1))
    assert np.any(several.mean(axis=0) != values)  # by rounding alone
    result = compare(several, values, paired_seeds=False)
    assert (result.difference, result.low, result.high) == (0, 0, 0)
    assert (result.p_t, result.p_wilcoxon, result.p_permutation) == (1, 1, 1)
    for test in ("t", "wilcoxon"):
        assert pairwise_p_values({"a": several, "b": values}, test) == {("a", "b"): 1.0}


def test_false_alarms_come_at_the_stated_rate() -> None:
    """Where there is no difference, about 5% of p-values are below .05."""
    rng = np.random.default_rng(0)
    differences = [rng.normal(size=50) for _ in range(400)]
    for test in (paired_t, wilcoxon, lambda d: sign_flip(d, 499, rng)):
        rate = np.mean([test(difference) < 0.05 for difference in differences])
        assert 0.02 < rate < 0.085
    covered = [np.prod(bca_interval(d, 0.95, 499, rng)) < 0 for d in differences[:200]]
    assert 0.89 < np.mean(covered) < 0.99


def test_users_are_averaged_over_seeds_and_unknown_ones_left_out() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((5, 50)), rng.random((5, 50))
    first[:, 3] = second[:, 4] = np.nan
    result = compare(first, second)
    keep = np.setdiff1d(np.arange(50), [3, 4])
    assert (result.num_users, result.num_seeds, result.warning) == (48, 5, "")
    expected = stats.ttest_rel(first.mean(0)[keep], second.mean(0)[keep]).pvalue
    assert result.p_t == pytest.approx(expected)
    by_seed = stats.ttest_rel(first[:, keep].mean(axis=1), second[:, keep].mean(axis=1)).pvalue
    assert result.p_seeds == pytest.approx(by_seed)


def test_seeds_that_change_nothing_are_no_evidence() -> None:
    rng = np.random.default_rng(0)
    baseline, other, trained = (np.tile(rng.random(50), (5, 1)) for _ in range(3))
    trained = trained + rng.normal(scale=0.01, size=(5, 1))
    assert np.isnan(compare(baseline, other).p_seeds)
    by_seed = stats.ttest_1samp(baseline.mean(axis=1) - trained.mean(axis=1), 0).pvalue
    assert compare(baseline, trained).p_seeds == pytest.approx(by_seed)


def test_small_samples_are_warned_of() -> None:
    rng = np.random.default_rng(0)
    result = compare(rng.random((2, 12)), rng.random((2, 12)))
    assert "2 of at least 5 seeds" in result.warning
    assert "12 of at least 30 users" in result.warning


def test_results_are_seeded() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 100)), rng.random((2, 100))
    assert compare(first, second, seed=1) == compare(first, second, seed=1)
    assert compare(first, second, seed=1) != compare(first, second, seed=2)


def test_holm_and_benjamini_hochberg() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # worked by hand
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == benjamini_hochberg([]) == []
    with_unknown = holm([0.01, float("nan"), 0.02])
    assert np.isnan(with_unknown[1])
    assert [with_unknown[0], with_unknown[2]] == pytest.approx([0.02, 0.02])


def test_pairs_of_models() -> None:
    rng = np.random.default_rng(0)
    base = rng.random((5, 60))
    values = {
        "a": base,
        "b": base + 0.1 + 0.01 * rng.random((5, 60)),
        "c": base + rng.normal(0, 0.1, (5, 60)),
    }
    result = pairwise_p_values(values)
    assert list(result) == [("a", "b"), ("a", "c"), ("b", "c")]
    raw = pairwise_p_values(values, correction="none")
    assert list(result.values()) == pytest.approx(holm(list(raw.values())))
    assert raw["a", "b"] < 1e-6
    assert set(pairwise_p_values(values, test="wilcoxon", correction="bh")) == set(raw)


def test_arrays_that_do_not_match() -> None:
    with pytest.raises(DataError, match="same users"):
        compare(np.ones(3), np.ones(4))
    with pytest.raises(DataError, match="no user has a value in both"):
        compare(np.array([1.0, np.nan]), np.array([np.nan, 1.0]))
    with pytest.raises(DataError, match=r"got 2 and 3 seeds\); use paired_seeds=False"):
        compare(np.ones((2, 4)), np.ones((3, 4)))


@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
def test_a_spread_that_is_rounding_gives_no_effect_size(scale: float) -> None:
    values = np.random.default_rng(0).random(50)
    assert np.isnan(compare(scale * values, scale * (values - 0.1)).effect_size)
    noise = np.random.default_rng(1).normal(scale=1e-6, size=50)
    difference = scale * values - scale * (values - noise)
    expected = difference.mean() / difference.std(ddof=1)
    assert compare(scale * values, scale * (values - noise)).effect_size == expected
