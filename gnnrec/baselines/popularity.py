"""Popularity: the same ranking for everybody."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gnnrec.data.interactions import Interactions


class Popularity:
    """Score an item by its number of users in train."""

    name = "popularity"

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> Popularity:
        """Count; the vectors are not used."""
        self.counts = torch.from_numpy(train.deduplicate().item_counts().astype(np.float32))
        return self

    def scores(self, user: Tensor) -> Tensor:
        """Score all items: [len(user), num_items] float32."""
        return self.counts.to(user.device).expand(len(user), -1)
