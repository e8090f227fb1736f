"""Edges in both orders: one is the other rearranged, and a part of them is what building that part gives."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnnrec.edges import EdgeStructure, Operator

NUM_USERS, NUM_ITEMS = 5, 4

edges = st.lists(st.integers(0, NUM_USERS * NUM_ITEMS - 1), max_size=12, unique=True)


def build(keys: list[int]) -> tuple[EdgeStructure, Tensor]:
    key = torch.tensor(keys, dtype=torch.int64)
    return EdgeStructure.build(key // NUM_ITEMS, key % NUM_ITEMS, NUM_USERS, NUM_ITEMS)


def same(one: EdgeStructure, other: EdgeStructure) -> bool:
    tensors = [name for name, value in vars(one).items() if isinstance(value, Tensor)]
    return len(tensors) == 7 and all(torch.equal(getattr(one, t), getattr(other, t)) for t in tensors)


@given(edges)
@settings(max_examples=60, deadline=None)
def test_both_orders_hold_the_same_edges(keys: list[int]) -> None:
    structure, order = build(keys)
    assert torch.tensor(keys, dtype=torch.int64)[order].tolist() == sorted(keys)
    assert (structure.user * NUM_ITEMS + structure.item).tolist() == sorted(keys)
    assert torch.equal(structure.user[structure.to_item_order], structure.user_by_item)
    assert torch.equal(structure.item[structure.to_item_order], structure.item_by_item)
    assert torch.equal(structure.item_by_item[structure.to_user_order], structure.item)
    assert torch.equal(structure.user_by_item[structure.to_user_order], structure.user)
    assert torch.equal(structure.to("cpu").user, structure.user)  # what was worked out already is left behind
    by_item = sorted(keys, key=lambda key: (key % NUM_ITEMS, key))
    assert (structure.user_by_item * NUM_ITEMS + structure.item_by_item).tolist() == by_item
    for index, offset in (
        (structure.user, structure.user_offset),
        (structure.item_by_item, structure.item_offset),
    ):
        counts = torch.bincount(index.long(), minlength=len(offset) - 1)
        assert offset.diff().tolist() == counts.tolist()


@given(edges, st.integers(0, 2**12 - 1))
@settings(max_examples=60, deadline=None)
def test_keeping_some_edges_is_building_from_them(keys: list[int], bits: int) -> None:
    structure, _ = build(keys)
    kept = [key for place, key in enumerate(sorted(keys)) if bits >> place & 1]
    mask = torch.tensor([bool(bits >> place & 1) for place in range(len(keys))], dtype=torch.bool)
    assert same(structure.keep(mask), build(kept)[0])


def test_each_normalisation_divides_by_the_degrees_it_says() -> None:
    structure, _ = build([0, 1, 4, 9])  # pairs (0, 0), (0, 1), (1, 0), (2, 1)
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0])
    degree = torch.tensor([3.0, 3.0, 4.0, 0.0, 0.0]), torch.tensor([4.0, 6.0, 0.0, 0.0])
    by_item = weight[structure.to_item_order]
    whole = Operator.make(structure, weight, degree, "sum")
    for half, values in zip(vars(whole).values(), (weight, by_item, weight, by_item)):
        assert torch.equal(half, values)
    symmetric = Operator.make(structure, weight, degree, "symmetric")
    expected = torch.tensor([1 / 12**0.5, 2 / 18**0.5, 3 / 12**0.5, 4 / 24**0.5])
    torch.testing.assert_close(symmetric.user_half, expected)
    torch.testing.assert_close(symmetric.item_half, expected[structure.to_item_order])
    assert symmetric.halves(transposed=True) == symmetric.halves(transposed=False)
    mean = Operator.make(structure, weight, degree, "mean")
    torch.testing.assert_close(mean.user_half, torch.tensor([1 / 3, 2 / 3, 3 / 3, 4 / 4]))
    torch.testing.assert_close(mean.item_half, torch.tensor([1 / 4, 3 / 4, 2 / 6, 4 / 6]))
    torch.testing.assert_close(mean.user_half_t, torch.tensor([1 / 4, 2 / 6, 3 / 4, 4 / 6]))
    torch.testing.assert_close(mean.item_half_t, torch.tensor([1 / 3, 3 / 3, 2 / 3, 4 / 4]))
