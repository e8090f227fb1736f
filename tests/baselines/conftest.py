"""Small random histories with the corner cases that break neighbourhood models."""

from __future__ import annotations

import numpy as np
import pytest

from gnnrec.data.dataset import Dataset
from gnnrec.data.interactions import Interactions


@pytest.fixture(scope="session")
def history() -> Interactions:
    """25 users, 18 items, random; the last user and the last item have nothing, item 0 is everybody's."""
    generator = np.random.default_rng(3)
    matrix = generator.random((25, 18)) < 0.25
    matrix[:, 0] = True
    matrix[-1], matrix[:, -1] = False, False
    user, item = np.nonzero(matrix)
    return Interactions(user, item, 25, 18)


@pytest.fixture(scope="session")
def dense(history: Interactions) -> np.ndarray:
    """The same history as a float64 matrix."""
    return history.csr().toarray().astype(np.float64)


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    """Random text vectors of the 18 items."""
    return np.random.default_rng(4).standard_normal((18, 5)).astype(np.float32)


def block_vectors(dataset: Dataset, seed: int = 0) -> np.ndarray:
    """Noisy text vectors that name the planted block of each item."""
    block = dataset.items["block"].to_numpy()
    noise = np.random.default_rng(seed).standard_normal((len(block), 8))
    return (2 * np.eye(8)[block] + 0.3 * noise).astype(np.float32)
