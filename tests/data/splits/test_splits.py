"""What every split must hold, on random interaction lists."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gnnrec.data.dataset import Dataset, id_table
from gnnrec.data.interactions import Interactions
from gnnrec.data.splits import SPLITS, Split, make_split
from gnnrec.errors import DataError

OPTIONS = {
    "random": {},
    "leave_k_out": {"k": 1},
    "leave_last_out": {"k": 1},
    "temporal_user": {},
    "temporal_global": {},
    "cold_item": {"cold": 0.3},
    "cold_user": {"cold": 0.3, "support": 1},
    "few_shot_item": {"k": 1},
    "cross_validation": {"folds": 3, "fold": 1, "validation": 0.3},
    "published": {"carve": 0.3},
}


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Return a data set of 5-12 users and items, with repeats, ties in time, and a published split."""
    num_users, num_items = draw(st.integers(5, 12)), draw(st.integers(5, 12))
    size = draw(st.integers(60, 120))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    repeats = draw(st.booleans())
    if repeats:
        user, item = generator.integers(num_users, size=size), generator.integers(num_items, size=size)
    else:
        keys = generator.permutation(num_users * num_items)[:size]
        user, item = keys // num_items, keys % num_items
    time = generator.integers(draw(st.sampled_from([3, 1000])), size=len(user))
    interactions = Interactions(user, item, num_users, num_items, timestamp=time, unique=not repeats)
    part = generator.choice([0, 0, 0, 2], size=len(user)).astype(np.int8)
    items = id_table("item", num_items)
    items["categories"] = [f"c{i % 4}" for i in range(num_items)]
    return Dataset("random", interactions, id_table("user", num_users), items, published=part)


def shuffled(dataset: Dataset, seed: int) -> Dataset:
    order = np.random.default_rng(seed).permutation(len(dataset.interactions))
    published = None if dataset.published is None else dataset.published[order]
    return dataset.with_interactions(dataset.interactions.select(order), published)


def split_or_skip(dataset: Dataset, name: str, seed: int) -> Split:
    try:
        return make_split(dataset, name, seed, **OPTIONS[name])
    except DataError as error:
        too_small = ("leaves no", "cold users with more than", "needs 3 different times")
        assume(not any(told in str(error) for told in too_small))
        raise


def parts_of(split: Split) -> list[Interactions]:
    parts = [split.train, split.validation, split.test]
    return parts if split.support is None else [*parts, split.support]


@pytest.mark.parametrize("name", SPLITS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(dataset=datasets(), seed=st.integers(0, 1000))
def test_disjoint_exhaustive_and_the_same_in_any_row_order(name: str, dataset: Dataset, seed: int) -> None:
    split = split_or_skip(dataset, name, seed)
    keys = np.concatenate([part.pair_keys() for part in parts_of(split)])
    assert len(np.unique(keys)) == len(keys), "parts share a pair"
    wanted = np.unique(dataset.interactions.pair_keys())
    assert np.isin(keys, wanted).all()
    assert len(keys) + split.params.get("num_dropped", 0) == len(wanted)
    again = make_split(shuffled(dataset, seed + 1), name, seed, **OPTIONS[name])
    assert again.fingerprint == split.fingerprint
    for one, two in zip(parts_of(split), parts_of(again)):
        np.testing.assert_array_equal(one.pair_keys(), two.pair_keys())


@settings(max_examples=25, deadline=None)
@given(dataset=datasets(), seed=st.integers(0, 1000), by=st.sampled_from(["random", "time", "category"]))
def test_cold_items_are_in_one_part_only(dataset: Dataset, seed: int, by: str) -> None:
    split = make_split(dataset, "cold_item", seed, cold=0.4, by=by)
    train, validation, test = (part.item_counts() for part in parts_of(split))
    strict_validation = (validation > 0) & (train == 0) & (test == 0)
    strict_test = (test > 0) & (train == 0) & (validation == 0)
    assert strict_validation.sum() >= split.params["num_cold_validation_items"] > 0
    assert strict_test.sum() >= split.params["num_cold_test_items"] > 0


@settings(max_examples=25, deadline=None)
@given(dataset=datasets(), seed=st.integers(0, 1000))
def test_cold_items_by_time_are_the_newest(dataset: Dataset, seed: int) -> None:
    split = make_split(dataset, "cold_item", seed, cold=0.4, by="time")
    rows = dataset.interactions
    assert rows.timestamp is not None
    first = pd.Series(rows.timestamp).groupby(rows.item).min()
    num_test = split.params["num_cold_test_items"]
    cold_test = first[first > np.sort(first)[-num_test]].index  # those beyond a tie at the border
    assert split.train.item_counts()[cold_test].sum() == 0
    assert split.validation.item_counts()[cold_test].sum() == 0


@pytest.mark.parametrize("name", ["leave_last_out", "temporal_user"])
@settings(max_examples=25, deadline=None)
@given(dataset=datasets(), seed=st.integers(0, 1000))
def test_each_user_is_trained_on_the_past(name: str, dataset: Dataset, seed: int) -> None:
    split = split_or_skip(dataset, name, seed)
    for user in range(dataset.num_users):
        times = [part.timestamp[part.user == user] for part in parts_of(split)]  # type: ignore[index]
        times = [values for values in times if len(values)]
        for before, after in pairwise(times):
            assert before.max() <= after.min()


@settings(max_examples=25, deadline=None)
@given(dataset=datasets())
def test_one_moment_cuts_everybody(dataset: Dataset) -> None:
    split = split_or_skip(dataset, "temporal_global", 0)
    train, validation, test = (part.timestamp for part in parts_of(split))
    assert train.max() < validation.min()  # type: ignore[union-attr]
    assert validation.max() < test.min()  # type: ignore[union-attr]


@settings(max_examples=25, deadline=None)
@given(dataset=datasets(), seed=st.integers(0, 1000), support=st.integers(0, 2))
def test_cold_users_are_seen_through_their_support_only(dataset: Dataset, seed: int, support: int) -> None:
    try:
        split = make_split(dataset, "cold_user", seed, cold=0.4, support=support, reserve=2)
    except DataError as error:
        assume("cold users with more than" not in str(error) and "leaves no" not in str(error))
        raise
    train, validation, test = (part.user_counts() for part in parts_of(split)[:3])
    assert ((validation > 0) & (train == 0)).sum() >= split.params["num_cold_validation_users"] > 0
    if support == 0:
        assert split.support is None
        return
    assert split.support is not None
    given_counts = split.support.user_counts()
    assert set(given_counts) <= {0, support}
    assert (train[given_counts > 0] == 0).all()
    assert ((validation + test)[given_counts > 0] > 0).all()
    largest = make_split(dataset, "cold_user", seed, cold=0.4, support=2, reserve=2)
    np.testing.assert_array_equal(largest.test.pair_keys(), split.test.pair_keys())
    assert largest.support is not None
    assert np.isin(split.support.pair_keys(), largest.support.pair_keys()).all()


@settings(max_examples=20, deadline=None)
@given(dataset=datasets(), seed=st.integers(0, 1000), folds=st.integers(2, 4))
def test_folds_cover_everything_once(dataset: Dataset, seed: int, folds: int) -> None:
    try:
        splits = [
            make_split(dataset, "cross_validation", seed, folds=folds, fold=fold, validation=0.4)
            for fold in range(folds)
        ]
    except DataError as error:
        assume("leaves no" not in str(error))
        raise
    tested = np.sort(np.concatenate([split.test.pair_keys() for split in splits]))
    rows = dataset.interactions.deduplicate().canonical()
    several = (rows.user_counts() > 1)[rows.user]
    np.testing.assert_array_equal(tested, rows.pair_keys()[several])
    assert all((split.train.user_counts()[rows.user] > 0).all() for split in splits)


@settings(max_examples=20, deadline=None)
@given(dataset=datasets(), seed=st.integers(0, 1000))
def test_few_shot_items_keep_k_rows_and_nest(dataset: Dataset, seed: int) -> None:
    try:
        splits = [make_split(dataset, "few_shot_item", seed, k=k, tail=0.5) for k in (0, 1, 2, 100)]
    except DataError as error:  # few pairs of few items: with k = 0 a part may be left empty
        assume("leaves no" not in str(error))
        raise
    plain = make_split(dataset, "random", seed)
    np.testing.assert_array_equal(splits[-1].train.pair_keys(), plain.train.pair_keys())
    for k, split in zip((0, 1, 2, 100), splits):
        np.testing.assert_array_equal(split.test.pair_keys(), plain.test.pair_keys())
        cut = split.train.item_counts() < plain.train.item_counts()
        assert (split.train.item_counts()[cut] == k).all()
        assert cut.sum() <= split.params["num_few_shot_items"]
    for small, large in pairwise(splits):
        assert np.isin(small.train.pair_keys(), large.train.pair_keys()).all()
