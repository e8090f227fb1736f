"""Edges from text similarity: the k nearest texts of each item, and user-item edges made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec.edges import EdgeStructure
from gnnrec.errors import ConfigError, check_range
from gnnrec.graph import BipartiteGraph
from gnnrec.progress import Progress
from gnnrec.views.view import View, draw

BLOCK = 2**25  # entries of the similarity matrix at once


@dataclass(frozen=True)
class TextEdges:
    """Join each item with the users of its k nearest texts: A' = A + weight * mask * (R S^T where R is 0).

    S[j, i] = 1 / k where i is among the k texts nearest to j (see nearest_texts), so that a new edge (u, j) weighs
    `weight` times the share of j's neighbours that u has touched; mask ~ Bernoulli(p). Edges that are there stay as
    they are. Edge addition as a view was used with random edges by You et al. 2020, GraphCL,
    https://arxiv.org/abs/2010.13902, section 3.1; here it is text that says which. A cold item gets edges too.

    The candidates are found once for a graph: at most k times as many as there are edges, more where a popular item
    is near to many. Needs item texts: model.needs_text=true. For propagation from item to item, at scoring too, see
    gnnrec.encoders.TextGraph.

    Args:
        k: neighbours of each item. weight: of a new edge, beside 1 of the others. p: share of them in a view.
    """

    k: int = 5
    weight: float = 1.0
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("k", self.k, "TextEdges", low=1)
        check_range("weight", self.weight, "TextEdges", low=0, low_open=True)
        check_range("p", self.p, "TextEdges", low=0, high=1, low_open=True)

    def __call__(self, view: View, generator: torch.Generator) -> View:
        graph = view.graph
        union, place = _with_text_edges(graph.structure, item_text(view, "TextEdges"), self.k)
        weight = self.weight * union.weight
        if self.p < 1:
            weight = weight * (draw((len(weight),), weight, generator) < self.p)
        union = union.with_precision(graph.precision)
        graphs = tuple(
            union.reweight(weight.index_copy(0, place, part.weight)) for part in view.layer_graphs or (graph,)
        )
        return replace(view, graph=graphs[-1], layer_graphs=view.layer_graphs and graphs)


def item_text(view: View, where: str) -> Tensor:
    """Return the item texts of a view, or say how to get them."""
    if view.item_text is None:
        raise ConfigError(
            f"'{where}' needs text vectors of the items: set model.needs_text=true and a 'text' option"
        )
    return view.item_text


def nearest_texts(vectors: Tensor, seen: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k seen items with the nearest texts to each item, itself left out: index and cosine [num_items, k].

    Vectors are centred on the seen items first, since sentence vectors share one direction. Only `seen` items
    (bool [num_items]) are neighbours. An item without text, a row of zeros, has no neighbours and is none. Places that
    cannot be filled with a cosine above 0 hold index 0 and cosine 0.
    """
    present = vectors.any(dim=1)
    warm = torch.nonzero(seen & present).squeeze(1)
    # centred, all rows of zeros would be the same vector
    x = F.normalize(vectors - vectors[warm].mean(dim=0), dim=1) * present.unsqueeze(1)
    near = torch.zeros(len(x), k, dtype=torch.int64, device=x.device)
    cosine = torch.zeros(len(x), k, device=x.device)
    found, step = min(k, len(warm)), max(1, BLOCK // max(len(warm), 1))
    for start in Progress(range(0, len(x), step), name="near texts", unit="block"):
        rows = torch.arange(start, min(start + step, len(x)), device=x.device)
        similarity = (x[rows] @ x[warm].T).masked_fill_(rows.unsqueeze(1) == warm, 0)
        value, column = similarity.clamp_(min=0).topk(found, dim=1)
        cosine[rows, :found] = value
        near[rows, :found] = torch.where(value > 0, warm[column], 0)
    return near, cosine


@lru_cache(maxsize=2)
def _with_text_edges(structure: EdgeStructure, vectors: Tensor, k: int) -> tuple[BipartiteGraph, Tensor]:
    """Return the graph of old and new edges, old ones of weight 0, and where the old ones lie in it."""
    num_users, num_items = structure.num_users, structure.num_items
    user, item = structure.user.cpu().numpy(), structure.item.cpu().numpy()
    seen = torch.zeros(num_items, dtype=torch.bool, device=vectors.device)
    seen[structure.item.long()] = True
    near, cosine = (part.cpu().numpy() for part in nearest_texts(vectors, seen, k))
    row, place = np.nonzero(cosine)
    share = np.full(len(row), 1 / k, dtype=np.float32)
    to_item = sp.csr_matrix((share, (near[row, place], row)), shape=(num_items, num_items))
    touched = sp.csr_matrix((np.ones(len(user), np.float32), (user, item)), shape=(num_users, num_items))
    reached = sp.coo_matrix(touched @ to_item)
    old, new = (
        user.astype(np.int64) * num_items + item,
        reached.row.astype(np.int64) * num_items + reached.col,
    )
    added = ~np.isin(new, old)
    keys = np.concatenate([old, new[added]])
    weight = np.concatenate([np.zeros(len(old), np.float32), reached.data[added]])
    device = structure.user.device
    graph = BipartiteGraph.from_edges(
        torch.from_numpy(keys // num_items).to(device),
        torch.from_numpy(keys % num_items).to(device),
        num_users,
        num_items,
        torch.from_numpy(weight).to(device),
    )
    return graph, torch.from_numpy(np.searchsorted(np.sort(keys), old)).to(device)
