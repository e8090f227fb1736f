"""Baselines with the scoring face of the graph models and no gradient training.

Each is a class: `Class(**hyperparameters).fit(train, item_vectors, user_vectors)` returns a scorer.
"""

from gnnrec.baselines.ease import EASE
from gnnrec.baselines.knn import ContentKNN, ItemKNN
from gnnrec.baselines.popularity import Popularity

__all__ = ["EASE", "ContentKNN", "ItemKNN", "Popularity"]
