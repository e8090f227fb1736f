from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from experiments import run as run_module
from experiments.cli import run_main
from experiments.compose import CONF, compose_config, config_groups
from experiments.run import main
from gnnrec.config import RunConfig
from gnnrec.data.dataset import Dataset

ROOT = Path(__file__).resolve().parents[2]


def test_every_option_says_what_it_is() -> None:
    for options in config_groups().values():
        assert all(options.values()), options  # the first comment line of an option's file


@pytest.mark.parametrize("group", ["dataset", "split", "text", "init", "train", "eval", "tracking"])
def test_every_key_can_be_set_without_a_plus(group: str) -> None:
    known = set(RunConfig().to_dict()[group])
    for option in config_groups()[group]:
        words = [f"{group}={option}"] + (["dataset.name=x"] if option == "folder" else [])
        assert set(compose_config(words)[group]) == known, f"{group}/{option}.yaml"


@pytest.mark.parametrize(("model", "init"), [("lightgcn", "id_text"), ("graphsage", "text")])
def test_a_text_model_runs_an_epoch_on_cold_items(
    model: str, init: str, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"model={model}", f"init={init}", "init.dim=8", "split=cold_items", "experiment=augmented"]
    assert run_main(main, [*small, *words]) == 0, capsys.readouterr().err
    assert "cold_only" in capsys.readouterr().out


def test_a_run_leaves_one_folder_with_every_file(small: list[str], tmp_path: Path) -> None:
    assert run_main(main, [*small, "model=lightgcn"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["runs"]
    [folder] = (tmp_path / "runs").iterdir()
    names = {path.name for path in folder.iterdir()}
    files = {
        "config.yaml",
        "manifest.json",
        "metrics.jsonl",
        "result.json",
        "per_user.npz",
        "embeddings.safetensors",
    }
    assert names == files | {"figures", "DONE"}
    result = json.loads((folder / "result.json").read_text())
    assert result["key"] == folder.name
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["num_test_scorings"] == 1
    assert {"packages", "device", "fingerprints", "seeds", "seconds", "peak_memory_mib"} <= set(manifest)
    assert RunConfig.from_dict(yaml.safe_load((folder / "config.yaml").read_text()))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_numbers(
    small: list[str], tmp_path: Path
) -> None:
    words = [*small, "model=lightgcn", "train.epochs=2"]
    for root, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert run_main(main, [*words, f"tracking.root={root}", f"seed={seed}"]) == 0
    one, two, other = (next((tmp_path / root).iterdir()) for root in "abc")
    for name in ("result.json", "per_user.npz", "embeddings.safetensors"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
        assert (one / name).read_bytes() != (other / name).read_bytes()


def test_a_finished_run_is_not_run_again(small: list[str], tmp_path: Path) -> None:
    assert run_main(main, [*small, "model=lightgcn"]) == 0
    [done] = (tmp_path / "runs").glob("*/DONE")
    before = {path: path.stat().st_mtime_ns for path in done.parent.iterdir()}
    assert run_main(main, [*small, "model=lightgcn"]) == 0
    assert {path: path.stat().st_mtime_ns for path in done.parent.iterdir()} == before


def test_multirun_runs_every_combination_and_compares(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(main, [*small, "-m", "model=popularity,lightgcn", "seed=0,1"]) == 0
    assert len(list((tmp_path / "runs").glob("*/DONE"))) == 3  # a baseline's run stands for both seeds
    out = capsys.readouterr().out
    assert "[4/4]" in out
    assert "model=lightgcn seed=1" in out.split("[4/4]")[1]


def test_a_run_that_fails_stops_no_other_and_is_named(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*small, "-m", "model=popularity,item_knn", "split=published,random"]
    assert run_main(main, words) == 2
    told = capsys.readouterr()
    reason = "data set 'planted' came without a published split; use 'random' or another split"
    failed = [
        f"[{number}/4] {' '.join(small)} model={model} split=published: {reason}"
        for number, model in ((1, "popularity"), (3, "item_knn"))
    ]
    assert told.err == f"error: {'; '.join(failed)}\n"
    assert told.out.count(f"failed: {reason}") == 2
    assert len(list((tmp_path / "runs").glob("*/DONE"))) == 2
    compared = told.out.splitlines()[-3:]
    assert compared[0].split() == ["run", "recall@20", "ndcg@20"]
    assert "model=popularity split=random" in compared[1]
    assert "model=item_knn split=random" in compared[2]


def test_a_run_without_memory_stops_no_other_but_a_defect_does(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    errors: list[Exception] = [RuntimeError("CUDA out of memory\nmore"), MemoryError("2 GiB")]

    def fail(config: RunConfig) -> None:
        raise errors[config.seed]

    monkeypatch.setattr(run_module, "run", fail)
    assert run_main(main, [*small, "-m", "seed=0,1"]) == 2
    told = capsys.readouterr()
    assert "seed=0: out of memory (CUDA out of memory); a smaller batch" in told.err
    assert "seed=1: out of memory (2 GiB); a smaller batch" in told.err
    assert "recall" not in told.out
    assert run_main(main, [*small, "seed=0"]) == 2
    assert capsys.readouterr().err.startswith("error: out of memory (CUDA out of memory)")
    errors[0] = RuntimeError("shape mismatch")
    with pytest.raises(RuntimeError, match="shape mismatch"):
        run_main(main, [*small, "-m", "seed=0,1"])


def test_a_mistake_in_one_of_several_runs_is_told_before_the_first(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_module, "run", lambda _: pytest.fail("run"))
    assert run_main(main, [*small, "-m", "train.lr=0.1,fast"]) == 2
    assert capsys.readouterr().err == "error: 'train.lr' must be of type float (got 'fast')\n"


def test_help_and_cfg_run_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_main(main, ["--help"]) == 0
    text = capsys.readouterr().out
    for group, options in config_groups().items():
        assert f"  {group}\n" in text
        assert all(option in text for option in options)
    assert "examples:" in text
    assert run_main(main, ["--cfg", "model=graphsage", "seed=5"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert (config["model"]["name"], config["seed"]) == ("graphsage", 5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["model=lightgnc"], "did you mean 'lightgcn'?"),
        (["train.lrr=1"], "did you mean 'train.lr'?"),
        (["datset=debian"], "did you mean 'dataset'?"),
        (["train.lr=-1"], "'lr' must be in (0, inf)"),
        (["train.lr=fast"], "'train.lr' must be of type float (got 'fast')"),
        (["dataset=folder", "dataset.name=/nowhere/at/all"], "no data set at '/nowhere/at/all'"),
        (["dataset=folder"], "'dataset.name' has no value"),
        (["text.model=/nowhere/model", "init=text"], "/nowhere/model"),
        (["device=cuda:99"], "device=cuda:99 cannot be used"),
        (["+model.encoder.layerz=3"], "unknown key 'model.encoder.layerz'"),
        (["model=lightgcn,mf"], "add -m"),
    ],
)
def test_a_mistake_is_one_line_and_status_two(
    words: list[str], told: str, small: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    names = {word.split("=")[0] for word in words}
    drop = {"dataset", "dataset.name"} if "dataset" in names else names
    kept = [word for word in small if word.split("=")[0] not in drop]
    assert run_main(main, [*kept, *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert told in error
    assert not list(tmp_path.glob("runs/*/DONE"))


def test_a_run_directory_that_cannot_be_written_is_one_line(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run_main(main, [*small, "model=popularity", "tracking.root=file"]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_a_broken_data_folder_is_one_line(
    small: list[str], planted: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "interactions.parquet").write_bytes(b"PAR1 but no more")
    kept = [word for word in small if not word.startswith("dataset.name")]
    assert run_main(main, [*kept, f"dataset.name={tmp_path / 'broken'}", "model=popularity"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "broken" in error


def press_ctrl_c(process: subprocess.Popen[str]) -> str:
    """Interrupt the process, again after 30 seconds as a person would, and return its standard error.

    Python drops an interrupt that arrives inside a finaliser, so one press may be lost.
    """
    for _ in range(4):
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=30)[1]
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    return "the process did not end"


def _start(words: list[str]) -> subprocess.Popen[str]:
    """Start a run that Ctrl-C reaches, even where these tests run in the background and ignore it."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "experiments" / "run.py"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_ctrl_c_while_libraries_load_is_one_line(small: list[str], tmp_path: Path) -> None:
    process = _start(small)
    while not _has_imported(process.pid, "numpy"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=200)
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("runs/*/DONE"))


def _has_imported(pid: int, library: str) -> bool:
    maps = Path(f"/proc/{pid}/maps")
    if not maps.exists():
        pytest.skip("this system does not show what a process has loaded")
    return library in maps.read_text()


def test_ctrl_c_leaves_no_done_and_the_same_command_goes_on(small: list[str], tmp_path: Path) -> None:
    words = [word for word in small if not word.startswith("train.epochs")]
    words += ["train.epochs=3000", "train.patience=3000", "train.checkpoint_seconds=0.01", "init.dim=8"]
    process = _start(words)
    for _ in range(2000):
        # whichever comes first: a checkpoint may be of an epoch before the first evaluation
        if all(list(tmp_path.glob(f"runs/*/{name}")) for name in ("checkpoint.safetensors", "metrics.jsonl")):
            break
        time.sleep(0.1)
    error = press_ctrl_c(process)
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert "the same command takes the run up again" in error
    [folder] = (tmp_path / "runs").iterdir()
    assert not (folder / "DONE").exists()
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    # the same key with few epochs is another run; so the check here is that the checkpoint is taken up
    process = _start(words)
    for _ in range(2000):
        if len((folder / "metrics.jsonl").read_text().splitlines()) > len(lines) + 1:
            break
        time.sleep(0.1)
    press_ctrl_c(process)
    epochs = [json.loads(line)["epoch"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert epochs == sorted(set(epochs))
    assert epochs[-1] > json.loads(lines[-1])["epoch"]


def test_the_scripts_run_from_any_folder(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for script in ("run.py", "table.py", "tune.py"):
        command = [sys.executable, str(ROOT / "experiments" / script), "--help"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("usage: python experiments/")
    assert list(tmp_path.iterdir()) == []


def test_no_option_is_named_twice_in_different_writing() -> None:
    for options in config_groups(CONF).values():
        plain = [option.lower().replace("-", "_") for option in options]
        assert len(plain) == len(set(plain))
