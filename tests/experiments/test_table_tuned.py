"""Tables with rows that are tuned before they run."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from experiments import search, table
from experiments.cli import run_main
from experiments.spec import TableSpec, read_spec
from gnnrec.config import RunConfig
from tests.experiments.table_runner import Runner

TUNED = """
title: Tuned.
overrides: [dataset=debian]
seeds: [3, 4]
trials: 2
blocks:
  - {label: one, columns: {R@20: test/recall@20}}
  - {label: two, overrides: [split=cold_items], columns: {R@20: test/recall@20}}
rows:
  - {label: popularity, overrides: [model=popularity]}
  - {label: kNN, overrides: [model=item_knn], tune: ["model.baseline.k=10,20,30", "model.baseline.shrink=0.0,5.0"]}
"""


@pytest.fixture
def tuned(runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """A table with a tuned row; returns what the search was asked for: split, seed and k of each setting."""
    (tmp_path / "tuned.yaml").write_text(TUNED)
    asked: list[tuple[str, int, int]] = []

    def validate(config: RunConfig, checkpoint: Path) -> dict[str, float]:
        k = config.to_dict()["model"]["baseline"]["k"]
        asked.append((config.split.name, config.seed, k))
        return {"validation/ndcg@20": k / 100, "validation/recall@20": 0.0}

    def read(name: str, folder: Path = tmp_path) -> TableSpec:
        return read_spec(name, folder)

    monkeypatch.setattr(search, "validate", validate)
    monkeypatch.setattr(table, "read_spec", read)
    return asked


def test_rows_are_tuned_alike_and_run_with_the_best(
    runner: Runner, tuned: list[tuple[str, int, int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["table=tuned"]
    assert run_main(table.main, [*words, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "0 finished, 4 to run, 4 settings to try" in told  # baselines: one run stands for both seeds
    assert "shrink=0.0,5.0 seed=3 --trials 2" in told
    assert run_main(table.main, [*words, "--report-only"]) == 2
    assert "4 settings of table 'tuned' were not tried yet" in capsys.readouterr().err
    assert tuned == []
    assert run_main(table.main, [*words, "--part", "1/2"]) == 0
    assert tuned == []
    capsys.readouterr()
    assert run_main(table.main, [*words, "--part", "2/2"]) == 0
    assert "finished already" not in capsys.readouterr().out
    assert [(split, seed) for split, seed, _ in tuned] == [("random", 3)] * 2 + [("cold_item", 3)] * 2
    best = max(k for _, _, k in tuned)
    runs = [config.to_dict() for config in runner.configs if config.model.name == "item_knn"]
    assert [(run["seed"], run["model"]["baseline"]["k"]) for run in runs] == [(3, best)] * 2
    assert run_main(table.main, [*words, "--dry-run"]) == 0
    assert "4 finished, 0 to run\n" in capsys.readouterr().out
    assert run_main(table.main, words) == 0
    assert len(tuned) == 4
    assert len(runner.configs) == 4
    with (tmp_path / "results" / "tuned_settings.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["block"], row["row"], row["tried"]) for row in rows] == [
        ("one", "kNN", "2"),
        ("two", "kNN", "2"),
    ]
    assert all(f"model.baseline.k={best}" in row["chosen"] for row in rows)
    assert "best of 2 by NDCG@20 on validation of seed 3" in (tmp_path / "results" / "tuned.md").read_text()
    assert run_main(table.main, [*words, "--check"]) == 0
    written = (tmp_path / "results" / "tuned_settings.csv").read_bytes()
    (tmp_path / "results" / "tuned_settings.csv").write_text("garbage\n")
    assert run_main(table.main, [*words, "--check"]) == 2
    assert "tuned_settings.csv' differs from what the run directories give" in capsys.readouterr().err
    # elsewhere, from the settings that were kept: nothing is searched
    kept = tmp_path / "kept.csv"
    kept.write_bytes(written)
    words += ["--settings", str(kept), f"tracking.root={tmp_path / 'elsewhere'}"]
    assert run_main(table.main, [*words, "--dry-run"]) == 0
    assert f"model.baseline.k={best}" in capsys.readouterr().out
    assert run_main(table.main, words) == 0
    assert len(tuned) == 4
    assert len(runner.configs) == 8
    assert (tmp_path / "results" / "tuned_settings.csv").read_bytes() == written


def test_a_metric_that_settings_are_not_chosen_by_is_told_before_the_first_fit(
    runner: Runner,
    tuned: list[tuple[str, int, int]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = TUNED.replace("dataset=debian", "dataset=debian, 'eval.ks=[10]'").replace("@20", "@10")
    (tmp_path / "tuned.yaml").write_text(text)
    assert run_main(table.main, ["table=tuned"]) == 2
    told = capsys.readouterr().err
    assert (
        "unknown metric 'validation/ndcg@20' to choose settings by, did you mean 'validation/ndcg@10'?"
        in told
    )
    assert "--metric" not in told
    assert tuned == runner.configs == []
