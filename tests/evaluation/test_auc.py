from __future__ import annotations

import pytest
import torch

from gnnrec.evaluation import auc


@pytest.mark.parametrize("levels", [1, 3, 1000])
def test_both_ways_count_the_same(levels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, levels, (20, 150), generator=generator).float()
    scores[torch.rand(20, 150, generator=generator) < 0.2] = float("-inf")
    relevant = torch.rand(20, 150, generator=generator) < 0.6  # more than one step of comparisons
    relevant[3] = False
    relevant &= ~torch.isneginf(scores)
    row, column = relevant.nonzero(as_tuple=True)
    arguments = (scores, row, column, torch.bincount(row, minlength=20))
    for first, second in zip(auc._count_by_comparing(*arguments), auc._count_by_sorting(*arguments)):
        assert torch.equal(first, second)


def test_by_hand() -> None:
    scores = torch.tensor([[3.0, 2, 2, 1, float("-inf")], [1, 1, 1, 1, 1], [1, 2, 3, 4, 5]])
    relevant = torch.tensor([[1, 0, 1, 0, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)
    result = auc.block_auc(scores, relevant)
    assert result[:2].tolist() == [(2 + 1.5) / 4, 0.5]
    assert torch.isnan(result[2])  # nothing to be told apart from
