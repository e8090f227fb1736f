"""UltraGCN: constraints on embeddings in place of propagation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec.errors import check_range
from gnnrec.graph import BipartiteGraph
from gnnrec.objectives.step import Step
from gnnrec.progress import Progress

BLOCK = 256


@dataclass(frozen=True)
class Constraint:
    """Weighted binary cross-entropy that pulls towards the limit of infinitely many propagations, mean over the batch:
    -(w1 + w2 b_ui) log sigmoid(e_u . e_i) - negative_weight mean_j (w3 + w4 b_uj) log sigmoid(-e_u . e_j),
    b_ui = sqrt((d_u + 1) / (d_i + 1)) / d_u.

    Mao et al. 2021, UltraGCN, https://arxiv.org/abs/2110.15114, section 3.1, the constraint and the main loss in one
    as in the authors' code (https://github.com/xue-pai/UltraGCN), which `negative_weight` is from. The code sums over
    the batch and adds gamma / 2 times the squares of all embeddings: over the batch size this is gamma L2(all_nodes)
    beside a mean. Its settings: Gowalla w1 1e-6, w2 1, w3 1e-6, w4 1, batch 512, lr 1e-4; Yelp2018 w1 1e-8, w2 1,
    w3 1e-8, w4 1, batch 1024, lr 1e-3; negative_weight 300 for both, with 1500 and 800 negatives a pair.

    Put `Negatives` around it for more than train.num_negatives negatives.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"negative", "weight"})
    w1: float = 1e-6
    w2: float = 1.0
    w3: float = 1e-6
    w4: float = 1.0
    negative_weight: float = 300.0

    def __post_init__(self) -> None:
        for name in ("w1", "w2", "w3", "w4", "negative_weight"):
            check_range(name, getattr(self, name), "Constraint", low=0)

    def __call__(self, step: Step) -> Tensor:
        user_degree, item_degree = step.train.split(step.train.degree)
        degree = user_degree[step.user]
        user = (degree + 1).sqrt() / degree
        item = (item_degree + 1).rsqrt()
        weight = self.w1 + self.w2 * user * item[step.positive]
        negative_weight = self.w3 + self.w4 * user.unsqueeze(1) * item[step.negative]
        positive, negative = step.scores()
        pushed = (negative_weight * F.softplus(negative)).mean(dim=1)
        loss = weight * F.softplus(-positive) + self.negative_weight * pushed
        return (loss if step.weight is None else loss * step.weight).mean()


@dataclass
class ItemItem:
    """Pull a user towards the items most alike to its own, mean over the batch: -sum_j o_ij log sigmoid(e_u . e_j).

    j runs over the num_neighbours items of largest o_ij = G_ij / (g_i - G_ii) sqrt(g_i / g_j), with G = R^T R and
    g_i = sum_j G_ij. Mao et al. 2021, https://arxiv.org/abs/2110.15114, section 3.2; the item itself is no neighbour,
    as in the paper (the authors' code counts it). The neighbours are found once per train graph.
    """

    num_neighbours: int = 10

    def __post_init__(self) -> None:
        check_range("num_neighbours", self.num_neighbours, "ItemItem", low=1)
        self._kept: tuple[BipartiteGraph, tuple[Tensor, Tensor]] | None = None

    def __call__(self, step: Step) -> Tensor:
        if self._kept is None or self._kept[0] is not step.train:
            self._kept = step.train, item_neighbours(step.train, self.num_neighbours)
        neighbour, weight = (part[step.positive] for part in self._kept[1])
        scores = torch.einsum("bd,bnd->bn", step.user_emb, step.item_emb(neighbour))
        return (weight * F.softplus(-scores)).sum(dim=1).mean()


def item_neighbours(train: BipartiteGraph, num_neighbours: int) -> tuple[Tensor, Tensor]:
    """Return the neighbours of each item and their weights o_ij (see ItemItem), each [num_items, num_neighbours].

    A place without a neighbour holds item 0 with weight 0.
    """
    user, item = train.structure.user.cpu().numpy(), train.structure.item.cpu().numpy()
    shape = (train.num_users, train.num_items)
    history = sp.csr_matrix((np.ones(len(user), dtype=np.float32), (user, item)), shape=shape)
    by_item = sp.csr_matrix(history.T)
    total = np.asarray(by_item @ history.sum(axis=1)).ravel()  # g
    own = np.asarray(history.sum(axis=0)).ravel()  # G_ii
    others = np.maximum(total - own, 1e-12)
    k = min(num_neighbours, train.num_items)
    neighbour = torch.zeros(train.num_items, num_neighbours, dtype=torch.long)
    weight = torch.zeros(train.num_items, num_neighbours)
    for start in Progress(range(0, train.num_items, BLOCK), name="item-item", unit="block"):
        rows = np.arange(start, min(start + BLOCK, train.num_items))
        block = (by_item[rows] @ history).toarray()
        block[np.arange(len(rows)), rows] = 0.0
        block *= (np.sqrt(total[rows]) / others[rows])[:, None] / np.sqrt(np.maximum(total, 1.0))
        value, place = torch.from_numpy(block.astype(np.float32, copy=False)).topk(k, dim=1)
        neighbour[rows, :k] = torch.where(value > 0, place, 0)
        weight[rows, :k] = value
    return neighbour.to(train.device), weight.to(train.device)
