"""Which value of a metric is the best."""

from __future__ import annotations

from typing import Literal

_SMALLEST = ("gini", "miscalibration", "statistical_parity", "equal_opportunity")
_SMALLEST_OF = ("user_gap_", "user_std_")  # of an accuracy metric
# Counts, and properties of lists of which neither more nor less is better by itself.
_NONE = ("ties", "short_lists", "cold_score_gap", "avg_popularity", "popularity_lift", "exposure")


def best_value(metric: str) -> Literal["max", "min"] | None:
    """Return whether the largest or the smallest value of a metric is the best, None where neither is.

    >>> best_value("test/tail/ndcg@20"), best_value("test/gini@20"), best_value("test/ties@20")
    ('max', 'min', None)
    """
    name = metric.rpartition("/")[2].partition("@")[0]
    if name in _NONE:
        return None
    return "min" if name in _SMALLEST or name.startswith(_SMALLEST_OF) else "max"
