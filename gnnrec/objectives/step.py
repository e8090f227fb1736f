"""One training step as its terms see it, and the weighted sum of named terms."""

from __future__ import annotations

import copy
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
        weight: [batch], by which ranking terms multiply the loss of each pair; None weighs all alike.
    """

    user: Tensor
    positive: Tensor
    negative: Tensor
    view: View
    encoder: nn.Module
    train: BipartiteGraph
    generator: torch.Generator
    keep_layers: bool = False
    weight: Tensor | None = None

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

    @cached_property
    def negative_emb(self) -> Tensor:
        """Final item rows of the sampled negatives: [batch, num_negatives, dim]."""
        return self.item_emb(self.negative)

    def item_emb(self, item: Tensor) -> Tensor:
        """Final rows of some items: [*item.shape, dim]."""
        return rows(self.states.final, self.train.item_node(item))

    def changed(self, **fields: Tensor) -> Step:
        """Return the same step with other `weight`, `negative` or `negative_emb`; what was encoded stays encoded."""
        step = copy.copy(self)
        if "negative" in fields:
            vars(step).pop("negative_emb", None)
        vars(step).update(fields)
        return step

    def encode(self, augmentations: Sequence[Augmentation], keep_layers: bool = False) -> States:
        """Encode the main view under further augmentations; without any, these are the main states."""
        if not augmentations and (self.keep_layers or not keep_layers):
            return self.states
        return self.encoder(augment(self.view, augmentations, self.generator), keep_layers=keep_layers)


Term = Callable[[Step], Tensor]


def parts(term: Term) -> list[Term]:
    """Return a term and, where it is wrapped around another one as its `term`, all inside it."""
    inner = getattr(term, "term", None)
    return [term] if inner is None else [term, *parts(inner)]


def check_reads(term: Term, field: str, where: str) -> None:
    """Raise a ConfigError unless a term that is wrapped says, in its `reads`, that it reads a field of the step."""
    if not any(field in getattr(part, "reads", ()) for part in parts(term)):
        name = type(term).__name__
        raise ConfigError(
            f"'term' must be one that reads 'step.{field}' in '{where}' (got {name}, which does not)"
        )


def check_encoder(term: Term, encoder: nn.Module, dim: int) -> None:
    """Raise a ConfigError where a term, or one inside it, cannot work on what an encoder returns."""
    for part in parts(term):
        if hasattr(part, "check_encoder"):
            part.check_encoder(encoder, dim)  # type: ignore[attr-defined]


def check_one_width(encoder: nn.Module, dim: int, where: str) -> None:
    """Raise a ConfigError for an encoder whose final state is not as wide as its layers (NGCF concatenates them)."""
    out_dim = getattr(encoder, "out_dim", dim)
    if out_dim != dim:
        raise ConfigError(
            f"'{where}' needs an encoder whose final state is as wide as its layers, such as LightGCN "
            f"(got {type(encoder).__name__}: {out_dim} and {dim})"
        )


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
        self.keep_layers = any(
            getattr(part, "needs_layers", False)
            for term in self.terms.values()
            if term.weight > 0
            for part in parts(term.term)
        )

    def begin_epoch(self, epoch: int, view: Callable[[], View], generator: torch.Generator) -> None:
        """Let terms with a method of this name prepare an epoch (from 1); `view` returns the unaugmented view."""
        for term in self.terms.values():
            for part in parts(term.term) if term.weight > 0 else ():
                if hasattr(part, "begin_epoch"):
                    part.begin_epoch(epoch, view, generator)  # type: ignore[attr-defined]

    def __call__(self, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        values = {n: t.weight * t.term(step) for n, t in self.terms.items() if t.weight > 0}
        return torch.stack(list(values.values())).sum(), {n: v.detach() for n, v in values.items()}
