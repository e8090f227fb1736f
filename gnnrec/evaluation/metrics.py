"""Ranking metrics as per-user float64 arrays, computed from where the hits stand in the lists.

Every function takes `Hits` and a cutoff k and returns float64[num_users], NaN for users without a relevant
item. Formulas and sources are listed in docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Hits:
    """Where relevant items stand in the ranked lists of `num_users` users, as coordinates.

    Args:
        row: int64[h], the user's position, ascending.
        rank: int64[h], the position in the list from 0, ascending within a row.
        num_relevant: int64[num_users].
    """

    row: np.ndarray
    rank: np.ndarray
    num_relevant: np.ndarray

    @cached_property
    def order(self) -> np.ndarray:
        """Return int64[h]: how many hits of the same user stand before each hit."""
        first = np.searchsorted(self.row, self.row, side="left")
        return np.arange(len(self.row)) - first

    def sum(self, weight: np.ndarray | None, k: int) -> np.ndarray:
        """Return float64[num_users]: the sum of `weight` (1 when None) over the hits among the first k."""
        inside = self.rank < k
        weights = None if weight is None else weight[inside]
        total = np.bincount(self.row[inside], weights=weights, minlength=len(self.num_relevant))
        return total.astype(np.float64)

    def over(self, value: np.ndarray, divisor: np.ndarray | float) -> np.ndarray:
        """Return value / divisor, NaN for users without a relevant item."""
        empty = self.num_relevant == 0
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(empty, np.nan, value / divisor)


def recall(hits: Hits, k: int) -> np.ndarray:
    """Recall@k = hits / relevant."""
    return hits.over(hits.sum(None, k), hits.num_relevant)


def precision(hits: Hits, k: int) -> np.ndarray:
    """Precision@k = hits / k, also where fewer than k candidates exist."""
    return hits.over(hits.sum(None, k), float(k))


def f1(hits: Hits, k: int) -> np.ndarray:
    """F1@k = 2 P R / (P + R) = 2 hits / (k + relevant), per user."""
    return hits.over(2.0 * hits.sum(None, k), hits.num_relevant + float(k))


def hit_rate(hits: Hits, k: int) -> np.ndarray:
    """HitRate@k = 1 if any of the first k is relevant, else 0."""
    return hits.over((hits.sum(None, k) > 0).astype(np.float64), 1.0)


def ndcg(hits: Hits, k: int) -> np.ndarray:
    """NDCG@k = sum over hits of 1 / log2(rank + 1), over the same sum for min(k, relevant) hits at the top.

    Ranks count from 1; binary gain (Järvelin and Kekäläinen, 2002, https://doi.org/10.1145/582415.582418).
    """
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(hits.num_relevant, k)]
    gain = hits.sum(1.0 / np.log2(hits.rank + 2.0), k)
    return hits.over(gain, ideal)


def mrr(hits: Hits, k: int) -> np.ndarray:
    """MRR@k = 1 / rank of the first hit, 0 where none is among the first k."""
    return hits.over(hits.sum(np.where(hits.order == 0, 1.0 / (hits.rank + 1.0), 0.0), k), 1.0)


def average_precision(hits: Hits, k: int) -> np.ndarray:
    """MAP@k, per user: sum over hits of precision at their rank, over min(k, relevant).

    trec_eval and ranx divide by the number of relevant items instead.
    """
    weight = (hits.order + 1.0) / (hits.rank + 1.0)
    return hits.over(hits.sum(weight, k), np.minimum(hits.num_relevant, k))


METRICS: dict[str, Callable[[Hits, int], np.ndarray]] = {
    "recall": recall,
    "precision": precision,
    "f1": f1,
    "hitrate": hit_rate,
    "ndcg": ndcg,
    "mrr": mrr,
    "map": average_precision,
}
ALL_METRICS = (*METRICS, "auc")
MOST_K = 10_000  # lists of this length are kept for all users at once
