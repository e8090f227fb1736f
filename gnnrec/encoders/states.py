"""What every encoder returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from gnnrec.propagation import rows


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
