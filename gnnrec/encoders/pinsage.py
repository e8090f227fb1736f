"""PinSage: GraphSAGE over neighbourhoods found by random walks."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from gnnrec.encoders.states import States
from gnnrec.encoders.walks import walk_neighbours
from gnnrec.errors import check_range
from gnnrec.unit import unit
from gnnrec.views import View


class PinSage(nn.Module):
    """Convolve over the nodes that random walks visit most: h' = unit(relu(W [h ; n] + w)).

    n = sum_v a_v relu(Q h_v + q).

    Ying et al. 2018, https://arxiv.org/abs/1806.01973, algorithm 1 and section 3.2: the neighbourhood of a node are
    the T nodes with the highest visit counts of short random walks from it, a_v their counts, normalised to sum 1
    (importance pooling); after the last convolution e = G2 relu(G1 h + g). Walks run on the user-item graph and count
    nodes of both sides. They are made once for a graph, from `seed`.

    Deviations: no minibatch construction; all nodes share one set of weights, which start orthogonal; in a view with
    dropped edges the walks stay, but neighbours by a dropped edge and nodes that lost all their edges are left out.
    A node without edges is its own neighbour: with n = 0 unseen items would score far from all others. Memory:
    num_nodes x num_neighbours indices and weights.

    Shapes: x [num_nodes, dim] -> [num_nodes, dim].

    Args:
        num_neighbours: T. num_walks: walks from each node. walk_length: steps of a walk.
    """

    # The walks know edges by their place: a view that drops some must keep their places, at weight 0.
    fixed_structure: ClassVar[bool] = True

    def __init__(
        self,
        dim: int,
        num_layers: int = 2,
        num_neighbours: int = 10,
        num_walks: int = 50,
        walk_length: int = 3,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_range("num_layers", num_layers, "PinSage", low=1)
        check_range("num_neighbours", num_neighbours, "PinSage", low=1)
        check_range("num_walks", num_walks, "PinSage", low=1)
        check_range("walk_length", walk_length, "PinSage", low=1)
        check_range("dropout", dropout, "PinSage", low=0, high=1, high_open=True)
        check_range("seed", seed, "PinSage", low=0)
        self.walks = num_neighbours, num_walks, walk_length, seed
        self.neighbours = nn.ModuleList(nn.Linear(dim, dim) for _ in range(num_layers))
        self.combine = nn.ModuleList(nn.Linear(2 * dim, dim) for _ in range(num_layers))
        self.output = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim, bias=False))
        self.dropout = dropout
        self.num_layers = num_layers
        self.out_dim = dim
        self._start()

    def _start(self) -> None:
        # Every state is relu'd and of unit length, so that all nodes start alike: with the usual initialisation of
        # linear layers it takes several times as many epochs on planted data to tell them apart.
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.orthogonal_(module.weight, gain=2**0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, view: View, keep_layers: bool = False) -> States:
        """Encode a view; `keep_layers` also returns the states of layers 0..L."""
        found = walk_neighbours(view.graph.structure, *self.walks)
        state, layers = view.x, [view.x]
        for layer, (neighbours, combine) in enumerate(
            zip(self.neighbours, self.combine, strict=True), start=1
        ):
            inputs = F.dropout(state, self.dropout, self.training)
            message, weight = F.relu(neighbours(inputs)), found.in_view(view.graph_at(layer))
            pooled = found.pool(weight, message)
            pooled = torch.where(weight.any(dim=1, keepdim=True), pooled, message)
            state = unit(F.relu(combine(torch.cat([inputs, pooled], dim=1))))
            if view.perturb is not None:
                state = view.perturb(state, layer)
            layers.append(state)
        return States(self.output(state), layers if keep_layers else [])
