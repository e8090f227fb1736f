"""Centring, scaling, PCA, whitening, maps learned from interactions, selection, projection: of training rows only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from gnnrec.errors import ConfigError, DataError, check_choice, check_range
from gnnrec.text.config import REDUCTIONS
from gnnrec.text.contrastive_map import contrastive_map

# Directions with less than this share of the largest variance are noise of the float32 vectors.
_RANK = 1e-7


@dataclass(frozen=True)
class Reduction:
    """The affine map x -> (x - mean) @ matrix.

    Shapes: mean float32 [d], matrix float32 [d, k].
    """

    mean: np.ndarray
    matrix: np.ndarray

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Return the reduced vectors: float32 [n, d] -> [n, k]."""
        if vectors.shape[1] != len(self.mean):
            raise DataError(
                f"the reduction was fitted on {len(self.mean)} dimensions (got {vectors.shape[1]})"
            )
        return ((vectors - self.mean) @ self.matrix).astype(np.float32)


def fit_reduction(
    vectors: np.ndarray,
    how: str,
    dim: int | None = None,
    shrinkage: float = 0.0,
    seed: int = 0,
    pairs: np.ndarray | None = None,
    histories: sp.csr_array | None = None,
) -> Reduction:
    """Fit a reduction on the vectors of training rows, float32 [n, d].

    center: x - mean. standardize: (x - mean) / std. With the covariance U diag(l) U^T of the rows, l
    descending: pca: (x - mean) U_k. whiten_pca: (x - mean) U_k diag(s_k)^-1/2. whiten_zca: (x - mean) U
    diag(s)^-1/2 U^T, which keeps every dimension (Kessy et al. 2018, https://arxiv.org/abs/1512.00809; for
    text in recommenders Zhang et al. 2024, https://arxiv.org/abs/2402.02262). s = (1 - shrinkage) l +
    shrinkage mean(l), and directions without variance map to zero. variance: the k dimensions of largest
    variance (LLMInit: Zhang et al. 2025, https://arxiv.org/abs/2503.01814). informed: the k dimensions
    whose standardised values agree most over `pairs` [m, 2] of rows, score_d = mean over pairs of z_i[d]
    z_j[d]. random_projection: x G, G normal with variance 1/k. canonical: with B the mean over `pairs` of
    (x_i - mean)(x_j - mean)^T, made symmetric, S = U diag(s) U^T and S^-1/2 B S^-1/2 = V diag(r) V^T, r descending,
    (x - mean) S^-1/2 V_k diag(max(r_k, 0))^1/2: products of rows are sums over the canonical variates of
    partners, each times its correlation (Hotelling 1936, https://doi.org/10.1093/biomet/28.3-4.321). A pair
    weighs (f_i f_j)^-1/2, f_i the number of pairs that have row i: popular items are not everybody's partner.
    contrastive: (x - mean) W, W trained on `histories` [owners, n], 1 where a user has an item in train (see
    gnnrec.text.contrastive_map).

    dim: k; None keeps all dimensions. The sign of each principal direction makes its largest entry
    positive, so that the same rows give the same map.
    """
    check_choice("reduce", how, REDUCTIONS, "text")
    check_range("shrinkage", shrinkage, "text", low=0, high=1)
    width = vectors.shape[1]
    k = width if dim is None else dim
    if how not in ("none", "center", "standardize", "whiten_zca", "contrastive"):
        check_range("reduce_dim", k, f"text (reduce={how})", low=1, high=width)
    elif k != width:
        raise ConfigError(
            f"text.reduce={how} keeps all {width} dimensions: leave 'reduce_dim' out (got {dim})"
        )
    if len(vectors) < 2:
        raise DataError(f"text.reduce={how} needs at least 2 training rows (got {len(vectors)})")
    exact = vectors.astype(np.float64)
    mean = exact.mean(axis=0)
    if how in ("none", "variance", "informed", "random_projection"):
        matrix = _selection(exact, how, k, seed, pairs)
        return _reduction(np.zeros(width), matrix)
    if how == "center":
        return _reduction(mean, np.eye(width))
    if how == "standardize":
        return _reduction(mean, np.diag(_inverse(exact.std(axis=0))))
    if how == "canonical":
        return _reduction(mean, _canonical(exact - mean, k, shrinkage, _given(pairs, how)))
    if how == "contrastive":
        if histories is None:
            raise ConfigError("text.reduce=contrastive needs the train interactions: give 'histories'")
        return _reduction(mean, contrastive_map(exact - mean, histories, shrinkage, seed))
    return _reduction(mean, _principal(exact - mean, how, k, shrinkage))


def _given(pairs: np.ndarray | None, how: str) -> np.ndarray:
    if pairs is None or not len(pairs):
        raise ConfigError(f"text.reduce={how} needs pairs of training rows that share interactions")
    return pairs


def _selection(vectors: np.ndarray, how: str, k: int, seed: int, pairs: np.ndarray | None) -> np.ndarray:
    width = vectors.shape[1]
    if how == "none":
        return np.eye(width)
    if how == "random_projection":
        return np.random.default_rng(seed).normal(scale=k**-0.5, size=(width, k))
    if how == "variance":
        score = vectors.var(axis=0)
    else:
        pairs = _given(pairs, how)
        z = (vectors - vectors.mean(axis=0)) * _inverse(vectors.std(axis=0))
        score = np.einsum("pd,pd->d", z[pairs[:, 0]], z[pairs[:, 1]]) / len(pairs)
    chosen = np.sort(np.argsort(-score, kind="stable")[:k])
    return np.eye(width)[:, chosen]


def _principal(centred: np.ndarray, how: str, k: int, shrinkage: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    vectors = _signed(vectors)
    if how == "pca":
        return vectors[:, :k]
    scale = _inverse(np.sqrt((1 - shrinkage) * values + shrinkage * values.mean()))
    if how == "whiten_pca":
        return vectors[:, :k] * scale[:k]
    return (vectors * scale) @ vectors.T


def _canonical(centred: np.ndarray, k: int, shrinkage: float, pairs: np.ndarray) -> np.ndarray:
    whiten = _principal(centred, "whiten_zca", centred.shape[1], shrinkage)
    often = np.bincount(pairs.ravel(), minlength=len(centred))
    weight = 1 / np.sqrt(often[pairs].prod(axis=1))
    partners = sp.csr_array((weight / weight.sum(), pairs.T), shape=(len(centred), len(centred)))
    white = centred @ whiten
    between = white.T @ (partners @ white)
    correlation, directions = np.linalg.eigh((between + between.T) / 2)
    correlation, directions = correlation[::-1][:k], _signed(directions[:, ::-1][:, :k])
    return whiten @ directions * np.sqrt(np.maximum(correlation, 0))


def _signed(directions: np.ndarray) -> np.ndarray:
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=0)[None], axis=0)
    return directions * np.where(largest < 0, -1.0, 1.0)


def _inverse(spread: np.ndarray) -> np.ndarray:
    keep = spread > np.sqrt(_RANK) * spread.max()
    return np.where(keep, 1 / np.where(keep, spread, 1), 0.0)


def _reduction(mean: np.ndarray, matrix: np.ndarray) -> Reduction:
    return Reduction(mean.astype(np.float32), np.ascontiguousarray(matrix, dtype=np.float32))
