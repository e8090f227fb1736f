"""Weighted sums over bags of rows: one half of a propagation, on offsets and indices alone.

A bag is a run of edges with one receiver. On a CPU the sum is `torch.nn.functional.embedding_bag`, measured 2.6 times
faster than `torch.sparse` CSR on a processor where MKL takes its generic path and on a par with it elsewhere (see
docs/performance.md); on CUDA it is `torch.sparse` CSR.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_BLOCK = 1 << 18  # numbers gathered at once


@dataclass(frozen=True)
class Bags:
    """Edges sorted by receiver: bag r holds the senders index[offset[r]:offset[r + 1]].

    Args:
        index: [num_edges]. offset: [num_rows + 1]. num_senders: how many rows the senders have.
    """

    index: Tensor
    offset: Tensor
    num_senders: int
    _shared_out: dict[int, tuple[Tensor, int]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def num_rows(self) -> int:
        return len(self.offset) - 1

    def sum(self, value: Tensor, x: Tensor) -> Tensor:
        """Return y[r] = sum of value[e] x[index[e]] over bag r: [num_rows, dim]."""
        if x.is_cuda:
            return bag_sums(self.index, self.offset, value, x)
        threads = torch.get_num_threads()
        if threads not in self._shared_out:
            self._shared_out[threads] = balance(self.offset, threads)
        offset, first = self._shared_out[threads]
        return bag_sums(self.index, offset, value, x)[first : first + self.num_rows]

    def sum_at(self, wanted: Tensor, value: Tensor, x: Tensor) -> Tensor:
        """Return the sums of some bags alone: [len(wanted), dim]."""
        start = self.offset.index_select(0, wanted).long()
        length = self.offset.index_select(0, wanted + 1).long() - start
        offset = torch.zeros(len(wanted) + 1, dtype=torch.int64, device=x.device)
        torch.cumsum(length, 0, out=offset[1:])
        edge = torch.repeat_interleave(start - offset[:-1], length)
        edge += torch.arange(len(edge), device=x.device)
        index = self.index.index_select(0, edge)
        return bag_sums(index, offset.to(index.dtype), value.index_select(0, edge), x)

    def sum_from(self, given: Tensor, value: Tensor, rows: Tensor) -> Tensor:
        """Return all sums for an x that is zero outside `given` (distinct) and `rows` there: [num_rows, dim].

        Absent senders all read one row of zeros, so that what is read stays in the cache.
        """
        slot = torch.zeros(self.num_senders, dtype=self.index.dtype, device=rows.device)
        slot[given] = torch.arange(1, len(given) + 1, dtype=slot.dtype, device=rows.device)
        packed = torch.cat([rows.new_zeros(1, rows.shape[1]), rows])
        here = Bags(slot.index_select(0, self.index), self.offset, len(packed), self._shared_out)
        return here.sum(value, packed)

    def by_sender(self) -> tuple[Bags, Tensor]:
        """Return the same edges sorted by sender, and the place of each of them here: [num_edges]."""
        sender, order = self.index.sort(stable=True)
        return Bags(
            self.receivers().index_select(0, order), offsets(sender, self.num_senders), self.num_rows
        ), order

    def receivers(self) -> Tensor:
        """Return the receiver of each edge: [num_edges]."""
        rows = torch.arange(self.num_rows, dtype=self.index.dtype, device=self.index.device)
        return rows.repeat_interleave(self.offset.diff(), output_size=len(self.index))


def weighted_sum(value: Tensor, x: Tensor, bags: Bags, by_sender: Bags, order: Tensor) -> Tensor:
    """Return bags.sum(value, x): [num_rows, dim]; differentiable in the values and in x, without num_edges x dim.

    The gradient of x is the sum over `by_sender`, whose edges are at the places `order` of those of `bags` (as
    Bags.by_sender returns them): torch's own embedding_bag sorts the edges in every backward pass.
    """
    result: Tensor = _WeightedSum.apply(value, x, bags, by_sender, order)  # pyright: ignore[reportAssignmentType]
    return result


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, x: Tensor, bags: Bags, by_sender: Bags, order: Tensor) -> Tensor:
        ctx.bags, ctx.by_sender = bags, by_sender
        ctx.save_for_backward(value, x if ctx.needs_input_grad[0] else None, order)
        return bags.sum(value, x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        value, x, order = ctx.saved_tensors
        of_value = of_x = None
        gradient = gradient.contiguous()
        if ctx.needs_input_grad[0]:
            of_value = _edge_products(ctx.bags, gradient, x)
        if ctx.needs_input_grad[1]:
            of_x = ctx.by_sender.sum(value.index_select(0, order), gradient)
        return of_value, of_x, None, None, None


def _edge_products(bags: Bags, at_receiver: Tensor, at_sender: Tensor) -> Tensor:
    """Return the inner product of the two ends' rows for each edge, in blocks that stay in the cache: [num_edges]."""
    size = max(1, _BLOCK // max(at_sender.shape[1], 1))
    parts = [
        at_receiver.index_select(0, receiver).mul_(at_sender.index_select(0, sender)).sum(dim=1)
        for receiver, sender in zip(bags.receivers().split(size), bags.index.split(size))
    ]
    return torch.cat(parts)


def bag_sums(index: Tensor, offset: Tensor, value: Tensor, x: Tensor) -> Tensor:
    """Return the sum of value[e] x[index[e]] over each bag e = offset[r]..offset[r + 1] - 1: [len(offset) - 1, dim]."""
    if x.is_cuda:
        size = (len(offset) - 1, len(x))
        return torch.sparse_csr_tensor(offset, index, value, size=size, check_invariants=False) @ x
    return F.embedding_bag(index, x, offset, mode="sum", per_sample_weights=value, include_last_offset=True)


def balance(offset: Tensor, threads: int) -> tuple[Tensor, int]:
    """Add empty bags so that equal runs of bags, one per thread, hold about as many edges each.

    embedding_bag shares the bags among the threads by their number alone, and ids are often sorted by activity. Empty
    bags before the first and after the last one move the boundaries. Returns the offsets and the place of the first
    true bag; at most half as many bags are added as there are.
    """
    num_rows = len(offset) - 1
    if threads == 1 or num_rows < 64 * threads:
        return offset, 0
    added = torch.arange(17) * (num_rows // 32)
    before, after = (grid.flatten() for grid in torch.meshgrid(added, added, indexing="ij"))
    allowed = before + after <= num_rows // 2
    before, after = before[allowed], after[allowed]
    share = (
        num_rows + before + after + threads - 1
    ) // threads  # as torch divides: whole shares, a smaller last one
    bounds = torch.arange(threads + 1) * share.unsqueeze(1) - before.unsqueeze(1)
    fullest = offset.long()[bounds.clamp(0, num_rows)].diff(dim=1).amax(dim=1)
    # An empty bag writes a row: about an edge's cost.
    best = int((fullest + (before + after) / threads).argmin())
    first, last = int(before[best]), int(after[best])
    return torch.cat([offset.new_zeros(first), offset, offset[-1:].expand(last)]), first


def offsets(sorted_index: Tensor, num_rows: int) -> Tensor:
    """Return where each row's edges begin in edges sorted by row: [num_rows + 1]."""
    counts = torch.bincount(sorted_index, minlength=num_rows)
    offset = torch.zeros(num_rows + 1, dtype=sorted_index.dtype, device=sorted_index.device)
    torch.cumsum(counts, 0, out=offset[1:])
    return offset


def segment_sum(values: Tensor, offset: Tensor) -> Tensor:
    """Sum values [num_edges] over each bag: float32 [num_rows].

    A difference of running sums in float64: exact for the 0 and 1 of the hot path, and exactly 0 where all are 0.
    """
    total = torch.zeros(len(values) + 1, dtype=torch.float64, device=values.device)
    torch.cumsum(values, 0, dtype=torch.float64, out=total[1:])
    return total.index_select(0, offset).diff().float()


def segment_softmax(logits: Tensor, index: Tensor, keep: Tensor, num_rows: int) -> Tensor:
    """Softmax of logits [num_edges] over the edges of each row; edges that are not kept get 0."""
    index = index.long()
    logits = logits.masked_fill(~keep, float("-inf"))
    top = torch.full((num_rows,), float("-inf"), device=logits.device).scatter_reduce(
        0, index, logits.detach(), "amax"
    )
    top = torch.where(torch.isfinite(top), top, 0.0)
    weights = (logits - top.index_select(0, index)).exp()
    total = torch.zeros(num_rows, device=logits.device).index_add(0, index, weights)
    return weights / total.index_select(0, index).clamp(min=1e-12)
