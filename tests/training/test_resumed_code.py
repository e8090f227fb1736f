"""A run that goes on with other code says so, in its log and in its manifest."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gnnrec import run as module
from gnnrec.config import RunConfig
from gnnrec.data.native import write_native
from gnnrec.data.planted import planted_dataset

BEGUN, NOW = {"commit": "a", "dirty": False}, {"commit": "b", "dirty": True}


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    folder = write_native(planted_dataset(num_users=40, num_items=30, seed=0), tmp_path / "planted")
    model = {
        "encoder": {"_target_": "gnnrec.encoders.LightGCN"},
        "objective": {"rank": {"term": {"_target_": "gnnrec.objectives.BPR"}}},
    }
    return RunConfig.from_dict(
        {
            "dataset": {"name": str(folder)},
            "model": model,
            "train": {"epochs": 3, "checkpoint_seconds": 0.0},
            "init": {"dim": 8},
            "tracking": {"mode": "disabled", "root": str(tmp_path / "runs")},
        }
    )


@pytest.mark.parametrize("eval_every", [0, 1])
@pytest.mark.parametrize("changed", [True, False])
def test_code_that_changed_since_the_checkpoint_is_told(
    config: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    changed: bool,
    eval_every: int,
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    config = replace(config, train=replace(config.train, eval_every=eval_every))
    monkeypatch.setattr(module, "_code", lambda _: BEGUN)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_evaluate", interrupt)
        with pytest.raises(KeyboardInterrupt):
            module.run(config)
    if changed:
        monkeypatch.setattr(module, "_code", lambda _: NOW)
    with caplog.at_level(logging.WARNING):
        path = module.run(config).path
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest.get("git_before") == ([BEGUN] if changed else None)
    assert ("goes on with other code" in caplog.text) == changed
