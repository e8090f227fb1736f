"""Exact area under the ROC curve of each user, over all candidate items."""

from __future__ import annotations

import torch
from torch import Tensor


def block_auc(scores: Tensor, relevant: Tensor) -> Tensor:
    """Return float64 [b]: the share of (relevant, other) pairs of candidates in the right order, ties one half.

    AUC_u = sum over relevant r of (#(others below r) + #(others equal to r) / 2) / (#relevant * #others), the
    Mann-Whitney statistic. NaN for users without a relevant or without another candidate.

    Args:
        scores: float32 [b, n], -inf for items that are no candidates.
        relevant: bool [b, n]; relevant items that are no candidates are not counted.
    """
    candidate = ~torch.isneginf(scores)
    relevant = relevant & candidate
    num_relevant = relevant.sum(dim=1)
    num_others = candidate.sum(dim=1) - num_relevant
    others = scores.masked_fill(relevant, float("-inf"))
    row, column = relevant.nonzero(as_tuple=True)
    first = torch.cumsum(num_relevant, 0) - num_relevant
    order = torch.arange(len(row), device=scores.device) - first[row]
    above = torch.zeros(len(scores), dtype=torch.float64, device=scores.device)
    for place in range(int(num_relevant.max()) if len(num_relevant) else 0):
        chosen = order == place
        rows = row[chosen]
        value = scores[rows, column[chosen]].unsqueeze(1)
        some = others[rows]
        above[rows] += (some > value).sum(dim=1) + 0.5 * (some == value).sum(dim=1)
    return 1.0 - above / (num_relevant * num_others)
