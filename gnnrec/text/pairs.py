"""Pairs of rows that share interactions in train."""

from __future__ import annotations

import numpy as np

from gnnrec.data.interactions import Interactions
from gnnrec.errors import DataError


def co_interaction_pairs(train: Interactions, num: int, seed: int = 0, side: str = "item") -> np.ndarray:
    """Return `num` random pairs of different items of one user (side 'user': of different users of one item).

    A pair is drawn as a random interaction and a random other interaction of the same user, so both
    frequent items and active users are drawn often.

    Shapes: int64 [num, 2].
    """
    owner, member = (train.user, train.item) if side == "item" else (train.item, train.user)
    order = np.argsort(owner, kind="stable")
    owner, member = owner[order], member[order].astype(np.int64)
    size = np.bincount(owner)
    start = np.concatenate([[0], np.cumsum(size)[:-1]])
    usable = np.flatnonzero(size[owner] > 1)
    if not len(usable):
        raise DataError(f"no two {side}s share an interaction in train: there are no pairs to learn from")
    generator = np.random.default_rng(seed)
    first = generator.choice(usable, size=num)
    count, begin = size[owner[first]], start[owner[first]]
    other = generator.integers(0, count - 1)
    second = begin + other + (begin + other >= first)
    return np.stack([member[first], member[second]], axis=1)
