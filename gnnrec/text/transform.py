"""What is done to vectors after encoding: truncation, normalisation, controls, reduction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from gnnrec.errors import ConfigError
from gnnrec.text.config import TextConfig
from gnnrec.text.controls import gaussian, shuffle
from gnnrec.text.reduce import fit_reduction


@dataclass(frozen=True)
class FitData:
    """What controls and reductions are fitted on.

    rows: bool [n], rows that training sees; needed by control=gaussian and bag_of_words and by every reduction, so
    that nothing is learned from held-out rows. pairs: int [m, 2], rows that share interactions, for reduce=informed
    and canonical. histories: [owners, n], 1 where an owner of rows has one in train, for reduce=contrastive.
    """

    rows: np.ndarray
    pairs: np.ndarray | None = None
    histories: sp.csr_array | None = None


def transform(
    vectors: np.ndarray,
    config: TextConfig,
    present: np.ndarray | None = None,
    fit: FitData | None = None,
) -> np.ndarray:
    """Return the vectors cut to `dim`, normalised, put through the control and the reduction, in this order.

    present: bool [n], rows that have a vector; the others stay out of every fit and end as zeros.
    fit: needed by control=gaussian and by every reduction.

    Shapes: [n, d] -> float32 [n, k].
    """
    present = np.ones(len(vectors), dtype=bool) if present is None else present
    if config.dim is not None:
        if config.dim > vectors.shape[1]:
            raise ConfigError(
                f"'dim' must be at most {vectors.shape[1]}, the vectors' size, in 'text' (got {config.dim})"
            )
        vectors = vectors[:, : config.dim]
    if config.normalize:
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.where(length > 0, length, 1)
    if config.control == "shuffled":
        vectors = shuffle(vectors, config.seed, present)
    elif config.control == "gaussian":
        vectors = gaussian(vectors, config.seed, fitted_rows(fit, present, "control=gaussian"))
    if config.reduce != "none":
        rows = fitted_rows(fit, present, f"reduce={config.reduce}")
        assert fit is not None
        reduction = fit_reduction(
            vectors[rows],
            config.reduce,
            config.reduce_dim,
            config.shrinkage,
            config.seed,
            _pairs_within(fit.pairs, rows),
            None if fit.histories is None else sp.csr_array(fit.histories[:, np.flatnonzero(rows)]),
        )
        vectors = reduction.apply(vectors)
    return np.where(present[:, None], vectors, 0).astype(np.float32)


def fitted_rows(fit: FitData | None, present: np.ndarray, what: str) -> np.ndarray:
    """Return the present rows among those to fit on, bool [n]; a ConfigError where there are none or no mask."""
    if fit is None:
        raise ConfigError(f"text.{what} is fitted on training rows: give 'fit'")
    if fit.rows.dtype != bool or fit.rows.shape != present.shape:
        raise ConfigError(f"'rows' of 'fit' must be a bool for each of the {len(present)} rows")
    return fit.rows & present


def _pairs_within(pairs: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    """Renumber pairs of all rows to pairs of the fitted rows; pairs with any other row are left out."""
    if pairs is None:
        return None
    kept = pairs[rows[pairs].all(axis=1)]
    return (np.cumsum(rows) - 1)[kept]
