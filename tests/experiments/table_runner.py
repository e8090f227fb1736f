"""A stand-in for the runs of a table."""

from __future__ import annotations

import hashlib

import numpy as np

from gnnrec.config import RunConfig
from gnnrec.run import RunResult
from gnnrec.tracking import RunDir

METRICS = [
    "recall@20", "ndcg@20", "head/recall@20", "mid/recall@20", "tail/recall@20", "cold/recall@20",
    "cold_only/recall@20", "warm_only/recall@20", "warm/recall@20", "user_q1/recall@20", "coverage@20",
]  # fmt: skip
GROUPS = {
    name: {
        "definition": "thirds",
        "thresholds": {},
        "num_items": 3,
        "num_interactions": 9,
        "num_evaluated_users": 5,
    }
    for name in ("head", "mid", "tail", "cold")
}


def make_run_dir(config: RunConfig) -> RunDir:
    return RunDir(config.tracking.root, config.key("data"))


class Runner:
    """In the place of gnnrec.run.run: writes a small run directory and counts what it was asked for."""

    def __init__(self) -> None:
        self.configs: list[RunConfig] = []
        self.fail_at = -1

    def __call__(self, config: RunConfig, **_: object) -> RunResult:
        if len(self.configs) == self.fail_at:
            raise KeyboardInterrupt
        self.configs.append(config)
        run_dir = make_run_dir(config)
        generator = np.random.default_rng(int(hashlib.sha256(run_dir.key.encode()).hexdigest()[:8], 16))
        metrics = {f"test/{name}": round(float(generator.uniform(0.1, 1)), 6) for name in METRICS}
        users = {f"test/{name}": generator.uniform(size=30) for name in METRICS}
        items = {name: generator.integers(1, 9, 12) for name in ("item_degree", "item_relevant")}
        with run_dir:
            run_dir.write_config(config.to_dict())
            run_dir.write_manifest({"fingerprints": {"data": "d", "split": config.split.name}})
            run_dir.write_per_user(
                {"users": np.arange(30), **users, **items, "item_hits@20": items["item_relevant"] // 2}
            )
            run_dir.write_result(
                {
                    "key": run_dir.key,
                    "protocol": config.protocol,
                    "refit": config.eval.refit,
                    "metrics": metrics,
                    "groups": GROUPS,
                }
            )
            run_dir.finish()
        return RunResult(run_dir.key, run_dir.path, metrics)
