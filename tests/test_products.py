from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gnnrec import products
from gnnrec.products import chosen_products, cross_entropy, pair_potential


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(
    positive: Tensor,
    queries: Tensor,
    keys: Tensor,
    shift: Tensor,
    left_out: tuple[Tensor, Tensor],
    weight: Tensor,
    power: float,
) -> Tensor:
    out = torch.zeros(len(queries), len(keys), dtype=torch.bool)
    out[left_out] = True
    logits = (queries @ keys.T + shift).masked_fill(out, -math.inf)
    total = torch.cat([positive.unsqueeze(1), logits], dim=1).logsumexp(dim=1)
    return (weight * (power * total - positive)).mean()


@pytest.mark.parametrize("power", [1.0, 0.8])
@pytest.mark.parametrize("rows", [1, 5, 64, 130])
def test_value_and_gradients_equal_the_dense_formula(
    rows: int, power: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_LEAST_ROWS", 1)
    monkeypatch.setattr(products, "_CELLS", 100)  # several blocks, the last one shorter
    inputs = (draw(rows, seed=4), draw(rows, 3), draw(9, 3, seed=1))
    for part in inputs:
        part.requires_grad_()
    row, key = torch.arange(rows).repeat_interleave(2), torch.arange(2 * rows) * 5 % 9
    constants = (draw(9, seed=2), (row, key), draw(rows, seed=3).abs(), power)
    found, expected = cross_entropy(*inputs, *constants), dense(*inputs, *constants)
    torch.testing.assert_close(found, expected)
    for one, two in zip(
        torch.autograd.grad(2 * found, inputs), torch.autograd.grad(2 * expected, inputs), strict=True
    ):
        torch.testing.assert_close(one, two)


def test_bfloat16_products_come_near_the_float32_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_CELLS", 64 * 40)  # several blocks
    rows = torch.nn.functional.normalize(draw(150, 16), dim=1).float()
    keys = torch.nn.functional.normalize(draw(40, 16, seed=1), dim=1).float()
    shift, itself = draw(40, seed=2).float(), (torch.arange(40), torch.arange(40))
    results = []
    for precision in (torch.float32, torch.bfloat16):
        inputs = (
            (rows[:, 0] / 0.2).requires_grad_(),
            (rows / 0.2).requires_grad_(),
            keys.clone().requires_grad_(),
        )
        loss = cross_entropy(*inputs, shift, itself, precision=precision)
        results.append((loss, *torch.autograd.grad(loss, inputs)))
    exact, rounded = results
    assert exact[0].item() == pytest.approx(rounded[0].item(), rel=1e-3)
    assert exact[0].item() != rounded[0].item()
    for one, two in zip(exact[1:], rounded[1:], strict=True):
        assert two.dtype == torch.float32
        assert (one - two).norm() < 0.01 * one.norm()


def test_float64_is_not_rounded() -> None:
    inputs = draw(5), draw(5, 3), draw(4, 3, seed=1)
    assert cross_entropy(*inputs, precision=torch.bfloat16) == cross_entropy(*inputs)


def test_gradcheck_with_one_tensor_on_both_sides() -> None:
    table, itself = draw(6, 3).requires_grad_(), torch.arange(6)
    assert torch.autograd.gradcheck(
        lambda x: cross_entropy(x[:, 0], x, x, left_out=(itself, itself)), (table,)
    )


def test_large_logits_do_not_overflow() -> None:
    positive, queries = torch.tensor([0.0, 300.0]), torch.tensor([[300.0], [-300.0]])
    loss = cross_entropy(positive, queries, torch.tensor([[1.0], [1.0], [-1.0]]))
    assert loss.item() == pytest.approx((300 + math.log(2) + math.log(2)) / 2)


@pytest.mark.parametrize("num_keys", [0, 2])
def test_a_row_with_nothing_left_costs_nothing(num_keys: int) -> None:
    inputs = (
        draw(2).requires_grad_(),
        draw(2, 3).requires_grad_(),
        draw(num_keys, 3, seed=1).requires_grad_(),
    )
    pairs = torch.arange(2).repeat_interleave(num_keys), torch.arange(num_keys).repeat(2)
    loss = cross_entropy(*inputs, left_out=pairs)
    assert loss.item() == 0
    assert not any(part.any() for part in torch.autograd.grad(loss, inputs))


def test_nan_is_not_hidden() -> None:
    assert cross_entropy(torch.zeros(2), torch.tensor([[math.nan], [1.0]]), torch.ones(2, 1)).isnan()


def test_no_rows() -> None:
    assert cross_entropy(torch.ones(0), torch.ones(0, 3), torch.ones(2, 3)).item() == 0


@pytest.mark.parametrize("rows", [2, 5, 64, 130])
def test_the_potential_of_pairs_equals_the_dense_formula(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_LEAST_ROWS", 1)
    monkeypatch.setattr(products, "_CELLS", 7 * rows)  # blocks of 7 rows, the last one shorter
    x = torch.nn.functional.normalize(draw(rows, 3), dim=1).requires_grad_()
    first, second = torch.triu_indices(rows, rows, 1)
    expected = (3.0 * ((x[first] * x[second]).sum(1) - 1)).exp().mean()
    found = pair_potential(x, 3.0)
    torch.testing.assert_close(found, expected)
    for one, two in zip(torch.autograd.grad(2 * found, x), torch.autograd.grad(2 * expected, x), strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("num", [1, 4])
@pytest.mark.parametrize("rows", [1, 5, 33])
def test_chosen_products_equal_those_of_gathered_rows(
    rows: int, num: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_CELLS", 7 * num * 3)  # blocks of 7 rows, the last one shorter
    left, table = draw(rows, 3).requires_grad_(), draw(6, 3, seed=1).requires_grad_()
    place = torch.arange(rows * num).view(rows, num) * 3 % 5  # entries that repeat, and one that nobody wants
    slope = draw(rows, num, seed=2)
    found = chosen_products(left, table, place)
    expected = torch.einsum("bd,bnd->bn", left, table[place])
    torch.testing.assert_close(found, expected)
    for one, two in zip(
        torch.autograd.grad(found, (left, table), slope),
        torch.autograd.grad(expected, (left, table), slope),
        strict=True,
    ):
        torch.testing.assert_close(one, two)


def test_chosen_products_of_no_rows() -> None:
    left, table = draw(0, 3).requires_grad_(), draw(6, 3).requires_grad_()
    found = chosen_products(left, table, torch.zeros(0, 4, dtype=torch.int64))
    assert found.shape == (0, 4)
    (gradient,) = torch.autograd.grad(found.sum(), table)
    assert not gradient.any()
