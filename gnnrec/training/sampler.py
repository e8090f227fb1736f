"""Batches of train pairs, and seeds of their own for every use of randomness."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from gnnrec.edges import EdgeStructure
from gnnrec.errors import check_choice
from gnnrec.graph import BipartiteGraph

SAMPLINGS = ("pairs", "users")


def derive_seed(*parts: object) -> int:
    """Return a 63-bit seed that depends on all parts, so that every use of randomness has its own stream."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class PairSampler:
    """Deals the train pairs of an epoch in random batches.

    An epoch's batches depend on the seed and the epoch's number alone, so training resumes at any epoch, and rank r
    of w processes takes each w-th batch of the same order.

    Args:
        by: `pairs` deals every pair once; `users` draws as many, each a uniform user's uniform item, with
            replacement.
    """

    def __init__(
        self, graph: BipartiteGraph, batch_size: int, by: str = "pairs", rank: int = 0, world_size: int = 1
    ) -> None:
        check_choice("by", by, SAMPLINGS, "PairSampler")
        self.structure, self.by = graph.structure, by
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size

    def __len__(self) -> int:
        """Number of batches of an epoch over all processes."""
        return -(-len(self.structure.user) // self.batch_size)

    def epoch(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (user, item), each [batch]."""
        draw = _every_pair if self.by == "pairs" else _uniform_users
        place = draw(self.structure, generator)
        for batch in place.split(self.batch_size)[self.rank :: self.world_size]:
            yield self.structure.user[batch].long(), self.structure.item[batch].long()


def _every_pair(structure: EdgeStructure, generator: torch.Generator) -> Tensor:
    order = torch.randperm(len(structure.user), generator=generator, device=generator.device)
    return order.to(structure.user.device)


def _uniform_users(structure: EdgeStructure, generator: torch.Generator) -> Tensor:
    start = structure.user_offset[:-1].long()
    count = structure.user_offset.diff().long()
    active = count.nonzero().squeeze(1)
    size = (len(structure.user),)
    of = active[
        torch.randint(len(active), size, generator=generator, device=generator.device).to(active.device)
    ]
    share = torch.rand(size, generator=generator, device=generator.device, dtype=torch.float64).to(of.device)
    return start[of] + (share * count[of]).long()
