"""Terms that rank a user's train items before the sampled negatives of the step, and DirectAU, which needs none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gnnrec import losses
from gnnrec.errors import check_range
from gnnrec.objectives.step import Step


@dataclass(frozen=True)
class BPR:
    """Pairwise ranking against the sampled negatives (see losses.bpr), dot-product scores."""

    reads: ClassVar[frozenset[str]] = frozenset({"negative", "negative_emb", "weight"})

    def __call__(self, step: Step) -> Tensor:
        return losses.bpr(*step.scores(), step.weight)


@dataclass(frozen=True)
class BCE:
    """Binary cross-entropy of positives against the sampled negatives (see losses.bce), dot-product scores."""

    reads: ClassVar[frozenset[str]] = frozenset({"negative", "negative_emb", "weight"})

    def __call__(self, step: Step) -> Tensor:
        return losses.bce(*step.scores(), step.weight)


@dataclass(frozen=True)
class CosineContrastive:
    """SimpleX's loss on cosine scores against the sampled negatives (see losses.cosine_contrastive)."""

    reads: ClassVar[frozenset[str]] = frozenset({"negative", "negative_emb", "weight"})
    margin: float = 0.9
    negative_weight: float = 1.0

    def __post_init__(self) -> None:
        check_range("margin", self.margin, "CosineContrastive", low=-1, high=1)
        check_range("negative_weight", self.negative_weight, "CosineContrastive", low=0)

    def __call__(self, step: Step) -> Tensor:
        positive, negative = step.scores(cosine=True)
        return losses.cosine_contrastive(positive, negative, self.margin, self.negative_weight, step.weight)


@dataclass(frozen=True)
class BilateralSoftmax:
    """BSL on cosine scores against the sampled negatives (see losses.bilateral_softmax)."""

    reads: ClassVar[frozenset[str]] = frozenset({"negative", "negative_emb", "weight"})
    positive_temperature: float = 0.1
    negative_temperature: float = 0.1

    def __post_init__(self) -> None:
        for name in ("positive_temperature", "negative_temperature"):
            check_range(name, getattr(self, name), "BilateralSoftmax", low=0, low_open=True)

    def __call__(self, step: Step) -> Tensor:
        positive, negative = step.scores(cosine=True)
        return losses.bilateral_softmax(
            positive, negative, self.positive_temperature, self.negative_temperature, step.weight
        )


@dataclass(frozen=True)
class DirectAU:
    """Alignment of user and positive, and uniformity of the batch's users and items: a + weight (u_user + u_item) / 2.

    Wang et al. 2022, https://arxiv.org/abs/2206.12811, eq. 8 and 9. As in the authors' code, rows repeat where a
    user or item occurs twice in a batch.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"weight"})
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_range("weight", self.weight, "DirectAU", low=0)

    def __call__(self, step: Step) -> Tensor:
        spread = losses.uniformity(step.user_emb) + losses.uniformity(step.positive_emb)
        return losses.alignment(step.user_emb, step.positive_emb, step.weight) + self.weight * spread / 2
