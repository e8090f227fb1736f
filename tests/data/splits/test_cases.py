"""Splits on small hand-made cases, their sizes, and their errors."""

from __future__ import annotations

import numpy as np
import pytest

from gnnrec.data.dataset import Dataset, id_table
from gnnrec.data.interactions import Interactions
from gnnrec.data.splits import make_split, random_split
from gnnrec.errors import ConfigError, DataError


def complete(num_users: int, num_items: int, **columns: np.ndarray) -> Interactions:
    """Return every user with every item."""
    pairs = np.indices((num_users, num_items)).reshape(2, -1)
    return Interactions(pairs[0], pairs[1], num_users, num_items, **columns)


def dataset_of(interactions: Interactions, **fields: object) -> Dataset:
    users, items = id_table("user", interactions.num_users), id_table("item", interactions.num_items)
    return Dataset("case", interactions, users, items, **fields)  # type: ignore[arg-type]


def test_random_shares_are_exact_where_they_are_whole_numbers() -> None:
    split = random_split(complete(30, 20), seed=3)
    assert set(split.train.user_counts()) == {16}
    assert set(split.validation.user_counts()) == {2}
    assert set(split.test.user_counts()) == {2}


def test_random_shares_are_right_in_total_where_users_are_small() -> None:
    split = random_split(complete(4000, 3), seed=0)
    assert abs(len(split.test) / 12000 - 0.1) < 0.01
    assert abs(len(split.validation) / 12000 - 0.1) < 0.01
    assert split.train.user_counts().min() >= 1


def test_random_draws_every_row_equally_often() -> None:
    rows = complete(6, 10)
    hits = np.zeros(60)
    for seed in range(400):
        hits[random_split(rows, seed=seed).test.pair_keys()] += 1
    # binomial(400, .1): mean 40, deviation 6; five deviations over 60 cells
    assert abs(hits - 40).max() < 30


def test_single_rows_stay_in_train() -> None:
    rows = Interactions(
        np.r_[np.arange(50), np.full(20, 50)], np.r_[np.zeros(50, int), np.arange(20)], 51, 20
    )
    for seed in range(5):
        split = random_split(rows, ratios=(0.2, 0.4, 0.4), seed=seed)
        assert (split.train.user_counts() >= 1).all()


def test_seeds_differ_and_repeat() -> None:
    rows = complete(20, 20)
    one, same, other = (random_split(rows, seed=seed) for seed in (1, 1, 2))
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_pair_keys_do_not_overflow() -> None:
    rows = Interactions(
        np.array([2_000_000, 2_000_000, 0]), np.array([1_999_999, 7, 1]), 2_000_001, 2_000_000
    )
    assert rows.pair_keys().tolist() == [2_000_000 * 2_000_000 + 1_999_999, 4_000_000_000_007, 1]


def test_leave_last_out_by_hand() -> None:
    rows = Interactions(
        user=np.array([0, 0, 0, 0, 1, 1]),
        item=np.array([3, 1, 0, 2, 0, 1]),
        num_users=2,
        num_items=4,
        timestamp=np.array([50, 10, 40, 20, 5, 6]),
    )
    split = make_split(rows, "leave_last_out")
    assert list(zip(split.test.user, split.test.item)) == [(0, 3)]
    assert list(zip(split.validation.user, split.validation.item)) == [(0, 0)]
    assert list(zip(split.train.user, split.train.item)) == [(0, 1), (0, 2), (1, 0), (1, 1)]


def test_global_cut_marks_newcomers() -> None:
    rows = Interactions(
        user=np.array([0, 0, 1, 2, 0]),
        item=np.array([0, 1, 0, 0, 2]),
        num_users=3,
        num_items=3,
        timestamp=np.array([1, 2, 3, 8, 9]),
    )
    split = make_split(rows, "temporal_global", validation_from=3, test_from=8)
    assert split.cold_users.tolist() == [False, True, True]
    assert split.cold_items.tolist() == [False, False, True]
    assert split.params["num_cold_users"] == 2


@pytest.mark.parametrize(
    ("given", "moments"),
    [({"test_from": 60}, (48, 60)), ({"validation_from": 60}, (60, 80)), ({}, (80, 90))],
)
def test_a_given_moment_stays_and_the_ratios_make_the_other(given: dict, moments: tuple[int, int]) -> None:
    ratios = (8, 2, 2) if given else (8, 1, 1)
    split = make_split(complete(10, 10, timestamp=np.arange(100)), "temporal_global", ratios=ratios, **given)
    assert (split.params["validation_from"], split.params["test_from"]) == moments
    assert (len(split.train), len(split.train) + len(split.validation)) == moments


@pytest.mark.parametrize("given", [{"test_from": 0}, {"validation_from": 100}])
def test_a_moment_without_rows_on_its_side_is_told(given: dict) -> None:
    with pytest.raises(DataError, match=r"leaves no (train|validation) interactions"):
        make_split(complete(10, 10, timestamp=np.arange(100)), "temporal_global", **given)


@pytest.mark.parametrize(
    ("sizes", "moments"),
    [([10, 80, 5, 5], (3, 4)), ([10, 10, 60, 10, 10], (4, 5)), ([1] * 100, (81, 91)), ([98, 1, 1], (2, 3))],
)
def test_the_global_cut_is_the_nearest_to_the_ratios(sizes: list[int], moments: tuple[int, int]) -> None:
    split = make_split(
        complete(10, 10, timestamp=np.repeat(np.arange(len(sizes)) + 1, sizes)), "temporal_global"
    )
    assert (split.params["validation_from"], split.params["test_from"]) == moments


@pytest.mark.parametrize(("given", "cut"), [({}, 90), ({"test_from": 60}, 60), ({"validation_from": 60}, 60)])
def test_a_validation_share_of_zero_leaves_the_global_cut_without_validation(given: dict, cut: int) -> None:
    split = make_split(
        complete(10, 10, timestamp=np.arange(100)), "temporal_global", ratios=(9, 0, 1), **given
    )
    assert (len(split.train), len(split.validation), len(split.test)) == (cut, 0, 100 - cut)


def test_two_moments_are_enough_without_validation() -> None:
    rows = complete(10, 10, timestamp=np.arange(100) % 2)
    split = make_split(rows, "temporal_global", ratios=(9, 0, 1))
    assert (len(split.train), len(split.test)) == (50, 50)
    with pytest.raises(DataError, match="needs 2 different times, one a part, and the data has 1"):
        make_split(complete(10, 10, timestamp=np.zeros(100, dtype=int)), "temporal_global", ratios=(9, 0, 1))


def test_two_moments_are_too_few_for_a_global_cut() -> None:
    with pytest.raises(DataError, match="needs 3 different times, one a part, and the data has 2"):
        make_split(complete(10, 10, timestamp=np.arange(100) % 2), "temporal_global")


def test_repeats_count_once_at_their_last_time() -> None:
    rows = Interactions(
        user=np.array([0, 0, 0, 0]),
        item=np.array([0, 1, 2, 0]),
        num_users=1,
        num_items=3,
        timestamp=np.array([1, 2, 3, 9]),
        unique=False,
    )
    split = make_split(rows, "leave_last_out")
    assert split.test.item.tolist() == [0]
    assert len(split.train) + len(split.validation) + len(split.test) == 3


def test_an_item_repeated_late_is_as_old_as_its_first_interaction() -> None:
    rows = complete(8, 5, timestamp=100 + np.arange(40) % 5)
    repeated = Interactions(
        user=np.append(rows.user, np.arange(8)),
        item=np.append(rows.item, np.zeros(8, dtype=int)),
        num_users=8,
        num_items=5,
        timestamp=np.append(rows.timestamp, np.full(8, 900)),  # type: ignore[arg-type]
        unique=False,
    )
    split = make_split(repeated, "cold_item", cold=0.4, by="time", ratios=(0.6, 0.2, 0.2))
    assert np.flatnonzero(split.cold_items).tolist() == [3, 4]


def test_published_keeps_test_and_carves_validation_from_train() -> None:
    rows = complete(10, 20)
    part = np.where(rows.item < 15, 0, 2).astype(np.int8)
    split = make_split(dataset_of(rows, published=part), "published", seed=1, carve=0.2)
    assert (split.test.item >= 15).all()
    assert len(split.test) == 50
    assert set(split.validation.user_counts()) == {3}
    assert split.params["carved"]


def test_published_validation_is_taken_as_it_is() -> None:
    rows = complete(10, 20)
    part = np.clip(rows.item - 17, 0, 2).astype(np.int8)
    split = make_split(dataset_of(rows, published=part), "published")
    assert set(split.validation.item) == {18}
    assert set(split.test.item) == {19}
    assert not split.params["carved"]


def test_published_repeats_count_for_the_earliest_part() -> None:
    rows = Interactions(
        np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 2, 0, 1]), 2, 3, unique=False, timestamp=np.arange(6)
    )
    dataset = dataset_of(rows, published=np.array([0, 2, 2, 0, 1, 2], dtype=np.int8))
    split = make_split(dataset, "published")
    assert split.test.pair_keys().tolist() == [1, 4]
    assert split.params["num_repeats"] == 1


@pytest.mark.parametrize("name", ["seed", "name", "source"])
def test_an_option_that_is_called_as_an_argument_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown option '{name}' of the split 'random'"):
        make_split(complete(6, 6), "random", 0, **{name: 3})


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("randm", {}, "did you mean 'random'"),
        ("random", {"ratio": (8, 1, 1)}, "did you mean 'ratios'"),
        ("random", {"ratios": (0.8, 0.2)}, "three numbers"),
        ("random", {"ratios": (0.0, 0.5, 0.5)}, "leave something to train"),
        ("random", {"ratios": (0.8, -0.1, 0.3)}, "'ratios' must be in"),
        ("random", {"ratios": 0.5}, "three numbers"),
        ("random", {"seed": -1}, r"'seed' must be in \[0, inf\) in 'random'"),
        (
            "temporal_global",
            {"validation_from": "2020-10-01", "test_from": 5},
            "'validation_from' must be a number",
        ),
        ("cold_item", {"cold": 1.0}, "'cold' must be in"),
        ("cold_item", {"by": "tiem"}, "did you mean 'time'"),
        ("cold_item", {"by": "category", "category": "genre"}, "item column 'genre'"),
        ("cross_validation", {"folds": 5, "fold": 5}, "'fold' must be in"),
        ("leave_k_out", {"k": 1.5}, "whole number"),
        ("leave_k_out", {"k": float("inf")}, r"'k' must be a whole number in 'leave_k_out' \(got inf\)"),
        ("random", {"seed": 1.5}, r"'seed' must be a whole number in 'random' \(got 1\.5\)"),
        ("random", {"seed": 1.0}, r"'seed' must be a whole number in 'random' \(got 1\.0\)"),
        ("cold_item", {"by": "category", "category": ["x"]}, r"the name of an item column .*\(got \['x'\]\)"),
        ("cold_user", {"support": 3, "reserve": 2}, "'reserve' must be in"),
    ],
)
def test_wrong_options_are_named(name: str, params: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_split(complete(6, 6), name, **params)


def test_the_nearest_column_is_named_where_there_are_no_categories() -> None:
    dataset = dataset_of(complete(6, 6))
    dataset.items["category"] = "x"
    told = "needs an item column 'categories', did you mean 'category'.*; the option 'category' names another"
    with pytest.raises(ConfigError, match=told):
        make_split(dataset, "cold_item", by="category")


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("leave_last_out", {}, "needs a timestamp"),
        ("temporal_global", {}, "needs a timestamp"),
        ("published", {}, "came without a published split"),
        ("leave_k_out", {"k": 10}, "leaves no validation"),
        ("random", {"ratios": (0.9, 0.1, 0.0)}, "leaves no test"),
        ("cold_user", {"support": 6}, "use a smaller 'support'"),
    ],
)
def test_impossible_splits_say_why(name: str, params: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_split(complete(6, 6), name, **params)


@pytest.mark.parametrize("seed", range(12))
def test_categories_are_drawn_as_by_comparing_every_name(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dataset = dataset_of(complete(8, 60))
    names = rng.choice([f"c{number}" for number in range(12)], size=60)
    dataset.items["categories"] = names
    drawn = np.random.default_rng(seed).permutation(len(set(names)))
    left, halves = np.array(sorted(set(names)))[drawn].tolist(), []
    for _ in range(2):
        taken, lacking = [], 0.3 / 2 * 60
        for name in left:
            if abs(lacking - (names == name).sum()) < abs(lacking):
                taken.append(name)
                lacking -= (names == name).sum()
        left = [name for name in left if name not in taken]
        halves.append(np.flatnonzero(np.isin(names, taken)))
    split = make_split(dataset, "cold_item", seed, by="category", cold=0.3)
    for part, half in zip((split.validation, split.test), halves):
        assert np.unique(part.item[split.cold_items[part.item]]).tolist() == half.tolist()


@pytest.mark.parametrize("seed", range(12))
def test_a_large_category_does_not_make_a_half_of_it(seed: int) -> None:
    dataset = dataset_of(complete(20, 100))
    names = np.random.default_rng(seed).choice(list("abcdef"), p=[0.7, *[0.06] * 5], size=100)
    dataset.items["categories"] = names
    split = make_split(dataset, "cold_item", seed, by="category", cold=0.2)
    for part in ("validation", "test"):
        assert 5 <= split.params[f"num_cold_{part}_items"] <= 15
    cold = [
        set(names[np.unique(part.item[split.cold_items[part.item]])])
        for part in (split.validation, split.test)
    ]
    assert not cold[0] & cold[1]
    assert not (cold[0] | cold[1]) & set(names[np.unique(split.train.item)])


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        (
            "cold_item",
            {"cold": 0.1},
            r"'cold_item' by random with cold=0\.1 leaves no cold items for validation",
        ),
        (
            "cold_item",
            {"cold": 0.2, "by": "category"},
            "for validation .* a larger 'cold' or a column of smaller",
        ),
        (
            "cold_user",
            {"cold": 0.01},
            r"'cold_user' with cold=0\.01 leaves no cold users for validation \(of 12",
        ),
    ],
)
def test_a_share_too_small_for_both_halves_is_told(name: str, params: dict, message: str) -> None:
    dataset = dataset_of(complete(12, 9))
    dataset.items["categories"] = list("aaabbbccc")
    with pytest.raises(DataError, match=message):
        make_split(dataset, name, **params)


def test_positions_are_no_moments() -> None:
    dataset = dataset_of(complete(6, 6, timestamp=np.arange(36)), card={"time": "position"})
    with pytest.raises(DataError, match="has only the order"):
        make_split(dataset, "temporal_global")
    with pytest.raises(DataError, match="has only the order of each user's interactions; use by='random'"):
        make_split(dataset, "cold_item", by="time")
    assert len(make_split(dataset, "leave_last_out").test) == 6
