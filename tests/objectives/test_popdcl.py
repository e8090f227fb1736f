"""PopDCL against its equations, pair by pair."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gnnrec import losses
from gnnrec.objectives import DirectAU, PopDCL
from tests.test_objectives import interacted, make_step


def test_pop_dcl_is_the_equations_pair_by_pair() -> None:
    step = make_step(torch.tensor([0, 7, 19, 33]))
    users, items = step.train.split(F.normalize(step.states.final, dim=1))
    touched, t = interacted(step.train), 0.2
    counts, total = touched.sum(dim=0), int(touched.sum())
    expected = []
    for row, (u, i) in enumerate(zip(step.user.tolist(), step.positive.tolist())):
        near = (users[u] @ items[i]).item()
        far = [(users[u] @ items[j]).item() for at, j in enumerate(step.positive.tolist()) if at != row]
        of_user = float(counts[touched[u]].sum())
        shift = 1 / (1 + math.exp(-float(counts[i]) / of_user * sum(far) / len(far)))
        odds = of_user / total / (1 - of_user / total)
        up = math.exp((near - shift) / t)
        down = sum(math.exp((f - odds * math.exp((near - f) / t)) / t) for f in far)
        expected.append(-math.log(up / (up + down)))
    assert PopDCL(t)(step).item() == pytest.approx(np.mean(expected), rel=1e-4)


def test_pop_dcl_stays_finite_where_scores_are_far_apart_and_in_a_batch_of_one() -> None:
    step = make_step()
    value = PopDCL(0.01)(step)
    (gradient,) = torch.autograd.grad(value, step.view.x)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    positive, negative = torch.tensor([0.9, 0.9], requires_grad=True), torch.tensor([[-0.5]] * 2)
    losses.pop_dcl(positive, negative, torch.ones(2), torch.tensor([999.0, 1.0]), 0.01).backward()
    assert positive.grad is not None
    assert torch.isfinite(positive.grad).all()  # also where no negative counts
    for term in (PopDCL(), DirectAU()):
        assert torch.isfinite(term(make_step(torch.tensor([5]))))
