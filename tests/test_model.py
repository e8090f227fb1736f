"""Recommender: scores, kept embeddings, recommendations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gnnrec.data.interactions import Interactions
from gnnrec.encoders import GraphSAGE, LightGCN
from gnnrec.errors import ConfigError
from gnnrec.features import InitConfig, TextNeighbours, make_features
from gnnrec.graph import BipartiteGraph
from gnnrec.model import Recommender

NUM_USERS, NUM_ITEMS = 8, 12


def make(score: str = "dot", encoder: torch.nn.Module | None = None, **more: object) -> Recommender:
    keys = np.random.default_rng(0).permutation(NUM_USERS * (NUM_ITEMS - 1))[:30]
    train = Interactions(keys // (NUM_ITEMS - 1), keys % (NUM_ITEMS - 1), NUM_USERS, NUM_ITEMS)
    torch.manual_seed(0)
    return Recommender(
        make_features(InitConfig(dim=6, std=1.0), train),
        encoder or LightGCN(6, 2),
        BipartiteGraph.from_interactions(train),
        score=score,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("score", ["dot", "cosine"])
def test_scores_are_products_of_the_encoded_rows(score: str) -> None:
    model = make(score)
    users, items = model.graph.split(model.encoder(model.view()).final.detach())
    if score == "cosine":
        users, items = F.normalize(users, dim=1), F.normalize(items, dim=1)
    user = torch.tensor([3, 0, 3])
    torch.testing.assert_close(model.scores(user), users[user] @ items.T)
    assert model.scores(user).dtype == torch.float32
    torch.testing.assert_close(model.user_emb, users)
    torch.testing.assert_close(model.item_emb, items)
    assert not model.item_emb.requires_grad


def test_embeddings_are_kept_until_refresh() -> None:
    model = make()
    calls = []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    before = model.scores(torch.arange(3))
    model.scores(torch.arange(3))
    assert len(calls) == 1
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    assert torch.equal(model.scores(torch.arange(3)), before)
    model.refresh()
    torch.testing.assert_close(model.scores(torch.arange(3)), 4 * before)


def test_scoring_is_in_evaluation_mode_and_leaves_the_mode_alone() -> None:
    torch.manual_seed(0)
    model = make(encoder=GraphSAGE(6, dropout=0.5))
    model.train()
    first = model.user_emb
    assert model.training
    assert model.encoder.training
    model.refresh()
    assert torch.equal(model.user_emb, first)
    model.eval()
    model.refresh()
    assert torch.equal(model.user_emb, first)
    assert not model.training


def test_recommend_is_the_sorted_list_without_train_items() -> None:
    model = make()
    user = torch.tensor([2, 5])
    item, best = model.recommend(user, k=5)
    scores = model.scores(user)
    start, length = model.graph.user_range(user)
    for row in range(2):
        seen = model.graph.structure.item[start[row] : start[row] + length[row]].tolist()
        assert seen
        order = [i for i in scores[row].argsort(descending=True).tolist() if i not in seen]
        assert item[row].tolist() == order[:5]
        torch.testing.assert_close(best[row], scores[row][item[row]])
    every, _ = model.recommend(user, k=NUM_ITEMS, exclude_seen=False)
    assert every.sort(dim=1).values.tolist() == [list(range(NUM_ITEMS))] * 2


@pytest.mark.parametrize("user", [[0, -1], [NUM_USERS]])
def test_users_that_are_none_are_told(user: list[int]) -> None:
    with pytest.raises(
        ConfigError, match=rf"'user' must hold indices in \[0, {NUM_USERS - 1}\] in 'recommend'"
    ):
        make().recommend(torch.tensor(user), k=2)


def test_recommend_does_not_touch_the_kept_embeddings() -> None:
    model = make()
    before = model.scores(torch.arange(NUM_USERS)).clone()
    model.recommend(torch.arange(NUM_USERS), k=3)
    assert torch.equal(model.scores(torch.arange(NUM_USERS)), before)


def test_a_place_that_cannot_be_filled_holds_minus_one() -> None:
    model = make()
    user = torch.arange(NUM_USERS)
    item, best = model.recommend(user, k=NUM_ITEMS)
    _, length = model.graph.user_range(user)
    assert ((item >= 0).sum(1) == NUM_ITEMS - length).all()
    assert bool((best[item < 0] == float("-inf")).all())
    assert torch.isfinite(best[item >= 0]).all()


def test_unseen_items_are_filled_in_before_scores_become_cosines() -> None:
    vectors = np.random.default_rng(1).normal(size=(NUM_ITEMS, 5)).astype(np.float32)
    seen = np.arange(NUM_ITEMS) < NUM_ITEMS - 1
    fill = TextNeighbours(vectors, seen, 3, 0.5)
    plain, filled = make(), make(unseen=fill)
    torch.testing.assert_close(filled.item_emb, fill.fill(plain.item_emb))
    torch.testing.assert_close(filled.item_emb[:-1], plain.item_emb[:-1])
    assert not torch.allclose(filled.item_emb[-1], plain.item_emb[-1])
    cosine = make("cosine", unseen=fill)
    torch.testing.assert_close(cosine.item_emb, F.normalize(filled.item_emb, dim=1))


def test_wrong_arguments_are_told() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cosine'"):
        make("cosin")
    for k in (0, NUM_ITEMS + 1):
        with pytest.raises(ConfigError, match=rf"'k' must be in \[1, 12\] in 'recommend' \(got {k}\)"):
            make().recommend(torch.tensor([0]), k=k)
