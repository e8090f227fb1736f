"""One run's metrics by group of items and users, as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gnnrec.evaluation.metrics import ALL_METRICS
from gnnrec.report.style import COLOURS, new_figure

SHOWN = ("recall", "ndcg")


def metrics_by_group(metrics: Mapping[str, float]) -> Any:
    """Draw Recall and NDCG on test, overall and for every group.

    At 20, or at the first cutoff where there is no 20; where neither was measured, the first two metrics that were.
    """
    rows = {name: _by_group(metrics, name) for name in _shown(metrics)}
    groups = list(dict.fromkeys(group for values in rows.values() for group in values))
    figure, axes = new_figure(1, 1, 1.5 + 0.55 * len(groups), 3.0)
    axis, place = axes[0, 0], np.arange(len(groups))
    for index, (name, values) in enumerate(rows.items()):
        heights = [values.get(group, np.nan) for group in groups]
        axis.bar(place + 0.4 * index - 0.2, heights, 0.4, label=name, color=COLOURS[index])
    axis.set_xticks(place, groups, rotation=35, ha="right")
    axis.set_ylabel("test")
    axis.legend(frameon=False)
    return figure


def _shown(metrics: Mapping[str, float]) -> list[str]:
    names = [key.removeprefix("test/") for key in metrics if key.startswith("test/") and key.count("/") == 1]
    measured = [name for name in names if name.partition("@")[0] in ALL_METRICS]
    cutoffs = [name.partition("@")[2] for name in measured if "@" in name]
    k = "20" if "20" in cutoffs else next(iter(cutoffs), "")
    return [name for name in measured if name in {f"{metric}@{k}" for metric in SHOWN}] or measured[:2]


def _by_group(metrics: Mapping[str, float], name: str) -> dict[str, float]:
    found = {}
    for key, value in metrics.items():
        parts = key.split("/")
        if parts[0] == "test" and parts[-1] == name and value is not None:
            found["all" if len(parts) == 2 else parts[1]] = value
    return found
