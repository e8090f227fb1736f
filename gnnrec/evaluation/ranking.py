"""One pass over blocks of users: the top-k lists of every candidate set, with hits, ties and gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from gnnrec.errors import check_choice
from gnnrec.evaluation.auc import block_auc
from gnnrec.evaluation.blocks import (
    Columns,
    Coordinates,
    EmbeddingBlocks,
    Scorer,
    ScorerBlocks,
    csr_coordinates,
)
from gnnrec.evaluation.prefilter import Prefilter, supported
from gnnrec.evaluation.task import Task
from gnnrec.evaluation.topk import NO_ITEM, ordered_top, sort_ties, tie_keys
from gnnrec.progress import Progress

CANDIDATES = ("joint", "warm_only", "cold_only")


@dataclass
class Ranking:
    """The lists of one pass.

    Args:
        users: int64[m], the ranked users.
        items: for each candidate set int32 [m, k], -1 where a user has fewer candidates.
        hits: for each candidate set bool [m, k], whether the item is relevant.
        ties: for each cutoff, how many users have equal scores on both sides of it (joint list).
        gaps: float64[m], mean score of the cold minus that of the warm candidates; NaN without cold ones.
        auc: float64[m], exact area under the ROC curve over all candidates; NaN where it was not asked for.
    """

    users: np.ndarray
    items: dict[str, np.ndarray]
    hits: dict[str, np.ndarray]
    ties: dict[int, int]
    gaps: np.ndarray
    auc: np.ndarray


@torch.no_grad()
def rank(
    scorer: Scorer,
    task: Task,
    users: np.ndarray,
    ks: Sequence[int],
    candidates: Sequence[str] = ("joint",),
    seed: int = 0,
    memory: int | None = None,
    auc: bool = False,
) -> Ranking:
    """Rank all candidate items for `users` and keep the first max(ks) of each candidate set.

    Scores are compared raw in float32; ties are ordered by a seeded permutation of the items. Memory
    beyond the result does not grow with the number of users. Scorers with `user_emb`, `item_emb` are ranked
    by the products of these, through an exact bfloat16 prefilter where the processor has such products.

    Raises:
        GnnrecError: a score is NaN or infinite, or the scores have another shape than [len(user), num_items].
    """
    for name in candidates:
        check_choice("candidates", name, CANDIDATES, "rank")
    columns = Columns(task, candidates)
    pass_ = _Pass(scorer, task, columns, users, max(ks) + 1, seed, memory, auc)
    shape = (len(users), max(ks))
    items = {name: np.empty(shape, dtype=np.int32) for name in candidates}
    hits = {name: np.empty(shape, dtype=bool) for name in candidates}
    unknown = np.full(len(users), np.nan)
    ranking = Ranking(users, items, hits, dict.fromkeys(ks, 0), unknown, unknown.copy())
    starts = range(0, len(users), pass_.size)
    for start in Progress(starts, name="evaluate", unit="block"):
        rows = slice(start, min(start + pass_.size, len(users)))
        relevant = pass_.relevant(users[rows])
        parts, ranking.gaps[rows], ranking.auc[rows] = pass_.block(users[rows], relevant)
        for name in candidates:
            values, found = parts[CANDIDATES.index(name) - 1] if name != "joint" else pass_.merge(parts)
            if name == "joint":
                _count_ties(values, ranking.ties)
            found = found[:, :-1]
            items[name][rows] = found.cpu().numpy()
            hits[name][rows] = (relevant.gather(1, found.clamp(min=0)) & (found != NO_ITEM)).cpu().numpy()
    return ranking


def _count_ties(values: Tensor, ties: dict[int, int]) -> None:
    for k in ties:
        equal = (values[:, k - 1] == values[:, k]) & torch.isfinite(values[:, k])
        ties[k] += int(equal.sum())


class _Pass:
    """What stays the same from block to block: score source, masks, keys and buffers."""

    def __init__(
        self,
        scorer: Scorer,
        task: Task,
        columns: Columns,
        users: np.ndarray,
        depth: int,
        seed: int,
        memory: int | None,
        auc: bool,
    ) -> None:
        self.task, self.columns, self.depth, self.auc = task, columns, depth, auc
        tensors = (getattr(scorer, "user_emb", None), getattr(scorer, "item_emb", None))
        self.prefilter = None
        if all(isinstance(tensor, Tensor) for tensor in tensors):
            self.source = EmbeddingBlocks(scorer, columns, users)
            if supported(self.source.device) and self.source.bounded and not auc:
                self.prefilter = Prefilter(self.source, columns, depth)
        else:
            self.source = ScorerBlocks(scorer, columns)
        self.device = self.source.device
        self.item = torch.from_numpy(columns.item).to(self.device)
        self.item_keys = tie_keys(task.num_items, seed, self.device)
        self.column_keys = self.item_keys[self.item]
        self.size = self._block_size(memory)
        self.masked_csr = sparse.csr_matrix(task.masked)
        self.relevant_csr = sparse.csr_matrix(task.relevant.csr())
        self.labels = torch.zeros(self.size, task.num_items, dtype=torch.bool, device=self.device)
        self.marked: Coordinates | None = None

    def _block_size(self, memory: int | None) -> int:
        """Return how many users a block has, from the bytes of a score and a label a column."""
        if self.prefilter is None:
            memory = memory or (2**24 if self.device.type == "cpu" else 2**30)
            return max(1, min(4096, memory // (5 * self.task.num_items)))
        # Measured: larger blocks pay until they leave the caches, and 272 rows take four times as long as 256.
        size = max(1, min(1024, (memory or 2**25) // (3 * self.task.num_items)))
        return size if size < 64 else size - size % 64

    def block(
        self, users: np.ndarray, relevant: Tensor
    ) -> tuple[list[tuple[Tensor, Tensor]], np.ndarray | float, np.ndarray | float]:
        """Return (values, items) [b, depth] of each part of the columns, the score gaps and the AUC."""
        user = torch.from_numpy(users).to(self.device)
        masked = self._coordinates(*csr_coordinates(self.masked_csr, users), positions=True)
        gaps = auc = float("nan")
        if self.prefilter is not None and isinstance(self.source, EmbeddingBlocks) and self.prefilter.active:
            lists, decided = self.prefilter.lists(user, masked, self.column_keys)
            self._settle(lists, (~decided).nonzero().squeeze(1), users)
            sums = self.source.part_sums(user, masked) if self.columns.split else None
        else:
            scores, sums = self._masked_scores(user, masked)
            lists = self._dense_lists(scores)
            if self.auc:
                auc = block_auc(scores, relevant[:, self.item]).cpu().numpy()
        if sums is not None:
            gaps = _gaps(sums, masked, self.columns)
        return [(values, self._items(chosen)) for values, chosen in lists], gaps, auc

    def _settle(self, lists: list[tuple[Tensor, Tensor]], rows: Tensor, users: np.ndarray) -> None:
        """Rank the users in `rows` again from all their float32 scores."""
        if not len(rows):
            return
        some = users[rows.numpy()]
        masked = self._coordinates(*csr_coordinates(self.masked_csr, some), positions=True)
        again = self._dense_lists(self._masked_scores(torch.from_numpy(some).to(self.device), masked)[0])
        for old, new in zip(lists, again, strict=True):
            for values, replacement in zip(old, new, strict=True):
                values[rows] = replacement

    def _masked_scores(self, user: Tensor, masked: Coordinates) -> tuple[Tensor, Tensor | None]:
        """Return a full block of float32 scores, masked, and the sum of candidate scores of each part."""
        scores = self.source.scores(user)
        sums = None
        if self.columns.split:
            scores[masked] = 0.0
            sums = torch.stack([scores[:, part].sum(dim=1) for part in self.columns.parts], dim=1).double()
        scores[masked] = float("-inf")
        return scores, sums

    def _dense_lists(self, scores: Tensor) -> list[tuple[Tensor, Tensor]]:
        lists = []
        for part in self.columns.parts:
            values, chosen = ordered_top(scores[:, part], self.depth, self.column_keys[part])
            lists.append((values, torch.where(chosen == NO_ITEM, NO_ITEM, chosen + part.start)))
        return lists

    def _items(self, columns: Tensor) -> Tensor:
        return self.item[columns.clamp(min=0)].masked_fill(columns == NO_ITEM, NO_ITEM)

    def _coordinates(self, row: np.ndarray, item: np.ndarray, positions: bool) -> Coordinates:
        column = self.columns.position[item] if positions else item
        return torch.from_numpy(row).to(self.device), torch.from_numpy(column).to(self.device)

    def relevant(self, users: np.ndarray) -> Tensor:
        """Return bool [b, num_items] by item id: what is relevant; one buffer, valid until the next call."""
        if self.marked is not None:
            self.labels[self.marked] = False
        self.marked = self._coordinates(*csr_coordinates(self.relevant_csr, users), positions=False)
        self.labels[self.marked] = True
        return self.labels[: len(users)]

    def merge(self, parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return the first `depth` of the union of lists that are each ordered by value and key."""
        if len(parts) == 1:
            return parts[0]
        values, items = (torch.cat(pieces, dim=1) for pieces in zip(*parts, strict=True))
        values, order = values.sort(dim=1, descending=True)
        items = items.gather(1, order)
        keys = self.item_keys[items.clamp(min=0)]
        values, items = sort_ties(values, items, keys)
        return values[:, : self.depth], items[:, : self.depth]


def _gaps(sums: Tensor, masked: Coordinates, columns: Columns) -> np.ndarray:
    """Return mean cold minus mean warm score from the sums [b, 2] over warm and cold candidates."""
    sizes = torch.tensor([part.stop - part.start for part in columns.parts], dtype=torch.float64)
    row, column = masked
    is_cold = (column >= columns.parts[1].start).long()
    taken = torch.bincount(2 * row + is_cold, minlength=2 * len(sums)).view(-1, 2)
    left = sizes.to(sums.device) - taken
    means = torch.where(left > 0, sums / left, torch.nan)  # without candidates a sum of 0 is one of rounding
    return (means[:, 1] - means[:, 0]).cpu().numpy()
