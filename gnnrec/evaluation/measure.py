"""From ranked lists to an `Evaluation`: the same for models that score and for lists made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, check_choice, check_range
from gnnrec.evaluation.beyond import PER_USER, SYSTEM, group_exposure
from gnnrec.evaluation.lists import Lists
from gnnrec.evaluation.metrics import ALL_METRICS, METRICS, MOST_K, Hits
from gnnrec.evaluation.ranking import Ranking
from gnnrec.evaluation.result import Evaluation, nan_mean
from gnnrec.evaluation.task import Task

DEFAULT_METRICS = ("recall", "ndcg", "precision", "hitrate", "mrr")
DEFAULT_BEYOND = (
    "avg_popularity",
    "tail_share",
    "novelty",
    "coverage",
    "gini",
    "personalisation",
    "exposure",
)
ALL_BEYOND = (*PER_USER, *SYSTEM, "exposure", "user_fairness")


@dataclass(frozen=True)
class Plan:
    """What is measured on whom; see `gnnrec.evaluation.evaluate.evaluate` for the fields.

    Raises ConfigError for no or an unknown metric, a cutoff outside 1 to 10,000 or a task without a relevant pair.
    """

    task: Task
    ks: Sequence[int] = (10, 20, 50)
    metrics: Sequence[str] = DEFAULT_METRICS
    beyond: Sequence[str] | None = None
    groups: bool = True
    item_vectors: np.ndarray | None = None
    item_categories: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.beyond is None:
            object.__setattr__(self, "beyond", self._default_beyond())
        if not self.metrics:
            raise ConfigError("'metrics' must name at least one metric in 'evaluate' (got none)")
        for name in self.metrics:
            check_choice("metric", name, ALL_METRICS, "evaluate")
        for name in self.beyond or ():
            check_choice("beyond-accuracy metric", name, ALL_BEYOND, "evaluate")
        if not len(self.ks):
            raise ConfigError("'ks' must name at least one cutoff in 'evaluate' (got none)")
        for k in self.ks:
            check_range("ks", k, "evaluate", low=1, high=MOST_K)
            if k != int(k):
                raise ConfigError(f"'ks' must be whole numbers in 'evaluate' (got {k})")
        object.__setattr__(self, "ks", tuple(sorted({int(k) for k in self.ks})))
        if not len(self.task.relevant):
            raise ConfigError(f"the {self.task.split} task has no relevant pair: nothing can be evaluated")

    def _default_beyond(self) -> tuple[str, ...]:
        if not self.groups:
            return ()
        by_text = () if self.item_vectors is None else ("ild", "unexpectedness")
        by_category = () if self.item_categories is None else ("miscalibration",)
        return DEFAULT_BEYOND + by_text + by_category

    @property
    def users(self) -> np.ndarray:
        """Return int64 [m]: the users with at least one relevant item."""
        return np.flatnonzero(self.task.relevant.user_counts())

    @property
    def with_cold(self) -> bool:
        """Return whether cold and warm items are also looked at apart."""
        cold = self.task.cold()
        return self.groups and bool(cold[self.task.relevant.item].any()) and not cold.all()

    @property
    def candidates(self) -> tuple[str, ...]:
        """Return the candidate sets that are ranked."""
        return ("joint", "warm_only", "cold_only") if self.with_cold else ("joint",)


def measure(ranking: Ranking, plan: Plan) -> Evaluation:
    """Return all metrics of the plan for one ranking of its users."""
    task, users = plan.task, ranking.users
    evaluation = Evaluation(
        split=task.split,
        ks=tuple(plan.ks),
        users=users,
        num_left_out=task.num_users - len(users),
        per_user=_accuracy(ranking, plan),
        scalars=_scalars(ranking, plan),
        user_groups={name: of[users] for name, of in task.users.members.items()} if plan.groups else {},
        top_items=ranking.items["joint"],
        top_hits=ranking.hits["joint"],
        fairness="user_fairness" in (plan.beyond or ()),
    )
    if plan.beyond:
        _add_beyond(evaluation, plan)
    return evaluation


def _accuracy(ranking: Ranking, plan: Plan) -> dict[str, np.ndarray]:
    """Return the per-user arrays of all accuracy metrics: overall, then by group of items."""
    task = plan.task
    sets = {"": ("joint", np.ones(task.num_items, dtype=bool))} | (_item_sets(plan) if plan.groups else {})
    per_user = {}
    for name, (candidates, member) in sets.items():
        hits = _hits(ranking, candidates, member, task.relevant)
        prefix = f"{task.split}/{name}/" if name else f"{task.split}/"
        for metric in plan.metrics:
            if metric in METRICS:
                per_user |= {f"{prefix}{metric}@{k}": METRICS[metric](hits, k) for k in plan.ks}
    if "auc" in plan.metrics:
        per_user[f"{task.split}/auc"] = ranking.auc
    return per_user


def _item_sets(plan: Plan) -> dict[str, tuple[str, np.ndarray]]:
    """Return group name -> (candidate set, members) for every group that is reported."""
    cold = plan.task.cold()
    groups = plan.task.items.members
    sets = {name: ("joint", member) for name, member in groups.items() if name != "cold" or plan.with_cold}
    if plan.with_cold:
        sets |= {
            "warm": ("joint", ~cold),
            "warm_only": ("warm_only", ~cold),
            "cold_only": ("cold_only", cold),
        }
    return sets


def _hits(ranking: Ranking, candidates: str, member: np.ndarray, relevant: Interactions) -> Hits:
    """Return the hits among the relevant items in `member`, for one candidate set."""
    row, position = ranking.hits[candidates].nonzero()
    inside = member[ranking.items[candidates][row, position]]
    num_relevant = np.bincount(relevant.user[member[relevant.item]], minlength=relevant.num_users)
    return Hits(row[inside], position[inside], num_relevant[ranking.users])


def _scalars(ranking: Ranking, plan: Plan) -> dict[str, float]:
    split = plan.task.split
    scalars = {f"{split}/ties@{k}": float(count) for k, count in ranking.ties.items()}
    if plan.with_cold:
        scalars[f"{split}/cold_score_gap"] = nan_mean(ranking.gaps)
    if "auc" in plan.metrics:
        weight = plan.task.relevant.user_counts()[ranking.users] * np.isfinite(ranking.auc)
        scalars[f"{split}/gauc"] = float(np.nansum(ranking.auc * weight) / max(weight.sum(), 1))
    return scalars


def _add_beyond(evaluation: Evaluation, plan: Plan) -> None:
    task, split = plan.task, evaluation.split
    lists = Lists(
        top=evaluation.top_items,
        hits=evaluation.top_hits,
        relevant=sparse.csr_matrix(task.relevant.csr())[evaluation.users],
        profile=sparse.csr_matrix(task.masked)[evaluation.users],
        counts=task.item_counts(),
        num_train_users=task.num_users,
        groups=task.items.members,
        item_vectors=plan.item_vectors,
        item_categories=plan.item_categories,
    )
    for name in plan.beyond or ():
        for k in evaluation.ks:
            if name in PER_USER:
                evaluation.per_user[f"{split}/{name}@{k}"] = PER_USER[name](lists, k)
            elif name in SYSTEM:
                evaluation.scalars[f"{split}/{name}@{k}"] = SYSTEM[name](lists, k)
            elif name == "exposure":
                for group, share in group_exposure(lists, k).items():
                    evaluation.scalars[f"{split}/{group}/exposure@{k}"] = share
