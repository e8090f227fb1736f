"""Paired tests over users: does a row differ from the best baseline of its column?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gnnrec.errors import DataError
from gnnrec.evaluation.direction import best_value
from gnnrec.evaluation.significance import differences, holm, paired_t
from gnnrec.report.frame import FinishedRun

Runs = Mapping[tuple[str, str], Sequence[FinishedRun]]


def paired_p_values(
    runs: Runs, baselines: Sequence[str], metrics: Sequence[str]
) -> dict[tuple[str, str, str], float]:
    """Return Holm-corrected p-values of each row that is no baseline, by (block, row, metric).

    Each user's value is averaged over seeds first; the test is a paired t-test over users against the baseline
    with the best mean, two-sided; the correction is over the rows of one block and metric. A metric that a block does
    not have or that has no best value is left out, and so are users without a relevant item there.

    Args:
        runs: (block, row) -> the runs of all seeds.
    Errors: DataError unless the rows of a block have the same users.
    """
    result: dict[tuple[str, str, str], float] = {}
    for block in dict.fromkeys(block for block, _ in runs):
        rows = [row for at, row in runs if at == block]
        for metric in metrics:
            values = {
                row: mean_over_seeds(runs[block, row], metric)
                for row in rows
                if _has(runs[block, row], metric)
            }
            known = [row for row in baselines if row in values]
            others = [row for row in values if row not in baselines]
            best = best_row({row: values[row] for row in known}, metric)
            if best is None or not others:
                continue
            _check_users([run for row in values for run in runs[block, row]])
            result |= {(block, row, metric): p for row, p in _against(values, best, others).items()}
    return result


def _against(values: Mapping[str, np.ndarray], best: str, others: Sequence[str]) -> dict[str, float]:
    """Return the Holm-corrected p-value of a paired t-test over users of each of `others` against `best`."""
    against = [differences(values[row], values[best]) for row in others]
    raw = [paired_t(difference[~np.isnan(difference)]) for difference in against]
    return dict(zip(others, holm(raw)))


def best_row(values: Mapping[str, np.ndarray], metric: str) -> str | None:
    """Return the row with the best mean over users; None where there is no row, or no value is the best."""
    best = best_value(metric)
    if best is None or not values:
        return None
    return (max if best == "max" else min)(values, key=lambda row: float(np.nanmean(values[row])))


def mean_over_seeds(runs: Sequence[FinishedRun], metric: str) -> np.ndarray:
    """Return each user's mean over the runs, float64 [num_users]; a DataError unless all have the same users."""
    _check_users(runs)
    return np.mean([run.per_user(metric)[metric] for run in runs], axis=0)


def _check_users(runs: Sequence[FinishedRun]) -> None:
    users = [run.per_user("users")["users"] for run in runs]
    for run, found in zip(runs, users):
        if not np.array_equal(found, users[0]):
            raise DataError(
                f"'{run.path}' was evaluated on other users than '{runs[0].path}': "
                "users are compared in pairs, so choose runs of one data set and one split"
            )


def _has(runs: Sequence[FinishedRun], metric: str) -> bool:
    return all(run.result["metrics"].get(metric) is not None for run in runs)
