"""What every encoder returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class States:
    """Node states of one view: `final` [num_nodes, dim] and, where asked for, those of layers 0..L."""

    final: Tensor
    layers: list[Tensor] = field(default_factory=list)
