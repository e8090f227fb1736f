"""Terms around a ranking term that give it other negatives: by popularity, the hardest of a pool, or mixed ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gnnrec.errors import ConfigError, check_range
from gnnrec.graph import BipartiteGraph
from gnnrec.objectives.sampling import NegativeSampler
from gnnrec.objectives.step import Step, Term, check_reads, parts, rows
from gnnrec.unit import unit


@dataclass
class _Sampler:
    """A sampler with an exponent, made for the first graph it is asked for and for each new one."""

    power: float
    kept: tuple[BipartiteGraph, NegativeSampler] | None = None

    def __call__(self, step: Step, num_negatives: int) -> Tensor:
        if self.kept is None or self.kept[0] is not step.train:
            self.kept = step.train, NegativeSampler(step.train, self.power)
        return self.kept[1].sample(step.user, num_negatives, step.generator)


@dataclass
class Negatives:
    """A ranking term on negatives of its own: P(i | u) in proportion to count_i^power, or the hardest of a pool.

    With `pool` above 1 each negative is the highest scored of so many draws: dynamic negative sampling (Zhang et al.
    2013, https://doi.org/10.1145/2484028.2484126, algorithm 1, there with one negative a pair).

    Args:
        term: any term on the sampled negatives (BPR, BCE, CosineContrastive, BilateralSoftmax, L2).
        num_negatives: per pair.
        power: 0 is uniform (see NegativeSampler).
        pool: draws per negative.
        cosine: the pool is ranked by cosine rather than dot product, as for a term on cosines.
    """

    term: Term
    num_negatives: int = 1
    power: float = 0.0
    pool: int = 1
    cosine: bool = False

    def __post_init__(self) -> None:
        _check_inner(self.term, "negative", "Negatives")
        check_range("num_negatives", self.num_negatives, "Negatives", low=1)
        check_range("power", self.power, "Negatives", low=0)
        check_range("pool", self.pool, "Negatives", low=1)
        self._sampler = _Sampler(self.power)

    def __call__(self, step: Step) -> Tensor:
        negative = self._sampler(step, self.num_negatives * self.pool)
        if self.pool == 1:
            return self.term(step.changed(negative=negative))
        return self.term(step.changed(**self._hardest(step, negative)))

    def _hardest(self, step: Step, negative: Tensor) -> dict[str, Tensor]:
        """Return the highest scored of each pool and its final rows."""
        emb = step.item_emb(negative)
        ranked = unit(emb.detach()) if self.cosine else emb.detach()
        scores = torch.einsum("bd,bnd->bn", step.user_emb.detach(), ranked)
        best = scores.unflatten(1, (self.num_negatives, self.pool)).argmax(dim=2)
        best = best + torch.arange(self.num_negatives, device=best.device) * self.pool
        chosen = emb.gather(1, best.unsqueeze(2).expand(-1, -1, emb.shape[2]))
        return {"negative": negative.gather(1, best), "negative_emb": chosen}


@dataclass
class MixedNegatives:
    """A ranking term on one synthetic negative a pair: the hardest of a pool, mixed with the positive layer by layer.

    For layer l and candidate n: m_n = a e_i^l + (1 - a) e_n^l with a ~ U(0, 1) per pair and layer; the candidate of
    largest e_u . m_n is taken, and the negative is the sum over l of these, weighted as the encoder weighs its layers.
    Huang et al. 2021, MixGCF, https://doi.org/10.1145/3447548.3467408, section 3; as in the authors' code, e_u is the
    final state of the user and gradients reach the positive through the mixture. Deviation: with an encoder whose
    final state is no weighted sum of its layers (all but LightGCN), the final states are mixed, as one layer. A
    node without edges, whose final state is a multiple of x, has zeros at the layers above 0 here: as a negative it
    counts by the weight of layer 0 alone.

    Args:
        term: one on the scores of the sampled negatives (BPR, BCE, CosineContrastive, BilateralSoftmax); it reads the
            mixture as its only negative.
        num_negatives: candidates per pair. power: as for Negatives.
    """

    term: Term
    num_negatives: int = 16
    power: float = 0.0
    needs_layers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_inner(self.term, "negative_emb", "MixedNegatives")
        check_range("num_negatives", self.num_negatives, "MixedNegatives", low=1)
        check_range("power", self.power, "MixedNegatives", low=0)
        self._sampler = _Sampler(self.power)

    def __call__(self, step: Step) -> Tensor:
        negative = self._sampler(step, self.num_negatives)
        weights: Sequence[float] | None = getattr(step.encoder, "layer_weights", None)
        layers = [step.states.final] if weights is None else step.states.layers
        pairs = zip(weights or (1.0,), layers, strict=True)
        hops = [weight * self._mix(step, layer, negative) for weight, layer in pairs if weight]
        return self.term(step.changed(negative_emb=torch.stack(hops).sum(dim=0).unsqueeze(1)))

    def _mix(self, step: Step, layer: Tensor, negative: Tensor) -> Tensor:
        """Return the mixture of one layer: [batch, dim]."""
        node, generator = step.train.item_node, step.generator
        share = torch.rand(len(negative), 1, 1, generator=generator, device=generator.device).to(layer.device)
        positive = rows(layer, node(step.positive)).unsqueeze(1)
        mixed = share * positive + (1 - share) * rows(layer, node(negative))
        best = torch.einsum("bd,bnd->bn", step.user_emb, mixed).argmax(dim=1)
        return mixed.gather(1, best.view(-1, 1, 1).expand(-1, 1, mixed.shape[2])).squeeze(1)


def _check_inner(term: Term, field: str, where: str) -> None:
    """Raise a ConfigError unless a term reads what it is given, and nothing inside it takes other negatives instead."""
    check_reads(term, field, where)
    for part in parts(term):
        if isinstance(part, (Negatives, MixedNegatives)):
            raise ConfigError(
                f"'{where}' gives its term negatives, and the {type(part).__name__} inside it would take others "
                "instead: leave one of them out"
            )
