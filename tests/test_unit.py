"""Unit rows: those of torch, bit by bit, but for the gradient of a row of zeros."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gnnrec import losses
from gnnrec.unit import unit


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rows_and_gradients_are_those_of_normalize(dtype: torch.dtype) -> None:
    x, upstream = draw(50, 2, 8).to(dtype), draw(50, 2, 8).to(dtype).flip(0)
    found = []
    for function in (unit, lambda x: F.normalize(x, dim=-1)):
        leaf = x.clone().requires_grad_()
        rows = function(leaf)
        rows.backward(upstream)
        found.append((rows.detach(), leaf.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_a_row_of_zeros_stays_and_hands_its_gradient_on_as_it_is() -> None:
    x = torch.zeros(2, 3, requires_grad=True)
    upstream = draw(2, 3)
    rows = unit(x)
    rows.backward(upstream)
    assert not rows.any()
    assert torch.equal(x.grad, upstream)


def test_rows_that_start_at_zero_learn_under_cosines_as_others_do() -> None:
    """With a gradient of 1e12 Adam's second moment would hold them where the first steps took them, at .51."""

    def trained(start: torch.Tensor) -> float:
        x = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([x], lr=1e-2)
        for _ in range(200):
            optimizer.zero_grad()
            loss = losses.info_nce(x, draw(8, 4), 0.2)
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    assert trained(torch.zeros(8, 4)) == pytest.approx(trained(0.01 * draw(8, 4).flip(0)), abs=0.02)
