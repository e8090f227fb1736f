"""One training step as its terms see it, and the weighted sum of named terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from gnnrec.encoders.states import States
from gnnrec.errors import ConfigError, check_range
from gnnrec.graph import BipartiteGraph
from gnnrec.views import Augmentation, View, augment


@dataclass
class Step:
    """One training step: a batch of train pairs, the main view, and everything a term may ask for.

    Args:
        user, positive: [batch] indices; negative: [batch, num_negatives] items the user has not touched.
        view: the main view (features and graph after the model's own augmentations).
        encoder: View -> States.
        train: the unaugmented train graph.
        generator: source of all randomness of the step.
        keep_layers: whether the main states keep their layers.
    """

    user: Tensor
    positive: Tensor
    negative: Tensor
    view: View
    encoder: nn.Module
    train: BipartiteGraph
    generator: torch.Generator
    keep_layers: bool = False

    @cached_property
    def states(self) -> States:
        """The states of the main view, encoded once."""
        return self.encoder(self.view, keep_layers=self.keep_layers)

    @cached_property
    def user_emb(self) -> Tensor:
        """Final user rows of the batch: [batch, dim]."""
        return rows(self.states.final, self.user)

    @cached_property
    def positive_emb(self) -> Tensor:
        """Final item rows of the batch: [batch, dim]."""
        return self.item_emb(self.positive)

    def item_emb(self, item: Tensor) -> Tensor:
        """Final rows of some items: [*item.shape, dim]."""
        return rows(self.states.final, self.train.item_node(item))

    def encode(self, augmentations: Sequence[Augmentation], keep_layers: bool = False) -> States:
        """Encode the main view under further augmentations."""
        return self.encoder(augment(self.view, augmentations, self.generator), keep_layers=keep_layers)


Term = Callable[[Step], Tensor]


def rows(x: Tensor, index: Tensor) -> Tensor:
    """Return rows of a node matrix: x [num_nodes, dim], index of any shape -> [*index.shape, dim].

    Not x[index]: with several threads its gradient on a CPU adds up in no fixed order, and two runs of one seed
    then differ in the last bits.
    """
    return x.index_select(0, index.flatten()).view(*index.shape, x.shape[1])


@dataclass(frozen=True)
class Weighted:
    """A term and its weight in the sum."""

    term: Term
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_range("weight", self.weight, "objective", low=0)


class Objective:
    """The weighted sum of named terms; calling it returns the total and each weighted term by name."""

    def __init__(self, terms: Mapping[str, Weighted]) -> None:
        if not terms:
            raise ConfigError("'objective' must have at least one term (got none)")
        if not any(t.weight > 0 for t in terms.values()):
            raise ConfigError(f"'objective' must have a term of weight above 0 (got {', '.join(terms)} at 0)")
        self.terms = dict(terms)
        self.keep_layers = any(getattr(t.term, "needs_layers", False) for t in self.terms.values())

    def __call__(self, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        values = {n: t.weight * t.term(step) for n, t in self.terms.items() if t.weight > 0}
        return torch.stack(list(values.values())).sum(), {n: v.detach() for n, v in values.items()}
