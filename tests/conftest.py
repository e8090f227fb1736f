"""Fixtures that every part of the tests may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# One thread for each process of pytest-xdist; before torch is imported, here and in children.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

import pytest

from gnnrec.data.dataset import Dataset
from gnnrec.data.native import write_native
from gnnrec.data.planted import planted_dataset

_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the real data sets, ../shared/data beside the repository; skips where it is absent."""
    if not _SHARED.is_dir():
        pytest.skip("the real data sets (../shared/data) are not there")
    return _SHARED


@pytest.fixture(scope="session")
def planted() -> Dataset:
    """A small planted data set: 120 users, 90 items, 3 blocks."""
    return planted_dataset(seed=0)


@pytest.fixture(scope="module")
def planted_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Planted data in native form, 80 users, 60 items, 3 blocks; text vectors are cached beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNNREC_CACHE", str(tmp_path_factory.mktemp("cache")))
        dataset = planted_dataset(num_users=80, num_items=60, seed=0)
        yield write_native(dataset, tmp_path_factory.mktemp("data") / "planted")
