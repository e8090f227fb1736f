"""Objectives: named, weighted sums of terms over one training step.

A term is any callable (step) -> scalar. To add one, write a small frozen dataclass here with a `__call__` and name
its class path in a YAML under `objective`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gnnrec import losses
from gnnrec.encoders.states import States
from gnnrec.errors import ConfigError, check_choice, check_range
from gnnrec.graph import BipartiteGraph
from gnnrec.views import Augmentation, View, augment


@dataclass
class Step:
    """One training step: a batch of train pairs, the main view, and everything a term may ask for.

    Args:
        user, positive: [batch] indices; negative: [batch, num_negatives] items the user has not touched.
        view: the main view (features and graph after the model's own augmentations).
        encoder: View -> States.
        train: the unaugmented train graph.
        generator: source of all randomness of the step.
        keep_layers: whether the main states keep their layers.
    """

    user: Tensor
    positive: Tensor
    negative: Tensor
    view: View
    encoder: nn.Module
    train: BipartiteGraph
    generator: torch.Generator
    keep_layers: bool = False

    @cached_property
    def states(self) -> States:
        """The states of the main view, encoded once."""
        return self.encoder(self.view, keep_layers=self.keep_layers)

    @cached_property
    def user_emb(self) -> Tensor:
        """Final user rows of the batch: [batch, dim]."""
        return self.states.final[self.user]

    @cached_property
    def positive_emb(self) -> Tensor:
        """Final item rows of the batch: [batch, dim]."""
        return self.item_emb(self.positive)

    def item_emb(self, item: Tensor) -> Tensor:
        """Final rows of some items: [*item.shape, dim]."""
        return self.states.final[self.train.item_node(item)]

    def encode(self, augmentations: Sequence[Augmentation], keep_layers: bool = False) -> States:
        """Encode the main view under further augmentations."""
        return self.encoder(augment(self.view, augmentations, self.generator), keep_layers=keep_layers)


Term = Callable[[Step], Tensor]


@dataclass(frozen=True)
class BPR:
    """Pairwise ranking against the sampled negatives (see losses.bpr), dot-product scores."""

    def __call__(self, step: Step) -> Tensor:
        positive = (step.user_emb * step.positive_emb).sum(-1)
        negative = torch.einsum("bd,bnd->bn", step.user_emb, step.item_emb(step.negative))
        return losses.bpr(positive, negative)


@dataclass(frozen=True)
class Softmax:
    """Softmax of the positive against negatives shared by the batch (see losses.softmax_loss).

    logit(u, i) = s(u, i) / temperature + adjustment * log popularity(i) - log q(i), where q(i) is how often i is
    expected among the negatives: the logQ correction (Bengio and Senecal 2008; Yi et al. 2019,
    https://doi.org/10.1145/3298689.3346996, eq. 3), always applied, so that every choice of negatives estimates the
    same full softmax. `adjustment` leaves that share of log popularity out of the learned scores (logit
    adjustment, Menon et al. 2021, https://arxiv.org/abs/2007.07314, eq. 10, with the sign of training): 0 models
    p(i | u); 1 is what uncorrected in-batch negatives learn in effect, and punishes popular items.

    Args:
        temperature: divides the scores.
        negatives: `all` items seen in training (the full softmax), `uniform` draws without replacement, or the
            positives of the batch (`in_batch`).
        num_negatives: how many uniform draws.
        cosine: scores are cosines rather than dot products.
        adjustment: see above.
        mask_positives: leave the user's other train items out of the negatives.
    """

    temperature: float = 1.0
    negatives: str = "uniform"
    num_negatives: int = 1024
    cosine: bool = False
    adjustment: float = 0.0
    mask_positives: bool = True

    def __post_init__(self) -> None:
        check_range("temperature", self.temperature, "Softmax", low=0, low_open=True)
        check_choice("negatives", self.negatives, ("all", "uniform", "in_batch"), "Softmax")
        check_range("num_negatives", self.num_negatives, "Softmax", low=1)
        check_range("adjustment", self.adjustment, "Softmax", low=0, high=1)

    def __call__(self, step: Step) -> Tensor:
        _, counts = step.train.split(step.train.degree)
        log_popularity = (counts / counts.sum()).log()
        candidates, log_expected = self._draw(step, counts, log_popularity)
        user_emb, positive_emb, candidate_emb = step.user_emb, step.positive_emb, step.item_emb(candidates)
        if self.cosine:
            user_emb, positive_emb = F.normalize(user_emb, dim=-1), F.normalize(positive_emb, dim=-1)
            candidate_emb = F.normalize(candidate_emb, dim=-1)
        user_emb = user_emb / self.temperature
        positive = (user_emb * positive_emb).sum(-1) + self.adjustment * log_popularity[step.positive]
        shift = self.adjustment * log_popularity[candidates] - log_expected
        mask = known_pairs(step.train, step.user, step.positive, candidates, self.mask_positives)
        return losses.softmax_loss(positive, torch.addmm(shift, user_emb, candidate_emb.T), mask)

    def _draw(self, step: Step, counts: Tensor, log_popularity: Tensor) -> tuple[Tensor, Tensor]:
        """Return distinct candidates and the log of how often each is expected (or, in a batch, per draw)."""
        if self.negatives == "in_batch":
            candidates, drawn = torch.unique(step.positive, return_counts=True)
            return candidates, log_popularity[candidates] + math.log(len(step.positive)) - drawn.log()
        # An item without train interactions is never a negative: it would be learned as one.
        seen = torch.nonzero(counts > 0).squeeze(1)
        if self.negatives == "all" or self.num_negatives >= len(seen):
            return seen, torch.zeros(len(seen), device=seen.device)
        order = torch.randperm(len(seen), generator=step.generator, device=step.generator.device)
        candidates = seen[order[: self.num_negatives].to(seen.device)]
        log_share = math.log(self.num_negatives / len(seen))
        return candidates, torch.full((len(candidates),), log_share, device=seen.device)


def known_pairs(
    train: BipartiteGraph, user: Tensor, positive: Tensor, candidates: Tensor, all_positives: bool
) -> Tensor:
    """Mark the (user, candidate) pairs that are no negatives: the row's own positive, or all train items.

    Shapes: user, positive [batch], candidates [n] (distinct) -> bool [batch, n].
    """
    mask = torch.zeros(len(user), len(candidates), dtype=torch.bool, device=user.device)
    slot = torch.full((train.num_items,), -1, device=user.device)
    slot[candidates] = torch.arange(len(candidates), device=user.device)
    row, item = torch.arange(len(user), device=user.device), positive
    if all_positives:
        start, length = train.user_range(user)
        row = torch.repeat_interleave(row, length)
        within = torch.arange(len(row), device=user.device) - torch.repeat_interleave(
            length.cumsum(0) - length, length
        )
        item = train.structure.item[torch.repeat_interleave(start, length) + within].long()
    column = slot[item]
    mask[row[column >= 0], column[column >= 0]] = True
    return mask


@dataclass(frozen=True)
class Contrast:
    """InfoNCE between two views of the batch's users and of its positive items, summed over the two sides.

    Wu et al. 2021, SGL, https://arxiv.org/abs/2010.10783, eq. 10 and 11, with means over the distinct nodes of the
    batch (as SELFRec's code; the paper sums). With LayerNoise as the only augmentation this is SimGCL's term.

    Args:
        first, second: augmentations of the two views; `second` defaults to a fresh draw of `first`.
        temperature: divides the cosines.
    """

    first: Sequence[Augmentation]
    second: Sequence[Augmentation] | None = None
    temperature: float = 0.2

    def __post_init__(self) -> None:
        check_range("temperature", self.temperature, "Contrast", low=0, low_open=True)

    def __call__(self, step: Step) -> Tensor:
        one = step.encode(self.first).final
        two = step.encode(self.first if self.second is None else self.second).final
        users = torch.unique(step.user)
        items = step.train.item_node(torch.unique(step.positive))
        return sum(
            (losses.info_nce(one[nodes], two[nodes], self.temperature) for nodes in (users, items)),
            torch.zeros((), device=one.device),
        )


@dataclass(frozen=True)
class L2:
    """Half the sum of squared layer-0 rows of the batch's users, positives and negatives, over the batch size."""

    negatives: bool = True

    def __call__(self, step: Step) -> Tensor:
        x, node = step.view.x, step.train.item_node
        rows = [x[step.user], x[node(step.positive)]]
        if self.negatives:
            rows.append(x[node(step.negative)].flatten(0, 1))
        return losses.l2(*rows)


@dataclass(frozen=True)
class Weighted:
    """A term and its weight in the sum."""

    term: Term
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_range("weight", self.weight, "objective", low=0)


class Objective:
    """The weighted sum of named terms; calling it returns the total and each weighted term by name."""

    def __init__(self, terms: Mapping[str, Weighted]) -> None:
        if not terms:
            raise ConfigError("'objective' must have at least one term (got none)")
        self.terms = dict(terms)
        self.keep_layers = any(getattr(t.term, "needs_layers", False) for t in self.terms.values())

    def __call__(self, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        values = {n: t.weight * t.term(step) for n, t in self.terms.items() if t.weight > 0}
        return torch.stack(list(values.values())).sum(), {n: v.detach() for n, v in values.items()}
