"""Figures of evaluated models: who is served, how deep, how evenly, and which differences are more than chance.

Every function draws several models into one figure, each given under its label, and returns the figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gnnrec.errors import DataError
from gnnrec.report.frame import FinishedRun, parse_metric
from gnnrec.report.style import COLOURS, MARKERS, add_legend, new_figure, visible

_NORMAL_95 = 1.959964
_RESAMPLES = 500
_CELLS = 4_000_000  # resampled numbers held at once
_USER_BINS = 8

Arrays = Mapping[str, np.ndarray]


def draw_evaluation(models: Mapping[str, Sequence[Arrays]], *, k: int = 20) -> dict[str, Any]:
    """Draw every figure the arrays allow; return them by name.

    Args:
        models: label -> the arrays of `per_user.npz`, one mapping per seed (one run: one model, one seed).
        k: cutoff of the item and user figures, or less where all lists were shorter; those whose arrays are missing
            are left out.
    """
    first = [seeds[0] for seeds in models.values()]
    k = _item_cutoff(first, k)
    metric = f"test/recall@{k}"
    drawn: dict[str, Any] = {}
    if all(f"item_hits@{k}" in arrays for arrays in first):
        drawn[f"recall_by_popularity@{k}"] = recall_by_popularity(models, k=k)
    if all(metric in arrays and "user_degree" in arrays for arrays in first):
        drawn[f"recall_by_activity@{k}"] = metric_by_activity(models, metric=metric)
    if all(len(_cutoffs(arrays)) > 1 for arrays in first):
        drawn["recall_by_cutoff"] = recall_by_cutoff(models)
    if all(f"item_exposure@{k}" in arrays for arrays in first):
        drawn[f"lorenz@{k}"] = lorenz_curves(models, k=k)
    if len(models) > 1 and all(metric in arrays for arrays in first):
        drawn[f"significance_recall@{k}"] = significance_matrix(models, metric=metric)
    return drawn


def arrays_of(runs: Mapping[str, Sequence[FinishedRun]]) -> dict[str, list[dict[str, np.ndarray]]]:
    """Return what `draw_evaluation` takes, from finished runs: label -> one run per seed."""
    return {label: [run.per_user() for run in seeds] for label, seeds in runs.items()}


def recall_by_popularity(models: Mapping[str, Sequence[Arrays]], *, k: int = 20) -> Any:
    """Draw the share of test pairs in the top k against the item's train interactions, with a 95% band.

    Items are put into bins 0, 1, 2-3, 4-7, ...; the share is pooled over the pairs of a bin and averaged over
    seeds. The band is the percentile bootstrap over the items of the bin (500 resamples).
    """
    figure, axes = new_figure(1, 1, 5.6, 3.8)
    axis, ticks = axes[0, 0], {}
    for place, (label, seeds) in enumerate(models.items()):
        hits = np.mean([arrays[f"item_hits@{k}"] for arrays in seeds], axis=0)
        degree, relevant = seeds[0]["item_degree"], seeds[0]["item_relevant"]
        rng = np.random.default_rng(0)
        points = []
        for number, name, member in _degree_bins(degree, relevant > 0):
            ticks[number] = name
            points.append((number, *_pooled(hits[member], relevant[member], rng)))
        _line_with_band(axis, np.array(points), label, place)
    axis.set_xticks(sorted(ticks), [ticks[at] for at in sorted(ticks)], fontsize=7, rotation=45)
    axis.set_xlabel("train interactions of the item")
    axis.set_ylabel(f"share of test pairs in the top {k}")
    return _finish(figure, axes)


def _degree_bins(degree: np.ndarray, used: np.ndarray) -> list[tuple[int, str, np.ndarray]]:
    bins = np.where(degree > 0, np.floor(np.log2(np.maximum(degree, 1))).astype(np.int64) + 1, 0)
    result = []
    for number in np.unique(bins[used]).tolist():
        low, high = (2 ** (number - 1), 2**number - 1) if number else (0, 0)
        result.append((number, str(low) if low == high else f"{low}-{high}", (bins == number) & used))
    return result


def _pooled(part: np.ndarray, whole: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return sum(part) / sum(whole) and its 95% percentile interval over resampled entries."""
    shares, step = np.empty(_RESAMPLES), max(1, _CELLS // len(part))
    for start in range(0, _RESAMPLES, step):
        chosen = rng.integers(0, len(part), (min(step, _RESAMPLES - start), len(part)))
        shares[start : start + step] = part[chosen].sum(axis=1) / whole[chosen].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(part.sum() / whole.sum()), float(low), float(high)


def metric_by_activity(models: Mapping[str, Sequence[Arrays]], *, metric: str) -> Any:
    """Draw a per-user metric against the user's train interactions, in bins of equal numbers of users.

    Users of equal activity stay in one bin; the band is mean +- 1.96 standard errors over users, each averaged
    over seeds.
    """
    figure, axes = new_figure(1, 1, 5.6, 3.8)
    axis, ticks = axes[0, 0], {}
    for place, (label, seeds) in enumerate(models.items()):
        degree, values = seeds[0]["user_degree"], _over_seeds(seeds, metric)
        edges = np.unique(np.quantile(degree, np.linspace(0, 1, _USER_BINS + 1)[1:-1]))
        bins = np.searchsorted(edges, degree, side="left")
        points = []
        for number in np.unique(bins).tolist():
            member = (bins == number) & ~np.isnan(values)
            if member.any():
                ticks[number] = f"{degree[bins == number].min()}-{degree[bins == number].max()}"
                points.append((number, *_mean_and_band(values[member])))
        _line_with_band(axis, np.array(points), label, place)
    axis.set_xticks(sorted(ticks), [ticks[at] for at in sorted(ticks)], fontsize=7, rotation=45)
    axis.set_xlabel("train interactions of the user")
    axis.set_ylabel(metric)
    return _finish(figure, axes)


def recall_by_cutoff(models: Mapping[str, Sequence[Arrays]]) -> Any:
    """Draw mean recall against its cutoff, with mean +- 1.96 standard errors over users."""
    figure, axes = new_figure(1, 1, 4.6, 3.6)
    axis, ticks = axes[0, 0], set()
    for place, (label, seeds) in enumerate(models.items()):
        cutoffs = _cutoffs(seeds[0])
        ticks.update(cutoffs)
        values = [_over_seeds(seeds, f"test/recall@{k}") for k in cutoffs]
        points = [(k, *_mean_and_band(v[~np.isnan(v)])) for k, v in zip(cutoffs, values, strict=True)]
        _line_with_band(axis, np.array(points), label, place)
    axis.set_xticks(sorted(ticks))
    axis.set_xlabel("k")
    axis.set_ylabel("recall@k")
    return _finish(figure, axes)


def lorenz_curves(models: Mapping[str, Sequence[Arrays]], *, k: int = 20) -> Any:
    """Draw which share of all list entries the least shown share of items gets, with the Gini index.

    Curves are averaged over seeds: each has its own least shown items, and the index is the mean of `gini@k`.
    """
    figure, axes = new_figure(1, 1, 4.2, 3.9)
    axis = axes[0, 0]
    axis.plot([0, 1], [0, 1], color="#888888", linewidth=0.8, linestyle=":")
    for place, (label, seeds) in enumerate(models.items()):
        share = np.mean([_lorenz(arrays[f"item_exposure@{k}"]) for arrays in seeds], axis=0)
        items = np.linspace(0, 1, len(share))
        style = {"color": COLOURS[place % len(COLOURS)], "linewidth": 1.4}
        axis.plot(items, share, label=f"{visible(label)} (Gini {_gini(share):.2f})", **style)
    axis.set_xlabel("share of items, least shown first")
    axis.set_ylabel(f"share of the top-{k} entries")
    axis.set_xlim(0, 1)
    return _finish(figure, axes)


def _lorenz(exposure: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.sort(exposure)) / max(exposure.sum(), 1)])


def _gini(share: np.ndarray) -> float:
    return float(1 - (share[1:] + share[:-1]).sum() / (len(share) - 1))


def significance_matrix(models: Mapping[str, Sequence[Arrays]], *, metric: str) -> Any:
    """Draw the differences of all pairs of models (row minus column); Holm-corrected p-values are written in.

    Differences with p < .05 are coloured by their sign, others are left white.
    """
    # scipy.stats takes as long to load as half of torch, and every run imports this file but draws no matrix.
    from gnnrec.evaluation.significance import pairwise_p_values

    names = list(models)
    _same_users(models)
    values = {name: np.stack([arrays[metric] for arrays in seeds]) for name, seeds in models.items()}
    p_values = pairwise_p_values(values)
    means = {name: float(np.nanmean(array)) for name, array in values.items()}
    size = 1.6 + 0.85 * len(names)
    figure, axes = new_figure(1, 1, size + 0.8, size)
    axis = axes[0, 0]
    colour = np.ones((len(names), len(names), 3))
    for (first, second), p in p_values.items():
        for row, column in ((first, second), (second, first)):
            at, difference = (names.index(row), names.index(column)), means[row] - means[column]
            if p < 0.05:
                colour[at] = (0.55, 0.78, 0.93) if difference > 0 else (0.96, 0.76, 0.55)
            text = f"{difference:+.4f}\n{'p<.001' if p < 0.001 else f'p={p:.3f}'}"
            axis.text(at[1], at[0], text, ha="center", va="center", fontsize=7)
    axis.imshow(colour)
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_title(f"{metric}: row - column, paired t-test, Holm", fontsize=8)
    return figure


def _item_cutoff(models: Sequence[Arrays], k: int) -> int:
    """Return the largest cutoff up to `k` of which all models have `item_exposure`, `k` if there is none."""
    name = "item_exposure@"
    known = [{int(key.removeprefix(name)) for key in arrays if key.startswith(name)} for arrays in models]
    return max((cutoff for cutoff in set.intersection(*known) if cutoff <= k), default=k)


def _cutoffs(arrays: Arrays) -> list[int]:
    keys = [parse_metric(key) for key in arrays if key.startswith("test/")]
    return sorted(key.k for key in keys if key.name == "recall" and not key.group and key.k is not None)


def _over_seeds(seeds: Sequence[Arrays], metric: str) -> np.ndarray:
    _same_users({"": seeds})
    return np.mean([arrays[metric] for arrays in seeds], axis=0)


def _same_users(models: Mapping[str, Sequence[Arrays]]) -> None:
    everyone = [arrays["users"] for seeds in models.values() for arrays in seeds]
    if any(not np.array_equal(users, everyone[0]) for users in everyone):
        raise DataError("the runs were evaluated on different users: draw only runs of one split together")


def _mean_and_band(values: np.ndarray) -> tuple[float, float, float]:
    mean = float(values.mean())
    half = _NORMAL_95 * float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return mean, mean - half, mean + half


def _line_with_band(axis: Any, points: np.ndarray, label: str, place: int) -> None:
    colour = COLOURS[place % len(COLOURS)]
    at, mean, low, high = points.T
    style = {"color": colour, "marker": MARKERS[place % len(MARKERS)], "markersize": 4, "linewidth": 1.2}
    axis.plot(at, mean, label=visible(label), **style)
    axis.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)


def _finish(figure: Any, axes: Any) -> Any:
    for axis in axes.flat:
        axis.set_ylim(bottom=0)
    add_legend(figure, axes)
    return figure
