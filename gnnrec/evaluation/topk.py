"""Exact top-k under a total order: score first, a seeded random key of the items where scores are equal."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NO_ITEM = -1
_FACTOR = 8


def tie_keys(num_items: int, seed: int, device: torch.device) -> Tensor:
    """Return float64[num_items]: a seeded permutation; of equal scores the larger key ranks first."""
    keys = np.random.default_rng(seed).permutation(num_items)
    return torch.from_numpy(keys).to(device=device, dtype=torch.float64)


def top(scores: Tensor, k: int, descending: bool = True) -> tuple[Tensor, Tensor]:
    """Return the k largest values of each row and their columns; among equal values any.

    The same values as `torch.topk`, faster on long rows of a CPU: columns are split into chunks, and the k
    largest values lie in the k chunks with the largest maxima, which are found by the same rule one level up.

    Args:
        scores: [b, n], n at least k, without NaN.
        descending: False leaves the order inside a row open, which is faster.

    Returns:
        values [b, k] and columns int64 [b, k].
    """
    num_columns = scores.shape[1]
    num_chunks = num_columns // _FACTOR
    if num_chunks < 2 * k or scores.device.type != "cpu":
        values, columns = torch.topk(scores, k, dim=1, sorted=descending)
        return values, columns
    # Chunk j holds the columns j, j + num_chunks, ...: maxima then run along rows, which vectorises.
    whole = num_chunks * _FACTOR
    chunks = scores[:, :whole].unflatten(1, (_FACTOR, num_chunks))
    chunk = top(chunks.amax(dim=1), k, descending=False)[1]
    kept = chunks.gather(2, chunk.unsqueeze(1).expand(-1, _FACTOR, -1)).flatten(1)
    values, place = torch.topk(torch.cat([kept, scores[:, whole:]], dim=1), k, dim=1, sorted=descending)
    step = torch.div(place, k, rounding_mode="floor")
    inside = step * num_chunks + chunk.gather(1, place - step * k)
    return values, torch.where(place < _FACTOR * k, inside, place - _FACTOR * k + whole)


def ordered_top(scores: Tensor, k: int, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first k columns of each row by descending score, equal scores by descending key.

    Args:
        scores: float32 [b, n]; -inf marks a column that may not be chosen.
        keys: float64 [n] or [b, n], all different within a row.

    Returns:
        values float32 [b, k] and columns int64 [b, k], filled up with -inf and -1 where choices run out.

    `torch.topk` promises no order among equal values, neither inside the list nor across its end, so rows
    with such ties are chosen again by key.
    """
    keys = keys.expand(scores.shape)
    wide = min(k + 1, scores.shape[1])
    values, columns = top(scores, wide)
    if wide == k + 1:
        across = (values[:, k - 1] == values[:, k]) & torch.isfinite(values[:, k])
        rows = across.nonzero().squeeze(1)
        if len(rows):
            chosen = _choose_by_key(scores[rows], values[rows, :k], columns[rows, :k], keys[rows])
            columns[rows, :k] = chosen
        values, columns = values[:, :k], columns[:, :k]
    values, columns = sort_ties(values, columns, keys.gather(1, columns))
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
    chosen = torch.topk(torch.where(scores == last, keys, -1.0), k, dim=1).indices
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
