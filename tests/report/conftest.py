from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gnnrec.report.frame import FinishedRun
from gnnrec.tracking import RunDir

GROUPS = {
    "head": {"definition": "head: top 20%", "thresholds": {"rule": "quantile"}, "num_items": 2},
    "tail": {"definition": "head: top 20%", "thresholds": {"rule": "quantile"}, "num_items": 5},
    "user_q1": {"definition": "quarters", "thresholds": {}, "num_users": 3},
}
for _facts in GROUPS.values():
    _facts |= {"num_interactions": 1200, "num_evaluated_users": 4}

MakeRun = Callable[..., FinishedRun]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write a small finished run directory."""

    def make(
        key: str,
        metrics: Mapping[str, Any],
        per_user: Mapping[str, np.ndarray] | None = None,
        protocol: str = "honest",
        config: Mapping[str, Any] | None = None,
        split: str = "split-fingerprint",
        groups: Mapping[str, Any] = GROUPS,
        refit: bool = False,
        text: str | None = "text-fingerprint",
    ) -> FinishedRun:
        with RunDir(tmp_path / "runs", key) as run_dir:
            run_dir.write_config(config or {"model": {"name": key}, "seed": 0})
            prints = {"data": "data-fingerprint", "split": split, "text": text}
            run_dir.write_manifest({"device": "cpu", "fingerprints": prints})
            run_dir.write_per_user(per_user or {"users": np.arange(3)})
            result = {"key": key, "protocol": protocol, "refit": refit, "metrics": metrics, "groups": groups}
            run_dir.write_result(result)
            run_dir.finish()
        return FinishedRun(run_dir.path)

    return make
