"""LightGCN++: propagation of unit vectors with a norm of its own for either end of an edge."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnnrec.encoders.states import States
from gnnrec.errors import check_range
from gnnrec.unit import unit
from gnnrec.views import View


class LightGCNpp(nn.Module):
    """Propagate unit vectors with two exponents: e_k = D^-alpha A D^-beta unit(e_(k-1)).

    The result is e = gamma e_0 + (1 - gamma) mean_k e_k, k = 1..L, e_0 = x.

    Lee et al. 2024, "Revisiting LightGCN: Unexpected Inflexibility, Inconsistency, and A Remedy Towards Improved
    Recommendation", RecSys, https://doi.org/10.1145/3640457.3688176, and the authors' code. unit(e) = e / ||e||;
    alpha scales the length of the receiver's state by its degree, beta weighs the neighbours by theirs (below 0:
    popular neighbours count more), gamma weighs layer 0 against the mean of the layers 1..L. The defaults are those
    that the authors recommend.

    Deviation: a node without edges has the state unit(x) at the layers 1..L, hence gamma x + (1 - gamma) unit(x)
    in place of gamma x, which would rank every unseen item low.

    Shapes: x [num_nodes, dim] -> [num_nodes, dim].
    """

    def __init__(
        self, dim: int, num_layers: int = 2, alpha: float = 0.6, beta: float = -0.1, gamma: float = 0.2
    ) -> None:
        super().__init__()
        check_range("num_layers", num_layers, "LightGCNpp", low=1)
        check_range("alpha", alpha, "LightGCNpp")
        check_range("beta", beta, "LightGCNpp")
        check_range("gamma", gamma, "LightGCNpp", low=0, high=1)
        self.num_layers, self.alpha, self.beta, self.gamma = num_layers, alpha, beta, gamma
        self.out_dim = dim

    def forward(self, view: View, keep_layers: bool = False) -> States:
        """Encode a view; `keep_layers` also returns the states of layers 0..L."""
        layers, own = [view.x], unit(view.x)
        for layer in range(1, self.num_layers + 1):
            graph = view.graph_at(layer)
            length = layers[-1].norm(dim=-1, keepdim=True)
            # A row of zeros, such as a mask token that starts there, stays one (see unit).
            length = torch.where(length > 1e-12, length, torch.inf)
            message = layers[-1] * (_degree_power(graph.degree, -self.beta) / length)
            state = _degree_power(graph.degree, -self.alpha) * graph.propagate(message, "sum")
            if graph.isolated is not None:
                state = torch.where(graph.isolated.unsqueeze(1), own, state)
            layers.append(state if view.perturb is None else view.perturb(state, layer))
        final = self.gamma * view.x
        for state in layers[1:]:
            final = torch.add(final, state, alpha=(1 - self.gamma) / self.num_layers)
        return States(final, layers if keep_layers else [])


def _degree_power(degree: Tensor, exponent: float) -> Tensor:
    """Return degree ** exponent as a column, 0 for a degree of 0."""
    return torch.where(degree > 0, degree.clamp(min=1e-30) ** exponent, 0.0).unsqueeze(1)
