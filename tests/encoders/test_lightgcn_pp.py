"""LightGCN++ against its equations node by node, and against LightGCN."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec.encoders import LightGCNpp
from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph
from gnnrec.views import View

NUM_USERS, NUM_ITEMS, DIM = 9, 7, 5
ALONE = [NUM_USERS - 1, NUM_USERS + NUM_ITEMS - 1]  # the last user and the last item have no edges


def make_view() -> View:
    generator = torch.Generator().manual_seed(0)
    keys = torch.randperm((NUM_USERS - 1) * (NUM_ITEMS - 1), generator=generator)[:26]
    graph = BipartiteGraph.from_edges(keys // (NUM_ITEMS - 1), keys % (NUM_ITEMS - 1), NUM_USERS, NUM_ITEMS)
    return View(torch.randn(NUM_USERS + NUM_ITEMS, DIM, generator=generator, requires_grad=True), graph)


def by_hand(view: View, num_layers: int, alpha: float, beta: float, gamma: float) -> Tensor:
    """Equation by equation, one node after another."""
    sender, receiver = view.graph.edge_index.tolist()
    neighbours = [[s for s, r in zip(sender, receiver) if r == node] for node in range(len(view.x))]
    degree = [len(near) for near in neighbours]
    state, layers = view.x, []
    for _ in range(num_layers):
        rows = []
        for node, near in enumerate(neighbours):
            messages = [state[n] / state[n].norm() * degree[n] ** -beta for n in near]
            own = view.x[node] / view.x[node].norm()
            rows.append(torch.stack(messages).sum(0) * degree[node] ** -alpha if near else own)
        state = torch.stack(rows)
        layers.append(state)
    return gamma * view.x + (1 - gamma) * torch.stack(layers).mean(0)


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize(("alpha", "beta", "gamma"), [(0.6, -0.1, 0.2), (0.5, 0.5, 0.0), (0.0, 1.0, 0.7)])
def test_it_is_its_equation(num_layers: int, alpha: float, beta: float, gamma: float) -> None:
    view = make_view()
    encoder = LightGCNpp(DIM, num_layers, alpha, beta, gamma)
    expected = by_hand(view, num_layers, alpha, beta, gamma)
    states = encoder(view, keep_layers=True)
    torch.testing.assert_close(states.final, expected, rtol=1e-5, atol=1e-6)
    assert len(states.layers) == num_layers + 1
    upstream = torch.randn(view.x.shape, generator=torch.Generator().manual_seed(1))
    (ours,) = torch.autograd.grad(states.final, view.x, upstream)
    (theirs,) = torch.autograd.grad(expected, view.x, upstream)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_with_symmetric_exponents_a_layer_is_lightgcns_of_unit_rows() -> None:
    view = make_view()
    there = view.graph.degree > 0
    layer = LightGCNpp(DIM, 1, 0.5, 0.5, 0.0)(view).final
    torch.testing.assert_close(layer[there], view.graph.propagate(F.normalize(view.x, dim=1))[there])


def test_a_node_without_edges_keeps_its_direction() -> None:
    view = make_view()
    final = LightGCNpp(DIM, 2, gamma=0.2)(view).final[ALONE]
    torch.testing.assert_close(final, 0.2 * view.x[ALONE] + 0.8 * F.normalize(view.x[ALONE], dim=1))
    gone = View(view.x, view.graph.reweight(torch.zeros(view.graph.num_edges)))
    final = LightGCNpp(DIM, 2)(gone).final
    (gradient,) = torch.autograd.grad(final.sum(), view.x)
    assert torch.isfinite(final).all()
    assert torch.isfinite(gradient).all()


def test_perturbation_and_layer_graphs_reach_every_layer() -> None:
    view, layers = make_view(), []
    nothing = view.graph.reweight(torch.zeros(view.graph.num_edges))

    def perturb(state: Tensor, layer: int) -> Tensor:
        layers.append(layer)
        return 2 * state

    noisy = View(view.x, view.graph, perturb, layer_graphs=(view.graph, nothing))
    states = LightGCNpp(DIM, 2, gamma=0.0)(noisy, keep_layers=True)
    assert layers == [1, 2]
    plain = LightGCNpp(DIM, 1, gamma=0.0)(view).final
    torch.testing.assert_close(states.layers[1], 2 * plain)
    torch.testing.assert_close(states.layers[2], 2 * F.normalize(view.x, dim=1))


@pytest.mark.parametrize("arguments", [{"num_layers": 0}, {"gamma": 1.1}, {"alpha": float("nan")}])
def test_a_wrong_argument_is_told(arguments: dict) -> None:
    with pytest.raises(ConfigError, match=f"'{next(iter(arguments))}' must be in"):
        LightGCNpp(DIM, **arguments)


def test_a_row_of_zeros_takes_no_huge_gradient() -> None:
    """A mask token starts at zero; over a clamped length its gradient would grow with every layer."""
    view = make_view()
    x = view.x.detach().clone()
    x[[0, NUM_USERS]] = 0
    x.requires_grad_()
    view = View(x, view.graph)
    for isolated in (False, True):
        x.grad = None
        if isolated:
            view = view.drop_edges(view.graph.structure.user != 0)
        weights = torch.randn(len(x), DIM, generator=torch.Generator().manual_seed(0))
        (LightGCNpp(DIM, num_layers=4)(view).final * weights).sum().backward()
        assert x.grad is not None
        assert bool(torch.isfinite(x.grad).all())
        assert float(x.grad.abs().max()) < 1e3
