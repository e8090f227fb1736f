"""Every way of using text with several encoders, self-supervision and every control, where the answer is known."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from gnnrec.config import RunConfig
from gnnrec.run import validate

WAYS: dict[str, dict[str, Any]] = {
    "concat": {"mode": "id_text", "combine": "concat"},
    "gate": {"mode": "id_text", "combine": "gate"},
    "residual": {"mode": "id_text", "combine": "residual"},
    "experts": {"mode": "text", "experts": 4},
    "experts and ids": {"mode": "id_text", "experts": 4, "id_dropout": 0.2},
    "alpharec": {"mode": "text", "users": "profile", "hidden": 32, "shared": True},
    "llminit": {"mode": "text_init", "start": "variance", "users": "profile_init", "neighbours": 5},
    "full": {"mode": "text_init", "start": "full", "neighbours": 5},
    "profile start": {"mode": "text", "users": "profile_init"},
}
ENCODERS = ("LightGCN", "GraphSAGE", "NGCF")
RANK = {"term": {"_target_": "gnnrec.objectives.Softmax", "negatives": "all"}}
VIEWS = [
    {"_target_": "gnnrec.views.EdgeDropout", "p": 0.1},
    {"_target_": "gnnrec.views.FeatureMasking", "p": 0.1},
]
SSL = {"weight": 0.02, "term": {"_target_": "gnnrec.objectives.Contrast", "first": VIEWS}}
CHANCE = 5 / 18  # recall@5 among cold items: 30% of 60 items are cold, and all of them are candidates
COLD_ONLY, WARM_ONLY = "validation/cold_only/recall@5", "validation/warm_only/recall@5"


@lru_cache(maxsize=64)
def measure(
    planted_folder: Path, encoder: str, way: str, control: str = "none", ssl: bool = True
) -> dict[str, float]:
    objective = {"rank": RANK, "ssl": SSL} if ssl else {"rank": RANK}
    values = {
        "dataset": {"name": str(planted_folder)},
        "split": {"name": "cold_item", "params": {"cold": 0.3}},
        "text": {"model": "hash", "control": control},
        "init": {"dim": 16, **WAYS[way]},
        "model": {"encoder": {"_target_": f"gnnrec.encoders.{encoder}"}, "objective": objective},
        "train": {"epochs": 8, "batch_size": 256, "lr": 0.02, "select": "ndcg@10", "eval_every": 8},
        "eval": {"ks": [5, 10], "metrics": ["recall", "ndcg"]},
    }
    return validate(RunConfig.from_dict(values))


@pytest.mark.parametrize(("encoder", "way"), product(ENCODERS, WAYS))
def test_seen_and_unseen_items_are_found(planted_folder: Path, encoder: str, way: str) -> None:
    found = measure(planted_folder, encoder, way)
    assert found[COLD_ONLY] > CHANCE + 0.3
    assert found[WARM_ONLY] > 0.25  # 42 seen items: chance is 5/42


@pytest.mark.parametrize("way", WAYS)
def test_words_alone_do_as_well_where_the_words_are_the_answer(planted_folder: Path, way: str) -> None:
    assert measure(planted_folder, "LightGCN", way, "bag_of_words")[COLD_ONLY] > CHANCE + 0.3


@pytest.mark.parametrize(("way", "control"), product(WAYS, ("shuffled", "gaussian")))
def test_without_meaning_unseen_items_are_not_found(planted_folder: Path, way: str, control: str) -> None:
    assert measure(planted_folder, "LightGCN", way, control)[COLD_ONLY] < CHANCE + 0.2
