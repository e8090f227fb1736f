"""Configurations of whole runs on planted data, and what is read from them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

import gnnrec.run as module
from gnnrec.config import RunConfig
from gnnrec.run import RunResult
from gnnrec.training import History

SSL: dict[str, Any] = {
    "weight": 0.02,
    "term": {
        "_target_": "gnnrec.objectives.Contrast",
        "first": [
            {"_target_": "gnnrec.views.EdgeDropout", "p": 0.1},
            {"_target_": "gnnrec.views.FeatureMasking", "p": 0.1},
        ],
    },
}
RANK = {"term": {"_target_": "gnnrec.objectives.Softmax", "negatives": "all"}}
POPULARITY = {"name": "popularity", "baseline": {"_target_": "gnnrec.baselines.Popularity"}}
BASE: dict[str, Any] = {
    "text": {"model": "hash"},
    "init": {"mode": "id", "dim": 16},
    "model": {
        "name": "LightGCN",
        "encoder": {"_target_": "gnnrec.encoders.LightGCN"},
        "objective": {"rank": RANK},
    },
    "train": {"epochs": 8, "batch_size": 256, "lr": 0.02, "select": "ndcg@10", "eval_every": 4},
    "eval": {"ks": [5, 10], "metrics": ["recall", "ndcg"], "num_user_groups": 2},
    "tracking": {"mode": "disabled"},
}
FULL: dict[str, Any] = {  # changes that make everything take part: text, profiles, self-supervision
    "init__mode": "id_text",
    "init__users": "id_profile",
    "model__objective": {"rank": RANK, "ssl": SSL},
}


def make(folder: Path, root: Path | None = None, **changes: Any) -> RunConfig:
    """BASE on the data of `folder`, with changes given by dotted path (`__` for the dot)."""
    values = copy.deepcopy(BASE)
    values["dataset"] = {"name": str(folder)}
    values["tracking"]["root"] = str(root or folder.parent / "runs")
    for path, value in changes.items():
        *parts, name = path.split("__")
        node = values
        for part in parts:
            node = node.setdefault(part, {})
        node[name] = value
    return RunConfig.from_dict(values)


def make_full_at(config: RunConfig, root: Path, **changes: Any) -> RunConfig:
    """The same configuration in another place."""
    values = config.to_dict()
    values["tracking"]["root"] = str(root)
    for path, value in changes.items():
        group, _, name = path.partition("__")
        (values[group] if name else values)[name or group] = value
    return RunConfig.from_dict(values)


def read(result: RunResult, name: str) -> Any:
    text = (result.path / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)


def rows_of(result: RunResult) -> list[dict[str, float]]:
    rows = read(result, "metrics.jsonl")
    return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows]


class Calls:
    """Notes on which part each evaluation looked at, and what each fit was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.splits: list[str] = []
        self.fits: list[tuple[int, int, bool]] = []
        real_evaluate, real_fit = module.evaluate, module.fit

        def evaluate(scorer: Any, task: Any, *rest: Any, **more: Any) -> Any:
            self.splits.append(task.split)
            return real_evaluate(scorer, task, *rest, **more)

        def fit(model: Any, objective: Any, config: Any, validate: Any, *rest: Any, **more: Any) -> History:
            epochs = more.get("last_epoch") or config.epochs
            self.fits.append((model.graph.num_edges, epochs, validate is not None))
            return real_fit(model, objective, config, validate, *rest, **more)

        monkeypatch.setattr(module, "evaluate", evaluate)
        monkeypatch.setattr(module, "fit", fit)
