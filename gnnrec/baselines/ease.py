"""EASE: the linear item-item autoencoder with a closed form."""

from __future__ import annotations

import logging

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec.baselines.dense import BLOCK, invert_in_place, require_memory
from gnnrec.baselines.sparse import size_of
from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, check_choice, check_range

logger = logging.getLogger(__name__)
# Of 1 - x_j^T K x_j, K in float32: scores of size 1 were wrong by .001 at .027, by .015 at .008 and by .13 at .0026.
LEAST_REST = 0.01
INSTEAD = "use SLIM, RP3beta or ItemKNN, whose item-item matrix is sparse"


class EASE:
    """Reconstruct each user's row from the other items: s(u, i) = sum_j x_uj B_ji.

    min_B |X - X B|^2 + l2 |B|^2, diag(B) = 0;  P = (X^T X + l2 I)^-1,  B_ij = -P_ij / P_jj (i != j). Steck 2019,
    https://arxiv.org/abs/1905.03375, eq. 8. The same scores come from the users' side, which is cheaper where there
    are fewer users than items: with K = (X X^T + l2 I)^-1,
    X P = K X,  P_jj = (1 - x_j^T K x_j) / l2,  hence  X B = X - K X diag(1 / P_jj).
    One float32 matrix of that side is kept, inverted in place: 4 n^2 bytes, n^3 operations.

    Args:
        l2: weight of |B|^2; as in the paper, not divided by the number of users.
        side: `item` keeps B, `user` keeps K, `auto` takes the smaller matrix.

    fit raises ConfigError where the matrix does not fit in memory (said in the log before it starts), or where l2 is
    too small for float32.
    """

    name = "EASE"

    def __init__(self, l2: float = 100.0, side: str = "auto") -> None:
        check_range("l2", l2, "EASE", low=0, low_open=True)
        check_choice("side", side, ("auto", "item", "user"), "EASE")
        self.l2, self.side = l2, side

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> EASE:
        """Solve; the vectors are not used."""
        history = sp.csr_matrix(train.csr())
        smaller = "item" if train.num_items <= train.num_users else "user"
        side = smaller if self.side == "auto" else self.side
        self.solution = _ItemSide(history, self.l2) if side == "item" else _UserSide(history, self.l2)
        return self

    def scores(self, user: Tensor) -> Tensor:
        """Score all items: [len(user), num_items] float32."""
        return self.solution.scores(user.cpu()).to(user.device)


class _ItemSide:
    """Keep B [num_items, num_items]."""

    def __init__(self, history: sp.csr_matrix, l2: float) -> None:
        self.history = history
        weights = invert_in_place(gram(sp.csr_matrix(history.T), l2, "EASE"))
        weights /= -weights.diagonal().clone()
        weights.fill_diagonal_(0.0)
        self.weights = weights

    def scores(self, user: Tensor) -> Tensor:
        return history_product(self.history, user, self.weights)


class _UserSide:
    """Keep K [num_users, num_users] and P_jj [num_items]."""

    def __init__(self, history: sp.csr_matrix, l2: float) -> None:
        self.history = history
        by_item = sp.csr_matrix(history.T)
        self.users = torch.from_numpy(by_item.indices.astype(np.int64))
        self.offset = torch.from_numpy(by_item.indptr.astype(np.int64))
        num_users, num_items = size_of(history)
        # `_product` copies its rows of K and of K X once, and the block of K X before it is still there.
        self.kernel = invert_in_place(gram(history, l2, "EASE", 2 * num_users + 3 * num_items))
        rest = self._rest()
        if rest.min(initial=1.0) < LEAST_REST:
            raise ConfigError(
                f"'l2' is too small for float32 on the side of the users in 'EASE' (got {l2}): use a larger one, or "
                "side=item"
            )
        self.diagonal = torch.from_numpy(rest / l2).float()

    def _rest(self) -> np.ndarray:
        """Return l2 P_jj, float64: 1 - x_j^T K x_j cancels for popular items, so it is summed in float64."""
        total = np.zeros(size_of(self.history)[1])
        for start in range(0, len(self.kernel), BLOCK):
            user = torch.arange(start, min(start + BLOCK, len(self.kernel)))
            product = self._product(user)
            rows = self.history[user.numpy()].tocoo()
            np.add.at(total, rows.col, product[rows.row, rows.col].numpy())
        return 1.0 - total

    def _product(self, user: Tensor) -> Tensor:
        """Return the rows of K X of some users: [len(user), num_items]."""
        columns = self.kernel[user].T.contiguous()
        bags = F.embedding_bag(self.users, columns, self.offset, mode="sum", include_last_offset=True)
        return bags.T.contiguous()

    def scores(self, user: Tensor) -> Tensor:
        result = self._product(user).div_(-self.diagonal)
        rows = self.history[user.numpy()].tocoo()
        result[rows.row, rows.col] += 1.0
        return result


def gram(rows: sp.csr_matrix, l2: float, who: str, later: int = 0) -> Tensor:
    """Return rows @ rows^T + l2 I as a dense float32 matrix, filled block by block.

    later: how many numbers each row of a block needs later on, for the check that there is memory.
    """
    size = size_of(rows)[0]
    panels = BLOCK * max(3 * size, later)
    require_memory(4.0 * (size * size + panels), f"{who} on a [{size}, {size}] matrix", INSTEAD)
    matrix = torch.empty(size, size)
    transposed = sp.csr_matrix(rows.T)
    for start in range(0, size, BLOCK):
        block = rows[start : start + BLOCK] @ transposed
        matrix[start : start + BLOCK] = torch.from_numpy(block.toarray())
    matrix.diagonal().add_(l2)
    return matrix


def history_product(history: sp.csr_matrix, user: Tensor, weights: Tensor) -> Tensor:
    """Return x_u W for the users' rows of a 0/1 matrix: sums of the rows of W, [len(user), W.shape[1]]."""
    rows = history[user.numpy()]
    index = torch.from_numpy(rows.indices.astype(np.int64))
    offset = torch.from_numpy(rows.indptr.astype(np.int64))
    return F.embedding_bag(index, weights, offset, mode="sum", include_last_offset=True)
