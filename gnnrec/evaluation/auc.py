"""Exact area under the ROC curve of each user, over all candidate items."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_AT_ONCE = 64


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
    count = _count_by_comparing if scores.device.type == "cpu" else _count_by_sorting
    below, not_above = count(scores, row, column, num_relevant)
    mid_rank = (below + not_above + 1).double() / 2 - num_masked[row]
    ranks = torch.zeros(len(scores), dtype=torch.float64, device=scores.device).index_add(0, row, mid_rank)
    return (ranks - num_relevant * (num_relevant + 1) / 2) / (num_relevant * num_others)


def _count_by_comparing(
    scores: Tensor, row: Tensor, column: Tensor, num_relevant: Tensor
) -> tuple[Tensor, Tensor]:
    """Return for each (row, column) how many scores of the row are smaller, and how many are not larger.

    A relevant item costs one comparison with the row, which stays in cache: several times faster than sorting.
    """
    matrix, columns = scores.numpy(), column.numpy()
    below, not_above = np.empty(len(columns), dtype=np.int64), np.empty(len(columns), dtype=np.int64)
    start = 0
    for line, size in zip(matrix, num_relevant.tolist(), strict=True):
        for first in range(start, start + size, _AT_ONCE):
            part = slice(first, min(first + _AT_ONCE, start + size))
            value = line[columns[part], None]
            below[part] = np.count_nonzero(line < value, axis=1)
            not_above[part] = np.count_nonzero(line <= value, axis=1)
        start += size
    return torch.from_numpy(below), torch.from_numpy(not_above)


def _count_by_sorting(
    scores: Tensor, row: Tensor, column: Tensor, num_relevant: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the same by one sort per row, which suits a GPU."""
    first = torch.cumsum(num_relevant, 0) - num_relevant
    place = torch.arange(len(row), device=scores.device) - first[row]
    value = scores.new_zeros((len(scores), int(num_relevant.max())))
    value[row, place] = scores[row, column]
    ordered = scores.sort(dim=1).values
    below = torch.searchsorted(ordered, value)[row, place]
    return below, torch.searchsorted(ordered, value, right=True)[row, place]
