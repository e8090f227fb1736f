"""The linear stand-in for adaptation learns what the pairs say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F

from benchmarks.adapt_linear import Way, mean_map, pair_weights
from gnnrec.data.interactions import Interactions

# users 0 and 1 took items 0 and 1, user 2 items 2 and 3, user 3 items 0 and 2
USER, ITEM = np.array([0, 0, 1, 1, 2, 2, 3, 3]), np.array([0, 1, 0, 1, 2, 3, 0, 2])


@pytest.mark.parametrize(
    ("kind", "expected"), [("cosine", 2 / np.sqrt(6)), ("squared", 4 / 6), ("conditional", 2 / 3)]
)
def test_weights_of_a_pair(kind: str, expected: float) -> None:
    weight = pair_weights(Interactions(USER, ITEM, 4, 4), np.arange(4), kind)
    assert weight[0, 1] == pytest.approx(expected)
    assert weight[0, 3] == 0
    assert not weight.diagonal().any()


@pytest.mark.parametrize(
    ("way", "gain"),
    [
        (Way(""), 0.2),
        (Way("", dropout=0.3), 0.2),
        (Way("", users=40), 0.2),
        (Way("", bags=4, bag_share=0.8), 0.05),
        (Way("", users=40, bags=4, bag_share=0.8), 0.05),
    ],
)
def test_the_map_brings_partners_together(way: Way, gain: float) -> None:
    vectors = F.normalize(torch.randn(40, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    weight = np.zeros((40, 40))
    weight[np.arange(40), np.arange(40) ^ 1] = 1

    def partners(x: torch.Tensor) -> float:
        x = F.normalize(x, dim=1)
        return float((x[0::2] * x[1::2]).sum(dim=1).mean())

    taken = sp.csr_array(np.repeat(np.kron(np.eye(20), [[1, 1]]), 2, axis=0))  # two users of each pair
    linear = mean_map(vectors, weight, taken, replace(way, steps=200))
    assert partners(vectors @ linear) > partners(vectors) + gain
