"""Every augmentation, as a contrast beside the ranking, and every variant of an encoder finds planted blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gnnrec.config import RunConfig
from gnnrec.run import validate

VIEWS: list[dict[str, Any]] = [
    {"_target_": "SVDView", "rank": 5},
    {"_target_": "TextEdges", "k": 3, "p": 0.5},
    {"_target_": "ImportanceMasking", "p": 0.3},
    {"_target_": "FeatureMasking", "p": 0.3, "mode": "rows"},
    {"_target_": "FeatureMasking", "p": 0.3, "mode": "elements"},
    {"_target_": "DegreeEdgeDropout", "p": 0.3, "drop": "tail", "ends": "both"},
    {"_target_": "DegreeEdgeDropout", "p": 0.3, "drop": "head"},
    {"_target_": "RandomWalk", "p": 0.3},
    {"_target_": "LayerNoise", "magnitude": 0.1},
]
VARIANTS: list[dict[str, Any]] = [
    {"_target_": "GraphSAGE", "aggregator": "max"},
    {"_target_": "GraphSAGE", "aggregator": "attention"},
    {"_target_": "TextGraph", "encoder": {"_target_": "gnnrec.encoders.GraphSAGE"}},
    {"_target_": "GraphMAE", "encoder": {"_target_": "gnnrec.encoders.GAT"}},
]
RANK = {"term": {"_target_": "gnnrec.objectives.Softmax", "negatives": "all"}}


def measure(planted_folder: Path, model: dict[str, Any], **init: Any) -> dict[str, float]:
    cold = {"split": {"name": "cold_item", "params": {"cold": 0.3}}} if init else {}
    values = {
        "dataset": {"name": str(planted_folder)},
        "text": {"model": "hash"},
        "init": {"dim": 16, **init},
        "model": {"needs_text": "encoder" in model, **model},
        "train": {"epochs": 8, "batch_size": 256, "lr": 0.02, "select": "ndcg@10", "eval_every": 4},
        "eval": {"ks": [5, 10], "metrics": ["recall", "ndcg"]},
        **cold,
    }
    return validate(RunConfig.from_dict(values))


@pytest.fixture(scope="module")
def popularity(planted_folder: Path) -> float:
    return measure(planted_folder, {"baseline": {"_target_": "gnnrec.baselines.Popularity"}})[
        "validation/ndcg@10"
    ]


def named(part: dict[str, Any]) -> str:
    return " ".join(str(v) for v in part.values() if not isinstance(v, dict))


@pytest.mark.parametrize("view", VIEWS, ids=named)
@pytest.mark.parametrize("encoder", ["LightGCN", "GraphSAGE"])
def test_every_view_beats_popularity(
    planted_folder: Path, popularity: float, encoder: str, view: dict[str, Any]
) -> None:
    augmentation = view | {"_target_": f"gnnrec.views.{view['_target_']}"}
    contrast = {"_target_": "gnnrec.objectives.Contrast", "first": [], "second": [augmentation]}
    objective = {"rank": RANK, "contrast": {"weight": 0.02, "term": contrast}}
    model = {"encoder": {"_target_": f"gnnrec.encoders.{encoder}"}, "objective": objective}
    assert measure(planted_folder, model)["validation/ndcg@10"] > popularity + 0.2


@pytest.mark.parametrize("variant", VARIANTS, ids=named)
def test_every_variant_of_an_encoder_beats_popularity_and_finds_cold_items(
    planted_folder: Path, popularity: float, variant: dict[str, Any]
) -> None:
    encoder = variant | {"_target_": f"gnnrec.encoders.{variant['_target_']}"}
    objective: dict[str, Any] = {"rank": RANK}
    if variant["_target_"] == "GraphMAE":
        objective["restore"] = {"weight": 0.1, "term": {"_target_": "gnnrec.objectives.MaskedReconstruction"}}
    model = {"encoder": encoder, "objective": objective}
    assert measure(planted_folder, model)["validation/ndcg@10"] > popularity + 0.2
    assert measure(planted_folder, model, mode="text")["validation/cold_only/recall@5"] > 5 / 18 + 0.3


def test_text_neighbours_score_cold_items_of_an_id_model(planted_folder: Path) -> None:
    def cold(encoder: str) -> float:
        model = {"encoder": {"_target_": f"gnnrec.encoders.{encoder}"}, "objective": {"rank": RANK}}
        return measure(planted_folder, model, mode="id")["validation/cold_only/recall@5"]

    assert cold("TextGraph") > cold("LightGCN") + 0.25
