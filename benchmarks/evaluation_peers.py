"""The evaluation code of other tools, called as they call it, on our task; nothing of theirs is kept here."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.foreign import adjacency, prepare_recbole, quiet
from gnnrec.evaluation.scorers import EmbeddingScorer
from gnnrec.evaluation.task import Task

RECBOLE_BATCH = 100

Call = Callable[[], tuple[float, float]]


def plain(
    scorer: EmbeddingScorer, task: Task, k: int, block: int, limit: int | None = None, metrics: bool = True
) -> tuple[float, float]:
    """The usual loop: product, mask, topk, hits from a dense label block; Recall@20 and NDCG@20 alone."""
    users = np.unique(task.relevant.user)[:limit]
    relevant = task.relevant.csr()
    discount = 1 / torch.log2(torch.arange(2, 22).double())
    recall = ndcg = 0.0
    for start in range(0, len(users), block):
        user = users[start : start + block]
        scores = scorer.user_emb[torch.from_numpy(user)] @ scorer.item_emb.T
        if not metrics:
            torch.topk(scores, k)
            continue
        scores[task.masked[user].nonzero()] = float("-inf")
        top = torch.topk(scores, k).indices[:, :20]
        label = torch.zeros(scores.shape, dtype=torch.bool)
        label[relevant[user].nonzero()] = True
        hits, sizes = label.gather(1, top).double(), label.sum(1)
        recall += float((hits.sum(1) / sizes).sum())
        ideal = torch.cumsum(discount, 0)[sizes.clamp(max=20) - 1]
        ndcg += float(((hits * discount).sum(1) / ideal).sum())
    return (recall / len(users), ndcg / len(users)) if metrics else (float("nan"), float("nan"))


def lightgcn(path: Path, scorer: EmbeddingScorer, task: Task, ks: Sequence[int], propagate: bool) -> Call:
    """LightGCN-PyTorch: Procedure.Test in its one-thread form, test_u_batch_size 100, all three cutoffs.

    Args:
        propagate: rank by its own LightGCN model of three layers, as it is shipped, which propagates anew for every
            batch of users; False gives it ready products instead.
    """
    sys.path.insert(0, str(path / "code"))
    known, wanted = _lists(task.masked), _lists(task.relevant.csr())
    num_users = sum(len(items) > 0 for items in wanted)
    batch = 100 if num_users % 100 else 99  # its assertion fails where the last batch is full
    arguments, sys.argv = (
        sys.argv,
        ["main.py", f"--testbatch={batch}", f"--topks={list(ks)}", "--multicore=0", "--tensorboard=0"],
    )
    with quiet():
        procedure = importlib.import_module("Procedure")
    sys.argv = arguments
    data = types.SimpleNamespace(
        testDict={user: items for user, items in enumerate(wanted) if len(items)},
        getUserPosItems=lambda users: [known[user] for user in users],
    )
    if propagate:
        sizes = {"n_users": task.num_users, "m_items": task.num_items}
        graph = types.SimpleNamespace(**sizes, getSparseGraph=lambda: adjacency(task.masked))
        with quiet():
            model = importlib.import_module("model").LightGCN(procedure.world.config, graph)
        model.embedding_user.weight.data.copy_(scorer.user_emb)
        model.embedding_item.weight.data.copy_(scorer.item_emb)
    else:
        model = types.SimpleNamespace(getUsersRating=lambda users: torch.sigmoid(scorer.scores(users)))
        model.eval = lambda: model

    def call() -> tuple[float, float]:
        with quiet():
            result = procedure.Test(data, model, 0)
        at = list(ks).index(20)
        return float(result["recall"][at]), float(result["ndcg"][at])

    return call


def selfrec(path: Path, scorer: EmbeddingScorer, task: Task, ks: Sequence[int]) -> Call:
    """SELFRec: GraphRecommender.test and ranking_evaluation, with its dictionaries of names."""
    sys.path.insert(0, str(path))
    with quiet():
        recommender = importlib.import_module("base.graph_recommender")
        ranking_evaluation = importlib.import_module("util.evaluation").ranking_evaluation
    known, wanted = _lists(task.masked), _lists(task.relevant.csr())
    names = [str(item) for item in range(task.num_items)]
    data = types.SimpleNamespace(
        test_set={
            str(u): dict.fromkeys((names[i] for i in items), 1)
            for u, items in enumerate(wanted)
            if len(items)
        },
        user_rated=lambda user: ([names[i] for i in known[int(user)]], None),
        item={name: place for place, name in enumerate(names)},
        id2item=dict(enumerate(names)),
    )
    me = types.SimpleNamespace(data=data, max_N=max(ks))
    item_emb = scorer.item_emb.transpose(0, 1)
    me.predict = lambda user: torch.matmul(scorer.user_emb[int(user)], item_emb).numpy()

    def call() -> tuple[float, float]:
        with quiet():
            measure = ranking_evaluation(data.test_set, recommender.GraphRecommender.test(me), list(ks))
        at = measure.index("Top 20\n")
        found = dict(line.strip().split(":") for line in measure[at + 1 : at + 5])
        return float(found["Recall"]), float(found["NDCG"])

    return call


def recbole(path: Path, scorer: EmbeddingScorer, task: Task, ks: Sequence[int]) -> Call:
    """RecBole: Collector and Evaluator with Recall and NDCG, 100 users at a time (its default makes batches of one).

    Its evaluator is imported without the rest of the package, whose other dependencies are not needed here.
    """
    prepare_recbole(path)
    evaluator = importlib.import_module("recbole.evaluator")
    config = {
        "metrics": ["Recall", "NDCG"],
        "topk": list(ks),
        "eval_args": {"mode": {"valid": "full", "test": "full"}},
        "device": torch.device("cpu"),
        "metric_decimal_place": 6,
    }
    users = np.unique(task.relevant.user)
    relevant = task.relevant.csr()

    def call() -> tuple[float, float]:
        collector = evaluator.Collector(config)
        for start in range(0, len(users), RECBOLE_BATCH):
            user = users[start : start + RECBOLE_BATCH]
            scores = scorer.scores(torch.from_numpy(user))
            scores[
                tuple(torch.from_numpy(part.astype(np.int64)) for part in task.masked[user].nonzero())
            ] = -np.inf
            row, item = (torch.from_numpy(part.astype(np.int64)) for part in relevant[user].nonzero())
            collector.eval_batch_collect(scores, None, row, item)
        result = evaluator.Evaluator(config).evaluate(collector.data_struct)
        return float(result["recall@20"]), float(result["ndcg@20"])

    return call


def _lists(matrix: object) -> list[np.ndarray]:
    return np.split(matrix.indices, matrix.indptr[1:-1])  # pyright: ignore[reportAttributeAccessIssue]
