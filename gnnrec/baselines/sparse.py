"""Scorers that are a product of two sparse matrices, and the neighbours that fill them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from gnnrec.progress import Progress

BLOCK = 1024
CELLS = 1 << 26  # of a block at most: where all are filled, a cell needs up to 47 bytes


class SparseScorer:
    """Scores are s(u, i) = sum_j left[u, j] right[j, i] + offset[i].

    For models of items, left is the history [num_users, num_items] and right an item-item matrix; for models of
    users, left is a user-user matrix and right the history.
    """

    left: sp.csr_matrix
    right: sp.csr_matrix
    offset: np.ndarray | None = None

    def scores(self, user: Tensor) -> Tensor:
        """Score all items: [len(user), num_items] float32."""
        rows = (self.left[user.cpu().numpy()] @ self.right).toarray().astype(np.float32, copy=False)
        if self.offset is not None:
            rows += self.offset
        return torch.from_numpy(rows).to(user.device)


def size_of(matrix: Any) -> tuple[int, int]:
    """Return (rows, columns) of a sparse matrix, whose `shape` type checkers read as None or as any tuple."""
    return int(matrix.shape[0]), int(matrix.shape[1])


def top_k_rows(
    block: Callable[[int, int], sp.csr_matrix], num_rows: int, k: int, name: str = "neighbours"
) -> sp.csr_matrix:
    """Stack block(start, stop) over all rows of a square matrix, each row cut to its k largest positive values."""
    size = max(1, min(BLOCK, CELLS // max(num_rows, 1)))
    starts = Progress(range(0, num_rows, size), name=name, unit="block")
    parts = [keep_top_k(block(start, min(start + size, num_rows)), k) for start in starts]
    return sp.csr_matrix(sp.vstack(parts, format="csr", dtype=np.float32))


def keep_top_k(matrix: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """Keep the k largest positive values of every row; equal values are kept by lower column."""
    matrix = sp.csr_matrix(matrix, dtype=np.float32)
    num_rows, width = size_of(matrix)
    if k < width and matrix.nnz > num_rows * width // 4:
        matrix = _drop_small(matrix, k)
    matrix.sort_indices()
    positive = matrix.data > 0
    row = np.repeat(np.arange(num_rows, dtype=np.int64), np.diff(matrix.indptr))[positive]
    column, value = matrix.indices[positive], matrix.data[positive]
    if not len(value):
        return sp.csr_matrix(matrix.shape, dtype=np.float32)
    # Positive float32 are ordered like their bits: one integer per entry sorts by row, then by falling value.
    key = (row << 32) | (0xFFFFFFFF - value.view(np.uint32).astype(np.int64))
    count = np.bincount(row, minlength=num_rows)
    first = np.cumsum(count) - count
    room = np.minimum(count, k)
    last = np.sort(key)[np.clip(first + room - 1, 0, len(key) - 1)]  # of an empty row: never looked at
    above, equal = key < last[row], key == last[row]
    # Places left for entries equal to the k-th value are filled in the order of columns.
    room -= np.bincount(row[above], minlength=num_rows)
    seen = np.concatenate([[0], np.cumsum(equal)])
    kept = above | (equal & (seen[1:] - seen[first[row]] <= room[row]))
    pointer = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=num_rows))])
    return sp.csr_matrix((value[kept], column[kept], pointer), shape=matrix.shape)


def _drop_small(matrix: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """Drop what is below the k-th value of its row: where most entries are filled, a dense partition is faster."""
    matrix.sum_duplicates()
    last = np.partition(matrix.toarray(), -k, axis=1)[:, -k]
    kept = matrix.data >= np.repeat(last, np.diff(matrix.indptr))
    pointer = np.concatenate([[0], np.cumsum(kept)])[matrix.indptr]
    return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], pointer), shape=size_of(matrix))


def normalize_rows(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Divide every row by the sum of its absolute values; empty rows stay empty."""
    total = np.asarray(abs(matrix).sum(axis=1)).ravel()
    scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    return sp.csr_matrix(sp.diags(scale.astype(np.float32)) @ matrix)
