"""Item kNN, user kNN and content kNN against double loops."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from gnnrec.baselines import ContentKNN, ItemKNN, UserKNN
from gnnrec.baselines.content import unit_vectors
from gnnrec.baselines.knn import nearest
from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, DataError
from tests.baselines.oracles import row_normalized, similarity, top_k


def all_scores(model) -> np.ndarray:
    return model.scores(torch.arange(25)).numpy()


@pytest.mark.parametrize("kind", ["cosine", "jaccard", "dot", "pearson"])
@pytest.mark.parametrize("k", [1, 4, 100])
def test_item_knn_is_the_double_loop(history: Interactions, dense: np.ndarray, kind: str, k: int) -> None:
    shrink = 0.0 if kind in ("dot", "pearson") else 2.5
    expected = dense @ top_k(similarity(dense.T, kind, shrink).astype(np.float32), k).T
    scores = all_scores(ItemKNN(k, shrink, kind).fit(history))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["cosine", "jaccard", "dot", "pearson"])
@pytest.mark.parametrize("k", [1, 4, 100])
def test_user_knn_is_the_double_loop(history: Interactions, dense: np.ndarray, kind: str, k: int) -> None:
    expected = top_k(similarity(dense, kind, 0.0).astype(np.float32), k) @ dense
    scores = all_scores(UserKNN(k, 0.0, kind).fit(history))
    np.testing.assert_allclose(scores, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["cosine", "pearson"])
def test_item_knn_centred_and_normalised(history: Interactions, dense: np.ndarray, kind: str) -> None:
    """The form of the BARS benchmark: rows of neighbours sum to 1, deviations from the mean are averaged."""
    weights = row_normalized(top_k(similarity(dense.T, kind, 0.0).astype(np.float32), 6))
    mean = dense.mean(axis=0)
    expected = (dense - mean) @ weights.T + mean
    scores = all_scores(ItemKNN(6, similarity=kind, normalize=True, center=True).fit(history))
    np.testing.assert_allclose(scores, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("value", [1.0, 0.1])
def test_pearson_of_a_row_of_equal_values_is_zero(value: float) -> None:
    """5003 times a count is no float32, nor is the sum of 5003 tenths."""
    rows = (np.random.default_rng(0).random((4, 5003)) < 0.7).astype(np.float32)
    rows[0] = value
    found = nearest(sp.csr_matrix(rows), 3, "pearson", 0.0).toarray()
    expected = np.zeros((4, 4))
    expected[1:, 1:] = np.corrcoef(rows[1:])
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-5, atol=1e-7)


def test_tf_idf_weighs_the_other_side(history: Interactions, dense: np.ndarray) -> None:
    rarity = np.log((18 + 1) / (dense.sum(axis=1) + 1))
    expected = dense @ similarity((dense * rarity[:, None]).T, "cosine", 0.0).T
    scores = all_scores(ItemKNN(100, feature_weighting="tf_idf").fit(history))
    np.testing.assert_allclose(scores, expected, rtol=2e-5, atol=1e-6)
    rarity = np.log((25 + 1) / (dense.sum(axis=0) + 1))
    expected = similarity(dense * rarity, "cosine", 0.0) @ dense
    scores = all_scores(UserKNN(100, feature_weighting="tf_idf").fit(history))
    np.testing.assert_allclose(scores, expected, rtol=2e-5, atol=1e-6)


def test_an_item_is_no_neighbour_of_itself(history: Interactions) -> None:
    model = ItemKNN(100).fit(history)
    assert model.right.diagonal().max() == 0
    assert UserKNN(100).fit(history).left.diagonal().max() == 0


def test_one_user_alone_equals_the_batch(history: Interactions) -> None:
    model = ItemKNN(3).fit(history)
    together = model.scores(torch.tensor([7, 2, 2, 24]))
    for place, user in enumerate([7, 2, 2, 24]):
        assert torch.equal(model.scores(torch.tensor([user]))[0], together[place])


@pytest.mark.parametrize("center", [True, False])
def test_content_knn_is_the_double_loop(
    history: Interactions, dense: np.ndarray, vectors: np.ndarray, center: bool
) -> None:
    seen = dense.sum(axis=0) > 0
    shifted = vectors.astype(np.float64) - (vectors[seen].mean(axis=0) if center else 0)
    unit = shifted / np.linalg.norm(shifted, axis=1, keepdims=True)
    similar = np.maximum(unit @ unit.T, 0) ** 2 * seen
    np.fill_diagonal(similar, 0)
    expected = dense @ top_k(similar.astype(np.float32), 3).T
    scores = all_scores(ContentKNN(3, center, power=2.0).fit(history, vectors))
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
    assert scores[:-1, -1].max() > 0, "the item that nobody has is reached through its text"


def test_wrong_arguments_are_named(history: Interactions, vectors: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="did you mean 'cosine'"):
        ItemKNN(similarity="cosin")
    with pytest.raises(ConfigError, match=r"'k' must be in \[1"):
        UserKNN(k=0)
    with pytest.raises(ConfigError, match="needs item text vectors"):
        ContentKNN().fit(history)
    with pytest.raises(DataError, match=r"must be \[18, dim\]"):
        ContentKNN().fit(history, vectors[:5])
    with pytest.raises(DataError, match="finite"):
        ContentKNN().fit(history, np.full_like(vectors, np.nan))


def test_items_without_text_are_nobodys_neighbours(history: Interactions, vectors: np.ndarray) -> None:
    vectors = vectors.copy()
    vectors[[2, 5, 7]] = 0
    model = ContentKNN(6).fit(history, vectors)
    assert not model.right.toarray()[[2, 5, 7]].any()
    assert not model.right.toarray()[:, [2, 5, 7]].any()
    # the mean that is subtracted is that of the items with text
    rest = np.setdiff1d(np.flatnonzero(history.item_counts()), [2, 5, 7])
    unit = unit_vectors(vectors, history, "test", center=True)
    centred = vectors[rest] - vectors[rest].mean(axis=0)
    np.testing.assert_allclose(
        unit[rest], centred / np.linalg.norm(centred, axis=1, keepdims=True), rtol=1e-5
    )
