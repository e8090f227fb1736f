"""Batches of train pairs, and seeds of their own for every use of randomness."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from gnnrec.graph import BipartiteGraph
from gnnrec.objectives.sampling import NegativeSampler

__all__ = ["NegativeSampler", "PairSampler", "derive_seed"]


def derive_seed(*parts: object) -> int:
    """Return a 63-bit seed that depends on all parts, so that every use of randomness has its own stream."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class PairSampler:
    """Deals the train pairs of an epoch in random batches.

    An epoch's order depends on the seed and the epoch's number alone, so training resumes at any epoch, and rank r
    of w processes takes each w-th batch of the same order.
    """

    def __init__(self, graph: BipartiteGraph, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.user, self.item = graph.structure.user, graph.structure.item
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
            yield self.user[batch].long(), self.item[batch].long()
