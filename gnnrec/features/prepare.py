"""From arrays and blocks to centred, scaled vectors, and from items' vectors to users' profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError
from gnnrec.text.blocks import Block

Vectors = np.ndarray | Sequence[Block]
# Rows that differ by less than this share of their length are alike: the rest is rounding of float32.
_ALIKE = 1e-6


@dataclass(frozen=True)
class Prepared:
    """One block ready for a projection.

    values: frozen vectors [n, d], or the shares of categories, sparse [n, num_categories]. present: bool [n], None
    where every row counts as present. learned: whether an absent row gets a learned vector rather than zeros. fitted:
    the present rows that training sees, bool [n]: what a start is scaled by; None for all that are present.
    """

    name: str
    values: Tensor | sp.csr_array
    present: Tensor | None = None
    learned: bool = False
    fitted: Tensor | None = None

    @property
    def width(self) -> int:
        """Dimensions of the vectors, or number of categories."""
        shape = self.values.shape
        assert shape is not None, "a matrix has a shape"
        return int(shape[1])


def prepare(vectors: Vectors | None, seen: Tensor, side: str) -> list[Prepared]:
    """Return the blocks, or the one array, centred and scaled to unit length on the nodes seen in training.

    A single array is one block whose rows all count as present. Errors: ConfigError where there is nothing, not
    one row per node, or no difference between the nodes seen in training.
    """
    if vectors is None or len(vectors) == 0:
        raise ConfigError(
            f"this init mode needs {side} text vectors; choose a 'text' option or another 'init'"
        )
    if isinstance(vectors, np.ndarray):
        what = f"{side} text vectors"
        _check_rows(len(vectors), seen, what)
        x = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
        _check_differ(x, _some(seen), what)
        return [Prepared("text", centre(x, seen), fitted=_some(seen))]
    return [_prepare_block(block, seen, side) for block in vectors]


def _prepare_block(block: Block, seen: Tensor, side: str) -> Prepared:
    what = f"{side} block '{block.name}'"
    _check_rows(len(block.present), seen, what)
    present = torch.from_numpy(block.present)
    fitted = _some(seen & present)
    if fitted is None and bool(seen.any()):
        raise ConfigError(
            f"{what} must be there for a node seen in training (got none of {int(seen.sum())}): leave it out"
        )
    if sp.issparse(block.values):
        return Prepared(block.name, sp.csr_array(block.values), present, block.learned, fitted)
    x = torch.from_numpy(np.ascontiguousarray(block.values, dtype=np.float32))
    _check_differ(x, fitted, what)
    x = centre(x, present if fitted is None else fitted) * present.unsqueeze(1)
    return Prepared(block.name, x, present, block.learned, fitted)


def _some(rows: Tensor) -> Tensor | None:
    return rows if bool(rows.any()) else None


def _check_rows(num_rows: int, seen: Tensor, what: str) -> None:
    if num_rows != len(seen):
        raise ConfigError(f"{what} must have {len(seen)} rows (got {num_rows})")


def _check_differ(x: Tensor, fit_rows: Tensor | None, what: str) -> None:
    """Raise a ConfigError if the fitted rows are all alike: scaled up, others would be a million times as long."""
    if fit_rows is None:
        return
    rows = x[fit_rows]
    spread = float(torch.linalg.vector_norm(rows - rows.mean(dim=0)))
    if spread <= _ALIKE * float(torch.linalg.vector_norm(rows)):
        raise ConfigError(
            f"{what} must say something that differs between the nodes seen in training (got {len(rows)} vectors "
            "there, all alike): leave the block out, or choose an 'init' without text"
        )


def centre(x: Tensor, fit_rows: Tensor) -> Tensor:
    """Subtract the mean of `fit_rows` (sentence vectors share one direction) and scale these to unit length."""
    return unit_length(x - (x[fit_rows] if bool(fit_rows.any()) else x).mean(dim=0), fit_rows)


def unit_length(x: Tensor, fit_rows: Tensor | None = None) -> Tensor:
    """Divide by the root of the mean squared length of `fit_rows`, of all rows where these are None or none."""
    # One factor for all rows, not one per row. Unit variance per column instead would let one step of Adam, which
    # moves every weight by lr whatever the gradient, move x by lr times the width of the text vectors.
    rows = x if fit_rows is None or not bool(fit_rows.any()) else x[fit_rows]
    return x / rows.square().sum(dim=1).mean().sqrt().clamp(min=1e-12)


def profile(train: Interactions, block: Prepared) -> Prepared:
    """Return the mean of a block over each user's train items, scaled like the items'; zeros without any.

    Items that lack the block are left out of the mean, and a user without an item that has it lacks the block too.
    """
    pairs = train.csr()
    if block.present is None:
        counts = train.user_counts()[:, None]
    else:
        counts = np.asarray(pairs @ block.present.numpy().astype(np.float32))[:, None]
    has = torch.from_numpy(counts[:, 0] > 0)
    present = None if block.present is None else has
    counts = np.maximum(counts, 1)
    if isinstance(block.values, sp.csr_array):
        shares = sp.csr_array(sp.diags_array(1 / counts[:, 0]) @ pairs @ block.values)
        return Prepared(block.name, shares, present, block.learned, has)
    mean = torch.from_numpy(np.asarray(pairs @ block.values.numpy() / counts, dtype=np.float32))
    return Prepared(block.name, unit_length(mean, has), present, block.learned, has)


def side_by_side(blocks: Sequence[Prepared]) -> Tensor:
    """Return the frozen vectors of all blocks as one matrix [n, sum of widths]; categories of a bag have none."""
    dense = [block.values for block in blocks if isinstance(block.values, Tensor)]
    if not dense:
        raise ConfigError(
            "'text_init', 'neighbours' and terms that read text need a block with vectors: kind=text, vectors or "
            "multi_hot (got kind=bag alone; init.neighbours=0 does without)"
        )
    return dense[0] if len(dense) == 1 else torch.cat(dense, dim=1)


def as_array(vectors: Vectors, train: Interactions, side: str) -> np.ndarray:
    """Return an array as it is, and blocks side by side, centred and scaled (see prepare): [n, width]."""
    if isinstance(vectors, np.ndarray):
        return vectors
    counts = train.item_counts() if side == "item" else train.user_counts()
    return side_by_side(prepare(vectors, torch.from_numpy(counts > 0), side)).numpy()
