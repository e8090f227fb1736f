from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gnnrec.data.interactions import Interactions
from gnnrec.text.contrast import PairSampler, history_loss, two_view_loss, weighted_pair_loss

TRAIN = Interactions(np.array([0, 0, 0, 1, 1, 2, 2, 3]), np.array([0, 1, 2, 0, 1, 2, 4, 5]), 4, 6)


def test_two_view_loss_by_hand():
    a = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    b = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    c = 2**-0.5
    scores = np.array([[c, 0], [c, 1]]) / 0.5
    rows = -np.diag(scores - np.log(np.exp(scores).sum(1, keepdims=True))).mean()
    columns = -np.diag(scores - np.log(np.exp(scores).sum(0, keepdims=True))).mean()
    assert float(two_view_loss(a, b, 0.5)) == pytest.approx((rows + columns) / 2, abs=1e-6)


def test_weighted_pair_loss_by_hand():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, generator=generator)
    weight = torch.tensor([[0.0, 2, 1, 0], [2, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    unit = (x / x.norm(dim=1, keepdim=True)).double().numpy()
    losses = []
    for i in range(3):
        others = [j for j in range(4) if j != i]
        total = np.log(sum(np.exp(unit[i] @ unit[j] / 0.1) for j in others))
        share = weight[i].numpy() / weight[i].sum().item()
        losses.append(-sum(share[j] * (unit[i] @ unit[j] / 0.1 - total) for j in others))
    assert float(weighted_pair_loss(x, weight, 0.1)) == pytest.approx(np.mean(losses), rel=1e-5)


def test_pair_weights_are_cosines_of_co_interactions():
    sampler = PairSampler(TRAIN, np.arange(6))
    matrix = TRAIN.csr().toarray()
    counts = matrix.sum(0)
    expected = matrix.T @ matrix / np.sqrt(np.maximum(np.outer(counts, counts), 1))
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(sampler.weight.toarray(), expected, atol=1e-6)
    np.testing.assert_array_equal(sampler.anchors, [0, 1, 2, 4])


def test_batches_hold_distinct_usable_rows_each_anchor_with_a_partner():
    usable = np.array([0, 1, 4, 2])
    usable.sort()
    sampler = PairSampler(TRAIN, usable)
    generator = np.random.default_rng(0)
    seen = set()
    for _ in range(50):
        rows, weight = sampler.sample(2, generator)
        assert len(set(rows.tolist())) == len(rows) == 2
        assert weight[0, 1] > 0
        assert not np.diag(weight).any()
        seen.add(tuple(rows.tolist()))
    assert seen == {(0, 1), (0, 2), (1, 2), (2, 4)}


def test_partners_are_drawn_by_weight():
    sampler = PairSampler(TRAIN, np.arange(6))
    generator = np.random.default_rng(0)
    drawn = np.array([sampler._partner(2, generator) for _ in range(4000)])
    weight = sampler.weight.toarray()[2]
    np.testing.assert_allclose(np.bincount(drawn, minlength=6) / 4000, weight / weight.sum(), atol=0.03)


def test_the_history_loss_is_its_definition_and_leaves_out_owners_with_one_part():
    generator = np.random.default_rng(0)
    keys = F.normalize(torch.from_numpy(generator.standard_normal((7, 4))).float(), dim=1).requires_grad_()
    part = torch.tensor(
        [[1, 1, 2, 0, 2, 0, 0], [0, 2, 0, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 2, 0]]
    )
    history, target = (part == 1).float(), (part == 2).float()
    share = torch.tensor([0.3, 0.2, 0.1, 0.1, 0.1, 0.2, 0.0])
    loss = history_loss(keys, history, target, share.log(), 0.5)
    expected = []
    for row in (0, 1):  # the others lack targets or a history
        ranked = [item for item in range(7) if part[row, item] != 1]
        profile = F.normalize(sum(keys[item] for item in range(7) if part[row, item] == 1), dim=0)
        odds = torch.stack([share[item] * torch.exp(keys[item] @ profile / 0.5) for item in ranked])
        wanted = [index for index, item in enumerate(ranked) if part[row, item] == 2]
        expected.append(-torch.log(odds[wanted] / odds.sum()).mean())
    torch.testing.assert_close(loss, torch.stack(expected).mean())
    loss.backward()
    assert torch.isfinite(keys.grad).all()
    assert history_loss(keys, history[2:], target[2:], share.log(), 0.5) == 0
