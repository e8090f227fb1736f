"""Objectives: named, weighted sums of terms over one training step.

A term is any callable (step) -> scalar. To add one, write a small frozen dataclass with a `__call__` in one of
these files and name its class path in a YAML under `objective`. A term may have
needs_layers: True if it reads the layers of the main states;
reads: the fields of the step ("negative", "negative_emb", "weight") that it reads: a term around it may replace them,
    and where none reads "negative", no negatives are drawn;
begin_epoch(epoch, view, generator): called before each epoch;
check_encoder(encoder, dim): raises a ConfigError for an encoder that it cannot work with.
"""

from gnnrec.objectives.contrast import Contrast, CrossLayer
from gnnrec.objectives.negatives import MixedNegatives, Negatives
from gnnrec.objectives.prototypes import Prototypes
from gnnrec.objectives.ranking import BCE, BPR, BilateralSoftmax, CosineContrastive, DirectAU
from gnnrec.objectives.reconstruction import MaskedReconstruction
from gnnrec.objectives.regularisation import L2
from gnnrec.objectives.softmax import PopDCL, Softmax, known_pairs
from gnnrec.objectives.step import Objective, Step, Term, Weighted, check_encoder, rows
from gnnrec.objectives.text import TextContrast, TextReconstruction
from gnnrec.objectives.ultragcn import Constraint, ItemItem
from gnnrec.objectives.weighting import InversePropensity

__all__ = [
    "BCE",
    "BPR",
    "L2",
    "BilateralSoftmax",
    "Constraint",
    "Contrast",
    "CosineContrastive",
    "CrossLayer",
    "DirectAU",
    "InversePropensity",
    "ItemItem",
    "MaskedReconstruction",
    "MixedNegatives",
    "Negatives",
    "Objective",
    "PopDCL",
    "Prototypes",
    "Softmax",
    "Step",
    "Term",
    "TextContrast",
    "TextReconstruction",
    "Weighted",
    "check_encoder",
    "known_pairs",
    "rows",
]
