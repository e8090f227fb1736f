"""The graph against dense algebra: same products, same gradients, whatever the order of the edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnnrec.data.interactions import Interactions
from gnnrec.edges import NORMS
from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph

NUM_USERS, NUM_ITEMS, DIM = 7, 9, 4  # users 5 and 6 and items 7 and 8 have no edge


def random_edges(seed: int, zeros: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randperm(5 * 7, generator=generator)[:18]
    weight = torch.rand(18, generator=generator) + 0.1
    if zeros:
        weight[::4] = 0
    return keys // 7, keys % 7, weight


def random_graph(seed: int = 0, zeros: bool = True) -> BipartiteGraph:
    user, item, weight = random_edges(seed, zeros)
    return BipartiteGraph.from_edges(user, item, NUM_USERS, NUM_ITEMS, weight)


def dense_operator(graph: BipartiteGraph, norm: str) -> Tensor:
    """D^-1/2 A D^-1/2, D^-1 A or A as float64 [num_nodes, num_nodes], from the edges alone."""
    matrix = torch.zeros(graph.num_nodes, graph.num_nodes, dtype=torch.float64)
    user, item = graph.structure.user.long(), graph.structure.item.long() + graph.num_users
    matrix[user, item] = matrix[item, user] = graph.weight.double()
    degree = matrix.sum(dim=1)
    if norm == "mean":
        return torch.where(degree > 0, 1 / degree, 0.0).unsqueeze(1) * matrix
    if norm == "symmetric":
        root = torch.where(degree > 0, degree**-0.5, 0.0)
        return root.unsqueeze(1) * matrix * root
    return matrix


def random_x(seed: int = 0) -> Tensor:
    return torch.randn(
        NUM_USERS + NUM_ITEMS, DIM, generator=torch.Generator().manual_seed(seed), requires_grad=True
    )


def test_nodes_are_users_first_then_items() -> None:
    graph = BipartiteGraph.from_edges(torch.tensor([1, 0, 1]), torch.tensor([2, 0, 0]), 2, 3)
    assert (graph.num_users, graph.num_items, graph.num_nodes, graph.num_edges) == (2, 3, 5, 3)
    assert graph.structure.user.tolist() == [0, 1, 1]  # sorted by user, then item
    assert graph.structure.item.tolist() == [0, 0, 2]
    assert graph.degree.tolist() == [1, 2, 2, 0, 1]
    assert graph.edge_index.tolist() == [[0, 1, 1, 2, 2, 4], [2, 2, 4, 0, 1, 1]]
    assert graph.item_node(torch.tensor([0, 2])).tolist() == [2, 4]
    start, length = graph.user_range(torch.tensor([1, 0]))
    assert (start.tolist(), length.tolist()) == ([1, 0], [2, 1])
    users, items = graph.split(torch.arange(5))
    assert (users.tolist(), items.tolist()) == ([0, 1], [2, 3, 4])


def test_from_interactions_is_from_edges() -> None:
    rows = Interactions(np.array([2, 0, 2]), np.array([1, 1, 0]), 3, 2)
    graph = BipartiteGraph.from_interactions(rows)
    other = BipartiteGraph.from_edges(torch.tensor([0, 2, 2]), torch.tensor([1, 0, 1]), 3, 2)
    assert torch.equal(graph.edge_index, other.edge_index)
    assert torch.equal(graph.weight, torch.ones(3))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(4))
def test_propagate_is_the_dense_product(norm: str, seed: int) -> None:
    graph, x = random_graph(seed), random_x(seed)
    expected = dense_operator(graph, norm) @ x.detach().double()
    torch.testing.assert_close(graph.propagate(x, norm).double(), expected, rtol=1e-6, atol=1e-6)
    assert not graph.propagate(x, norm)[[5, 6, NUM_USERS + 7, NUM_USERS + 8]].any()  # no edges, no neighbours


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "coefficients", [(2.0,), (0.0, 1.0), (1.0, 0.5), (0.25,) * 4, (0.5, 0.0, -2.0), (0.0, 0.0, 0.0, 3.0)]
)
def test_polynomial_is_the_sum_of_powers(norm: str, coefficients: tuple[float, ...]) -> None:
    graph, x = random_graph(1), random_x(1)
    operator, power = dense_operator(graph, norm), x.detach().double()
    expected = torch.zeros_like(power)
    for coefficient in coefficients:
        expected += coefficient * power
        power = operator @ power
    result = graph.polynomial(x, coefficients, norm).double()
    torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("coefficients", [(0.0, 1.0), (0.5, 0.25, 0.125)])
def test_the_gradient_is_that_of_the_dense_product(norm: str, coefficients: tuple[float, ...]) -> None:
    graph, x = random_graph(2), random_x(2)
    upstream = torch.randn(NUM_USERS + NUM_ITEMS, DIM, generator=torch.Generator().manual_seed(3))
    (gradient,) = torch.autograd.grad(graph.polynomial(x, coefficients, norm), x, upstream)
    dense = x.detach().double().requires_grad_()
    operator = dense_operator(graph, norm)
    output = sum(c * torch.linalg.matrix_power(operator, k) @ dense for k, c in enumerate(coefficients))
    (expected,) = torch.autograd.grad(output, dense, upstream.double())  # type: ignore[arg-type]
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_gradcheck_in_float64(norm: str) -> None:
    graph = random_graph(3)
    x = random_x(3).detach().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: graph.polynomial(x, (0.5, 1.0, -0.5), norm), (x,))


def test_the_input_is_left_as_it_was() -> None:
    graph, x = random_graph(), random_x().detach()
    before = x.clone()
    graph.polynomial(x, (0.5, 2.0, 3.0))
    graph.polynomial(x, (2.0,))
    assert torch.equal(x, before)


@pytest.mark.parametrize("norm", NORMS)
def test_a_gradient_may_come_in_any_layout(norm: str) -> None:
    graph, x = random_graph(), random_x()
    upstream = torch.randn(DIM, NUM_USERS + NUM_ITEMS).T  # not contiguous, as from a transposed product
    (one,) = torch.autograd.grad(graph.propagate(x, norm), x, upstream)
    (two,) = torch.autograd.grad(graph.propagate(x, norm), x, upstream.contiguous())
    assert torch.equal(one, two)


@given(st.permutations(range(18)))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_edges_does_not_matter(order: list[int]) -> None:
    user, item, weight = random_edges(4)
    graph = BipartiteGraph.from_edges(user, item, NUM_USERS, NUM_ITEMS, weight)
    other = BipartiteGraph.from_edges(user[order], item[order], NUM_USERS, NUM_ITEMS, weight[order])
    assert torch.equal(graph.edge_index, other.edge_index)
    assert torch.equal(graph.weight, other.weight)
    x = random_x()
    assert torch.equal(graph.propagate(x), other.propagate(x))


@pytest.mark.parametrize("norm", NORMS)
def test_a_compact_graph_has_the_same_products_and_fewer_edges(norm: str) -> None:
    graph, x = random_graph(), random_x().detach()
    compact = graph.compact()
    assert compact.num_edges == int((graph.weight > 0).sum()) < graph.num_edges
    assert bool((compact.weight > 0).all())
    torch.testing.assert_close(compact.degree, graph.degree)
    torch.testing.assert_close(compact.propagate(x, norm), graph.propagate(x, norm))
    torch.testing.assert_close(dense_operator(compact, norm), dense_operator(graph, norm))
    users, length = torch.arange(graph.num_users), compact.user_range(torch.arange(graph.num_users))[1]
    assert torch.equal(torch.repeat_interleave(users, length), compact.structure.user.long())


def test_reweight_shares_the_structure_and_renormalises() -> None:
    graph, x = random_graph(5, zeros=False), random_x()
    graph.propagate(x)  # fills the operators that the new graph must not take over
    weight = graph.weight * (torch.arange(graph.num_edges) % 3 > 0)
    other = graph.reweight(weight)
    assert other.structure is graph.structure
    built = BipartiteGraph.from_edges(
        graph.structure.user, graph.structure.item, NUM_USERS, NUM_ITEMS, weight
    )
    for norm in NORMS:
        assert torch.equal(other.propagate(x, norm), built.propagate(x, norm))
        expected = dense_operator(other, norm) @ x.detach().double()
        torch.testing.assert_close(other.propagate(x, norm).double(), expected, rtol=1e-6, atol=1e-6)
    assert not torch.equal(other.propagate(x), graph.propagate(x))


def test_an_edge_of_weight_zero_counts_as_absent() -> None:
    user, item, weight = random_edges(6)
    there = weight > 0
    graph = BipartiteGraph.from_edges(user, item, NUM_USERS, NUM_ITEMS, weight)
    without = BipartiteGraph.from_edges(user[there], item[there], NUM_USERS, NUM_ITEMS, weight[there])
    x = random_x()
    torch.testing.assert_close(graph.degree, without.degree)
    for norm in NORMS:
        torch.testing.assert_close(graph.propagate(x, norm), without.propagate(x, norm))
    assert graph.to_networkx().number_of_edges() == without.num_edges


def test_a_graph_without_edges_propagates_zeros() -> None:
    empty = torch.zeros(0, dtype=torch.long)
    graph = BipartiteGraph.from_edges(empty, empty, NUM_USERS, NUM_ITEMS)
    x = random_x()
    for norm in NORMS:
        assert not graph.propagate(x, norm).any()
    assert torch.equal(graph.polynomial(x, (0.5, 1.0)), 0.5 * x)


def test_operators_are_made_once() -> None:
    graph = random_graph()
    assert graph.operator("mean") is graph.operator("mean")
    assert graph.to("cpu") is graph


def test_the_same_bits_with_any_number_of_threads() -> None:
    generator = torch.Generator().manual_seed(0)
    keys = torch.randperm(300 * 200, generator=generator)[:6000]
    x = torch.randn(500, 64, generator=generator)
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2, 2):
            torch.set_num_threads(number)
            graph = BipartiteGraph.from_edges(keys // 200, keys % 200, 300, 200)
            results.append(graph.polynomial(x, (0.25,) * 4))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[1], results[2])


def test_to_networkx_keeps_nodes_without_edges() -> None:
    graph = random_graph(zeros=False)
    nx_graph = graph.to_networkx()
    assert nx_graph.number_of_nodes() == NUM_USERS + NUM_ITEMS
    user, item = int(graph.structure.user[0]), int(graph.structure.item[0])
    assert nx_graph["user", user]["item", item]["weight"] == pytest.approx(float(graph.weight[0]))


@pytest.mark.parametrize(
    ("user", "item", "weight", "told"),
    [
        ([0, NUM_USERS], [0, 0], None, r"'user' must lie in \[0, 7\) \(got 0..7\)"),
        ([0, 0], [-1, 0], None, r"'item' must lie in \[0, 9\) \(got -1..0\)"),
        ([0, 1], [0], None, r"must have one shape \[num_edges\] \(got \(2,\), \(1,\)\)"),
        ([[0]], [[0]], None, "must have one shape"),
        ([0, 1], [0, 0], [1.0], r"'weight' must have shape \(2,\) \(got \(1,\)\)"),
        ([0, 1], [0, 0], [1.0, -0.5], r"'weight' must not be negative or NaN \(got -0.5\)"),
        ([0, 1], [0, 0], [1.0, float("nan")], r"'weight' must not be negative or NaN \(got nan\)"),
        ([0, 1, 0], [0, 0, 0], None, r"edges must be unique \(got user 0, item 0 more than once\)"),
    ],
)
def test_wrong_edges_are_told(user: list, item: list, weight: list | None, told: str) -> None:
    values = None if weight is None else torch.tensor(weight)
    with pytest.raises(ConfigError, match=told):
        BipartiteGraph.from_edges(torch.tensor(user), torch.tensor(item), NUM_USERS, NUM_ITEMS, values)


def test_wrong_arguments_of_propagate_are_told() -> None:
    graph, x = random_graph(), random_x()
    with pytest.raises(ConfigError, match="did you mean 'symmetric'"):
        graph.propagate(x, "symetric")
    with pytest.raises(ConfigError, match=r"must have shape \[16, dim\] \(got \(15, 4\)\)"):
        graph.propagate(x[1:])
    with pytest.raises(ConfigError, match=r"must have shape \[16, dim\] \(got \(16,\)\)"):
        graph.propagate(x[:, 0])
    with pytest.raises(ConfigError, match="'coefficients' must not be empty"):
        graph.polynomial(x, ())
    with pytest.raises(ConfigError, match="'weight' must have shape"):
        graph.reweight(torch.ones(3))
