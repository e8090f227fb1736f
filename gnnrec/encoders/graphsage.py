"""GraphSAGE: learned combination of a node with its neighbourhood; scores unseen nodes from their features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from gnnrec.encoders.states import States
from gnnrec.errors import check_choice, check_range
from gnnrec.views import View


class GraphSAGE(nn.Module):
    """Combine each node with the mean of its neighbours: h' = act(W_self h + W_neigh mean(h_neighbours) + b).

    Hamilton et al. 2017, https://arxiv.org/abs/1706.02216, algorithm 1 with the mean aggregator in the form of
    PyG's SAGEConv (two matrices, summed). A node without neighbours gets W_self h + b.

    Deviations: full-neighbourhood aggregation rather than sampling; `residual` adds the layer's input;
    no activation after the last layer; unit-length rows (algorithm 1, line 7) only with `normalize`.

    Shapes: x [num_nodes, dim] -> [num_nodes, dim].
    """

    def __init__(
        self,
        dim: int,
        num_layers: int = 2,
        activation: str = "relu",
        residual: bool = False,
        normalize: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_range("num_layers", num_layers, "GraphSAGE", low=1)
        check_range("dropout", dropout, "GraphSAGE", low=0, high=1, high_open=True)
        check_choice("activation", activation, ("relu", "leaky_relu", "tanh", "none"), "GraphSAGE")
        self.own = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(num_layers))
        self.neighbours = nn.ModuleList(nn.Linear(dim, dim) for _ in range(num_layers))
        self.activation = activation
        self.residual = residual
        self.normalize = normalize
        self.dropout = dropout
        self.out_dim = dim

    def forward(self, view: View, keep_layers: bool = False) -> States:
        """Encode a view; `keep_layers` also returns the states of layers 0..L."""
        state, layers = view.x, [view.x]
        last = len(self.own)
        for layer, (own, neighbours) in enumerate(zip(self.own, self.neighbours, strict=True), start=1):
            inputs = F.dropout(state, self.dropout, self.training)
            # The mean is linear, so the matrix may come first or last: last costs the same and keeps one path.
            output = own(inputs) + neighbours(view.graph_at(layer).propagate(inputs, "mean"))
            if layer < last:
                output = _activate(output, self.activation)
            if self.residual:
                output = output + state
            if view.perturb is not None:
                output = view.perturb(output, layer)
            state = F.normalize(output, dim=-1) if self.normalize else output
            layers.append(state)
        return States(state, layers if keep_layers else [])


def _activate(x: torch.Tensor, name: str) -> torch.Tensor:
    if name == "none":
        return x
    return {"relu": F.relu, "leaky_relu": F.leaky_relu, "tanh": torch.tanh}[name](x)
