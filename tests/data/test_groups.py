from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnrec.data.groups import after_refit, category_groups, item_groups, text_groups, user_groups
from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError


def with_counts(counts: list[int], by: str = "item") -> Interactions:
    """Return interactions in which item (or user) number i has counts[i] rows."""
    many = np.repeat(np.arange(len(counts)), counts)
    other = np.concatenate([np.arange(count) for count in counts])
    size = max([*counts, 1])
    if by == "item":
        return Interactions(other, many, size, len(counts))
    return Interactions(many, other, len(counts), size)


def test_quantiles_by_hand() -> None:
    counts = [5, 0, 9, 1, 1, 2, 7, 1, 0, 3, 1, 1]  # ten warm items, two cold
    groups = item_groups(with_counts(counts))
    ids = {name: np.flatnonzero(mask).tolist() for name, mask in groups.members.items()}
    assert ids["head"] == [2, 6]
    assert ids["mid"] == [0, 5, 9]
    assert ids["tail"] == [3, 4, 7, 10, 11]
    assert ids["cold"] == [1, 8]
    assert groups.thresholds == {"rule": "quantile", "head_min_count": 7, "tail_max_count": 1}
    assert "20%" in groups.definition


def test_ties_go_to_the_smaller_id() -> None:
    groups = item_groups(with_counts([2] * 10))
    assert np.flatnonzero(groups.members["head"]).tolist() == [0, 1]
    assert np.flatnonzero(groups.members["tail"]).tolist() == [5, 6, 7, 8, 9]


def test_pareto_by_hand() -> None:
    groups = item_groups(with_counts([50, 30, 10, 5, 3, 2]), rule="pareto")
    assert [int(groups.members[name].sum()) for name in ("head", "mid", "tail")] == [2, 2, 2]
    head_all = item_groups(with_counts([4, 4]), rule="pareto", head=1.0, tail=1.0)
    assert head_all.sizes() == {"head": 2, "mid": 0, "tail": 0, "cold": 0}


def test_thresholds_by_hand() -> None:
    groups = item_groups(with_counts([12, 10, 9, 3, 1, 0]), rule="thresholds", head=10, tail=3)
    assert groups.sizes() == {"head": 2, "mid": 1, "tail": 2, "cold": 1}


@settings(max_examples=80, deadline=None)
@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=40),
    rule=st.sampled_from(["quantile", "pareto", "thresholds"]),
)
def test_item_groups_partition_and_follow_popularity(counts: list[int], rule: str) -> None:
    params = {"head": 6, "tail": 2} if rule == "thresholds" else {}
    rows = with_counts(counts)
    groups = item_groups(rows, rule, **params)
    masks = np.stack(list(groups.members.values()))
    assert (masks.sum(axis=0) == 1).all()
    observed = np.array(counts)
    assert (observed[groups.members["cold"]] == 0).all()
    filled = [
        observed[groups.members[name]] for name in ("head", "mid", "tail") if groups.members[name].any()
    ]
    for above, below in pairwise(filled):
        assert above.min() >= below.max()
    if rule == "pareto" and observed.sum():
        head = observed[groups.members["head"]]
        assert head.sum() >= 0.8 * observed.sum() - 1e-6
        assert head.sum() - head.min() < 0.8 * observed.sum()


def test_user_quartiles_and_cold_users() -> None:
    groups = user_groups(with_counts([1, 2, 3, 4, 5, 6, 7, 8, 0], by="user"))
    assert list(groups.members) == ["user_q1", "user_q2", "user_q3", "user_q4", "user_cold"]
    assert np.flatnonzero(groups.members["user_q1"]).tolist() == [0, 1]
    assert np.flatnonzero(groups.members["user_cold"]).tolist() == [8]
    assert "user_cold" not in user_groups(with_counts([1, 2, 3, 4], by="user")).members
    assert groups.thresholds["user_q1_max_count"] == 2


@pytest.mark.parametrize("rule", ["quantile", "pareto", "thresholds"])
def test_after_a_refit_nothing_is_cold_that_validation_has(rule: str) -> None:
    counts = [5, 1, 1, 0, 0]
    groups = item_groups(with_counts(counts), rule)
    refit = after_refit(groups, np.array([5, 2, 1, 3, 0]))
    assert np.flatnonzero(refit.members["cold"]).tolist() == [4]
    for name in ("head", "mid", "tail"):
        np.testing.assert_array_equal(refit.members[name], groups.members[name])
    assert (
        "cold: no interaction in train or validation (in validation alone: in no group)" in refit.definition
    )
    users = user_groups(with_counts(counts, by="user"), 2)
    assert np.flatnonzero(after_refit(users, np.array([5, 1, 1, 0, 1])).members["user_cold"]).tolist() == [3]
    assert "user_cold" not in after_refit(users, np.ones(5)).members


def test_counts_travel_with_groups() -> None:
    rows = with_counts([5, 1, 1, 1, 1])
    assert item_groups(rows).interaction_counts(rows.item) == {"head": 5, "mid": 2, "tail": 2, "cold": 0}


def test_categories_and_text() -> None:
    items = pd.DataFrame(
        {"genre": ["a|b", "a", "b", "c", None, ""], "text": ["x y", " ", None, "z", "", "w"]}
    )
    groups = category_groups(items, "genre", separator="|", num=2)
    assert groups.sizes() == {"a": 2, "b": 1, "other": 1, "none": 2}
    assert text_groups(items).sizes() == {"with_text": 3, "without_text": 3}
    assert text_groups(items, min_chars=2).sizes()["with_text"] == 1
    named = category_groups(pd.DataFrame({"genre": ["other", "other", "a", "b", "none", ""]}), "genre", num=1)
    assert named.sizes() == {"a": 1, "other": 3, "none": 2}
    with pytest.raises(ConfigError, match="unknown column 'gener'"):
        category_groups(items, "gener")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "quantil"}, "did you mean 'quantile'"),
        ({"head": 0.7, "tail": 0.5}, "at most 1"),
        ({"head": 1.2}, "'head' must be in"),
        ({"rule": "pareto", "head": 0.9, "tail": 0.5}, "'tail' must be in"),
    ],
)
def test_wrong_rules_are_named(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        item_groups(with_counts([1, 2]), **options)
