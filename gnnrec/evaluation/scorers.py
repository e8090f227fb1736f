"""Scorers made from saved arrays: embeddings of any tool."""

from __future__ import annotations

import torch
from torch import Tensor

from gnnrec.errors import DataError, check_choice


class EmbeddingScorer:
    """Scores are products of a user's and an item's vector, or their cosines.

    Args:
        user_emb: [num_users, dim].
        item_emb: [num_items, dim].
        similarity: "dot", or "cosine" (vectors of length zero score 0).
        name: the model's name in messages.
    """

    def __init__(
        self, user_emb: Tensor, item_emb: Tensor, similarity: str = "dot", name: str = "embeddings"
    ) -> None:
        check_choice("similarity", similarity, ("dot", "cosine"), "EmbeddingScorer")
        if user_emb.ndim != 2 or item_emb.ndim != 2 or user_emb.shape[1] != item_emb.shape[1]:
            raise DataError(
                f"'user_emb' and 'item_emb' must be [num, dim] of one dim in '{name}' "
                f"(got {list(user_emb.shape)} and {list(item_emb.shape)})"
            )
        if similarity == "cosine":
            user_emb = torch.nn.functional.normalize(user_emb.float(), dim=1)
            item_emb = torch.nn.functional.normalize(item_emb.float(), dim=1)
        self.name = name
        self.user_emb = user_emb
        self.item_emb = item_emb

    def scores(self, user: Tensor) -> Tensor:
        """Return float32 [len(user), num_items]."""
        return self.user_emb[user].float() @ self.item_emb.float().T
