"""GAT against PyG's GATConv with the same weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import GATConv

from gnnrec.encoders import GAT
from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph
from gnnrec.views import View
from tests.encoders.cases import ALONE, DIM, NUM_ITEMS, NUM_USERS, make_view


def pyg_final(encoder: GAT, view: View, num_heads: int) -> Tensor:
    state, weights = view.x, encoder.state_dict()
    num_layers = len(encoder.linear)
    for layer in range(num_layers):
        conv = GATConv(DIM, DIM // num_heads, num_heads, add_self_loops=False, bias=False)
        source, target = weights["attention"][layer]
        conv.load_state_dict(
            {
                "att_src": source.unsqueeze(0),
                "att_dst": target.unsqueeze(0),
                "lin.weight": weights[f"linear.{layer}.weight"],
            }
        )
        output = conv(state, view.graph.edge_index)
        if layer < num_layers - 1:
            output = F.elu(output)
        state = output + state if encoder.residual else output
    return state


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("num_heads", [1, 2, 4])
@pytest.mark.parametrize("residual", [True, False])
def test_it_is_pygs_gatconv(num_layers: int, num_heads: int, residual: bool) -> None:
    torch.manual_seed(num_heads)
    encoder, view = GAT(DIM, num_layers, num_heads, residual=residual), make_view()
    expected = pyg_final(encoder, view, num_heads)
    states = encoder(view, keep_layers=True)
    torch.testing.assert_close(states.final, expected, rtol=1e-5, atol=1e-5)
    assert len(states.layers) == num_layers + 1
    upstream = torch.randn(view.x.shape)
    (ours,) = torch.autograd.grad(states.final, view.x, upstream, retain_graph=True)
    (theirs,) = torch.autograd.grad(expected, view.x, upstream)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    states.final.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())


def test_a_dropped_edge_gets_no_attention() -> None:
    torch.manual_seed(0)
    encoder, view = GAT(DIM, 1), make_view()
    keep = torch.arange(view.graph.num_edges) % 3 > 0
    dropped = View(view.x, view.graph.reweight(keep.float()))
    user, item = view.graph.structure.user[keep].long(), view.graph.structure.item[keep].long()
    without = View(view.x, BipartiteGraph.from_edges(user, item, NUM_USERS, NUM_ITEMS))
    torch.testing.assert_close(encoder(dropped).final, encoder(without).final)


def test_a_node_without_edges_keeps_its_features() -> None:
    torch.manual_seed(0)
    view = make_view()
    torch.testing.assert_close(GAT(DIM, 1)(view).final[ALONE], view.x[ALONE])
    assert torch.isfinite(GAT(DIM, 2)(view).final).all()


def test_large_logits_do_not_overflow() -> None:
    torch.manual_seed(0)
    view = make_view()
    final = GAT(DIM, 1)(View(1e4 * view.x, view.graph)).final
    (gradient,) = torch.autograd.grad(final.sum(), view.x)
    assert torch.isfinite(final).all()
    assert torch.isfinite(gradient).all()


def test_one_gradient_with_any_number_of_threads() -> None:
    generator = torch.Generator().manual_seed(0)
    keys = torch.randperm(300 * 200, generator=generator)[:6000]
    graph = BipartiteGraph.from_edges(keys // 200, keys % 200, 300, 200)
    x = torch.randn(500, 64, generator=generator, requires_grad=True)
    torch.manual_seed(0)
    encoder = GAT(64, 1)
    threads, gradients = torch.get_num_threads(), []
    try:
        torch.set_num_threads(2)
        for _ in range(4):
            gradients += torch.autograd.grad(encoder(View(x, graph)).final.square().sum(), x)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"num_layers": 0}, "'num_layers' must be in"),
        ({"num_heads": 3}, r"'dim' must be a multiple of 'num_heads' in 'GAT' \(got 8 and 3\)"),
        ({"dropout": 1.0}, "'dropout' must be in"),
    ],
)
def test_a_wrong_argument_is_told(arguments: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        GAT(DIM, **arguments)
