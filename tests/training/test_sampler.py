"""Negatives and batches: exact, uniform, never a positive, never an item that training does not know."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph
from gnnrec.training.sampler import NegativeSampler, PairSampler, derive_seed


def make_graph(pairs: list[tuple[int, int]], num_users: int, num_items: int) -> BipartiteGraph:
    user, item = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T
    return BipartiteGraph.from_edges(user, item, num_users, num_items)


def allowed(pairs: list[tuple[int, int]], user: int) -> set[int]:
    """Brute force: items of anybody's train pairs, less the user's own."""
    return {i for _, i in pairs} - {i for u, i in pairs if u == user}


PAIRS = [(0, 0), (0, 3), (0, 7), (1, 1), (1, 2), (2, 9), (2, 0), (3, 4), (3, 5), (3, 6), (3, 7), (3, 9)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("user", range(5))
def test_negatives_are_uniform_over_what_is_allowed(user: int) -> None:
    sampler = NegativeSampler(make_graph(PAIRS, 5, 11))  # items 8 and 10 are unseen, user 4 has no pair
    items = allowed(PAIRS, user)
    assert 8 not in items
    drawn = sampler.sample(torch.full((2000,), user), 10, seeded(user)).flatten()
    counts = torch.bincount(drawn, minlength=11).numpy()
    assert set(np.flatnonzero(counts)) == items
    assert chisquare(counts[sorted(items)]).pvalue > 1e-3


def test_users_in_one_batch_do_not_disturb_each_other() -> None:
    sampler = NegativeSampler(make_graph(PAIRS, 5, 11))
    user = torch.randint(5, (6000,), generator=seeded())
    drawn = sampler.sample(user, 3, seeded())
    assert drawn.shape == (6000, 3)
    for u in range(5):
        counts = torch.bincount(drawn[user == u].flatten(), minlength=11).numpy()
        items = sorted(allowed(PAIRS, u))
        assert set(np.flatnonzero(counts)) == set(items)
        assert chisquare(counts[items]).pvalue > 1e-3


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 7)), min_size=1), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_a_negative_is_never_a_positive_and_never_unseen(pairs: set[tuple[int, int]], seed: int) -> None:
    rows = sorted(pairs)
    graph = make_graph(rows, 6, 8)
    if any(not allowed(rows, u) for u, _ in rows):
        with pytest.raises(ConfigError, match="every item of train"):
            NegativeSampler(graph)
        return
    user = torch.tensor([u for u, _ in rows])
    drawn = NegativeSampler(graph).sample(user, 40, seeded(seed))
    for u, items in zip(user.tolist(), drawn.tolist()):
        assert set(items) <= allowed(rows, u)


@pytest.mark.parametrize("draw", [0.0, 1 - 2**-53])
def test_the_ends_of_the_draw_are_inside(draw: float, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = NegativeSampler(make_graph(PAIRS, 5, 11))
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, draw, dtype=torch.float64))
    user = torch.arange(4)
    ends = [min(allowed(PAIRS, u)) if draw == 0 else max(allowed(PAIRS, u)) for u in range(4)]
    assert sampler.sample(user, 1, seeded()).squeeze(1).tolist() == ends


def test_one_seed_one_draw() -> None:
    sampler, user = NegativeSampler(make_graph(PAIRS, 5, 11)), torch.tensor([0, 1, 2, 3] * 10)
    one, two, other = (sampler.sample(user, 5, seeded(s)) for s in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def epoch(sampler: PairSampler, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    return list(sampler.epoch(seeded(seed)))


def test_an_epoch_deals_every_pair_once() -> None:
    sampler = PairSampler(make_graph(PAIRS, 5, 11), batch_size=5)
    batches = epoch(sampler)
    assert [len(user) for user, _ in batches] == [5, 5, 2]
    assert len(sampler) == 3
    dealt = [(u, i) for user, item in batches for u, i in zip(user.tolist(), item.tolist())]
    assert sorted(dealt) == sorted(PAIRS)
    assert dealt != sorted(PAIRS)
    again = [(u, i) for user, item in epoch(sampler) for u, i in zip(user.tolist(), item.tolist())]
    other = [(u, i) for user, item in epoch(sampler, 1) for u, i in zip(user.tolist(), item.tolist())]
    assert dealt == again
    assert dealt != other


def test_users_are_drawn_uniformly_and_then_one_of_their_items() -> None:
    sampler = PairSampler(make_graph(PAIRS, 5, 11), batch_size=5, by="users")  # user 4 has no pair
    assert [len(user) for user, _ in epoch(sampler)] == [5, 5, 2]
    drawn = [pair for seed in range(400) for batch in epoch(sampler, seed) for pair in zip(*batch)]
    counts = Counter((int(user), int(item)) for user, item in drawn)
    assert set(counts) == set(PAIRS)
    expected = [len(drawn) / 4 / sum(u == user for u, _ in PAIRS) for user, _ in PAIRS]
    assert chisquare([counts[pair] for pair in PAIRS], expected).pvalue > 1e-3
    assert all(torch.equal(a, b) for a, b in zip(epoch(sampler)[0], epoch(sampler)[0]))


def test_processes_share_out_the_batches_of_one_order() -> None:
    graph = make_graph(PAIRS, 5, 11)
    whole = epoch(PairSampler(graph, 2))
    shares = [epoch(PairSampler(graph, 2, rank=rank, world_size=3)) for rank in range(3)]
    for number, (user, item) in enumerate(whole):
        shared_user, shared_item = shares[number % 3][number // 3]
        assert torch.equal(user, shared_user)
        assert torch.equal(item, shared_item)
    assert sum(map(len, shares)) == len(whole)


def test_seeds_differ_by_every_part_and_fit_a_generator() -> None:
    seeds = {
        derive_seed(*p) for p in [(0, "a"), (1, "a"), (0, "b"), (0, "a", 1), (0,), (1, "a", 0), ("01", "a")]
    }
    assert len(seeds) == 7
    # Resumed runs draw in another process.
    assert derive_seed(0, "epoch", 1) == 123735704575244949
    assert all(0 <= seed < 2**63 for seed in seeds)
    for seed in seeds:
        torch.Generator().manual_seed(seed)
