from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnrec.errors import ConfigError, DataError
from gnnrec.text import TextConfig, encode_texts
from gnnrec.text.controls import anonymize, bag_of_words, gaussian, shuffle
from gnnrec.text.templates import render
from gnnrec.text.transform import FitData

RNG = np.random.default_rng(0)
ALL = np.ones(6, dtype=bool)
TEXTS = ["red ink", "red red paper", "ink and paper", "green tea", "tea and ink", "zebra"]


@given(count=st.integers(2, 30), seed=st.integers(0, 99), data=st.data())
@settings(max_examples=40, deadline=None)
def test_shuffling_moves_every_row_that_has_text_and_no_other(count: int, seed: int, data: st.DataObject):
    vectors = np.arange(count, dtype=np.float32)[:, None]
    present = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    shuffled = shuffle(vectors, seed, present)
    assert sorted(shuffled[:, 0]) == sorted(vectors[:, 0])
    np.testing.assert_array_equal(shuffled[~present], vectors[~present])
    if present.sum() > 1:
        assert (shuffled[present] != vectors[present]).all()


def test_gaussian_vectors_have_the_mean_and_covariance_of_the_training_rows():
    vectors = (RNG.standard_normal((5000, 3)) @ [[2, 1, 0], [0, 1, 0], [0, 0, 0.1]] + [1, 2, 3]).astype(
        np.float32
    )
    rows = np.arange(5000) < 4000
    vectors[~rows] = 1e6
    random = gaussian(vectors, 0, rows)
    np.testing.assert_allclose(random.mean(0), vectors[rows].mean(0), atol=0.1)
    np.testing.assert_allclose(np.cov(random.T), np.cov(vectors[rows].T), atol=0.2)
    assert abs(np.corrcoef(random[rows, 0], vectors[rows, 0])[0, 1]) < 0.05
    with pytest.raises(DataError, match="at least 2"):
        gaussian(vectors, 0, np.arange(5000) < 1)


def test_bag_of_words_is_dense_lsa():
    vectors = bag_of_words(TEXTS, ALL, dim=3)
    words = sorted({word for text in TEXTS for word in text.split()})
    counts = np.array([[text.split().count(word) for word in words] for text in TEXTS], dtype=float)
    weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0)
    weights *= np.log(7 / (1 + (counts > 0).sum(0))) + 1
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    u, s, _ = np.linalg.svd(weights)
    np.testing.assert_allclose(np.abs(vectors), np.abs(u[:, :3] * s[:3]), atol=1e-5)


def test_bag_of_words_learns_nothing_from_held_out_rows():
    seen = np.arange(6) < 4
    before = bag_of_words(TEXTS, seen, dim=2)
    after = bag_of_words([*TEXTS[:4], "tea tea tea red", "new words"], seen, dim=2)
    np.testing.assert_allclose(before[:4], after[:4], atol=1e-6)
    assert not after[5].any()
    with pytest.raises(DataError, match="at least 2 training texts"):
        bag_of_words(TEXTS, np.arange(6) < 1)


def test_names_are_replaced_as_wholes_whatever_their_case():
    texts = ["package: libglib2.0-dev. source: glib2.0", "Toy Story (1995). toy story, toy", "c++ and C++."]
    names = ["libglib2.0-dev", "toy story", "C++"]
    assert anonymize(texts, names) == [
        "package: item. source: glib2.0",
        "item (1995). item, toy",
        "item and item.",
    ]
    assert anonymize(["vim-tiny vi"], ["vi"]) == ["vim-tiny item"]
    assert anonymize(["unnamed"], [""]) == ["unnamed"]
    several = [("vim", "vim-tiny", ""), ("vim-tiny", "vim")]
    assert anonymize(["vim-tiny. source: vim"] * 2, several) == ["item. source: item"] * 2
    films = pd.DataFrame({"title": ["Monsters, Inc.", "M. "]})
    assert anonymize(render(films, [["title", "title"]]), films["title"].tolist()) == ["title: item"] * 2
    with pytest.raises(ConfigError, match="needs a name per text"):
        anonymize(texts, None)
    with pytest.raises(DataError, match="one name per text"):
        anonymize(texts, names[:2])


def test_controls_are_values_of_one_key():
    plain = encode_texts(TEXTS, TextConfig(model="hash"))
    shuffled = encode_texts(TEXTS, TextConfig(model="hash", control="shuffled"))
    np.testing.assert_array_equal(np.sort(plain.sum(1)), np.sort(shuffled.sum(1)))
    assert (plain != shuffled).any(axis=1).all()
    random = encode_texts(TEXTS, TextConfig(model="hash", control="gaussian"), fit=FitData(ALL))
    assert random.shape == plain.shape
    words = encode_texts(TEXTS, TextConfig(model="minilm", control="bag_of_words", dim=3), fit=FitData(ALL))
    np.testing.assert_allclose(np.linalg.norm(words, axis=1), 1, atol=1e-6)
    named = encode_texts(["a vim", "b vim"], TextConfig(model="hash", control="anonymized"), names=["a", "b"])
    np.testing.assert_array_equal(named[0], named[1])
    for control in ("gaussian", "bag_of_words"):
        with pytest.raises(ConfigError, match="give 'fit'"):
            encode_texts(TEXTS, TextConfig(model="hash", control=control))
