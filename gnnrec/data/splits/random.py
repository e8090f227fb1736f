"""Splits that draw each user's rows at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gnnrec.data.interactions import Interactions
from gnnrec.data.splits.base import (
    TEST,
    VALIDATION,
    Split,
    build_split,
    check_count,
    check_ratios,
    random_parts,
    random_ranks,
    rows_of,
)
from gnnrec.errors import check_range

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


def leave_k_out_split(source: Dataset | Interactions, k: int = 1, seed: int = 0) -> Split:
    """Draw `k` interactions of each user for test and `k` others for validation.

    Users with fewer than 2 k + 1 interactions have none held out: all of theirs are in train.
    """
    check_count("k", k, "leave_k_out", low=1)
    rows = rows_of(source)
    ranks = random_ranks(rows, np.random.default_rng(seed))
    part = parts_by_rank(rows, ranks, k)
    return build_split(rows, part, "leave_k_out", seed, {"k": k})


def parts_by_rank(rows: Interactions, ranks: np.ndarray, k: int) -> np.ndarray:
    """Return test for ranks below k, validation below 2 k, else train; too small users are all train."""
    enough = (rows.user_counts() > 2 * k)[rows.user]
    part = np.zeros(len(rows), dtype=np.int8)
    part[enough & (ranks < 2 * k)] = VALIDATION
    part[enough & (ranks < k)] = TEST
    return part


def cross_validation_split(
    source: Dataset | Interactions,
    folds: int = 5,
    fold: int = 0,
    validation: float = 0.1,
    seed: int = 0,
) -> Split:
    """Return fold number `fold` of a cross-validation over `folds` folds, drawn per user.

    With one seed the test parts of all folds are disjoint and together hold every interaction, except those
    of users with a single one, which stay in train. Of the rest, the share `validation` of each user is
    drawn for validation; at least one interaction of every user stays in train.
    """
    check_count("folds", folds, "cross_validation", low=2)
    check_count("fold", fold, "cross_validation", low=0, high=folds - 1)
    check_range("validation", validation, "cross_validation", low=0, high=1, low_open=True, high_open=True)
    rows = rows_of(source)
    generator = np.random.default_rng(seed)
    ranks = random_ranks(rows, generator)
    place = (ranks + generator.integers(folds, size=rows.num_users)[rows.user]) % folds
    part = np.zeros(len(rows), dtype=np.int8)
    part[(place == fold) & (rows.user_counts() > 1)[rows.user]] = TEST
    rest = part == 0
    part[rest] = random_parts(rows.select(rest), (1 - validation, validation, 0.0), generator)
    params = {"folds": folds, "fold": fold, "validation": validation}
    return build_split(rows, part, "cross_validation", seed, params)
