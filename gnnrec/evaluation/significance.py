"""Is a difference between two models more than chance? Paired tests over users, each averaged over seeds.

All functions take per-user values of the same users in the same order, [num_users] or [num_seeds, num_users];
users that are NaN in either model are left out of that comparison.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from gnnrec.errors import DataError, check_choice

MIN_SEEDS = 5
MIN_USERS = 30
_CONFIDENCE = 0.95
_NUM_RESAMPLES = 9999
_EXACT_UP_TO = 14
_ROUNDING = 1e-12  # relative: the mean of n equal numbers need not be that number
_CELLS = 4_000_000  # resampled numbers held at once


@dataclass(frozen=True)
class Comparison:
    """Two models on the same users.

    Args:
        first, second: means over users.
        difference: mean of first - second.
        low, high: 95 % BCa bootstrap interval of the difference.
        effect_size: Cohen's d of paired samples, mean difference / its standard deviation over users; NaN where all
            users differ by the same.
        p_t, p_wilcoxon, p_permutation: two-sided p-values over users.
        num_seeds: of the model with fewer.
        p_seeds: two-sided paired t-test over the means of the seeds, of the same users; NaN for fewer than two, where
            neither model changes with the seed, and where seeds are not paired.
        warning: what is too small for the numbers to be trusted, "" where nothing is.
    """

    num_users: int
    num_seeds: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    effect_size: float
    p_t: float
    p_wilcoxon: float
    p_permutation: float
    p_seeds: float
    warning: str


def compare(
    first: np.ndarray,
    second: np.ndarray,
    *,
    seed: int = 0,
    paired_seeds: bool = True,
    seeded: bool = True,
) -> Comparison:
    """Return every paired comparison of two models, users averaged over seeds first.

    Args:
        paired_seeds: whether row s of both arrays has one seed, a single row standing for all; False leaves out
            `p_seeds`, and the arrays may then have different numbers of rows.
        seeded: whether either model depends on a seed; False expects one row of each, and no warning of few seeds.

    Raises DataError for arrays of different shapes or without a user known to both.
    """
    by_seed = [np.atleast_2d(np.asarray(values, dtype=np.float64)) for values in (first, second)]
    if paired_seeds:
        _check_paired(*by_seed)
    difference, known = _difference(*by_seed)
    means = [float(values[:, known].mean()) for values in by_seed]
    rng = np.random.default_rng(seed)
    low, high = bca_interval(difference, _CONFIDENCE, _NUM_RESAMPLES, rng)
    num_seeds = min(len(values) for values in by_seed)
    return Comparison(
        num_users=len(difference),
        num_seeds=num_seeds,
        first=means[0],
        second=means[1],
        difference=float(difference.mean()),
        low=low,
        high=high,
        effect_size=_effect_size(difference, max(float(np.abs(v[:, known]).max()) for v in by_seed)),
        p_t=paired_t(difference),
        p_wilcoxon=wilcoxon(difference),
        p_permutation=sign_flip(difference, _NUM_RESAMPLES, rng),
        p_seeds=_over_seeds(*(v[:, known].mean(axis=1) for v in by_seed)) if paired_seeds else float("nan"),
        warning=_warning(len(difference), num_seeds if seeded else MIN_SEEDS),
    )


def _check_paired(first: np.ndarray, second: np.ndarray) -> None:
    if len(first) != len(second) and min(len(first), len(second)) > 1:
        raise DataError(
            f"paired seeds need as many rows of both models (got {len(first)} and {len(second)} seeds); "
            "use paired_seeds=False"
        )


def _effect_size(difference: np.ndarray, scale: float) -> float:
    """Return the mean over the standard deviation, NaN where that is rounding of values as large as `scale`."""
    spread = difference.std(ddof=1) if len(difference) > 1 else 0.0
    return float(difference.mean() / spread) if spread > _ROUNDING * scale else float("nan")


def _difference(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if first.shape[1] != second.shape[1]:
        raise DataError(
            f"both models need values of the same users (got {first.shape[1]} and {second.shape[1]} users)"
        )
    difference = differences(first.mean(axis=0), second.mean(axis=0))
    known = ~np.isnan(difference)
    if not known.any():
        raise DataError("no user has a value in both models: nothing can be compared")
    return difference[known], known


def differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return first - second, exactly 0 where they differ by rounding alone; every paired test is made of these.

    Means over different numbers of seeds round differently and often to one side, which a test would take for a
    difference between equal models.
    """
    difference = first - second
    return np.where(
        np.abs(difference) <= _ROUNDING * np.maximum(np.abs(first), np.abs(second)), 0.0, difference
    )


def _over_seeds(first: np.ndarray, second: np.ndarray) -> float:
    if not np.ptp(first) and not np.ptp(second):
        return float("nan")  # equal repetitions say nothing of another training
    return paired_t(differences(first, second))


def _warning(num_users: int, num_seeds: int) -> str:
    parts = []
    if num_seeds < MIN_SEEDS:
        parts.append(f"{num_seeds} of at least {MIN_SEEDS} seeds: the spread of training is not known")
    if num_users < MIN_USERS:
        parts.append(f"{num_users} of at least {MIN_USERS} users: the t-test's normal mean is not given")
    return "; ".join(parts)


def paired_t(difference: np.ndarray) -> float:
    """Return the two-sided p-value of Student's paired t-test; 1 where all differences are 0, NaN for one."""
    if not np.any(difference):
        return 1.0 if len(difference) > 1 else float("nan")
    if len(difference) < 2:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # differences that are all equal: p is 0
        return _p(stats.ttest_1samp(difference, 0.0))


def wilcoxon(difference: np.ndarray) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test, differences of 0 left out; 1 if all are 0."""
    changed = difference[difference != 0]
    return _p(stats.wilcoxon(changed)) if len(changed) else 1.0


def _p(result: Any) -> float:
    return float(result.pvalue)


def sign_flip(difference: np.ndarray, num_resamples: int, rng: np.random.Generator) -> float:
    """Return the two-sided p-value of the sign-flip permutation test of the mean.

    Under the hypothesis that the models can be exchanged, the sign of each user's difference is a fair coin.
    p = (1 + #{|flipped sum| >= |sum|}) / (1 + resamples); all sign patterns are tried for up to 14 differences.
    """
    changed = difference[difference != 0]  # a 0 does not change when its sign does
    if not len(changed):
        return 1.0
    least = abs(changed.sum()) * (1 - 1e-12)
    if len(changed) <= _EXACT_UP_TO:
        bits = np.arange(2 ** len(changed))[:, None] >> np.arange(len(changed)) & 1
        return float((np.abs((2 * bits - 1) @ changed) >= least).mean())
    count, step = 0, max(1, _CELLS // len(changed))
    for start in range(0, num_resamples, step):
        size = (min(step, num_resamples - start), len(changed))
        signs = rng.integers(0, 2, size, dtype=np.int8) * np.int8(2) - np.int8(1)
        count += int((np.abs(signs @ changed) >= least).sum())
    return (1 + count) / (1 + num_resamples)


def bca_interval(
    difference: np.ndarray, confidence: float, num_resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated bootstrap interval of the mean.

    Efron, 1987, https://doi.org/10.1080/01621459.1987.10478410; for a mean the acceleration is
    sum (x - mean)^3 / (6 (sum (x - mean)^2)^1.5). Where many values are equal, which is faster, they are drawn
    together as multinomial counts.
    """
    mean = difference.mean()
    values, counts = np.unique(difference, return_counts=True)
    if len(values) == 1:
        return float(mean), float(mean)
    drawn = np.empty(num_resamples)
    step = max(1, _CELLS // len(difference))
    for start in range(0, num_resamples, step):
        size = min(step, num_resamples - start)
        if 2 * len(values) < len(difference):
            weights = rng.multinomial(len(difference), counts / len(difference), size)
            drawn[start : start + size] = weights @ values / len(difference)
        else:
            places = rng.integers(0, len(difference), (size, len(difference)), dtype=np.int32)
            drawn[start : start + size] = difference[places].mean(axis=1)
    below = ((drawn < mean).mean() + (drawn <= mean).mean()) / 2
    bias = stats.norm.ppf(np.clip(below, 0.5 / num_resamples, 1 - 0.5 / num_resamples))
    centred = difference - mean
    acceleration = (centred**3).sum() / (6 * (centred**2).sum() ** 1.5)
    normal = stats.norm.ppf([(1 - confidence) / 2, (1 + confidence) / 2]) + bias
    low, high = np.quantile(drawn, stats.norm.cdf(bias + normal / (1 - acceleration * normal)))
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for the family-wise error rate; NaN stays NaN and counts as no test.

    p_(i) * (m - i + 1) over ascending p, made non-decreasing, at most 1. Holm, 1979,
    https://www.jstor.org/stable/4615733.
    """
    return _corrected(p_values, lambda p: np.maximum.accumulate(p * np.arange(len(p), 0, -1)))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for the false discovery rate; NaN stays NaN and counts as no test.

    p_(i) * m / i over ascending p, made non-decreasing from the end. Benjamini and Hochberg, 1995,
    https://doi.org/10.1111/j.2517-6161.1995.tb02031.x.
    """

    def steps(p: np.ndarray) -> np.ndarray:
        raw = p * len(p) / np.arange(1, len(p) + 1)
        return np.minimum.accumulate(raw[::-1])[::-1]

    return _corrected(p_values, steps)


def _corrected(p_values: Sequence[float], steps: Callable[[np.ndarray], np.ndarray]) -> list[float]:
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    corrected = np.full(len(p), np.nan)
    corrected[order] = np.minimum(steps(p[order]), 1.0)
    return corrected.tolist()


def pairwise_p_values(
    values: Mapping[str, np.ndarray], test: str = "t", correction: str = "holm"
) -> dict[tuple[str, str], float]:
    """Return the corrected p-value of every pair of models, once per pair, in the order of `values`.

    Args:
        values: model -> [num_users] or [num_seeds, num_users].
        test: "t" or "wilcoxon".
        correction: "holm", "bh" or "none", over all pairs.
    """
    check_choice("test", test, ("t", "wilcoxon"), "pairwise_p_values")
    check_choice("correction", correction, ("holm", "bh", "none"), "pairwise_p_values")
    by_seed = {name: np.atleast_2d(np.asarray(array, dtype=np.float64)) for name, array in values.items()}
    pairs = list(combinations(by_seed, 2))
    run = paired_t if test == "t" else wilcoxon
    raw = [run(_difference(by_seed[a], by_seed[b])[0]) for a, b in pairs]
    correct = {"holm": holm, "bh": benjamini_hochberg, "none": list}[correction]
    return dict(zip(pairs, correct(raw)))
