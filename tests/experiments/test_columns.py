"""Columns of a table that no run has: those of a wrong name cost no run, and an empty group is called so."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.columns import check_columns, check_found
from experiments.possible import possible_metrics
from experiments.spec import Cell, Place, TableSpec, read_spec, table_cells
from gnnrec.config import RunConfig
from gnnrec.errors import ConfigError
from gnnrec.report.frame import FinishedRun
from gnnrec.run import run
from gnnrec.tracking import RunDir

TABLE = """
title: x
blocks: [{{label: one, columns: {{R: test/recall@20, X: {metric}}}}}]
rows: [{{label: popularity, overrides: [model=popularity]}}, {{label: kNN, overrides: [model=item_knn]}}]
"""


def _spec(tmp_path: Path, metric: str) -> TableSpec:
    (tmp_path / "t.yaml").write_text(TABLE.format(metric=metric))
    return read_spec("t", tmp_path)


def _check(tmp_path: Path, metric: str, extra: tuple[str, ...] = (), added: tuple[str, ...] = ()) -> None:
    spec = _spec(tmp_path, metric)
    cells: list[Cell] = table_cells(spec)
    check_columns(spec, cells, {}, {}, extra, added)


def _finished(path: Path, metric: str) -> FinishedRun:
    with RunDir(path.parent, path.name) as run_dir:
        run_dir.write_result(
            {"key": "k", "protocol": "honest", "refit": False, "metrics": {metric: 1.0}, "groups": {}}
        )
        run_dir.finish()
    return FinishedRun(run_dir.path)


def test_what_is_possible_is_what_a_run_with_cold_items_has(tmp_path: Path) -> None:
    values = {
        "dataset": {"name": "debian"},
        "split": {"name": "cold_item"},
        "eval": {"ks": [5, 20], "metrics": ["recall", "auc"], "num_user_groups": 2},
        "tracking": {"root": str(tmp_path), "mode": "disabled"},
    }
    config = RunConfig.from_dict(values)
    possible = possible_metrics(config.eval)
    assert {metric for metric in possible if "/user_cold/" not in metric} == set(run(config).metrics)
    assert "test/user_cold/recall@20" in possible


@pytest.mark.parametrize(
    "metric",
    [
        "test/tail/ndcg@20",
        "test/cold_only/recall@20",
        "test/user_q4/novelty@50",
        "test/user_cold/mrr@10",
        "test/head/exposure@20",
        "test/cold_score_gap",
        "test/ties@20",
    ],
)
def test_a_metric_of_any_group_may_be_a_column(tmp_path: Path, metric: str) -> None:
    _check(tmp_path, metric)


@pytest.mark.parametrize(
    ("metric", "hint"),
    [
        ("test/tial/recall@20", "test/tail/recall@20"),
        ("test/recal@20", "test/recall@20"),
        ("test/ndcg@30", "test/ndcg@50"),
        ("test/user_q5/ndcg@20", "test/user_q4/ndcg@20"),
        ("recall@20", "test/recall@20"),
    ],
)
def test_an_unknown_metric_is_told_before_any_run(tmp_path: Path, metric: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _check(tmp_path, metric)
    told = f"unknown metric '{metric}' in the columns of 'one' in experiments/tables/t.yaml, did you mean '{hint}'?"
    assert str(caught.value).startswith(told)


def test_cutoffs_and_metrics_are_those_of_the_runs(tmp_path: Path) -> None:
    _check(tmp_path, "test/map@30", ("eval.ks=[20,30]", "eval.metrics=[recall,map]"))
    with pytest.raises(ConfigError, match=r"'eval\.metrics' and 'eval\.ks' say which there are"):
        _check(tmp_path, "test/map@30", ("eval.ks=[20,30]",))


def test_a_metric_that_only_a_figure_shows_is_asked_for_too(tmp_path: Path) -> None:
    text = TABLE.format(metric="test/ndcg@10").replace("test/recall@20", "test/recall@10")
    (tmp_path / "t.yaml").write_text(f"{text}gain_over: [popularity]\n")
    spec = read_spec("t", tmp_path)
    check_columns(spec, table_cells(spec), {}, {}, (), ())
    with pytest.raises(ConfigError) as caught:
        check_columns(spec, table_cells(spec), {}, {}, ("eval.ks=[10]",), ())
    told = "unknown metric 'test/recall@20' in the figures ('gain_over') of 'one' in experiments/tables/t.yaml, did"
    assert str(caught.value).startswith(told)


def test_added_runs_may_have_other_metrics(tmp_path: Path) -> None:
    added = _finished(tmp_path / "a", "test/ild@20")
    _check(tmp_path, "test/ild@20", added=(str(added.path),))
    with pytest.raises(ConfigError, match="unknown metric 'test/ild@20'"):
        _check(tmp_path, "test/ild@20")


def test_a_group_without_anybody_is_no_unknown_metric(tmp_path: Path) -> None:
    runs = {Place("one", "kNN", 0): _finished(tmp_path / "a", "test/recall@20")}
    with pytest.raises(ConfigError) as caught:
        check_found(_spec(tmp_path, "test/cold/recall@20"), runs)
    assert "no run has the metric 'test/cold/recall@20' in the columns of 'one'" in str(caught.value)
    assert "its split has no test pair of a cold item" in str(caught.value)
    with pytest.raises(ConfigError, match="no evaluated user without train interactions"):
        check_found(_spec(tmp_path, "test/user_cold/recall@20"), runs)
