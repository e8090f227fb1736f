"""The training benchmarks run on tiny data and say what they should; their peers are PyG alone here."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import gpu, machine, quality, scale, training, training_peers  # noqa: E402
from experiments.compose import compose_config  # noqa: E402
from gnnrec.config import RunConfig  # noqa: E402
from gnnrec.data.planted import planted_dataset, power_law_interactions  # noqa: E402
from gnnrec.data.splits import make_split  # noqa: E402
from gnnrec.errors import ConfigError, DataError, GnnrecError  # noqa: E402


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
    gpu.main([*options, "--steps", "1", "--precision", "bfloat16", "--output", str(out)])
    assert pd.read_csv(out).precision.tolist() == ["float32"] * 4 + ["bfloat16"] * 4


def test_without_a_gpu_the_script_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="there is no CUDA device"):
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


def race_rows(names: list[str], *options: str) -> pd.DataFrame:
    rounds = [
        {"contestant": name, "round": 1, "copy_gb_s": 1.0, "seconds": 0.1, "cpu": 0.2, "peak_mib": 9}
        for name in names
    ]
    train = power_law_interactions(20, 5, 4, seed=0)
    return training.summarise(rounds, "lightgcn", train, training.parse(list(options)))


def test_a_race_replaces_every_row_of_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    machine.save_rows(path, race_rows(["gnnrec", "pyg-csr", "recbole"]), training.IDENTITY)
    machine.save_rows(path, race_rows(["gnnrec"], "--epochs"), training.IDENTITY)
    machine.save_rows(path, race_rows(["gnnrec", "pyg-csr"]), training.IDENTITY)
    found = pd.read_csv(path)[["contestant", "against"]].to_numpy().tolist()
    steps, epochs = "gnnrec float32", "gnnrec float32, whole epochs"
    assert found == [["gnnrec", epochs], ["gnnrec", steps], ["pyg-csr", steps]]


def test_a_shorter_run_leaves_no_older_epochs(tmp_path: Path) -> None:
    path = tmp_path / "quality.csv"
    row = {"data": "x", "run": "a", "device": "cpu", "processor": "p"}
    longer = pd.DataFrame([{**row, "epoch": epoch} for epoch in (1, 2, 3)])
    machine.save_rows(path, longer, quality.IDENTITY)
    machine.save_rows(path, longer.assign(processor="q"), quality.IDENTITY)
    machine.save_rows(path, longer.head(1), quality.IDENTITY)
    table = pd.read_csv(path)
    assert table[["processor", "epoch"]].to_numpy().tolist() == [["q", 1], ["q", 2], ["q", 3], ["p", 1]]
    names = machine.curve_names(table, "run", ["device", "processor"])
    assert names == ["a, q"] * 3 + ["a, p"]


def test_both_clocks_run_over_the_steps_alone() -> None:
    train = power_law_interactions(3000, 60, 40, seed=0)
    peer = training_peers.pyg(train, "cpu", sparse=True)
    for wall, cpu in (training.ours(train, "lightgcn", "cpu", steps=2)(), peer(2)):
        assert wall > 0
        assert cpu > 0


def test_tools_that_take_any_gpu_take_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "utils.py").write_text(
        "import torch, types\n"
        "world = types.SimpleNamespace(config={}, device='cuda' if torch.cuda.is_available() else 'cpu')\n"
        "BPRLoss = lambda model, config: types.SimpleNamespace(stageOne=lambda *batch: None)\n"
        "UniformSample_original_python = lambda data: __import__('numpy').zeros((data.trainDataSize, 3))\n"
    )
    (code / "model.py").write_text("import torch\nLightGCN = lambda config, data: torch.nn.Linear(1, 1)\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for kind in (torch.Tensor, torch.nn.Module):
        monkeypatch.setattr(kind, "cuda", kind.cuda)
    call = training_peers.lightgcn_pytorch(tmp_path, power_law_interactions(20, 5, 4, seed=0), "cpu")
    assert sys.modules["utils"].world.device == "cpu"
    assert torch.zeros(1).cuda().device.type == "cpu"
    assert np.all(call(2) >= 0)
    for name in ("utils", "model"):
        sys.modules.pop(name)


@pytest.mark.parametrize("script", [training, gpu])
def test_data_that_are_missing_are_told(script: ModuleType) -> None:
    with pytest.raises(DataError, match="there is no data set at"):
        script.main(["--device", "cpu", "--data", "/no/such/folder"])


def test_a_contestant_that_ends_is_told() -> None:
    worker = training._start([sys.executable, "-c", ""])
    worker.wait()
    with pytest.raises(GnnrecError, match="'recbole' ended"):
        training._ask(worker, "recbole")


def test_rows_take_the_place_of_their_like(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    machine.save_rows(
        path, pd.DataFrame([{"a": 1, "b": "x", "v": 1}, {"a": 2, "b": "x", "v": 2}]), ["a", "b"]
    )
    machine.save_rows(path, pd.DataFrame([{"a": 2, "b": "x", "v": 3, "note": 7}]), ["a", "b"])
    machine.save_rows(path, pd.DataFrame([{"a": 3, "b": "x", "v": 0.5}]), ["a", "b"])
    assert path.read_text() == "a,b,v,note\n1,x,1,\n2,x,3,7\n3,x,0.5,\n"
    machine.save_rows(path, pd.DataFrame([{"a": 3, "b": "x", "v": 4, "c": "y"}]), ["a", "b", "c"])
    assert path.read_text().endswith("3,x,0.5,,\n3,x,4,,y\n")  # the older rows have no c, which is not y


def test_a_machine_is_described_without_its_name() -> None:
    import platform

    row = machine.describe_machine()
    assert {"processor", "cores", "threads", "device", "python", "torch", "date"} <= set(row)
    assert platform.node() not in map(str, row.values())
    assert machine.copy_bandwidth(mebibytes=4, repeats=1) > 0


def test_the_processor_says_what_it_computes_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "CPUINFO", path)
    plain = machine._processor()
    path.write_text("model name\t: Xeon\nflags\t\t: avx2 avx512_bf16 amx_tile\n\nmodel name\t: other\n")
    capability = torch.backends.cpu.get_cpu_capability()
    assert machine._processor() == f"Xeon, {capability}, bf16, amx"
    path.write_text("model name\t: EPYC\nflags\t\t: avx2\n")
    assert machine._processor() == f"EPYC, {capability}"
    assert plain.endswith(f", {capability}")
