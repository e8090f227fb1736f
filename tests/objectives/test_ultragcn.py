"""UltraGCN's terms against loops over the dense matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph
from gnnrec.objectives import Constraint, ItemItem, Negatives
from gnnrec.objectives import ultragcn as module
from gnnrec.objectives.ultragcn import item_neighbours
from tests.test_objectives import NUM_ITEMS, interacted, make_graph, make_step


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def test_constraint_pair_by_pair() -> None:
    step = make_step()
    table = interacted(step.train)
    users, items = (part.detach() for part in step.train.split(step.states.final))
    w1, w2, w3, w4, times = 0.1, 0.7, 0.2, 0.4, 5.0

    def beta(u: int, i: int) -> float:
        d_u, d_i = int(table[u].sum()), int(table[:, i].sum())
        return math.sqrt(d_u + 1) / d_u / math.sqrt(d_i + 1)

    total = 0.0
    for u, i, negative in zip(step.user.tolist(), step.positive.tolist(), step.negative.tolist()):
        total -= (w1 + w2 * beta(u, i)) * log_sigmoid(float(users[u] @ items[i]))
        pushed = [(w3 + w4 * beta(u, j)) * log_sigmoid(-float(users[u] @ items[j])) for j in negative]
        total -= times * sum(pushed) / len(pushed)
    result = Constraint(w1, w2, w3, w4, times)(step)
    assert float(result.detach()) == pytest.approx(total / len(step.user), rel=1e-5)


def dense_neighbours(graph: BipartiteGraph, k: int) -> list[dict[int, float]]:
    table = interacted(graph).double().numpy()
    gram = table.T @ table
    g = gram.sum(axis=1)
    found = []
    for i in range(graph.num_items):
        pairs = {
            j: gram[i, j] / (g[i] - gram[i, i]) * math.sqrt(g[i] / g[j])
            for j in range(graph.num_items)
            if j != i and gram[i, j] > 0
        }
        found.append(dict(sorted(pairs.items(), key=lambda pair: -pair[1])[:k]))
    return found


@pytest.mark.parametrize("k", [3, 50])
def test_neighbours_of_the_dense_gram_matrix(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 4)  # several blocks
    graph = make_graph()
    neighbour, weight = item_neighbours(graph, k)
    assert neighbour.shape == weight.shape == (NUM_ITEMS, k)
    for i, expected in enumerate(dense_neighbours(graph, k)):
        got = [(j, w) for j, w in zip(neighbour[i].tolist(), weight[i].tolist()) if w > 0]
        np.testing.assert_allclose([w for _, w in got], list(expected.values()), rtol=1e-5)
        if k > NUM_ITEMS:  # equal weights at the cut may be taken either way
            np.testing.assert_allclose([expected[j] for j, _ in got], [w for _, w in got], rtol=1e-5)
    assert not weight[-1].any()  # an item without train pairs


def test_item_item_pair_by_pair() -> None:
    step = make_step()
    neighbours = dense_neighbours(step.train, 50)
    users, items = (part.detach() for part in step.train.split(step.states.final))
    total = 0.0
    for u, i in zip(step.user.tolist(), step.positive.tolist()):
        total -= sum(w * log_sigmoid(float(users[u] @ items[j])) for j, w in neighbours[i].items())
    result = ItemItem(50)(step)
    assert float(result.detach()) == pytest.approx(total / len(step.user), rel=1e-5)


def test_neighbours_are_found_once_per_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(*arguments: Any) -> Any:
        calls.append(1)
        return item_neighbours(*arguments)

    monkeypatch.setattr(module, "item_neighbours", counted)
    term, step = ItemItem(3), make_step()
    term(step)
    term(step)
    assert len(calls) == 1
    term(make_step())
    assert len(calls) == 2


def test_an_item_that_only_its_own_user_knows_has_no_neighbours() -> None:
    graph = BipartiteGraph.from_edges(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]), 2, 3)
    neighbour, weight = item_neighbours(graph, 2)
    assert not weight[0].any()
    assert (neighbour[1, 0], neighbour[2, 0]) == (2, 1)
    assert torch.isfinite(weight).all()


def test_constraint_takes_negatives_of_its_own() -> None:
    assert torch.isfinite(Negatives(Constraint(), 20)(make_step()))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Constraint(w2=-1), "'w2' must be in"),
        (lambda: Constraint(negative_weight=-1), "'negative_weight' must be in"),
        (lambda: ItemItem(0), "'num_neighbours' must be in"),
    ],
)
def test_a_wrong_argument_is_told(make: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make()
