"""Neighbourhood models: item kNN on co-occurrence, content kNN on text vectors."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, check_choice, check_range

BLOCK = 1024


class SparseScorer:
    """Scores are the user's history times a sparse item-item matrix: s(u, i) = sum_{j in history(u)} S[j, i]."""

    history: sp.csr_matrix
    similarity: sp.csr_matrix

    def scores(self, user: Tensor) -> Tensor:
        """Score all items: [len(user), num_items] float32."""
        rows = self.history[user.cpu().numpy()] @ self.similarity
        return torch.from_numpy(rows.toarray().astype(np.float32, copy=False)).to(user.device)


class ItemKNN(SparseScorer):
    """Sum the similarities of an item to the user's items, over the k nearest neighbours of each item.

    sim(i, j) = c_ij / (sqrt(c_i c_j) + shrink) for `cosine`, c_ij / (c_i + c_j - c_ij + shrink) for `jaccard`, c_ij
    for `dot`, with c_ij the number of users of both. Sarwar et al. 2001, https://doi.org/10.1145/371920.372071,
    section 3; shrinkage after Bell and Koren 2007, https://doi.org/10.1109/ICDM.2007.90.

    Args:
        k: neighbours kept for each item. shrink: added to the denominator. similarity: see above.
        feature_weighting: `none` or `tf_idf` weights of the interactions before the similarity.
    """

    name = "item kNN"

    def __init__(
        self, k: int = 100, shrink: float = 0.0, similarity: str = "cosine", feature_weighting: str = "none"
    ) -> None:
        check_range("k", k, "ItemKNN", low=1)
        check_range("shrink", shrink, "ItemKNN", low=0)
        check_choice("similarity", similarity, ("cosine", "jaccard", "dot"), "ItemKNN")
        check_choice("feature_weighting", feature_weighting, ("none", "tf_idf"), "ItemKNN")
        self.k, self.shrink = k, shrink
        self.similarity_name, self.feature_weighting = similarity, feature_weighting

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> ItemKNN:
        """Compute the neighbours, block by block; the vectors are not used."""
        self.history = train.csr().tocsr()
        matrix = _weight(self.history, self.feature_weighting)
        by_item = matrix.T.tocsr()
        squares = np.asarray(by_item.multiply(by_item).sum(axis=1)).ravel()

        def block(start: int, stop: int) -> sp.csr_matrix:
            co = (by_item[start:stop] @ matrix).tocsr()
            rows = np.repeat(np.arange(start, stop), np.diff(co.indptr))
            co.data = self._similarity(co.data, squares[rows], squares[co.indices])
            co.data[rows == co.indices] = 0
            return co

        # Row i holds the neighbours j of item i, so the scorer multiplies the history by the transpose.
        self.similarity = _top_k_rows(block, train.num_items, self.k).T.tocsr()
        return self

    def _similarity(self, co: np.ndarray, square_i: np.ndarray, square_j: np.ndarray) -> np.ndarray:
        if self.similarity_name == "dot":
            return co
        if self.similarity_name == "jaccard":
            return co / np.maximum(square_i + square_j - co + self.shrink, 1e-12)
        return co / np.maximum(np.sqrt(square_i * square_j) + self.shrink, 1e-12)


class ContentKNN(SparseScorer):
    """Sum the text similarities of an item to the user's items, over the k nearest seen items of each item.

    s(u, i) = sum_{j in history(u), j in N_k(i)} max(cos(v_i, v_j), 0), N_k(i) the k nearest items with train
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
        if item_vectors is None:
            raise ConfigError("'ContentKNN' needs item text vectors; choose a 'text' option")
        self.history = train.csr().tocsr()
        seen = train.item_counts() > 0
        vectors = item_vectors.astype(np.float32)
        if self.center:
            vectors = vectors - vectors[seen].mean(axis=0)
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        columns = np.flatnonzero(seen)

        def block(start: int, stop: int) -> sp.csr_matrix:
            similar = np.maximum(vectors[start:stop] @ vectors[columns].T, 0) ** self.power
            rows, places = np.nonzero(similar)
            values, places = similar[rows, places], columns[places]
            values[rows + start == places] = 0
            return sp.csr_matrix((values, (rows, places)), shape=(stop - start, train.num_items))

        self.similarity = _top_k_rows(block, train.num_items, self.k).T.tocsr()
        return self


def _weight(matrix: sp.csr_matrix, weighting: str) -> sp.csr_matrix:
    if weighting == "none":
        return matrix
    counts = np.asarray(matrix.sum(axis=0)).ravel()
    idf = np.log((matrix.shape[0] + 1) / (counts + 1)).astype(np.float32)
    return (matrix @ sp.diags(idf)).tocsr()


def _top_k_rows(block, num_rows: int, k: int) -> sp.csr_matrix:
    """Stack block(start, stop) over all rows, each row cut to its k largest positive values."""
    parts = []
    for start in range(0, num_rows, BLOCK):
        parts.append(keep_top_k(block(start, min(start + BLOCK, num_rows)), k))
    return sp.vstack(parts, format="csr", dtype=np.float32)


def keep_top_k(matrix: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """Keep the k largest positive values of every row; equal values are kept by lower column."""
    matrix = matrix.tocsr()
    matrix.eliminate_zeros()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, rows))
    rank = np.arange(len(order)) - matrix.indptr[rows]
    kept = order[(rank < k) & (matrix.data[order] > 0)]
    return sp.csr_matrix((matrix.data[kept], (rows[kept], matrix.indices[kept])), shape=matrix.shape)
