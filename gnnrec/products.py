"""What batch losses cost: cross-entropy, pair potential and chosen products of vectors, and nothing large is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gnnrec.bags import bag_sums, offsets

# Logits held at once: on a processor a block of 1 MB, which stays in a core's cache.
_CELLS, _CELLS_ON_DEVICE = 2**18, 2**26
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
    precision: torch.dtype = torch.float32,
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
        precision: bfloat16 rounds what is multiplied (vectors, logits, their gradients) and the products to 8 bits,
            for about four fifths of the time; exponentials, their sums and p stay float32.

    Shapes: -> scalar; a row of which nothing is left costs nothing.
    """
    if left_out is None:
        nothing = torch.zeros(0, dtype=torch.int64, device=keys.device)
        left_out = nothing, nothing
    share = torch.full_like(positive, 1 / max(len(positive), 1)).detach()
    if weight is not None:
        share = share * weight.detach()
    result: Tensor = _CrossEntropy.apply(  # pyright: ignore[reportAssignmentType]
        positive, queries, keys, None if shift is None else shift.detach(), *left_out, share, power, precision
    )
    return result


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        positive: Tensor,
        queries: Tensor,
        keys: Tensor,
        shift: Tensor | None,
        row: Tensor,
        key: Tensor,
        share: Tensor,
        power: float,
        precision: torch.dtype,
    ) -> Tensor:
        q, k = queries, keys
        if precision == torch.bfloat16 and queries.dtype == torch.float32:
            q, k = queries.bfloat16(), keys.bfloat16()
        for_queries, for_keys = torch.empty_like(queries), torch.zeros_like(keys)
        top, total = positive.clone(), torch.empty_like(positive)
        for rows, logits in _blocks(q, k, shift, row, key, positive.dtype):
            if len(keys):
                torch.maximum(logits.amax(dim=1), positive[rows], out=top[rows])
            others = logits.sub_(top[rows].unsqueeze(1)).exp_()
            torch.sum(others, dim=1, out=total[rows]).add_((positive[rows] - top[rows]).exp_())
            slope = others.mul_((power * share[rows] / total[rows]).unsqueeze(1)).to(q.dtype)
            _multiply(slope, k, for_queries[rows])
            if slope.dtype == for_keys.dtype:
                for_keys.addmm_(slope.T, q[rows])
            else:
                for_keys.add_(slope.T @ q[rows])
        own = positive - top
        for_positive = share * (power * own.exp() / total - 1)
        loss = share * (power * total.log() - own + (power - 1) * top)
        ctx.save_for_backward(for_positive, for_queries, for_keys)
        return loss.sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (*(gradient * part for part in ctx.saved_tensors), *[None] * 6)


def pair_potential(x: Tensor, scale: float) -> Tensor:
    """Return the mean over pairs i < j of exp(scale (x_i . x_j - 1)), for at least two rows of length 1.

    On such rows ||x_i - x_j||^2 = 2 - 2 x_i . x_j. Each pair is computed once, in blocks of rows that stay in the
    cache, and turned into gradients at once (see cross_entropy): half the products of x @ x.T and of its gradient.

    Shapes: x [rows, dim] -> scalar.
    """
    result: Tensor = _PairPotential.apply(x, scale)  # pyright: ignore[reportAssignmentType]
    return result


class _PairPotential(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        num = len(x)
        size = min(num, max(_LEAST_ROWS, _cells(x) // num))
        slope, total, buffer = torch.zeros_like(x), x.new_zeros(()), x.new_empty(size * num)
        for start in range(0, num, size):
            rows, others = x[start : start + size], x[start:]
            block = torch.mm(rows, others.T, out=buffer[: len(rows) * len(others)].view(len(rows), -1))
            block.sub_(1).mul_(scale).exp_().triu_(1)  # the row itself and those before it are left out
            total += block.sum()
            slope[start : start + size].addmm_(block, others)
            slope[start:].addmm_(block.T, rows)
        num_pairs = num * (num - 1) / 2
        ctx.save_for_backward(slope.mul_(scale / num_pairs))
        return total / num_pairs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.saved_tensors[0], None


def chosen_products(left: Tensor, table: Tensor, place: Tensor) -> Tensor:
    """Return s_bn = left_b . table[place_bn]: left [rows, dim], table [size, dim], place [rows, n] -> [rows, n].

    For many n: rows of the table are taken in blocks that stay in the cache, and both gradients are weighted sums over
    bags of rows, where torch's own look-up keeps [rows, n, dim], and again for its gradient.
    """
    result: Tensor = _ChosenProducts.apply(left, table, place)  # pyright: ignore[reportAssignmentType]
    return result


class _ChosenProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, table: Tensor, place: Tensor) -> Tensor:
        ctx.save_for_backward(left, table, place)
        num, dim = place.shape[1], left.shape[1]
        size = max(1, _cells(left) // max(num * dim, 1))
        result = left.new_empty(place.shape)
        for start in range(0, len(left), size):
            block = place[start : start + size]
            rows = table.index_select(0, block.flatten()).view(len(block), num, dim)
            torch.bmm(
                rows, left[start : start + size].unsqueeze(2), out=result[start : start + size].unsqueeze(2)
            )
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        left, table, place = ctx.saved_tensors
        num, slope, index = place.shape[1], gradient.flatten(), place.flatten()
        by_row = torch.arange(0, len(index) + 1, num, device=index.device)
        sorted_index, order = index.sort(stable=True)
        by_entry = offsets(sorted_index, len(table))
        return (
            bag_sums(index, by_row, slope, table),
            bag_sums(order // num, by_entry, slope.index_select(0, order), left),
            None,
        )


def _cells(x: Tensor) -> int:
    return _CELLS if x.device.type == "cpu" else _CELLS_ON_DEVICE


def _blocks(
    queries: Tensor, keys: Tensor, shift: Tensor | None, row: Tensor, key: Tensor, dtype: torch.dtype
) -> Iterator[tuple[slice, Tensor]]:
    """Yield blocks of rows and their logits, in one kept buffer."""
    size = max(_LEAST_ROWS, _cells(queries) // max(len(keys), 1))
    starts = range(0, len(queries), size)
    ends = [0, len(row)]
    if len(starts) > 1:  # else, as on an accelerator, nothing needs to wait for an answer
        ends = torch.searchsorted(row, torch.tensor([*starts, len(queries)], device=row.device)).tolist()
    buffer = queries.new_empty(min(size, len(queries)), len(keys), dtype=dtype)
    for number, start in enumerate(starts):
        rows = slice(start, min(start + size, len(queries)))
        logits = _multiply(queries[rows], keys.T, buffer[: rows.stop - start])
        if shift is not None:
            logits.add_(shift)
        out = slice(ends[number], ends[number + 1])
        logits[row[out] - start, key[out]] = float("-inf")
        yield rows, logits


def _multiply(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    return torch.mm(left, right, out=out) if left.dtype == out.dtype else out.copy_(left @ right)
