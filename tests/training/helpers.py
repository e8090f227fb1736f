"""Training the tiny model of a test, and what two trainings are compared by."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gnnrec.model import Recommender
from gnnrec.training import History, TrainConfig, fit

CONFIG = TrainConfig(epochs=6, batch_size=128, lr=0.02, select="ndcg@10", patience=3, checkpoint_seconds=0.0)


def weights(model: Recommender) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def without_seconds(history: History) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in history.rows]


def train(
    setting: Any, config: TrainConfig = CONFIG, seed: int = 0, **more: Any
) -> tuple[Recommender, History]:
    model = setting.model()
    return model, fit(model, setting.objective, config, setting.validate, seed, **more)
