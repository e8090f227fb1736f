"""Tasks and slow, obvious implementations that the tests compare with."""

from __future__ import annotations

import math

import numpy as np
import torch

from gnnrec.data.groups import item_groups, user_groups
from gnnrec.data.interactions import Interactions
from gnnrec.evaluation.task import Task
from gnnrec.evaluation.topk import tie_keys


def make_task(
    num_users: int = 30, num_items: int = 25, density: float = 0.3, num_cold: int = 4, seed: int = 0
) -> Task:
    """A random test task; the first `num_cold` items have no train pair, some users no relevant item."""
    rng = np.random.default_rng([7, seed])  # not the numbers a test draws its scores from
    drawn = rng.random((num_users, num_items))
    train, held = drawn < density * 0.7, (drawn >= density * 0.7) & (drawn < density)
    train[:, :num_cold], held[:, :num_cold] = False, drawn[:, :num_cold] < density / 2
    held[rng.random(num_users) < 0.2] = False
    return task_of(train, held)


def task_of(train: np.ndarray, held: np.ndarray) -> Task:
    """The test task of two bool matrices [num_users, num_items]."""
    known, relevant = (Interactions(*np.nonzero(matrix), *train.shape) for matrix in (train, held))
    counts = known.item_counts()
    return Task("test", relevant, known.csr(), item_groups(known), user_groups(known), counts)  # pyright: ignore


class Matrix:
    """A scorer that has nothing but a matrix."""

    def __init__(self, scores: np.ndarray | torch.Tensor, name: str = "matrix") -> None:
        self.matrix = torch.as_tensor(scores, dtype=torch.float32)
        self.name = name

    def scores(self, user: torch.Tensor) -> torch.Tensor:
        return self.matrix[user]


def brute_lists(
    scores: np.ndarray, task: Task, allowed: np.ndarray, seed: int, k: int
) -> dict[int, list[int]]:
    """The top k of every user with a relevant item, by (score, key) with Python's sort."""
    keys = tie_keys(task.num_items, seed, torch.device("cpu")).tolist()
    masked = task.masked.toarray() > 0
    lists = {}
    for user in np.unique(task.relevant.user):
        candidates = [i for i in range(task.num_items) if allowed[i] and not masked[user, i]]
        candidates.sort(key=lambda i: (-float(np.float32(scores[user, i])), -keys[i]))
        lists[int(user)] = candidates[:k]
    return lists


def brute_metrics(ranked: list[int], relevant: set[int], k: int) -> dict[str, float]:
    """All metrics of one list, written out."""
    hits = [1 if item in relevant else 0 for item in ranked[:k]]
    found, size = sum(hits), len(relevant)
    gain = sum(hit / math.log2(rank + 2) for rank, hit in enumerate(hits))
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, size)))
    precisions = [sum(hits[: rank + 1]) / (rank + 1) for rank, hit in enumerate(hits) if hit]
    precision, recall = found / k, found / size
    return {
        "recall": recall,
        "precision": precision,
        "f1": 2 * precision * recall / (precision + recall) if found else 0.0,
        "hitrate": float(found > 0),
        "ndcg": gain / ideal,
        "mrr": next((1 / (rank + 1) for rank, hit in enumerate(hits) if hit), 0.0),
        "map": sum(precisions) / min(k, size),
    }
