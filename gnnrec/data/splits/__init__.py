"""Ways to split a data set, all seeded, fingerprinted and independent of row order."""

from gnnrec.data.splits.base import Split
from gnnrec.data.splits.cold import cold_item_split
from gnnrec.data.splits.make import SPLITS, make_split
from gnnrec.data.splits.random import random_split

__all__ = ["SPLITS", "Split", "cold_item_split", "make_split", "random_split"]
