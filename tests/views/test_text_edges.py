"""Edges from text similarity against dense matrices."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec.encoders import LightGCN
from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph
from gnnrec.views import EdgeDropout, TextEdges, View, nearest_texts, text_edges

NUM_USERS, NUM_ITEMS, DIM, K = 14, 11, 6, 3


def make_view() -> View:
    """The last two items have no edges."""
    generator = torch.Generator().manual_seed(0)
    width = NUM_ITEMS - 2
    keys = torch.randperm(NUM_USERS * width, generator=generator)[:40]
    graph = BipartiteGraph.from_edges(keys // width, keys % width, NUM_USERS, NUM_ITEMS)
    x = torch.randn(NUM_USERS + NUM_ITEMS, DIM, generator=generator)
    return View(x, graph, item_text=torch.randn(NUM_ITEMS, 8, generator=generator) + 2)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dense(graph: BipartiteGraph) -> Tensor:
    matrix = torch.zeros(NUM_USERS, NUM_ITEMS)
    matrix[graph.structure.user.long(), graph.structure.item.long()] = graph.weight
    return matrix


def item_graph(view: View, k: int) -> Tensor:
    """S[j, i] = 1/k where i is among the k seen texts nearest to j, cosine above 0."""
    text, seen = view.item_text, view.graph.degree[NUM_USERS:] > 0
    assert text is not None
    unit = F.normalize(text - text[seen].mean(0), dim=1)
    cosine = unit @ unit.T
    matrix = torch.zeros(NUM_ITEMS, NUM_ITEMS)
    for j in range(NUM_ITEMS):
        others = [i for i in range(NUM_ITEMS) if i != j and seen[i] and cosine[j, i] > 0]
        for i in sorted(others, key=lambda i: -cosine[j, i])[:k]:
            matrix[j, i] = 1 / k
    return matrix


def test_items_without_text_have_no_neighbours_and_are_none() -> None:
    view = make_view()
    text = view.item_text
    assert text is not None
    text[[0, 4, NUM_ITEMS - 1]] = 0
    seen = view.graph.degree[NUM_USERS:] > 0
    near, cosine = nearest_texts(text, seen, NUM_ITEMS)
    assert not cosine[[0, 4, NUM_ITEMS - 1]].any()
    assert not torch.isin(near[cosine > 0], torch.tensor([0, 4, NUM_ITEMS - 1])).any()
    assert bool((cosine[1] > 0).any())


def test_storage_stays_that_of_the_graph() -> None:
    view = make_view()
    view = replace(view, graph=view.graph.with_precision("bfloat16"))
    assert TextEdges(K)(view, seeded()).graph.precision == "bfloat16"


@pytest.mark.parametrize("k", [1, 3, 50])
@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_new_edges_lead_to_items_of_similar_text(k: int, weight: float) -> None:
    view = make_view()
    old = dense(view.graph)
    expected = old + weight * (old @ item_graph(view, k).T) * (old == 0)
    found = TextEdges(k, weight)(view, seeded()).graph
    torch.testing.assert_close(dense(found), expected)
    assert int((found.weight > 0).sum()) == int((expected > 0).sum()) > view.graph.num_edges
    assert bool((expected[:, -2:] > 0).any(dim=0).all()) or k == 1  # items without edges have some now


def test_edges_that_were_dropped_stay_dropped_and_weights_stay() -> None:
    view = make_view()
    thinned = EdgeDropout(0.5)(View(view.x, view.graph.reweight(2 * view.graph.weight)), seeded()).graph
    both = TextEdges(K)(View(view.x, thinned, item_text=view.item_text), seeded()).graph
    old = dense(view.graph) > 0
    torch.testing.assert_close(dense(both)[old], dense(thinned)[old])
    assert bool((dense(both)[~old] > 0).any())


def test_p_draws_among_the_new_edges_only() -> None:
    view, generator = make_view(), seeded()
    old, every = dense(view.graph) > 0, dense(TextEdges(K)(view, seeded()).graph) > 0
    drawn = torch.stack([dense(TextEdges(K, p=0.3)(view, generator).graph) > 0 for _ in range(200)])
    assert bool(drawn[:, old].all())
    assert not drawn[:, ~every].any()
    assert float(drawn[:, every & ~old].float().mean()) == pytest.approx(0.3, abs=0.02)


def test_the_candidates_are_made_once_and_the_view_stays() -> None:
    view = make_view()
    before = view.graph.weight.clone()
    one, two = (TextEdges(K)(view, seeded()).graph for _ in range(2))
    assert one.structure is two.structure
    assert torch.equal(view.graph.weight, before)
    assert torch.isfinite(LightGCN(DIM)(View(view.x, one)).final).all()


@pytest.mark.parametrize("block", [1, 40, 2**25])
def test_nearest_texts_are_those_of_all_cosines(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_edges, "BLOCK", block)
    view = make_view()
    assert view.item_text is not None
    near, cosine = nearest_texts(view.item_text, view.graph.degree[NUM_USERS:] > 0, K)
    found = torch.zeros(NUM_ITEMS, NUM_ITEMS).scatter_add_(1, near, (cosine > 0) / K)
    torch.testing.assert_close(found, item_graph(view, K))
    assert bool((cosine[:, :-1] >= cosine[:, 1:]).all())


def test_it_says_what_it_needs() -> None:
    view = make_view()
    with pytest.raises(ConfigError, match=r"'TextEdges' needs text vectors .* model.needs_text=true"):
        TextEdges()(View(view.x, view.graph), seeded())
    with pytest.raises(ConfigError, match="'k' must be in"):
        TextEdges(0)
    with pytest.raises(ConfigError, match="'p' must be in"):
        TextEdges(p=0.0)
