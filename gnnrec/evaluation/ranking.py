"""One pass over blocks of scores: the top-k lists of every candidate set, ties and score gaps included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from tqdm import tqdm

from gnnrec.errors import ConfigError, GnnrecError
from gnnrec.evaluation.task import Task
from gnnrec.evaluation.topk import NO_ITEM, ordered_top, sort_ties, tie_keys

CANDIDATES = ("joint", "warm_only", "cold_only")


class Scorer(Protocol):
    """Anything that scores all items for a batch of users, higher is better."""

    def scores(self, user: Tensor) -> Tensor:
        """Return float32 [len(user), num_items]."""
        ...


@dataclass
class Ranking:
    """The lists of one pass.

    Args:
        users: int64[m], the ranked users.
        items: for each candidate set int32 [m, k], -1 where a user has fewer candidates.
        hits: for each candidate set bool [m, k], whether the item is relevant.
        ties: for each cutoff, how many users have equal scores on both sides of it (joint list).
        gaps: float64[m], mean score of the cold minus that of the warm candidates; NaN without cold ones.
    """

    users: np.ndarray
    items: dict[str, np.ndarray] = field(default_factory=dict)
    hits: dict[str, np.ndarray] = field(default_factory=dict)
    ties: dict[int, int] = field(default_factory=dict)
    gaps: np.ndarray = field(default_factory=lambda: np.empty(0))


def model_name(scorer: Any) -> str:
    """Return the scorer's `name`, or the name of its class."""
    return str(getattr(scorer, "name", None) or type(scorer).__name__)


def rank(
    scorer: Scorer,
    task: Task,
    users: np.ndarray,
    ks: Sequence[int],
    candidates: Sequence[str] = ("joint",),
    seed: int = 0,
    memory: int | None = None,
) -> Ranking:
    """Rank all candidate items for `users` and keep the first max(ks) of each candidate set.

    Scores are compared raw in float32; equal scores are ordered by a seeded permutation of the items. Memory
    beyond the result does not grow with the number of users.

    Raises:
        GnnrecError: a score is NaN or infinite, or the scores have another shape than [len(user), num_items].
    """
    columns = _Columns(task, candidates)
    blocks = _Blocks(scorer, task, columns, memory)
    depth = max(ks) + 1
    keys = tie_keys(task.num_items, seed, blocks.device)
    ranking = Ranking(users, ties=dict.fromkeys(ks, 0), gaps=np.full(len(users), np.nan))
    for name in candidates:
        ranking.items[name] = np.empty((len(users), depth - 1), dtype=np.int32)
        ranking.hits[name] = np.empty((len(users), depth - 1), dtype=bool)
    for rows, scores in blocks.masked(users, ranking.gaps):
        parts = [_part(scores, columns, keys, part, depth) for part in columns.parts]
        relevant = blocks.relevant(users[rows])
        for name in candidates:
            values, items = (
                _merge(parts, keys, depth) if name == "joint" else parts[columns.names.index(name)]
            )
            if name == "joint":
                _count_ties(values, ranking.ties)
            items = items[:, :-1]
            found = relevant.gather(1, items.clamp(min=0)) & (items != NO_ITEM)
            ranking.items[name][rows] = items.cpu().numpy()
            ranking.hits[name][rows] = found.cpu().numpy()
    return ranking


class _Columns:
    """The order of the columns of a score block: warm items, then cold ones, where both are asked for."""

    def __init__(self, task: Task, candidates: Sequence[str]) -> None:
        cold = task.cold()
        self.num_warm = int((~cold).sum())
        self.split = cold.any() and any(name != "joint" for name in candidates)
        self.order = np.argsort(cold, kind="stable") if self.split else None
        self.names = ["warm_only", "cold_only"] if self.split else ["joint"]
        bounds = [0, self.num_warm, task.num_items] if self.split else [0, task.num_items]
        self.parts = list(pairwise(bounds))
        unknown = [name for name in candidates if name != "joint" and name not in self.names]
        if unknown:
            raise ConfigError(f"candidates {unknown} in 'rank' need a task with cold items")


def _part(
    scores: Tensor, columns: _Columns, keys: Tensor, part: tuple[int, int], depth: int
) -> tuple[Tensor, Tensor]:
    start, end = part
    if columns.order is None:
        return ordered_top(scores, depth, keys)
    order = torch.from_numpy(columns.order).to(scores.device)[start:end]
    values, chosen = ordered_top(scores[:, start:end], depth, keys[order])
    return values, torch.where(chosen == NO_ITEM, NO_ITEM, order[chosen.clamp(min=0)])


def _merge(parts: list[tuple[Tensor, Tensor]], keys: Tensor, depth: int) -> tuple[Tensor, Tensor]:
    """Return the first `depth` of the union of lists that are each ordered by value and key."""
    if len(parts) == 1:
        return parts[0]
    values, items = (torch.cat(pieces, dim=1) for pieces in zip(*parts))
    values, order = values.sort(dim=1, descending=True)
    items = items.gather(1, order)
    values, items = sort_ties(values, items, keys[items.clamp(min=0)])
    return values[:, :depth], items[:, :depth]


def _count_ties(values: Tensor, ties: dict[int, int]) -> None:
    for k in ties:
        equal = (values[:, k - 1] == values[:, k]) & torch.isfinite(values[:, k])
        ties[k] += int(equal.sum())


class _Blocks:
    """Blocks of raw scores in our own buffer, checked for NaN and infinity, then masked."""

    def __init__(self, scorer: Scorer, task: Task, columns: _Columns, memory: int | None) -> None:
        self.scorer, self.task = scorer, task
        self.num_warm = columns.num_warm
        self.has_cold = self.num_warm < task.num_items
        user_emb, item_emb = getattr(scorer, "user_emb", None), getattr(scorer, "item_emb", None)
        self.embeddings = None
        self.device = torch.device("cpu")
        if isinstance(user_emb, Tensor) and isinstance(item_emb, Tensor):
            self.device = item_emb.device
            self.embeddings = (user_emb.detach().float(), item_emb.detach().float())
        self.order = None if columns.order is None else torch.from_numpy(columns.order).to(self.device)
        if self.embeddings is not None and self.order is not None:
            self.embeddings = (self.embeddings[0], self.embeddings[1][self.order])
        self.position = np.arange(task.num_items)
        if columns.order is not None:
            self.position[columns.order] = np.arange(task.num_items)
        self.size = self._block_size(memory)
        self.labels = torch.zeros(self.size, task.num_items, dtype=torch.bool, device=self.device)
        self.marked: tuple[Tensor, Tensor] | None = None
        self.relevant_csr = sparse.csr_matrix(task.relevant.csr())

    def _block_size(self, memory: int | None) -> int:
        if memory is None:
            memory = 2**24 if self.device.type == "cpu" else 2**30
        return max(1, min(4096, memory // (5 * self.task.num_items)))

    def masked(self, users: np.ndarray, gaps: np.ndarray) -> Iterator[tuple[slice, Tensor]]:
        """Yield rows and scores [b, num_items] of each block: columns in our order, masked ones -inf."""
        starts = range(0, len(users), self.size)
        for start in tqdm(starts, desc="evaluate", disable=None, leave=False, delay=2):
            rows = slice(start, min(start + self.size, len(users)))
            user = users[rows]
            scores = self._raw(torch.from_numpy(user).to(self.device))
            self._check(scores)
            row, item = csr_coordinates(self.task.masked, user)
            row, column = self._to_device(row, self.position[item])
            scores[row, column] = float("-inf")
            if self.has_cold and self.order is not None:
                gaps[rows] = _gap(scores, self.num_warm)
            yield rows, scores

    def _raw(self, user: Tensor) -> Tensor:
        if self.embeddings is not None:
            return self.embeddings[0][user] @ self.embeddings[1].T
        scores = self.scorer.scores(user).detach()
        expected = (len(user), self.task.num_items)
        if tuple(scores.shape) != expected:
            raise GnnrecError(
                f"scores of '{model_name(self.scorer)}' must be {expected} (got {tuple(scores.shape)})"
            )
        if scores.device != self.device:
            scores = scores.to(self.device)
        return scores.float().clone() if self.order is None else scores.float()[:, self.order]

    def _check(self, scores: Tensor) -> None:
        if not torch.isfinite(scores.sum()):
            count = int((~torch.isfinite(scores)).sum())
            if count:
                raise GnnrecError(
                    f"{count} of {scores.numel()} scores of '{model_name(self.scorer)}' in a block of "
                    f"{len(scores)} users are NaN or infinite: the model diverged or is not fitted"
                )

    def relevant(self, user: np.ndarray) -> Tensor:
        """Return bool [b, num_items] by item id: what is relevant; one buffer, valid until the next call."""
        if self.marked is not None:
            self.labels[self.marked] = False
        row, item = csr_coordinates(self.relevant_csr, user)
        self.marked = self._to_device(row, item)
        self.labels[self.marked] = True
        return self.labels[: len(user)]

    def _to_device(self, row: np.ndarray, column: np.ndarray) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(row).to(self.device), torch.from_numpy(column).to(self.device)


def csr_coordinates(matrix: sparse.csr_matrix, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 positions in `rows` and int64 columns of the stored entries of these rows."""
    start, end = matrix.indptr[rows].astype(np.int64), matrix.indptr[rows + 1].astype(np.int64)
    length = end - start
    row = np.repeat(np.arange(len(rows)), length)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
    return row, matrix.indices[np.repeat(start, length) + offset].astype(np.int64)


def _gap(scores: Tensor, num_warm: int) -> np.ndarray:
    means = []
    for part in (scores[:, num_warm:], scores[:, :num_warm]):
        open_ = torch.isfinite(part)
        means.append(torch.where(open_, part, 0.0).sum(1, dtype=torch.float64) / open_.sum(1))
    return (means[0] - means[1]).cpu().numpy()
