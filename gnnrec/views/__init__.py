"""Views of the graph and its node features, and the augmentations that turn one view into another.

An augmentation is any callable (view, generator) -> view. To add one, write a small frozen dataclass in one of these
files with a `__call__` and name its class path in a YAML.
"""

from gnnrec.views.edges import DegreeEdgeDropout, EdgeDropout, NodeDropout, RandomWalk
from gnnrec.views.features import FeatureMasking, ImportanceMasking, LayerNoise
from gnnrec.views.low_rank import LowRankGraph, SVDView
from gnnrec.views.text_edges import TextEdges, item_text, nearest_texts
from gnnrec.views.view import Augmentation, View, augment

__all__ = [
    "Augmentation",
    "DegreeEdgeDropout",
    "EdgeDropout",
    "FeatureMasking",
    "ImportanceMasking",
    "LayerNoise",
    "LowRankGraph",
    "NodeDropout",
    "RandomWalk",
    "SVDView",
    "TextEdges",
    "View",
    "augment",
    "item_text",
    "nearest_texts",
]
