from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnrec.errors import DataError
from gnnrec.report import trade_off as module
from gnnrec.report.tables import Block, Column, Table
from gnnrec.report.trade_off import pareto_front, trade_off

X, Y = "test/ndcg@20", "test/tail/ndcg@20"
POINTS = {
    "EASE": (0.5, 0.1),
    "graph": (0.4, 0.3),
    "both": (0.45, 0.2),
    "worse": (0.3, 0.05),
    "unknown": (0.1, np.nan),
}


def _table(blocks: list[Block]) -> Table:
    cells = [
        (block.label, row, metric, value, 0.01, 3)
        for block in blocks
        for row, values in POINTS.items()
        for metric, value in zip((X, Y), values)
    ]
    names = ["block", "row", "metric", "mean", "std", "num_seeds"]
    return Table("t", "", blocks, list(POINTS), pd.DataFrame(cells, columns=pd.Index(names)))


@pytest.fixture
def table() -> Table:
    both = [Column(X, "N@20"), Column(Y, "tail N@20")]
    return _table([Block("random", both), Block("cold", both), Block("bare", both[:1])])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    x, y = np.array(points, dtype=float).T
    front = pareto_front(x, y)
    beaten = [
        any((a >= x[i]) and (b >= y[i]) and (a > x[i] or b > y[i]) for a, b in points) for i in range(len(x))
    ]
    assert sorted(front) == [i for i in range(len(x)) if not beaten[i]]
    assert np.all(np.diff(x[front]) >= 0)


def test_the_figure_is_written_twice_the_same(table: Table, tmp_path: Path) -> None:
    first = trade_off(table, (X, Y), tmp_path / "a" / "t", baselines=["EASE"])
    second = trade_off(table, (X, Y), tmp_path / "b" / "t", baselines=["EASE"])
    assert [path.name for path in first] == ["t.png", "t.pdf"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_labels_cover_neither_points_nor_each_other(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(module, "save_figure", lambda figure, path: drawn.append(figure) or [])
    trade_off(table, (X, Y), tmp_path / "t", baselines=["EASE"])
    (figure,) = drawn
    assert [axis.get_title() for axis in figure.axes] == ["random", "cold"]  # the third block has no y
    for axis in figure.axes:
        shown = [label for label in axis.texts if label.get_visible()]
        assert [label.get_text() for label in shown] == ["EASE", "graph", "both", "worse"]
        assert [label.get_fontweight() for label in shown] == ["bold", "bold", "bold", "normal"]
        boxes = [label.get_window_extent() for label in shown]
        assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[:place])
        for x, y in axis.transData.transform([label.xy for label in axis.texts]):
            assert not any(box.contains(x, y) for box in boxes)


def test_a_label_without_room_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = {f"a row with a long name {place}": (0.5, 0.5) for place in range(30)}
    monkeypatch.setitem(globals(), "POINTS", crowd | {"far": (0.0, 0.0)})
    drawn = []
    monkeypatch.setattr(module, "save_figure", lambda figure, path: drawn.append(figure) or [])
    trade_off(_table([Block("b", [Column(X, "x"), Column(Y, "y")])]), (X, Y), tmp_path / "t")
    shown = [label for label in drawn[0].axes[0].texts if label.get_visible()]
    assert 0 < len(shown) <= 9
    assert shown[-1].get_text() == "far"


def test_metrics_that_no_block_has_are_told(table: Table, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no block of table 't' has both 'test/ndcg@20' and 'test/recall@20'"):
        trade_off(table, (X, "test/recall@20"), tmp_path / "t")
