"""Objectives: named, weighted sums of terms over one training step.

A term is any callable (step) -> scalar. To add one, write a small frozen dataclass with a `__call__` in one of
these files and name its class path in a YAML under `objective`.
"""

from gnnrec.objectives.contrast import Contrast, CrossLayer
from gnnrec.objectives.ranking import (
    BCE,
    BPR,
    BilateralSoftmax,
    CosineContrastive,
    DirectAU,
    Softmax,
    known_pairs,
)
from gnnrec.objectives.regularisation import L2
from gnnrec.objectives.step import Objective, Step, Term, Weighted, rows

__all__ = [
    "BCE",
    "BPR",
    "L2",
    "BilateralSoftmax",
    "Contrast",
    "CosineContrastive",
    "CrossLayer",
    "DirectAU",
    "Objective",
    "Softmax",
    "Step",
    "Term",
    "Weighted",
    "known_pairs",
    "rows",
]
