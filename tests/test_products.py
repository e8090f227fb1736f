from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gnnrec import products
from gnnrec.products import log_sum_exp


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense(queries: Tensor, keys: Tensor, shift: Tensor, row: Tensor, key: Tensor) -> Tensor:
    out = torch.zeros(len(queries), len(keys), dtype=torch.bool)
    out[row, key] = True
    return (queries @ keys.T + shift).masked_fill(out, -math.inf).logsumexp(dim=1)


@pytest.mark.parametrize("rows", [1, 5, 64, 130])
def test_values_and_gradients_equal_the_dense_formula(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_LEAST_ROWS", 1)
    monkeypatch.setitem(products._CELLS, "cpu", 100)  # several blocks, the last one shorter
    queries, keys, shift = (
        draw(rows, 3).requires_grad_(),
        draw(9, 3, seed=1).requires_grad_(),
        draw(9, seed=2),
    )
    row = torch.arange(rows).repeat_interleave(2)
    key = torch.arange(2 * rows) * 5 % 9
    found, expected = (
        f(queries, keys, shift, *p) for f, p in ((log_sum_exp, [(row, key)]), (dense, (row, key)))
    )
    torch.testing.assert_close(found, expected)
    weight = draw(rows, seed=3)
    for one, two in zip(
        torch.autograd.grad((found * weight).sum(), (queries, keys)),
        torch.autograd.grad((expected * weight).sum(), (queries, keys)),
        strict=True,
    ):
        torch.testing.assert_close(one, two)


def test_gradcheck_with_one_tensor_on_both_sides() -> None:
    table, itself = draw(6, 3).requires_grad_(), torch.arange(6)
    assert torch.autograd.gradcheck(lambda x: log_sum_exp(x, x, left_out=(itself, itself)), (table,))


def test_large_logits_do_not_overflow() -> None:
    queries, keys = torch.tensor([[300.0], [-300.0]]), torch.tensor([[1.0], [1.0], [-1.0]])
    assert log_sum_exp(queries, keys).tolist() == pytest.approx([300 + math.log(2), 300.0])


def test_a_row_with_nothing_left_is_minus_infinity_without_gradient() -> None:
    queries, keys = draw(2, 3).requires_grad_(), draw(2, 3, seed=1).requires_grad_()
    result = log_sum_exp(queries, keys, left_out=(torch.tensor([0, 0]), torch.tensor([0, 1])))
    assert result[0] == -math.inf
    gradient = torch.autograd.grad(torch.nn.functional.softplus(result).sum(), (queries, keys))
    assert not gradient[0][0].any()
    assert all(torch.isfinite(part).all() for part in gradient)


def test_nan_is_not_hidden() -> None:
    queries = torch.tensor([[math.nan], [1.0]])
    assert log_sum_exp(queries, torch.ones(2, 1)).isnan().tolist() == [True, False]


def test_no_keys_or_no_rows() -> None:
    assert log_sum_exp(torch.ones(2, 3), torch.ones(0, 3)).tolist() == [-math.inf] * 2
    assert log_sum_exp(torch.ones(0, 3), torch.ones(2, 3)).shape == (0,)
