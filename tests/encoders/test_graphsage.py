"""GraphSAGE against PyG's SAGEConv with the same weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import GATConv, SAGEConv

from gnnrec.encoders import GraphSAGE
from gnnrec.encoders.aggregate import max_of_neighbours
from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph
from gnnrec.views import View
from tests.encoders.cases import ALONE, DIM, NUM_ITEMS, NUM_USERS, make_view


def pyg_states(
    encoder: GraphSAGE, view: View, activation: Callable[[Tensor], Tensor], aggregator: str = "mean"
) -> list[Tensor]:
    states = [view.x]
    for layer, (own, neighbours) in enumerate(zip(encoder.own, encoder.neighbours), start=1):
        conv = SAGEConv(DIM, DIM, aggr=aggregator)
        conv.load_state_dict(
            {
                "lin_l.weight": neighbours.weight,
                "lin_l.bias": neighbours.bias,
                "lin_r.weight": own.weight,
            }
        )
        state = conv(states[-1], view.graph.edge_index)
        states.append(activation(state) if layer < len(encoder.own) else state)
    return states


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "function"),
    [("relu", F.relu), ("leaky_relu", F.leaky_relu), ("tanh", torch.tanh), ("none", lambda x: x)],
)
def test_it_is_pygs_sageconv(num_layers: int, name: str, function: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(num_layers)
    encoder, view = GraphSAGE(DIM, num_layers, name).eval(), make_view()
    states = encoder(view, keep_layers=True)
    expected = pyg_states(encoder, view, function)
    torch.testing.assert_close(states.final, expected[-1], rtol=1e-5, atol=1e-6)
    assert len(states.layers) == num_layers + 1
    for layer, state in zip(states.layers, expected):
        torch.testing.assert_close(layer, state, rtol=1e-5, atol=1e-6)
    assert encoder(view).layers == []


@pytest.mark.parametrize("num_layers", [1, 2])
def test_the_maximum_is_pygs(num_layers: int) -> None:
    torch.manual_seed(num_layers)
    # tanh has no equal states, where the gradient of a maximum could go either way
    encoder, view = GraphSAGE(DIM, num_layers, "tanh", aggregator="max"), make_view()
    final, expected = encoder(view).final, pyg_states(encoder, view, torch.tanh, "max")[-1]
    torch.testing.assert_close(final, expected, rtol=1e-5, atol=1e-6)
    upstream = torch.randn(view.x.shape)
    (ours,) = torch.autograd.grad(final, view.x, upstream)
    (theirs,) = torch.autograd.grad(expected, view.x, upstream)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_maximum_of_dropped_edges_does_not_count() -> None:
    torch.manual_seed(0)
    view = make_view()
    keep = torch.arange(view.graph.num_edges) % 3 > 0
    user, item = view.graph.structure.user[keep].long(), view.graph.structure.item[keep].long()
    without = View(view.x, BipartiteGraph.from_edges(user, item, NUM_USERS, NUM_ITEMS))
    dropped = View(view.x, view.graph.reweight(keep.float()))
    nothing = View(view.x, view.graph.reweight(torch.zeros(view.graph.num_edges)))
    encoder = GraphSAGE(DIM, 2, aggregator="max")
    torch.testing.assert_close(encoder(dropped).final, encoder(without).final)
    alone = GraphSAGE(DIM, 1, aggregator="max")
    weights = alone.state_dict()
    expected = view.x @ weights["own.0.weight"].T + weights["neighbours.0.bias"]
    torch.testing.assert_close(alone(nothing).final, expected)


def test_equal_maxima_share_one_gradient() -> None:
    view = View(torch.ones(NUM_USERS + NUM_ITEMS, DIM, requires_grad=True), make_view().graph)
    (gradient,) = torch.autograd.grad(max_of_neighbours(view.graph, view.x).sum(), view.x)
    assert float(gradient.sum()) == DIM * int((view.graph.degree > 0).sum())


def test_attention_is_pygs_gatconv_beside_the_node_itself() -> None:
    torch.manual_seed(0)
    encoder, view = GraphSAGE(DIM, 2, "relu", aggregator="attention"), make_view()
    weights, state = encoder.state_dict(), view.x
    for layer in range(2):
        conv = GATConv(DIM, DIM, heads=1, add_self_loops=False)
        source, target = weights["attention"][layer]
        conv.load_state_dict(
            {
                "att_src": source.view(1, 1, DIM),
                "att_dst": target.view(1, 1, DIM),
                "lin.weight": weights[f"neighbours.{layer}.weight"],
                "bias": weights[f"neighbours.{layer}.bias"],
            }
        )
        state = conv(state, view.graph.edge_index) + state @ weights[f"own.{layer}.weight"].T
        state = F.relu(state) if layer == 0 else state
    final = encoder(view).final
    torch.testing.assert_close(final, state, rtol=1e-5, atol=1e-5)
    final.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())


@pytest.mark.parametrize("aggregator", ["mean", "max", "attention"])
def test_it_encodes_nodes_it_never_saw(aggregator: str) -> None:
    """A new item with the features and the users of a known one is encoded like it, and changes no other item."""
    torch.manual_seed(0)
    encoder, view = GraphSAGE(DIM, 1, aggregator=aggregator), make_view()
    user, item = view.graph.structure.user.long(), view.graph.structure.item.long()
    known = int(item[0])
    its_users = user[item == known]
    user, item = torch.cat([user, its_users]), torch.cat([item, torch.full_like(its_users, NUM_ITEMS)])
    graph = BipartiteGraph.from_edges(user, item, NUM_USERS, NUM_ITEMS + 1)
    x = torch.cat([view.x, view.x[NUM_USERS + known : NUM_USERS + known + 1]])
    before, after = encoder(view).final, encoder(View(x, graph)).final
    torch.testing.assert_close(after[-1], before[NUM_USERS + known])
    torch.testing.assert_close(after[NUM_USERS:-1], before[NUM_USERS:])


def test_the_gradient_is_pygs() -> None:
    torch.manual_seed(0)
    encoder, view = GraphSAGE(DIM, 2), make_view()
    upstream = torch.randn(view.x.shape)
    (ours,) = torch.autograd.grad(encoder(view).final, view.x, upstream)
    (theirs,) = torch.autograd.grad(pyg_states(encoder, view, F.relu)[-1], view.x, upstream)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    encoder(view).final.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())


def test_a_node_without_neighbours_is_scored_from_its_own_features() -> None:
    torch.manual_seed(0)
    encoder, view = GraphSAGE(DIM, 1), make_view()
    weights = encoder.state_dict()
    expected = view.x[ALONE] @ weights["own.0.weight"].T + weights["neighbours.0.bias"]
    torch.testing.assert_close(encoder(view).final[ALONE], expected)


def test_residual_adds_the_input_of_the_layer() -> None:
    torch.manual_seed(0)
    plain, residual, view = GraphSAGE(DIM, 1), GraphSAGE(DIM, 1, residual=True), make_view()
    residual.load_state_dict(plain.state_dict())
    torch.testing.assert_close(residual(view).final, plain(view).final + view.x)


def test_normalize_gives_rows_of_unit_length_at_every_layer() -> None:
    torch.manual_seed(0)
    states = GraphSAGE(DIM, 2, "tanh", normalize=True)(make_view(), keep_layers=True)
    for layer in states.layers[1:]:
        torch.testing.assert_close(layer.norm(dim=1), torch.ones(len(layer)))


def test_dropout_is_for_training_only() -> None:
    torch.manual_seed(0)
    encoder, view = GraphSAGE(DIM, 2, dropout=0.5), make_view()
    assert not torch.equal(encoder(view).final, encoder(view).final)
    encoder.eval()
    assert torch.equal(encoder(view).final, encoder(view).final)


def test_perturbation_and_layer_graphs_reach_every_layer() -> None:
    torch.manual_seed(0)
    encoder, view = GraphSAGE(DIM, 2, "none"), make_view()
    nothing = view.graph.reweight(torch.zeros(view.graph.num_edges))
    layers = []

    def perturb(state: Tensor, layer: int) -> Tensor:
        layers.append(layer)
        return 2 * state

    noisy = View(view.x, view.graph, perturb, layer_graphs=(view.graph, nothing))
    state = 2 * encoder(view, keep_layers=True).layers[1]
    weights = encoder.state_dict()
    expected = 2 * (state @ weights["own.1.weight"].T + weights["neighbours.1.bias"])
    torch.testing.assert_close(encoder(noisy).final, expected)
    assert layers == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"num_layers": 0}, r"'num_layers' must be in \[1, inf\) in 'GraphSAGE' \(got 0\)"),
        ({"dropout": 1.0}, "'dropout' must be in"),
        ({"activation": "rellu"}, "did you mean 'relu'"),
        ({"aggregator": "maxx"}, "did you mean 'max'"),
    ],
)
def test_a_wrong_argument_is_told(arguments: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        GraphSAGE(DIM, **arguments)
