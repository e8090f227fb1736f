"""Exact top-k of products of embeddings by a bfloat16 prefilter, where the processor multiplies bfloat16.

A row is accepted only where a bound proves that no item outside the rescored candidates belongs to its list.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding

from gnnrec.evaluation.blocks import Columns, Coordinates, EmbeddingBlocks
from gnnrec.evaluation.topk import NO_ITEM, ordered_top, top

_UNIT = 2.0**-8  # largest relative error of rounding to bfloat16
_ADD = 2.0**-21  # relative error per added term of a float32 sum, with three bits to spare
_TINY = 1e-37  # per term: products below the normal range may be taken for zero


def supported(device: torch.device) -> bool:
    """Return whether bfloat16 products on this device are faster than float32 and summed in float32."""
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, name, bool)() for name in checks)


class Prefilter:
    """Top lists of blocks of users: rank in bfloat16, keep somewhat more than k, rescore those in float32.

    With u', v' the rounded vectors, |u.v - u'.v'| <= |u - u'||v| + |u'||v - v'| (Cauchy-Schwarz); E is the
    largest of these bounds of a user, rounding of float32 sums added. An item that was not kept has a
    bfloat16 score of at most b, the smallest one kept, so its float32 score is at most b + |b| / 256 + E. A
    row is decided if that is below the k-th float32 score of the kept items.

    Args:
        blocks: finite, bounded embeddings.
        columns: the parts, ranked separately.
        depth: entries wanted per list.
    """

    def __init__(self, blocks: EmbeddingBlocks, columns: Columns, depth: int) -> None:
        self.blocks, self.depth = blocks, depth
        self.parts = columns.parts
        self.width = depth + max(8, depth // 4)
        self.item_half = blocks.item_emb.to(torch.bfloat16)
        item_error = _norm(blocks.item_emb - self.item_half.float())
        item_norm = _norm(blocks.item_emb)
        self.item_bounds = [
            (float(item_norm[part].max()), float(item_error[part].max())) for part in self.parts
        ]
        self.transposed = self.item_half.T.contiguous()
        self.buffer = self.transposed.new_empty((0, len(self.item_half)))  # kept: fresh pages cost time
        self.by_bits = True

    @property
    def active(self) -> bool:
        """Return whether prefiltering still pays: candidates are few beside the items."""
        return self.width <= 5 * self.depth + 64

    def lists(
        self, user: Tensor, masked: Coordinates, keys: Tensor
    ) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Return (values, columns) [b, depth] of every part, and bool [b]: rows whose lists are proven."""
        emb = self.blocks.user_emb[user]
        half = emb.to(torch.bfloat16)
        if len(self.buffer) < len(user):
            self.buffer = half.new_empty((len(user), self.transposed.shape[1]))
        rough = torch.mm(half, self.transposed, out=self.buffer[: len(user)])
        rough[masked] = float("-inf")
        decided = torch.ones(len(user), dtype=torch.bool)
        norms = (_norm(emb), _norm(half.float()), _norm(emb - half.float()))
        lists = []
        for part, bounds in zip(self.parts, self.item_bounds, strict=True):
            values, columns, proven = self._part(rough[:, part], emb, part, self._error(norms, bounds), keys)
            decided &= proven
            lists.append((values, columns))
        if decided.float().mean() < 0.9:
            self.width += max(8, self.depth // 4)
        return lists, decided

    def _error(self, norms: tuple[Tensor, Tensor, Tensor], bounds: tuple[float, float]) -> Tensor:
        """Return E [b]: the most by which a float32 score and the unrounded product of halves can differ."""
        full, rounded, lost = norms
        item_norm, item_error = bounds
        sums = 2 * _ADD * (self.blocks.item_emb.shape[1] + 2) * full * item_norm
        products = lost * item_norm + rounded * item_error
        return 1.001 * (products + sums) + _TINY * self.blocks.item_emb.shape[1]

    def _part(
        self, rough: Tensor, emb: Tensor, part: slice, error: Tensor, keys: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        num_columns = rough.shape[1]
        width = min(self.width, num_columns)
        half_values, columns = self._top_half(rough, width)
        columns = columns + part.start
        # The same order of summation for every item, so that equal vectors have equal scores.
        values = (embedding(columns, self.blocks.item_emb) * emb.unsqueeze(1)).sum(dim=2)
        values = values.masked_fill(torch.isneginf(half_values), float("-inf"))
        values, place = ordered_top(values, self.depth, keys[columns])
        proven = torch.ones(len(rough), dtype=torch.bool)
        if width < num_columns:
            left_out = half_values.amin(dim=1).float()
            proven = left_out + 1.01 * _UNIT * left_out.abs() + error < values[:, -1]
        columns = columns.gather(1, place.clamp(min=0)).masked_fill(place == NO_ITEM, NO_ITEM)
        return values, columns, proven

    def _top_half(self, rough: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Return the `width` largest bfloat16 values of each row and their columns, in no order.

        Bits of numbers from 0 on are ordered as the numbers are, and below them, read as int16, lie those of all
        negative ones. Their maxima take a third of the time; rows whose list goes below 0 are searched again.
        """
        if not self.by_bits:
            return top(rough, width, descending=False)
        bits, columns = top(rough.view(torch.int16), width, descending=False)
        values = bits.view(torch.bfloat16)
        rows = (bits < 0).any(dim=1).nonzero().squeeze(1)
        if len(rows):
            values[rows], columns[rows] = top(rough[rows], width, descending=False)
        self.by_bits = len(rows) <= 0.1 * len(rough)
        return values, columns


def _norm(x: Tensor) -> Tensor:
    """Return lengths of rows, never too small where squares underflow."""
    return x.norm(dim=1) + 1e-20
