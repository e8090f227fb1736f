"""Ways to split a data set, all seeded, fingerprinted and independent of row order."""

from gnnrec.data.splits.base import Split
from gnnrec.data.splits.cold import cold_item_split, cold_user_split, few_shot_item_split
from gnnrec.data.splits.make import SPLITS, make_split
from gnnrec.data.splits.published import published_split
from gnnrec.data.splits.random import cross_validation_split, leave_k_out_split, random_split
from gnnrec.data.splits.temporal import leave_last_out_split, temporal_global_split, temporal_user_split

__all__ = [
    "SPLITS",
    "Split",
    "cold_item_split",
    "cold_user_split",
    "cross_validation_split",
    "few_shot_item_split",
    "leave_k_out_split",
    "leave_last_out_split",
    "make_split",
    "published_split",
    "random_split",
    "temporal_global_split",
    "temporal_user_split",
]
