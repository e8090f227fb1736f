"""SVD, GF-CF, SVD-AE, iALS and the text map against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from gnnrec.baselines import GFCF, IALS, SVDAE, NormalizedSVD, TextRidge
from gnnrec.baselines.text_map import ridge_predict
from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError
from gnnrec.svd import normalized_matrix, truncated_svd

USERS = torch.arange(25)


def normalized(dense: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        user, item = dense.sum(axis=1) ** -0.5, dense.sum(axis=0) ** -0.5
    user[np.isinf(user)], item[np.isinf(item)] = 0, 0
    return user[:, None] * dense * item


def low_rank(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    u, s, vt = np.linalg.svd(matrix)
    return u[:, :rank], s[:rank], vt[:rank].T


def test_normalised_matrix(history: Interactions, dense: np.ndarray) -> None:
    np.testing.assert_allclose(normalized_matrix(history).toarray(), normalized(dense), atol=1e-6)


@pytest.mark.parametrize("rank", [1, 5, 16])
def test_truncated_svd_is_the_best_approximation(history: Interactions, dense: np.ndarray, rank: int) -> None:
    matrix = normalized_matrix(history)
    user, value, item = truncated_svd(matrix, rank, 0, 512, "test")
    u, s, v = low_rank(normalized(dense), rank)
    np.testing.assert_allclose(value.numpy(), s, atol=1e-4)
    np.testing.assert_allclose((user * value @ item.T).numpy(), u * s @ v.T, atol=1e-3)
    np.testing.assert_allclose((user.T @ user).numpy(), np.eye(rank), atol=1e-4)


def test_what_has_no_entry_has_no_vector(history: Interactions) -> None:
    user, _, item = truncated_svd(normalized_matrix(history), 4, 0, 512, "test")
    assert not user[24].any()
    assert not item[17].any()
    for model in (GFCF(19), NormalizedSVD(19), TextRidge(19)):
        with pytest.raises(ConfigError, match=rf"'dim' must be in \[1, 18\] in '{type(model).__name__}'"):
            model.fit(history, np.ones((18, 2), dtype=np.float32) + np.eye(18, 2, dtype=np.float32))
        with pytest.raises(ConfigError, match=rf"'dim' must be in .* in '{type(model).__name__}'"):
            type(model)(0)


def test_truncated_svd_depends_on_nothing_but_its_arguments(history: Interactions) -> None:
    first = truncated_svd(normalized_matrix(history), 4, 5, 512, "test")
    again = truncated_svd(normalized_matrix(history), 4, 5, 512, "test")
    other = truncated_svd(normalized_matrix(history), 4, 6, 512, "test")
    for a, b, c in zip(first, again, other):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, c, atol=1e-3, rtol=1e-3)


def test_svd_puts_popularity_back(history: Interactions, dense: np.ndarray) -> None:
    u, s, v = low_rank(normalized(dense), 6)
    model = NormalizedSVD(6, item_power=0.5).fit(history)
    expected = (u * s @ v.T) * dense.sum(axis=0) ** 0.5
    np.testing.assert_allclose(model.scores(USERS).numpy(), expected, atol=2e-3)
    torch.testing.assert_close(model.scores(USERS), model.user_emb @ model.item_emb.T)


def test_gfcf_is_the_two_filters(history: Interactions, dense: np.ndarray) -> None:
    r = normalized(dense)
    _, _, v = low_rank(r, 6)
    count = np.maximum(dense.sum(axis=0), 1)
    ideal = (count**-0.5)[:, None] * (v @ v.T) * count**0.5
    expected = dense @ (r.T @ r + 0.4 * ideal)
    model = GFCF(6, weight=0.4).fit(history)
    np.testing.assert_allclose(model.scores(USERS).numpy(), expected, atol=5e-3)
    assert not hasattr(model, "item_emb"), "GF-CF is no product of factors: the evaluator must not think so"
    picked = torch.tensor([3, 3, 24])
    torch.testing.assert_close(model.scores(picked), model.scores(USERS)[picked])


def test_svd_ae_is_the_truncated_pseudo_inverse(history: Interactions, dense: np.ndarray) -> None:
    u, s, v = low_rank(normalized(dense), 6)
    expected = normalized(dense) @ (v / s) @ u.T @ dense
    model = SVDAE(6).fit(history)
    np.testing.assert_allclose(model.scores(USERS).numpy(), expected, atol=2e-3)


def test_svd_ae_beyond_the_rank_is_the_pseudo_inverse() -> None:
    """Each user has some of 6 blocks of 5 items, so the matrix has rank 6."""
    dense = np.repeat(np.random.default_rng(0).random((36, 6)) < 0.4, 5, axis=1).astype(float)
    r = normalized(dense)
    expected = r @ np.linalg.pinv(r) @ dense
    model = SVDAE(20).fit(Interactions(*np.nonzero(dense), 36, 30))
    np.testing.assert_allclose(model.scores(torch.arange(36)).numpy(), expected, atol=1e-5)


def ials_loss(model: IALS, dense: np.ndarray) -> float:
    w, h = model.user_emb.double().numpy(), model.item_emb.double().numpy()
    score = w @ h.T
    users = (dense.sum(axis=1) + model.unobserved * dense.shape[1]) ** model.exponent
    items = (dense.sum(axis=0) + model.unobserved * dense.shape[0]) ** model.exponent
    penalty = users @ (w**2).sum(axis=1) + items @ (h**2).sum(axis=1)
    return float((dense * (1 - score) ** 2).sum() + model.unobserved * (score**2).sum() + model.l2 * penalty)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
@pytest.mark.parametrize("dim", [4, 30])
def test_ials_half_steps_solve_the_normal_equations(
    history: Interactions, dense: np.ndarray, dim: int, exponent: float
) -> None:
    """Items have more partners than 4 and fewer than 30: both ways of solving."""
    counts = dense.sum(axis=0)
    assert counts.max() >= 4
    assert counts.max() < 30
    model = IALS(dim, 0.2, 0.05, exponent, epochs=3).fit(history)
    w = model.user_emb.double().numpy()
    for item in range(18):
        own = w[dense[:, item] > 0]
        weight = 0.05 * (len(own) + 0.2 * 25) ** exponent
        system = own.T @ own + 0.2 * w.T @ w + weight * np.eye(dim)
        expected = np.linalg.solve(system, own.sum(axis=0))
        np.testing.assert_allclose(model.item_emb[item].numpy(), expected, atol=2e-4)


def test_ials_loss_falls_with_every_epoch(history: Interactions, dense: np.ndarray) -> None:
    losses = [ials_loss(IALS(4, 0.2, 0.05, epochs=epochs).fit(history), dense) for epochs in (1, 2, 4, 12)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > losses[-1] + 1e-3


def test_ials_batches_do_not_matter(history: Interactions, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = IALS(4, epochs=2).fit(history)
    monkeypatch.setattr("gnnrec.baselines.ials.BATCH_FLOATS", 60)
    torch.testing.assert_close(IALS(4, epochs=2).fit(history).item_emb, whole.item_emb, atol=1e-5, rtol=1e-4)


def test_ridge_is_weighted_least_squares_with_an_intercept() -> None:
    generator = np.random.default_rng(0)
    text, target = generator.standard_normal((30, 3)), generator.standard_normal((30, 2))
    weight = generator.integers(0, 4, 30).astype(float)[:, None]
    used = int((weight > 0).sum())
    scaled = weight / weight.sum() * used
    design = np.hstack([text, np.ones((30, 1))])
    penalty = np.diag([0.5 * used] * 3 + [0.0])
    solution = np.linalg.solve(design.T @ (scaled * design) + penalty, design.T @ (scaled * target))
    arguments = [torch.from_numpy(part) for part in (text, target, weight)]
    np.testing.assert_allclose(ridge_predict(*arguments, 0.5).numpy(), design @ solution, atol=1e-10)


def test_text_is_a_prior_that_fades_with_interactions(history: Interactions, vectors: np.ndarray) -> None:
    plain = NormalizedSVD(4).fit(history)
    none = TextRidge(4, prior=0.0).fit(history, vectors)
    torch.testing.assert_close(none.item_emb[:-1], plain.item_emb[:-1])
    much = TextRidge(4, prior=1e9).fit(history, vectors)
    torch.testing.assert_close(
        none.item_emb[-1], much.item_emb[-1]
    )  # nothing but text is known of a cold item
    some = TextRidge(4, prior=5.0).fit(history, vectors)
    count = torch.from_numpy(history.item_counts()).float()[:-1, None]
    blend = (count * plain.item_emb[:-1] + 5.0 * much.item_emb[:-1]) / (count + 5.0)
    torch.testing.assert_close(some.item_emb[:-1], blend, atol=1e-5, rtol=1e-4)


def test_wrong_arguments_are_named(history: Interactions) -> None:
    with pytest.raises(ConfigError, match=r"'dim' must be in \[1, 18\] in 'SVDAE'"):
        SVDAE(dim=19).fit(history)
    with pytest.raises(ConfigError, match="'unobserved' must be in"):
        IALS(unobserved=0)
    with pytest.raises(ConfigError, match="needs item text vectors"):
        TextRidge(4).fit(history)


@pytest.mark.parametrize(
    ("spectrum", "tolerance"),
    [(np.linspace(1, 0.5, 300), 5e-3), (np.r_[np.linspace(1, 0.5, 20), np.zeros(280)], 1e-4)],
    ids=["flat", "rank below the basis"],
)
def test_truncated_svd_from_a_small_basis(spectrum: np.ndarray, tolerance: float) -> None:
    generator = np.random.default_rng(0)
    left = np.linalg.qr(generator.standard_normal((400, 300)))[0]
    right = np.linalg.qr(generator.standard_normal((350, 300)))[0]
    matrix = sp.csr_matrix((left * spectrum @ right.T).astype(np.float32))
    user, value, item = truncated_svd(matrix, 15, 0, 130, "test")
    np.testing.assert_allclose(value.numpy(), spectrum[:15], atol=tolerance)
    np.testing.assert_allclose((user.T @ user).numpy(), np.eye(15), atol=1e-4)
    np.testing.assert_allclose((item.T @ item).numpy(), np.eye(15), atol=1e-4)
    np.testing.assert_allclose(user.T.numpy() @ matrix @ item.numpy(), np.diag(value.numpy()), atol=1e-4)
