from __future__ import annotations

import numpy as np
import pytest

from gnnrec.data.interactions import Interactions
from gnnrec.errors import DataError
from gnnrec.text.pairs import co_interaction_pairs

TRAIN = Interactions(np.array([2, 0, 0, 1, 2, 2]), np.array([1, 0, 1, 3, 2, 3]), 3, 5)


def test_pairs_are_exactly_those_that_share_an_owner():
    pairs = co_interaction_pairs(TRAIN, 2000)
    found = {(int(a), int(b)) for a, b in pairs}
    assert found == {(0, 1), (1, 0), (1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2)}
    # Two of the five usable interactions belong to user 0.
    share = np.mean((pairs == 0).any(axis=1))
    assert 0.35 < share < 0.45
    users = {(int(a), int(b)) for a, b in co_interaction_pairs(TRAIN, 500, side="user")}
    assert users == {(0, 2), (2, 0), (1, 2), (2, 1)}


def test_the_seed_decides():
    np.testing.assert_array_equal(co_interaction_pairs(TRAIN, 50, 3), co_interaction_pairs(TRAIN, 50, 3))
    assert (co_interaction_pairs(TRAIN, 50, 3) != co_interaction_pairs(TRAIN, 50, 4)).any()


def test_no_pairs_is_an_error():
    with pytest.raises(DataError, match="no two items share"):
        co_interaction_pairs(TRAIN.select(slice(1, 2)), 10)
