"""The softmax of a positive against negatives that the whole batch shares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gnnrec import losses
from gnnrec.errors import check_choice, check_range
from gnnrec.graph import BipartiteGraph
from gnnrec.objectives.step import Step
from gnnrec.unit import unit

NEGATIVES = ("all", "uniform", "popularity", "in_batch", "mixed")


@dataclass(frozen=True)
class Softmax:
    """Softmax of the positive against negatives shared by the batch (see losses.softmax_loss).

    logit(u, i) = s(u, i) / temperature + adjustment * log popularity(i) - log q(i), the last for negatives alone, where
    q(i) is how often i is expected among them: the logQ correction (Bengio and Senecal 2008; Yi et al. 2019,
    https://doi.org/10.1145/3298689.3346996, eq. 3), with which every choice of negatives estimates the same full
    softmax. Without it (`correction=false`) log q is left out: the loss of Wu et al. 2022 (SSM),
    https://arxiv.org/abs/2201.02327, eq. 5, in which a positive has to beat the drawn negatives alone.
    `adjustment` leaves that share of log popularity out of the learned scores (logit adjustment, Menon et al. 2021,
    https://arxiv.org/abs/2007.07314, eq. 10, with the sign of training): 0 models p(i | u); 1 is what uncorrected
    in-batch negatives learn in effect, and punishes popular items.

    Args:
        temperature: divides the scores.
        negatives: `all` items seen in training (the full softmax); `uniform` draws without replacement; `popularity`:
            draws with replacement, with probability in proportion to popularity^power; the positives of the batch
            (`in_batch`); or these and uniform draws together (`mixed`; Yang et al. 2020,
            https://doi.org/10.1145/3366424.3386195, here with q the expectation over both sources, so that an item
            counts alike whichever drew it).
        num_negatives: how many draws, those of the batch not counted.
        denominator_power: the power of the denominator, in the bilateral softmax (see losses.softmax_loss): below 1 the
            negatives count less, which the authors find right where positives are noisy.
        power: of `popularity` (Mikolov et al. 2013, https://arxiv.org/abs/1310.4546, section 2.2: 0.75).
        cosine: scores are cosines rather than dot products.
        correction, adjustment: see above.
        mask_positives: leave the user's other train items out of the negatives.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"weight"})
    temperature: float = 1.0
    negatives: str = "uniform"
    num_negatives: int = 1024
    cosine: bool = False
    correction: bool = True
    adjustment: float = 0.0
    mask_positives: bool = True
    power: float = 0.75
    denominator_power: float = 1.0

    def __post_init__(self) -> None:
        check_range("temperature", self.temperature, "Softmax", low=0, low_open=True)
        check_range("denominator_power", self.denominator_power, "Softmax", low=0, low_open=True)
        check_choice("negatives", self.negatives, NEGATIVES, "Softmax")
        check_range("num_negatives", self.num_negatives, "Softmax", low=1)
        check_range("adjustment", self.adjustment, "Softmax", low=0, high=1)
        check_range("power", self.power, "Softmax", low=0)

    def __call__(self, step: Step) -> Tensor:
        _, counts = step.train.split(step.train.degree)
        log_popularity = (counts / counts.sum()).log()
        candidates, times, log_expected = self._draw(step, counts, log_popularity)
        candidate_emb = step.item_emb(candidates)  # first, so that the batch's rows come with them
        user_emb, positive_emb = step.user_emb, step.positive_emb
        if self.cosine:
            user_emb, positive_emb = unit(user_emb), unit(positive_emb)
            candidate_emb = unit(candidate_emb)
        user_emb = user_emb / self.temperature
        positive = (user_emb * positive_emb).sum(-1) + self.adjustment * log_popularity[step.positive]
        shift = self.adjustment * log_popularity[candidates] + times.log()
        if self.correction:
            shift = shift - log_expected
        left_out = known_pairs(step.train, step.user, step.positive, candidates, self.mask_positives)
        return losses.softmax_loss(
            positive,
            user_emb,
            candidate_emb,
            shift,
            left_out,
            step.weight,
            self.denominator_power,
            step.precision,
        )

    def _draw(self, step: Step, counts: Tensor, log_popularity: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return distinct candidates, how often each was drawn, and the log of how often that was expected."""
        device, generator, num = counts.device, step.generator, self.num_negatives
        if self.negatives == "in_batch":
            candidates, times = torch.unique(step.positive, return_counts=True)
            return candidates, times.float(), log_popularity[candidates] + math.log(len(step.positive))
        # An item without train interactions is never a negative: it would be learned as one.
        seen = step.train.seen_items
        if self.negatives == "popularity":
            share = counts[seen].double() ** self.power
            share = share / share.sum()
            drawn = torch.multinomial(share.to(generator.device), num, replacement=True, generator=generator)
            place, times = torch.unique(drawn.to(device), return_counts=True)
            return seen[place], times.float(), (share[place] * num).log().float()
        if self.negatives == "all" or (self.negatives == "uniform" and num >= len(seen)):
            return seen, torch.ones(len(seen), device=device), torch.zeros(len(seen), device=device)
        order = torch.randperm(len(seen), generator=generator, device=generator.device)
        candidates, share = seen[order[:num].to(device)], min(num / len(seen), 1.0)
        if self.negatives == "uniform":
            once = torch.ones(len(candidates), device=device)
            return candidates, once, torch.full_like(once, math.log(share))
        times = torch.bincount(step.positive, minlength=len(counts))
        times[candidates] += 1
        candidates = torch.nonzero(times).squeeze(1)
        expected = share + len(step.positive) * log_popularity[candidates].exp()
        return candidates, times[candidates].float(), expected.log()


def known_pairs(
    train: BipartiteGraph, user: Tensor, positive: Tensor, candidates: Tensor, all_positives: bool
) -> tuple[Tensor, Tensor]:
    """Return the (row, candidate) pairs that are no negatives: the row's own positive, or all train items.

    Shapes: user, positive [batch], candidates [n] (distinct) -> places in the batch, ascending, and in candidates.
    """
    slot = torch.full((train.num_items,), -1, device=user.device)
    slot[candidates] = torch.arange(len(candidates), device=user.device)
    if not all_positives:
        column = slot.index_select(0, positive)
        row = torch.nonzero(column >= 0).squeeze(1)
        return row, column.index_select(0, row)
    # A processor looks a user up once; an accelerator would wait to be told how many there are.
    distinct, of = torch.unique(user, return_inverse=True) if user.device.type == "cpu" else (user, None)
    place, end = _ranges(*train.user_range(distinct))
    column = slot.index_select(0, train.structure.item.index_select(0, place))
    found = torch.nonzero(column >= 0).squeeze(1)
    column, end = column.index_select(0, found), torch.searchsorted(found, end)
    length = end.diff(prepend=end.new_zeros(1))
    if of is not None:
        start, length = (end - length).index_select(0, of), length.index_select(0, of)
        column = column.index_select(0, _ranges(start, length)[0])
    row = torch.repeat_interleave(
        torch.arange(len(user), device=user.device), length, output_size=len(column)
    )
    return row, column


def _ranges(start: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Return the numbers start_i .. start_i + length_i - 1 of all i in turn, and where those of each end."""
    end = length.cumsum(0)
    number = torch.repeat_interleave(start - (end - length), length)
    return number.add_(torch.arange(len(number), device=number.device)), end


@dataclass
class PopDCL:
    """PopDCL on cosine scores against the other positives of the batch (see losses.pop_dcl).

    With train counts c and N train pairs, for a pair (u, i): share = c_i / sum of c over the items of u, a guess of how
    likely the pair came about by popularity alone, and odds = w / (1 - w), w = (sum of c over the items of u) / N, of
    a false negative. Liu et al. 2023, https://doi.org/10.1145/3583780.3615009, eq. 3 and 8. It differs from
    Softmax.adjustment, which shifts logits by the popularity of the item alone. As in the paper the other rows of
    the batch are the negatives, whatever they hold, without the logQ correction. Deviations: the authors' code also
    clamps negative cosines at 0 before correcting them; w is kept at or below 0.999.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"weight"})
    temperature: float = 0.1

    def __post_init__(self) -> None:
        check_range("temperature", self.temperature, "PopDCL", low=0, low_open=True)
        self._kept: tuple[BipartiteGraph, Tensor] | None = None

    def __call__(self, step: Step) -> Tensor:
        if self._kept is None or self._kept[0] is not step.train:
            self._kept = step.train, _touched(step.train)
        _, counts = step.train.split(step.train.degree)
        touched = self._kept[1][step.user]
        rate = (touched / counts.sum()).clamp(max=0.999)
        share, odds = counts[step.positive] / touched, rate / (1 - rate)
        user, item = unit(step.user_emb), unit(step.positive_emb)
        scores, size = user @ item.T, len(user)
        # Once the first entry is gone, the diagonal ends each row of size + 1.
        negative = scores.flatten()[1:].view(size - 1, size + 1)[:, :-1].reshape(size, size - 1)
        return losses.pop_dcl(
            scores.diagonal(), negative, share.float(), odds.float(), self.temperature, step.weight
        )


def _touched(train: BipartiteGraph) -> Tensor:
    """Return the sum of the train counts of each user's items: float64 [num_users]."""
    _, counts = train.split(train.degree)
    user, item = train.structure.user.long(), train.structure.item.long()
    return torch.bincount(user, weights=counts[item].double(), minlength=train.num_users)
