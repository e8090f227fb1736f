from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnrec.evaluation.topk import NO_ITEM, ordered_top, tie_keys, top


def brute(scores: torch.Tensor, k: int, keys: torch.Tensor) -> list[list[int]]:
    result = []
    for row in scores.tolist():
        columns = [c for c in range(len(row)) if row[c] != float("-inf")]
        columns.sort(key=lambda c, row=row: (-row[c], -float(keys[c])))
        result.append((columns + [NO_ITEM] * k)[:k])
    return result


@settings(max_examples=150, deadline=None)
@given(
    num_columns=st.integers(1, 80),
    k=st.integers(1, 12),
    levels=st.sampled_from([1, 2, 5, 1000]),
    masked=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_ordered_top_is_the_total_order(
    num_columns: int, k: int, levels: int, masked: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = torch.tensor(rng.integers(0, levels, (4, num_columns)), dtype=torch.float32)
    scores[torch.tensor(rng.random((4, num_columns)) < masked)] = float("-inf")
    keys = tie_keys(num_columns, seed, torch.device("cpu"))
    values, columns = ordered_top(scores, k, keys)
    assert columns.tolist() == brute(scores, k, keys)
    present = columns >= 0
    assert torch.equal(values[present], scores.gather(1, columns.clamp(min=0))[present])
    assert torch.isneginf(values[~present]).all()


@pytest.mark.parametrize("num_columns", [7, 64, 1000, 5001])
@pytest.mark.parametrize("k", [1, 5, 50])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_top_has_the_values_of_torch_topk(num_columns: int, k: int, dtype: torch.dtype) -> None:
    k = min(k, num_columns)
    generator = torch.Generator().manual_seed(num_columns + k)
    scores = torch.randn(9, num_columns, generator=generator).to(dtype)
    scores[3] = float("-inf")
    scores[4] = 1.0
    expected = torch.topk(scores, k).values
    for descending in (True, False):
        values, columns = top(scores, k, descending)
        assert torch.equal(values.sort(descending=True).values, expected)
        assert torch.equal(scores.gather(1, columns), values)
        assert all(len(set(row)) == k for row in columns.tolist())
    assert torch.equal(top(scores, k)[0], expected)


def test_top_of_columns_that_are_a_slice() -> None:
    scores = torch.randn(3, 2000)[:, 100:1900]
    assert torch.equal(top(scores, 10)[0], torch.topk(scores, 10).values)


def test_keys_are_a_seeded_permutation() -> None:
    device = torch.device("cpu")
    assert sorted(tie_keys(50, 0, device).tolist()) == list(range(50))
    assert torch.equal(tie_keys(50, 3, device), tie_keys(50, 3, device))
    assert not torch.equal(tie_keys(50, 3, device), tie_keys(50, 4, device))
