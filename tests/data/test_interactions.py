from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnrec.data.interactions import Interactions, strictly_increasing
from gnnrec.errors import DataError


def make(pairs: list[tuple[int, int]], **columns: object) -> Interactions:
    user, item = (np.array(column, dtype=np.int64) for column in zip(*pairs))
    return Interactions(user, item, 10, 10, **columns)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"user": [0, 10]}, r"'user' ids must be in \[0, 10\) \(got 10 in row 1\)"),
        ({"user": [0, -1]}, r"got -1 in row 1"),
        ({"item": [2**40, 0]}, r"got 1099511627776 in row 0"),
        ({"user": [0.5, 1.0]}, "whole numbers"),
        ({"user": [[0, 1]]}, "one-dimensional"),
        ({"item": [1]}, "one value per interaction"),
        ({"rating": [1.0, np.nan]}, "got nan in row 1"),
        ({"rating": [-1.0, 1.0]}, r"got -1.0 in row 0"),
        ({"timestamp": [1.5, 2.5]}, "'timestamp' must hold whole numbers"),
        ({"user": [3, 3], "item": [4, 4]}, "1 repeats, the first is user 3, item 4"),
        ({"num_users": 2**31}, "'num_users' must be in"),
    ],
)
def test_bad_columns_are_named(fields: dict, message: str) -> None:
    columns = {"user": [0, 1], "item": [1, 0], "num_users": 10, "num_items": 10, **fields}
    with pytest.raises(DataError, match=message):
        Interactions(**{name: np.array(v) if isinstance(v, list) else v for name, v in columns.items()})


def test_types_counts_and_matrix() -> None:
    rows = make([(1, 2), (0, 3), (1, 0)], rating=[1, 2, 3], timestamp=[5, 6, 7])
    assert (rows.user.dtype, rows.item.dtype) == (np.int32, np.int32)
    assert rows.rating is not None
    assert rows.timestamp is not None
    assert (rows.rating.dtype, rows.timestamp.dtype) == (np.float32, np.int64)
    assert rows.user_counts().tolist() == [1, 2, *[0] * 8]
    assert rows.item_counts().tolist() == [1, 0, 1, 1, *[0] * 6]
    matrix = rows.csr()
    assert matrix.shape == (10, 10)
    assert matrix.dtype == np.float32
    assert matrix.toarray()[1].tolist() == [1, 0, 1, *[0] * 7]


def test_the_matrix_of_repeats_is_still_ones() -> None:
    rows = make([(1, 2), (1, 2), (0, 0)], unique=False)
    assert rows.csr().toarray()[1, 2] == 1
    assert rows.num_repeats() == 1
    assert not rows.marked_unique().unique
    assert make([(1, 2), (0, 0)], unique=False).marked_unique().unique


def test_empty_interactions_work() -> None:
    empty = Interactions(np.zeros(0), np.zeros(0), 3, 4)
    assert len(empty) == 0
    assert empty.csr().shape == (3, 4)
    assert len(empty.canonical()) == 0
    assert len(empty.fingerprint()) == 64


def test_deduplicate_keeps_by_time_not_by_row() -> None:
    rows = make(
        [(0, 1), (0, 1), (0, 0), (0, 1)], unique=False, timestamp=[30, 10, 5, 20], rating=[3, 1, 9, 2]
    )
    last, first = rows.deduplicate("last"), rows.deduplicate("first")
    assert last.unique
    assert last.rating is not None
    assert first.rating is not None
    assert (last.item.tolist(), last.rating.tolist()) == ([0, 1], [9, 3])
    assert first.rating.tolist() == [9, 1]


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=60
    ),
    seed=st.integers(0, 99),
)
def test_canonical_form_and_fingerprint_ignore_row_order(pairs: list, seed: int) -> None:
    user, item, time = np.array(pairs).T
    rows = Interactions(user, item, 10, 10, timestamp=time, unique=False)
    mixed = rows.select(np.random.default_rng(seed).permutation(len(rows)))
    assert mixed.fingerprint() == rows.fingerprint()
    canonical = mixed.canonical()
    assert canonical.timestamp is not None
    expected = sorted(pairs)
    assert list(zip(canonical.user, canonical.item, canonical.timestamp)) == expected
    kept = mixed.deduplicate("last")
    best = {(u, i): t for u, i, t in expected}
    assert kept.timestamp is not None
    assert dict(zip(zip(kept.user.tolist(), kept.item.tolist()), kept.timestamp.tolist())) == best


def test_fingerprints_tell_every_change_apart() -> None:
    base = make([(1, 2), (0, 3)], rating=[1, 2])
    others = [
        make([(1, 2), (0, 4)], rating=[1, 2]),
        make([(1, 2), (0, 3)], rating=[2, 1]),
        make([(1, 2), (0, 3)]),
        make([(1, 2), (0, 3)], rating=[1, 2], timestamp=[0, 0]),
        Interactions(base.user, base.item, 10, 11, rating=base.rating),
    ]
    prints = {base.fingerprint(), *(other.fingerprint() for other in others)}
    assert len(prints) == 6


def test_strictly_increasing_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnnrec.data.interactions._BLOCK", 4)
    for size in range(12):
        keys = np.arange(size)
        assert strictly_increasing(keys)
        for place in range(1, size):
            broken = keys.copy()
            broken[place] = broken[place - 1]
            assert not strictly_increasing(broken)


def test_blocks_do_not_change_a_fingerprint_or_a_split(monkeypatch: pytest.MonkeyPatch) -> None:
    from gnnrec.data.splits import random_split

    generator = np.random.default_rng(0)
    keys = generator.permutation(400)[:300]
    rows = Interactions(keys // 20, keys % 20, 20, 20)
    whole = (rows.fingerprint(), random_split(rows, seed=5).fingerprint)
    monkeypatch.setattr("gnnrec.data.interactions._BLOCK", 7)
    monkeypatch.setattr("gnnrec.data.splits.base._BLOCK", 7)
    assert (rows.fingerprint(), random_split(rows, seed=5).fingerprint) == whole
