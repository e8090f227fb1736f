"""SLIM: a sparse, non-negative item-item regression, one item at a time."""

from __future__ import annotations

import logging

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from gnnrec.baselines.knn import nearest
from gnnrec.baselines.sparse import SparseScorer
from gnnrec.data.interactions import Interactions
from gnnrec.errors import check_range
from gnnrec.progress import Progress

logger = logging.getLogger(__name__)
BATCH_FLOATS = 1 << 25  # floats in one batch of Gram matrices


class SLIM(SparseScorer):
    """Reconstruct each item's column from other items: s(u, i) = sum_j x_uj W_ji, W >= 0, sparse, zero diagonal.

    For each item i: min_w 1/2 |x_i - X w|^2 + l2/2 |w|^2 + l1 sum(w), w >= 0, w_i = 0. Ning and Karypis 2011,
    https://doi.org/10.1109/ICDM.2011.134, eq. 3, with the candidates of each item cut to its most similar items as in
    their fsSLIM (section 4.3); neighbours >= num_items - 1 is SLIM itself. Cyclic coordinate descent (Friedman et al.
    2010) on the Gram matrices of a batch of items at a time, until no weight moves by more than tolerance or max_sweeps
    are over, which is warned of.
    Libraries that divide the squared error by the number of users (scikit-learn) have l2 = alpha (1 - l1_ratio)
    num_users and l1 = alpha l1_ratio num_users.

    Args:
        l1, l2: weights of the penalties. neighbours: candidates of each item, by cosine.
        max_sweeps: passes over the candidates at most. tolerance: largest change of a weight at the end.
    """

    name = "SLIM"

    def __init__(
        self,
        l1: float = 1.0,
        l2: float = 50.0,
        neighbours: int = 200,
        max_sweeps: int = 30,
        tolerance: float = 1e-4,
    ) -> None:
        check_range("l1", l1, "SLIM", low=0)
        check_range("l2", l2, "SLIM", low=0)
        check_range("neighbours", neighbours, "SLIM", low=1)
        check_range("max_sweeps", max_sweeps, "SLIM", low=1)
        check_range("tolerance", tolerance, "SLIM", low=0)
        self.l1, self.l2, self.neighbours = l1, l2, neighbours
        self.max_sweeps, self.tolerance = max_sweeps, tolerance

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> SLIM:
        """Solve for a batch of items at a time; the vectors are not used."""
        self.left = sp.csr_matrix(train.csr())
        by_item = sp.csr_matrix(self.left.T)
        candidates = nearest(by_item, self.neighbours, "cosine", 0.0)
        width = max(1, int(np.diff(candidates.indptr).max(initial=0)))
        size = max(1, BATCH_FLOATS // (width * width))
        weights = np.zeros(candidates.nnz, dtype=np.float32)
        moved = 0.0
        for start in Progress(range(0, train.num_items, size), name="SLIM", unit="batch"):
            stop = min(start + size, train.num_items)
            gram, target, filled = _systems(by_item, candidates, start, stop, width)
            solved, change = descend(gram, target, self.l1, self.l2, self.max_sweeps, self.tolerance)
            moved = max(moved, change)
            weights[candidates.indptr[start] : candidates.indptr[stop]] = solved.T[filled].numpy()
        if moved > self.tolerance:
            logger.warning(
                "SLIM stopped after %d sweeps, in the last of which a weight moved by %.2g (tolerance %.2g): "
                "raise max_sweeps for the exact solution",
                self.max_sweeps,
                moved,
                self.tolerance,
            )
        by_target = sp.csr_matrix((weights, candidates.indices, candidates.indptr), shape=candidates.shape)
        by_target.eliminate_zeros()
        self.right = sp.csr_matrix(by_target.T)
        return self


def _systems(
    by_item: sp.csr_matrix, candidates: sp.csr_matrix, start: int, stop: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return Gram matrices [width, items, width], targets [width, items] and which places are used [items, width]."""
    gram = torch.zeros(width, stop - start, width)
    target = torch.zeros(width, stop - start)
    filled = torch.zeros(stop - start, width, dtype=torch.bool)
    for place, item in enumerate(range(start, stop)):
        chosen = candidates.indices[candidates.indptr[item] : candidates.indptr[item + 1]]
        count = len(chosen)
        rows = by_item[chosen]
        gram[:count, place, :count] = torch.from_numpy((rows @ rows.T).toarray())
        target[:count, place] = torch.from_numpy((rows @ by_item[item].T).toarray().ravel())
        filled[place, :count] = True
    return gram, target, filled


def descend(
    gram: Tensor, target: Tensor, l1: float, l2: float, max_sweeps: int, tolerance: float
) -> tuple[Tensor, float]:
    """Solve min_w 1/2 w G w - g w + l2/2 |w|^2 + l1 sum(w), w >= 0, for a batch of problems by coordinate descent.

    w_c <- max(0, g_c - sum_{k != c} G_ck w_k - l1) / (G_cc + l2). Coordinates come first: they are what is looped
    over. Shapes: gram [width, items, width], target [width, items] -> [width, items], and how far a weight moved
    at most in the last sweep.
    """
    width, num_items = target.shape
    weight = torch.zeros(num_items, width)
    own = gram.diagonal(dim1=0, dim2=2).T.contiguous()
    scale = 1.0 / (own + l2).clamp(min=1e-12)
    change = 0.0
    for _ in range(max_sweeps):
        before = weight.clone()
        for c in range(width):
            fitted = torch.linalg.vecdot(gram[c], weight) - own[c] * weight[:, c]
            weight[:, c] = (target[c] - fitted - l1).clamp_(min=0).mul_(scale[c])
        change = float((weight - before).abs().max())
        if change <= tolerance:
            break
    return weight.T, change
