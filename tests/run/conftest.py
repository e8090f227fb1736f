"""One planted data set and one full run, shared by the tests of whole runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gnnrec.config import RunConfig
from gnnrec.data.native import write_native
from gnnrec.data.planted import planted_dataset
from gnnrec.run import RunResult, run
from tests.run.helpers import FULL, POPULARITY, make


@pytest.fixture(scope="package", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Text vectors go to a folder of this test run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNNREC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planted data in native form: 80 users, 60 items, 3 blocks."""
    dataset = planted_dataset(num_users=80, num_items=60, seed=0)
    return write_native(dataset, tmp_path_factory.mktemp("data") / "planted")


@pytest.fixture(scope="package")
def popularity(folder: Path) -> RunResult:
    return run(make(folder, model=POPULARITY))


@pytest.fixture(scope="package")
def full(folder: Path) -> RunConfig:
    return make(folder, **FULL, init__id_dropout=0.2)


@pytest.fixture(scope="package")
def finished(full: RunConfig) -> RunResult:
    return run(full)
