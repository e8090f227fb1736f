"""The split that a data set was published with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gnnrec.data.interactions import Interactions
from gnnrec.data.splits.base import TRAIN, VALIDATION, Split, build_split, random_parts
from gnnrec.errors import DataError, check_range

if TYPE_CHECKING:
    from gnnrec.data.dataset import Dataset


def published_split(source: Dataset, carve: float = 0.1, seed: int = 0) -> Split:
    """Return the split of the data set's own files, with validation carved from train where they have none.

    Without published validation, the share `carve` of each user's train is drawn by `seed` (rounded at
    random; one row at least stays in train); test is as published. A pair that occurs in several parts
    counts for the earliest only (train before validation before test), since evaluation masks it in the
    later ones; repeats that were left out for that are counted in `params`.
    """
    check_range("carve", carve, "published", low=0, high=1, low_open=True, high_open=True)
    if isinstance(source, Interactions) or source.published is None:
        name = "these interactions" if isinstance(source, Interactions) else f"data set '{source.name}'"
        raise DataError(f"{name} came without a published split; use 'random' or another split")
    rows, part = _unique_rows(source)
    params = {
        "carved": not bool((part == VALIDATION).any()),
        "num_repeats": len(source.interactions) - len(rows),
    }
    if params["carved"]:
        train = part == TRAIN
        drawn = random_parts(rows.select(train), (1 - carve, carve, 0.0), np.random.default_rng(seed))
        part[train] = drawn
        params["carve"] = carve
    return build_split(rows, part, "published", seed, params)


def _unique_rows(source: Dataset) -> tuple[Interactions, np.ndarray]:
    """Return unique rows in canonical order and their part; of repeats the earliest part's newest row."""
    rows = source.interactions
    assert source.published is not None
    part = source.published.astype(np.int8)
    if rows.unique:
        order = rows.canonical_order()
        return (rows, part.copy()) if order is None else (rows.select(order), part[order])
    age = np.zeros(len(rows), dtype=np.int64) if rows.timestamp is None else -rows.timestamp
    value = np.zeros(len(rows), dtype=np.float32) if rows.rating is None else -rows.rating
    keys = rows.pair_keys()
    order = np.lexsort((value, age, part, keys))
    keys = keys[order]
    chosen = order[np.r_[True, keys[1:] != keys[:-1]]] if len(order) else order
    return rows.select(chosen).marked_unique(), part[chosen]
