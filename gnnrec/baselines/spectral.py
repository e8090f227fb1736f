"""Spectral models without training: truncated SVD, GF-CF and SVD-AE on the normalised interaction matrix."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from gnnrec.data.interactions import Interactions
from gnnrec.errors import check_range
from gnnrec.graph import BipartiteGraph
from gnnrec.svd import degree_power, normalized_matrix, truncated_svd


class NormalizedSVD:
    """Rank-dim approximation of R~ = Du^-1/2 R Di^-1/2, with popularity put back: s = U S (Di^item_power V)^T.

    item_power 0 is the plain truncated SVD (pure SVD; Cremonesi et al. 2010, https://doi.org/10.1145/1864708.1864721,
    there without normalisation); 0.5 is, up to one constant per user, the ideal low-pass filter of GF-CF (see GFCF).

    Args:
        dim: rank. item_power: exponent of the items' train counts. seed, extra: of truncated_svd.
    """

    name = "SVD"
    owner = "NormalizedSVD"  # whose dim an error names

    def __init__(self, dim: int = 256, item_power: float = 0.0, seed: int = 0, extra: int = 512) -> None:
        check_range("dim", dim, "NormalizedSVD", low=1)
        check_range("item_power", item_power, "NormalizedSVD", low=-1, high=1)
        check_range("extra", extra, "NormalizedSVD", low=0)
        check_range("seed", seed, "NormalizedSVD", low=0)
        self.dim, self.item_power, self.seed, self.extra = dim, item_power, seed, extra

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> NormalizedSVD:
        """Factorise; the vectors are not used."""
        train = train.deduplicate()
        user, value, item = truncated_svd(
            normalized_matrix(train), self.dim, self.seed, self.extra, self.owner
        )
        self.user_emb = user * value
        self.item_emb = item * degree_power(train.item_counts(), self.item_power)
        return self

    def scores(self, user: Tensor) -> Tensor:
        """Score all items: [len(user), num_items] float32."""
        return self.user_emb[user] @ self.item_emb.T


class GFCF:
    """Low-pass graph filters on the user's history: s_u = x_u (R~^T R~ + weight Di^-1/2 V V^T Di^1/2).

    The first term is a linear filter, the second the ideal low-pass filter of the first dim singular vectors V of
    R~ = Du^-1/2 R Di^-1/2. Shen et al. 2021, https://arxiv.org/abs/2108.07567, section 4.3 (dim 256, weight 0.3).

    Args:
        dim: singular vectors kept. weight: of the ideal filter. seed, extra: of truncated_svd.
    """

    name = "GF-CF"

    def __init__(self, dim: int = 256, weight: float = 0.3, seed: int = 0, extra: int = 512) -> None:
        check_range("dim", dim, "GFCF", low=1)
        check_range("weight", weight, "GFCF", low=0)
        self.ideal = NormalizedSVD(dim, 0.5, seed, extra)
        self.ideal.owner = "GFCF"
        self.weight = weight

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> GFCF:
        """Factorise; the vectors are not used."""
        train = train.deduplicate()
        self.ideal.fit(train)
        # x_u Di^-1/2 V = Du^1/2 U S: the constant of each user, which NormalizedSVD leaves out.
        self.ideal.user_emb *= degree_power(train.user_counts(), 0.5)
        self.graph = BipartiteGraph.from_interactions(train)
        self.history = sp.csr_matrix(train.csr())
        return self

    def scores(self, user: Tensor) -> Tensor:
        """Score all items: [len(user), num_items] float32."""
        ids = user.cpu()
        rows = self.history[ids.numpy()].tocoo()
        signal = torch.zeros(self.graph.num_nodes, len(ids))
        signal[self.graph.num_users + rows.col.astype(np.int64), rows.row] = 1.0
        linear = self.graph.polynomial(signal, (0.0, 0.0, 1.0))[self.graph.num_users :].T
        return torch.add(linear, self.ideal.scores(ids), alpha=self.weight).to(user.device)


class SVDAE:
    """Autoencoder from the normalised to the raw matrix, with a truncated pseudo-inverse: s = R~ R~_dim^+ R = U U^T R.

    U are the first dim left singular vectors of R~ = Du^-1/2 R Di^-1/2: the rows of R are projected on the smooth
    signals of the users' graph. Hong et al. 2024, https://arxiv.org/abs/2405.04746, eq. 10.

    Args:
        dim: rank; that of R~ where it is lower (the authors: 1194 on Gowalla, 1267 on Yelp2018).
        seed, extra: of truncated_svd.
    """

    name = "SVD-AE"

    def __init__(self, dim: int = 1024, seed: int = 0, extra: int = 512) -> None:
        check_range("dim", dim, "SVDAE", low=1)
        check_range("extra", extra, "SVDAE", low=0)
        check_range("seed", seed, "SVDAE", low=0)
        self.dim, self.seed, self.extra = dim, seed, extra

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> SVDAE:
        """Factorise; the vectors are not used."""
        train = train.deduplicate()
        user, value, item = truncated_svd(normalized_matrix(train), self.dim, self.seed, self.extra, "SVDAE")
        # Beyond the rank of R~ the left vectors are arbitrary, and R~^T u is rounding, of length below 1e-7.
        self.user_emb = user[:, item.norm(dim=0) * value > 1e-5]
        self.item_emb = torch.from_numpy(train.csr().T @ self.user_emb.numpy())
        return self

    def scores(self, user: Tensor) -> Tensor:
        """Score all items: [len(user), num_items] float32."""
        return self.user_emb[user] @ self.item_emb.T
