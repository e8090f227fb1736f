"""The recommended lists together with what is known of items and users: what beyond-accuracy metrics look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from gnnrec.errors import ConfigError, DataError

_BLOCK = 2048  # users per step: bounds the memory of [users, k, dim] arrays


@dataclass(frozen=True)
class Lists:
    """Top lists of the evaluated users.

    Args:
        top: int32 [m, K], items by rank, -1 where there are fewer.
        hits: bool [m, K], whether the item is relevant.
        relevant: CSR [m, num_items], the relevant items of the same users.
        profile: CSR [m, num_items], the known items of the same users: those that are masked.
        counts: int64 [num_items], train interactions of each item.
        num_train_users: users of the data set, those of the self-information of an item.
        groups: item group -> bool [num_items].
        item_vectors: float32 [num_items, dim] or None, of any length; compared by cosine.
        item_categories: float [num_items, num_categories] or None, weights of the categories of each item.
    """

    top: np.ndarray
    hits: np.ndarray
    relevant: sparse.csr_matrix
    profile: sparse.csr_matrix
    counts: np.ndarray
    num_train_users: int
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    item_vectors: np.ndarray | None = None
    item_categories: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, needed in (("item_vectors", 2), ("item_categories", 2)):
            array = getattr(self, name)
            if array is not None and (array.ndim != needed or len(array) != len(self.counts)):
                raise DataError(f"'{name}' must be [{len(self.counts)}, size] (got {list(array.shape)})")

    @property
    def num_users(self) -> int:
        return len(self.top)

    @property
    def num_items(self) -> int:
        return len(self.counts)

    def vectors(self) -> np.ndarray:
        """Return the item vectors scaled to length 1; vectors of length 0 stay 0."""
        if self.item_vectors is None:
            raise ConfigError("'ild' and 'unexpectedness' need item vectors: pass 'item_vectors'")
        lengths = np.linalg.norm(self.item_vectors, axis=1, keepdims=True)
        return self.item_vectors / np.where(lengths > 0, lengths, 1.0)

    def categories(self) -> np.ndarray:
        """Return p(category | item), rows summing to 1, or 0 for items without a category."""
        if self.item_categories is None:
            raise ConfigError("'miscalibration' needs item categories: pass 'item_categories'")
        total = self.item_categories.sum(axis=1, keepdims=True)
        return self.item_categories / np.where(total > 0, total, 1.0)

    def by_block(self, metric: Callable[[slice, np.ndarray, np.ndarray], np.ndarray], k: int) -> np.ndarray:
        """Return `metric(rows, items [b, k], present [b, k])` of all users, computed in blocks.

        Absent entries are shown as item 0 with `present` False.
        """
        parts = []
        for start in range(0, self.num_users, _BLOCK):
            rows = slice(start, min(start + _BLOCK, self.num_users))
            items = self.top[rows, :k]
            parts.append(metric(rows, np.where(items >= 0, items, 0), items >= 0))
        return np.concatenate(parts) if parts else np.empty(0)

    def mean_over_list(self, value: np.ndarray, k: int) -> np.ndarray:
        """Return float64 [m]: the mean of `value` [num_items] over the first k items, NaN for an empty list."""

        def mean(_: slice, items: np.ndarray, present: np.ndarray) -> np.ndarray:
            return ratio((value[items] * present).sum(axis=1), present.sum(axis=1))

        return self.by_block(mean, k)

    def exposure(self, k: int) -> np.ndarray:
        """Return int64 [num_items]: in how many lists of length k each item stands."""
        items = self.top[:, :k]
        return np.bincount(items[items >= 0], minlength=self.num_items)

    def mean_over_profile(self, value: np.ndarray) -> np.ndarray:
        """Return the mean of `value` [num_items] or [num_items, d] over each user's profile; NaN where empty."""
        size = np.diff(self.profile.indptr)
        known = sparse.csr_matrix(
            (np.ones(self.profile.nnz), self.profile.indices, self.profile.indptr), shape=self.profile.shape
        )
        return ratio(known @ value, size if value.ndim == 1 else size[:, None])


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return float64 numerator / denominator, NaN where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator == 0, np.nan, np.asarray(numerator, dtype=np.float64) / denominator)
