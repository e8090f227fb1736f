"""Dense symmetric matrices in place: a check that there is memory, and an inverse that needs no second matrix."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from gnnrec.allocator import available_memory
from gnnrec.errors import ConfigError
from gnnrec.progress import Progress

logger = logging.getLogger(__name__)
BLOCK = 1024
GIB = float(1 << 30)


def invert_in_place(matrix: Tensor, block: int = BLOCK) -> Tensor:
    """Replace a symmetric positive definite matrix by its inverse, and return it.

    Block Gauss-Jordan elimination (the sweep operator; Goodnight 1979, https://doi.org/10.2307/2683825): for each
    block k with D = M_kk^-1 from a Cholesky factor,
    M_ij <- M_ij - M_ik D M_kj;  M_ik <- M_ik D;  M_kk <- -D;  after all blocks M = -A^-1.
    M stays symmetric, so only its lower triangle is updated: n^3 operations, the cost of a Cholesky factorisation
    followed by the inverse, all in matrix products. Extra memory: two panels [n, block].

    Shapes: [n, n], contiguous rows; only the lower triangle is read. Raises ConfigError where the matrix is not
    positive definite in its precision.
    """
    size = len(matrix)
    starts = range(0, size, block)
    for start in Progress(starts, name="inverse", unit="block"):
        stop = min(start + block, size)
        column = torch.empty(size, stop - start, dtype=matrix.dtype, device=matrix.device)
        column[:start] = matrix[start:stop, :start].T
        column[start:] = matrix[start:, start:stop]
        factor, info = torch.linalg.cholesky_ex(column[start:stop])
        if int(info):
            raise ConfigError(
                f"the matrix [{size}, {size}] is not positive definite in {matrix.dtype}: raise the L2 weight"
            )
        inverse = torch.cholesky_inverse(factor)
        scaled = column @ inverse
        for top in starts:
            if top != start:
                bottom = min(top + block, size)
                matrix[top:bottom, :bottom].addmm_(scaled[top:bottom], column[:bottom].T, alpha=-1)
        matrix[start:stop, :start] = scaled[:start].T
        matrix[stop:, start:stop] = scaled[stop:]
        matrix[start:stop, start:stop] = -inverse
    return mirror_lower(matrix.neg_(), block)


def mirror_lower(matrix: Tensor, block: int = BLOCK) -> Tensor:
    """Copy the lower triangle over the upper one, block by block, and return the matrix."""
    size = len(matrix)
    for start in range(0, size, block):
        stop = min(start + block, size)
        matrix[:start, start:stop] = matrix[start:stop, :start].T
        corner = matrix[start:stop, start:stop].tril()
        matrix[start:stop, start:stop] = corner + corner.tril(-1).T
    return matrix


def require_memory(needed: float, who: str, instead: str) -> None:
    """Log the bytes that will be needed; raise a ConfigError if the machine does not have them."""
    available = available_memory()
    known = "" if available is None else f" of {available / GIB:.1f} GiB available"
    logger.info("%s needs %.2f GiB%s", who, needed / GIB, known)
    if available is not None and needed > available:
        raise ConfigError(
            f"{who} needs {needed / GIB:.1f} GiB of memory (got {available / GIB:.1f} GiB available): {instead}"
        )
