"""Blocks of raw float32 scores of any scorer, in an order of columns that keeps warm and cold items apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from gnnrec.errors import ConfigError, GnnrecError
from gnnrec.evaluation.task import Task

Coordinates = tuple[Tensor, Tensor]


class Scorer(Protocol):
    """Anything that scores all items for a batch of users, higher is better."""

    def scores(self, user: Tensor) -> Tensor:
        """Return float32 [len(user), num_items]."""
        ...


def model_name(scorer: Any) -> str:
    """Return the scorer's `name`, or the name of its class."""
    return str(getattr(scorer, "name", None) or type(scorer).__name__)


class Columns:
    """The order of the columns of a score block: warm items, then cold ones, where both are asked for."""

    def __init__(self, task: Task, candidates: Sequence[str]) -> None:
        cold = task.cold()
        num_warm = int((~cold).sum())
        self.split = any(name != "joint" for name in candidates)
        if self.split and num_warm in (0, task.num_items):
            raise ConfigError(
                "'warm_only' and 'cold_only' need a task with both warm and cold items in 'rank'"
            )
        self.item = np.argsort(cold, kind="stable") if self.split else np.arange(task.num_items)
        self.position = np.empty(task.num_items, dtype=np.int64)
        self.position[self.item] = np.arange(task.num_items)
        bounds = [0, num_warm, task.num_items] if self.split else [0, task.num_items]
        self.parts = [slice(start, end) for start, end in pairwise(bounds)]


class ScorerBlocks:
    """Score blocks of a scorer that has nothing but `scores`."""

    def __init__(self, scorer: Scorer, columns: Columns) -> None:
        self.scorer = scorer
        self.device = torch.device(getattr(scorer, "device", None) or "cpu")
        self.item = torch.from_numpy(columns.item).to(self.device) if columns.split else None
        self.num_items = len(columns.item)

    def scores(self, user: Tensor) -> Tensor:
        """Return float32 [b, num_items] in our order of columns, in memory of our own, all finite."""
        raw = self.scorer.scores(user)
        expected = (len(user), self.num_items)
        if not isinstance(raw, Tensor) or tuple(raw.shape) != expected:
            name, is_tensor = model_name(self.scorer), isinstance(raw, Tensor)
            got = list(raw.shape) if is_tensor else type(raw).__name__
            raise GnnrecError(f"the scores of '{name}' must be a tensor {list(expected)} (got {got})")
        raw = raw.detach().to(device=self.device, dtype=torch.float32)
        scores = raw.clone(memory_format=torch.contiguous_format) if self.item is None else raw[:, self.item]
        check_finite(scores, self.scorer)
        return scores


class EmbeddingBlocks:
    """Blocks of a scorer whose scores are the products of `user_emb` and `item_emb`; on their device."""

    def __init__(self, scorer: Any, columns: Columns, users: np.ndarray) -> None:
        self.scorer = scorer
        self.device = scorer.item_emb.device
        self.user_emb = scorer.user_emb.detach().to(self.device).float()
        item_emb = scorer.item_emb.detach().float()
        self._check(item_emb, users)
        self.item_emb = (
            item_emb[torch.from_numpy(columns.item).to(self.device)] if columns.split else item_emb
        )
        user_norm, item_norm = self.user_emb[users].norm(dim=1).max(), self.item_emb.norm(dim=1).max()
        self.bounded = bool(user_norm * item_norm < 1e37)
        self.emb_sums = torch.stack([self.item_emb[part].sum(dim=0) for part in columns.parts])
        self.is_cold_column = torch.arange(len(item_emb), device=self.device) >= columns.parts[-1].start

    def _check(self, item_emb: Tensor, users: np.ndarray) -> None:
        """Raise unless the vectors are finite and their products are what `scores` returns."""
        name = model_name(self.scorer)
        bad = [int((~torch.isfinite(emb).all(dim=1)).sum()) for emb in (self.user_emb[users], item_emb)]
        if any(bad):
            raise GnnrecError(
                f"{bad[0]} of {len(users)} user vectors and {bad[1]} of {len(item_emb)} item vectors of "
                f"'{name}' hold NaN or infinite values: the model diverged or is not fitted"
            )
        few = torch.from_numpy(users[:2]).to(self.device)
        given, product = self.scorer.scores(few).detach().float(), self.user_emb[few] @ item_emb.T
        scale = product.abs().max() + torch.finfo(torch.float32).tiny
        if given.shape != product.shape or (given.to(self.device) - product).abs().max() > 1e-3 * scale:
            raise GnnrecError(
                f"the scores of '{name}' are not the products of its 'user_emb' and 'item_emb': "
                "rename these attributes if the model scores in another way"
            )

    def scores(self, user: Tensor) -> Tensor:
        """Return float32 [b, num_items] in our order of columns, in memory of our own, all finite."""
        scores = self.user_emb[user] @ self.item_emb.T
        if not self.bounded:
            check_finite(scores, self.scorer)
        return scores

    def part_sums(self, user: Tensor, masked: Coordinates) -> Tensor:
        """Return float64 [b, 2]: sums of the scores of all unmasked warm and cold columns."""
        emb = self.user_emb[user]
        sums = (emb @ self.emb_sums.T).double()
        row, column = masked
        taken = (emb[row] * self.item_emb[column]).sum(dim=1).double()
        return sums.index_put((row, self.is_cold_column[column].long()), -taken, accumulate=True)


def check_finite(scores: Tensor, scorer: Any) -> None:
    """Raise a GnnrecError that names the model and the number of NaN or infinite scores, if there are any."""
    if not torch.isfinite(scores.sum()):  # one cheap pass; a sum of large finite numbers may overflow
        count = int((~torch.isfinite(scores)).sum())
        if count:
            raise GnnrecError(
                f"{count} of {scores.numel()} scores of '{model_name(scorer)}' in a block of {len(scores)} "
                "users are NaN or infinite: the model diverged or is not fitted"
            )


def csr_coordinates(matrix: sparse.csr_matrix, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 positions in `rows` and int64 columns of the stored entries of these rows."""
    start, end = matrix.indptr[rows].astype(np.int64), matrix.indptr[rows + 1].astype(np.int64)
    length = end - start
    row = np.repeat(np.arange(len(rows)), length)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
    return row, matrix.indices[np.repeat(start, length) + offset].astype(np.int64)
