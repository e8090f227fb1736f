"""GAT: neighbours weighted by learned attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gnnrec.encoders.states import States
from gnnrec.errors import ConfigError, check_range
from gnnrec.views import View


class GAT(nn.Module):
    """Weigh neighbours by attention: h'_i = act(sum_j a_ij W h_j), a_ij = softmax_j(leaky_relu(s . W h_j + t . W h_i)).

    Velickovic et al. 2018, https://arxiv.org/abs/1710.10903, eq. 1 to 6, heads concatenated. Deviations: no
    self-loops; the layer's input is added instead (`residual`), which keeps nodes without edges alive; no activation
    after the last layer.

    Shapes: x [num_nodes, dim] -> [num_nodes, dim].
    """

    def __init__(
        self, dim: int, num_layers: int = 2, num_heads: int = 2, dropout: float = 0.0, residual: bool = True
    ) -> None:
        super().__init__()
        check_range("num_layers", num_layers, "GAT", low=1)
        check_range("num_heads", num_heads, "GAT", low=1)
        check_range("dropout", dropout, "GAT", low=0, high=1, high_open=True)
        if dim % num_heads:
            raise ConfigError(f"'dim' must be a multiple of 'num_heads' in 'GAT' (got {dim} and {num_heads})")
        self.num_heads, self.dropout, self.residual = num_heads, dropout, residual
        self.linear = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(num_layers))
        shape = (num_layers, 2, num_heads, dim // num_heads)
        self.attention = nn.Parameter(torch.randn(shape) * (dim // num_heads) ** -0.5)
        self.num_layers = num_layers
        self.out_dim = dim

    def forward(self, view: View, keep_layers: bool = False) -> States:
        """Encode a view; `keep_layers` also returns the states of layers 0..L."""
        state, layers = view.x, [view.x]
        for layer, linear in enumerate(self.linear, start=1):
            inputs = F.dropout(state, self.dropout, self.training)
            output = self._attend(view, layer, linear(inputs))
            if layer < len(self.linear):
                output = F.elu(output)
            if self.residual:
                output = output + state
            state = output if view.perturb is None else view.perturb(output, layer)
            layers.append(state)
        return States(state, layers if keep_layers else [])

    def _attend(self, view: View, layer: int, h: Tensor) -> Tensor:
        graph = view.graph_at(layer)
        heads = h.view(len(h), self.num_heads, -1)
        source, target = ((heads * vector).sum(-1) for vector in self.attention[layer - 1])
        outputs = []
        for head in range(self.num_heads):
            logits = graph.edge_values(source[:, head], target[:, head])
            weights = [F.leaky_relu(half, 0.2) for half in logits]
            outputs.append(graph.aggregate(heads[:, head], *graph.softmax(*weights)))
        return torch.cat(outputs, dim=1)
