"""Splits that draw rows of each user at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gnnrec.data.interactions import Interactions
from gnnrec.data.splits.base import Split, build_split, check_ratios, random_parts, rows_of

if TYPE_CHECKING:
    from gnnrec.data.dataset import Dataset


def random_split(
    source: Dataset | Interactions,
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> Split:
    """Split each user's interactions at random by `ratios` (train, validation, test).

    Every user keeps at least one train interaction; shares that are no whole numbers are rounded at random,
    so that the totals follow the ratios. The result depends on the set of pairs and the seed, not on row
    order.
    """
    shares = check_ratios(ratios, "random")
    rows = rows_of(source)
    part = random_parts(rows, shares, np.random.default_rng(seed))
    lacking = "validation" if shares[1] == 0 else ""
    return build_split(rows, part, "random", seed, {"ratios": list(ratios)}, may_lack=lacking)
