"""Whether the test pairs of a split are like its validation pairs, so that what is chosen on these holds for those."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from gnnrec.data.groups import item_groups
from gnnrec.data.interactions import Interactions
from gnnrec.data.splits.base import Split

_BLOCK = 256
_USERS = 2000


def held_out_facts(split: Split) -> dict[str, Any]:
    """Return facts of validation and of test, and how far the two are apart, as plain JSON values.

    For each part: `num_pairs`, the shares of its pairs by popularity group of their item in train (cold: no train
    pair), and `nearness`, the mean cosine of the item i of a pair (u, i) to the train items of u,

        1 / |N_u| sum_{j in N_u} |U_i & U_j| / sqrt(|U_i| |U_j|)

    with the users U and the items N of train, averaged over each user's pairs, then over 2,000 users drawn from
    those with pairs in train and in both parts. `test - validation` is the mean difference and its standard
    error over these users: many errors from 0 where the two parts were not drawn alike. Empty parts are left out.
    """
    parts = {name: part for name in ("validation", "test") if len(part := getattr(split, name))}
    groups = item_groups(split.train).members
    facts: dict[str, Any] = {}
    for name, part in parts.items():
        shares = {f"share_{group}": float(groups[group][part.item].mean()) for group in groups}
        facts[name] = {"num_pairs": len(part), **shares}
    known = np.logical_and.reduce([part.user_counts() > 0 for part in (split.train, *parts.values())])
    users = np.flatnonzero(known)
    users = np.sort(np.random.default_rng(0).permutation(users)[:_USERS])
    if not parts or not len(users):
        return facts
    near = _nearness(split.train, list(parts.values()), users)
    for name, values in zip(parts, near):
        facts[name] |= {"nearness": float(values.mean()), "nearness_users": len(users)}
    if len(parts) == 2 and len(users) > 1:
        difference = near[1] - near[0]
        error = float(difference.std(ddof=1) / np.sqrt(len(users)))
        facts["test - validation"] = {"nearness": float(difference.mean()), "standard_error": error}
    return facts


def _nearness(train: Interactions, parts: list[Interactions], users: np.ndarray) -> list[np.ndarray]:
    """Return for each part the mean nearness of each user's pairs, float64 [len(users)]."""
    pairs = train.csr()
    # Columns of unit length: their products are the cosines of items.
    scaled = sp.csr_array(pairs.multiply(1 / np.sqrt(np.maximum(train.item_counts(), 1))))
    means = sp.csr_array(pairs.multiply(1 / np.maximum(train.user_counts(), 1)[:, None]))
    held = [part.csr() for part in parts]
    near = [np.empty(len(users)) for _ in parts]
    for start in range(0, len(users), _BLOCK):
        rows = users[start : start + _BLOCK]
        scores = (means[rows] @ scaled.T) @ scaled
        for values, pairs_of in zip(near, held):
            asked = sp.csr_array(pairs_of[rows])
            values[start : start + _BLOCK] = scores.multiply(asked).sum(axis=1) / asked.sum(axis=1)
    return near
