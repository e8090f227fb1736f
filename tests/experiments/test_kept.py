"""Tables that get further rows beside those of before."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from experiments import search, table
from experiments.cli import run_main
from experiments.kept import named_rows
from experiments.spec import TableSpec, read_spec
from gnnrec.config import RunConfig
from gnnrec.errors import ConfigError
from tests.experiments.table_runner import Runner

TABLE = """
title: Some rows.
overrides: [dataset=debian]
seeds: [0, 1]
trials: 2
blocks:
  - {label: one, columns: {R@20: test/recall@20, "tail": test/tail/recall@20}}
  - {label: two, overrides: [split=cold_items], columns: {R@20: test/recall@20}}
rows:
  - {label: popularity, overrides: [model=popularity], baseline: true}
  - {label: "MF, large", overrides: [model=mf, init.dim=128]}
  - {label: kNN, overrides: [model=item_knn], tune: ["model.baseline.k=10,20,30"]}
"""
MORE = "  - {label: MF, overrides: [model=mf], tune: ['train.lr=0.1,0.2']}\n"


@pytest.fixture
def written(runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of three rows, written to results; returns its specification."""

    def validate(config: RunConfig, checkpoint: Path) -> dict[str, float]:
        return {"validation/ndcg@20": config.train.lr, "validation/recall@20": 0.0}

    def read(name: str, folder: Path = tmp_path) -> TableSpec:
        return read_spec(name, folder)

    monkeypatch.setattr(search, "validate", validate)
    monkeypatch.setattr(table, "read_spec", read)
    path = tmp_path / "some.yaml"
    path.write_text(TABLE)
    assert _table() == 0
    return path


def _table(*words: str) -> int:
    return run_main(table.main, ["table=some", *words])


def _lines(name: str) -> list[dict[str, str]]:
    with (Path("results") / name).open() as stream:
        return list(csv.DictReader(stream))


def test_a_new_row_is_run_alone_and_the_table_is_that_of_all_runs(written: Path, runner: Runner) -> None:
    shutil.move("runs", "elsewhere")
    old, done = _lines("some.csv"), len(runner.configs)
    written.write_text(TABLE + MORE)
    assert _table("--rows", "MF") == 0
    assert {config.model.name for config in runner.configs[done:]} == {"mf"}
    assert len(runner.configs) == done + 4
    assert [line for line in _lines("some.csv") if line["row"] != "MF"] == old
    assert [line["row"] for line in _lines("some_settings.csv")] == ["kNN", "MF", "kNN", "MF"]
    grown = {path.name: path.read_bytes() for path in Path("results").iterdir()}
    shutil.copytree("elsewhere", "runs", dirs_exist_ok=True)
    assert _table() == 0
    assert {path.name: path.read_bytes() for path in Path("results").iterdir()} == grown


def test_named_rows_are_run_anew(written: Path, runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    old = _lines("some.csv")
    shutil.rmtree("runs")
    assert _table("--rows", "MF, large,popularity", "--dry-run") == 0
    assert "0 finished, 6 to run" in capsys.readouterr().out
    assert _table("--rows", "MF, large,popularity") == 0
    assert _lines("some.csv") == old  # the runs are the same


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--rows", "popularty"], "'popularty', which is no row of table 'some', did you mean 'popularity'?"),
        (["--rows="], "'--rows' names no row; table 'some' has popularity, MF, large, kNN, MF"),
        (["--rows", "kNN"], "has no row 'one · MF' to keep: name it in '--rows', too"),
        (["--rows", "MF", "--seeds", "0,1,2,3,4", "--output", "results"], "its rows are tested against each"),
        (["--rows", "MF", "--seeds", "0", "--output", "results"], "with 2 seeds, the table has 1: name it"),
        (["--rows", "MF", "--output", "nowhere"], "'nowhere/some.csv' cannot be read"),
        (["--rows", "MF", "--check"], "'--check' needs the runs of all rows: leave out '--rows'"),
        (["--rows", "MF", "--add", "x", "--output", "y"], "'--add' needs the runs of all rows"),
    ],
)
def test_what_cannot_be_kept_is_told_before_the_first_run(
    words: list[str], told: str, written: Path, runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    written.write_text(TABLE + MORE)
    done = len(runner.configs)
    assert _table(*words) == 2
    assert told in capsys.readouterr().err
    assert len(runner.configs) == done


def test_a_kept_row_must_be_one_of_the_table(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written.write_text(TABLE.replace("label: popularity", "label: most popular") + MORE)
    assert _table("--rows", "most popular,MF") == 2
    assert "has the row 'popularity', which table 'some' does not have" in capsys.readouterr().err
    written.write_text(TABLE.replace("k=10,20,30", "k=10,20,40") + MORE)
    assert _table("--rows", "MF") == 2
    assert "chosen among model.baseline.k=10,20,30, the table asks for" in capsys.readouterr().err
    Path("results/some_settings.csv").write_text("block,row,among,tried,chosen,validation/ndcg@20\n")
    written.write_text(TABLE + MORE)
    assert _table("--rows", "MF") == 2
    assert "has no setting of 'one · kNN', which is to be kept" in capsys.readouterr().err


def test_rows_of_other_groups_are_not_kept(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written.write_text(TABLE + MORE)
    path = Path("results/some.md")
    path.write_text(path.read_text().replace("9 train interactions", "10 train interactions"))
    before = path.read_bytes()
    assert _table("--rows", "MF") == 2
    assert "has other groups in 'one' than these runs" in capsys.readouterr().err
    assert path.read_bytes() == before
    path.unlink()
    assert _table("--rows", "MF") == 2
    assert "some.md' cannot be read" in capsys.readouterr().err


def test_a_figure_of_all_runs_needs_them(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written.write_text(f"{TABLE}{MORE}gain_over: [popularity]\n")
    assert _table("--rows", "MF") == 2
    assert "its figures show all runs ('gain_over')" in capsys.readouterr().err


def test_labels_may_have_commas(written: Path) -> None:
    written.write_text(TABLE + MORE)
    spec = read_spec("some", written.parent)
    assert named_rows("MF, large,MF,kNN", spec) == ["MF, large", "MF", "kNN"]
    with pytest.raises(ConfigError, match="names ' small'"):
        named_rows("MF, small", spec)
