from __future__ import annotations

import numpy as np
import pytest
import torch

from gnnrec.evaluation import ranking
from gnnrec.evaluation.prefilter import Prefilter
from gnnrec.evaluation.ranking import rank
from gnnrec.evaluation.scorers import EmbeddingScorer

from .cases import make_task

NUM_USERS, NUM_ITEMS, DIM = 40, 900, 16
CASES = ["normal", "common direction", "popular", "twins", "near twins", "tiny", "huge", "whole", "zero"]
CASES += ["below zero", "few above zero", "above and below"]


def embeddings(case: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of a kind that could deceive a rounded product."""
    generator = torch.Generator().manual_seed(CASES.index(case))
    user = torch.randn(NUM_USERS, DIM, generator=generator)
    item = torch.randn(NUM_ITEMS, DIM, generator=generator)
    if case == "common direction":  # scores differ by far less than their size
        user, item = user * 1e-3 + 1, item * 1e-3 + 1
    elif case == "popular":
        item *= torch.logspace(0, 3, NUM_ITEMS).unsqueeze(1)
    elif case == "twins":
        item[1::2] = item[::2]
    elif case == "near twins":
        item[1::2] = item[::2] * (1 + 1e-6)
    elif case == "tiny":
        user, item = user * 1e-21, item * 1e-3
    elif case == "huge":
        user, item = user * 1e17, item * 1e17
    elif case == "whole":
        user, item = user.round(), item.round()
    elif case == "zero":
        item *= 0
    elif case == "below zero":
        user, item = user.abs(), -item.abs()
    elif case == "few above zero":
        user, item = user.abs(), -item.abs()
        item[::100] *= -1
    elif case == "above and below":  # from user to user
        user, item = user.abs() * torch.tensor([1.0, -1.0]).repeat(NUM_USERS // 2).unsqueeze(1), -item.abs()
    return user, item


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("num_cold", [0, 200])
def test_the_lists_are_exact(case: str, num_cold: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every item in a list scores at least as much as every candidate left out, in exact arithmetic."""
    monkeypatch.setattr(ranking, "supported", lambda device: True)
    user, item = embeddings(case)
    task = make_task(NUM_USERS, NUM_ITEMS, 0.05, num_cold)
    users = np.unique(task.relevant.user)
    candidates = ("joint", "warm_only", "cold_only") if num_cold else ("joint",)
    result = rank(EmbeddingScorer(user, item), task, users, (5, 20), candidates)
    exact = user.double().numpy() @ item.double().numpy().T
    size = np.abs(user.double().numpy()) @ np.abs(item.double().numpy()).T
    slack = size * (DIM * 2.0**-23) + 1e-44  # rounding of a float32 sum
    masked = task.masked.toarray() > 0
    cold = task.cold()
    allowed = {"joint": np.ones_like(cold), "warm_only": ~cold, "cold_only": cold}
    for name in candidates:
        for place, who in enumerate(users):
            shown = result.items[name][place]
            assert len(set(shown.tolist())) == 20
            assert allowed[name][shown].all()
            assert not masked[who, shown].any()
            others = np.setdiff1d(np.flatnonzero(allowed[name] & ~masked[who]), shown)
            worst = (exact[who, shown] + slack[who, shown]).min()
            assert (exact[who, others] - slack[who, others] <= worst).all()
            steps = np.diff(exact[who, shown])
            assert (steps <= slack[who, shown][:-1] + slack[who, shown][1:]).all()


@pytest.mark.parametrize("case", ["whole", "zero"])
def test_ties_are_broken_as_without_it(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that both ways compute exactly give the same lists and the same number of ties."""
    task = make_task(NUM_USERS, NUM_ITEMS, 0.05, 100)
    users = np.unique(task.relevant.user)
    results = []
    for use in (True, False):
        monkeypatch.setattr(ranking, "supported", lambda device, use=use: use)
        results.append(rank(EmbeddingScorer(*embeddings(case)), task, users, (5, 20), seed=3))
    assert results[0].ties == results[1].ties
    assert sum(results[0].ties.values()) > 0
    np.testing.assert_array_equal(results[0].items["joint"], results[1].items["joint"])


def test_most_users_are_decided_without_a_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "supported", lambda device: True)
    shares: list[float] = []
    lists = Prefilter.lists

    def watched(self: Prefilter, *arguments: object) -> object:
        result = lists(self, *arguments)  # pyright: ignore[reportArgumentType]
        shares.append(float(result[1].float().mean()))
        return result

    monkeypatch.setattr(Prefilter, "lists", watched)
    task = make_task(NUM_USERS, NUM_ITEMS, 0.05, 0)
    rank(EmbeddingScorer(*embeddings("normal")), task, np.arange(NUM_USERS), (20,))
    assert np.mean(shares) > 0.8


def test_hopeless_embeddings_are_ranked_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the bound cannot tell items apart, the prefilter widens and gives up; lists stay right."""
    monkeypatch.setattr(ranking, "supported", lambda device: True)
    task = make_task(200, NUM_ITEMS, 0.05, 0)
    item = torch.ones(NUM_ITEMS, DIM)
    item[:, 0] += torch.arange(NUM_ITEMS) * 2.0**-18
    known = task.masked.toarray() > 0
    result = rank(
        EmbeddingScorer(torch.ones(200, DIM), item), task, np.arange(200), (5,), memory=5 * NUM_ITEMS
    )
    for user in range(200):
        expected = [i for i in range(NUM_ITEMS - 1, -1, -1) if not known[user, i]][:5]
        assert result.items["joint"][user].tolist() == expected
