"""The SVD view against a dense SVD and against LightGCL's equations."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gnnrec.encoders import GAT, NGCF, GraphSAGE, LightGCN, LightGCNpp, PinSage, TextGraph
from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph
from gnnrec.objectives import Contrast, Step
from gnnrec.views import EdgeDropout, LowRankGraph, NodeDropout, SVDView, TextEdges, View, augment

NUM_USERS, NUM_ITEMS, DIM = 14, 11, 6
NUM_NODES = NUM_USERS + NUM_ITEMS


def make_view() -> View:
    """The last two items have no edges."""
    generator = torch.Generator().manual_seed(0)
    width = NUM_ITEMS - 2
    keys = torch.randperm(NUM_USERS * width, generator=generator)[:60]
    graph = BipartiteGraph.from_edges(keys // width, keys % width, NUM_USERS, NUM_ITEMS)
    return View(torch.randn(NUM_NODES, DIM, generator=generator, requires_grad=True), graph)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def dense_operator(graph: BipartiteGraph, rank: int) -> Tensor:
    """P with its user-item block replaced by the truncated SVD of numpy's kind."""
    whole = graph.propagate(torch.eye(NUM_NODES)).double()
    u, s, v = torch.linalg.svd(whole[:NUM_USERS, NUM_USERS:])
    block = u[:, :rank] @ torch.diag(s[:rank]) @ v[:rank]
    operator = torch.zeros_like(whole)
    operator[:NUM_USERS, NUM_USERS:], operator[NUM_USERS:, :NUM_USERS] = block, block.T
    return operator.float()


def test_it_is_the_svd_of_train_whatever_edges_were_added() -> None:
    view = replace(make_view(), item_text=torch.randn(NUM_ITEMS, 4, generator=seeded()))
    view = replace(view, train=view.graph.structure)
    added = SVDView(3)(TextEdges(3, weight=0.1)(view, seeded()), seeded())
    expected = SVDView(3)(view, seeded())
    torch.testing.assert_close(added.graph.propagate(view.x), expected.graph.propagate(view.x))
    torch.testing.assert_close(added.graph.degree, view.graph.degree)


@pytest.mark.parametrize("rank", [1, 3, 5, 10])
def test_it_propagates_through_the_truncated_svd(rank: int) -> None:
    view = make_view()
    graph, operator = SVDView(rank)(view, seeded()).graph, dense_operator(view.graph, rank)
    torch.testing.assert_close(graph.propagate(view.x), operator @ view.x, rtol=1e-4, atol=1e-5)
    expected = 0.3 * view.x + 0.5 * operator @ view.x + 0.2 * operator @ operator @ view.x
    torch.testing.assert_close(graph.polynomial(view.x, (0.3, 0.5, 0.2)), expected, rtol=1e-4, atol=1e-5)
    root = view.graph.degree.sqrt()
    inverse = torch.where(root > 0, 1 / root, 0.0)
    mean = inverse[:, None] * (operator @ (root[:, None] * view.x))
    torch.testing.assert_close(graph.propagate(view.x, "mean"), mean, rtol=1e-4, atol=1e-5)
    total = root[:, None] * (operator @ (root[:, None] * view.x))
    torch.testing.assert_close(graph.propagate(view.x, "sum"), total, rtol=1e-4, atol=1e-5)


def test_of_full_rank_it_is_the_graph() -> None:
    view = make_view()  # 9 items with edges: the matrix has rank 9 at most
    graph = SVDView(9)(view, seeded()).graph
    for norm in ("symmetric", "mean", "sum"):
        torch.testing.assert_close(
            graph.propagate(view.x, norm), view.graph.propagate(view.x, norm), rtol=1e-4, atol=1e-5
        )


def test_with_lightgcn_it_is_lightgcls_second_view() -> None:
    """G = E0 + sum_l P_q E_(l-1), E_l = P E_(l-1): the layers of the main view go through the SVD."""
    view, num_layers, rank = make_view(), 3, 4
    operator, layer = dense_operator(view.graph, rank), view.x
    second = view.x
    for _ in range(num_layers):
        second, layer = second + operator @ layer, view.graph.propagate(layer)
    encoder = LightGCN(DIM, num_layers, rescale_isolated=False)
    final = encoder(SVDView(rank)(view, seeded())).final
    torch.testing.assert_close((num_layers + 1) * final, second, rtol=1e-4, atol=1e-5)
    upstream = torch.randn(view.x.shape, generator=seeded())
    (ours,) = torch.autograd.grad(final, view.x, upstream)
    (theirs,) = torch.autograd.grad(second / (num_layers + 1), view.x, upstream)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_contrast_is_lightgcls_with_the_batch_as_negatives() -> None:
    view = make_view()
    user, item = view.graph.structure.user.long(), view.graph.structure.item.long()
    step = Step(user, item, item[:, None], view, LightGCN(DIM, 2), view.graph, seeded())
    calls = []
    step.encoder.register_forward_hook(lambda *_: calls.append(1))
    value = Contrast([], [SVDView(3)], temperature=0.3)(step)
    assert torch.isfinite(step.states.final).all()
    assert len(calls) == 2  # the main view is not encoded again
    main, second = step.encoder(view).final, step.encoder(SVDView(3)(view, seeded())).final
    expected = torch.zeros(())
    for nodes in (user.unique(), NUM_USERS + item.unique()):
        cosine = torch.cosine_similarity(main[nodes].unsqueeze(1), second[nodes].unsqueeze(0), dim=2) / 0.3
        expected = expected + (torch.logsumexp(cosine, 1) - cosine.diagonal()).mean()
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("encoder", [LightGCN(DIM), LightGCNpp(DIM), NGCF(DIM), GraphSAGE(DIM)])
def test_encoders_that_propagate_take_it(encoder: torch.nn.Module) -> None:
    view = make_view()
    final = encoder(SVDView(3)(view, seeded())).final
    assert torch.isfinite(final).all()
    assert not torch.allclose(final, encoder(view).final)


def test_beside_a_text_graph_the_rest_is_low_rank() -> None:
    view = make_view()
    view = View(view.x, view.graph, item_text=torch.randn(NUM_ITEMS, 5, generator=seeded()))
    encoder, low = TextGraph(DIM, LightGCN(DIM, 1), k=2), SVDView(3)(view, seeded())
    text = encoder(view).final - encoder.encoder(view).final
    torch.testing.assert_close(encoder(low).final, encoder.encoder(low).final + text)


def test_the_svd_is_of_the_whole_graph_and_made_once() -> None:
    view = make_view()
    one = SVDView(3)(view, seeded()).graph
    two = augment(view, [EdgeDropout(0.5), NodeDropout(0.5), SVDView(3)], seeded()).graph
    assert isinstance(one, LowRankGraph)
    assert isinstance(two, LowRankGraph)
    assert one.factors[0] is two.factors[0]
    torch.testing.assert_close(one.propagate(view.x), two.propagate(view.x))


def test_what_needs_edges_is_told_that_there_are_none() -> None:
    view = make_view()
    low = SVDView(3)(view, seeded())
    with pytest.raises(ConfigError, match=r"'SVDView' has no edges, hence no 'weight': put SVDView last"):
        EdgeDropout(0.1)(low, seeded())
    with pytest.raises(ConfigError, match=r"no 'edge_values': .*use an encoder that propagates"):
        GAT(DIM)(low)
    for encoder in (PinSage(DIM), GraphSAGE(DIM, aggregator="max")):
        with pytest.raises(ConfigError, match="no 'weight'"):
            encoder(low)
    with pytest.raises(ConfigError, match="no 'weight'"):
        TextEdges()(View(low.x, low.graph, item_text=torch.randn(NUM_ITEMS, 3)), seeded())
    with pytest.raises(ConfigError, match=r"'rank' must be below 11.*\(got 11\)"):
        SVDView(11)(view, seeded())
    with pytest.raises(ConfigError, match="'rank' must be in"):
        SVDView(0)
