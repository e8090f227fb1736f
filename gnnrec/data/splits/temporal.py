"""Splits along time: by each user's own order, or at one moment for everybody."""

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
    check_real_times,
    rows_of,
    shares_of,
    time_ranks,
    times_of,
)
from gnnrec.data.splits.random import parts_by_rank
from gnnrec.errors import ConfigError, DataError

if TYPE_CHECKING:
    from gnnrec.data.dataset import Dataset


def leave_last_out_split(source: Dataset | Interactions, k: int = 1, seed: int = 0) -> Split:
    """Hold out each user's last `k` interactions for test and the `k` before them for validation.

    Equal times are ordered at random by `seed`. Users with fewer than 2 k + 1 interactions have none held
    out.
    """
    check_count("k", k, "leave_last_out", low=1)
    rows = rows_of(source)
    ranks = time_ranks(rows, np.random.default_rng(seed), "leave_last_out")
    return build_split(rows, parts_by_rank(rows, ranks, k), "leave_last_out", seed, {"k": k})


def temporal_user_split(
    source: Dataset | Interactions,
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> Split:
    """Split each user's interactions along the user's own time by `ratios`: the newest are test.

    No row of a user's train is newer than one of the same user's validation, nor that than one of test; equal
    times are ordered at random by `seed`. Shares are rounded as in random_split; one row at least is in
    train.
    """
    shares = check_ratios(ratios, "temporal_user")
    rows = rows_of(source)
    generator = np.random.default_rng(seed)
    ranks = time_ranks(rows, generator, "temporal_user")
    part = shares_of(rows, ranks, shares, generator)
    lacking = "validation" if shares[1] == 0 else ""
    return build_split(rows, part, "temporal_user", seed, {"ratios": list(ratios)}, may_lack=lacking)


def temporal_global_split(
    source: Dataset | Interactions,
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1),
    validation_from: int | None = None,
    test_from: int | None = None,
    seed: int = 0,
) -> Split:
    """Cut time at two moments for all users: train before both, validation between, test from the second.

    The moments are `validation_from` and `test_from` (in the unit of the timestamps), or else those that come
    closest to `ratios` (validation's first, then test's among the later ones); if one is given, the other divides
    what is before `test_from` (or from `validation_from` on) in the proportion of `ratios`. All rows of one moment
    are on the same side; a validation share of 0 makes the two moments one. Users and items that appear only after
    the cut stay in validation and test, where Split.cold_users and Split.cold_items mark them; their numbers are in
    `params`. `seed` has no influence.
    """
    for name, moment in (("validation_from", validation_from), ("test_from", test_from)):
        if moment is not None and (isinstance(moment, bool) or not isinstance(moment, int | float)):
            raise ConfigError(
                f"'{name}' must be a number in the unit of the timestamps (seconds since 1970) in "
                f"'temporal_global' (got {moment!r})"
            )
    shares = check_ratios(ratios, "temporal_global")
    rows = rows_of(source)
    times = times_of(rows, "temporal_global")
    check_real_times(source, "temporal_global", "'leave_last_out' or 'temporal_user'")
    validation_from, test_from = _moments(times, shares, validation_from, test_from)
    part = np.zeros(len(rows), dtype=np.int8)
    part[times >= validation_from] = VALIDATION
    part[times >= test_from] = TEST
    params = {"ratios": list(ratios), "validation_from": validation_from, "test_from": test_from}
    lacking = "validation" if shares[1] == 0 else ""
    split = build_split(rows, part, "temporal_global", seed, params, may_lack=lacking)
    params["num_cold_users"] = int(split.cold_users.sum())
    params["num_cold_items"] = int(split.cold_items.sum())
    return split


def _moments(
    times: np.ndarray,
    shares: tuple[float, float, float],
    validation_from: int | None,
    test_from: int | None,
) -> tuple[int, int]:
    """Return where validation and test begin: as given, else by the shares."""
    if validation_from is not None and test_from is not None:
        return validation_from, test_from
    train, validation, test = shares
    if validation_from is not None:
        later = times[times >= validation_from]
        return validation_from, _nearest_moment(later, validation / (validation + test or 1), validation_from)
    if test_from is not None and validation == 0:
        return test_from, test_from
    if test_from is not None:
        return _nearest_moment(times[times < test_from], train / (train + validation), test_from), test_from
    return _nearest_moments(times, shares)


def _nearest_moment(times: np.ndarray, share: float, empty: int) -> int:
    """Return the moment before which the number of rows is nearest to the share, `empty` where there are no rows."""
    if not len(times):
        return empty
    moments, counts = np.unique(times, return_counts=True)
    return int(moments[np.abs(np.cumsum(counts) - counts - round(len(times) * share)).argmin()])


def _nearest_moments(times: np.ndarray, shares: tuple[float, float, float]) -> tuple[int, int]:
    """Return the moments before which the numbers of rows are nearest to the shares.

    No part is left empty, but validation where its share is 0.
    """
    moments, counts = np.unique(times, return_counts=True)
    num_parts = 2 if shares[1] == 0 else 3
    if len(moments) < num_parts:
        raise DataError(
            f"'temporal_global' needs {num_parts} different times, one a part, and the data has {len(moments)}; "
            "use 'random'"
        )
    earlier = np.cumsum(counts) - counts
    if num_parts == 2:
        only = 1 + int(np.abs(earlier[1:] - round(len(times) * shares[0])).argmin())
        return int(moments[only]), int(moments[only])
    first = 1 + int(np.abs(earlier[1:-1] - round(len(times) * shares[0])).argmin())
    later = np.abs(earlier[first + 1 :] - round(len(times) * (shares[0] + shares[1])))
    return int(moments[first]), int(moments[first + 1 + int(later.argmin())])
