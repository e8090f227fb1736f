"""A tiny model on planted data, and how it is trained and validated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from gnnrec.data.groups import item_groups, user_groups
from gnnrec.data.planted import planted_dataset
from gnnrec.data.splits import make_split
from gnnrec.encoders import GraphSAGE, LightGCN
from gnnrec.evaluation.evaluate import evaluate
from gnnrec.evaluation.task import Task, validation_task
from gnnrec.features import IdTable, InitConfig, NodeFeatures, make_features
from gnnrec.graph import BipartiteGraph
from gnnrec.model import Recommender
from gnnrec.objectives import L2, Contrast, Objective, Softmax, Weighted
from gnnrec.text.hashing import hash_texts
from gnnrec.views import EdgeDropout, FeatureMasking, NodeDropout


@dataclass(frozen=True)
class Setting:
    """Everything `fit` is given but its configuration; `model()` gives the same untrained model each time."""

    model: Callable[[], Recommender]
    objective: Objective
    validate: Callable[[Recommender], dict[str, float]]


@pytest.fixture(scope="session")
def setting() -> Setting:
    """A model that draws from every source of randomness: views, negatives, layer dropout, id dropout."""
    dataset = planted_dataset(num_users=60, num_items=45, seed=1)
    split = make_split(dataset, "random", 0)
    groups = item_groups(split.train), user_groups(split.train)
    task: Task = validation_task(split, *groups)
    vectors = hash_texts(dataset.items["text"].tolist(), 64)

    def model() -> Recommender:
        torch.manual_seed(0)
        init = InitConfig(mode="id_text", dim=8, id_dropout=0.3)
        features = make_features(init, split.train, vectors)
        encoder = GraphSAGE(8, 2, dropout=0.2)
        graph = BipartiteGraph.from_interactions(split.train)
        return Recommender(features, encoder, graph, [NodeDropout(0.1, "items")])

    def validate(recommender: Recommender) -> dict[str, float]:
        return evaluate(recommender, task, (10,), metrics=("ndcg", "recall"), groups=False).metrics()

    contrast = Contrast([EdgeDropout(0.2), FeatureMasking(0.2)])
    terms = {
        "rank": Weighted(Softmax(num_negatives=20)),
        "ssl": Weighted(contrast, 0.1),
        "l2": Weighted(L2(), 1e-3),
    }
    return Setting(model, Objective(terms), validate)


@pytest.fixture(scope="session")
def plain_model() -> Callable[[], Recommender]:
    """A LightGCN over ids on three pairs, for tests of the loop itself."""

    def model() -> Recommender:
        torch.manual_seed(0)
        graph = BipartiteGraph.from_edges(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]), 3, 3)
        return Recommender(NodeFeatures(IdTable(3, 4, 0.1), IdTable(3, 4, 0.1), 4), LightGCN(4, 1), graph)

    return model
