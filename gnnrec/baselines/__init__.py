"""Baselines with the scoring face of the graph models and no gradient training.

Each is a class: `Class(**hyperparameters).fit(train, item_vectors, user_vectors)` returns a scorer.
"""

from gnnrec.baselines.content import ContentKNN
from gnnrec.baselines.ease import EASE
from gnnrec.baselines.fusion import Embeddings, Fusion
from gnnrec.baselines.ials import IALS
from gnnrec.baselines.knn import ItemKNN, UserKNN
from gnnrec.baselines.popularity import Popularity
from gnnrec.baselines.rp3beta import RP3Beta
from gnnrec.baselines.slim import SLIM
from gnnrec.baselines.spectral import GFCF, SVDAE, NormalizedSVD
from gnnrec.baselines.text_ease import TextEASE
from gnnrec.baselines.text_map import TextRidge

__all__ = [
    "EASE",
    "GFCF",
    "IALS",
    "SLIM",
    "SVDAE",
    "ContentKNN",
    "Embeddings",
    "Fusion",
    "ItemKNN",
    "NormalizedSVD",
    "Popularity",
    "RP3Beta",
    "TextEASE",
    "TextRidge",
    "UserKNN",
]
