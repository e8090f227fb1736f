from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnrec.text.augment import IGNORED, augment_tokens, mask_tokens

SPECIAL = frozenset({1, 2})


@given(
    inner=st.lists(st.integers(10, 40), max_size=20),
    deletion=st.floats(0, 0.99),
    crop=st.floats(0, 0.99),
    shuffle=st.floats(0, 0.99),
    seed=st.integers(0, 999),
)
@settings(max_examples=80, deadline=None)
def test_special_tokens_stay_and_no_token_is_made_up(inner, deletion, crop, shuffle, seed):
    ids = [1, *inner, 2]
    out = augment_tokens(ids, SPECIAL, np.random.default_rng(seed), deletion, crop, shuffle)
    assert out[0] == 1
    assert out[-1] == 2
    assert (len(out) > 2) == (len(inner) > 0)
    kept = list(inner)
    for token in out[1:-1]:
        kept.remove(token)
    if not shuffle:
        assert len(out) <= len(ids)


def test_an_unknown_word_inside_is_a_token_like_others():
    ids = [1, 5, 3, 6, 3, 2]
    assert augment_tokens(ids, SPECIAL | {3}, np.random.default_rng(0), 0, 0, 0) == ids


def test_each_augmentation_does_its_own():
    ids = [1, *range(100, 200), 2]
    generator = np.random.default_rng(0)
    same = augment_tokens(ids, SPECIAL, generator, 0, 0, 0)
    assert same == ids
    cropped = augment_tokens(ids, SPECIAL, generator, 0, 0.3, 0)[1:-1]
    assert cropped == list(range(cropped[0], cropped[0] + 70))
    deleted = augment_tokens(ids, SPECIAL, generator, 0.5, 0, 0)[1:-1]
    assert 30 < len(deleted) < 70
    assert deleted == sorted(deleted)
    shuffled = augment_tokens(ids, SPECIAL, generator, 0, 0, 0.5)[1:-1]
    assert sorted(shuffled) == ids[1:-1]
    assert 20 < sum(a != b for a, b in zip(shuffled, ids[1:-1])) < 70


def test_masking_rates_and_labels():
    ids = np.full((200, 50), 7)
    maskable = np.ones_like(ids, dtype=bool)
    maskable[:, 0] = False
    inputs, labels = mask_tokens(ids, maskable, np.random.default_rng(0), 0.2, 3, 1000)
    chosen = labels != IGNORED
    assert not chosen[:, 0].any()
    assert abs(chosen[:, 1:].mean() - 0.2) < 0.02
    assert (labels[chosen] == 7).all()
    assert (inputs[~chosen] == 7).all()
    assert abs((inputs[chosen] == 3).mean() - 0.8) < 0.03
    assert abs((inputs[chosen] == 7).mean() - 0.1) < 0.03
    _, label = mask_tokens(ids[:1, :2], maskable[:1, :2], np.random.default_rng(0), 1e-9, 3, 10)
    assert (label != IGNORED).sum() == 1
