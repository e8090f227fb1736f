"""EASE and EASE with text against one ridge regression per item; the inverse in place."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from gnnrec.baselines import EASE, TextEASE
from gnnrec.baselines import dense as dense_module
from gnnrec.baselines.dense import invert_in_place, mirror_lower
from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError
from tests.baselines.oracles import ease_weights, pulled_weights


@pytest.mark.parametrize("side", ["item", "user", "auto"])
@pytest.mark.parametrize("l2", [0.5, 20.0])
def test_ease_is_a_ridge_regression_per_item(
    history: Interactions, dense: np.ndarray, side: str, l2: float
) -> None:
    scores = EASE(l2, side).fit(history).scores(torch.arange(25)).numpy()
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, dense @ ease_weights(dense, l2), atol=2e-5)


def test_a_penalty_that_float32_cannot_hold_on_the_side_of_the_users_is_told() -> None:
    matrix = np.random.default_rng(0).random((1500, 40)) < 0.5
    many = Interactions(*np.nonzero(matrix), 1500, 40)
    with pytest.raises(
        ConfigError, match=r"'l2' is too small for float32 on the side of the users.*\(got 1.0\)"
    ):
        EASE(1.0, "user").fit(many)
    scores = EASE(10.0, "user").fit(many).scores(torch.arange(40)).numpy()
    dense = matrix.astype(np.float64)
    np.testing.assert_allclose(scores, dense[:40] @ ease_weights(dense, 10.0), atol=3e-3)
    assert EASE(1.0).fit(many).scores(torch.arange(3)).isfinite().all()  # on the side of the items


def test_text_that_tells_an_item_by_the_others_is_exact_or_told(
    history: Interactions, dense: np.ndarray
) -> None:
    vectors = np.random.default_rng(0).standard_normal((18, 40)).astype(np.float32)
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float64)
    scores = TextEASE(5.0, 5.0, 1e-3, center=False).fit(history, vectors).scores(torch.arange(25)).numpy()
    expected = dense @ pulled_weights(dense, ease_weights(unit.T, 1e-3), 5.0, 5.0)
    np.testing.assert_allclose(scores, expected, atol=1e-3)
    with pytest.raises(ConfigError, match=r"'text_l2' is too small for float32 in 'TextEASE' \(got 1e-08\)"):
        TextEASE(5.0, 5.0, 1e-8, center=False).fit(history, vectors)


def test_auto_takes_the_smaller_side() -> None:
    wide = Interactions(np.array([0, 1]), np.array([3, 4]), 2, 5)
    assert EASE(1.0).fit(wide).solution.kernel.shape == (2, 2)
    tall = Interactions(np.array([3, 4]), np.array([0, 1]), 5, 2)
    assert EASE(1.0).fit(tall).solution.weights.shape == (2, 2)


@pytest.mark.parametrize(("size", "block"), [(1, 4), (7, 7), (33, 8), (40, 8), (50, 64)])
def test_inverse_in_place(size: int, block: int) -> None:
    root = np.random.default_rng(size).standard_normal((size, size + 3))
    matrix = torch.from_numpy(root @ root.T + 0.1 * np.eye(size))
    expected = torch.linalg.inv(matrix)
    scrambled = matrix.tril() + torch.full_like(matrix, 7.0).triu(1)  # only the lower triangle is read
    result = invert_in_place(scrambled, block)
    assert result is scrambled
    assert torch.equal(result, result.T)
    torch.testing.assert_close(result, expected, rtol=1e-8, atol=1e-8)


def test_mirror_lower() -> None:
    matrix = torch.arange(25.0).reshape(5, 5)
    expected = matrix.tril() + matrix.tril(-1).T
    torch.testing.assert_close(mirror_lower(matrix, 2), expected)


def test_float32_is_near_float64() -> None:
    generator = np.random.default_rng(0)
    x = (generator.random((3000, 400)) < generator.random(400) ** 4).astype(np.float32)
    exact = torch.from_numpy(x.T.astype(np.float64) @ x + 5 * np.eye(400))
    inverse = invert_in_place(exact.float(), 128)
    assert (inverse.double() @ exact - torch.eye(400).double()).abs().max() < 2e-3


def test_not_positive_definite_is_told() -> None:
    with pytest.raises(ConfigError, match="raise the L2 weight"):
        invert_in_place(torch.zeros(3, 3))


def test_memory_is_said_before_it_is_taken(
    history: Interactions, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.INFO):
        EASE(1.0).fit(history)
    assert "EASE on a [18, 18] matrix needs" in caplog.text
    monkeypatch.setattr(dense_module, "available_memory", lambda: 1000)
    with pytest.raises(ConfigError, match=r"needs .* GiB of memory .*: use SLIM"):
        EASE(1.0).fit(history)


@pytest.mark.parametrize(("l2", "pull"), [(3.0, 2.0), (-1.0, 4.0), (3.0, 0.0)])
def test_text_ease_is_two_regressions_per_item(
    history: Interactions, dense: np.ndarray, vectors: np.ndarray, l2: float, pull: float
) -> None:
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors, axis=1, keepdims=True)
    target = ease_weights(unit.T, 0.7)
    expected = dense @ pulled_weights(dense, target, l2, pull)
    model = TextEASE(l2, pull, 0.7, center=False).fit(history, vectors)
    scores = model.scores(torch.arange(25)).numpy()
    np.testing.assert_allclose(scores, expected, atol=5e-5)
    assert (np.abs(scores[:-1, -1]).max() > 1e-3) == (pull > 0), "a cold item is reached through text alone"


def test_text_ease_without_text_weight_is_ease(history: Interactions, vectors: np.ndarray) -> None:
    user = torch.arange(25)
    with_text = TextEASE(4.0, 0.0).fit(history, vectors).scores(user)
    torch.testing.assert_close(with_text, EASE(4.0).fit(history).scores(user), atol=1e-5, rtol=1e-4)


def test_wrong_arguments_are_named(history: Interactions) -> None:
    with pytest.raises(ConfigError, match="'l2' must be in"):
        EASE(0.0)
    with pytest.raises(ConfigError, match="did you mean 'item'"):
        EASE(1.0, "items")
    with pytest.raises(ConfigError, match="must be positive in 'TextEASE'"):
        TextEASE(l2=-5.0, text_weight=5.0)
    with pytest.raises(ConfigError, match="needs item text vectors"):
        TextEASE().fit(history)
