from __future__ import annotations

from gnnrec.errors import suggest

GROUPS = ("", "tail/", "user_cold/", "cold_only/")
METRICS = [
    f"test/{group}{name}@{k}" for group in GROUPS for name in ("recall", "ndcg", "mrr") for k in (10, 20)
]


def test_few_known_names_are_all_listed() -> None:
    assert suggest("lightgnc", ["mf", "lightgcn"]) == ", did you mean 'lightgcn'? (known: lightgcn, mf)"
    assert suggest("x", ["mf", "lightgcn"]) == "; (known: lightgcn, mf)"


def test_of_many_known_names_the_nearest_are_listed() -> None:
    told = suggest("test/recal@20", METRICS)
    assert told.startswith(", did you mean 'test/recall@20'? (known: test/")
    assert told.endswith(f" and {len(METRICS) - 12} more)")
    assert told.count("@") == 13


def test_the_hint_is_a_metric_of_the_group_that_was_written() -> None:
    assert "did you mean 'test/tail/ndcg@20'" in suggest("test/tail/ndcg@2", METRICS)
    assert "did you mean 'test/tail/recall@20'" in suggest("test/tial/recall@20", METRICS)
    assert suggest("test/cold/ndcg@20", METRICS).startswith("; (known: ")
    assert "did you mean 'test/recall@20'" in suggest("recall@20", METRICS)
