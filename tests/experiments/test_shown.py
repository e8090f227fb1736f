"""What the end of a run shows of its metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.run import comparison_text, result_text
from gnnrec.run import RunResult


def result(*names: str) -> RunResult:
    return RunResult("key", Path("runs/key"), {f"test/{name}": 0.5 for name in names})


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["recall@10", "recall@20", "ndcg@10", "ndcg@20", "coverage@10"], ["recall@20", "ndcg@20"]),
        (["recall@10", "recall@50", "ndcg@10", "ndcg@50", "tail/ndcg@10"], ["recall@10", "ndcg@10"]),
        (["ndcg@99999", "recall@99999", "coverage@99999"], ["recall@99999", "ndcg@99999"]),
        (["mrr@10", "mrr@20"], ["mrr@10", "mrr@20"]),
        (["auc", "avg_popularity@20", "coverage@20"], ["auc"]),
    ],
)
def test_the_cutoffs_that_were_measured_are_shown(names: list[str], shown: list[str]) -> None:
    lines = result_text(result(*names)).splitlines()
    assert lines[0].split() == ["test", *shown]
    assert lines[1].split() == ["all", *([".5000"] * len(shown))]


def test_runs_of_other_cutoffs_are_compared() -> None:
    text = comparison_text([["a"], ["b"]], [result("recall@20"), result("recall@5")])
    assert [line.split() for line in text.splitlines()] == [
        ["run", "recall@20", "recall@5"],
        ["a", ".5000", "-"],
        ["b", "-", ".5000"],
    ]
