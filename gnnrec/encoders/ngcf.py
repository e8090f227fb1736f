"""NGCF: propagation with learned matrices and an interaction term."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from gnnrec.encoders.states import States
from gnnrec.errors import check_range
from gnnrec.unit import unit
from gnnrec.views import View


class NGCF(nn.Module):
    """Propagate with an element-wise interaction: h' = leaky_relu(W1 (h + P h) + W2 (P h * h)), layers concatenated.

    Wang et al. 2019, https://arxiv.org/abs/1905.08108, eq. 7 and 9, P = D^-1/2 A D^-1/2. As in the authors' code,
    each layer's output is scaled to unit rows before it is concatenated, the slope is 0.2, and message dropout is
    applied to it.

    Shapes: x [num_nodes, dim] -> [num_nodes, dim * (num_layers + 1)].
    """

    def __init__(self, dim: int, num_layers: int = 3, dropout: float = 0.1) -> None:
        super().__init__()
        check_range("num_layers", num_layers, "NGCF", low=1)
        check_range("dropout", dropout, "NGCF", low=0, high=1, high_open=True)
        self.sum = nn.ModuleList(nn.Linear(dim, dim) for _ in range(num_layers))
        self.product = nn.ModuleList(nn.Linear(dim, dim) for _ in range(num_layers))
        self.dropout = dropout
        self.num_layers = num_layers
        self.out_dim = dim * (num_layers + 1)

    def forward(self, view: View, keep_layers: bool = False) -> States:
        """Encode a view; `keep_layers` also returns the states of layers 0..L."""
        state, layers, outputs = view.x, [view.x], [view.x]
        for layer, (add, multiply) in enumerate(zip(self.sum, self.product, strict=True), start=1):
            near = view.graph_at(layer).propagate(state)
            state = F.leaky_relu(add(state + near) + multiply(near * state), 0.2)
            state = F.dropout(state, self.dropout, self.training)
            if view.perturb is not None:
                state = view.perturb(state, layer)
            layers.append(state)
            outputs.append(unit(state))
        return States(torch.cat(outputs, dim=1), layers if keep_layers else [])
