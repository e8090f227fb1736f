"""Run directories that --add puts into a table: which runs make one row, and which are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.assembly import added_runs, build_table, readme_with
from experiments.spec import Place, read_spec
from gnnrec.errors import DataError
from gnnrec.report.frame import FinishedRun
from gnnrec.report.tables import Table
from gnnrec.tracking import RunDir


@pytest.fixture
def make(tmp_path: Path):
    def make_run(key: str, seed: int, model: dict[str, Any], split: str = "s", **more: Any) -> FinishedRun:
        with RunDir(tmp_path / key, key) as run_dir:
            run_dir.write_config({"model": model, "seed": seed, **more})
            run_dir.write_manifest({"fingerprints": {"data": "d", "split": split}})
            run_dir.finish()
        return FinishedRun(run_dir.path)

    return make_run


@pytest.fixture
def table(make) -> dict[Place, FinishedRun]:
    return {Place("block", "kNN", 0): make("knn", 0, {"name": "item_knn"})}


def _add(runs: dict[Place, FinishedRun], *added: FinishedRun) -> list[Place]:
    return list(added_runs([str(run.path) for run in added], runs))


def test_seeds_of_one_model_are_one_row_wherever_they_ran(make, table: dict[Place, FinishedRun]) -> None:
    one = make("a", 0, {"name": "mf"}, train={"lr": 0.1}, device="cpu", tracking={"root": "x"})
    two = make("b", 1, {"name": "mf"}, train={"lr": 0.1}, device="cuda", tracking={"root": "y"})
    assert _add(table, one, two) == [Place("block", "mf", 0), Place("block", "mf", 1)]


def test_seeds_of_another_tool_are_files_of_their_own(make, table: dict[Place, FinishedRun]) -> None:
    runs = [
        make(f"e{seed}", seed, {"name": "X", "external": f"{seed}.trec", "sha256": f"{seed}"})
        for seed in (0, 1)
    ]
    assert _add(table, *runs) == [Place("block", "X", 0), Place("block", "X", 1)]


def test_runs_of_different_settings_are_no_row(make, table: dict[Place, FinishedRun]) -> None:
    one = make("a", 0, {"name": "mf"}, train={"lr": 0.1})
    two = make("b", 1, {"name": "mf"}, train={"lr": 0.2, "epochs": 3})
    told = rf"'{two.path}' has train.lr=0.2 instead of 0.1, train.epochs=3 instead of None in '{one.path}'"
    with pytest.raises(DataError, match=told):
        _add(table, one, two)


def test_an_added_run_does_not_join_a_row_of_the_table(make, table: dict[Place, FinishedRun]) -> None:
    with pytest.raises(DataError, match="is called 'kNN', as a row of this table: make it with another name"):
        _add(table, make("a", 5, {"name": "kNN"}))


def test_rows_of_a_block_have_one_split(make, table: dict[Place, FinishedRun]) -> None:
    other = {Place("block", "MF", 0): make("a", 0, {"name": "mf"}, split="t")}
    with pytest.raises(DataError, match=r"block · MF · seed 0: .* has other data or another split than"):
        build_table(read_spec("quickstart"), [0], table | other, {})


def test_an_added_run_is_in_every_block_of_its_split(make, table: dict[Place, FinishedRun]) -> None:
    table[Place("second", "kNN", 0)] = table[Place("block", "kNN", 0)]
    table[Place("third", "kNN", 0)] = make("t", 0, {"name": "item_knn"}, split="t")
    assert _add(table, make("a", 0, {"name": "mf"})) == [Place("block", "mf", 0), Place("second", "mf", 0)]


def test_a_readme_of_another_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes("é".encode("latin-1"))
    with pytest.raises(DataError, match=r"README\.md' is no UTF-8"):
        readme_with(Table("t", "", [], [], pd.DataFrame()), tmp_path / "results")
