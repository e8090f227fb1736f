"""Score one model on one task: per-user metrics for every cutoff, group and candidate set, in one pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, check_choice, check_range
from gnnrec.evaluation.beyond import PER_USER, SYSTEM, group_exposure
from gnnrec.evaluation.lists import Lists
from gnnrec.evaluation.metrics import ALL_METRICS, METRICS, Hits
from gnnrec.evaluation.ranking import Ranking, Scorer, rank
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


def evaluate(
    scorer: Scorer,
    task: Task,
    ks: Sequence[int] = (10, 20, 50),
    seed: int = 0,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    beyond: Sequence[str] | None = None,
    groups: bool = True,
    item_vectors: np.ndarray | None = None,
    item_categories: np.ndarray | None = None,
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
        seed: of the permutation of items that orders equal scores.
        metrics: names from `ALL_METRICS`; "auc" has no cutoff, looks at all scores and is the slow one.
        beyond: names from `ALL_BEYOND`; None takes `DEFAULT_BEYOND` and what the vectors and categories allow,
            or nothing where `groups` is False.
        groups: False leaves out item groups, user groups and the cold and warm candidate sets.
        item_vectors: [num_items, dim], e.g. of the items' texts, for "ild" and "unexpectedness".
        item_categories: [num_items, num_categories] weights, for "miscalibration".
        memory: bytes for blocks of scores; None takes 16 MiB on a CPU and 1 GiB on a GPU.

    Raises ConfigError for an unknown metric, a cutoff below 1 or a task without a relevant pair, and GnnrecError
    for scores that are NaN, infinite or of a wrong shape.
    """
    beyond = _default_beyond(groups, item_vectors, item_categories) if beyond is None else beyond
    ks = _check_arguments(ks, metrics, beyond)
    users = np.flatnonzero(task.relevant.user_counts())
    if not len(users):
        raise ConfigError(f"the {task.split} task has no relevant pair: nothing can be evaluated")
    with_cold = groups and bool(task.cold()[task.relevant.item].any()) and not task.cold().all()
    candidates = ("joint", "warm_only", "cold_only") if with_cold else ("joint",)
    ranking = rank(scorer, task, users, ks, candidates, seed, memory, auc="auc" in metrics)
    evaluation = Evaluation(
        split=task.split,
        ks=ks,
        users=users,
        num_left_out=task.num_users - len(users),
        per_user=_accuracy(ranking, task, metrics, ks, groups, with_cold),
        scalars=_scalars(ranking, task, "auc" in metrics, with_cold),
        user_groups={name: of[users] for name, of in task.users.members.items()} if groups else {},
        top_items=ranking.items["joint"],
        top_hits=ranking.hits["joint"],
        fairness="user_fairness" in beyond,
    )
    if beyond:
        _add_beyond(evaluation, task, beyond, item_vectors, item_categories)
    return evaluation


def _default_beyond(
    groups: bool, item_vectors: np.ndarray | None, item_categories: np.ndarray | None
) -> tuple[str, ...]:
    if not groups:
        return ()
    by_text = () if item_vectors is None else ("ild", "unexpectedness")
    by_category = () if item_categories is None else ("miscalibration",)
    return DEFAULT_BEYOND + by_text + by_category


def _check_arguments(ks: Sequence[int], metrics: Sequence[str], beyond: Sequence[str]) -> tuple[int, ...]:
    for name in metrics:
        check_choice("metric", name, ALL_METRICS, "evaluate")
    for name in beyond:
        check_choice("beyond-accuracy metric", name, ALL_BEYOND, "evaluate")
    if not len(ks):
        raise ConfigError("'ks' must name at least one cutoff in 'evaluate' (got none)")
    for k in ks:
        check_range("ks", k, "evaluate", low=1)
        if k != int(k):
            raise ConfigError(f"'ks' must be whole numbers in 'evaluate' (got {k})")
    return tuple(sorted({int(k) for k in ks}))


def _accuracy(
    ranking: Ranking, task: Task, metrics: Sequence[str], ks: Sequence[int], groups: bool, with_cold: bool
) -> dict[str, np.ndarray]:
    """Return the per-user arrays of all accuracy metrics: overall, then by group of items."""
    everything = np.ones(task.num_items, dtype=bool)
    sets = {"": ("joint", everything)} | (_item_sets(task, with_cold) if groups else {})
    per_user = {}
    for name, (candidates, member) in sets.items():
        hits = _hits(ranking, candidates, member, task.relevant)
        prefix = f"{task.split}/{name}/" if name else f"{task.split}/"
        for metric in metrics:
            if metric in METRICS:
                per_user |= {f"{prefix}{metric}@{k}": METRICS[metric](hits, k) for k in ks}
    if "auc" in metrics:
        per_user[f"{task.split}/auc"] = ranking.auc
    return per_user


def _scalars(ranking: Ranking, task: Task, auc: bool, with_cold: bool) -> dict[str, float]:
    scalars = {f"{task.split}/ties@{k}": float(count) for k, count in ranking.ties.items()}
    if with_cold:
        scalars[f"{task.split}/cold_score_gap"] = nan_mean(ranking.gaps)
    if auc:
        weight = task.relevant.user_counts()[ranking.users] * np.isfinite(ranking.auc)
        scalars[f"{task.split}/gauc"] = float(np.nansum(ranking.auc * weight) / max(weight.sum(), 1))
    return scalars


def _add_beyond(
    evaluation: Evaluation,
    task: Task,
    beyond: Sequence[str],
    item_vectors: np.ndarray | None,
    item_categories: np.ndarray | None,
) -> None:
    lists = Lists(
        top=evaluation.top_items,
        hits=evaluation.top_hits,
        relevant=sparse.csr_matrix(task.relevant.csr())[evaluation.users],
        profile=sparse.csr_matrix(task.masked)[evaluation.users],
        counts=task.item_counts(),
        num_train_users=task.num_users,
        groups=task.items.members,
        item_vectors=item_vectors,
        item_categories=item_categories,
    )
    split = evaluation.split
    for name in beyond:
        for k in evaluation.ks:
            if name in PER_USER:
                evaluation.per_user[f"{split}/{name}@{k}"] = PER_USER[name](lists, k)
            elif name in SYSTEM:
                evaluation.scalars[f"{split}/{name}@{k}"] = SYSTEM[name](lists, k)
            elif name == "exposure":
                for group, share in group_exposure(lists, k).items():
                    evaluation.scalars[f"{split}/{group}/exposure@{k}"] = share


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


def _hits(ranking: Ranking, candidates: str, member: np.ndarray, relevant: Interactions) -> Hits:
    """Return the hits among the relevant items in `member`, for one candidate set."""
    row, position = ranking.hits[candidates].nonzero()
    inside = member[ranking.items[candidates][row, position]]
    num_relevant = np.bincount(relevant.user[member[relevant.item]], minlength=relevant.num_users)
    return Hits(row[inside], position[inside], num_relevant[ranking.users])
