"""Sums over bags against loops; empty bags move the boundaries of the threads and nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnrec import bags as bags_module
from gnnrec.bags import Bags, balance, segment_sum, weighted_sum


def make_bags(lengths: list[int], num_senders: int = 50, seed: int = 0) -> Bags:
    generator = torch.Generator().manual_seed(seed)
    offset = torch.tensor([0, *lengths]).cumsum(0).int()
    index = torch.randint(num_senders, (int(offset[-1]),), generator=generator).int()
    return Bags(index, offset, num_senders)


def loop(bags: Bags, value: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(bags.num_rows, x.shape[1], dtype=torch.float64)
    for row in range(bags.num_rows):
        for edge in range(int(bags.offset[row]), int(bags.offset[row + 1])):
            out[row] += value[edge].double() * x[int(bags.index[edge])].double()
    return out


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_sums_are_those_of_a_loop(lengths: list[int], seed: int) -> None:
    bags = make_bags(lengths, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    value, x = torch.rand(len(bags.index), generator=generator), torch.randn(50, 3, generator=generator)
    expected = loop(bags, value, x)
    torch.testing.assert_close(bags.sum(value, x).double(), expected, rtol=1e-6, atol=1e-6)
    wanted = torch.randint(bags.num_rows, (7,), generator=generator)
    torch.testing.assert_close(bags.sum_at(wanted, value, x).double(), expected[wanted], rtol=1e-6, atol=1e-6)
    given_rows = torch.randperm(50, generator=generator)[:20]
    sparse = torch.zeros_like(x)
    sparse[given_rows] = x[given_rows]
    found = bags.sum_from(given_rows, value, x[given_rows])
    torch.testing.assert_close(found.double(), loop(bags, value, sparse), rtol=1e-6, atol=1e-6)


@given(st.integers(2, 8), st.floats(0.0, 3.0), st.booleans(), st.integers(130, 3000))
@settings(max_examples=60, deadline=None)
def test_balance_keeps_every_bag_and_never_makes_it_worse(
    threads: int, skew: float, ascending: bool, size: int
) -> None:
    lengths = (100 * torch.arange(1, size + 1) ** -skew).long() + 1
    lengths = lengths.flip(0) if ascending else lengths
    offset = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)]).int()
    padded, first = balance(offset, threads)
    assert torch.equal(padded[first : first + size + 1], offset)
    assert not padded[:first].any()
    assert bool((padded[first + size :] == offset[-1]).all())
    assert len(padded) <= 1.5 * len(offset) + 1

    def fullest(bags: torch.Tensor) -> int:
        per_thread = -(-(len(bags) - 1) // threads)
        bounds = (torch.arange(threads + 1) * per_thread).clamp(max=len(bags) - 1)
        return int(bags.long()[bounds].diff().max())

    assert fullest(padded) <= fullest(offset)


def test_balance_shares_a_skewed_list_among_two_threads() -> None:
    """Lengths that fall to a third: half the bags hold two thirds of the edges, and after balancing half."""
    lengths = torch.linspace(3000, 1000, 640).long()
    offset = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    assert float(offset[320] / offset[-1]) == pytest.approx(0.625, abs=0.01)
    padded, _ = balance(offset, 2)
    half = (len(padded) - 1 + 1) // 2
    assert float(padded[half] / padded[-1]) == pytest.approx(0.5, abs=0.03)


def test_one_thread_or_few_rows_need_no_balance() -> None:
    offset = torch.arange(1000)
    assert balance(offset, 1)[0] is offset
    assert balance(offset[:20], 2)[0] is not None
    assert balance(offset[:20], 2)[1] == 0


def test_segment_sums_are_exact_for_masks_and_zero_where_all_is_zero() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(0, 50, (4000,), generator=generator)
    offset = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)]).int()
    mask = (torch.rand(int(offset[-1]), generator=generator) < 0.9).float()
    row = torch.repeat_interleave(torch.arange(4000), lengths)
    expected = torch.zeros(4000, dtype=torch.float64).index_add(0, row, mask.double())
    assert torch.equal(segment_sum(mask, offset).double(), expected)
    weight = torch.rand(int(offset[-1]), generator=generator)
    weight[row % 3 == 0] = 0
    assert not segment_sum(weight, offset)[::3].any()


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_sorting_by_sender_moves_edges_and_loses_none(lengths: list[int], seed: int) -> None:
    bags = make_bags(lengths, num_senders=9, seed=seed)
    back, order = bags.by_sender()
    assert torch.equal(back.receivers(), bags.index[order])
    assert torch.equal(back.index, bags.receivers()[order])
    assert (back.num_rows, back.num_senders) == (9, len(lengths))
    assert torch.equal(order.sort().values, torch.arange(len(bags.index)))


@pytest.mark.parametrize("learned", ["values", "x", "both"])
def test_gradients_of_a_weighted_sum_are_those_of_differences(
    learned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bags_module, "_BLOCK", 8)  # several blocks of edges
    bags = make_bags([3, 0, 5, 1, 0, 4], num_senders=7)
    generator = torch.Generator().manual_seed(1)
    value = torch.rand(13, dtype=torch.float64, generator=generator, requires_grad=learned != "x")
    x = torch.randn(7, 3, dtype=torch.float64, generator=generator, requires_grad=learned != "values")
    assert torch.autograd.gradcheck(lambda v, y: weighted_sum(v, y, bags, *bags.by_sender()), (value, x))
    torch.testing.assert_close(weighted_sum(value, x, bags, *bags.by_sender()), loop(bags, value, x))


def test_a_weighted_sum_without_edges_has_zero_gradients() -> None:
    bags = make_bags([0, 0], num_senders=3)
    value, x = torch.zeros(0, requires_grad=True), torch.ones(3, 2, requires_grad=True)
    weighted_sum(value, x, bags, *bags.by_sender()).sum().backward()
    assert value.grad is not None
    assert value.grad.shape == (0,)
    assert x.grad is not None
    assert not x.grad.any()
