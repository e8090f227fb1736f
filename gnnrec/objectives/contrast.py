"""Self-supervised terms: contrast between views, and between layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gnnrec import losses
from gnnrec.errors import check_range
from gnnrec.objectives.step import Step, rows
from gnnrec.views import Augmentation


@dataclass(frozen=True)
class Contrast:
    """InfoNCE between two views of the batch's users and of its positive items, summed over the two sides.

    Wu et al. 2021, SGL, https://arxiv.org/abs/2010.10783, eq. 10 and 11, with means over the distinct nodes of the
    batch (as SELFRec's code; the paper sums). With LayerNoise as the only augmentation this is SimGCL's term.

    Args:
        first, second: augmentations of the two views; `second` defaults to a fresh draw of `first`.
        temperature: divides the cosines.
        max_nodes: contrast at most so many users and so many items, drawn from the batch; the cost is quadratic in
            it. None takes all.
    """

    first: Sequence[Augmentation]
    second: Sequence[Augmentation] | None = None
    temperature: float = 0.2
    max_nodes: int | None = None

    def __post_init__(self) -> None:
        check_range("temperature", self.temperature, "Contrast", low=0, low_open=True)
        if self.max_nodes is not None:
            check_range("max_nodes", self.max_nodes, "Contrast", low=2)

    def __call__(self, step: Step) -> Tensor:
        one = step.encode(self.first).final
        two = step.encode(self.first if self.second is None else self.second).final
        return _contrast_batch(step, one, two, self.temperature, self.max_nodes)


@dataclass(frozen=True)
class CrossLayer:
    """InfoNCE between the final state and one layer of the same (perturbed) view, summed over the two sides.

    Yu et al. 2023, XSimGCL, https://arxiv.org/abs/2209.02544, eq. 11: with LayerNoise among the model's
    augmentations, the ranking and the contrast share one pass.

    Args:
        layer: 1-based layer that is contrasted with the final state. temperature: divides the cosines.
    """

    layer: int = 1
    temperature: float = 0.2
    needs_layers: bool = True

    def __post_init__(self) -> None:
        check_range("layer", self.layer, "CrossLayer", low=0)
        check_range("temperature", self.temperature, "CrossLayer", low=0, low_open=True)

    def __call__(self, step: Step) -> Tensor:
        return _contrast_batch(step, step.states.final, step.states.layers[self.layer], self.temperature)


def _contrast_batch(
    step: Step, one: Tensor, two: Tensor, temperature: float, max_nodes: int | None = None
) -> Tensor:
    """InfoNCE of the distinct users of the batch plus InfoNCE of its distinct positive items."""
    parts = torch.unique(step.user), step.train.item_node(torch.unique(step.positive))
    if max_nodes is not None:
        parts = tuple(_draw(part, max_nodes, step.generator) for part in parts)
    users, items = (losses.info_nce(rows(one, part), rows(two, part), temperature) for part in parts)
    return users + items


def _draw(nodes: Tensor, size: int, generator: torch.Generator) -> Tensor:
    if len(nodes) <= size:
        return nodes
    order = torch.randperm(len(nodes), generator=generator, device=generator.device)
    return nodes[order[:size].to(nodes.device)]
