"""Terms that rank a user's train items before others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec import losses
from gnnrec.errors import check_choice, check_range
from gnnrec.graph import BipartiteGraph
from gnnrec.objectives.step import Step


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
class BCE:
    """Binary cross-entropy of positives against the sampled negatives (see losses.bce), dot-product scores."""

    def __call__(self, step: Step) -> Tensor:
        positive = (step.user_emb * step.positive_emb).sum(-1)
        return losses.bce(positive, torch.einsum("bd,bnd->bn", step.user_emb, step.item_emb(step.negative)))


@dataclass(frozen=True)
class CosineContrastive:
    """SimpleX's loss on cosine scores against the sampled negatives (see losses.cosine_contrastive)."""

    margin: float = 0.9
    negative_weight: float = 1.0

    def __post_init__(self) -> None:
        check_range("margin", self.margin, "CosineContrastive", low=-1, high=1)
        check_range("negative_weight", self.negative_weight, "CosineContrastive", low=0)

    def __call__(self, step: Step) -> Tensor:
        user = F.normalize(step.user_emb, dim=-1)
        positive = (user * F.normalize(step.positive_emb, dim=-1)).sum(-1)
        negative = torch.einsum("bd,bnd->bn", user, F.normalize(step.item_emb(step.negative), dim=-1))
        return losses.cosine_contrastive(positive, negative, self.margin, self.negative_weight)


@dataclass(frozen=True)
class BilateralSoftmax:
    """BSL on cosine scores against the sampled negatives (see losses.bilateral_softmax)."""

    positive_temperature: float = 0.1
    negative_temperature: float = 0.1

    def __post_init__(self) -> None:
        for name in ("positive_temperature", "negative_temperature"):
            check_range(name, getattr(self, name), "BilateralSoftmax", low=0, low_open=True)

    def __call__(self, step: Step) -> Tensor:
        user = F.normalize(step.user_emb, dim=-1)
        positive = (user * F.normalize(step.positive_emb, dim=-1)).sum(-1)
        negative = torch.einsum("bd,bnd->bn", user, F.normalize(step.item_emb(step.negative), dim=-1))
        return losses.bilateral_softmax(
            positive, negative, self.positive_temperature, self.negative_temperature
        )


@dataclass(frozen=True)
class DirectAU:
    """Alignment of user and positive, and uniformity of the batch's users and items: a + weight (u_user + u_item) / 2.

    Wang et al. 2022, https://arxiv.org/abs/2206.12811, eq. 8 and 9. As in the authors' code, rows repeat where a
    user or item occurs twice in a batch.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        check_range("weight", self.weight, "DirectAU", low=0)

    def __call__(self, step: Step) -> Tensor:
        spread = losses.uniformity(step.user_emb) + losses.uniformity(step.positive_emb)
        return losses.alignment(step.user_emb, step.positive_emb) + self.weight * spread / 2
