"""How ids, texts and other features become the node matrix x that an encoder sees: the init modes.

Users and items are two sides; each side is a small module whose forward() returns [num_rows, dim].
"""

from gnnrec.features.combine import Combined, NodeFeatures
from gnnrec.features.config import COMBINATIONS, MODES, STARTS, USER_MODES, InitConfig
from gnnrec.features.make import make_features
from gnnrec.features.neighbours import TextNeighbours
from gnnrec.features.prepare import Prepared, Vectors, as_array, prepare, profile, side_by_side
from gnnrec.features.projection import BlockPart, CategoryTable, ExpertProjection, Projection
from gnnrec.features.tables import FullTextTable, IdTable, StartedTable, TextTable

__all__ = [
    "COMBINATIONS",
    "MODES",
    "STARTS",
    "USER_MODES",
    "BlockPart",
    "CategoryTable",
    "Combined",
    "ExpertProjection",
    "FullTextTable",
    "IdTable",
    "InitConfig",
    "NodeFeatures",
    "Prepared",
    "Projection",
    "StartedTable",
    "TextNeighbours",
    "TextTable",
    "Vectors",
    "as_array",
    "make_features",
    "prepare",
    "profile",
    "side_by_side",
]
