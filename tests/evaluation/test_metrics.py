from __future__ import annotations

import numpy as np
import pytest
import torch
import torch_geometric.metrics as pyg
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnrec.evaluation.metrics import METRICS, Hits

from .cases import brute_metrics

ir_measures = pytest.importorskip("ir_measures")
ranx = pytest.importorskip("ranx")

Case = tuple[list[list[int]], list[set[int]]]


def hits_of(lists: list[list[int]], relevant: list[set[int]]) -> Hits:
    at = [(u, r) for u, ranked in enumerate(lists) for r, item in enumerate(ranked) if item in relevant[u]]
    row, rank = (np.array([pair[side] for pair in at], dtype=np.int64) for side in (0, 1))
    return Hits(row, rank, np.array([len(items) for items in relevant]))


def random_case(seed: int, num_users: int = 40, num_items: int = 30, length: int = 20) -> Case:
    rng = np.random.default_rng(seed)
    lists = [rng.permutation(num_items)[:length].tolist() for _ in range(num_users)]
    sizes = rng.integers(1, num_items, num_users)
    return lists, [set(rng.permutation(num_items)[:size].tolist()) for size in sizes]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 25), length=st.integers(1, 20))
def test_every_user_equals_the_written_out_metric(seed: int, k: int, length: int) -> None:
    lists, relevant = random_case(seed, num_users=6, length=length)
    hits = hits_of(lists, relevant)
    for name, metric in METRICS.items():
        expected = [brute_metrics(ranked, items, k)[name] for ranked, items in zip(lists, relevant)]
        values = metric(hits, k)
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, expected, atol=1e-12, err_msg=name)
        assert ((values >= 0) & (values <= 1 + 1e-12)).all()


@pytest.mark.parametrize("k", [1, 3, 10, 20])
def test_equals_torch_geometric_user_by_user(k: int) -> None:
    lists, relevant = random_case(1)
    hits = hits_of(lists, relevant)
    theirs = {
        "recall": pyg.LinkPredRecall,
        "precision": pyg.LinkPredPrecision,
        "f1": pyg.LinkPredF1,
        "hitrate": pyg.LinkPredHitRatio,
        "ndcg": pyg.LinkPredNDCG,
        "mrr": pyg.LinkPredMRR,
        "map": pyg.LinkPredMAP,
    }
    assert set(theirs) == set(METRICS)
    for name, metric in theirs.items():
        ours = METRICS[name](hits, k)
        for user, (ranked, items) in enumerate(zip(lists, relevant)):
            if name == "f1" and not set(ranked[:k]) & items:
                assert ours[user] == 0  # 0 / 0 in the library
                continue
            one = metric(k)
            label = torch.tensor([[0] * len(items), sorted(items)])
            one.update(torch.tensor([ranked]), label)
            assert float(one.compute()) == pytest.approx(ours[user], abs=1e-6), (name, user)


@pytest.mark.parametrize("k", [1, 3, 10, 20])
def test_equals_ranx_user_by_user(k: int) -> None:
    lists, relevant = random_case(2)
    hits = hits_of(lists, relevant)
    qrels = ranx.Qrels({f"u{u}": {f"i{i}": 1 for i in items} for u, items in enumerate(relevant)})
    run = {f"u{u}": {f"i{i}": 1.0 / (r + 1) for r, i in enumerate(items)} for u, items in enumerate(lists)}
    names = {"recall": "recall", "precision": "precision", "f1": "f1", "hitrate": "hit_rate"}
    names |= {"ndcg": "ndcg", "mrr": "mrr", "map": "map"}
    ids = [f"u{u}" for u in range(len(lists))]
    theirs = ranx.evaluate(qrels, ranx.Run(run), [f"{n}@{k}" for n in names.values()], return_mean=False)
    order = np.argsort(np.argsort(ids))  # ranx sorts by id
    sizes = np.array([len(items) for items in relevant])
    for name, other in names.items():
        ours = METRICS[name](hits, k)
        if name == "map":  # divided by relevant there
            ours = ours * np.minimum(sizes, k) / sizes
        np.testing.assert_allclose(np.asarray(theirs[f"{other}@{k}"])[order], ours, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("k", [1, 3, 10, 20])
def test_equals_ir_measures_user_by_user(k: int) -> None:
    lists, relevant = random_case(3)
    hits = hits_of(lists, relevant)
    qrels = {str(u): {str(i): 1 for i in items} for u, items in enumerate(relevant)}
    run = {str(u): {str(i): 1.0 / (r + 1) for r, i in enumerate(items)} for u, items in enumerate(lists)}
    measures = {
        "recall": ir_measures.R @ k,
        "precision": ir_measures.P @ k,
        "hitrate": ir_measures.Success @ k,
        "ndcg": ir_measures.nDCG @ k,
        "mrr": ir_measures.RR @ k,
        "map": ir_measures.AP @ k,
    }
    theirs = {name: np.full(len(lists), np.nan) for name in measures}
    names = {measure: name for name, measure in measures.items()}
    for value in ir_measures.iter_calc(list(measures.values()), qrels, run):
        theirs[names[value.measure]][int(value.query_id)] = value.value
    sizes = np.array([len(items) for items in relevant])
    for name in measures:
        ours = METRICS[name](hits, k)
        if name == "map":
            ours = ours * np.minimum(sizes, k) / sizes
        np.testing.assert_allclose(theirs[name], ours, atol=1e-6, err_msg=name)


def test_users_without_a_relevant_item_are_nan() -> None:
    hits = Hits(np.array([0]), np.array([1]), np.array([2, 0]))
    for metric in METRICS.values():
        values = metric(hits, 3)
        assert np.isfinite(values[0])
        assert np.isnan(values[1])
