"""Terms that keep weights small."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gnnrec import losses
from gnnrec.objectives.step import Step, rows


@dataclass(frozen=True)
class L2:
    """Half the sum of squared layer-0 rows of the batch's users, positives and negatives, over the batch size."""

    negatives: bool = True

    def __call__(self, step: Step) -> Tensor:
        x, node = step.view.x, step.train.item_node
        parts = [rows(x, step.user), rows(x, node(step.positive))]
        if self.negatives:
            parts.append(rows(x, node(step.negative)).flatten(0, 1))
        return losses.l2(*parts)
