"""Unseen items take the embeddings of seen items with the nearest texts."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec.features.prepare import Vectors, prepare, side_by_side

_CELLS = 1 << 26  # similarities held at once


class TextNeighbours:
    """Gives items without train interactions the embeddings of the seen items whose texts are nearest.

    e_i <- own_weight e_i + sum_{j in N_k(i)} w_ij e_j, w_ij = max(cos(v_i, v_j), 0)^3 / sum_j' (...): content kNN
    with the user's learned score s(u, j) = e_u . e_j in place of whether u touched j. The cube favours the nearest. An
    item without text, a row of zeros, has no neighbours and is none.

    Args:
        vectors: text vectors of all items [num_items, d], or blocks, which are put side by side.
        seen: bool [num_items]. k: neighbours of each item.
    """

    def __init__(self, vectors: Vectors, seen: np.ndarray, k: int, own_weight: float) -> None:
        x = F.normalize(side_by_side(prepare(vectors, torch.from_numpy(seen), "item")), dim=1)
        if isinstance(vectors, np.ndarray):
            # centred, all rows of zeros would be the same vector
            x = x * torch.from_numpy(vectors.any(axis=1)).unsqueeze(1)
        warm = torch.from_numpy(np.flatnonzero(seen))
        self.unseen = torch.from_numpy(np.flatnonzero(~seen))
        k, near = min(k, len(warm)), []
        for rows in self.unseen.split(max(1, _CELLS // max(1, len(warm)))):
            near.append((x[rows] @ x[warm].T).clamp_(min=0).pow_(3).topk(k, dim=1))
        similarity, place = (torch.cat(part) for part in zip(*near, strict=True))
        self.weight = similarity / similarity.sum(dim=1, keepdim=True).clamp(min=1e-12)
        self.neighbour = warm[place]
        self.own_weight = own_weight

    def fill(self, item_emb: Tensor) -> Tensor:
        """Return item embeddings [num_items, dim] with the unseen rows filled in; the seen rows are unchanged."""
        unseen, weight = self.unseen.to(item_emb.device), self.weight.to(item_emb.device)
        near = item_emb[self.neighbour.to(item_emb.device)]
        filled = self.own_weight * item_emb[unseen] + (weight.unsqueeze(2) * near).sum(dim=1)
        return item_emb.index_copy(0, unseen, filled)
