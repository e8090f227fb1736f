"""Truncated SVD of the interaction matrix, whose spectrum is flat."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError

BLOCK = 32  # vectors that the Krylov basis grows by


def normalized_matrix(train: Interactions) -> sp.csr_matrix:
    """Return R~ = Du^-1/2 R Di^-1/2 as float32 CSR; rows and columns without interactions are zero."""
    user = sp.diags(degree_power(train.user_counts(), -0.5).numpy().ravel())
    item = sp.diags(degree_power(train.item_counts(), -0.5).numpy().ravel())
    return sp.csr_matrix(user @ train.csr() @ item)


def truncated_svd(
    matrix: sp.csr_matrix, rank: int, seed: int, extra: int, where: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return U [n, rank], S [rank], V [m, rank] of the largest singular values, falling.

    Randomised block Krylov method (Musco and Musco 2015, https://arxiv.org/abs/1504.05477, algorithm 2) with full
    orthogonalisation: the basis holds 2 rank + extra vectors of span(Y, A A^T Y, (A A^T)^2 Y, ...), Y = A times 32
    random vectors. Interaction matrices have flat spectra, on which plain subspace iteration leaves the last tenth of
    the vectors far from converged. Exact where the basis is as large as the matrix. Signs are fixed: the entry of V
    of largest size is positive; rows of U and V without an entry in A are zero.
    """
    height, width = _size(matrix)
    most = min(height, width)
    if rank > most:
        raise ConfigError(
            f"'dim' must be in [1, {most}] in '{where}', the smaller side of the data (got {rank})"
        )
    transposed = sp.csr_matrix(matrix.T)
    basis = _krylov_basis(matrix, transposed, min(2 * rank + extra, most), seed)
    right = torch.from_numpy(transposed @ basis.numpy())
    square, rotation = torch.linalg.eigh((right.T @ right).double())
    value = square.flip(0)[:rank].clamp(min=0).sqrt().float()
    rotation = rotation.flip(1)[:, :rank].float()
    item = (right @ rotation) / value.clamp(min=1e-6)
    sign = torch.where(item.gather(0, item.abs().argmax(dim=0, keepdim=True)) < 0, -1.0, 1.0)
    user = basis @ rotation
    user[torch.from_numpy(np.diff(matrix.indptr) == 0)] = 0.0  # what noise left in rows without an entry
    return user * sign, value, item * sign


def _krylov_basis(matrix: sp.csr_matrix, transposed: sp.csr_matrix, size: int, seed: int) -> Tensor:
    """Return an orthonormal basis [n, size] of the block Krylov space of A A^T."""
    height, width = _size(matrix)
    random = np.random.default_rng(seed)
    basis = torch.empty(height, size)
    block = torch.from_numpy(matrix @ random.standard_normal((width, min(BLOCK, size)), dtype=np.float32))
    filled = 0
    while filled < size:
        count = min(BLOCK, size - filled)
        # A little noise stands in for directions that a matrix of low rank does not have.
        noise = torch.from_numpy(random.standard_normal((height, count), dtype=np.float32))
        block = block[:, :count] + 1e-6 * noise
        known = basis[:, :filled]
        for _ in range(3):
            block = torch.linalg.qr(block - known @ (known.T @ block)).Q
        basis[:, filled : filled + count] = block
        filled += count
        block = torch.from_numpy(matrix @ (transposed @ block.numpy()))
    return basis


def degree_power(count: np.ndarray, exponent: float) -> Tensor:
    """Return count ** exponent as a float32 column, 0 for a count of 0."""
    power = np.where(count > 0, np.maximum(count, 1).astype(np.float64) ** exponent, 0.0)
    return torch.from_numpy(power).float()[:, None]


def _size(matrix: Any) -> tuple[int, int]:
    """Return (rows, columns), which type checkers read as None or as any tuple."""
    return int(matrix.shape[0]), int(matrix.shape[1])
