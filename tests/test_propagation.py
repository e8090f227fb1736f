"""Rows of layer sums against all rows: same values, same gradients, in every way of asking."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnnrec import propagation
from gnnrec.graph import BipartiteGraph
from gnnrec.propagation import LayerSum, rows

NUM_USERS, NUM_ITEMS, DIM = 30, 40, 5
WEIGHTS = (0.4, 0.3, 0.2, 0.1)


def make_graph(seed: int = 0, zeros: bool = False) -> BipartiteGraph:
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randperm((NUM_USERS - 2) * (NUM_ITEMS - 3), generator=generator)[:160]
    weight = torch.rand(160, generator=generator) + 0.1
    if zeros:
        weight[::3] = 0
    user, item = keys // (NUM_ITEMS - 3), keys % (NUM_ITEMS - 3)
    return BipartiteGraph.from_edges(user, item, NUM_USERS, NUM_ITEMS, weight)


def make_x(dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(NUM_USERS + NUM_ITEMS, DIM, generator=generator).to(dtype).requires_grad_()


@pytest.fixture(autouse=True)
def always_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the path of few rows however many there are."""
    monkeypatch.setattr(propagation, "FEW", 2.0)


def layer_sum(x: Tensor, kind: str = "plain") -> LayerSum:
    graphs = (make_graph(),) * 3
    first = None
    perturb = None
    if kind == "layer graphs":
        graphs = tuple(make_graph(seed, zeros=True) for seed in range(3))
    if kind == "first":
        first = torch.where(graphs[0].degree == 0, 1.0, 0.4).to(x.dtype)
    if kind == "perturb":
        offset = torch.linspace(-1, 1, DIM, dtype=x.dtype)

        def perturb(state: Tensor, layer: int) -> Tensor:
            return state + layer * offset

    return LayerSum(x, graphs, WEIGHTS, first, perturb, keep_layers=True)


def dense(x: Tensor, kind: str) -> list[Tensor]:
    """The final states and all layers from dense matrices."""
    plan, layers = layer_sum(x, kind), [x]
    for number, graph in enumerate(plan.graphs, start=1):
        matrix = torch.zeros(len(x), len(x), dtype=torch.float64)
        user, item = graph.structure.user.long(), graph.structure.item.long() + NUM_USERS
        matrix[user, item] = matrix[item, user] = graph.weight.double()
        root = torch.where(matrix.sum(1) > 0, matrix.sum(1) ** -0.5, 0.0)
        state = root.unsqueeze(1) * matrix * root @ layers[-1]
        layers.append(state if plan.perturb is None else plan.perturb(state, number))
    final = plan.start(layers[0])
    for weight, state in zip(WEIGHTS[1:], layers[1:]):
        final = final + weight * state
    return [final, *layers]


KINDS = ("plain", "layer graphs", "first", "perturb")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_gradients_are_those_of_dense_matrices(kind: str) -> None:
    nodes = torch.tensor([0, 3, 7, 29, 30, 31, 50, 69])
    x, oracle = make_x(), make_x(torch.float64)
    found = [layer_sum(x, kind).at(nodes)[0], *layer_sum(x, kind).at(nodes)[1]]
    expected = [state[nodes] for state in dense(oracle, kind)]
    assert len(found) == len(expected) == 5
    generator = torch.Generator().manual_seed(2)
    upstream = [torch.randn(len(nodes), DIM, generator=generator) for _ in found]
    for one, two in zip(found, expected):
        torch.testing.assert_close(one.double(), two, rtol=1e-6, atol=1e-6)
    (gradient,) = torch.autograd.grad(found, x, upstream)
    (wanted,) = torch.autograd.grad(expected, oracle, [part.double() for part in upstream])
    torch.testing.assert_close(gradient.double(), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("used", range(5))
def test_the_gradient_of_each_result_alone(kind: str, used: int) -> None:
    nodes = torch.tensor([2, 28, 33, 68])
    x, oracle = make_x(), make_x(torch.float64)
    final, layers = layer_sum(x, kind).at(nodes)
    ([final, *layers][used] ** 2).sum().backward()
    (dense(oracle, kind)[used][nodes] ** 2).sum().backward()
    assert x.grad is not None
    assert oracle.grad is not None
    torch.testing.assert_close(x.grad.double(), oracle.grad, rtol=1e-5, atol=1e-5)


@given(st.sets(st.integers(0, NUM_USERS + NUM_ITEMS - 1), min_size=1), st.sampled_from(KINDS))
@settings(max_examples=40, deadline=None)
def test_any_rows_are_those_of_all(chosen: set[int], kind: str) -> None:
    nodes = torch.tensor(sorted(chosen))
    one, two = make_x(), make_x()
    found, layers = layer_sum(one, kind).at(nodes)
    whole = layer_sum(two, kind)
    torch.testing.assert_close(found, rows(whole.final, nodes))
    for few, every in zip(layers, whole.layers):
        torch.testing.assert_close(few, rows(every, nodes))
    (found.sin().sum() + layers[1].sum()).backward()
    (rows(whole.final, nodes).sin().sum() + rows(whole.layers[1], nodes).sum()).backward()
    torch.testing.assert_close(one.grad, two.grad)


def test_a_perturbed_view_shares_the_backward_pass_of_the_main_one() -> None:
    nodes = torch.tensor([1, 9, 30, 66])
    one, two = make_x(), make_x()
    main, view = layer_sum(one), layer_sum(one, "perturb")
    view.graphs = main.graphs
    main_rows, _ = main.at(nodes)
    shared = view.at_beside(main, main_rows, nodes)
    assert view.product is main.product is not None
    apart, (alone, _) = layer_sum(two, "perturb"), layer_sum(two).at(nodes)
    own, _ = apart.at(nodes)
    torch.testing.assert_close(shared, own)
    (shared.sin().sum() + main_rows.square().sum()).backward()
    (own.sin().sum() + alone.square().sum()).backward()
    torch.testing.assert_close(one.grad, two.grad)


def test_views_that_differ_in_more_are_told_apart() -> None:
    x = make_x()
    main = layer_sum(x)
    assert layer_sum(x).graphs is not main.graphs
    assert not layer_sum(make_x()).is_beside(main)
    assert not layer_sum(x).is_beside(main)  # equal graphs, but others
    same = LayerSum(x, main.graphs, WEIGHTS)
    assert same.is_beside(main)
    assert not LayerSum(x, main.graphs, (0.1, 0.2, 0.3, 0.4)).is_beside(main)
    assert not same.is_beside(object())
    with pytest.raises(ValueError, match="differ in 'perturb' alone"):
        layer_sum(x).at_beside(main, x, torch.tensor([0]))


def test_gradcheck_in_float64() -> None:
    nodes = torch.tensor([0, 5, 35, 60])

    def final_and_layers(x: Tensor) -> tuple[Tensor, ...]:
        final, layers = layer_sum(x, "first").at(nodes)
        return (final, *layers)

    assert torch.autograd.gradcheck(final_and_layers, (make_x(torch.float64),))


def test_many_rows_are_taken_from_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagation, "FEW", 0.0)
    plan = layer_sum(make_x())
    found, _ = plan.at(torch.arange(NUM_USERS + NUM_ITEMS))
    assert "final" in vars(plan)
    torch.testing.assert_close(found, plan.final)


def test_no_layer_is_the_input() -> None:
    x = make_x()
    final, (start,) = LayerSum(x, (), (1.0,)).at(torch.tensor([3, 40]))
    assert torch.equal(final, x[[3, 40]])
    assert torch.equal(start, final)


def test_layers_are_there_only_where_kept() -> None:
    x, nodes = make_x(), torch.tensor([0, 40])
    plan = LayerSum(x, (make_graph(),) * 2, (0.5, 0.3, 0.2))
    assert plan.layers == []
    assert len(plan.at(nodes)[1]) == 1


def test_bfloat16_is_near_and_keeps_the_type_of_x() -> None:
    nodes = torch.arange(0, NUM_USERS + NUM_ITEMS, 3)
    results = []
    for precision in ("float32", "bfloat16"):
        x = make_x()
        graphs = (make_graph().with_precision(precision),) * 3
        final, layers = LayerSum(x, graphs, WEIGHTS, keep_layers=True).at(nodes)
        whole = LayerSum(x, graphs, WEIGHTS).final
        torch.testing.assert_close(final, rows(whole, nodes), rtol=0.02, atol=0.02)
        final.square().sum().backward()
        assert x.grad is not None
        assert {t.dtype for t in (final, whole, x.grad, *layers)} == {torch.float32}
        results.append((final.detach(), x.grad))
    for one, two in zip(*results):
        assert not torch.equal(one, two)
        assert (one - two).norm() < 0.01 * one.norm()


def test_the_same_bits_with_any_number_of_threads() -> None:
    generator = torch.Generator().manual_seed(0)
    keys = torch.randperm(600 * 500, generator=generator)[:9000]
    nodes = torch.randperm(1100, generator=generator)[:200].sort().values
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            graph = BipartiteGraph.from_edges(keys // 500, keys % 500, 600, 500)
            x = torch.linspace(-1, 1, 1100 * 64).view(1100, 64).requires_grad_()
            final, _ = LayerSum(x, (graph,) * 3, WEIGHTS).at(nodes)
            final.square().sum().backward()
            results.append((final.detach(), x.grad))
    finally:
        torch.set_num_threads(threads)
    for final, grad in results[1:]:
        assert torch.equal(final, results[0][0])
        assert torch.equal(grad, results[0][1])
