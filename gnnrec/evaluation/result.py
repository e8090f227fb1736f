"""The result of an evaluation: arrays over users, from which every mean, group and test derives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gnnrec.data.interactions import Interactions
from gnnrec.evaluation.metrics import ALL_METRICS
from gnnrec.evaluation.task import Task


@dataclass
class Evaluation:
    """The result of `evaluate`: arrays over the evaluated users, from which every mean and test derives.

    Args:
        split: "validation" or "test".
        ks: the cutoffs.
        users: int64[m], the users with at least one relevant item, ascending.
        num_left_out: users without a relevant item, who are in no mean.
        per_user: metric key -> float64[m], NaN where a user has no relevant item in that group.
        scalars: metric key -> value that is no mean over users (ties, score gap, coverage, ...).
        user_groups: group name -> bool[m], membership of the evaluated users.
        top_items: int32 [m, max(ks)], the recommended items among all candidates, -1 where there are fewer.
        top_hits: bool [m, max(ks)], whether they are relevant.
        fairness: whether `metrics` also compares the user groups.
    """

    split: str
    ks: tuple[int, ...]
    users: np.ndarray
    num_left_out: int
    per_user: dict[str, np.ndarray]
    scalars: dict[str, float]
    user_groups: dict[str, np.ndarray]
    top_items: np.ndarray = field(repr=False)
    top_hits: np.ndarray = field(repr=False)
    fairness: bool = False

    def metrics(self) -> dict[str, float]:
        """Return every metric as one number: means over users with a relevant item, user groups, scalars."""
        result = {key: nan_mean(values) for key, values in self.per_user.items()}
        for key, values in self.per_user.items():
            parts = key.split("/")
            if len(parts) == 2:
                for group, member in self.user_groups.items():
                    result[f"{parts[0]}/{group}/{parts[1]}"] = nan_mean(values[member])
        if self.fairness:
            result |= self.user_fairness()
        return result | self.scalars

    def user_fairness(self) -> dict[str, float]:
        """Return `user_gap_METRIC@k` (max - min) and `user_std_METRIC@k` over the means of the user groups."""
        result = {}
        for key, values in self.per_user.items():
            split, *group, name = key.split("/")
            if not group and name.partition("@")[0] in ALL_METRICS:
                means = np.array([nan_mean(values[member]) for member in self.user_groups.values()])
                means = means[np.isfinite(means)]
                if len(means):
                    result[f"{split}/user_gap_{name}"] = float(means.max() - means.min())
                    result[f"{split}/user_std_{name}"] = float(means.std())
        return result


def nan_mean(values: np.ndarray) -> float:
    """Return the mean of the numbers that are not NaN, NaN if there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def describe_groups(task: Task, train: Interactions, evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """Return for each group its rule, thresholds, size, train interactions and number of evaluated users.

    Of a group of items these are the users with a relevant item in it.
    """
    relevant = task.relevant
    evaluated = {
        name: len(np.unique(relevant.user[member[relevant.item]]))
        for name, member in task.items.members.items()
    }
    evaluated |= {name: int(member[evaluation.users].sum()) for name, member in task.users.members.items()}
    described = {}
    for groups, unit, ids in ((task.items, "num_items", train.item), (task.users, "num_users", train.user)):
        counts = groups.interaction_counts(ids)
        for name, size in groups.sizes().items():
            described[name] = {
                "definition": groups.definition,
                "thresholds": groups.thresholds,
                unit: size,
                "num_interactions": counts[name],
                "num_evaluated_users": evaluated[name],
            }
    return described


def figure_arrays(
    task: Task, train: Interactions, evaluation: Evaluation, k: int = 20
) -> dict[str, np.ndarray]:
    """Return the arrays that figures need beside the metrics, named as in `per_user.npz`.

    `item_degree`, `item_relevant` (test users of each item), `item_hits@k` (those who find it in their first k),
    `item_exposure@k` (lists that hold it), all [num_items], and `user_degree` of the evaluated users. Where the lists
    are shorter than `k`, `k` is their length.
    """
    k = min(k, max(evaluation.ks))
    top, hits = evaluation.top_items[:, :k], evaluation.top_hits[:, :k]
    return {
        "item_degree": train.item_counts(),
        "item_relevant": task.relevant.item_counts(),
        f"item_hits@{k}": np.bincount(top[hits], minlength=task.num_items),
        f"item_exposure@{k}": np.bincount(top[top >= 0], minlength=task.num_items),
        "user_degree": train.user_counts()[evaluation.users],
    }
