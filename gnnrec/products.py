"""Log-sum-exp over products of two tables of vectors, without keeping the products: what softmax losses cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_CELLS = {"cpu": 2**18, "cuda": 2**26}  # logits held at once: a block of 1 MB stays in a core's cache
_LEAST_ROWS = 64

Coordinates = tuple[Tensor, Tensor]


def log_sum_exp(
    queries: Tensor, keys: Tensor, shift: Tensor | None = None, left_out: Coordinates | None = None
) -> Tensor:
    """Return log sum_j exp(q_i . k_j + shift_j) of each row i, over the keys j that are not left out.

    Logits are computed in blocks of rows, once here and once more for the gradient, so that memory does not grow with
    the number of pairs and no block leaves the cache: torch's own operations pass some ten times over a matrix
    of all logits in main memory. The gradients are exact: p_ij = exp(logit_ij - result_i), dq = g p k, dk = (g p)^T q.

    Args:
        queries: [rows, dim]. keys: [num_keys, dim]. shift: [num_keys], a constant (no gradient).
        left_out: (row, key) int64 indices of the pairs that do not count, rows ascending.

    Shapes: -> [rows]; -inf where nothing is left of a row.
    """
    if not len(keys):
        return queries.new_full((len(queries),), float("-inf"))
    if shift is None:
        shift = torch.zeros(len(keys), dtype=keys.dtype, device=keys.device)
    if left_out is None:
        nothing = torch.zeros(0, dtype=torch.int64, device=keys.device)
        left_out = nothing, nothing
    result: Tensor = _LogSumExp.apply(queries, keys, shift.detach(), *left_out)  # pyright: ignore[reportAssignmentType]
    return result


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, shift: Tensor, row: Tensor, key: Tensor) -> Tensor:
        result = queries.new_empty(len(queries))
        for rows, logits in _blocks(queries, keys, shift, row, key):
            top = logits.amax(dim=1, keepdim=True).nan_to_num_(neginf=0.0, posinf=torch.inf, nan=torch.nan)
            torch.add(logits.sub_(top).exp_().sum(dim=1).log_(), top.squeeze(1), out=result[rows])
        ctx.save_for_backward(queries, keys, shift, row, key, result)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, shift, row, key, result = ctx.saved_tensors
        for_queries, for_keys = torch.empty_like(queries), torch.zeros_like(keys)
        known = result.masked_fill(torch.isneginf(result), 0.0).unsqueeze(1)
        for rows, logits in _blocks(queries, keys, shift, row, key):
            weighted = logits.sub_(known[rows]).exp_().mul_(gradient[rows].unsqueeze(1))
            torch.mm(weighted, keys, out=for_queries[rows])
            for_keys.addmm_(weighted.T, queries[rows])
        return for_queries, for_keys, None, None, None


def _blocks(
    queries: Tensor, keys: Tensor, shift: Tensor, row: Tensor, key: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """Yield blocks of rows and their logits, in one kept buffer."""
    size = max(_LEAST_ROWS, _CELLS[queries.device.type] // len(keys))
    starts = range(0, len(queries), size)
    ends = torch.searchsorted(row, torch.tensor([*starts, len(queries)], device=row.device)).tolist()
    buffer = queries.new_empty(min(size, len(queries)), len(keys))
    for number, start in enumerate(starts):
        rows = slice(start, min(start + size, len(queries)))
        logits = torch.addmm(shift, queries[rows], keys.T, out=buffer[: rows.stop - start])
        out = slice(ends[number], ends[number + 1])
        logits[row[out] - start, key[out]] = float("-inf")
        yield rows, logits
