"""Strict cold start: items (or users) of which training sees nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gnnrec.data.interactions import Interactions
from gnnrec.data.splits.base import TEST, VALIDATION, Split, build_split, check_ratios, random_parts, rows_of
from gnnrec.errors import check_range

if TYPE_CHECKING:
    from gnnrec.data.dataset import Dataset


def cold_item_split(
    source: Dataset | Interactions,
    cold: float = 0.2,
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> Split:
    """Hide the share `cold` of the items that have interactions, drawn at random: half for validation, half
    for test.

    All interactions of a cold item go to its part. Those of the other items are split per user by `ratios`,
    so that warm-only and joint numbers exist beside the cold-only ones.
    """
    check_range("cold", cold, "cold_item", low=0, high=1, low_open=True, high_open=True)
    rows = rows_of(source)
    generator = np.random.default_rng(seed)
    order = generator.permutation(np.flatnonzero(rows.item_counts()))
    params = {"cold": cold, "ratios": list(ratios)}
    return _with_cold_items(rows, order[: round(cold * len(order))], "cold_item", seed, params, generator)


def _with_cold_items(
    rows: Interactions,
    cold_items: np.ndarray,
    name: str,
    seed: int,
    params: dict,
    generator: np.random.Generator,
) -> Split:
    """Send the first half of `cold_items` to validation, the second half to test, and split the rest per
    user.
    """
    shares = check_ratios(params["ratios"], name)
    where = np.zeros(rows.num_items, dtype=np.int8)
    half = len(cold_items) // 2
    where[cold_items[:half]] = VALIDATION
    where[cold_items[half:]] = TEST
    part = where[rows.item]
    warm = part == 0
    part[warm] = random_parts(rows.select(warm), shares, generator)
    recorded = {
        **params,
        "num_cold_validation_items": half,
        "num_cold_test_items": len(cold_items) - half,
    }
    return build_split(rows, part, name, seed, recorded)
