"""What a split's own tasks mask."""

from __future__ import annotations

import numpy as np
import pytest

from gnnrec.data.groups import item_groups, user_groups
from gnnrec.data.interactions import Interactions
from gnnrec.data.splits import Split, make_split
from gnnrec.evaluation.task import test_task as final_task
from gnnrec.evaluation.task import validation_task


@pytest.fixture
def rows() -> Interactions:
    """Every one of 20 users with 12 of 30 items."""
    generator = np.random.default_rng(0)
    item = np.concatenate([generator.permutation(30)[:12] for _ in range(20)])
    return Interactions(np.repeat(np.arange(20), 12), item, 20, 30)


def masked(split: Split) -> list[np.ndarray]:
    groups = item_groups(split.train), user_groups(split.train)
    return [task(split, *groups).masked.toarray() for task in (validation_task, final_task)]


@pytest.mark.parametrize(
    ("name", "params", "parts"),
    [
        ("cold_user", {"support": 2, "reserve": 5}, ("support", "dropped")),
        ("few_shot_item", {"k": 1}, ("dropped",)),
    ],
)
def test_pairs_that_are_given_or_dropped_are_no_candidates(
    rows: Interactions, name: str, params: dict, parts: tuple[str, ...]
) -> None:
    split = make_split(rows, name, **params)
    for matrix in masked(split):
        for part in parts:
            pairs = getattr(split, part)
            assert (matrix[pairs.user, pairs.item] == 1).all()
    validation, test = masked(split)
    assert not validation[split.validation.user, split.validation.item].any()
    assert not validation[split.test.user, split.test.item].any()
    assert test.sum() == len(rows) - len(split.test)
    assert split.params["num_dropped"] == len(split.dropped)  # type: ignore[arg-type]


def test_every_reserve_of_cold_users_has_the_same_candidates(rows: Interactions) -> None:
    few, many = (make_split(rows, "cold_user", support=support, reserve=5) for support in (0, 5))
    for one, two in zip(masked(few), masked(many), strict=True):
        np.testing.assert_array_equal(one, two)
