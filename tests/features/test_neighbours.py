"""Nearest text neighbours stand in for items without interactions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gnnrec.features import TextNeighbours
from tests.features.helpers import NUM_ITEMS, make_vectors


def brute_neighbours(item_emb: Tensor, vectors: np.ndarray, seen: np.ndarray, k: int, own: float) -> Tensor:
    x = vectors - vectors[seen].mean(0)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    out = item_emb.clone()
    for i in np.flatnonzero(~seen):
        similarity = {j: max(float(x[i] @ x[j]), 0.0) ** 3 for j in np.flatnonzero(seen)}
        near = sorted(similarity, key=lambda j: -similarity[j])[:k]
        total = sum(similarity[j] for j in near)
        mean = sum(similarity[j] / total * item_emb[j] for j in near)
        out[i] = own * item_emb[i] + mean
    return out


@pytest.mark.parametrize("k", [1, 4, 1000])
def test_text_neighbours_against_brute_force(k: int) -> None:
    vectors, seen = make_vectors(NUM_ITEMS), np.arange(NUM_ITEMS) < 22
    item_emb = torch.randn(NUM_ITEMS, 5, generator=torch.Generator().manual_seed(0))
    before = item_emb.clone()
    filled = TextNeighbours(vectors, seen, k, 0.5).fill(item_emb)
    expected = brute_neighbours(item_emb, vectors, seen, k, 0.5)
    torch.testing.assert_close(filled, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(filled[:22], item_emb[:22])
    assert torch.equal(item_emb, before)


@pytest.mark.parametrize("cells", [1, 50, 22 * 3])
def test_neighbours_found_in_blocks_are_the_same(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, seen = make_vectors(NUM_ITEMS), np.arange(NUM_ITEMS) < 22
    whole = TextNeighbours(vectors, seen, 4, 0.5)
    monkeypatch.setattr("gnnrec.features.neighbours._CELLS", cells)
    blocks = TextNeighbours(vectors, seen, 4, 0.5)
    assert torch.equal(blocks.neighbour, whole.neighbour)
    torch.testing.assert_close(blocks.weight, whole.weight)


def test_items_without_text_have_no_neighbours_and_are_none() -> None:
    vectors, seen = make_vectors(NUM_ITEMS), np.arange(NUM_ITEMS) < 22
    vectors[[3, 24]] = 0
    neighbours = TextNeighbours(vectors, seen, 5, 0.5)
    item_emb = torch.randn(NUM_ITEMS, 5)
    torch.testing.assert_close(neighbours.fill(item_emb)[24], 0.5 * item_emb[24])
    assert not (neighbours.neighbour[neighbours.weight > 0] == 3).any()


def test_text_neighbours_without_unseen_items_change_nothing() -> None:
    item_emb = torch.randn(NUM_ITEMS, 5)
    neighbours = TextNeighbours(make_vectors(NUM_ITEMS), np.ones(NUM_ITEMS, dtype=bool), 3, 0.5)
    assert torch.equal(neighbours.fill(item_emb), item_emb)
