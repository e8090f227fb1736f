"""Item kNN on text vectors."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from gnnrec.baselines.sparse import SparseScorer, top_k_rows
from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, DataError, check_range


class ContentKNN(SparseScorer):
    """Sum the text similarities of an item to the user's items, over the k nearest seen items of each item.

    s(u, i) = sum_{j in history(u), j in N_k(i)} max(cos(v_i, v_j), 0)^power, N_k(i) the k nearest items with train
    interactions. Reaches items that nobody has touched; knows nothing of anybody's taste but through text.

    Args:
        k: neighbours kept for each item.
        center: subtract the mean vector of the seen items first (sentence vectors share one direction).
        power: similarities are raised to it, which favours near neighbours.
    """

    name = "content kNN"

    def __init__(self, k: int = 100, center: bool = True, power: float = 1.0) -> None:
        check_range("k", k, "ContentKNN", low=1)
        check_range("power", power, "ContentKNN", low=0, low_open=True)
        self.k, self.center, self.power = k, center, power

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> ContentKNN:
        """Compute the neighbours from `item_vectors` [num_items, d], block by block."""
        seen = np.flatnonzero(train.item_counts())
        vectors = unit_vectors(item_vectors, train, "ContentKNN", self.center)
        self.left = sp.csr_matrix(train.csr())

        def block(start: int, stop: int) -> sp.csr_matrix:
            similar = np.maximum(vectors[start:stop] @ vectors[seen].T, 0) ** self.power
            row, place = np.nonzero(similar)
            value, column = similar[row, place], seen[place]
            value[row + start == column] = 0
            return sp.csr_matrix((value, (row, column)), shape=(stop - start, train.num_items))

        self.right = sp.csr_matrix(top_k_rows(block, train.num_items, self.k).T)
        return self


def text_vectors(item_vectors: np.ndarray | None, train: Interactions, who: str) -> np.ndarray:
    """Return the vectors as float32 [num_items, d], or raise an error that says what is wrong with them."""
    if item_vectors is None:
        raise ConfigError(
            f"'{who}' needs item text vectors (got none): set needs_text=true and choose a 'text'"
        )
    if item_vectors.ndim != 2 or len(item_vectors) != train.num_items:
        raise DataError(
            f"item vectors must be [{train.num_items}, dim] in '{who}' (got {list(item_vectors.shape)})"
        )
    if not np.isfinite(item_vectors).all():
        raise DataError(f"item vectors must be finite in '{who}' (got NaN or infinity)")
    return item_vectors.astype(np.float32)


def unit_vectors(item_vectors: np.ndarray | None, train: Interactions, who: str, center: bool) -> np.ndarray:
    """Return the vectors at unit length, after subtracting the mean of the items with train interactions.

    An item without text, a row of zeros, stays one and has no part in the mean: centred, all of them would be alike.
    """
    vectors = text_vectors(item_vectors, train, who)
    present = np.any(vectors, axis=1)
    known = present & (train.item_counts() > 0)
    if center and known.any():
        vectors = (vectors - vectors[known].mean(axis=0)) * np.expand_dims(present, 1)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
