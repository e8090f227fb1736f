"""Score one model on one task: per-user metrics for every cutoff, group and candidate set, in one pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gnnrec.evaluation.measure import ALL_BEYOND, DEFAULT_BEYOND, DEFAULT_METRICS, Plan, measure
from gnnrec.evaluation.metrics import ALL_METRICS
from gnnrec.evaluation.ranking import Scorer, rank
from gnnrec.evaluation.result import Evaluation
from gnnrec.evaluation.task import Task

__all__ = ["ALL_BEYOND", "ALL_METRICS", "DEFAULT_BEYOND", "DEFAULT_METRICS", "Evaluation", "evaluate"]


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
        memory: bytes for a block of scores; None takes 16 MiB on a CPU (32 if it has bfloat16), 1 GiB on a GPU.

    Raises ConfigError for no or an unknown metric, a cutoff outside 1 to 10,000 or a task without a relevant pair, and
    GnnrecError for scores that are NaN, infinite or of a wrong shape.
    """
    plan = Plan(task, ks, metrics, beyond, groups, item_vectors, item_categories)
    ranking = rank(scorer, task, plan.users, plan.ks, plan.candidates, seed, memory, auc="auc" in metrics)
    return measure(ranking, plan)
