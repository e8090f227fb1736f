"""Propagation from item to item over text similarity, beside any encoder of the user-item graph."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from gnnrec.bags import Bags, weighted_sum
from gnnrec.edges import EdgeStructure
from gnnrec.encoders.lightgcn import LightGCN
from gnnrec.encoders.states import States
from gnnrec.errors import ConfigError, check_range
from gnnrec.views import View, item_text, nearest_texts


class TextGraph(nn.Module):
    """Add what item features say along text similarity: e_i = encoder(view)_i + weight * (S^L x)_i for items i.

    S[j, i] = 1 / k where i is among the k seen items with the texts nearest to j. The frozen item-item graph of
    FREEDOM, Zhou and Shen 2023, https://arxiv.org/abs/2211.06924, after LATTICE, Zhang et al. 2021,
    https://arxiv.org/abs/2104.09036. Deviations: items without train interactions are nobody's neighbours, but have
    neighbours, so that they are scored through them whatever the init mode; edges of the user-item graph are dropped
    by augmentations (DegreeEdgeDropout) rather than here.

    Users stay as they are. The item-item graph is made once from the view's texts (model.needs_text=true) and does
    not change with the view. Memory: num_items x k.

    Args:
        encoder: any encoder whose output is as wide as its input; LightGCN with 2 layers if not given.
        k: neighbours of each item. num_layers: L. weight: of the item-item part.
    Shapes: x [num_nodes, dim] -> [num_nodes, dim].
    """

    def __init__(
        self,
        dim: int,
        encoder: nn.Module | None = None,
        k: int = 10,
        num_layers: int = 1,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_range("k", k, "TextGraph", low=1)
        check_range("num_layers", num_layers, "TextGraph", low=1)
        check_range("weight", weight, "TextGraph", low=0)
        self.encoder = LightGCN(dim, 2) if encoder is None else encoder
        if self.encoder.out_dim != dim:
            raise ConfigError(
                f"'encoder' must be as wide as its input, {dim}, in 'TextGraph' (got {self.encoder.out_dim})"
            )
        self.k, self.depth, self.weight = k, num_layers, weight
        self.num_layers = self.encoder.num_layers  # of the user-item graph: what `keep_layers` returns
        self.fixed_structure = getattr(self.encoder, "fixed_structure", False)
        self.out_dim = dim

    def forward(self, view: View, keep_layers: bool = False) -> States:
        """Encode a view; the layers of `keep_layers` are those of the inner encoder."""
        states = self.encoder(view, keep_layers=keep_layers)
        graph = view.graph
        share, near = _neighbours(view.train or graph.structure, item_text(view, "TextGraph"), self.k)
        _, item = graph.split(view.x)
        for _ in range(self.depth):
            item = weighted_sum(share, item, *near)
        user_final, item_final = graph.split(states.final)
        final = torch.cat([user_final, torch.add(item_final, item, alpha=self.weight)])
        return States(final, states.layers)


@lru_cache(maxsize=2)
def _neighbours(
    structure: EdgeStructure, vectors: Tensor, k: int
) -> tuple[Tensor, tuple[Bags, Bags, Tensor]]:
    """Return the weight of each neighbour, and the sums over them with those of the transpose."""
    seen = torch.zeros(structure.num_items, dtype=torch.bool, device=vectors.device)
    seen[structure.item.long()] = True
    near, cosine = nearest_texts(vectors, seen, k)
    offset = torch.arange(0, near.numel() + 1, k, device=near.device)
    bags = Bags(near.flatten(), offset, len(near))
    return (cosine > 0).float().flatten() / k, (bags, *bags.by_sender())
