"""Terms that keep weights small."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gnnrec import losses
from gnnrec.objectives.step import Step


@dataclass(frozen=True)
class L2:
    """Half the sum of squared layer-0 rows of the batch's users, positives and negatives, over the batch size.

    Args:
        negatives: whether the sampled negatives count.
        all_nodes: take every node once in place of the rows of the batch, as weight decay does (UltraGCN).
    """

    negatives: bool = True
    all_nodes: bool = False

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({"negative"} if self.negatives and not self.all_nodes else ())

    def __call__(self, step: Step) -> Tensor:
        x, node = step.view.x, step.train.item_node
        if self.all_nodes:
            return losses.l2(x) * (len(x) / len(step.user))
        loss = losses.l2(*(step.layer_at(0, part) for part in (step.user, node(step.positive))))
        if self.negatives:  # many negatives are few distinct rows
            table, place = step.layer_table(0, node(step.negative))
            squares = table.square().sum(dim=1).index_select(0, place.flatten())
            loss = loss + squares.sum() / (2 * len(step.user))
        return loss
