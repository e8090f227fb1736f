"""Exact area under the ROC curve of each user, over all candidate items."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def block_auc(scores: Tensor, relevant: Tensor) -> Tensor:
    """Return float64 [b]: the share of (relevant, other) pairs of candidates in the right order, ties one half.

    AUC_u = (sum of the ascending mid-ranks of the relevant - R (R + 1) / 2) / (R * #others), the Mann-Whitney
    statistic, R = #relevant. NaN for users without a relevant or without another candidate.

    Args:
        scores: float32 [b, n], -inf for items that are no candidates.
        relevant: bool [b, n]; relevant items that are no candidates are not counted.
    """
    row, column = (relevant & ~torch.isneginf(scores)).nonzero(as_tuple=True)
    num_relevant = torch.bincount(row, minlength=len(scores))
    num_masked = torch.isneginf(scores).sum(dim=1)
    num_others = scores.shape[1] - num_masked - num_relevant
    # Relevant scores, one row per user; the missing ones of shorter rows are +inf and not read again.
    first = torch.cumsum(num_relevant, 0) - num_relevant
    place = torch.arange(len(row), device=scores.device) - first[row]
    wanted = scores.new_full((len(scores), int(num_relevant.max())), float("inf"))
    wanted[row, place] = scores[row, column]
    ordered = _sorted(scores)
    below = torch.searchsorted(ordered, wanted)[row, place]
    not_above = torch.searchsorted(ordered, wanted, right=True)[row, place]
    mid_rank = (below + not_above + 1).double() / 2 - num_masked[row]
    ranks = torch.zeros(len(scores), dtype=torch.float64, device=scores.device).index_add(0, row, mid_rank)
    return (ranks - num_relevant * (num_relevant + 1) / 2) / (num_relevant * num_others)


def _sorted(scores: Tensor) -> Tensor:
    """Return each row in ascending order; numpy's sort is several times faster than torch's on a CPU."""
    if scores.device.type == "cpu":
        return torch.from_numpy(np.sort(scores.numpy(), axis=1))
    return scores.sort(dim=1).values
