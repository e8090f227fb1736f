"""A linear map from text to collaborative factors: what an item's text says about who takes it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gnnrec.baselines.content import text_vectors
from gnnrec.baselines.spectral import NormalizedSVD
from gnnrec.data.interactions import Interactions
from gnnrec.errors import check_range


class TextRidge:
    """Predict the items' factors from their text by ridge regression; score with the predicted factors.

    Factors F and users P come from NormalizedSVD. Over the items with train interactions, weighted by their counts,
    min_W sum_i c_i |F_i - b - t_i W|^2 + l2 n mean(c) |W|^2, n being their number; then
    item i = (c_i F_i + prior (b + t_i W)) / (c_i + prior), and b + t_i W for an item without interactions: text is a
    prior that counts as `prior` interactions. The map of attributes to factors is that of Gantner et al. 2010,
    https://doi.org/10.1109/ICDM.2010.129, with ridge in place of their kNN and BPR fits.

    Args:
        dim, item_power, seed: of NormalizedSVD. l2: weight of |W|^2, relative to the number of items.
        prior: interactions that the text is worth; 0 leaves warm items as they are, large ones use text alone.
    """

    name = "text ridge"

    def __init__(
        self, dim: int = 128, l2: float = 0.1, prior: float = 10.0, item_power: float = 0.0, seed: int = 0
    ) -> None:
        check_range("dim", dim, "TextRidge", low=1)
        check_range("l2", l2, "TextRidge", low=0, low_open=True)
        check_range("prior", prior, "TextRidge", low=0)
        self.factors = NormalizedSVD(dim, item_power, seed)
        self.factors.owner = "TextRidge"
        self.l2, self.prior = l2, prior

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> TextRidge:
        """Factorise, then regress the factors on `item_vectors` [num_items, d]."""
        train = train.deduplicate()
        text = torch.from_numpy(text_vectors(item_vectors, train, "TextRidge")).double()
        self.factors.fit(train)
        target = self.factors.item_emb.double()
        count = torch.from_numpy(train.item_counts()).double()[:, None]
        predicted = ridge_predict(text, target, count, self.l2)
        blended = (count * target + self.prior * predicted) / (count + self.prior).clamp(min=1e-12)
        self.user_emb = self.factors.user_emb
        self.item_emb = torch.where(count > 0, blended, predicted).float()
        return self

    def scores(self, user: Tensor) -> Tensor:
        """Score all items: [len(user), num_items] float32."""
        return self.user_emb[user] @ self.item_emb.T


def ridge_predict(text: Tensor, target: Tensor, weight: Tensor, l2: float) -> Tensor:
    """Return b + text W for all rows, fitted on rows of positive weight; the intercept b is not penalised.

    Shapes: text [n, d], target [n, k], weight [n, 1] -> [n, k]. Weights are scaled to mean 1 over the rows used, and
    the penalty is l2 times their number.
    """
    used = int((weight > 0).sum())
    weight = weight / weight.sum()
    text_mean, target_mean = (weight * text).sum(dim=0), (weight * target).sum(dim=0)
    centered = text - text_mean
    system = centered.T @ (weight * centered) * used
    system.diagonal().add_(l2 * used)
    solution = torch.linalg.solve(system, centered.T @ (weight * (target - target_mean)) * used)
    return target_mean + centered @ solution
