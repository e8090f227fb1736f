from __future__ import annotations

from pathlib import Path

import networkx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnrec.data.dataset import Dataset, id_table, load_dataset
from gnnrec.data.interactions import Interactions
from gnnrec.data.recipe import apply_recipe, k_core
from gnnrec.errors import ConfigError, DataError


def dataset_of(rows: Interactions, **fields: object) -> Dataset:
    users, items = id_table("user", rows.num_users), id_table("item", rows.num_items)
    users["user_id"] = [f"u{place}" for place in range(rows.num_users)]
    items["item_id"] = [f"i{place}" for place in range(rows.num_items)]
    items["text"] = ["word" if place % 2 else "" for place in range(rows.num_items)]
    return Dataset("case", rows, users, items, **fields)  # type: ignore[arg-type]


def small() -> Dataset:
    rows = Interactions(
        np.array([0, 0, 0, 1, 1, 2, 2]),
        np.array([0, 1, 1, 0, 1, 3, 3]),
        4,
        5,
        rating=np.array([5, 1, 4, 3, 4, 2, 2]),
        timestamp=np.array([10, 30, 20, 40, 50, 60, 70]),
        unique=False,
    )
    return dataset_of(
        rows,
        published=np.array([0, 2, 0, 0, 2, 0, 2], dtype=np.int8),
        context=pd.DataFrame({"row": range(7)}),
        tables={"friends": pd.DataFrame({"user": [0, 2, 3], "friend": [1, 0, 0]})},
    )


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)), min_size=1, max_size=90),
    k=st.integers(1, 5),
)
def test_k_core_is_the_one_of_networkx(pairs: set[tuple[int, int]], k: int) -> None:
    user, item = np.array(sorted(pairs)).T
    dataset = dataset_of(Interactions(user, item, 12, 12))
    graph = networkx.Graph((("u", u), ("i", i)) for u, i in pairs)
    core = networkx.k_core(graph, k)
    expected = {(u[1], i[1]) if u[0] == "u" else (i[1], u[1]) for u, i in core.edges}
    kept = k_core(dataset, k=k).interactions
    assert set(zip(kept.user.tolist(), kept.item.tolist())) == expected


def test_steps_keep_rows_together_and_raw_ids_mapped() -> None:
    result = apply_recipe(
        small(), [{"step": "deduplicate", "keep": "last"}, {"step": "min_rating", "at_least": 3}]
    )
    assert result.context is not None
    assert result.published is not None
    rows = result.interactions
    triples = list(
        zip(
            result.users["user_id"].to_numpy()[rows.user],
            result.items["item_id"].to_numpy()[rows.item],
            result.context["row"],
            result.published,
        )
    )
    # (0, 1) is last seen at time 30 with rating 1, so the pair goes although an earlier rating was 4
    assert triples == [("u0", "i0", 0, 0), ("u1", "i0", 3, 0), ("u1", "i1", 4, 2)]
    assert (result.num_users, result.num_items) == (2, 2)
    assert result.tables["friends"].to_numpy().tolist() == [[0, 1]]
    log = result.card["recipe"]
    assert [entry["step"] for entry in log] == ["deduplicate", "min_rating", "drop_unused"]
    assert log[0]["removed"] == {"interactions": 2, "users": 0, "items": 0}
    assert log[1]["left"] == {"interactions": 3, "users": 2, "items": 2}


@pytest.mark.parametrize("kind", ["float64", "Int64"])
def test_side_tables_with_missing_ids_are_numbered_anew(tmp_path: Path, kind: str) -> None:
    pd.DataFrame({"user": [0, 0], "item": [1, 2]}).to_parquet(tmp_path / "interactions.parquet")
    pd.DataFrame({"item_id": ["x", "y", "z"]}).to_parquet(tmp_path / "items.parquet")
    tags = pd.DataFrame({"item": pd.Series([1, 2, None], dtype=kind), "text": ["of y", "of z", "of none"]})
    tags.to_parquet(tmp_path / "tags.parquet")
    result = apply_recipe(load_dataset(tmp_path), [])
    assert result.items["item_id"].tolist() == ["y", "z"]
    assert result.tables["tags"].to_numpy().tolist() == [[0, "of y"], [1, "of z"]]


@pytest.mark.parametrize(
    ("keep", "rating"), [("first", [5, 4, 3, 4, 2]), ("last", [5, 1, 3, 4, 2]), ("count", [1, 2, 1, 1, 2])]
)
def test_three_ways_to_remove_repeats(keep: str, rating: list[int]) -> None:
    result = apply_recipe(small(), [{"step": "deduplicate", "keep": keep}])
    assert result.interactions.rating is not None
    assert result.interactions.rating.tolist() == rating
    assert result.interactions.unique


def test_windows_text_and_samples() -> None:
    window = apply_recipe(small(), [{"step": "time_window", "start": 20, "end": 50}])
    assert window.interactions.timestamp is not None
    assert sorted(window.interactions.timestamp) == [20, 30, 40]
    text = apply_recipe(small(), [{"step": "min_text", "chars": 2}])
    assert text.items["item_id"].tolist() == ["i1", "i3"]
    sampled = apply_recipe(small(), [{"step": "sample_users", "num": 2, "seed": 3}])
    assert sampled.num_users == 2
    every = apply_recipe(small(), [{"step": "sample_users", "num": 99}])
    assert every.users["user_id"].tolist() == ["u0", "u1", "u2"]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_a_recipe_does_not_depend_on_row_order(seed: int) -> None:
    dataset = small()
    order = np.random.default_rng(seed).permutation(7)
    assert dataset.published is not None
    mixed = dataset.with_interactions(dataset.interactions.select(order), dataset.published[order])
    recipe = [{"step": "deduplicate"}, {"step": "k_core", "k": 1}, {"step": "sample_users", "num": 2}]
    assert apply_recipe(mixed, recipe).fingerprint() == apply_recipe(dataset, recipe).fingerprint()


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 1, 0, 3], [3, 2, 1, 0]])
def test_a_pair_in_several_parts_is_of_the_earliest_in_any_row_order(order: list[int]) -> None:
    user, item = np.array([0, 0, 0, 1])[order], np.array([0, 1, 0, 1])[order]
    rows = Interactions(user, item, 2, 2, unique=False)
    dataset = dataset_of(rows, published=np.array([0, 0, 2, 2], dtype=np.int8)[order])
    other = dataset_of(rows.select(np.arange(4)[::-1]), published=dataset.published[::-1])  # type: ignore[index]
    assert dataset.fingerprint() == other.fingerprint()
    result = apply_recipe(dataset, [{"step": "deduplicate"}])
    assert result.interactions.pair_keys().tolist() == [0, 1, 3]
    assert result.published is not None
    assert result.published.tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        ({"step": "kcore"}, ConfigError, "did you mean 'k_core'"),
        ({"step": "k_core", "users": 3}, ConfigError, "did you mean 'user'"),
        ({"k": 3}, ConfigError, "needs its name under 'step'"),
        ({"step": "k_core", "k": 9}, DataError, r"'k_core' of the recipe leaves no interactions .* 7\)"),
        ({"step": "min_rating", "at_least": 6}, DataError, "leaves no interactions"),
        ({"step": "min_text", "columns": ["txt"]}, ConfigError, "unknown item column 'txt'"),
        ({"step": "deduplicate", "keep": "all"}, ConfigError, "unknown keep 'all'"),
        ({"step": "min_rating"}, ConfigError, "'min_rating' lacks the key 'at_least'"),
        ({"step": "min_rating", "at_least": "4"}, ConfigError, "'min_rating.at_least' must be of type float"),
        (
            {"step": "time_window", "start": "2020"},
            ConfigError,
            "'time_window.start' must be of type int or float",
        ),
        ({"step": "sample_users", "num": 2.5}, ConfigError, "'sample_users.num' must be of type int"),
        ({"step": "sample_users", "num": 5, "seed": -1}, ConfigError, "'seed' must be in .* 'sample_users'"),
        ({"step": "min_text", "columns": "text"}, ConfigError, "'min_text.columns' must be of type list"),
        ({"step": "k_core", "k": 2.5}, ConfigError, "'k_core.k' must be of type int"),
        ({"step": "drop_unused", "users": "no"}, ConfigError, "'drop_unused.users' must be of type bool"),
    ],
)
def test_wrong_steps_are_named(step: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        apply_recipe(small(), [step])


def test_steps_that_need_a_column_say_so() -> None:
    bare = dataset_of(Interactions(np.array([0]), np.array([0]), 1, 1))
    with pytest.raises(DataError, match="'min_rating' needs ratings"):
        apply_recipe(bare, [{"step": "min_rating", "at_least": 1}])
    with pytest.raises(DataError, match="'time_window' needs timestamps"):
        apply_recipe(bare, [{"step": "time_window"}])
