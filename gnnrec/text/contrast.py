"""The contrastive losses of domain adaptation, and what counts as a positive."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec.data.interactions import Interactions
from gnnrec.errors import DataError


def two_view_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return the mean over both directions of -log softmax_j(cos(a_i, b_j) / temperature) at j = i.

    SimCSE (Gao et al. 2021, https://arxiv.org/abs/2104.08821, equation 1), here symmetric.
    Shapes: [n, d], [n, d] -> scalar.
    """
    scores = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T / temperature
    target = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2


def weighted_pair_loss(vectors: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """Return - mean_i sum_j p_ij log softmax_{j != i}(cos(x_i, x_j) / temperature), p_ij = w_ij / sum_j w_ij.

    Supervised contrastive learning (Khosla et al. 2020, https://arxiv.org/abs/2004.11362, equation 2) with
    positives weighted by `weight` instead of alike. The mean is over rows that have a positive.
    Shapes: vectors [n, d], weight [n, n] not negative with zero diagonal -> scalar.
    """
    scores = F.normalize(vectors, dim=1)
    scores = scores @ scores.T / temperature
    scores = scores.masked_fill(torch.eye(len(scores), dtype=torch.bool, device=scores.device), -1e9)
    total = weight.sum(dim=1)
    log_p = F.log_softmax(scores, dim=1)
    loss = -(weight * log_p).sum(dim=1) / total.clamp(min=1e-12)
    return loss[total > 0].mean()


def history_loss(
    keys: Tensor, history: Tensor, target: Tensor, log_share: Tensor, temperature: float
) -> Tensor:
    """Return - mean_u mean_{i in T(u)} log softmax_{i not in H(u)}(cos(k_i, sum_{j in H(u)} k_j) / t + log p_i).

    One part of an owner's rows is ranked by the other, t the temperature: a softmax over all rows, as in Mult-VAE
    (Liang et al. 2018, https://arxiv.org/abs/1802.05814, equation 2), p_i the share that row i has of all pairs. The
    mean is over owners with both parts; 0 where there are none.
    Shapes: keys, of unit length, [n, d]; history and target 0 or 1 [owners, n], never both 1; log_share [n] -> scalar.
    """
    scores = F.normalize(history @ keys, dim=1) @ keys.T / temperature + log_share
    log_p = F.log_softmax(scores.masked_fill(history > 0, -1e9), dim=1)
    both = (history.sum(dim=1) > 0) & (target.sum(dim=1) > 0)
    each = -(target * log_p.masked_fill(target == 0, 0)).sum(dim=1) / target.sum(dim=1).clamp(min=1)
    return each[both].sum() / both.sum().clamp(min=1)


class PairSampler:
    """Batches of item rows in which every anchor has a partner, and the weights of all positives among them.

    The weight of a pair is the cosine of its co-interactions in train, w_ij = c_ij / sqrt(n_i n_j), so
    popular items are not everybody's positive. An anchor is drawn alike from the usable rows, its partner
    by weight.
    """

    def __init__(self, train: Interactions, usable: np.ndarray) -> None:
        matrix = sp.csr_array(train.csr()[:, usable])
        scale = 1 / np.sqrt(np.maximum(np.asarray(matrix.sum(axis=0)).ravel(), 1))
        matrix = sp.csr_array(matrix @ sp.diags_array(scale))
        weight = sp.csr_array(matrix.T @ matrix)
        weight.setdiag(0)
        weight.eliminate_zeros()
        weight.sort_indices()
        self.rows, self.weight = usable, sp.csr_array(weight.astype(np.float32))
        self.anchors = np.flatnonzero(np.diff(self.weight.indptr))
        if not len(self.anchors):
            raise DataError("no two items with text share a user in train: there are no pairs to learn from")

    def sample(self, size: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return distinct rows [m], m <= size, and their weights float32 [m, m]."""
        anchors = generator.choice(self.anchors, size=min(size // 2, len(self.anchors)), replace=False)
        partners = [self._partner(anchor, generator) for anchor in anchors]
        local = np.unique(np.concatenate([anchors, np.array(partners, dtype=np.int64)]))
        return self.rows[local], self.weight[local][:, local].toarray()

    def _partner(self, anchor: int, generator: np.random.Generator) -> int:
        begin, end = self.weight.indptr[anchor : anchor + 2]
        total = np.cumsum(self.weight.data[begin:end], dtype=np.float64)
        place = np.searchsorted(total, generator.random() * total[-1], side="right")
        return int(self.weight.indices[begin + min(int(place), end - begin - 1)])
