"""NGCF against its equation in dense algebra."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gnnrec.encoders import NGCF
from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph
from gnnrec.views import View

NUM_USERS, NUM_ITEMS, DIM = 7, 6, 4


def make_view() -> View:
    generator = torch.Generator().manual_seed(0)
    keys = torch.randperm(NUM_USERS * (NUM_ITEMS - 1), generator=generator)[:15]
    user, item = keys // (NUM_ITEMS - 1), keys % (NUM_ITEMS - 1)
    graph = BipartiteGraph.from_edges(user, item, NUM_USERS, NUM_ITEMS)
    return View(torch.randn(NUM_USERS + NUM_ITEMS, DIM, generator=generator), graph)


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_it_is_its_equation(num_layers: int) -> None:
    torch.manual_seed(0)
    encoder, view = NGCF(DIM, num_layers).eval(), make_view()
    operator, weights = view.graph.propagate(torch.eye(NUM_USERS + NUM_ITEMS)), encoder.state_dict()
    state, outputs = view.x, [view.x]
    for layer in range(num_layers):
        near = operator @ state
        added = (state + near) @ weights[f"sum.{layer}.weight"].T + weights[f"sum.{layer}.bias"]
        multiplied = (near * state) @ weights[f"product.{layer}.weight"].T + weights[f"product.{layer}.bias"]
        state = F.leaky_relu(added + multiplied, 0.2)
        outputs.append(state / state.norm(dim=1, keepdim=True))
    states = encoder(view, keep_layers=True)
    torch.testing.assert_close(states.final, torch.cat(outputs, dim=1), rtol=1e-4, atol=1e-5)
    assert states.final.shape[1] == encoder.out_dim == DIM * (num_layers + 1)
    assert len(states.layers) == num_layers + 1


def test_dropout_is_for_training_only() -> None:
    torch.manual_seed(0)
    encoder, view = NGCF(DIM, dropout=0.5), make_view()
    assert not torch.equal(encoder(view).final, encoder(view).final)
    encoder.eval()
    assert torch.equal(encoder(view).final, encoder(view).final)


@pytest.mark.parametrize("arguments", [{"num_layers": 0}, {"dropout": -0.1}])
def test_a_wrong_argument_is_told(arguments: dict) -> None:
    with pytest.raises(ConfigError, match=f"'{next(iter(arguments))}' must be in"):
        NGCF(DIM, **arguments)
