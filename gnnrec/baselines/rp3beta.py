"""RP3beta: random walks of three steps, with popularity discounted."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from gnnrec.baselines.sparse import SparseScorer, keep_top_k, normalize_rows, top_k_rows
from gnnrec.data.interactions import Interactions
from gnnrec.errors import check_range


class RP3Beta(SparseScorer):
    """Score an item by the probability of a walk user - item - user - item that ends there, less its popularity.

    s(u, i) = sum_{j in history(u)} W_ji, W_ji = c_i^-beta sum_v c_j^-alpha c_v^-alpha over the users v of both j and
    i, c the train counts. Christoffel et al. 2015, https://doi.org/10.1145/2792838.2800180, section 4, and Paudel et
    al. 2017, https://doi.org/10.1145/2955101. The first step's factor c_u^-alpha is left out: it is one constant per
    user and changes no ranking. The diagonal of W is set to 0; as in the evaluation framework of Ferrari Dacrema et
    al. 2019 (https://arxiv.org/abs/1907.06902), W is cut to its k largest values by row, normalised if asked, then cut
    by column.

    Args:
        k: values of W kept for each item.
        alpha: exponent of the transition probabilities; 1 is a plain walk.
        beta: exponent of the popularity that is divided out; 0 leaves it in.
        normalize: divide each row of W by its sum after the cut.
    """

    name = "RP3beta"

    def __init__(self, k: int = 200, alpha: float = 0.8, beta: float = 0.4, normalize: bool = True) -> None:
        check_range("k", k, "RP3Beta", low=1)
        check_range("alpha", alpha, "RP3Beta", low=0)
        check_range("beta", beta, "RP3Beta", low=0)
        self.k, self.alpha, self.beta, self.normalize = k, alpha, beta, normalize

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> RP3Beta:
        """Walk from every item, block by block; the vectors are not used."""
        train = train.deduplicate()
        self.left = sp.csr_matrix(train.csr())
        user_step = sp.diags(_power(train.user_counts(), -self.alpha))
        item_step = sp.diags(_power(train.item_counts(), -self.alpha))
        discount = sp.diags(_power(train.item_counts(), -self.beta))
        by_item = sp.csr_matrix(item_step @ self.left.T)
        by_user = sp.csr_matrix(user_step @ self.left @ discount)

        def block(start: int, stop: int) -> sp.csr_matrix:
            walks = sp.csr_matrix(by_item[start:stop] @ by_user)
            walks.data[np.repeat(np.arange(start, stop), np.diff(walks.indptr)) == walks.indices] = 0
            return walks

        weights = top_k_rows(block, train.num_items, self.k, "walks")
        if self.normalize:
            weights = normalize_rows(weights)
        self.right = sp.csr_matrix(keep_top_k(sp.csr_matrix(weights.T), self.k).T)
        return self


def _power(count: np.ndarray, exponent: float) -> np.ndarray:
    """Return count ** exponent as float32, 0 for a count of 0."""
    return np.where(count > 0, np.maximum(count, 1).astype(np.float64) ** exponent, 0.0).astype(np.float32)
