"""Train pairs in which the last three users and items are not seen."""

from __future__ import annotations

import numpy as np
import pytest

from gnnrec.data.interactions import Interactions
from tests.features.helpers import NUM_ITEMS, NUM_USERS


@pytest.fixture
def train() -> Interactions:
    generator = np.random.default_rng(0)
    keys = generator.permutation(27 * 22)[:200]
    return Interactions(keys // 22, keys % 22, NUM_USERS, NUM_ITEMS)
