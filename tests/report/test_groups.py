from __future__ import annotations

import pytest

from gnnrec.report import groups


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("ndcg@10", "recall@10", "recall@20", "ndcg@20"), ["recall@20", "ndcg@20"]),
        (("recall@5", "ndcg@5", "coverage@5"), ["recall@5", "ndcg@5"]),
        (("ndcg@20", "auc", "map@20"), ["ndcg@20"]),
        (("auc",), ["auc"]),
        (("ties@9", "map@9", "mrr@9", "f1@9"), ["map@9", "mrr@9"]),
    ],
)
def test_what_was_measured_is_drawn_for_every_group(names: tuple[str, ...], shown: list[str]) -> None:
    metrics = {f"test/{group}{name}": 0.5 for name in names for group in ("", "head/", "user_q1/")}
    [axis] = groups.metrics_by_group(metrics | {"validation/recall@20": 0.1}).axes
    assert sorted(text.get_text() for text in axis.get_legend().get_texts()) == sorted(shown)
    assert [label.get_text() for label in axis.get_xticklabels()] == ["all", "head", "user_q1"]
    assert [bar.get_height() for bar in axis.patches] == [0.5] * 3 * len(shown)


def test_groups_of_either_metric_are_drawn() -> None:
    measured = {"test/recall@20": 0.5, "test/ndcg@20": 0.5, "test/head/ndcg@20": 0.5}
    [axis] = groups.metrics_by_group(measured).axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["all", "head"]
