"""Which metrics a run may have, known before there is one."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from scipy import sparse

from gnnrec.config import EvalConfig
from gnnrec.data.groups import item_groups, user_groups
from gnnrec.data.interactions import Interactions
from gnnrec.evaluation.evaluate import evaluate
from gnnrec.evaluation.scorers import EmbeddingScorer
from gnnrec.evaluation.task import Task


@lru_cache
def possible_metrics(config: EvalConfig, split: Literal["validation", "test"] = "test") -> frozenset[str]:
    """Return the keys of all metrics that a run may have: those on data with a cold item and a cold user."""
    known = Interactions(np.array([0]), np.array([0]), num_users=2, num_items=2)
    wanted = Interactions(np.array([0, 1]), np.array([1, 1]), num_users=2, num_items=2)
    items = item_groups(known, config.item_rule, config.head, config.tail)
    users = user_groups(known, config.num_user_groups)
    task = Task(split, wanted, sparse.csr_matrix(known.csr()), items, users)
    scorer = EmbeddingScorer(torch.ones(2, 1), torch.ones(2, 1))
    return frozenset(evaluate(scorer, task, config.ks, config.seed, metrics=config.metrics).metrics())
