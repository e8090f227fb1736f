"""The truncated-SVD view of LightGCL: propagation through the main directions of the graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NoReturn, cast

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import svds
from torch import Tensor

from gnnrec.edges import NORMS, EdgeStructure
from gnnrec.errors import ConfigError, check_choice, check_range
from gnnrec.graph import BipartiteGraph
from gnnrec.views.view import View


@dataclass(frozen=True)
class SVDView:
    """Propagate through the rank-q SVD of the normalised adjacency: R~ = Du^-1/2 R Di^-1/2 becomes U_q S_q V_q^T.

    Cai et al. 2023, LightGCL, https://arxiv.org/abs/2302.08191, section 3.2. With LightGCN as the encoder,
    Contrast(first=[], second=[SVDView(q)]) is their contrast of the main view with the SVD view: they send the main
    view's layer l - 1 through the SVD, which is the same, since R~ has its own singular vectors and
    P_q P^(l-1) = P_q^l. Deviations: exact SVD (they approximate it with random projections); no activation, as in
    their code; cosines (their paper, not their code); negatives from the batch, as Contrast has them, where they
    take all nodes.

    The SVD is of the whole train graph, whatever edges were dropped or added before, and computed once for a graph.
    It leaves no edges: later augmentations of edges, and encoders that look at edges one by one, raise a ConfigError.
    """

    rank: int = 5

    def __post_init__(self) -> None:
        check_range("rank", self.rank, "SVDView", low=1)

    def __call__(self, view: View, generator: torch.Generator) -> View:
        structure = view.train or view.graph.structure
        train = BipartiteGraph(
            structure,
            torch.ones(len(structure.user), device=view.graph.device),
            view.graph.precision,
        )
        graph = LowRankGraph(train, self.rank)
        return replace(view, graph=cast(BipartiteGraph, graph), layer_graphs=None)


class LowRankGraph:
    """Stands in for a BipartiteGraph where it is propagated over: P_q = [[0, U S V^T], [V S U^T, 0]]."""

    def __init__(self, graph: BipartiteGraph, rank: int) -> None:
        self.num_users, self.num_items, self.num_nodes = graph.num_users, graph.num_items, graph.num_nodes
        self.device, self.degree, self.isolated = graph.device, graph.degree, graph.isolated
        self.precision = graph.precision  # of products elsewhere: those with the factors are in that of x
        self.structure, self.num_edges = graph.structure, 0
        self.factors = _truncated_svd(graph.structure, rank)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Split a node matrix into its user rows and its item rows."""
        return x[: self.num_users], x[self.num_users :]

    def item_node(self, item: Tensor) -> Tensor:
        """Return the row of each item in the node matrix."""
        return item + self.num_users

    def compact(self) -> LowRankGraph:
        """Return itself: there are no edges of weight 0."""
        return self

    def num_edges_at(self, users: Tensor, items: Tensor) -> int:
        """Return 0: there are no edges to pick, and all rows are computed at once."""
        return 0

    def propagate(self, x: Tensor, norm: str = "symmetric") -> Tensor:
        """Multiply by P_q (symmetric), D^-1/2 P_q D^1/2 (mean) or D^1/2 P_q D^1/2 (sum): [num_nodes, dim]."""
        check_choice("norm", norm, NORMS, "propagate")
        if norm == "symmetric":
            return self._multiply(x)
        root = self.degree.sqrt().unsqueeze(1)
        y = self._multiply(root * x)
        return y * (root if norm == "sum" else torch.where(root > 0, 1 / root, 0.0))

    def polynomial(self, x: Tensor, coefficients: tuple[float, ...], norm: str = "symmetric") -> Tensor:
        """Return sum_k coefficients[k] P_q^k x: [num_nodes, dim]."""
        result = coefficients[-1] * x
        for coefficient in reversed(coefficients[:-1]):
            result = self.propagate(result, norm) + coefficient * x
        return result

    def _multiply(self, x: Tensor) -> Tensor:
        user, value, item = self.factors
        x_user, x_item = self.split(x)
        return torch.cat([(user * value) @ (item.T @ x_item), (item * value) @ (user.T @ x_user)])

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise ConfigError(
            f"the view of 'SVDView' has no edges, hence no '{name}': put SVDView last among the augmentations and "
            "use an encoder that propagates (LightGCN, NGCF, GraphSAGE with the mean)"
        )


@lru_cache(maxsize=2)
def _truncated_svd(structure: EdgeStructure, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return U [num_users, rank], S [rank], V [num_items, rank] of Du^-1/2 R Di^-1/2, R unweighted."""
    user, item = structure.user.cpu().numpy(), structure.item.cpu().numpy()
    shape = (structure.num_users, structure.num_items)
    if rank >= min(shape):
        raise ConfigError(
            f"'rank' must be below {min(shape)}, the smaller side of the graph, in 'SVDView' (got {rank})"
        )
    value = (np.bincount(user)[user] * np.bincount(item)[item].astype(np.float64)) ** -0.5
    start = np.random.default_rng(0).standard_normal(min(shape))
    found: tuple[np.ndarray, np.ndarray, np.ndarray] = svds(  # type: ignore[assignment]
        sp.csr_matrix((value, (user, item)), shape=shape), k=rank, v0=start
    )
    left, singular, right = found
    device = structure.user.device
    u, s, v = (torch.from_numpy(np.ascontiguousarray(part, np.float32)) for part in (left, singular, right.T))
    return u.to(device), s.to(device), v.to(device)
