"""Cross-entropy over products of two tables of vectors, without keeping the products: what softmax losses cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_CELLS = {"cpu": 2**18, "cuda": 2**26}  # logits held at once: a block of 1 MB stays in a core's cache
_LEAST_ROWS = 64

Coordinates = tuple[Tensor, Tensor]


def cross_entropy(
    positive: Tensor,
    queries: Tensor,
    keys: Tensor,
    shift: Tensor | None = None,
    left_out: Coordinates | None = None,
    weight: Tensor | None = None,
    power: float = 1.0,
) -> Tensor:
    """Return the mean over rows i of w_i [power log(exp(p_i) + sum_j exp(l_ij)) - p_i], l_ij = q_i . k_j + shift_j.

    The sum runs over the keys j that are not left out. Logits are computed in blocks of rows and turned into
    gradients at once (dl = power w softmax(l) / rows, dq = dl k, dk = dl^T q), so that memory does not grow with the
    number of pairs and no block leaves the cache: torch's own operations pass some ten times over a matrix of all
    logits in main memory. The gradients are exact.

    Args:
        positive: [rows], the logits p. queries: [rows, dim]. keys: [num_keys, dim].
        shift: [num_keys], a constant: no gradient flows to it. weight: [rows], the same.
        left_out: (row, key) int64 indices of the pairs that do not count, rows ascending.

    Shapes: -> scalar; a row of which nothing is left costs nothing.
    """
    if shift is None:
        shift = torch.zeros(len(keys), dtype=keys.dtype, device=keys.device)
    if left_out is None:
        nothing = torch.zeros(0, dtype=torch.int64, device=keys.device)
        left_out = nothing, nothing
    share = torch.full_like(positive, 1 / max(len(positive), 1)).detach()
    if weight is not None:
        share = share * weight.detach()
    result: Tensor = _CrossEntropy.apply(positive, queries, keys, shift.detach(), *left_out, share, power)  # pyright: ignore[reportAssignmentType]
    return result


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        positive: Tensor,
        queries: Tensor,
        keys: Tensor,
        shift: Tensor,
        row: Tensor,
        key: Tensor,
        share: Tensor,
        power: float,
    ) -> Tensor:
        loss = torch.empty_like(positive)
        for_queries, for_keys = torch.empty_like(queries), torch.zeros_like(keys)
        for_positive = torch.empty_like(positive)
        for rows, logits in _blocks(queries, keys, shift, row, key):
            own = positive[rows]
            top = torch.maximum(logits.amax(dim=1), own) if len(keys) else own
            others, own = logits.sub_(top.unsqueeze(1)).exp_(), own - top
            left = own.exp()
            total = others.sum(dim=1) + left
            loss[rows] = (power * total.log() - own + (power - 1) * top) * share[rows]
            factor = power * share[rows] / total
            for_positive[rows] = left * factor - share[rows]
            others.mul_(factor.unsqueeze(1))
            torch.mm(others, keys, out=for_queries[rows])
            for_keys.addmm_(others.T, queries[rows])
        ctx.save_for_backward(for_positive, for_queries, for_keys)
        return loss.sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (*(gradient * part for part in ctx.saved_tensors), None, None, None, None, None)


def _blocks(
    queries: Tensor, keys: Tensor, shift: Tensor, row: Tensor, key: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """Yield blocks of rows and their logits, in one kept buffer."""
    size = max(_LEAST_ROWS, _CELLS[queries.device.type] // max(len(keys), 1))
    starts = range(0, len(queries), size)
    ends = torch.searchsorted(row, torch.tensor([*starts, len(queries)], device=row.device)).tolist()
    buffer = queries.new_empty(min(size, len(queries)), len(keys))
    for number, start in enumerate(starts):
        rows = slice(start, min(start + size, len(queries)))
        logits = torch.addmm(shift, queries[rows], keys.T, out=buffer[: rows.stop - start])
        out = slice(ends[number], ends[number + 1])
        logits[row[out] - start, key[out]] = float("-inf")
        yield rows, logits
