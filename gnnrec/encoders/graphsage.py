"""GraphSAGE: learned combination of a node with its neighbourhood; scores unseen nodes from their features."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gnnrec.encoders.aggregate import max_of_neighbours
from gnnrec.encoders.states import States
from gnnrec.errors import check_choice, check_range
from gnnrec.graph import BipartiteGraph
from gnnrec.unit import unit
from gnnrec.views import View


class GraphSAGE(nn.Module):
    """Combine each node with an aggregate of its neighbours: h' = act(W_self h + W_neigh agg(h_neighbours) + b).

    Hamilton et al. 2017, https://arxiv.org/abs/1706.02216, algorithm 1, in the form of PyG's SAGEConv (two matrices,
    summed). It is inductive: the weights know no node, so that unseen nodes are scored from their features and edges.
    A node without neighbours gets W_self h + b.

    Aggregators:
        mean: D^-1 A h, section 3.3.
        max: the element-wise maximum. Equation 3 there has a layer before the maximum (`pool`); SAGEConv(aggr="max")
            has not, and neither have we.
        attention: sum_j a_ij h_j, a_ij = softmax_j(leaky_relu(s . W_neigh h_j + t . W_neigh h_i)), the weights of GAT
            (Velickovic et al. 2018, https://arxiv.org/abs/1710.10903, eq. 1 to 3) with one head.

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
        aggregator: str = "mean",
    ) -> None:
        super().__init__()
        check_range("num_layers", num_layers, "GraphSAGE", low=1)
        check_range("dropout", dropout, "GraphSAGE", low=0, high=1, high_open=True)
        check_choice("activation", activation, ("relu", "leaky_relu", "tanh", "none"), "GraphSAGE")
        check_choice("aggregator", aggregator, ("mean", "max", "attention"), "GraphSAGE")
        self.own = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(num_layers))
        self.neighbours = nn.ModuleList(nn.Linear(dim, dim) for _ in range(num_layers))
        if aggregator == "attention":
            self.attention = nn.Parameter(torch.randn(num_layers, 2, dim) * dim**-0.5)
        self.aggregator = aggregator
        self.activation = activation
        self.residual = residual
        self.normalize = normalize
        self.dropout = dropout
        self.num_layers = num_layers
        self.out_dim = dim

    def forward(self, view: View, keep_layers: bool = False) -> States:
        """Encode a view; `keep_layers` also returns the states of layers 0..L."""
        state, layers = view.x, [view.x]
        last = len(self.own)
        for layer, own in enumerate(self.own, start=1):
            inputs = F.dropout(state, self.dropout, self.training)
            output = own(inputs) + self._aggregate(view.graph_at(layer), inputs, layer)
            if layer < last:
                output = _activate(output, self.activation)
            if self.residual:
                output = output + state
            if view.perturb is not None:
                output = view.perturb(output, layer)
            state = unit(output) if self.normalize else output
            layers.append(state)
        return States(state, layers if keep_layers else [])

    def _aggregate(self, graph: BipartiteGraph, x: Tensor, layer: int) -> Tensor:
        """Return W_neigh agg(x) + b."""
        linear = cast(nn.Linear, self.neighbours[layer - 1])
        if self.aggregator == "mean":
            # The mean is linear, so the matrix may come first or last: last costs the same and keeps one path.
            return linear(graph.propagate(x, "mean"))
        if self.aggregator == "max":
            return linear(max_of_neighbours(graph, x))
        h = x @ linear.weight.T
        source, target = self.attention[layer - 1]
        logits = graph.edge_values(h @ source, h @ target)
        weights = graph.softmax(*(F.leaky_relu(half, 0.2) for half in logits))
        return graph.aggregate(h, *weights) + linear.bias


def _activate(x: Tensor, name: str) -> Tensor:
    if name == "none":
        return x
    return {"relu": F.relu, "leaky_relu": F.leaky_relu, "tanh": torch.tanh}[name](x)
