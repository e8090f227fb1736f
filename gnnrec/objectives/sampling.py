"""Exact negatives per user, uniform or by popularity."""

from __future__ import annotations

import torch
from torch import Tensor

from gnnrec.errors import ConfigError, check_range
from gnnrec.graph import BipartiteGraph

RESOLUTION = 1 << 40  # of the shares that items are drawn with


def uniform_draws(size: int, num_negatives: int, generator: torch.Generator) -> Tensor:
    """Return the random numbers in [0, 1) that negatives are made of: [size, num_negatives], double precision."""
    return torch.rand(
        (size, num_negatives), generator=generator, device=generator.device, dtype=torch.float64
    )


class NegativeSampler:
    """Draws, for each user, items it has no train interaction with: exact, vectorised, no rejection.

    P(i | u) is in proportion to count_i^power over the items with train interactions that are not the user's: an
    unseen item drawn as a negative would be learned as one. power 0 is uniform; 0.75 is the choice of Mikolov et al.
    2013, https://arxiv.org/abs/1310.4546, section 2.2. Drawing negatives by popularity is, in expectation, weighing
    missing pairs by popularity (He et al. 2016, https://arxiv.org/abs/1708.05024, section 4.1).

    Each candidate has a whole number of tickets (one if uniform), and tickets are numbered through. With the user's own
    candidates p_0 < p_1 < ..., the r-th ticket that is not the user's lies behind the own tickets of the c candidates
    p_j for which (tickets before p_j) - (own tickets before p_j) <= r; a binary search over all users' sorted
    differences finds c. Shares are rounded to 2^-40, so that sums are exact.

    Errors: ConfigError where a user has interacted with every item.
    """

    def __init__(self, graph: BipartiteGraph, power: float = 0.0) -> None:
        check_range("power", power, "NegativeSampler", low=0)
        self.graph = graph
        _, counts = graph.split(graph.degree)
        self.candidates = torch.nonzero(counts > 0).squeeze(1)
        tickets = torch.ones_like(self.candidates)
        if power:
            share = counts[self.candidates].double() ** power
            # `user * span` below must stay within 63 bits.
            resolution = min(RESOLUTION, (1 << 62) // max(graph.num_users, 1))
            tickets = (share / share.sum() * resolution).round().long().clamp(min=1)
        self.uniform = not power
        self.end = tickets.cumsum(0)
        total = int(tickets.sum())
        number = torch.full((graph.num_items,), -1, device=graph.device)
        number[self.candidates] = torch.arange(len(self.candidates), device=graph.device)
        user, own = graph.structure.user.long(), number[graph.structure.item.long()]
        self.own_before = torch.cat([own.new_zeros(1), tickets[own].cumsum(0)])  # over the edges of all users
        start, length = graph.user_range(torch.arange(graph.num_users, device=graph.device))
        self.first = self.own_before[start]
        self.num_free = total - (self.own_before[start + length] - self.first)
        # Edges are sorted by user, then item, hence these keys are sorted too.
        self.span = total + 1
        free_before = (self.end - tickets)[own] - (self.own_before[:-1] - self.first[user])
        self.keys = user * self.span + free_before
        self._check_free()

    def sample(self, user: Tensor, num_negatives: int, generator: torch.Generator) -> Tensor:
        """Return items [len(user), num_negatives]."""
        free = self.num_free[user].unsqueeze(1)
        draw = uniform_draws(len(user), num_negatives, generator).to(user.device)
        place = torch.minimum((draw * free).long(), free - 1)
        found = torch.searchsorted(self.keys, user.unsqueeze(1) * self.span + place, right=True)
        ticket = place + self.own_before[found] - self.first[user].unsqueeze(1)
        return self.candidates[ticket if self.uniform else torch.searchsorted(self.end, ticket, right=True)]

    def _check_free(self) -> None:
        full = torch.nonzero(self.num_free <= 0).squeeze(1)
        if len(full):
            raise ConfigError(
                f"{len(full)} of {len(self.num_free)} users (index {int(full[0])} is the first) have interacted with "
                "every item of train, so no negative can be drawn for them: leave them out of the data, or train "
                "without sampled negatives (model=lightgcn-softmax, model=directau)"
            )
