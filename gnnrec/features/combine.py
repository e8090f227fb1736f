"""From the parts of a side (ids, text, other blocks) to one row per node."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gnnrec.features.projection import BlockPart
from gnnrec.features.tables import IdTable


class Combined(nn.Module):
    """Combine the parts y_1, ..., y_m of each node, each of width dim, the id first if there is one.

    sum: x = sum_b y_b. residual: the same, with ids that start at zero: what an unseen item is scored by, text alone,
    is where training starts, and ids learn only what text does not say (the reverse, ids plus text that starts at
    zero, would start where an unseen item is nothing).
    concat: x = W [y_1; ...; y_m] + c. W starts as [I ... I], so that training starts at the sum; with linear
    projections it can learn no other rows than the sum can, but takes other steps.
    gate: x = sum_b g_b y_b, g = softmax over the parts that the node has of w_b . y_b + c_b, all at zero at the start.
    For an id and a text that is the sigmoid gate g_id = sigmoid(w_1 . id - w_2 . text + c), per node.

    A part that a node lacks (the id of an unseen node, a block without a value and without a learned vector) is zero,
    and in a gate its share goes to the others. `dropout` makes random nodes lack their id during training.

    Shapes: parts each [n, dim] -> [n, dim].
    """

    def __init__(
        self,
        ids: IdTable | None,
        blocks: Sequence[BlockPart],
        dim: int,
        how: str = "sum",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.ids, self.blocks, self.dropout = ids, nn.ModuleList(blocks), dropout
        num_parts = len(blocks) + (ids is not None)
        self.linear: nn.Linear | None = None
        self.score: nn.Parameter | None = None
        if how == "concat":
            self.linear = linear = nn.Linear(num_parts * dim, dim)
            with torch.no_grad():
                linear.weight.copy_(torch.eye(dim).repeat(1, num_parts))
                linear.bias.zero_()
        elif how == "gate":
            self.score = nn.Parameter(torch.zeros(num_parts, dim))
            self.offset = nn.Parameter(torch.zeros(num_parts))

    def forward(self) -> Tensor:
        parts, has = [], []
        if self.ids is not None:
            ids, kept = self.ids(), self.ids.seen
            if self.training and self.dropout > 0:
                keep = torch.rand(len(ids), 1, device=ids.device) >= self.dropout
                ids = ids * keep
                kept = keep.squeeze(1) if kept is None else keep.squeeze(1) & kept
            parts.append(ids)
            has.append(kept)
        for block in self.blocks:
            parts.append(block())
            has.append(block.has)
        if self.linear is not None:
            return self.linear(torch.cat(parts, dim=1))
        if self.score is not None:
            return self._gated(parts, has)
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def _gated(self, parts: list[Tensor], has: list[Tensor | None]) -> Tensor:
        assert self.score is not None
        stacked = torch.stack(parts, dim=1)
        logits = (stacked * self.score).sum(dim=2) + self.offset
        lacks = torch.stack(
            [
                torch.zeros(len(p), dtype=torch.bool, device=p.device) if h is None else ~h
                for p, h in zip(parts, has, strict=True)
            ],
            dim=1,
        )
        # A node without any part keeps equal shares of zeros; a softmax over nothing would be NaN.
        lacks = lacks & ~lacks.all(dim=1, keepdim=True)
        share = logits.masked_fill(lacks, float("-inf")).softmax(dim=1)
        return (share.unsqueeze(2) * stacked).sum(dim=1)


class NodeFeatures(nn.Module):
    """The node matrix: users first, then items."""

    def __init__(self, users: nn.Module, items: nn.Module, dim: int) -> None:
        super().__init__()
        self.users, self.items, self.dim = users, items, dim

    def forward(self) -> Tensor:
        """Return x [num_nodes, dim]."""
        return torch.cat([self.users(), self.items()])
