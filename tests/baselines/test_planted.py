"""Every baseline on planted blocks: beats popularity, is deterministic, and reaches cold items only through text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from gnnrec.baselines import (
    EASE,
    GFCF,
    IALS,
    SLIM,
    SVDAE,
    ContentKNN,
    Fusion,
    ItemKNN,
    NormalizedSVD,
    Popularity,
    RP3Beta,
    TextEASE,
    TextRidge,
    UserKNN,
)
from gnnrec.data.dataset import Dataset
from gnnrec.data.groups import item_groups, user_groups
from gnnrec.data.interactions import Interactions
from gnnrec.data.splits import Split, make_split
from gnnrec.evaluation.evaluate import evaluate
from gnnrec.evaluation.task import test_task as final_task
from tests.baselines.conftest import block_vectors

WITHOUT_TEXT = {
    "item kNN": ItemKNN(20),
    "user kNN": UserKNN(20),
    "RP3beta": RP3Beta(20),
    "SLIM": SLIM(0.1, 5.0, 30),
    "EASE items": EASE(20.0, "item"),
    "EASE users": EASE(20.0, "user"),
    "iALS": IALS(4, 0.2, 0.05, epochs=8),
    "SVD": NormalizedSVD(3),
    "GF-CF": GFCF(3),
    "SVD-AE": SVDAE(3),
    "fusion": Fusion({"ease": EASE(20.0), "gfcf": GFCF(3)}, {"ease": 1.0, "gfcf": 0.5}),
}
WITH_TEXT = {
    "content kNN": ContentKNN(20),
    "EASE + text": TextEASE(10.0, 10.0, 1.0),
    "text ridge": TextRidge(3),
}
MODELS = WITHOUT_TEXT | WITH_TEXT


def fitted(name: str, dataset: Dataset, split: Split) -> Any:
    vectors = block_vectors(dataset) if name in WITH_TEXT else None
    return MODELS[name].fit(split.train, item_vectors=vectors)


def metrics(model: Any, split: Split) -> dict[str, float]:
    items, users = item_groups(split.train), user_groups(split.train)
    return evaluate(model, final_task(split, items, users), ks=(10,)).metrics()


@pytest.mark.parametrize("name", [name for name in MODELS if name != "iALS"])
def test_a_user_without_history_gets_one_score_for_every_item(
    history: Interactions, vectors: np.ndarray, name: str
) -> None:
    """Which a fusion then leaves out; rounding noise it would blow up to full weight."""
    scores = MODELS[name].fit(history, vectors).scores(torch.tensor([24]))
    assert torch.equal(scores, scores[:, :1].expand_as(scores))


@pytest.mark.parametrize("name", ["popularity", "centred kNN", *MODELS])
def test_a_pair_counts_once_however_often_it_is_there(
    history: Interactions, vectors: np.ndarray, name: str
) -> None:
    model = {"popularity": Popularity(), "centred kNN": ItemKNN(5, center=True), **MODELS}[name]
    twice = np.repeat(np.arange(len(history)), 1 + np.arange(len(history)) % 3)
    repeated = Interactions(history.user[twice], history.item[twice], 25, 18, unique=False)
    user = torch.arange(25)
    once = model.fit(history, vectors).scores(user).clone()
    torch.testing.assert_close(model.fit(repeated, vectors).scores(user), once)


@pytest.mark.parametrize("name", MODELS)
def test_beats_popularity(planted: Dataset, name: str) -> None:
    split = make_split(planted, "random", 0)
    popular = metrics(Popularity().fit(split.train), split)
    model = fitted(name, planted, split)
    assert metrics(model, split)["test/recall@10"] > 1.5 * popular["test/recall@10"]


@pytest.mark.parametrize("name", MODELS)
def test_scores_have_one_face(planted: Dataset, name: str) -> None:
    split = make_split(planted, "random", 0)
    model = fitted(name, planted, split)
    assert isinstance(model.name, str)
    user = torch.tensor([5, 0, 119, 5])
    scores = model.scores(user)
    assert scores.dtype == torch.float32
    assert scores.shape == (4, planted.interactions.num_items)
    assert torch.isfinite(scores).all()
    torch.testing.assert_close(scores[0], scores[3])
    if hasattr(model, "user_emb") or hasattr(model, "item_emb"):
        torch.testing.assert_close(model.user_emb[user] @ model.item_emb.T, scores)
    assert torch.equal(fitted(name, planted, split).scores(user), scores), "two fits must agree"


@pytest.mark.parametrize("name", MODELS)
def test_cold_items_are_reached_by_text_alone(planted: Dataset, name: str) -> None:
    split = make_split(planted, "cold_item", 0)
    cold = split.train.item_counts() == 0
    scores = fitted(name, planted, split).scores(torch.arange(120)).numpy()
    if name not in WITH_TEXT:
        assert np.ptp(scores[:, cold], axis=1).max() == pytest.approx(0, abs=1e-6)
        return
    user_block = planted.users["block"].to_numpy()
    item_block = planted.items["block"].to_numpy()[cold]
    own = user_block[:, None] == item_block
    assert scores[:, cold][own].mean() > scores[:, cold][~own].mean()
    assert metrics(fitted(name, planted, split), split)["test/cold_only/recall@10"] > 0.5


@pytest.mark.parametrize("name", MODELS)
def test_users_without_history_break_nothing(planted: Dataset, name: str) -> None:
    train = planted.interactions
    kept = train.select((train.user != 3) & (train.item != 7))
    vectors = block_vectors(planted) if name in WITH_TEXT else None
    scores = MODELS[name].fit(kept, item_vectors=vectors).scores(torch.tensor([3, 4]))
    assert torch.isfinite(scores).all()
