"""The item-item graph of text neighbours against dense cosines, beside any encoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from gnnrec.encoders import NGCF, GraphSAGE, LightGCN, TextGraph
from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph
from gnnrec.views import TextEdges, View

NUM_USERS, NUM_ITEMS, DIM, K = 12, 9, 6, 3


def make_view() -> View:
    """The last item has no edges."""
    generator = torch.Generator().manual_seed(0)
    keys = torch.randperm(NUM_USERS * (NUM_ITEMS - 1), generator=generator)[:44]
    graph = BipartiteGraph.from_edges(keys // (NUM_ITEMS - 1), keys % (NUM_ITEMS - 1), NUM_USERS, NUM_ITEMS)
    x = torch.randn(NUM_USERS + NUM_ITEMS, DIM, generator=generator, requires_grad=True)
    return View(x, graph, item_text=torch.randn(NUM_ITEMS, 10, generator=generator) + 3)


def dense_neighbours(view: View) -> torch.Tensor:
    text, seen = view.item_text, view.graph.degree[NUM_USERS:] > 0
    assert text is not None
    unit = F.normalize(text - text[seen].mean(0), dim=1)
    cosine = unit @ unit.T
    matrix = torch.zeros(NUM_ITEMS, NUM_ITEMS)
    for item in range(NUM_ITEMS):
        others = [o for o in range(NUM_ITEMS) if o != item and seen[o] and cosine[item, o] > 0]
        for other in sorted(others, key=lambda o: -cosine[item, o])[:K]:
            matrix[item, other] = 1 / K
    return matrix


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("inner", [LightGCN(DIM, 2), GraphSAGE(DIM, 1)], ids=["lightgcn", "graphsage"])
def test_it_adds_what_neighbours_in_text_say(inner: torch.nn.Module, num_layers: int) -> None:
    view = make_view()
    expected = inner(view).final.clone()
    matrix = torch.linalg.matrix_power(dense_neighbours(view), num_layers)
    expected[NUM_USERS:] += 0.5 * matrix @ view.x[NUM_USERS:]
    states = TextGraph(DIM, inner, K, num_layers, weight=0.5)(view, keep_layers=True)
    torch.testing.assert_close(states.final, expected)
    assert len(states.layers) > 1
    (gradient,) = torch.autograd.grad(states.final[-1].sum(), view.x)
    assert (
        int(gradient[NUM_USERS:-1].any(dim=1).sum()) >= 1
    )  # an item without edges learns from its neighbours


def test_neighbours_are_seen_in_train_whatever_edges_a_view_adds_or_drops() -> None:
    view = make_view()
    expected = dense_neighbours(view) @ view.x[NUM_USERS:]
    train = view.graph.structure
    added = TextEdges(K)(replace(view, train=train), torch.Generator())
    assert bool(added.graph.degree[-1] > 0)  # the last item now has edges, and is nobody's neighbour still
    kept = replace(view, graph=view.graph.reweight((train.item > 2).float()).compact(), train=train)
    for other in (added, kept):
        found = TextGraph(DIM, LightGCN(DIM, 2), K)(other).final - LightGCN(DIM, 2)(other).final
        torch.testing.assert_close(found[NUM_USERS:], expected)


def test_its_layers_are_those_of_the_inner_encoder() -> None:
    encoder = TextGraph(DIM, LightGCN(DIM, 2), K, num_layers=3)
    assert encoder.num_layers == len(encoder(make_view(), keep_layers=True).layers) - 1


def test_it_says_what_it_needs() -> None:
    view = make_view()
    with pytest.raises(ConfigError, match=r"'TextGraph' needs text vectors .*model.needs_text=true"):
        TextGraph(DIM)(View(view.x, view.graph))
    with pytest.raises(ConfigError, match=r"as wide as its input, 6, in 'TextGraph' \(got 24\)"):
        TextGraph(DIM, NGCF(DIM))
    with pytest.raises(ConfigError, match="'k' must be in"):
        TextGraph(DIM, k=0)
