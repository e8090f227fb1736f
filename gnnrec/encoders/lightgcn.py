"""LightGCN: propagation without weights or activations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnnrec.errors import ConfigError, check_range
from gnnrec.propagation import LayerSum
from gnnrec.views import View


class LightGCN(nn.Module):
    """Average the propagated features over the layers: e = sum_k a_k P^k x, P = D^-1/2 A D^-1/2, a_k = 1/(L+1).

    He et al. 2020, https://arxiv.org/abs/2002.02126, eq. 3 to 8. The encoder owns no embedding: `x` comes with the
    view. With `num_layers=0` this is matrix factorisation.

    Deviation: a node without edges gets (sum_k a_k) x rather than a_0 x (`rescale_isolated`). It has no state at the
    other layers, and with a_0 x alone every unseen item scores L+1 times lower than a seen one, or not at all where
    a_0 = 0, whatever its features say. Nodes with edges are untouched.

    Args:
        num_layers: L, the number of propagations.
        layer_weights: a_0..a_L in place of 1/(L+1).
        rescale_isolated: see above.
    """

    def __init__(
        self,
        dim: int,
        num_layers: int = 3,
        layer_weights: list[float] | None = None,
        rescale_isolated: bool = True,
    ) -> None:
        super().__init__()
        check_range("num_layers", num_layers, "LightGCN", low=0)
        if layer_weights is not None and len(layer_weights) != num_layers + 1:
            raise ConfigError(
                f"'layer_weights' must have num_layers + 1 = {num_layers + 1} values in 'LightGCN' "
                f"(got {len(layer_weights)})"
            )
        for weight in layer_weights or ():
            check_range("layer_weights", weight, "LightGCN")
        if layer_weights is not None and not any(layer_weights):
            raise ConfigError("'layer_weights' must not all be 0 in 'LightGCN'")
        self.num_layers = num_layers
        self.layer_weights = tuple(layer_weights or [1 / (num_layers + 1)] * (num_layers + 1))
        self.rescale_isolated = rescale_isolated
        self.out_dim = dim

    def forward(self, view: View, keep_layers: bool = False) -> LayerSum:
        """Encode a view; `keep_layers` also returns the states of layers 0..L (unweighted)."""
        graphs = tuple(view.graph_at(layer) for layer in range(1, self.num_layers + 1))
        return LayerSum(view.x, graphs, self.layer_weights, self._first(view), view.perturb, keep_layers)

    def _first(self, view: View) -> Tensor | None:
        """Return the factor of x by node, or None where it is a_0 for all."""
        first = self.layer_weights[0]
        if not self.rescale_isolated or self.num_layers == 0:
            return None
        layers = 1 if view.layer_graphs is None else self.num_layers
        isolated = [view.graph_at(layer).isolated for layer in range(1, layers + 1)]
        if any(part is None for part in isolated):
            return None
        alone = torch.stack([part for part in isolated if part is not None]).all(dim=0)
        return torch.where(alone, sum(self.layer_weights), first)
