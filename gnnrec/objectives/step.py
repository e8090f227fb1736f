"""One training step as its terms see it, and the weighted sum of named terms."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from gnnrec.encoders.states import States, encode
from gnnrec.errors import ConfigError, check_range
from gnnrec.graph import PRECISIONS, BipartiteGraph
from gnnrec.products import chosen_products
from gnnrec.propagation import LayerSum, rows
from gnnrec.unit import unit
from gnnrec.views import View


@dataclass
class _Encoded:
    """What of the main view is computed once, for a step and for all that `Step.changed` makes of it."""

    negatives: Tensor | None
    states: States | LayerSum | None = None
    nodes: Tensor | None = None
    place: Tensor | None = None  # of each node of the graph in `nodes`, or -1
    rows: tuple[Tensor, list[Tensor]] | None = None


@dataclass
class Step:
    """One training step: a batch of train pairs, the main view, and everything a term may ask for.

    Args:
        user, positive: [batch] indices.
        drawn: [batch, num_negatives] items the user has not touched; None where no term says that it reads them.
        view: the main view (features and graph after the model's own augmentations).
        encoder: View -> States.
        train: the unaugmented train graph.
        generator: source of all randomness of the step.
        keep_layers: whether the main states keep their layers.
        weight: [batch], by which ranking terms multiply the loss of each pair; None weighs all alike.
    """

    user: Tensor
    positive: Tensor
    drawn: Tensor | None
    view: View
    encoder: nn.Module
    train: BipartiteGraph
    generator: torch.Generator
    keep_layers: bool = False
    weight: Tensor | None = None

    def __post_init__(self) -> None:
        self._encoded = _Encoded(self.drawn)

    @property
    def negative(self) -> Tensor:
        """The sampled negatives: [batch, num_negatives]. Errors: ConfigError where none were drawn."""
        if self.drawn is None:
            raise ConfigError(
                "a term of 'objective' reads the sampled negatives, and none were drawn: have its class say that "
                'it reads them, with `reads = frozenset({"negative"})`'
            )
        return self.drawn

    @property
    def precision(self) -> torch.dtype:
        """In which losses multiply vectors: that of the graph's node matrices (train.precision)."""
        return PRECISIONS[self.view.graph.precision]

    @property
    def states(self) -> States | LayerSum:
        """The states of the main view, encoded once."""
        states = self._encoded.states
        if states is None:
            states = self._encoded.states = encode(self.encoder, self.view, self.keep_layers)
        return states

    @cached_property
    def user_emb(self) -> Tensor:
        """Final user rows of the batch: [batch, dim]."""
        return self.final_at(self.user)

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
        return self.final_at(self.train.item_node(item))

    def final_at(self, nodes: Tensor) -> Tensor:
        """Final rows of some nodes: [*nodes.shape, dim].

        Those of the batch and of the first call are computed together, without the rest (see LayerSum.at). Nodes that
        are none of these need all rows: ask for what the batch does not have first.
        """
        return rows(*self._final_table(nodes))

    def scores(self, cosine: bool = False) -> tuple[Tensor, Tensor]:
        """Products, or cosines, of the users with their positives [batch] and negatives [batch, num_negatives]."""
        scaled = unit if cosine else lambda emb: emb
        user, positive = scaled(self.user_emb), scaled(self.positive_emb)
        if "negative_emb" in vars(self):
            negative = torch.einsum("bd,bnd->bn", user, scaled(self.negative_emb))
        else:
            table, place = self._final_table(self.train.item_node(self.negative))
            negative = chosen_products(user, scaled(table), place)
        return (user * positive).sum(-1), negative

    def _final_table(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return a matrix of final rows, and the places in it of some nodes."""
        found = self._places(nodes)
        return (self.states.final, nodes) if found is None else (self._rows[0], found)

    def layer_at(self, layer: int, nodes: Tensor) -> Tensor:
        """Rows of a layer of the main view; layer 0 is x, any other needs `keep_layers`: [*nodes.shape, dim]."""
        return rows(*self.layer_table(layer, nodes))

    def layer_table(self, layer: int, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return a matrix of rows of a layer, and the places in it of some nodes: smaller than layer_at for many."""
        if layer > 0 and not self.keep_layers:
            raise ConfigError(
                f"a term of 'objective' reads layer {layer}, and no layers were kept: have its class say that it "
                "reads them, with `needs_layers = True`"
            )
        found = self._places(nodes) if isinstance(self.states, LayerSum) else None
        if found is not None and (layer > 0 or getattr(self.states, "x", None) is self.view.x):
            return self._rows[1][layer], found
        return self.states.layers[layer] if layer > 0 else self.view.x, nodes

    def _places(self, nodes: Tensor) -> Tensor | None:
        """Return where nodes are among those of the batch, or None where some are not (or on CUDA, unasked)."""
        if nodes.is_cuda:
            return None  # the answer would make the host wait for the device
        if self._encoded.place is None:
            node = self.train.item_node
            # Of a changed step also the negatives before the change: another term may look at these.
            negatives = [item.flatten() for item in (self._encoded.negatives, self.drawn) if item is not None]
            place = torch.full((self.train.num_nodes,), -1, device=nodes.device)
            for part in (self.user, *(node(item) for item in (self.positive, *negatives)), nodes.flatten()):
                place[part] = 0
            known = self._encoded.nodes = torch.nonzero(place == 0).squeeze(1)
            place[known] = torch.arange(len(known), device=nodes.device)
            self._encoded.place = place
        place = self._encoded.place[nodes]
        return place if bool((place >= 0).all()) else None

    @property
    def _rows(self) -> tuple[Tensor, list[Tensor]]:
        if self._encoded.rows is None:
            assert self._encoded.nodes is not None, "_places comes first"
            self._encoded.rows = self.states.at(self._encoded.nodes)
        return self._encoded.rows

    def changed(self, **fields: Tensor) -> Step:
        """Return the step with other `weight`, `negative` or `negative_emb`; the two share what is encoded."""
        step = copy.copy(self)
        if "negative" in fields:
            vars(step).pop("negative_emb", None)
            fields["drawn"] = fields.pop("negative")
        vars(step).update(fields)
        return step

    def rows_of(self, view: View, nodes: Tensor) -> Tensor:
        """Final rows of a view at sorted distinct nodes: [len(nodes), dim].

        The main view is encoded once; one that only perturbs its layers shares its backward pass (see
        LayerSum.at_beside).
        """
        if view is self.view:
            return self.final_at(nodes)
        states = encode(self.encoder, view)
        if isinstance(states, LayerSum) and states.is_beside(self.states):
            main_rows = self.final_at(nodes)
            return states.at_beside(self.states, main_rows, nodes)  # pyright: ignore[reportArgumentType]
        return states.at(nodes)[0]


Term = Callable[[Step], Tensor]


def parts(term: Term) -> list[Term]:
    """Return a term and, where it is wrapped around another one as its `term`, all inside it."""
    inner = getattr(term, "term", None)
    return [term] if inner is None else [term, *parts(inner)]


def reads(term: Term, field: str) -> bool:
    """Return whether a term, or one inside it, says in its `reads` that it reads a field of the step."""
    return any(field in getattr(part, "reads", ()) for part in parts(term))


def check_reads(term: Term, field: str, where: str) -> None:
    """Raise a ConfigError unless a term that is wrapped reads a field of the step."""
    if not reads(term, field):
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

    def reads(self, field: str) -> bool:
        """Return whether a term of the sum reads a field of the step, such as `negative`."""
        return any(term.weight > 0 and reads(term.term, field) for term in self.terms.values())

    def begin_epoch(self, epoch: int, view: Callable[[], View], generator: torch.Generator) -> None:
        """Let terms with a method of this name prepare an epoch (from 1); `view` returns the unaugmented view."""
        for term in self.terms.values():
            for part in parts(term.term) if term.weight > 0 else ():
                if hasattr(part, "begin_epoch"):
                    part.begin_epoch(epoch, view, generator)  # type: ignore[attr-defined]

    def __call__(self, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        values = {n: t.weight * _scalar(n, t.term(step)) for n, t in self.terms.items() if t.weight > 0}
        return torch.stack(list(values.values())).sum(), {n: v.detach() for n, v in values.items()}


def _scalar(name: str, value: object) -> Tensor:
    if isinstance(value, Tensor) and value.ndim == 0:
        return value
    got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
    raise ConfigError(
        f"the term '{name}' of 'objective' must return a tensor without dimensions, such as a mean (got {got})"
    )
