from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gnnrec.errors import DataError
from gnnrec.report import gains
from gnnrec.report.frame import records
from gnnrec.report.gains import (
    ItemHits,
    gain_by_group,
    metric_against_degree,
    recall_by_degree,
    relative_gains,
)

VALUES = {
    ("random", "kNN", "head"): [0.4, 0.6],
    ("random", "kNN", "tail"): [0.1, 0.1],
    ("random", "graph", "head"): [0.75, 0.75],
    ("random", "graph", "tail"): [0.05, 0.05],
    ("cold items", "kNN", "cold"): [0.0, 0.0],
    ("cold items", "graph", "cold"): [0.3, 0.1],
    ("cold items", "kNN", "head"): [0.1, 0.1],
    ("cold items", "graph", "head"): [0.9, 0.9],
    ("cold items", "graph", "mid"): [float("nan"), float("nan")],
}


@pytest.fixture
def frame() -> pd.DataFrame:
    rows = [
        {"block": block, "row": row, "seed": seed, "metric": f"test/{group}/recall@20", "value": value}
        for (block, row, group), values in VALUES.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def keep_axes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list to which every figure that is drawn adds its axes."""
    drawn: list[Any] = []

    def new_figure(*arguments: Any, **options: Any) -> tuple[Any, Any]:
        figure, axes = gains_figure(*arguments, **options)
        drawn.append(axes)
        return figure, axes

    gains_figure = gains.new_figure
    monkeypatch.setattr(gains, "new_figure", new_figure)
    return drawn


def test_gains_are_ratios_of_means_over_seeds(frame: pd.DataFrame) -> None:
    gains = relative_gains(frame, "kNN", "recall@20", ("head", "mid", "tail", "cold"))
    assert gains["random", "graph", "head"].ratio == pytest.approx(0.5)
    assert gains["random", "graph", "tail"].ratio == pytest.approx(-0.5)
    assert gains["cold items", "graph", "cold"].ratio is None  # nothing to divide by
    assert gains["cold items", "graph", "cold"].value == pytest.approx(0.2)
    assert ("cold items", "graph", "mid") not in gains
    assert not any(row == "kNN" for _, row, _ in gains)


def test_a_baseline_that_is_not_there_is_told(frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="no run of the baseline 'EASE'"):
        relative_gains(frame, "EASE", "recall@20", ("head",))


def test_a_value_without_a_ratio_is_printed_inside_the_axes(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = keep_axes(monkeypatch)
    cold = pd.DataFrame(frame[frame["block"] == "cold items"])
    cold.loc[(cold["metric"] == "test/head/recall@20") & (cold["row"] == "graph"), "value"] = 0.05
    gain_by_group(cold, tmp_path / "gain", baselines=["kNN"])
    axis = drawn[0][0][0]
    (text,) = axis.texts
    assert text.get_text() == " 0.200"
    assert axis.bbox.y0 < text.get_window_extent().y0 < text.get_window_extent().y1 < axis.bbox.y1


def test_the_gain_figure_is_written_twice_the_same(frame: pd.DataFrame, tmp_path: Path) -> None:
    first = gain_by_group(frame, tmp_path / "a" / "gain", baselines=["kNN", "graph"])
    second = gain_by_group(frame, tmp_path / "b" / "gain", baselines=["kNN", "graph"])
    assert [path.name for path in first] == ["gain.png", "gain.pdf"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert first[0].read_bytes().startswith(b"\x89PNG")
    assert b"/FontFile2" in first[1].read_bytes()  # TrueType: text stays text


def test_recall_by_degree_pools_pairs_over_items() -> None:
    items = ItemHits(
        degree=np.array([0, 0, 1, 2, 3, 4, 100, 7]),
        relevant=np.array([2, 2, 1, 3, 1, 0, 10, 4]),
        hits=np.array([1, 0, 1, 2, 0, 0, 5, 1]),
    )
    assert records(recall_by_degree(items)) == [
        {"low": 0, "high": 0, "num_items": 2, "num_pairs": 4, "recall": 0.25},
        {"low": 1, "high": 1, "num_items": 1, "num_pairs": 1, "recall": 1.0},
        {"low": 2, "high": 3, "num_items": 2, "num_pairs": 4, "recall": 0.5},
        {"low": 4, "high": 7, "num_items": 1, "num_pairs": 4, "recall": 0.25},
        {"low": 64, "high": 127, "num_items": 1, "num_pairs": 10, "recall": 0.5},
    ]


def test_bins_hold_every_test_pair_once() -> None:
    generator = np.random.default_rng(0)
    degree = generator.integers(0, 600, 400)
    relevant = generator.integers(0, 4, 400)
    hits = np.minimum(relevant, generator.integers(0, 4, 400))
    table = recall_by_degree(ItemHits(degree, relevant, hits))
    assert table["num_pairs"].sum() == relevant.sum()
    assert (table["recall"] * table["num_pairs"]).sum() == pytest.approx(hits.sum())
    for line in records(table):
        member = (degree >= line["low"]) & (degree <= line["high"])
        assert relevant[member].sum() == line["num_pairs"]


def test_no_panel_of_the_degree_figure_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = keep_axes(monkeypatch)
    degree, relevant = np.array([1, 5]), np.array([10, 10])
    low, high = (ItemHits(degree, relevant, hits) for hits in (np.array([1, 2]), np.array([3, 9])))
    metric_against_degree({"one": {"kNN": [low]}, "two": {"kNN": [high]}}, tmp_path / "degree")
    for axis in drawn[0].flat:
        bottom, top = axis.get_ylim()
        assert bottom == 0
        assert top > 0.9


def test_the_degree_figure_is_written(tmp_path: Path) -> None:
    items = ItemHits(np.array([0, 1, 5]), np.array([1, 1, 2]), np.array([0, 1, 1]))
    only_warm = ItemHits(np.array([1, 5]), np.array([1, 2]), np.array([1, 1]))
    curves = {"random": {"kNN": [only_warm]}, "cold items": {"kNN": [items, items], "graph": [items]}}
    paths = metric_against_degree(curves, tmp_path / "degree")
    assert [path.name for path in paths] == ["degree.png", "degree.pdf"]
    assert all(path.stat().st_size > 3000 for path in paths)
