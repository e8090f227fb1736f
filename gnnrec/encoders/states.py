"""What every encoder returns."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field

from torch import Tensor, nn

from gnnrec.errors import ConfigError
from gnnrec.propagation import LayerSum, rows
from gnnrec.views import View


@dataclass(frozen=True)
class States:
    """Node states of one view: `final` [num_nodes, dim] and, where asked for, those of layers 0..L.

    An encoder may return gnnrec.propagation.LayerSum in its place, which has the same face and computes when asked.
    """

    final: Tensor
    layers: list[Tensor] = field(default_factory=list)

    def at(self, nodes: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the rows of `final` and of `layers` at some nodes, sorted and distinct: each [len(nodes), dim]."""
        return rows(self.final, nodes), [rows(layer, nodes) for layer in self.layers]


def encode(encoder: nn.Module, view: View, keep_layers: bool = False) -> States | LayerSum:
    """Return the states of a view; a ConfigError says what is wrong with those of an encoder that breaks the rules."""
    states = encoder(view, keep_layers=keep_layers)
    if isinstance(states, LayerSum):
        return states
    name = type(encoder).__name__
    if not isinstance(states, States):
        raise ConfigError(f"'{name}' must return gnnrec.encoders.States (got {type(states).__name__})")
    if keep_layers and not states.layers:
        raise ConfigError(
            f"'{name}' must return its layers, as States(final, [x, h_1, ..., h_L]), when it is called with "
            "keep_layers=True: a term of 'objective' reads them (got none)"
        )
    wrong = [x for x in (states.final, *states.layers) if x.ndim != 2 or len(x) != view.graph.num_nodes]
    if wrong:
        raise ConfigError(
            f"the states of '{name}' must have a row for each of {view.graph.num_users} users and then "
            f"{view.graph.num_items} items, [{view.graph.num_nodes}, dim] (got {list(wrong[0].shape)})"
        )
    return states


def check_face(encoder: nn.Module) -> None:
    """Raise a ConfigError for an encoder that cannot be called as the others are."""
    try:
        inspect.signature(getattr(encoder, "forward", encoder)).bind(None, keep_layers=False)
    except TypeError as error:
        raise ConfigError(
            f"'{type(encoder).__name__}' must have forward(self, view, keep_layers=False) ({error})"
        ) from error
