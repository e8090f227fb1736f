from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch_geometric.metrics as pyg
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from gnnrec.errors import DataError
from gnnrec.evaluation import beyond
from gnnrec.evaluation.evaluate import ALL_BEYOND, evaluate
from gnnrec.evaluation.lists import Lists

from .cases import Matrix, make_task

NUM_USERS, NUM_ITEMS = 8, 12


def make_lists(seed: int = 0, length: int = 5, short: bool = False) -> Lists:
    rng = np.random.default_rng(seed)
    top = np.stack([rng.permutation(NUM_ITEMS)[:length] for _ in range(NUM_USERS)]).astype(np.int32)
    if short:
        top[0, 2:] = -1
        top[1] = -1
    relevant = rng.random((NUM_USERS, NUM_ITEMS)) < 0.4
    relevant[:, 0] = True
    profile = rng.random((NUM_USERS, NUM_ITEMS)) < 0.4
    profile[2] = False
    group = rng.integers(0, 3, NUM_ITEMS)
    hits = np.take_along_axis(relevant, np.maximum(top, 0), axis=1) & (top >= 0)
    vectors = rng.normal(size=(NUM_ITEMS, 4)).astype(np.float32)
    vectors[3] = 0
    return Lists(
        top=top,
        hits=hits,
        relevant=sparse.csr_matrix(relevant.astype(np.float32)),
        profile=sparse.csr_matrix(profile.astype(np.float32)),
        counts=rng.integers(0, 6, NUM_ITEMS),
        num_train_users=NUM_USERS,
        groups={name: group == at for at, name in enumerate(("head", "mid", "tail"))},
        item_vectors=vectors,
        item_categories=rng.integers(0, 2, (NUM_ITEMS, 3)).astype(float),
    )


def shown(lists: Lists, k: int) -> list[list[int]]:
    return [[int(item) for item in row[:k] if item >= 0] for row in lists.top]


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def cosine(lists: Lists, a: int, b: int) -> float:
    assert lists.item_vectors is not None
    u, v = lists.item_vectors[a].astype(float), lists.item_vectors[b].astype(float)
    size = np.linalg.norm(u) * np.linalg.norm(v)
    return float(u @ v / size) if size else 0.0


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_per_user_metrics_written_out(k: int, short: bool) -> None:
    lists = make_lists(short=short)
    counts = lists.counts.tolist()
    known = [np.flatnonzero(row).tolist() for row in lists.profile.toarray()]
    wanted = [np.flatnonzero(row).tolist() for row in lists.relevant.toarray()]
    tail = lists.groups["tail"]
    weight = [max(count, 1) ** -0.5 for count in counts]
    expected: dict[str, list[float]] = {name: [] for name in beyond.PER_USER}
    for user, items in enumerate(shown(lists, k)):
        popularity, usual = mean([counts[i] for i in items]), mean([counts[i] for i in known[user]])
        expected["avg_popularity"].append(popularity)
        expected["popularity_lift"].append((popularity - usual) / usual)
        expected["tail_share"].append(mean([float(tail[i]) for i in items]))
        expected["novelty"].append(mean([-math.log2(max(counts[i], 1) / NUM_USERS) for i in items]))
        pairs = [1 - cosine(lists, a, b) for a, b in itertools.permutations(items, 2)]
        expected["ild"].append(mean(pairs))
        expected["unexpectedness"].append(mean([1 - cosine(lists, a, b) for a in items for b in known[user]]))
        found = sum(weight[i] for i in items if i in wanted[user])
        expected["stratified_recall"].append(found / sum(weight[i] for i in wanted[user]))
        expected["miscalibration"].append(divergence(lists, items, known[user]))
    for name, metric in beyond.PER_USER.items():
        np.testing.assert_allclose(metric(lists, k), expected[name], atol=1e-6, err_msg=name)


def divergence(lists: Lists, items: list[int], known: list[int]) -> float:
    assert lists.item_categories is not None
    shares = []
    for chosen in (known, items):
        total = np.zeros(3)
        for item in chosen:
            row = lists.item_categories[item]
            total += row / row.sum() if row.sum() else 0
        if not total.sum():
            return math.nan
        shares.append(total / total.sum())
    p, q = shares
    mixed = 0.99 * q + 0.01 * p
    return sum(a * math.log(a / b) for a, b in zip(p, mixed) if a > 0)


def test_system_metrics_written_out() -> None:
    lists, k = make_lists(), 4
    exposure = [sum(item in row for row in shown(lists, k)) for item in range(NUM_ITEMS)]
    assert beyond.coverage(lists, k) == pytest.approx(sum(e > 0 for e in exposure) / NUM_ITEMS)
    differences = sum(abs(a - b) for a in exposure for b in exposure)
    assert beyond.gini(lists, k) == pytest.approx(differences / (2 * NUM_ITEMS * sum(exposure)))
    shares = [e / sum(exposure) for e in exposure if e]
    assert beyond.entropy(lists, k) == pytest.approx(-sum(s * math.log2(s) for s in shares))
    rows = [set(row) for row in shown(lists, k)]
    common = [1 - len(a & b) / k for a, b in itertools.combinations(rows, 2)]
    assert beyond.personalisation(lists, k) == pytest.approx(mean(common))
    shown_share = beyond.group_exposure(lists, k)
    assert sum(shown_share.values()) == pytest.approx(1)
    assert shown_share["head"] == pytest.approx(lists.groups["head"] @ exposure / sum(exposure))


def test_personalisation_of_short_lists_counts_what_they_hold() -> None:
    lists, k = make_lists(short=True), 5
    pairs = list(itertools.combinations([set(row) for row in shown(lists, k)], 2))
    common, held = sum(len(a & b) for a, b in pairs), sum((len(a) + len(b)) / 2 for a, b in pairs)
    assert beyond.personalisation(lists, k) == pytest.approx(1 - common / held)
    whole = np.tile(np.arange(NUM_ITEMS), (NUM_USERS, 1))
    same = Lists(**{**vars(lists), "top": whole, "hits": np.zeros_like(whole, dtype=bool)})
    assert beyond.personalisation(same, 500) == 0  # everybody is shown every item
    nothing = Lists(**{**vars(same), "top": np.full_like(whole, -1)})
    assert np.isnan(beyond.personalisation(nothing, k))


def test_fairness_over_item_groups_written_out() -> None:
    lists, k = make_lists(), 4
    parity, chance = [], []
    known, wanted = lists.profile.toarray() > 0, lists.relevant.toarray() > 0
    for member in lists.groups.values():
        in_group = [[i for i in row if member[i]] for row in shown(lists, k)]
        parity.append(sum(map(len, in_group)) / (~known[:, member]).sum())
        hits = sum(wanted[u, i] for u, row in enumerate(in_group) for i in row)
        chance.append(hits / wanted[:, member].sum())
    assert beyond.statistical_parity(lists, k) == pytest.approx(np.std(parity) / np.mean(parity))
    assert beyond.equal_opportunity(lists, k) == pytest.approx(np.std(chance) / np.mean(chance))


def test_equals_torch_geometric() -> None:
    lists, k = make_lists(), 4
    top = torch.from_numpy(lists.top).long()
    nothing = torch.empty(2, 0, dtype=torch.long)
    diversity = pyg.LinkPredDiversity(
        k, torch.zeros(NUM_ITEMS, 1)
    )  # needs categories: compared below instead
    assert diversity.k == k
    coverage = pyg.LinkPredCoverage(k, NUM_ITEMS)
    coverage.update(top, nothing)
    assert float(coverage.compute()) == pytest.approx(beyond.coverage(lists, k), abs=1e-6)
    personal = pyg.LinkPredPersonalization(k)
    personal.update(top, nothing)
    assert float(personal.compute()) == pytest.approx(beyond.personalisation(lists, k), abs=1e-6)
    popular = pyg.LinkPredAveragePopularity(k, torch.from_numpy(lists.counts))
    popular.update(top, nothing)
    assert float(popular.compute()) == pytest.approx(beyond.avg_popularity(lists, k).mean(), abs=1e-6)


def test_extremes() -> None:
    lists = make_lists()
    same = Lists(**{**vars(lists), "top": np.tile(lists.top[:1], (NUM_USERS, 1))})
    assert beyond.personalisation(same, 5) == 0
    assert beyond.coverage(same, 5) == 5 / NUM_ITEMS
    assert beyond.entropy(same, 5) == pytest.approx(math.log2(5))
    even = np.arange(NUM_USERS * 3).reshape(NUM_USERS, 3) % NUM_ITEMS
    flat = Lists(**{**vars(lists), "top": even, "hits": np.zeros_like(even, dtype=bool)})
    assert beyond.gini(flat, 3) == pytest.approx(0)
    assert np.isnan(beyond.equal_opportunity(flat, 3))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 5))
def test_bounds(seed: int, k: int) -> None:
    lists = make_lists(seed)
    for name, low, high in (
        ("tail_share", 0, 1),
        ("stratified_recall", 0, 1),
        ("ild", 0, 2),
        ("unexpectedness", 0, 2),
    ):
        values = beyond.PER_USER[name](lists, k)
        values = values[~np.isnan(values)]
        assert ((values >= low - 1e-6) & (values <= high + 1e-6)).all(), name
    assert 0 <= beyond.gini(lists, k) <= 1
    assert (beyond.miscalibration(lists, k)[~np.isnan(beyond.miscalibration(lists, k))] >= -1e-9).all()


def test_everything_through_evaluate() -> None:
    task = make_task(30, 25)
    rng = np.random.default_rng(0)
    result = evaluate(
        Matrix(rng.random((30, 25))),
        task,
        (3, 5),
        beyond=ALL_BEYOND,
        item_vectors=rng.normal(size=(25, 3)),
        item_categories=rng.random((25, 2)),
    )
    numbers = result.metrics()
    for name in (*beyond.PER_USER, *beyond.SYSTEM):
        assert np.isfinite(numbers[f"test/{name}@3"]), name
    assert sum(numbers[f"test/{g}/exposure@5"] for g in ("head", "mid", "tail", "cold")) == pytest.approx(1)
    vectors = evaluate(Matrix(np.ones((30, 25))), task, (3,), item_vectors=np.eye(25))
    assert vectors.metrics()["test/ild@3"] == pytest.approx(1)


def test_vectors_of_a_wrong_length() -> None:
    with pytest.raises(DataError, match=r"'item_vectors' must be \[25, size\]"):
        evaluate(Matrix(np.ones((30, 25))), make_task(), item_vectors=np.ones((24, 2)))
