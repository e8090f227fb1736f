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


tail_config = tail.TextConfig
