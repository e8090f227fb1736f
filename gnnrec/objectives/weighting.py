"""Weights of train pairs by popularity and activity, around any ranking term."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gnnrec.errors import check_range
from gnnrec.graph import BipartiteGraph
from gnnrec.objectives.step import Step, Term, check_reads


@dataclass
class InversePropensity:
    """A ranking term whose pairs are weighted by their inverse propensity: w_ui ~ count_i^-power count_u^-user_power.

    A popular item is observed more often than it is liked: dividing by the propensity of being seen undoes that in
    expectation. Propensity (count_i / max count)^power is that of Saito et al. 2020, https://arxiv.org/abs/1909.03601,
    section 5.1.1 (power 0.5), who weigh positives alone; here, as each term says, the whole loss of a pair. Weights are
    cut at max_weight times their mean (clipping; Saito et al., section 4.3), then scaled to a mean of 1 over all
    train pairs, so that other terms keep their proportion. power may be negative: head items then count more.

    Args:
        term: any term that reads `step.weight`. power, user_power: see above; 0 is off.
        max_weight: largest weight before the last scaling, in multiples of the mean; None leaves them.
    """

    term: Term
    power: float = 0.5
    user_power: float = 0.0
    max_weight: float | None = 10.0

    def __post_init__(self) -> None:
        check_reads(self.term, "weight", "InversePropensity")
        check_range("power", self.power, "InversePropensity")
        check_range("user_power", self.user_power, "InversePropensity")
        if self.max_weight is not None:
            check_range("max_weight", self.max_weight, "InversePropensity", low=1)
        self._kept: tuple[BipartiteGraph, tuple[Tensor, Tensor, float, float]] | None = None

    def __call__(self, step: Step) -> Tensor:
        if self._kept is None or self._kept[0] is not step.train:
            self._kept = step.train, self._prepare(step.train)
        user, item, most, mean = self._kept[1]
        weight = (user[step.user] * item[step.positive]).clamp(max=most) / mean
        if step.weight is not None:
            weight = weight * step.weight
        return self.term(step.changed(weight=weight))

    def _prepare(self, train: BipartiteGraph) -> tuple[Tensor, Tensor, float, float]:
        """Return the users' and the items' factors, the largest product, and the mean over train of what is left."""
        user, item = train.split(train.degree.clamp(min=1))
        user, item = user**-self.user_power, item**-self.power
        weight = user[train.structure.user.long()] * item[train.structure.item.long()]
        most = float("inf") if self.max_weight is None else self.max_weight * float(weight.mean())
        return user, item, most, float(weight.clamp(max=most).mean())
