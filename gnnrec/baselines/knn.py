"""Neighbourhood models on co-occurrence: item kNN and user kNN."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from gnnrec.baselines.sparse import SparseScorer, normalize_rows, size_of, top_k_rows
from gnnrec.data.interactions import Interactions
from gnnrec.errors import check_choice, check_range

SIMILARITIES = ("cosine", "jaccard", "dot", "pearson")
WEIGHTINGS = ("none", "tf_idf")


class ItemKNN(SparseScorer):
    """Sum the similarities of an item to the user's items, over the k nearest neighbours of each item.

    s(u, i) = sum_{j in N_k(i)} sim(i, j) x_uj, with c_ij the number of users of both and n of all users:
    cosine c_ij / (sqrt(c_i c_j) + shrink), jaccard c_ij / (c_i + c_j - c_ij + shrink), dot c_ij,
    pearson (n c_ij - c_i c_j) / (sqrt(c_i (n - c_i) c_j (n - c_j)) + shrink). Sarwar et al. 2001,
    https://doi.org/10.1145/371920.372071, section 3; shrinkage as in the framework of Ferrari Dacrema et al. 2021,
    https://doi.org/10.1145/3434185 (that of Bell and Koren 2007 multiplies by n / (n + shrink)). Negative similarities
    are dropped; pearson of an item that all users have is 0.

    Args:
        k: neighbours kept for each item.
        shrink: added to the denominator; has no part in dot.
        similarity: see above.
        feature_weighting: `none`, or `tf_idf`: users weigh log((m + 1) / (c_u + 1)), m items, c_u of the user.
        normalize: divide the similarities of each item by their sum.
        center: score what the neighbours have beyond their mean, s = m_i + sum_j sim(i, j) (x_uj - m_j) with
            m_i = c_i / n (the form used by the BARS benchmark, together with `normalize`).
    """

    name = "item kNN"

    def __init__(
        self,
        k: int = 100,
        shrink: float = 0.0,
        similarity: str = "cosine",
        feature_weighting: str = "none",
        normalize: bool = False,
        center: bool = False,
    ) -> None:
        _check(k, shrink, similarity, "ItemKNN")
        check_choice("feature_weighting", feature_weighting, WEIGHTINGS, "ItemKNN")
        self.k, self.shrink, self.similarity = k, shrink, similarity
        self.feature_weighting, self.normalize, self.center = feature_weighting, normalize, center

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> ItemKNN:
        """Compute the neighbours, block by block; the vectors are not used."""
        self.left = sp.csr_matrix(train.csr())
        by_item = _weight(sp.csr_matrix(self.left.T), self.feature_weighting)
        neighbours = nearest(by_item, self.k, self.similarity, self.shrink)
        if self.normalize:
            neighbours = normalize_rows(neighbours)
        if self.center:
            mean = (train.deduplicate().item_counts() / train.num_users).astype(np.float32)
            self.offset = mean - neighbours @ mean
        # Row i holds the neighbours j of item i, so the history is multiplied by the transpose.
        self.right = sp.csr_matrix(neighbours.T)
        return self


class UserKNN(SparseScorer):
    """Sum the similarities of the k nearest users who have the item: s(u, i) = sum_{v in N_k(u)} sim(u, v) x_vi.

    Similarities as in ItemKNN, users and items changed over. Herlocker et al. 1999,
    https://doi.org/10.1145/312624.312682.

    Args:
        k: neighbours kept for each user.
        shrink, similarity: see ItemKNN.
        feature_weighting: `none`, or `tf_idf`: items weigh log((n + 1) / (c_i + 1)), n users, c_i of the item.
    """

    name = "user kNN"

    def __init__(
        self,
        k: int = 100,
        shrink: float = 0.0,
        similarity: str = "cosine",
        feature_weighting: str = "none",
    ) -> None:
        _check(k, shrink, similarity, "UserKNN")
        check_choice("feature_weighting", feature_weighting, WEIGHTINGS, "UserKNN")
        self.k, self.shrink, self.similarity = k, shrink, similarity
        self.feature_weighting = feature_weighting

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> UserKNN:
        """Compute the neighbours, block by block; the vectors are not used."""
        self.right = sp.csr_matrix(train.csr())
        self.left = nearest(_weight(self.right, self.feature_weighting), self.k, self.similarity, self.shrink)
        return self


def nearest(rows: sp.csr_matrix, k: int, similarity: str, shrink: float) -> sp.csr_matrix:
    """Return the k most similar other rows of each row, with their similarities, as a sparse matrix."""
    columns = sp.csr_matrix(rows.T)
    square = np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
    total, spread = _moments(rows)
    width = size_of(rows)[1]

    def block(start: int, stop: int) -> sp.csr_matrix:
        common = sp.csr_matrix(rows[start:stop] @ columns)
        own = np.repeat(np.arange(start, stop), np.diff(common.indptr))
        other = common.indices
        if similarity == "jaccard":
            common.data /= np.maximum(square[own] + square[other] - common.data + shrink, 1e-12)
        elif similarity == "cosine":
            common.data /= np.maximum(np.sqrt(square[own] * square[other]) + shrink, 1e-12)
        elif similarity == "pearson":
            covariance = width * common.data.astype(np.float64) - total[own] * total[other]
            both = spread[own] * spread[other]
            common.data[:] = np.where(both > 0, covariance / np.maximum(both + shrink, 1e-12), 0.0)
        common.data[own == other] = 0
        return common

    return top_k_rows(block, size_of(rows)[0], k)


def _moments(rows: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return t = sum x and sqrt(n sum x^2 - t^2) of each row of n values, the latter 0 where all are equal."""
    exact = rows.astype(np.float64)
    total = np.asarray(exact.sum(axis=1)).ravel()
    square = size_of(rows)[1] * np.asarray(exact.multiply(exact).sum(axis=1)).ravel()
    variance = square - total**2
    # Of equal values, rounding leaves a little.
    return total, np.sqrt(np.where(variance > 1e-10 * square, variance, 0.0))


def _check(k: int, shrink: float, similarity: str, where: str) -> None:
    check_range("k", k, where, low=1)
    check_range("shrink", shrink, where, low=0)
    check_choice("similarity", similarity, SIMILARITIES, where)


def _weight(rows: sp.csr_matrix, weighting: str) -> sp.csr_matrix:
    """Weigh the columns: rare ones say more about the likeness of two rows."""
    if weighting == "none":
        return rows
    count = np.asarray(rows.sum(axis=0)).ravel()
    rarity = np.log((size_of(rows)[0] + 1) / (count + 1)).astype(np.float32)
    return sp.csr_matrix(rows @ sp.diags(rarity))
