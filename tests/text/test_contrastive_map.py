from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError
from gnnrec.text.config import TextConfig
from gnnrec.text.contrastive_map import contrastive_map
from gnnrec.text.nodes import fit_data
from gnnrec.text.transform import FitData, transform

TOPICS, OWNERS, ROWS = 8, 240, 480


def planted(seed: int = 0) -> tuple[np.ndarray, sp.csr_array, np.ndarray]:
    """Rows with 8 numbers of their topic and 24 of as much spread that say nothing, owners who have one topic each."""
    generator = np.random.default_rng(seed)
    topic = generator.integers(TOPICS, size=ROWS)
    vectors = np.hstack([np.eye(TOPICS)[topic], generator.standard_normal((ROWS, 24)) / 3])
    wanted = generator.integers(TOPICS, size=(OWNERS, 1)) == topic
    histories = sp.csr_array((wanted & (generator.random((OWNERS, ROWS)) < 0.6)).astype(np.float32))
    return (vectors - vectors.mean(axis=0)).astype(np.float32), histories, topic


def contrast(vectors: np.ndarray, topic: np.ndarray) -> float:
    """Return how much more alike rows of one topic are than rows of two."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine, same = unit @ unit.T, topic[:, None] == topic
    return float(cosine[same & ~np.eye(len(topic), dtype=bool)].mean() - cosine[~same].mean())


def test_unseen_rows_that_owners_would_have_together_come_nearer():
    vectors, histories, _ = planted()
    matrix = contrastive_map(vectors, histories)
    unseen, _, unseen_topic = planted(seed=1)
    before, after = contrast(unseen, unseen_topic), contrast(unseen @ matrix, unseen_topic)
    assert after > before + 0.05
    order = np.random.default_rng(0).permutation(ROWS)
    shuffled = contrastive_map(vectors, sp.csr_array(histories[:, order]))
    assert contrast(unseen @ shuffled, unseen_topic) < before


def test_what_the_shrinkage_keeps_and_the_seed_decides():
    vectors, histories, _ = planted()
    learned = contrastive_map(vectors, histories)
    np.testing.assert_array_equal(learned, contrastive_map(vectors, histories))
    assert np.abs(learned - contrastive_map(vectors, histories, seed=1)).max() > 1e-4
    identity = np.eye(vectors.shape[1])
    np.testing.assert_allclose(contrastive_map(vectors, histories, shrinkage=1.0), identity)
    np.testing.assert_allclose(contrastive_map(vectors, histories, 0.25), 0.25 * identity + 0.75 * learned)


@pytest.mark.parametrize("side", ["item", "user"])
def test_rows_without_train_interactions_never_change_the_fit(side: str):
    vectors, histories, _ = planted()
    user, item = histories.nonzero()
    seen = item >= 20
    train = Interactions(user[seen], item[seen], OWNERS, ROWS)
    if side == "user":
        train = Interactions(train.item, train.user, ROWS, OWNERS)
    config = TextConfig(model="hash", reduce="contrastive", normalize=False)
    changed = vectors.copy()
    changed[:20] *= 100
    before = transform(vectors, config, fit=fit_data(train, side, config))
    after = transform(changed, config, fit=fit_data(train, side, config))
    np.testing.assert_array_equal(before[20:], after[20:])
    assert (before[:20] != after[:20]).any(axis=1).all()


def test_owners_of_one_row_each_teach_nothing():
    vectors, _, _ = planted()
    alone = sp.csr_array(np.eye(ROWS, dtype=np.float32))
    with pytest.raises(ConfigError, match="two rows among 120 of the 480 training rows, and there is none"):
        contrastive_map(vectors, alone)
    with pytest.raises(ConfigError, match="needs the train interactions"):
        transform(
            vectors, TextConfig(model="hash", reduce="contrastive"), fit=FitData(np.ones(ROWS, dtype=bool))
        )
