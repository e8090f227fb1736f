"""Ids and text combined: experts, concatenation, gate, residual."""

from __future__ import annotations

import torch

from gnnrec.data.interactions import Interactions
from gnnrec.features import BlockPart, Combined, ExpertProjection
from tests.features.helpers import NUM_ITEMS, centred_vectors, make, randomise


def test_experts_against_the_equation(train: Interactions) -> None:
    items = make(train, mode="text", experts=3).items
    assert isinstance(items, BlockPart)
    mixture = items.projection
    assert isinstance(mixture, ExpertProjection)
    randomise(items)
    items.eval()
    x = centred_vectors().double()
    weight, bias, gate = (p.detach().double() for p in (mixture.weight, mixture.bias, mixture.gate))
    rows = []
    for v in x:
        share = torch.exp(v @ gate)
        share = share / share.sum()
        rows.append(sum(share[k] * ((v - bias[k]) @ weight[k]) for k in range(3)))
    torch.testing.assert_close(items().double(), torch.stack(rows), rtol=1e-4, atol=1e-4)


def test_the_gate_of_experts_is_noisy_in_training_only(train: Interactions) -> None:
    items = make(train, mode="text", experts=3).items
    randomise(items)
    assert isinstance(items, BlockPart)
    assert isinstance(items.projection, ExpertProjection)
    with torch.no_grad():
        items.projection.noise.fill_(1e3)  # so that softplus(v noise) is far from constant
    assert not torch.equal(items(), items())
    items.eval()
    assert torch.equal(items(), items())


def test_concat_starts_at_the_sum_and_is_a_linear_map_of_both(train: Interactions) -> None:
    torch.testing.assert_close(
        make(train, mode="id_text", combine="concat")(), make(train, mode="id_text")(), rtol=1e-5, atol=1e-6
    )
    items = make(train, mode="id_text", combine="concat").items
    assert isinstance(items, Combined)
    randomise(items)
    assert items.ids is not None
    assert items.linear is not None
    [text] = items.blocks
    both = torch.cat([items.ids(), text()], dim=1)
    torch.testing.assert_close(items(), both @ items.linear.weight.T + items.linear.bias)


def test_a_gate_of_two_is_a_sigmoid_and_leaves_unseen_items_to_their_text(train: Interactions) -> None:
    items = make(train, mode="id_text", combine="gate").items
    assert isinstance(items, Combined)
    assert items.ids is not None
    [text] = items.blocks
    torch.testing.assert_close(items()[:22], ((items.ids() + text()) / 2)[:22])  # equal shares at the start
    randomise(items)
    assert items.score is not None
    ids, words = items.ids().detach(), text().detach()
    for row in range(NUM_ITEMS):
        logit = items.score[0] @ ids[row] - items.score[1] @ words[row] + items.offset[0] - items.offset[1]
        share = torch.sigmoid(logit) if row < 22 else torch.tensor(0.0)
        torch.testing.assert_close(items()[row], share * ids[row] + (1 - share) * words[row])


def test_a_gate_takes_a_dropped_id_for_a_missing_one(train: Interactions) -> None:
    items = make(train, mode="id_text", combine="gate", id_dropout=0.5).items
    assert isinstance(items, Combined)
    [text] = items.blocks
    x = items()
    alone = torch.isclose(x, text()).all(dim=1)
    assert 3 <= int(alone[:22].sum()) <= 19
    items.eval()
    assert not bool(torch.isclose(items(), text()).all(dim=1)[:22].any())


def test_residual_starts_at_text_alone_and_learns_ids(train: Interactions) -> None:
    items = make(train, mode="id_text", combine="residual").items
    assert isinstance(items, Combined)
    [text] = items.blocks
    torch.testing.assert_close(items(), text())
    assert items.ids is not None
    (items() * torch.randn(NUM_ITEMS, 8)).sum().backward()
    assert items.ids.weight.grad is not None
    assert items.ids.weight.grad[:22].any()
