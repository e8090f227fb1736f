"""Batches of train pairs, and seeds."""

from __future__ import annotations

from collections import Counter

import torch
from scipy.stats import chisquare
from torch import Tensor

from gnnrec.graph import BipartiteGraph
from gnnrec.training.sampler import PairSampler, derive_seed


def make_graph(pairs: list[tuple[int, int]], num_users: int, num_items: int) -> BipartiteGraph:
    user, item = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T
    return BipartiteGraph.from_edges(user, item, num_users, num_items)


PAIRS = [(0, 0), (0, 3), (0, 7), (1, 1), (1, 2), (2, 9), (2, 0), (3, 4), (3, 5), (3, 6), (3, 7), (3, 9)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
