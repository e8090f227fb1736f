"""Metrics beyond accuracy: popularity, novelty, diversity, calibration, concentration and fairness of the lists.

Per-user metrics take `Lists` and k and return float64 [m]; system metrics return named numbers. Formulas and
sources are listed in docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gnnrec.evaluation.lists import Lists, ratio

PROPENSITY_POWER = 0.5
CALIBRATION_MIX = 0.01


def avg_popularity(lists: Lists, k: int) -> np.ndarray:
    """Average recommendation popularity: mean train count of the first k items (Yin et al., 2012, "ARP")."""
    return lists.mean_over_list(lists.counts.astype(np.float64), k)


def popularity_lift(lists: Lists, k: int) -> np.ndarray:
    """Popularity lift: (mean count in the list - mean count in the profile) / mean count in the profile.

    Abdollahpouri et al., 2020, https://doi.org/10.1145/3383313.3418487, per user instead of per user group.
    """
    profile = lists.mean_over_profile(lists.counts.astype(np.float64))
    return ratio(avg_popularity(lists, k) - profile, profile)


def tail_share(lists: Lists, k: int) -> np.ndarray:
    """Share of the first k items that are in the group `tail`."""
    tail = lists.groups.get("tail", np.zeros(lists.num_items, dtype=bool))
    return lists.mean_over_list(tail.astype(np.float64), k)


def novelty(lists: Lists, k: int) -> np.ndarray:
    """Mean self-information -log2(count / users) of the first k items, in bits; counts of 0 are taken as 1.

    Zhou et al., 2010, https://doi.org/10.1073/pnas.1000488107.
    """
    share: np.ndarray = np.maximum(lists.counts, 1) / max(lists.num_train_users, 1)
    return lists.mean_over_list(-np.log2(share), k)


def ild(lists: Lists, k: int) -> np.ndarray:
    """Intra-list diversity: mean of 1 - cosine over all pairs of the first k items; NaN for fewer than two.

    Ziegler et al., 2005, https://doi.org/10.1145/1060745.1060754, as a mean. Closed form on unit vectors: the
    sum of cosines over ordered pairs is |sum of vectors|^2 - (number of vectors that are not 0).
    """
    vectors = lists.vectors()
    filled = np.asarray(vectors.any(axis=1))

    def diversity(_: slice, items: np.ndarray, present: np.ndarray) -> np.ndarray:
        total = np.einsum("bkd,bk->bd", vectors[items], present, dtype=np.float64)
        size = present.sum(axis=1)
        cosines = (total**2).sum(axis=1) - (filled[items] & present).sum(axis=1)
        return 1.0 - ratio(cosines, size * (size - 1))

    return lists.by_block(diversity, k)


def unexpectedness(lists: Lists, k: int) -> np.ndarray:
    """Mean of 1 - cosine between each of the first k items and each item of the profile; NaN without either.

    One minus the "unserendipity" of Zhang et al. (Auralist), 2012, https://doi.org/10.1145/2124295.2124300.
    """
    vectors = lists.vectors()
    profile = lists.mean_over_profile(vectors)

    def distance(rows: slice, items: np.ndarray, present: np.ndarray) -> np.ndarray:
        total = np.einsum("bkd,bk->bd", vectors[items], present, dtype=np.float64)
        return 1.0 - ratio((total * profile[rows]).sum(axis=1), present.sum(axis=1))

    return lists.by_block(distance, k)


def miscalibration(lists: Lists, k: int) -> np.ndarray:
    """Miscalibration by category: KL(p || .99 q + .01 p), p of the profile, q of the first k items (nats).

    Steck, 2018, https://doi.org/10.1145/3240323.3240372, equations 4 to 6 without time weights; 0 is calibrated.
    """
    categories = lists.categories()
    profile = lists.mean_over_profile(categories)
    profile = ratio(profile, profile.sum(axis=1, keepdims=True))

    def divergence(rows: slice, items: np.ndarray, present: np.ndarray) -> np.ndarray:
        listed = np.einsum("bkc,bk->bc", categories[items], present, dtype=np.float64)
        listed = ratio(listed, listed.sum(axis=1, keepdims=True))
        p = profile[rows]
        mixed = (1 - CALIBRATION_MIX) * listed + CALIBRATION_MIX * p
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(p == 0, 0.0, p * np.log(p / mixed))
        return np.where(np.isnan(listed[:, 0]), np.nan, terms.sum(axis=1))

    return lists.by_block(divergence, k)


def stratified_recall(lists: Lists, k: int) -> np.ndarray:
    """Popularity-stratified recall: hits over relevant items, both weighted by 1 / propensity = count^-1/2.

    Steck, 2011, https://doi.org/10.1145/2043932.2043957; self-normalised as in Yang et al., 2018,
    https://doi.org/10.1145/3240323.3240355. Counts of 0 are taken as 1.
    """
    weight = np.maximum(lists.counts, 1).astype(np.float64) ** -PROPENSITY_POWER
    found = np.where(lists.hits[:, :k], weight[lists.top[:, :k]], 0.0).sum(axis=1)
    owner = np.repeat(np.arange(lists.num_users), np.diff(lists.relevant.indptr))
    total = np.bincount(owner, weights=weight[lists.relevant.indices], minlength=lists.num_users)
    return ratio(found, total)


def coverage(lists: Lists, k: int) -> float:
    """Share of all items that stand in at least one list."""
    return float((lists.exposure(k) > 0).mean())


def gini(lists: Lists, k: int) -> float:
    """Gini index of exposure over all items, 0 when all are shown equally often.

    sum_i (2 i - N - 1) x_(i) / (N sum x), x ascending, i from 1 (Fleder and Hosanagar, 2009).
    """
    exposure = np.sort(lists.exposure(k)).astype(np.float64)
    rank = np.arange(1, len(exposure) + 1)
    total = exposure.sum() * len(exposure)
    return float(((2 * rank - len(exposure) - 1) * exposure).sum() / total) if total else float("nan")


def entropy(lists: Lists, k: int) -> float:
    """Shannon entropy in bits of the exposure shares of the items."""
    exposure = lists.exposure(k).astype(np.float64)
    share = exposure[exposure > 0] / max(exposure.sum(), 1.0)
    return float(-(share * np.log2(share)).sum())


def personalisation(lists: Lists, k: int) -> float:
    """One minus the share of common items over all pairs of lists, without forming the pairs.

    1 - sum_i c_i (c_i - 1) / ((U - 1) sum_i c_i), with c_i the lists that hold item i: common items over the mean
    length of the two lists, which is k where all lists are full. NaN for fewer than two users or empty lists.
    """
    exposure = lists.exposure(k).astype(np.float64)
    held = (lists.num_users - 1) * exposure.sum()
    return float(1.0 - (exposure * (exposure - 1)).sum() / held) if held else float("nan")


def group_exposure(lists: Lists, k: int) -> dict[str, float]:
    """Return group -> share of all list entries taken by its items."""
    exposure = lists.exposure(k).astype(np.float64)
    total = exposure.sum()
    return {
        name: float(exposure[member].sum() / total) if total else float("nan")
        for name, member in lists.groups.items()
    }


def statistical_parity(lists: Lists, k: int) -> float:
    """Ranking-based statistical parity: relative standard deviation over item groups of P(shown | group).

    P(R@k | g) = list entries of g / (user, item of g) pairs that could be shown. 0 is parity. Zhu, Wang and
    Caverlee, 2020, https://doi.org/10.1145/3397271.3401177, equation 3. Groups without members are left out.
    """
    exposure = lists.exposure(k)
    known = np.bincount(lists.profile.indices, minlength=lists.num_items)
    open_ = lists.num_users - known
    return _relative_std([(exposure[g].sum(), open_[g].sum()) for g in lists.groups.values()])


def equal_opportunity(lists: Lists, k: int) -> float:
    """Ranking-based equal opportunity: relative standard deviation over item groups of P(shown | group, relevant).

    P(R@k | g, y=1) = hits of g / relevant pairs of g. Zhu, Wang and Caverlee, 2020, equation 4.
    """
    found = np.bincount(lists.top[:, :k][lists.hits[:, :k]], minlength=lists.num_items)
    relevant = np.bincount(lists.relevant.indices, minlength=lists.num_items)
    return _relative_std([(found[g].sum(), relevant[g].sum()) for g in lists.groups.values()])


def _relative_std(counts: list[tuple[int, int]]) -> float:
    rates = np.array([part / whole for part, whole in counts if whole])
    return float(rates.std() / rates.mean()) if len(rates) and rates.mean() > 0 else float("nan")


PER_USER: dict[str, Callable[[Lists, int], np.ndarray]] = {
    "avg_popularity": avg_popularity,
    "popularity_lift": popularity_lift,
    "tail_share": tail_share,
    "novelty": novelty,
    "ild": ild,
    "unexpectedness": unexpectedness,
    "miscalibration": miscalibration,
    "stratified_recall": stratified_recall,
}
SYSTEM: dict[str, Callable[[Lists, int], float]] = {
    "coverage": coverage,
    "gini": gini,
    "entropy": entropy,
    "personalisation": personalisation,
    "statistical_parity": statistical_parity,
    "equal_opportunity": equal_opportunity,
}
