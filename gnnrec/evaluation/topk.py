"""Exact top-k under a total order: score first, a seeded random key of the items where scores are equal."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NO_ITEM = -1


def tie_keys(num_items: int, seed: int, device: torch.device) -> Tensor:
    """Return float64[num_items]: a seeded permutation; of equal scores the larger key ranks first."""
    keys = np.random.default_rng(seed).permutation(num_items)
    return torch.from_numpy(keys).to(device=device, dtype=torch.float64)


def ordered_top(scores: Tensor, k: int, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first k columns of each row by descending score, equal scores by descending key.

    Args:
        scores: float32 [b, n]; -inf marks a column that may not be chosen.
        keys: float64 [n], all different.

    Returns:
        values float32 [b, k] and columns int64 [b, k], filled up with -inf and -1 where choices run out.

    `torch.topk` promises no order among equal values, neither inside the list nor across its end, so rows
    with such ties are chosen again by key.
    """
    wide = min(k + 1, scores.shape[1])
    values, columns = torch.topk(scores, wide, dim=1)
    if wide == k + 1:
        across = (values[:, k - 1] == values[:, k]) & torch.isfinite(values[:, k])
        rows = across.nonzero().squeeze(1)
        if len(rows):
            columns[rows, :k] = _choose_by_key(scores[rows], values[rows, :k], columns[rows, :k], keys)
        values, columns = values[:, :k], columns[:, :k]
    values, columns = sort_ties(values, columns, keys[columns])
    columns = columns.masked_fill(torch.isneginf(values), NO_ITEM)
    missing = k - values.shape[1]
    if missing > 0:
        values = torch.nn.functional.pad(values, (0, missing), value=float("-inf"))
        columns = torch.nn.functional.pad(columns, (0, missing), value=NO_ITEM)
    return values, columns


def _choose_by_key(scores: Tensor, values: Tensor, columns: Tensor, keys: Tensor) -> Tensor:
    """Return the columns [b, k] with those equal to the last value chosen again, largest key first."""
    k = values.shape[1]
    last = values[:, -1:]
    equal = torch.where(scores == last, keys.to(scores.device), -1.0)
    chosen = torch.topk(equal, k, dim=1).indices
    above = (values > last).sum(dim=1, keepdim=True)
    position = torch.arange(k, device=scores.device) - above
    return torch.where(position < 0, columns, chosen.gather(1, position.clamp(min=0)))


def sort_ties(values: Tensor, columns: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows sorted by descending value, equal values by descending key; others are left alone."""
    rows = (values[:, 1:] >= values[:, :-1]).any(dim=1).nonzero().squeeze(1)
    if len(rows):
        by_key = keys[rows].argsort(dim=1, descending=True)
        by_value = values[rows].gather(1, by_key).argsort(dim=1, descending=True, stable=True)
        order = by_key.gather(1, by_value)
        values, columns = values.clone(), columns.clone()
        values[rows] = values[rows].gather(1, order)
        columns[rows] = columns[rows].gather(1, order)
    return values, columns
