"""The tail benchmark on planted data: it chooses on validation, and text helps where it is the answer."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks import tail
from gnnrec.data.native import write_native
from gnnrec.data.planted import planted_dataset


def test_three_models_over_two_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tail, "TextConfig", lambda control: tail_config(model="hash", control=control))
    monkeypatch.setenv("GNNREC_CACHE", str(tmp_path / "cache"))
    folder = write_native(planted_dataset(num_users=80, num_items=120, seed=0), tmp_path / "planted")
    out = tmp_path / "tail.csv"
    tail.main(["--data", str(folder), "--seeds", "0", "1", "--output", str(out)])
    table = pd.read_csv(out)
    assert table.model.tolist() == ["without text", "with text", "shuffled text"]
    assert (table.seeds == 2).all()
    first, text, shuffled = table.to_dict(orient="records")
    assert text["tail/ndcg@20"] > first["tail/ndcg@20"]
    assert text["tail/ndcg@20"] > shuffled["tail/ndcg@20"]
    assert 0 <= text["p tail/ndcg@20"] <= 1
    assert "| with text |" in out.with_suffix(".md").read_text()


def test_p_values_are_corrected_over_all_rows_where_they_are_shown() -> None:
    row = {"data": "d", "chosen": "EASE", "seeds": 5, "tail gain": None, **dict.fromkeys(tail.METRICS, 0.5)}
    tests = [("without text", None, None), ("with text", 0.01, 0.03), ("shuffled text", 0.02, 0.5)]
    rows = [
        {**row, "model": model, "p ndcg@20": p, "p tail/ndcg@20": tail_p} for model, p, tail_p in tests * 2
    ]
    lines = tail.markdown(pd.DataFrame(rows)).splitlines()[-6:]
    shown = [[cell.strip() for cell in line.split("|")[-3:-1]] for line in lines]
    assert shown == [["", ""], ["0.04", "0.12"], ["0.04", "1.0"]] * 2


tail_config = tail.TextConfig
