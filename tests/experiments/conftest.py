from __future__ import annotations

from pathlib import Path

import pytest

from experiments import search, table, table_runs
from gnnrec.data.dataset import Dataset
from gnnrec.data.native import write_native
from tests.experiments.table_runner import Runner, make_run_dir


@pytest.fixture(scope="session")
def planted_folder(planted: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted data set in native form on disk."""
    folder = tmp_path_factory.mktemp("data") / "planted"
    write_native(planted, folder)
    return folder


@pytest.fixture
def small(planted_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides for a run of one epoch on planted data with hashed text, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GNNREC_CACHE", str(tmp_path / "cache"))
    words = ["dataset=folder", f"dataset.name={planted_folder}", "text=hash", "train.epochs=1", "device=cpu"]
    return [*words, "tracking=disabled"]


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runner:
    """A stand-in for the runs; figures are left out except where `figures` is asked for too."""
    runner = Runner()
    monkeypatch.setattr(table_runs, "run", runner)
    for module in (table, table_runs, search):
        monkeypatch.setattr(module, "open_run", make_run_dir)
    monkeypatch.setattr(table, "draw_figures", lambda *_: [])
    monkeypatch.chdir(tmp_path)
    return runner
