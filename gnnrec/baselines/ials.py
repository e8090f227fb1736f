"""iALS: matrix factorisation with a squared loss on all pairs, by alternating least squares."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gnnrec.data.interactions import Interactions
from gnnrec.errors import check_range
from gnnrec.progress import Progress

BATCH_FLOATS = 1 << 24  # floats in one padded batch or one batch of [dim, dim] systems


class IALS:
    """Fit vectors w_u, h_i whose products are 1 on the observed pairs and small on all others.

    min sum_observed (1 - w_u h_i)^2 + unobserved sum_all (w_u h_i)^2 + l2 (sum_u a_u |w_u|^2 + sum_i b_i |h_i|^2),
    a_u = (c_u + unobserved num_items)^exponent, b_i = (c_i + unobserved num_users)^exponent, c the train counts.
    Hu, Koren and Volinsky 2008, https://doi.org/10.1109/ICDM.2008.22, in the form of Rendle et al. 2021,
    https://arxiv.org/abs/2110.14037, eq. 2 to 5. Each half step is exact: one system of the smaller of dim
    and the number of partners per user or item.

    Args:
        dim: factors. unobserved: weight of all pairs. l2: weight of the norms. exponent: 1 scales it by frequency, 0
        does not. epochs: half steps of both sides. seed: of the start, normal with deviation 0.1 / sqrt(dim).
    """

    name = "iALS"

    def __init__(
        self,
        dim: int = 256,
        unobserved: float = 0.1,
        l2: float = 0.003,
        exponent: float = 1.0,
        epochs: int = 16,
        seed: int = 0,
    ) -> None:
        check_range("dim", dim, "IALS", low=1)
        check_range("unobserved", unobserved, "IALS", low=0, low_open=True)
        check_range("l2", l2, "IALS", low=0, low_open=True)
        check_range("exponent", exponent, "IALS", low=0, high=1)
        check_range("epochs", epochs, "IALS", low=1)
        self.dim, self.unobserved, self.l2 = dim, unobserved, l2
        self.exponent, self.epochs, self.seed = exponent, epochs, seed

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> IALS:
        """Alternate; the vectors are not used."""
        train = train.deduplicate()
        by_user = _Rows(train.user, train.item, train.num_users, train.num_items)
        by_item = _Rows(train.item, train.user, train.num_items, train.num_users)
        generator = torch.Generator().manual_seed(self.seed)
        scale = 0.1 / self.dim**0.5
        self.item_emb = torch.randn(train.num_items, self.dim, generator=generator) * scale
        for _ in Progress(range(self.epochs), name="iALS", unit="epoch"):
            self.user_emb = self._solve(by_user, self.item_emb)
            self.item_emb = self._solve(by_item, self.user_emb)
        return self

    def _solve(self, rows: _Rows, other: Tensor) -> Tensor:
        """Return the best vectors of one side, given those of the other: [num_rows, dim].

        Row r solves (E + U'U) x = U'1 with E = unobserved H'H + weight_r I, H the other side and U its rows at the
        partners of r. In the basis of H'H's eigenvectors E is diagonal, and a row of fewer than dim partners needs a
        system of that size only (Woodbury): x = E^-1 U' (I + U E^-1 U')^-1 1.
        """
        weight = self.l2 * (rows.count + self.unobserved * len(other)) ** self.exponent
        gram = self.unobserved * (other.T @ other)
        values, basis = torch.linalg.eigh(gram.double())
        values, basis = values.clamp(min=0).float(), basis.float()
        padded = torch.cat([other @ basis, torch.zeros(1, self.dim)])
        result = torch.empty(len(rows.count), self.dim)
        for ids, index in rows.batches(self.dim):
            own, diagonal = padded[index], values + weight[ids, None]
            if index.shape[1] < self.dim:
                scaled = own / diagonal[:, None]
                system = torch.bmm(scaled, own.mT)
                system.diagonal(dim1=1, dim2=2).add_(1)
                right = torch.ones(*index.shape, 1)
                found = scaled.mT @ torch.cholesky_solve(right, torch.linalg.cholesky(system))
            else:
                system = torch.bmm(own.mT, own)
                system.diagonal(dim1=1, dim2=2).add_(diagonal)
                found = torch.cholesky_solve(own.sum(dim=1)[:, :, None], torch.linalg.cholesky(system))
            result[ids] = found[:, :, 0]
        return result @ basis.T

    def scores(self, user: Tensor) -> Tensor:
        """Score all items: [len(user), num_items] float32."""
        return self.user_emb[user] @ self.item_emb.T


class _Rows:
    """The partners of every row, handed out in batches of rows of about equal length, padded."""

    def __init__(self, row: np.ndarray, partner: np.ndarray, num_rows: int, num_partners: int) -> None:
        count = np.bincount(row, minlength=num_rows)
        self.count = torch.from_numpy(count)
        self.order = np.argsort(count, kind="stable")
        self.partner = partner[np.argsort(row, kind="stable")]
        self.first = np.cumsum(count) - count
        self.pad = num_partners

    def batches(self, dim: int):
        """Yield row ids [b] and their partners [b, longest], `num_partners` where a row has fewer."""
        count = self.count.numpy()
        stop = len(self.order)
        while stop > 0:
            longest = max(int(count[self.order[stop - 1]]), 1)
            # partners by dim twice and a system of the smaller size, or one of dim by dim
            size = max(1, BATCH_FLOATS // (2 * longest * dim + min(longest, dim) ** 2))
            ids = self.order[max(0, stop - size) : stop]
            place = np.arange(longest)
            inside = place < count[ids][:, None]
            index = np.full(inside.shape, self.pad, dtype=np.int64)
            index[inside] = self.partner[(self.first[ids][:, None] + place)[inside]]
            yield torch.from_numpy(ids), torch.from_numpy(index)
            stop -= len(ids)
