"""Score one model on one task: per-user metrics for every cutoff, group and candidate set, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, check_choice, check_range
from gnnrec.evaluation.metrics import METRICS, Hits
from gnnrec.evaluation.ranking import Ranking, Scorer, rank
from gnnrec.evaluation.task import Task

DEFAULT_METRICS = ("recall", "ndcg", "precision", "hitrate", "mrr")


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
    """

    split: str
    ks: tuple[int, ...]
    users: np.ndarray
    num_left_out: int
    per_user: dict[str, np.ndarray]
    scalars: dict[str, float]
    user_groups: dict[str, np.ndarray]
    top_items: np.ndarray = field(repr=False)

    def metrics(self) -> dict[str, float]:
        """Return every metric as one number: means over users with a relevant item, user groups, scalars."""
        result = {key: nan_mean(values) for key, values in self.per_user.items()}
        for key, values in self.per_user.items():
            parts = key.split("/")
            if len(parts) == 2:
                for group, member in self.user_groups.items():
                    result[f"{parts[0]}/{group}/{parts[1]}"] = nan_mean(values[member])
        return result | self.scalars

    def num_evaluated_users(self) -> dict[str, int]:
        """Return for each item and user group, and for '' (everybody), the number of users in its means."""
        counts = {"": len(self.users)}
        for key, values in self.per_user.items():
            parts = key.split("/")
            if len(parts) == 3:
                counts[parts[1]] = int(np.isfinite(values).sum())
        return counts | {name: int(member.sum()) for name, member in self.user_groups.items()}


def nan_mean(values: np.ndarray) -> float:
    """Return the mean of the numbers that are not NaN, NaN if there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def evaluate(
    scorer: Scorer,
    task: Task,
    ks: Sequence[int] = (10, 20, 50),
    seed: int = 0,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    groups: bool = True,
    memory: int | None = None,
) -> Evaluation:
    """Rank all unmasked items for every user with a relevant item, and return the metrics.

    Keys are `split/[group/]metric@k`. A group of items (head, mid, tail, cold, and warm for all that are not
    cold) restricts the relevant items, also in the ideal list of NDCG, and ranks among all candidates;
    `cold_only` and `warm_only` restrict candidates and relevant items alike, and appear, like `cold` and
    `warm`, where the task has cold relevant items. `split/ties@k` counts users whose list has equal scores on
    both sides of rank k; `split/cold_score_gap` is the mean over users of mean cold minus mean warm score.

    Args:
        scorer: has `scores(user LongTensor[b]) -> float32 [b, num_items]`, or `user_emb` and `item_emb` whose
            products are the scores (the fast path, on the device they are on).
        ks: cutoffs.
        seed: of the permutation of items that orders equal scores.
        metrics: names from `METRICS`.
        groups: False leaves out item groups, user groups and the cold and warm candidate sets.
        memory: bytes for blocks of scores; None takes 16 MiB on a CPU and 1 GiB on a GPU.

    Raises:
        ConfigError: an unknown metric, a cutoff below 1, or no user with a relevant item.
        GnnrecError: scores that are NaN, infinite or of a wrong shape.
    """
    ks = _check_arguments(ks, metrics)
    users = np.flatnonzero(task.relevant.user_counts())
    if not len(users):
        raise ConfigError(f"the {task.split} task has no relevant pair: nothing can be evaluated")
    cold = task.cold()
    with_cold = groups and bool(cold[task.relevant.item].any())
    candidates = ("joint", "warm_only", "cold_only") if with_cold else ("joint",)
    ranking = rank(scorer, task, users, ks, candidates, seed, memory)
    per_user = _per_user(
        ranking, "joint", np.ones(task.num_items, dtype=bool), task.relevant, task.split, metrics, ks
    )
    if groups:
        for name, (source, member) in _item_sets(task, with_cold).items():
            per_user |= _per_user(ranking, source, member, task.relevant, f"{task.split}/{name}", metrics, ks)
    scalars = {f"{task.split}/ties@{k}": float(count) for k, count in ranking.ties.items()}
    if with_cold:
        scalars[f"{task.split}/cold_score_gap"] = nan_mean(ranking.gaps)
    user_groups = {name: member[users] for name, member in task.users.members.items()} if groups else {}
    return Evaluation(
        split=task.split,
        ks=ks,
        users=users,
        num_left_out=task.num_users - len(users),
        per_user=per_user,
        scalars=scalars,
        user_groups=user_groups,
        top_items=ranking.items["joint"],
    )


def _check_arguments(ks: Sequence[int], metrics: Sequence[str]) -> tuple[int, ...]:
    for name in metrics:
        check_choice("metric", name, METRICS, "evaluate")
    if not len(ks):
        raise ConfigError("'ks' must name at least one cutoff in 'evaluate' (got none)")
    for k in ks:
        check_range("ks", k, "evaluate", low=1)
        if k != int(k):
            raise ConfigError(f"'ks' must be whole numbers in 'evaluate' (got {k})")
    return tuple(sorted({int(k) for k in ks}))


def _item_sets(task: Task, with_cold: bool) -> dict[str, tuple[str, np.ndarray]]:
    """Return group name -> (candidate set, members) for every group that is reported."""
    cold = task.cold()
    sets = {
        name: ("joint", member) for name, member in task.items.members.items() if name != "cold" or with_cold
    }
    if with_cold:
        sets |= {
            "warm": ("joint", ~cold),
            "warm_only": ("warm_only", ~cold),
            "cold_only": ("cold_only", cold),
        }
    return sets


def _per_user(
    ranking: Ranking,
    candidates: str,
    member: np.ndarray,
    relevant: Interactions,
    prefix: str,
    metrics: Sequence[str],
    ks: Sequence[int],
) -> dict[str, np.ndarray]:
    """Return the metrics of the relevant items in `member`, for one candidate set."""
    row, position = ranking.hits[candidates].nonzero()
    inside = member[ranking.items[candidates][row, position]]
    num_relevant = np.bincount(relevant.user[member[relevant.item]], minlength=relevant.num_users)[
        ranking.users
    ]
    hits = Hits(row[inside], position[inside], num_relevant)
    return {f"{prefix}/{name}@{k}": METRICS[name](hits, k) for name in metrics for k in ks}
