"""RP3beta and SLIM against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from gnnrec.baselines import SLIM, RP3Beta
from gnnrec.baselines.slim import descend
from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError
from tests.baselines.oracles import row_normalized, top_k, walk_weights


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(("alpha", "beta", "k"), [(1.0, 0.0, 100), (0.6, 0.4, 4), (1.3, 1.0, 2)])
def test_rp3beta_is_the_walk(
    history: Interactions, dense: np.ndarray, alpha: float, beta: float, k: int, normalize: bool
) -> None:
    weights = top_k(walk_weights(dense, alpha, beta).astype(np.float32), k).astype(np.float64)
    weights = row_normalized(weights) if normalize else weights
    weights = top_k(weights.T.astype(np.float32), k).T
    scores = RP3Beta(k, alpha, beta, normalize).fit(history).scores(torch.arange(25)).numpy()
    np.testing.assert_allclose(scores, dense @ weights, rtol=2e-5, atol=1e-6)


def test_three_steps_are_a_product_of_transition_matrices(history: Interactions, dense: np.ndarray) -> None:
    """With alpha 1 and beta 0 and no cut, scores times 1 / c_u are the probabilities of the walk u-i-v-i."""
    with np.errstate(divide="ignore", invalid="ignore"):
        forth = np.nan_to_num(dense / dense.sum(axis=1, keepdims=True))
        back = np.nan_to_num(dense.T / dense.sum(axis=0)[:, None])
    step = back @ forth
    np.fill_diagonal(step, 0)
    scores = RP3Beta(1000, 1.0, 0.0, normalize=False).fit(history).scores(torch.arange(25)).numpy()
    counts = np.maximum(dense.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(scores / counts, forth @ step, atol=1e-6)


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 1.0), (0.8, 2.0), (3.0, 0.1)])
def test_slim_minimises_its_objective(history: Interactions, dense: np.ndarray, l1: float, l2: float) -> None:
    model = SLIM(l1, l2, neighbours=17, max_sweeps=2000, tolerance=1e-7).fit(history)
    weights = model.right.toarray()
    assert weights.min() >= 0
    assert np.diag(weights).max() == 0
    for item in range(18):

        def loss(w: np.ndarray, item: int = item) -> tuple[float, np.ndarray]:
            rest = dense @ w - dense[:, item]
            return 0.5 * rest @ rest + 0.5 * l2 * w @ w + l1 * w.sum(), dense.T @ rest + l2 * w + l1

        bounds = [(0.0, 0.0 if j == item else None) for j in range(18)]
        options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 5000}
        best = minimize(loss, np.zeros(18), jac=True, bounds=bounds, method="L-BFGS-B", options=options)
        assert loss(weights[:, item].astype(np.float64))[0] <= best.fun + 1e-5
    np.testing.assert_allclose(model.scores(torch.arange(25)).numpy(), dense @ weights, atol=1e-5)


def test_slim_satisfies_the_optimality_conditions(history: Interactions, dense: np.ndarray) -> None:
    """Gradient zero where a weight is positive, not negative where it is zero (for the item's candidates)."""
    weights = SLIM(0.5, 1.0, 17, 2000, 1e-7).fit(history).right.toarray().astype(np.float64)
    gradient = dense.T @ (dense @ weights - dense) + 1.0 * weights + 0.5
    np.fill_diagonal(gradient, 0)
    assert np.abs(gradient[weights > 0]).max() < 1e-3
    assert gradient[weights == 0].min() > -1e-3


def test_a_solution_that_is_not_exact_is_told(
    history: Interactions, caplog: pytest.LogCaptureFixture
) -> None:
    SLIM(0.1, 0.1, 17, max_sweeps=2).fit(history)
    assert "SLIM stopped after 2 sweeps, in the last of which a weight moved by" in caplog.text
    caplog.clear()
    SLIM(0.1, 0.1, 17, max_sweeps=2000).fit(history)
    assert not caplog.text


def test_candidates_limit_the_neighbours(history: Interactions) -> None:
    weights = SLIM(0.0, 1.0, neighbours=3).fit(history).right
    assert np.diff(weights.tocsc().indptr).max() <= 3


def test_a_strong_l1_leaves_nothing(history: Interactions) -> None:
    assert SLIM(l1=1e6).fit(history).scores(torch.arange(25)).abs().max() == 0


def test_descend_solves_many_problems_at_once() -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(3, 6, 9, generator=generator).double()
    gram = root @ root.mT + 0.5 * torch.eye(6).double()
    target = torch.randn(3, 6, generator=generator).double()
    solved, _ = descend(gram.permute(1, 0, 2).contiguous().float(), target.T.float(), 0.1, 0.3, 5000, 0.0)
    for place in range(3):
        w = solved[:, place].double()
        gradient = gram[place] @ w - target[place] + 0.3 * w + 0.1
        assert gradient[w > 0].abs().max() < 1e-4
        assert not (w == 0).any() or gradient[w == 0].min() > -1e-4


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ConfigError, match="'alpha' must be in"):
        RP3Beta(alpha=-1)
    with pytest.raises(ConfigError, match="'l1' must be in"):
        SLIM(l1=-1)
