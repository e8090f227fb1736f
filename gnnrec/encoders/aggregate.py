"""Aggregation of neighbours that is no matrix product."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec.graph import BipartiteGraph


def max_of_neighbours(graph: BipartiteGraph, x: Tensor) -> Tensor:
    """Return the element-wise maximum of x over the neighbours of each node; zeros for a node without any.

    Edges of weight 0 are absent, other weights do not matter. Where several neighbours share the maximum, the first
    of them gets the whole gradient. Nothing of size num_edges x dim is made.

    Shapes: x [num_nodes, dim] -> [num_nodes, dim].
    """
    s = graph.structure
    x_user, x_item = graph.split(x)
    keep = graph.weight > 0
    return torch.cat(
        [
            _bag_max(s.item, s.user_offset, keep, x_item),
            _bag_max(s.user_by_item, s.item_offset, keep[s.to_item_order], x_user),
        ]
    )


def _bag_max(index: Tensor, offset: Tensor, keep: Tensor, x: Tensor) -> Tensor:
    if not bool(keep.all()):
        before = F.pad(keep.cumsum(0), (1, 0))
        index, offset = index[keep], before[offset].to(offset.dtype)
    return F.embedding_bag(index, x, offset, mode="max", include_last_offset=True)
