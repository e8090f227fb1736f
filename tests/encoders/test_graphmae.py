"""GraphMAE: the decoder and its scaled cosine error against their equations."""

from __future__ import annotations

import pytest
import torch

from gnnrec.encoders import NGCF, GraphMAE, GraphSAGE, LightGCN, PinSage
from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph
from gnnrec.objectives import CrossLayer, MaskedReconstruction, Step
from gnnrec.objectives.reconstruction import scaled_cosine_error
from gnnrec.views import View

NUM_USERS, NUM_ITEMS, DIM = 12, 9, 6
NUM_NODES = NUM_USERS + NUM_ITEMS


def make_view() -> View:
    """The last item has no edges."""
    generator = torch.Generator().manual_seed(0)
    keys = torch.randperm(NUM_USERS * (NUM_ITEMS - 1), generator=generator)[:44]
    graph = BipartiteGraph.from_edges(keys // (NUM_ITEMS - 1), keys % (NUM_ITEMS - 1), NUM_USERS, NUM_ITEMS)
    return View(torch.randn(NUM_NODES, DIM, generator=generator, requires_grad=True), graph)


def make_step(encoder: torch.nn.Module, seed: int = 0) -> Step:
    view, batch = make_view(), torch.arange(3)
    generator = torch.Generator().manual_seed(seed)
    return Step(batch, batch, batch.unsqueeze(1), view, encoder, view.graph, generator)


def test_it_encodes_as_the_inner_encoder() -> None:
    torch.manual_seed(0)
    inner, view = NGCF(DIM, 2).eval(), make_view()
    wrapped = GraphMAE(DIM, inner)
    assert wrapped.out_dim == inner.out_dim == 3 * DIM
    assert torch.equal(wrapped(view).final, inner(view).final)
    assert len(wrapped(view, keep_layers=True).layers) == 3


@pytest.mark.parametrize("inner", [LightGCN(DIM, 2), GraphSAGE(DIM, 2)], ids=["lightgcn", "graphsage"])
def test_restoring_is_its_equation(inner: torch.nn.Module) -> None:
    torch.manual_seed(0)
    encoder, view = GraphMAE(DIM, inner), make_view()
    with torch.no_grad():
        encoder.token.normal_()
    masked = torch.arange(NUM_NODES) % 3 == 0
    w, operator = encoder.state_dict(), view.graph.propagate(torch.eye(NUM_NODES))
    x = view.x.clone()
    x[masked] = encoder.token
    code = inner(View(x, view.graph)).final @ w["project.weight"].T
    code = torch.diag((~masked).float()) @ code
    expected = operator @ code @ w["decode.weight"].T + w["decode.bias"]
    torch.testing.assert_close(encoder.restore(view, masked), expected, rtol=1e-4, atol=1e-5)


def test_the_features_of_a_masked_node_are_hidden() -> None:
    torch.manual_seed(0)
    encoder, view = GraphMAE(DIM), make_view()
    masked = torch.arange(NUM_NODES) % 4 == 1
    other = View(torch.where(masked.unsqueeze(1), 100.0, view.x), view.graph)
    torch.testing.assert_close(encoder.restore(other, masked), encoder.restore(view, masked))


def test_the_scaled_cosine_error_by_hand() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [1.0, 1.0]])
    z = torch.tensor([[5.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    expected = torch.tensor([0.0, 1.0, 8.0, (1 - 2**-0.5) ** 3])
    torch.testing.assert_close(scaled_cosine_error(x, z, 3.0), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("side", ["both", "users", "items"])
def test_the_term_is_the_mean_error_of_the_masked(side: str) -> None:
    torch.manual_seed(0)
    encoder = GraphMAE(DIM)
    step = make_step(encoder)
    drawn = torch.rand(NUM_NODES, generator=torch.Generator().manual_seed(0)) < 0.5
    masked = drawn & (step.view.graph.degree > 0)
    if side == "users":
        masked[NUM_USERS:] = False
    if side == "items":
        masked[:NUM_USERS] = False
    restored = encoder.restore(step.view, masked)
    errors = [
        (1 - torch.cosine_similarity(step.view.x[v], restored[v], dim=0)) ** 2 for v in masked.nonzero()[:, 0]
    ]
    value = MaskedReconstruction(0.5, 2.0, side)(step)
    torch.testing.assert_close(value, torch.stack(errors).mean())
    value.backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())


def test_training_restores_better() -> None:
    torch.manual_seed(0)
    encoder = GraphMAE(DIM, GraphSAGE(DIM, 2))
    optimizer, values = torch.optim.Adam(encoder.parameters(), lr=0.02), []
    for seed in range(150):
        value = MaskedReconstruction(0.3)(make_step(encoder, seed))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert sum(values[-10:]) < 0.7 * sum(values[:10])


def test_it_says_what_it_needs() -> None:
    with pytest.raises(ConfigError, match=r"model.encoder to be gnnrec.encoders.GraphMAE \(got 'LightGCN'\)"):
        MaskedReconstruction().check_encoder(LightGCN(DIM), DIM)
    with pytest.raises(ConfigError, match="did you mean 'items'"):
        MaskedReconstruction(side="item")
    with pytest.raises(ConfigError, match="'gamma' must be in"):
        MaskedReconstruction(gamma=0.5)


def test_what_the_inner_encoder_needs_is_passed_on() -> None:
    assert GraphMAE(DIM, PinSage(DIM, 3)).fixed_structure
    assert GraphMAE(DIM, PinSage(DIM, 3)).num_layers == 3
    assert not GraphMAE(DIM).fixed_structure
    with pytest.raises(ConfigError, match="layer"):
        CrossLayer(layer=5).check_encoder(GraphMAE(DIM), DIM)
