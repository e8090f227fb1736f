"""PinSage: visit counts against the powers of the transition matrix, the convolution against its equation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec.encoders import PinSage
from gnnrec.encoders.walks import WalkNeighbours, walk_neighbours
from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph
from gnnrec.views import View

NUM_USERS, NUM_ITEMS, DIM = 12, 9, 6
NUM_NODES = NUM_USERS + NUM_ITEMS
ALONE = [NUM_USERS - 1, NUM_NODES - 1]  # the last user and the last item have no edges


def make_graph(num_edges: int = 40) -> BipartiteGraph:
    generator = torch.Generator().manual_seed(0)
    keys = torch.randperm((NUM_USERS - 1) * (NUM_ITEMS - 1), generator=generator)[:num_edges]
    return BipartiteGraph.from_edges(keys // (NUM_ITEMS - 1), keys % (NUM_ITEMS - 1), NUM_USERS, NUM_ITEMS)


def make_view() -> View:
    x = torch.randn(NUM_NODES, DIM, generator=torch.Generator().manual_seed(1), requires_grad=True)
    return View(x, make_graph())


def expected_visits(graph: BipartiteGraph, walk_length: int) -> np.ndarray:
    """Share of the visits of each node by walks from each node, the start left out: [num_nodes, num_nodes]."""
    step = graph.propagate(torch.eye(NUM_NODES), "mean").double().numpy()
    visits = np.sum([np.linalg.matrix_power(step, k) for k in range(1, walk_length + 1)], axis=0)
    np.fill_diagonal(visits, 0)
    return visits / np.maximum(visits.sum(1, keepdims=True), 1e-12)


def dense(found: WalkNeighbours, weight: Tensor) -> np.ndarray:
    matrix = torch.zeros(NUM_NODES, NUM_NODES, dtype=torch.float64)
    return matrix.scatter_add_(1, found.node, weight.double()).numpy()


@pytest.mark.parametrize("walk_length", [1, 2, 3])
def test_visits_are_those_of_the_transition_matrix(walk_length: int) -> None:
    graph = make_graph()
    found = walk_neighbours(graph.structure, NUM_NODES, 20_000, walk_length, 0)
    expected = expected_visits(graph, walk_length)
    np.testing.assert_allclose(dense(found, found.weight), expected, atol=0.015)
    assert not found.weight[ALONE].any()
    np.testing.assert_array_equal(dense(found, found.weight) > 0, expected > 0)


def test_the_most_visited_are_kept_and_sum_to_one() -> None:
    graph = make_graph()
    every = walk_neighbours(graph.structure, NUM_NODES, 200, 3, 0)
    some = walk_neighbours(graph.structure, 4, 200, 3, 0)
    torch.testing.assert_close(some.node, every.node[:, :4])
    kept = every.weight[:, :4]
    torch.testing.assert_close(some.weight, kept / kept.sum(1, keepdim=True).clamp(min=1e-12))
    assert bool((every.weight[:, :-1] >= every.weight[:, 1:]).all())
    assert torch.equal(some.weight.sum(1) > 0, graph.degree > 0)


def test_walks_are_made_once_and_repeat_with_their_seed() -> None:
    structure = make_graph().structure
    first = walk_neighbours(structure, 4, 20, 3, 0)
    assert walk_neighbours(structure, 4, 20, 3, 0) is first
    again = walk_neighbours(make_graph().structure, 4, 20, 3, 0)
    assert again is not first
    assert torch.equal(again.node, first.node)
    assert torch.equal(again.weight, first.weight)
    assert not torch.equal(walk_neighbours(structure, 4, 20, 3, 1).weight, first.weight)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnnrec.encoders.walks.BLOCK", 16_000)
    graph = make_graph()
    found = walk_neighbours(graph.structure, NUM_NODES, 4000, 2, 0)
    np.testing.assert_allclose(dense(found, found.weight), expected_visits(graph, 2), atol=0.03)


def test_direct_edges_are_known() -> None:
    graph = make_graph()
    found = walk_neighbours(graph.structure, NUM_NODES, 500, 3, 0)
    edges = dict(
        zip(zip(graph.structure.user.tolist(), graph.structure.item.tolist()), range(graph.num_edges))
    )
    for node in range(NUM_NODES):
        for near, weight, edge in zip(
            *(part[node].tolist() for part in (found.node, found.weight, found.edge))
        ):
            pair = (min(node, near), max(node, near) - NUM_USERS)
            assert edge == (edges.get(pair, -1) if weight else -1)


def test_a_dropped_edge_and_an_isolated_node_are_left_out() -> None:
    graph = make_graph()
    found = walk_neighbours(graph.structure, NUM_NODES, 500, 3, 0)
    assert found.in_view(graph) is found.weight
    item = int(graph.structure.item[0])
    weight = (graph.structure.item != item).float()
    weight[-1] = 0
    dropped = graph.reweight(weight)
    seen = dense(found, found.in_view(dropped))
    whole = dense(found, found.weight)
    whole[NUM_USERS + item], whole[:, NUM_USERS + item] = 0, 0
    user, other = int(graph.structure.user[-1]), NUM_USERS + int(graph.structure.item[-1])
    whole[user, other] = whole[other, user] = 0
    alone = (dropped.degree == 0).numpy()
    whole[alone], whole[:, alone] = 0, 0
    np.testing.assert_allclose(seen, whole / np.maximum(whole.sum(1, keepdims=True), 1e-12), atol=1e-6)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_it_is_its_equation(num_layers: int) -> None:
    torch.manual_seed(num_layers)
    encoder, view = PinSage(DIM, num_layers, num_neighbours=4, num_walks=30), make_view()
    w = encoder.state_dict()
    found = walk_neighbours(view.graph.structure, 4, 30, 3, 0)
    pool, state = torch.from_numpy(dense(found, found.weight)).float(), view.x
    pool[ALONE, ALONE] = 1  # a node without edges is its own neighbour
    for layer in range(num_layers):
        message = F.relu(state @ w[f"neighbours.{layer}.weight"].T + w[f"neighbours.{layer}.bias"])
        both = torch.cat([state, pool @ message], dim=1)
        state = F.relu(both @ w[f"combine.{layer}.weight"].T + w[f"combine.{layer}.bias"])
        state = state / state.norm(dim=1, keepdim=True).clamp(min=1e-12)
    expected = F.relu(state @ w["output.0.weight"].T + w["output.0.bias"]) @ w["output.2.weight"].T
    states = encoder(view, keep_layers=True)
    torch.testing.assert_close(states.final, expected, rtol=1e-4, atol=1e-5)
    assert len(states.layers) == num_layers + 1
    upstream = torch.randn(expected.shape)
    (ours,) = torch.autograd.grad(states.final, view.x, upstream, retain_graph=True)
    (theirs,) = torch.autograd.grad(expected, view.x, upstream)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    states.final.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())


def test_a_graph_without_edges_is_encoded_from_features() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    graph = BipartiteGraph.from_edges(nothing, nothing, NUM_USERS, NUM_ITEMS)
    assert torch.isfinite(PinSage(DIM)(View(torch.randn(NUM_NODES, DIM), graph)).final).all()


@pytest.mark.parametrize("name", ["num_layers", "num_neighbours", "num_walks", "walk_length"])
def test_a_wrong_argument_is_told(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' must be in"):
        PinSage(DIM, **{name: 0})
