"""Rows of one block that are not measured alike: told before anything is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import search, table
from experiments.cli import run_main
from experiments.spec import read_spec
from tests.experiments.table_runner import Runner

TABLE = """
title: x
overrides: [dataset=debian]
seeds: [0, 1]
trials: 2
blocks:
  - {{label: one, overrides: [{block}], columns: {{R@20: test/recall@20}}}}
  - {{label: two, overrides: [split=cold_items, eval.num_user_groups=3], columns: {{R@20: test/recall@20}}}}
rows:
  - {{label: popularity, overrides: [model=popularity]}}
  - {{label: kNN, overrides: [model=item_knn, {row}], tune: ["model.baseline.k=5,10"{tune}]}}
"""
OWN_BLOCK = ": the rows of a block are compared, so give such rows a block of their own\n"


@pytest.fixture
def write(runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write table t with further words; a search is an error."""

    def write_table(block: str = "", row: str = "", tune: str = "") -> None:
        (tmp_path / "t.yaml").write_text(TABLE.format(block=block, row=row, tune=tune))

    monkeypatch.setattr(search, "validate", lambda *_: pytest.fail("fitted"))
    monkeypatch.setattr(table, "read_spec", lambda name: read_spec(name, tmp_path))
    return write_table


@pytest.mark.parametrize(
    ("word", "here", "there"),
    [
        ("dataset.name=planted", "dataset.name=planted", "dataset.name=debian"),
        ("split=published", "split.name=published", "split.name=random"),
        ("split.seed=1", "split.seed=1", "split.seed=0"),
        (
            "'+split.params.ratios=[0.7,0.1,0.2]'",
            "split.params.ratios=[0.7, 0.1, 0.2]",
            "split.params.ratios=None",
        ),
        ("eval.item_rule=pareto", "eval.item_rule=pareto", "eval.item_rule=quantile"),
        ("eval.head=0.1", "eval.head=0.1", "eval.head=None"),
        ("eval.tail=0.3", "eval.tail=0.3", "eval.tail=None"),
        ("eval.num_user_groups=2", "eval.num_user_groups=2", "eval.num_user_groups=4"),
        ("eval.refit=true", "eval.refit=True", "eval.refit=False"),
    ],
)
def test_a_row_that_is_measured_otherwise_is_told_before_anything_is_fitted(
    runner: Runner, write, word: str, here: str, there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(row=word)
    for flags in ([], ["--dry-run"], ["--report-only"]):
        assert run_main(table.main, ["table=t", *flags]) == 2
        told = f"error: one · kNN · seed 0 has {here}, one · popularity · seed 0 has {there}{OWN_BLOCK}"
        assert capsys.readouterr().err == told
    assert runner.configs == []


def test_a_setting_that_would_be_measured_otherwise_is_told(
    runner: Runner, write, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tune=", 'eval.head=0.2,0.3'")
    assert run_main(table.main, ["table=t"]) == 2
    assert "one · kNN · seed 0 has eval.head=0." in capsys.readouterr().err
    assert runner.configs == []


def test_a_row_of_another_protocol_needs_a_table_of_its_own(
    runner: Runner, write, capsys: pytest.CaptureFixture[str]
) -> None:
    write(block="protocol=legacy_test_selected")
    assert run_main(table.main, ["table=t", "--dry-run"]) == 2
    told = (
        "error: two · popularity · seed 0 has protocol=honest, one · popularity · seed 0 has "
        "protocol=legacy_test_selected: a table has one protocol, so give such rows a table of their own\n"
    )
    assert capsys.readouterr().err == told


def test_the_seeds_of_a_row_have_one_split(runner: Runner, write, capsys: pytest.CaptureFixture[str]) -> None:
    write(block="'split.seed=${seed}'")
    assert run_main(table.main, ["table=t", "--dry-run"]) == 2
    told = (
        "error: one · popularity · seed 1 has split.seed=1, one · popularity · seed 0 has split.seed=0: "
        "the runs of a row are one mean, so give them one value, without ${seed}\n"
    )
    assert capsys.readouterr().err == told
    for seed in "01":  # one seed has one split, whichever it is
        assert run_main(table.main, ["table=t", "--seeds", seed, "--dry-run"]) == 0


def test_blocks_and_models_may_differ(runner: Runner, write, capsys: pytest.CaptureFixture[str]) -> None:
    write(block="eval.refit=true", row="'eval.ks=[20]', 'eval.metrics=[recall, ndcg]', text.model=hash")
    assert run_main(table.main, ["table=t", "--dry-run"]) == 0
    assert "2 finished" not in capsys.readouterr().out
