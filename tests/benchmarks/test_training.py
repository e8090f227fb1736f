"""The training benchmarks run on tiny data and say what they should; their peers are PyG alone here."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import gpu, machine, quality, scale, training  # noqa: E402
from experiments.compose import compose_config  # noqa: E402
from gnnrec.config import RunConfig  # noqa: E402
from gnnrec.data.planted import planted_dataset, power_law_interactions  # noqa: E402
from gnnrec.data.splits import make_split  # noqa: E402


def test_gpu_runs_on_a_processor(tmp_path: Path) -> None:
    out = tmp_path / "gpu.csv"
    options = ["--device", "cpu", "--pairs", "1500", "--models", "lightgcn", "xsimgcl", "--rounds", "1"]
    gpu.main([*options, "--steps", "1", "--output", str(out)])
    table = pd.read_csv(out)
    assert list(table.contestant) == ["gnnrec", "pyg-csr", "pyg-edge-index", "gnnrec"]
    assert (table.epoch_s_median > 0).all()
    assert table.ratio_median[0] == 1
    gpu.main([*options, "--steps", "1", "--output", str(out)])
    assert len(pd.read_csv(out)) == 4  # in the place of the older rows


def test_without_a_gpu_the_script_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="there is no CUDA device"):
        gpu.main(["--output", str(tmp_path / "gpu.csv")])


def test_the_floor_is_every_buffer_once() -> None:
    """By hand: 3 users, 2 items, 4 pairs, 1 layer, 5 columns: a matrix of 100 bytes."""
    train = power_law_interactions(4, 3, 2, seed=0)
    matrix, edges = 4 * 5 * 5, 2 * len(train) * (4 + 4)
    forward_and_back = 2 * (2 * matrix + edges)
    assert training.floor_bytes(train, layers=1, dim=5) == forward_and_back + 7 * matrix + 2 * matrix


def test_a_size_is_measured_and_drawn(tmp_path: Path) -> None:
    row = scale.measure(3000, 2, "bfloat16")
    assert (row["edges"], row["users"], row["items"]) == (3000, 60, 15) or row["edges"] <= 3000
    assert row["ms_median"] > 0
    assert row["estimate_gib"] >= 0
    table = pd.DataFrame([row, row | {"edges": 30_000, "ms_median": 9.0, "peak_gib": 0.2}])
    scale.draw(table, tmp_path / "scale.png")
    assert (tmp_path / "scale.png").stat().st_size > 1000


def test_quality_is_measured_after_every_epoch_until_the_time_is_over(tmp_path: Path) -> None:
    split = make_split(planted_dataset(seed=0), "random", 0)
    rows = []
    for words, seconds in (("model=ease", 9.0), ("model=mf train.epochs=3", 1e6), ("model=mf", 0.0)):
        config = RunConfig.from_dict(compose_config([*words.split(), "device=cpu"]))
        rows += [{"data": "x", "run": words, **row} for row in quality.measure(config, split, seconds)]
    assert [(row["run"], row["epoch"]) for row in rows] == [
        ("model=ease", 0),
        *(("model=mf train.epochs=3", epoch) for epoch in (1, 2, 3)),
        ("model=mf", 1),
    ]
    assert all(0 < row["ndcg"] <= 1 for row in rows)
    quality.draw(pd.DataFrame(rows), tmp_path / "quality.png")
    assert (tmp_path / "quality.png").stat().st_size > 1000


def test_rows_take_the_place_of_their_like(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    machine.save_rows(
        path, pd.DataFrame([{"a": 1, "b": "x", "v": 1}, {"a": 2, "b": "x", "v": 2}]), ["a", "b"]
    )
    machine.save_rows(path, pd.DataFrame([{"a": 2, "b": "x", "v": 3, "note": 7}]), ["a", "b"])
    machine.save_rows(path, pd.DataFrame([{"a": 3, "b": "x", "v": 0.5}]), ["a", "b"])
    assert path.read_text() == "a,b,v,note\n1,x,1,\n2,x,3,7\n3,x,0.5,\n"


def test_a_machine_is_described_without_its_name() -> None:
    import platform

    row = machine.describe_machine()
    assert {"processor", "cores", "threads", "device", "python", "torch", "date"} <= set(row)
    assert platform.node() not in map(str, row.values())
    assert machine.copy_bandwidth(mebibytes=4, repeats=1) > 0
