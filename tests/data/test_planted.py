from __future__ import annotations

import numpy as np
import pytest

from gnnrec.data.planted import block_words, planted_dataset, power_law_interactions
from gnnrec.errors import ConfigError


def test_most_pairs_stay_in_their_block() -> None:
    dataset = planted_dataset(noise=0.05, seed=1)
    rows = dataset.interactions
    same = dataset.users["block"].to_numpy()[rows.user] == dataset.items["block"].to_numpy()[rows.item]
    assert same.mean() > 0.9
    assert planted_dataset(noise=0.0).interactions.user_counts().min() >= 3


def test_the_skew_is_inside_blocks() -> None:
    counts = planted_dataset(num_users=400, skew=1.0, seed=2).interactions.item_counts()
    assert counts[:9].mean() > 3 * counts[-30:].mean()


def test_text_names_the_block_and_nothing_else() -> None:
    dataset = planted_dataset(num_blocks=3)
    for block, text in zip(dataset.items["block"], dataset.items["text"]):
        for other in range(3):
            assert (set(block_words(other)) <= set(text.split())) == (other == block)


def test_text_alone_finds_a_hidden_item() -> None:
    """The planted answer: word overlap with the items a user has ranks a hidden item's block first."""
    dataset = planted_dataset(noise=0.0, seed=3)
    split = dataset.split("cold_item", cold=0.3)
    words = sorted({word for text in dataset.items["text"] for word in text.split()})
    bag = np.array([[word in text.split() for word in words] for text in dataset.items["text"]], dtype=float)
    bag *= np.log(len(bag) / bag.sum(axis=0))
    profile = split.train.csr() @ bag
    cold = np.flatnonzero(split.cold_items)
    scores = profile @ bag[cold].T
    block = dataset.items["block"].to_numpy()
    active = split.train.user_counts() > 0
    hits = block[cold[scores.argmax(axis=1)]] == dataset.users["block"].to_numpy()
    assert hits[active].mean() > 0.95


def test_same_seed_same_data() -> None:
    assert planted_dataset(seed=4).fingerprint() == planted_dataset(seed=4).fingerprint()
    assert planted_dataset(seed=4).fingerprint() != planted_dataset(seed=5).fingerprint()
    with pytest.raises(ConfigError, match="'num_blocks' must be in"):
        planted_dataset(num_blocks=0)


def test_power_law_graphs_have_size_and_slope(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = power_law_interactions(200_000, 20_000, 10_000, exponent=0.7, seed=0)
    assert 0.85 * 200_000 < len(rows) <= 201_000
    assert rows.unique
    assert rows.canonical_order() is None
    degrees = np.sort(rows.item_counts())[::-1]
    ranks = np.array([10, 30, 100, 300, 1000])
    slope = np.polyfit(np.log(ranks), np.log([degrees[rank - 5 : rank + 5].mean() for rank in ranks]), 1)[0]
    assert -0.85 < slope < -0.5
    assert rows.user_counts().min() >= 1
    again = power_law_interactions(200_000, 20_000, 10_000, exponent=0.7, seed=0)
    assert again.fingerprint() == rows.fingerprint()
