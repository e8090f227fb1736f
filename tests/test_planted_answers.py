"""Planted data, where the right answer is known: every model finds it, and text finds items that nobody touched."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from gnnrec import encoders
from gnnrec.config import RunConfig
from gnnrec.features import MODES
from gnnrec.run import validate

ENCODERS = [name for name in encoders.__all__ if name != "States"]
AUGMENTATIONS = [
    {"_target_": "gnnrec.views.EdgeDropout", "p": 0.1},
    {"_target_": "gnnrec.views.FeatureMasking", "p": 0.1},
]
RANK = {"term": {"_target_": "gnnrec.objectives.Softmax", "negatives": "all"}}
SSL = {"weight": 0.02, "term": {"_target_": "gnnrec.objectives.Contrast", "first": AUGMENTATIONS}}
COLD = {"name": "cold_item", "params": {"cold": 0.3}}
CHANCE = 5 / 18  # recall@5 among cold items: 30% of 60 items are cold, and all of them are candidates
COLD_ONLY, WARM_ONLY = "validation/cold_only/recall@5", "validation/warm_only/recall@5"


def measure(
    planted_folder: Path,
    encoder: str | None,
    ssl: bool = False,
    split: dict[str, Any] | None = None,
    **init: Any,
) -> dict[str, float]:
    """Train an encoder (None: count popularity) and return its validation metrics."""
    model: dict[str, Any] = {"name": "popularity", "baseline": {"_target_": "gnnrec.baselines.Popularity"}}
    if encoder is not None:
        objective = {"rank": RANK, "ssl": SSL} if ssl else {"rank": RANK}
        model = {"encoder": {"_target_": f"gnnrec.encoders.{encoder}"}, "objective": objective}
        model["needs_text"] = encoder == "TextGraph"
    values = {
        "dataset": {"name": str(planted_folder)},
        "split": split or {},
        "text": {"model": "hash"},
        "init": {"dim": 16, **init},
        "model": model,
        "train": {"epochs": 8, "batch_size": 256, "lr": 0.02, "select": "ndcg@10", "eval_every": 4},
        "eval": {"ks": [5, 10], "metrics": ["recall", "ndcg"]},
    }
    return validate(RunConfig.from_dict(values))


@pytest.fixture(scope="module")
def popularity(planted_folder: Path) -> float:
    return measure(planted_folder, None)["validation/ndcg@10"]


@pytest.mark.parametrize(("encoder", "mode", "ssl"), product(ENCODERS, MODES, (False, True)))
def test_every_encoder_init_and_objective_beats_popularity(
    planted_folder: Path, popularity: float, encoder: str, mode: str, ssl: bool
) -> None:
    assert popularity < 0.2
    users = "spectral" if mode == "spectral" else "id"
    assert (
        measure(planted_folder, encoder, ssl, mode=mode, users=users)["validation/ndcg@10"] > popularity + 0.2
    )


@pytest.fixture(scope="module")
def id_only(planted_folder: Path) -> dict[str, float]:
    """The metrics of a model that knows ids only, on a split with cold items."""
    return measure(planted_folder, "LightGCN", split=COLD)


@pytest.mark.parametrize(("encoder", "mode"), product(ENCODERS, ("text", "id_text")))
def test_text_finds_cold_items(
    planted_folder: Path, id_only: dict[str, float], encoder: str, mode: str
) -> None:
    found = measure(planted_folder, encoder, split=COLD, mode=mode)[COLD_ONLY]
    assert id_only[COLD_ONLY] < CHANCE + 0.15
    assert found > CHANCE + 0.3
    assert found > id_only[COLD_ONLY] + 0.25


def test_neighbours_in_text_find_cold_items_for_an_id_model(
    planted_folder: Path, id_only: dict[str, float]
) -> None:
    found = measure(planted_folder, "LightGCN", split=COLD, neighbours=5)
    assert found[COLD_ONLY] > id_only[COLD_ONLY] + 0.25
    assert found[WARM_ONLY] == id_only[WARM_ONLY]
