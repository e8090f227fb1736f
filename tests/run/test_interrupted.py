"""A run that is killed or fails leaves no result, and started again it ends as one never killed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import gnnrec.run as module
from gnnrec.config import RunConfig
from gnnrec.errors import DataError, GnnrecError
from gnnrec.run import run
from gnnrec.tracking import RunDir
from tests.run.helpers import make, make_full_at, read, rows_of


def test_a_run_killed_in_training_and_started_again_is_one_never_killed(
    full: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {**full.to_dict()["train"], "eval_every": 2, "checkpoint_seconds": 0.0}
    whole = run(make_full_at(full, tmp_path / "whole", train=train))
    config = make_full_at(full, tmp_path / "killed", train=train)
    with monkeypatch.context() as patch:
        patch.setattr(module.Tracker, "log", lambda self, row, epoch: interrupt() if epoch == 6 else None)
        with pytest.raises(KeyboardInterrupt):
            run(config)
    killed = tmp_path / "killed" / whole.key
    assert not (killed / "DONE").exists()
    assert (killed / "checkpoint.safetensors").exists()
    assert len((killed / "metrics.jsonl").read_text().splitlines()) == 3  # one more than the checkpoint has
    again = run(config)
    for name in ("result.json", "embeddings.safetensors"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert rows_of(again) == rows_of(whole)
    assert not (again.path / "checkpoint.safetensors").exists()
    assert read(again, "manifest.json")["resumed_after_epoch"] == 5  # its seconds are those since then
    assert "resumed_after_epoch" not in read(whole, "manifest.json")


@pytest.mark.parametrize(
    ("protocol", "eval_every", "expected"),
    [("honest", 3, 2), ("legacy_test_selected", 3, 5), ("legacy_test_selected", 0, 2)],
)
def test_a_run_interrupted_after_its_test_counts_both_scorings(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    eval_every: int,
    expected: int,
) -> None:
    """Under the legacy protocol its evaluations score the test, too: three, all of them in the first process."""
    config = make(
        folder,
        tmp_path,
        protocol=protocol,
        train__eval_every=eval_every,
        train__epochs=9,
        train__checkpoint_seconds=0.0,
    )
    scored = []
    evaluate = module._evaluate
    monkeypatch.setattr(module, "_evaluate", lambda *args: (scored.append(1), evaluate(*args))[1])
    with monkeypatch.context() as patch:
        patch.setattr(module, "_figures", lambda *_: interrupt())
        with pytest.raises(KeyboardInterrupt):
            run(config)
    manifest = read(run(config), "manifest.json")
    assert len(scored) == 2
    assert manifest["num_test_scorings"] == expected


@pytest.mark.parametrize("content", ['{"num', "{}", "[]", '{"num_test_scorings": null}'])
def test_a_manifest_that_cannot_be_read_is_told(folder: Path, tmp_path: Path, content: str) -> None:
    config = make(folder, tmp_path)
    path = run(config).path
    (path / "DONE").unlink()
    (path / "manifest.json").write_text(content)
    with pytest.raises(DataError, match=r"cannot read '.*manifest\.json' .*; delete '.*' and run it again"):
        run(config)


def test_a_run_that_cannot_be_finished_keeps_its_checkpoint(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(self: RunDir) -> None:
        raise GnnrecError("no space")

    config = make(folder, tmp_path, train__checkpoint_seconds=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "finish", full_disk)
        with pytest.raises(GnnrecError, match="no space"):
            run(config)
    [left] = tmp_path.glob("*/checkpoint.safetensors")
    assert run(config).path == left.parent
    assert not left.exists()


@pytest.mark.parametrize("eval_every", [0, 4])
def test_the_last_training_goes_on_where_it_was_killed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eval_every: int
) -> None:
    """Without validation, and where the epoch was selected on validation and all pairs are trained on again."""
    calls, stop_at = 0, -1

    def counted(*args: Any) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise KeyboardInterrupt
        return train_epoch(*args)

    fit_module = sys.modules["gnnrec.training.fit"]  # the package's attribute of that name is the function
    train_epoch = fit_module._train_epoch
    monkeypatch.setattr(fit_module, "_train_epoch", counted)
    words = {"train__eval_every": eval_every, "train__checkpoint_seconds": 0.0, "eval__refit": True}
    whole = run(make(folder, tmp_path / "whole", **words))
    calls, stop_at = 0, calls
    config = make(folder, tmp_path / "killed", **words)
    with pytest.raises(KeyboardInterrupt):
        run(config)
    calls, stop_at = 0, -1
    again = run(config)
    assert calls == 1
    for name in ("result.json", "embeddings.safetensors"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert not list(again.path.glob("*checkpoint*"))
    assert not list(again.path.glob("refit*"))


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_run_that_fails_is_not_done(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make(folder, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_evaluate", lambda *_: interrupt())
        with pytest.raises(KeyboardInterrupt):
            run(config)
    [path] = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert not (path / "DONE").exists()
    assert not (path / "result.json").exists()
    assert not (path / ".lock").exists()
    assert run(config).metrics["test/ndcg@10"] > 0.2
    assert (path / "DONE").exists()


def test_a_root_that_cannot_be_written_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(GnnrecError, match=r"cannot write '.*file.*tracking\.root=FOLDER sets another"):
        run(make(folder, tmp_path / "file" / "runs"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dataset": {"name": "debain"}}, "debian"),
        ({"split": {"name": "randm"}}, "did you mean 'random'"),
        ({"split": {"name": "random", "params": {"ratio": [8, 1, 1]}}}, "did you mean 'ratios'"),
        ({"split": {"name": "published"}}, "published"),
        ({"split": {"name": "cold_user", "params": {"support": 1}}}, r"split\.params\.support=0"),
        ({"device": "qpu"}, "device=qpu cannot be used .*device=auto"),
        ({"eval__item_rule": "quantil"}, "did you mean 'quantile'"),
        ({"init__mode": "text", "text__item_vectors": "/nowhere.npz"}, "nowhere"),
    ],
    ids=str,
)
def test_a_mistake_leaves_no_result(folder: Path, tmp_path: Path, changes: dict, told: str) -> None:
    with pytest.raises(GnnrecError, match=told):
        run(make(folder, tmp_path / "runs", **changes))
    assert list(tmp_path.rglob("DONE")) == []
