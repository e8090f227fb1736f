from __future__ import annotations

import numpy as np
import pytest

from gnnrec.errors import ConfigError, DataError
from gnnrec.text.config import TextConfig
from gnnrec.text.reduce import fit_reduction
from gnnrec.text.transform import FitData, transform

RNG = np.random.default_rng(0)
X = (RNG.standard_normal((400, 6)) @ RNG.standard_normal((6, 6)) + RNG.standard_normal(6)).astype(np.float32)


def covariance(x: np.ndarray) -> np.ndarray:
    return np.cov(x.astype(np.float64), rowvar=False, bias=True)


def test_center_and_standardize():
    centred = fit_reduction(X, "center").apply(X)
    np.testing.assert_allclose(centred, X - X.mean(0), atol=1e-5)
    np.testing.assert_allclose(fit_reduction(X, "standardize").apply(X).std(0), 1, atol=1e-4)


def test_pca_is_the_singular_value_decomposition():
    reduced = fit_reduction(X, "pca", 3).apply(X)
    u, s, _ = np.linalg.svd(X - X.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(reduced), np.abs(u[:, :3] * s[:3]), rtol=1e-3, atol=1e-3)
    # Sign rule: the largest entry of each direction is positive.
    matrix = fit_reduction(X, "pca", 3).matrix
    assert (matrix[np.abs(matrix).argmax(0), np.arange(3)] > 0).all()


def test_whitening_gives_the_identity_and_shrinkage_less():
    np.testing.assert_allclose(covariance(fit_reduction(X, "whiten_pca", 4).apply(X)), np.eye(4), atol=1e-3)
    zca = fit_reduction(X, "whiten_zca")
    np.testing.assert_allclose(covariance(zca.apply(X)), np.eye(6), atol=1e-3)
    np.testing.assert_allclose(zca.matrix, zca.matrix.T, atol=1e-5)
    full = fit_reduction(X, "whiten_zca", shrinkage=1.0)
    spread = np.trace(covariance(X)) / 6
    np.testing.assert_allclose(full.matrix, np.eye(6) / np.sqrt(spread), atol=1e-4)


def test_whitening_of_few_rows_does_not_blow_up_empty_directions():
    few = RNG.standard_normal((5, 20)).astype(np.float32)
    other = RNG.standard_normal((50, 20)).astype(np.float32)
    for how in ("whiten_pca", "whiten_zca", "standardize"):
        assert np.abs(fit_reduction(few, how).apply(other)).max() < 50
    constant = np.hstack([few, np.ones((5, 1), np.float32)])
    assert np.isfinite(fit_reduction(constant, "standardize").apply(constant)).all()


def test_dimensions_are_chosen_by_variance_or_by_agreement_over_pairs():
    x = RNG.standard_normal((200, 5)).astype(np.float32) * [1, 9, 1, 5, 1]
    np.testing.assert_array_equal(fit_reduction(x, "variance", 2).apply(x), x[:, [1, 3]].astype(np.float32))
    pairs = np.stack([np.arange(0, 200, 2), np.arange(1, 200, 2)], axis=1)
    x[pairs[:, 1], 4] = x[pairs[:, 0], 4]
    x[pairs[:, 1], 1] = -x[pairs[:, 0], 1]
    np.testing.assert_array_equal(
        fit_reduction(x, "informed", 1, pairs=pairs).apply(x)[:, 0], x[:, 4].astype(np.float32)
    )
    with pytest.raises(ConfigError, match="pairs"):
        fit_reduction(x, "informed", 1)


def test_canonical_variates_are_ordered_and_scaled_by_what_partners_share():
    x = RNG.standard_normal((400, 4))
    pairs = np.arange(400).reshape(200, 2)
    x[pairs[:, 1], 2] = x[pairs[:, 0], 2]  # the same in both
    x[pairs[:, 1], 0] = 0.5 * x[pairs[:, 0], 0] + 0.75**0.5 * x[pairs[:, 1], 0]  # half of it shared
    mixed = (x @ RNG.standard_normal((4, 4)) + 3).astype(np.float32)  # any invertible map gives the same
    z = fit_reduction(mixed, "canonical", pairs=pairs).apply(mixed)
    assert abs(np.corrcoef(z[:, 0], x[:, 2])[0, 1]) > 0.99
    assert abs(np.corrcoef(z[:, 1], x[:, 0])[0, 1]) > 0.95
    np.testing.assert_allclose(z[:, :2].var(axis=0), [1, 0.5], atol=0.1)
    # Of independent partners next to nothing is kept.
    assert z[:, 2:].var(axis=0).max() < 0.2
    np.testing.assert_allclose(fit_reduction(mixed, "canonical", 2, pairs=pairs).apply(mixed), z[:, :2])
    with pytest.raises(ConfigError, match=r"text\.reduce=canonical needs pairs"):
        fit_reduction(mixed, "canonical")


def test_a_pair_with_a_frequent_row_weighs_less():
    x = RNG.standard_normal((60, 2))
    x[1::2, 0] = x[::2, 0]
    frequent = np.stack([np.zeros(500, dtype=int), RNG.integers(2, 60, 500)], axis=1)
    pairs = np.concatenate([np.arange(60).reshape(30, 2), frequent])
    z = fit_reduction(x.astype(np.float32), "canonical", pairs=pairs).apply(x.astype(np.float32))
    # 500 pairs of row 0 with anything against 30 pairs that agree in the first dimension.
    assert abs(np.corrcoef(z[:, 0], x[:, 0])[0, 1]) > 0.9


def test_random_projection_keeps_lengths_on_average_and_obeys_the_seed():
    x = RNG.standard_normal((300, 200)).astype(np.float32)
    projected = fit_reduction(x, "random_projection", 100, seed=1).apply(x)
    ratio = (projected**2).sum() / (x**2).sum()
    assert 0.9 < ratio < 1.1
    np.testing.assert_array_equal(projected, fit_reduction(x, "random_projection", 100, seed=1).apply(x))
    assert np.abs(projected - fit_reduction(x, "random_projection", 100, seed=2).apply(x)).max() > 0.1


@pytest.mark.parametrize("how", ["center", "standardize", "pca", "whiten_pca", "whiten_zca", "variance"])
def test_held_out_rows_never_change_the_fit(how: str):
    seen = np.arange(len(X)) < 300
    config = TextConfig(model="hash", reduce=how, normalize=False)
    changed = X.copy()
    changed[~seen] *= 100
    before = transform(X, config, fit=FitData(seen))
    after = transform(changed, config, fit=FitData(seen))
    np.testing.assert_array_equal(before[seen], after[seen])
    assert np.abs(before[~seen] - after[~seen]).max() > 1


def test_errors():
    with pytest.raises(ConfigError, match=r"'reduce_dim' must be in \[1, 6\]"):
        fit_reduction(X, "pca", 7)
    with pytest.raises(ConfigError, match="keeps all 6 dimensions"):
        fit_reduction(X, "whiten_zca", 3)
    with pytest.raises(ConfigError, match="unknown reduce"):
        fit_reduction(X, "zca")
    with pytest.raises(DataError, match="at least 2 training rows"):
        fit_reduction(X[:1], "pca")
    with pytest.raises(DataError, match="fitted on 6 dimensions"):
        fit_reduction(X, "pca").apply(X[:, :3])
    with pytest.raises(ConfigError, match="give 'fit'"):
        transform(X, TextConfig(reduce="pca"))
    with pytest.raises(ConfigError, match="bool for each"):
        transform(X, TextConfig(reduce="pca"), fit=FitData(np.arange(3)))


def test_rows_without_text_stay_out_of_the_fit_and_end_as_zeros():
    present = np.arange(len(X)) % 4 > 0
    x = np.where(present[:, None], X, 0)
    config = TextConfig(reduce="pca", normalize=False)
    everything = np.ones(len(X), dtype=bool)
    out = transform(x, config, present, FitData(everything))
    assert not out[~present].any()
    np.testing.assert_allclose(out[present], fit_reduction(X[present], "pca").apply(X[present]), atol=1e-5)
