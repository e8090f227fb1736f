"""Augmentations: what they drop, that they can be repeated and combined, and that the view they get stays as it was."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph
from gnnrec.views import (
    Augmentation,
    DegreeEdgeDropout,
    EdgeDropout,
    FeatureMasking,
    ImportanceMasking,
    LayerNoise,
    NodeDropout,
    RandomWalk,
    View,
    augment,
)

NUM_USERS, NUM_ITEMS, DIM = 60, 40, 32
ALL = [
    EdgeDropout(0.3),
    NodeDropout(0.3),
    NodeDropout(0.3, "users"),
    NodeDropout(0.3, "items"),
    FeatureMasking(0.3),
    FeatureMasking(0.3, "rows"),
    FeatureMasking(0.3, "elements", rescale=True),
    LayerNoise(0.1),
    RandomWalk(0.3),
    DegreeEdgeDropout(0.3),
    DegreeEdgeDropout(0.3, drop="tail", ends="both"),
    ImportanceMasking(0.3),
]


def make_view(num_edges: int = 900) -> View:
    generator = torch.Generator().manual_seed(0)
    keys = torch.randperm(NUM_USERS * NUM_ITEMS, generator=generator)[:num_edges]
    graph = BipartiteGraph.from_edges(keys // NUM_ITEMS, keys % NUM_ITEMS, NUM_USERS, NUM_ITEMS)
    return View(torch.randn(NUM_USERS + NUM_ITEMS, DIM, generator=generator), graph)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parts(view: View) -> list[Tensor]:
    """Everything about a view that an encoder can see."""
    noise = [] if view.perturb is None else [view.perturb(torch.ones_like(view.x), 1)]
    return [view.x, view.graph.weight, view.graph.degree, view.graph.propagate(view.x), *noise]


def same(one: list[Tensor], two: list[Tensor]) -> bool:
    return len(one) == len(two) and all(torch.equal(a, b) for a, b in zip(one, two))


@pytest.mark.parametrize("augmentation", ALL, ids=str)
def test_one_seed_one_view(augmentation: Augmentation) -> None:
    view = make_view()
    one, two = (parts(augmentation(view, seeded(1))) for _ in range(2))
    assert same(one, two)
    assert not same(one, parts(augmentation(view, seeded(2))))
    generator = seeded(1)
    draws = [parts(augmentation(view, generator)) for _ in range(2)]
    assert not same(*draws)


@pytest.mark.parametrize("augmentation", ALL, ids=str)
def test_the_view_it_is_given_stays_as_it_was(augmentation: Augmentation) -> None:
    view = make_view()
    before = [part.clone() for part in parts(view)]
    augmentation(view, seeded())
    assert same(parts(view), before)
    assert view.perturb is None


@pytest.mark.parametrize(
    "augmentation",
    [
        EdgeDropout(0.0),
        NodeDropout(0.0),
        FeatureMasking(0.0),
        FeatureMasking(0.0, rescale=True),
        RandomWalk(0.0),
        DegreeEdgeDropout(0.0),
        DegreeEdgeDropout(0.0, drop="tail"),
        ImportanceMasking(0.0),
    ],
    ids=str,
)
def test_p_of_zero_changes_nothing(augmentation: Augmentation) -> None:
    view = make_view()
    assert same(parts(augmentation(view, seeded())), parts(view))


def test_noise_of_zero_changes_nothing() -> None:
    view = make_view()
    perturb = LayerNoise(0.0)(view, seeded()).perturb
    assert perturb is not None
    assert torch.equal(perturb(view.x, 1), view.x)


@pytest.mark.parametrize("augmentation", ALL, ids=str)
def test_the_graph_stays_symmetric_and_normalised(augmentation: Augmentation) -> None:
    graph = augmentation(make_view(), seeded()).graph
    eye = torch.eye(graph.num_nodes)
    operator = graph.propagate(eye)
    torch.testing.assert_close(operator, operator.T)
    there = graph.degree > 0
    # the largest eigenvalue of D^-1/2 A D^-1/2 is 1, with eigenvector D^1/2: only the right degrees give that
    root = graph.degree.sqrt().unsqueeze(1)
    torch.testing.assert_close(graph.propagate(root)[there], root[there])
    assert not operator[~there].any()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_edges_are_dropped_at_the_stated_rate(p: float) -> None:
    view, generator = make_view(), seeded()
    kept = torch.stack([EdgeDropout(p)(view, generator).graph.weight for _ in range(100)])
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert float(kept.mean()) == pytest.approx(1 - p, abs=5 * (p * (1 - p) / kept.numel()) ** 0.5)
    # each edge by itself: no edge is favoured, and the number kept varies as that of independent draws
    assert bool(((kept.mean(0) - (1 - p)).abs() < 6 * (p * (1 - p) / 100) ** 0.5).all())
    spread = float(kept.sum(1).std()) / (900 * p * (1 - p)) ** 0.5
    assert 0.7 < spread < 1.4


def test_dropout_keeps_the_weights_of_what_it_keeps() -> None:
    view = make_view()
    weight = torch.rand(view.graph.num_edges, generator=seeded()) + 0.5
    graph = EdgeDropout(0.5)(View(view.x, view.graph.reweight(weight)), seeded()).graph
    kept = graph.weight > 0
    assert 0.4 < float(kept.float().mean()) < 0.6
    assert torch.equal(graph.weight[kept], weight[kept])


@pytest.mark.parametrize(("side", "touched"), [("users", (True, False)), ("items", (False, True))])
def test_node_dropout_isolates_nodes_of_its_side(side: str, touched: tuple[bool, bool]) -> None:
    view, generator = make_view(), seeded()
    rates = []
    for _ in range(40):
        graph = NodeDropout(0.3, side)(view, generator).graph
        for hit, degree, whole in zip(
            touched, graph.split(graph.degree), view.graph.split(view.graph.degree)
        ):
            isolated = degree == 0
            if hit:  # a node keeps all of its edges or none
                assert torch.equal(degree[~isolated], whole[~isolated])
                rates.append(isolated.float().mean())
            else:
                assert not isolated.all()
    assert float(torch.stack(rates).mean()) == pytest.approx(0.3, abs=0.06)


def test_node_dropout_of_both_sides_drops_an_edge_with_either_end() -> None:
    view, generator = make_view(), seeded()
    kept = torch.stack([NodeDropout(0.3)(view, generator).graph.weight for _ in range(200)])
    assert float(kept.mean()) == pytest.approx(0.7**2, abs=0.03)
    assert torch.equal(NodeDropout(0.3)(view, seeded()).x, view.x)


def test_random_walk_draws_a_graph_per_layer() -> None:
    view = RandomWalk(0.3, num_layers=3)(make_view(), seeded())
    weights = [view.graph_at(layer).weight for layer in (1, 2, 3)]
    assert view.graph is view.graph_at(3)
    for one, two in ((0, 1), (1, 2), (0, 2)):
        assert not torch.equal(weights[one], weights[two])
    assert float(torch.stack(weights).mean()) == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize("later", [EdgeDropout(0.5), NodeDropout(0.5), DegreeEdgeDropout(0.5)], ids=str)
def test_edges_dropped_after_a_random_walk_go_from_every_layer(later: Augmentation) -> None:
    walked = RandomWalk(0.3, num_layers=3)(make_view(), seeded())
    view = later(walked, seeded(1))
    weights = torch.stack([view.graph_at(layer).weight for layer in (1, 2, 3)])
    before = torch.stack([walked.graph_at(layer).weight for layer in (1, 2, 3)])
    dropped = (before > 0) & (weights == 0)
    assert bool((weights <= before).all())
    assert not torch.equal(weights[0], weights[1])
    assert bool((dropped.any(0) == (dropped | (before == 0)).all(0) & (before > 0).any(0)).all())
    assert view.graph is view.graph_at(3)


def test_a_random_walk_keeps_what_was_dropped_before() -> None:
    first = RandomWalk(0.3, num_layers=2)(make_view(), seeded())
    again = RandomWalk(0.0, num_layers=2)(first, seeded(1))
    assert all(torch.equal(again.graph_at(k).weight, first.graph_at(k).weight) for k in (1, 2))


def test_degree_aware_dropout_spares_the_edges_of_rare_items() -> None:
    keys = [(u, i) for i in range(NUM_ITEMS) for u in range(1 + i)]  # item i has i + 1 edges
    user, item = torch.tensor(keys).T
    view = View(torch.zeros(100, DIM), BipartiteGraph.from_edges(user, item, NUM_USERS, NUM_ITEMS))
    generator = seeded()
    drawn = [DegreeEdgeDropout(0.3, p_max=0.32)(view, generator).graph.weight for _ in range(300)]
    dropped = 1 - torch.stack(drawn).mean(0)
    degree = view.graph.split(view.graph.degree)[1][view.graph.structure.item]
    weight = degree.log()
    expected = (0.3 * weight / weight.mean()).clamp(max=0.32)  # the rarest item has weight log 1 = 0
    torch.testing.assert_close(dropped, expected, atol=0.15, rtol=0)
    assert not dropped[degree == 1].any()
    popular = expected == expected.max()
    assert popular.sum() > 100
    assert float(dropped[popular].mean()) == pytest.approx(0.32, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(float(expected.mean()), abs=0.01)


def gca_probability(scores: list[float], p: float, p_max: float) -> list[float]:
    """Equations 5 and 7 of GCA, with s = log w: min((s_max - s) / (s_max - mean s) p, p_max)."""
    mean = sum(scores) / len(scores)
    return [min((max(scores) - s) / (max(scores) - mean) * p, p_max) for s in scores]


def test_dropping_the_tail_is_gcas_equation() -> None:
    graph = make_view(700).graph
    user, item = graph.structure.user.tolist(), graph.structure.item.tolist()
    degree = {(side, n): ends.count(n) for side, ends in (("u", user), ("i", item)) for n in set(ends)}
    both = [math.log((degree["u", u] + degree["i", i]) / 2) for u, i in zip(user, item)]
    found = DegreeEdgeDropout(0.3, 0.6, "tail", "both").probability(graph)
    torch.testing.assert_close(found, torch.tensor(gca_probability(both, 0.3, 0.6)))
    one = [math.log(degree["i", i]) for i in item]
    found = DegreeEdgeDropout(0.3, 0.6, "tail", "item").probability(graph)
    torch.testing.assert_close(found, torch.tensor(gca_probability(one, 0.3, 0.6)))
    # dropping the head is the same with the sign of the score changed
    found = DegreeEdgeDropout(0.3, 0.6, "head", "item").probability(graph)
    torch.testing.assert_close(found, torch.tensor(gca_probability([-s for s in one], 0.3, 0.6)))


def test_equal_degrees_are_dropped_at_rate_p() -> None:
    user, item = torch.arange(20), torch.arange(20)
    graph = BipartiteGraph.from_edges(user, item, 20, 20)
    for drop in ("head", "tail"):
        assert torch.equal(DegreeEdgeDropout(0.3, drop=drop).probability(graph), torch.full((20,), 0.3))


def test_importance_masking_is_gcas_equation() -> None:
    view = make_view(700)
    x = view.x * torch.linspace(0.1, 3, DIM)
    scores = [
        math.log(sum(abs(v) * d for v, d in zip(column, view.graph.degree.tolist())))
        for column in x.T.tolist()
    ]
    masking = ImportanceMasking(0.4, 0.6)
    expected = torch.tensor(gca_probability(scores, 0.4, 0.6))
    torch.testing.assert_close(masking.probability(View(x, view.graph)), expected, rtol=1e-4, atol=1e-5)
    generator = seeded()
    zero = torch.stack([masking(View(x, view.graph), generator).x == 0 for _ in range(500)])
    assert bool((zero.all(1) == zero.any(1)).all())  # whole columns
    torch.testing.assert_close(zero[:, 0].float().mean(0), expected, atol=0.1, rtol=0)


def test_importance_masking_lets_no_gradient_through_the_importance() -> None:
    view = make_view()
    x = view.x.clone().requires_grad_()
    masked = ImportanceMasking(0.4)(View(x, view.graph), seeded()).x
    (gradient,) = torch.autograd.grad(masked.sum(), x)
    assert torch.equal(gradient, (masked != 0).float())


def test_feature_masking_masks_what_its_mode_says() -> None:
    view = make_view()
    rates = {}
    for mode in ("columns", "rows", "elements"):
        zero = torch.stack([FeatureMasking(0.3, mode)(view, seeded(s)).x == 0 for s in range(40)])
        rates[mode] = float(zero.float().mean())
        if mode == "columns":
            assert bool((zero.all(1) | ~zero.any(1)).all())
        if mode == "rows":
            assert bool((zero.all(2) | ~zero.any(2)).all())
        if mode == "elements":
            assert not zero.all(1).any()
    assert rates == pytest.approx({"columns": 0.3, "rows": 0.3, "elements": 0.3}, abs=0.06)


def test_rescaling_keeps_the_mean() -> None:
    view = View(torch.ones(100, DIM), make_view().graph)
    plain, rescaled = (FeatureMasking(0.5, "elements", r)(view, seeded()).x for r in (False, True))
    assert torch.equal(rescaled, 2 * plain)
    assert float(rescaled.mean()) == pytest.approx(1, abs=0.1)


def test_masking_lets_the_gradient_through_what_it_keeps() -> None:
    view = make_view()
    x = view.x.clone().requires_grad_()
    masked = FeatureMasking(0.5, "elements")(View(x, view.graph), seeded()).x
    (gradient,) = torch.autograd.grad(masked.sum(), x)
    assert torch.equal(gradient, (masked != 0).float())


def test_layer_noise_has_its_length_and_the_signs_of_the_state() -> None:
    view = make_view()
    state = torch.randn(50, DIM, generator=seeded(3))
    state[0] = 0
    perturb = LayerNoise(0.2)(view, seeded()).perturb
    assert perturb is not None
    noise = perturb(state, 1) - state
    torch.testing.assert_close(noise[1:].norm(dim=1), torch.full((49,), 0.2), rtol=1e-4, atol=1e-5)
    assert bool((noise[1:] * state[1:] >= 0).all())
    assert not noise[0].any()  # the sign of zero is zero: a node without a state gets no noise
    assert not torch.equal(perturb(state, 2), perturb(state, 2))  # every layer draws anew


def test_augmentations_combine_in_order() -> None:
    view = make_view()
    chain = [EdgeDropout(0.3), FeatureMasking(0.3), NodeDropout(0.3, "items"), LayerNoise(0.1)]
    generator = seeded()
    step = view
    for augmentation in chain:
        step = augmentation(step, generator)
    assert same(parts(augment(view, chain, seeded())), parts(step))
    assert augment(view, [], seeded()) is view
    # what one dropped, the next does not bring back
    first = EdgeDropout(0.5)(view, seeded(1)).graph.weight
    both = augment(view, [EdgeDropout(0.5), EdgeDropout(0.5)], seeded(1)).graph.weight
    assert not both[first == 0].any()
    assert float(both.mean()) == pytest.approx(0.25, abs=0.08)


def test_graph_at_takes_the_graph_of_the_layer() -> None:
    view = make_view()
    graphs = tuple(view.graph.reweight(torch.full((900,), w)) for w in (2.0, 3.0))
    layered = View(view.x, view.graph, layer_graphs=graphs)
    assert [layered.graph_at(layer) for layer in (1, 2, 3)] == [graphs[0], graphs[1], graphs[1]]
    assert view.graph_at(2) is view.graph


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: EdgeDropout(1.0), r"'p' must be in \[0, 1\) in 'EdgeDropout' \(got 1.0\)"),
        (lambda: NodeDropout(-0.1), r"'p' must be in \[0, 1\) in 'NodeDropout' \(got -0.1\)"),
        (lambda: NodeDropout(0.1, "user"), "did you mean 'users'"),
        (lambda: FeatureMasking(0.1, "column"), "did you mean 'columns'"),
        (lambda: FeatureMasking(float("nan")), "'p' must be in"),
        (lambda: RandomWalk(0.1, num_layers=0), "'num_layers' must be in"),
        (lambda: DegreeEdgeDropout(0.1, p_max=1.0), "'p_max' must be in"),
        (lambda: DegreeEdgeDropout(0.1, drop="heads"), "did you mean 'head'"),
        (lambda: DegreeEdgeDropout(0.1, ends="items"), "did you mean 'item'"),
        (lambda: ImportanceMasking(1.0), "'p' must be in"),
        (lambda: LayerNoise(-1), "'magnitude' must be in"),
    ],
)
def test_a_wrong_argument_is_told(make: Callable[[], object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make()
