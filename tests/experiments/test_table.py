from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from experiments import table, table_runs
from experiments.cli import run_main
from experiments.spec import read_spec, table_cells, table_jobs
from gnnrec.config import RunConfig
from gnnrec.errors import DataError
from gnnrec.report.frame import FinishedRun
from gnnrec.tracking import RunDir
from tests.experiments.table_runner import GROUPS, Runner, make_run_dir

DRAW = table.draw_figures
QUICKSTART = read_spec("quickstart")
RUNS = len(QUICKSTART.rows) * len(QUICKSTART.blocks)  # one seed
NUM_TRAINED = sum(job.config.model.baseline is None for job in table_jobs(table_cells(QUICKSTART), [0]))


@pytest.fixture
def figures(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "draw_figures", DRAW)


def _table(*words: str) -> int:
    return run_main(table.main, ["table=quickstart", *words])


def test_a_table_is_run_once_and_written(
    runner: Runner, figures: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _table() == 0
    assert len(runner.configs) == RUNS
    assert f"[{RUNS}/{RUNS}] cold-item split" in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "results").iterdir())
    drawn = [
        f"quickstart_{name}.{end}" for name in ("gain_by_group", "metric_by_degree") for end in ("pdf", "png")
    ]
    assert names == sorted(["quickstart.csv", "quickstart.md", "quickstart.tex", *drawn])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "runs"]
    before = {path.name: path.read_bytes() for path in (tmp_path / "results").iterdir()}
    assert _table() == 0
    assert len(runner.configs) == RUNS  # finished runs are not run again
    assert {path.name: path.read_bytes() for path in (tmp_path / "results").iterdir()} == before


POINTS = """
title: Points.
overrides: [dataset=debian]
blocks: [{label: one, columns: {R@20: test/recall@20, N@20: test/ndcg@20}}]
rows: [{label: popularity, overrides: [model=popularity], baseline: true}, {label: MF, overrides: [model=mf]}]
trade_off: [test/recall@20, test/ndcg@20]
"""


def test_a_table_with_two_metrics_to_trade_has_a_figure_of_points(
    runner: Runner, figures: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "points.yaml").write_text(POINTS)
    monkeypatch.setattr(table, "read_spec", lambda name: read_spec(name, tmp_path))
    assert run_main(table.main, ["table=points"]) == 0
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert names == {f"points.{end}" for end in ("csv", "md", "tex")} | {
        f"points_trade_off.{end}" for end in ("pdf", "png")
    }


def test_a_column_that_no_run_can_have_is_told_before_the_first_run(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(table, "read_spec", lambda name: read_spec(name, tmp_path))
    (tmp_path / "points.yaml").write_text(POINTS.replace("test/recall@20", "test/tial/recall@20"))
    for words in (["--dry-run"], []):
        assert run_main(table.main, ["table=points", *words]) == 2
        told = "unknown metric 'test/tial/recall@20' in the columns of 'one' in experiments/tables/points.yaml, did"
        assert told in capsys.readouterr().err
    assert runner.configs == []


def test_the_numbers_are_those_of_the_run_directories(runner: Runner, tmp_path: Path) -> None:
    assert _table() == 0
    with (tmp_path / "results" / "quickstart.csv").open() as file:
        rows = {(row["block"], row["row"], row["metric"]): row for row in csv.DictReader(file)}
    spec = read_spec("quickstart")
    for job in table_jobs(table_cells(spec), spec.seeds):
        result = FinishedRun(make_run_dir(job.config).path).result["metrics"]
        for block in spec.blocks:
            for column in block.columns if block.label == job.place.block else ():
                row = rows[job.place.block, job.place.row, column.metric]
                assert float(row["mean"]) == pytest.approx(result[column.metric], abs=1e-6)
                assert row["num_seeds"] == "1"
    text = (tmp_path / "results" / "quickstart.md").read_text()
    assert "no claim rests on it" in text
    assert "head 3 items (9 train interactions, 5 evaluated users)" in text
    assert "honest" in text


def test_an_interrupted_table_goes_on_where_it_stopped(runner: Runner, tmp_path: Path) -> None:
    runner.fail_at = 5
    assert _table() == 130
    assert not (tmp_path / "results").exists()
    runner.fail_at = -1
    assert _table() == 0
    assert len(runner.configs) == RUNS


def test_parts_run_everything_once_and_write_nothing(
    runner: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _table("--part", "2/2") == 0
    assert len(runner.configs) == RUNS // 2
    assert not (tmp_path / "results").exists()
    assert _table("--part", "1/2") == 0
    assert len({config.key("data") for config in runner.configs}) == RUNS
    assert _table("--part", "1/2") == 0
    assert len(runner.configs) == RUNS
    assert _table("--report-only") == 0
    assert (tmp_path / "results" / "quickstart.md").exists()
    for flag in ("--report-only", "--check"):
        assert _table("--part", "1/2", flag) == 2
        assert "'--part' writes nothing: leave it out" in capsys.readouterr().err
    assert _table("--part", "3/2") == 2
    assert "'--part' must be K/N with K from 1 to N, as in 1/2 (got '3/2')" in capsys.readouterr().err


def test_dry_run_and_report_only(runner: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _table("--dry-run") == 0
    assert f"0 finished, {RUNS} to run" in capsys.readouterr().out
    assert _table("--report-only") == 2
    assert f"{RUNS} of the {RUNS} runs of table 'quickstart' are not finished" in capsys.readouterr().err
    assert runner.configs == []
    assert list(tmp_path.iterdir()) == []
    assert _table() == 0
    assert _table("--dry-run") == 0
    assert f"{RUNS} finished, 0 to run" in capsys.readouterr().out
    (tmp_path / "results" / "quickstart.md").unlink()
    assert _table("--report-only") == 0
    assert (tmp_path / "results" / "quickstart.md").exists()


def test_check_sees_a_changed_number(
    runner: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _table() == 0
    assert _table("--check") == 0
    path = tmp_path / "results" / "quickstart.md"
    kept = path.read_text()
    path.write_text(re.sub(r"\.(\d)", ".9", kept, count=1))
    assert _table("--check") == 2
    assert "quickstart.md' differs from" in capsys.readouterr().err
    path.unlink()
    assert _table("--check") == 2
    assert "is missing" in capsys.readouterr().err


def test_several_seeds_give_spread_and_five_give_tests(runner: Runner, tmp_path: Path) -> None:
    assert _table("--seeds", "0,1", "--output", "two") == 0
    text = (tmp_path / "two" / "quickstart.md").read_text()
    assert "too few for a claim" in text
    assert " ± ." in text
    assert "†" not in text
    assert _table("--seeds=0,1,2,3,4", "--output", "five") == 0
    trained = [config for config in runner.configs if config.model.baseline is None]
    assert len(trained) == 5 * NUM_TRAINED  # seeds 0 and 1 were there
    assert len(runner.configs) - len(trained) == RUNS - NUM_TRAINED  # a baseline's run stands for all seeds
    with (tmp_path / "five" / "quickstart.csv").open() as file:
        rows = list(csv.DictReader(file))
    tested = [row for row in rows if row["p_holm"]]
    assert {row["row"] for row in tested} == {
        row.label for row in read_spec("quickstart").rows if not row.baseline
    }
    assert all(0 <= float(row["p_holm"]) <= 1 for row in tested)


def _external(root: Path, key: str, name: str, split: str, groups: dict = GROUPS) -> Path:
    with RunDir(root, key) as run_dir:
        run_dir.write_config({"model": {"name": name}, "seed": 0})
        run_dir.write_manifest({"fingerprints": {"data": "d", "split": split}})
        run_dir.write_per_user({"users": np.arange(30), "test/recall@20": np.linspace(0, 1, 30)})
        metrics = {"test/recall@20": 0.123456, "test/cold_only/recall@20": 0.5}
        run_dir.write_result(
            {"key": key, "protocol": "honest", "refit": False, "metrics": metrics, "groups": groups}
        )
        run_dir.finish()
    return run_dir.path


def test_results_of_other_tools_become_rows(
    runner: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (
        _external(tmp_path / "x", f"e{i}", "SLIM-X", split) for i, split in enumerate(("random", "cold_item"))
    )
    words = ["--output", "out", "--add"]
    assert _table(*words, f"{one},{two}") == 0
    lines = [
        line for line in (tmp_path / "out" / "quickstart.md").read_text().splitlines() if "SLIM-X" in line
    ]
    assert [line.split("|")[2].strip() for line in lines] == [".1235", ".1235"]
    other = _external(tmp_path / "x", "e9", "SLIM-X", "temporal_global")
    assert _table("--report-only", *words, str(other)) == 2
    assert "other data or another split" in capsys.readouterr().err
    assert _table("--report-only", *words, f"{one},{one}") == 2
    assert "would be a second run of random split · SLIM-X · seed 0" in capsys.readouterr().err
    halves = {**GROUPS, "head": {**GROUPS["head"], "num_items": 2}}
    other = _external(tmp_path / "x", "e8", "SLIM-Y", "random", halves)
    assert _table("--report-only", *words, str(other)) == 2
    assert "e8' has another group 'head'" in capsys.readouterr().err


def test_a_row_with_few_seeds_is_not_tested_and_the_caption_says_so(runner: Runner, tmp_path: Path) -> None:
    added = _external(tmp_path / "x", "e0", "SLIM-X", "random")
    assert _table("--seeds=0,1,2,3,4", "--add", str(added), "--output=out") == 0
    with (tmp_path / "out" / "quickstart.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["row"] == "SLIM-X" and row["mean"]]
    assert {(row["num_seeds"], row["p_holm"]) for row in rows} == {("1", "")}
    text = (tmp_path / "out" / "quickstart.md").read_text()
    assert "over 5 seeds (0, 1, 2, 3, 4). Fewer seeds, and no test below 5: SLIM-X 1." in text


def test_the_readme_beside_the_results_shows_the_table_of_the_results(
    runner: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, end = "<!-- quickstart: written by experiments/table.py -->", "<!-- /quickstart -->"
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{start}\nold\n{end}\n\nafter\n")
    assert _table() == 0
    table_text = (tmp_path / "results" / "quickstart.md").read_text()
    assert readme.read_text() == f"before\n\n{start}\n{table_text}{end}\n\nafter\n"
    changed = readme.read_text().replace("| popularity | ", "| popularity | 9")
    readme.write_text(changed)
    assert _table("--seeds", "7", "--output", "beside") == 0
    assert (tmp_path / "beside" / "quickstart.md").exists()
    assert readme.read_text() == changed
    assert _table("--check") == 2
    assert "README.md' differs from what the run directories give" in capsys.readouterr().err


def test_where_nothing_is_written_no_other_folder_is_asked_for(runner: Runner, tmp_path: Path) -> None:
    assert _table("--dry-run", "--seeds", "0,1") == 0
    assert _table("--part", "1/9", "--seeds", "0,1") == 0
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["table=quikstart"], "unknown table 'quikstart', did you mean 'quickstart'?"),
        ([], "name one table, as in table=quickstart"),
        (["table=quickstart", "--seeds", "a"], "'--seeds' must be whole numbers"),
        (["table=quickstart", "train.lr=1"], "'train.lr=1' changes the numbers of the table"),
        (
            ["table=quickstart", "--seeds=7"],
            "'--seeds' changes the numbers of the table: name another folder",
        ),
        (["table=quickstart", "--add=x", "--check"], "'--add' changes the numbers of the table"),
        (["table=quickstart", "--output=x", "train.lrr=1"], "unknown key 'train.lrr'"),
        (["table=quickstart", "--report"], "unknown flag '--report', did you mean '--report-only'?"),
    ],
)
def test_a_mistake_is_one_line(
    runner: Runner, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(table.main, words) == 2
    captured = capsys.readouterr().err
    assert told in captured
    assert captured.count("\n") == 1


def test_an_error_says_which_run_it_was(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(config: RunConfig) -> None:
        raise DataError("no such model")

    monkeypatch.setattr(table_runs, "run", fail)
    assert _table() == 2
    assert "error: random split · popularity · seed 0: no such model" in capsys.readouterr().err
