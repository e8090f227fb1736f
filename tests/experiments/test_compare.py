from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from experiments import compare
from experiments import run as run_script
from experiments.cli import run_main


@pytest.fixture
def runs(small: list[str], tmp_path: Path) -> Path:
    for model in ("lightgcn", "item_knn"):
        for seed in (0, 1):
            words = [*small, f"model={model}", f"seed={seed}", f"tracking.root={tmp_path / 'runs'}"]
            assert run_main(run_script.main, words) == 0
    return tmp_path / "runs"


def test_a_folder_of_runs_becomes_tables_pairs_and_figures(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    words = [str(runs), "--output", str(tmp_path / "out"), "--name", "two", "--models", "kNN,graph"]
    words += ["--metrics", "recall@20,ndcg@20,coverage@20"]
    assert run_main(compare.main, words) == 0
    shown = capsys.readouterr()
    assert "coverage@20" in shown.out
    assert "Seeds: graph 2. Fewer than 5 seeds: no claim rests on graph." in shown.out
    # Given names are told with what they stand for: models come by name, not in the order of the folders.
    assert "- kNN: item_knn\n- graph: lightgcn\n" in shown.out
    assert "- kNN: item_knn\n" in (tmp_path / "out" / "two.md").read_text()
    assert "warning: 2 of at least 5 seeds: the spread of training is not known" in shown.err
    assert "(kNN - graph)\n" in shown.err
    pairs = pd.read_csv(tmp_path / "out" / "two_pairs.csv")
    assert pairs["metric"].tolist() == ["test/recall@20", "test/ndcg@20"]
    assert {"low", "high", "effect_size", "p_wilcoxon", "p_permutation", "p_seeds", "p_bh"} <= set(pairs)
    for ending in ("csv", "md", "tex"):
        assert (tmp_path / "out" / f"two.{ending}").stat().st_size > 0
    figures = {path.name for path in (tmp_path / "out" / "two_figures").glob("*.png")}
    assert {"significance_recall@20.png", "lorenz@20.png", "recall_by_cutoff.png"} <= figures


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name run directories"),
        (["nowhere"], "no folder 'nowhere'"),
        (["."], "no finished run"),
        ([".", "--metric", "x"], "--metrics"),
    ],
)
def test_mistakes_are_told_in_one_line(
    small: list[str], words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(compare.main, words) == 2
    assert message in capsys.readouterr().err


def test_names_must_fit_the_models(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run_main(compare.main, [str(runs), "--models", "one"]) == 2
    assert "2 different names, for" in capsys.readouterr().err
    assert run_main(compare.main, [str(runs), "--metrics", "recal@20"]) == 2
    assert "did you mean 'test/recall@20'" in capsys.readouterr().err
