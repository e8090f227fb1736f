from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from gnnrec.errors import DataError
from gnnrec.report.frame import (
    FinishedRun,
    MetricKey,
    finished_runs,
    flatten,
    metrics_frame,
    parse_metric,
)


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("test/ndcg@20", MetricKey("test", "", "ndcg", 20)),
        ("test/tail/recall@10", MetricKey("test", "tail", "recall", 10)),
        ("validation/cold_score_gap", MetricKey("validation", "", "cold_score_gap", None)),
    ],
)
def test_metric_keys_are_parsed(key: str, parts: MetricKey) -> None:
    assert parse_metric(key) == parts


@pytest.mark.parametrize("key", ["ndcg@20", "a/b/c/d@1", "test/recall@r0"])
def test_what_is_no_metric_key_is_told(key: str) -> None:
    with pytest.raises(DataError, match="no metric key"):
        parse_metric(key)


def test_one_row_per_run_and_metric(make_run) -> None:
    runs = [
        make_run("a", {"test/ndcg@20": 0.5, "test/tail/ndcg@20": None}),
        make_run("b", {"test/ndcg@20": 0.25}),
    ]
    frame = metrics_frame(runs, [{"row": "A"}, {"row": "B"}])
    assert list(frame["row"]) == ["A", "A", "B"]
    assert list(frame["group"]) == ["", "tail", ""]
    assert list(frame["key"]) == ["a", "a", "b"]
    assert math.isnan(frame["value"][1])
    assert frame["value"][2] == 0.25
    assert set(metrics_frame(runs)["model.name"]) == {"a", "b"}


def test_an_unfinished_run_is_no_result(make_run, tmp_path: Path) -> None:
    run = make_run("a", {})
    assert [found.path for found in finished_runs(tmp_path / "runs")] == [run.path]
    (run.path / "DONE").unlink()
    assert finished_runs(tmp_path / "runs") == []
    with pytest.raises(DataError, match="no finished run"):
        FinishedRun(run.path)


@pytest.mark.parametrize(
    ("name", "attribute"),
    [("result.json", "result"), ("manifest.json", "manifest"), ("config.yaml", "config")],
)
@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"{}", b"", None])
def test_a_broken_file_is_named(make_run, name: str, attribute: str, content: bytes | None) -> None:
    path = make_run("a", {}).path
    (path / name).unlink() if content is None else (path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"cannot read .*{name}.*delete"):
        getattr(FinishedRun(path), attribute)


def test_a_config_with_an_impossible_date_is_named(make_run) -> None:
    run = make_run("a", {})
    (run.path / "config.yaml").write_text("seed: 2024-13-45\nmodel: {name: mf}\n")
    with pytest.raises(DataError, match=r"cannot read .*config\.yaml.*delete"):
        _ = run.config


@pytest.mark.parametrize(
    "metrics", [{"test/recall@r0": 0.5}, {"test/recall@20": "high"}, {"test/recall@20": []}, [1]]
)
def test_metrics_that_are_no_numbers_are_told_with_their_file(make_run, metrics) -> None:
    with pytest.raises(DataError, match=r"cannot read .*result\.json.*delete"):
        metrics_frame([make_run("a", metrics)])


@pytest.mark.parametrize("method", [1, 9, 12, 14])  # shrunk, Deflate64, bzip2, LZMA
def test_a_wrong_compression_of_per_user_arrays_is_named(make_run, method: int) -> None:
    run = make_run("a", {}, {"users": np.arange(1000)})
    path = run.path / "per_user.npz"
    content = bytearray(path.read_bytes())
    content[8] = content[content.index(b"PK\x01\x02") + 10] = method
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*per_user\.npz.*delete"):
        run.per_user("users")


def test_per_user_arrays_are_read_by_name(make_run) -> None:
    run = make_run("a", {}, {"users": np.arange(4), "test/recall@20": np.linspace(0, 1, 4)})
    assert set(run.per_user()) == {"users", "test/recall@20"}
    np.testing.assert_array_equal(run.per_user("users")["users"], np.arange(4))
    with pytest.raises(DataError, match=r"no array 'test/recal@20', did you mean 'test/recall@20'"):
        run.per_user("test/recal@20")


def test_a_truncated_per_user_file_is_named(make_run) -> None:
    run = make_run("a", {}, {"users": np.arange(1000)})
    path = run.path / "per_user.npz"
    for size in (0, 10, path.stat().st_size // 2):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(DataError, match="cannot read"):
            run.per_user("users")


def test_an_object_array_is_not_unpickled(make_run) -> None:
    run = make_run("a", {})
    np.savez(run.path / "per_user.npz", users=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="cannot read"):
        run.per_user("users")


def test_flatten_makes_dotted_names() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": [1, 2]}) == {"a.b.c": 1, "d": "[1, 2]"}
