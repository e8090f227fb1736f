"""LightGCN against PyG's, and what it does with nodes without edges."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_geometric.nn.models import LightGCN as PygLightGCN

from gnnrec.encoders import LightGCN
from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph
from gnnrec.views import LayerNoise, View

NUM_USERS, NUM_ITEMS, DIM = 12, 9, 8


def make_view(isolated: bool = True, seed: int = 0) -> View:
    """A view whose last user and last item have no edges, unless told otherwise."""
    generator = torch.Generator().manual_seed(seed)
    users, items = (NUM_USERS - 1, NUM_ITEMS - 1) if isolated else (NUM_USERS, NUM_ITEMS)
    keys = torch.randperm(users * items, generator=generator)[: users * items // 2]
    graph = BipartiteGraph.from_edges(keys // items, keys % items, NUM_USERS, NUM_ITEMS)
    x = torch.randn(NUM_USERS + NUM_ITEMS, DIM, generator=generator, requires_grad=True)
    return View(x, graph)


def pyg_embedding(view: View, num_layers: int, alpha: Tensor | None = None) -> Tensor:
    model = PygLightGCN(view.graph.num_nodes, DIM, num_layers, alpha=alpha)
    with torch.no_grad():
        model.embedding.weight.copy_(view.x)
    return model.get_embedding(view.graph.edge_index)


@pytest.mark.parametrize("num_layers", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_pygs_lightgcn(num_layers: int, seed: int) -> None:
    view = make_view(seed=seed)
    encoder = LightGCN(DIM, num_layers, rescale_isolated=False)
    torch.testing.assert_close(encoder(view).final, pyg_embedding(view, num_layers), rtol=1e-6, atol=1e-6)
    # nodes with edges are the same with rescaling too
    there, rescaled = view.graph.degree > 0, LightGCN(DIM, num_layers)(view).final
    torch.testing.assert_close(rescaled[there], pyg_embedding(view, num_layers)[there], rtol=1e-6, atol=1e-6)


def test_layer_weights_are_pygs_alpha() -> None:
    view, weights = make_view(), [0.1, 0.7, -0.2]
    encoder = LightGCN(DIM, 2, layer_weights=weights, rescale_isolated=False)
    expected = pyg_embedding(view, 2, torch.tensor(weights))
    torch.testing.assert_close(encoder(view).final, expected, rtol=1e-6, atol=1e-6)


def test_the_gradient_is_pygs() -> None:
    view = make_view()
    upstream = torch.randn(view.x.shape, generator=torch.Generator().manual_seed(1))
    encoder = LightGCN(DIM, 3, rescale_isolated=False)
    (gradient,) = torch.autograd.grad(encoder(view).final, view.x, upstream)
    model = PygLightGCN(view.graph.num_nodes, DIM, 3)
    with torch.no_grad():
        model.embedding.weight.copy_(view.x)
    model.get_embedding(view.graph.edge_index).backward(upstream)
    assert model.embedding.weight.grad is not None
    torch.testing.assert_close(gradient, model.embedding.weight.grad, rtol=1e-5, atol=1e-6)


def test_no_layers_is_matrix_factorisation() -> None:
    view = make_view()
    states = LightGCN(DIM, 0)(view, keep_layers=True)
    assert torch.equal(states.final, view.x)
    assert len(states.layers) == 1
    assert torch.equal(LightGCN(DIM, 0)(view).final, view.x)


def test_a_node_without_edges_keeps_its_features() -> None:
    view = make_view()
    alone = [NUM_USERS - 1, NUM_USERS + NUM_ITEMS - 1]
    assert not view.graph.degree[alone].any()
    torch.testing.assert_close(LightGCN(DIM, 3)(view).final[alone], view.x[alone])
    plain = LightGCN(DIM, 3, rescale_isolated=False)(view).final
    torch.testing.assert_close(plain[alone], view.x[alone] / 4)
    # with other weights: all of them count, not only that of layer 0
    weighted = LightGCN(DIM, 2, layer_weights=[0.5, 0.25, 0.5])(view).final
    torch.testing.assert_close(weighted[alone], 1.25 * view.x[alone])
    first_in_full = LightGCN(DIM, 1, layer_weights=[1.0, 0.5])(view).final
    torch.testing.assert_close(first_in_full[alone], 1.5 * view.x[alone])
    # where nodes with edges leave layer 0 out, as in SimGCL, it is all that a node without any has
    without_own = LightGCN(DIM, 2, layer_weights=[0.0, 0.5, 0.5])(view).final
    torch.testing.assert_close(without_own[alone], view.x[alone])


@pytest.mark.parametrize("rescale", [True, False])
def test_the_slow_path_with_layers_is_the_fast_path(rescale: bool) -> None:
    view = make_view()
    encoder = LightGCN(DIM, 3, rescale_isolated=rescale)
    fast, slow = encoder(view), encoder(view, keep_layers=True)
    torch.testing.assert_close(slow.final, fast.final)
    assert fast.layers == []
    assert len(slow.layers) == 4
    state, there = view.x, view.graph.degree > 0
    for layer in slow.layers:
        torch.testing.assert_close(layer[there], state[there])
        state = view.graph.propagate(state)
    layered = View(view.x, view.graph, layer_graphs=(view.graph,))
    torch.testing.assert_close(encoder(layered).final, fast.final)


def test_every_layer_has_its_graph() -> None:
    view = make_view(isolated=False)
    other = view.graph.reweight(torch.linspace(0.1, 1, view.graph.num_edges))
    layered = View(view.x, view.graph, layer_graphs=(view.graph, other))
    first = view.graph.propagate(view.x)
    expected = (view.x + first + other.propagate(first)) / 3
    torch.testing.assert_close(LightGCN(DIM, 2)(layered).final, expected)


def test_a_node_with_edges_in_any_layer_is_not_isolated() -> None:
    view = make_view(isolated=False)
    nothing = view.graph.reweight(torch.zeros(view.graph.num_edges))
    layered = View(view.x, nothing, layer_graphs=(view.graph, nothing))
    expected = (view.x + view.graph.propagate(view.x)) / 3
    torch.testing.assert_close(LightGCN(DIM, 2)(layered).final, expected)


def test_perturbation_is_applied_to_each_layer_and_carried_on() -> None:
    view = make_view(isolated=False)
    calls = []

    def perturb(state: Tensor, layer: int) -> Tensor:
        calls.append(layer)
        return state + layer

    first = view.graph.propagate(view.x) + 1
    second = view.graph.propagate(first) + 2
    states = LightGCN(DIM, 2)(View(view.x, view.graph, perturb), keep_layers=True)
    torch.testing.assert_close(states.final, (view.x + first + second) / 3)
    assert calls == [1, 2]
    torch.testing.assert_close(states.layers[2], second)
    noisy = LayerNoise(0.1)(view, torch.Generator().manual_seed(0))
    assert not torch.equal(LightGCN(DIM, 2)(noisy).final, LightGCN(DIM, 2)(view).final)


def test_it_has_no_weights_of_its_own() -> None:
    assert list(LightGCN(DIM).parameters()) == []
    assert LightGCN(DIM).out_dim == DIM


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"num_layers": -1}, r"'num_layers' must be in \[0, inf\) in 'LightGCN' \(got -1\)"),
        ({"num_layers": 2, "layer_weights": [0.5, 0.5]}, r"num_layers \+ 1 = 3 values .*\(got 2\)"),
    ],
)
def test_a_wrong_argument_is_told(arguments: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        LightGCN(DIM, **arguments)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([0.5, 0.5], r"'layer_weights' must have num_layers \+ 1 = 3 values"),
        ([0.0, 0.0, 0.0], "'layer_weights' must not all be 0"),
        ([1.0, float("nan"), 0.0], r"'layer_weights' must be in .* \(got nan\)"),
    ],
)
def test_wrong_layer_weights_are_told(given: list[float], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        LightGCN(DIM, 2, layer_weights=given)
