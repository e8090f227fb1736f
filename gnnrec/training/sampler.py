"""Batches of train pairs with exact uniform negatives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph


def derive_seed(*parts: object) -> int:
    """Return a 63-bit seed that depends on all parts, so that every use of randomness has its own stream."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class NegativeSampler:
    """Draws, for each user, items it has no train interaction with: uniform, exact, vectorised, no rejection.

    Only items with train interactions are drawn: an unseen item drawn as a negative would be learned as one. With
    the n candidates numbered 0..n-1 and a user's own candidates p_0 < p_1 < ..., the r-th candidate that is not the
    user's is r + c, with c the number of p_j - j <= r; a binary search over all users' sorted p_j - j finds c.
    """

    def __init__(self, graph: BipartiteGraph) -> None:
        self.graph = graph
        _, counts = graph.split(graph.degree)
        self.candidates = torch.nonzero(counts > 0).squeeze(1)
        number = torch.full((graph.num_items,), -1, device=graph.device)
        number[self.candidates] = torch.arange(len(self.candidates), device=graph.device)
        user = graph.structure.user.long()
        start, self.num_seen = graph.user_range(torch.arange(graph.num_users, device=graph.device))
        within = torch.arange(graph.num_edges, device=graph.device) - start[user]
        # Edges are sorted by user, then item, hence these keys are sorted too.
        self.span = len(self.candidates) + 1
        self.keys = user * self.span + number[graph.structure.item.long()] - within
        if len(self.num_seen) and int(self.num_seen.max()) >= len(self.candidates):
            raise ConfigError(
                "a user has interacted with every item of train, so no negative can be drawn for it"
            )

    def sample(self, user: Tensor, num_negatives: int, generator: torch.Generator) -> Tensor:
        """Return items [len(user), num_negatives]."""
        shape = (len(user), num_negatives)
        free = (len(self.candidates) - self.num_seen[user]).unsqueeze(1)
        draw = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64).to(
            user.device
        )
        place = torch.minimum((draw * free).long(), free - 1)
        start, _ = self.graph.user_range(user)
        found = torch.searchsorted(self.keys, user.unsqueeze(1) * self.span + place, right=True)
        return self.candidates[place + found - start.unsqueeze(1)]


class PairSampler:
    """Deals the train pairs of an epoch in random batches.

    An epoch's order depends on the seed and the epoch's number alone, so training resumes at any epoch, and rank r
    of w processes takes each w-th batch of the same order.
    """

    def __init__(self, graph: BipartiteGraph, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.user, self.item = graph.structure.user.long(), graph.structure.item.long()
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size

    def __len__(self) -> int:
        """Number of batches of an epoch over all processes."""
        return -(-len(self.user) // self.batch_size)

    def epoch(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (user, item), each [batch]."""
        order = torch.randperm(len(self.user), generator=generator, device=generator.device).to(
            self.user.device
        )
        for batch in order.split(self.batch_size)[self.rank :: self.world_size]:
            yield self.user[batch], self.item[batch]
