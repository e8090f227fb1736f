"""How far does a linear map of frozen text vectors come where the language model itself is adapted? On validation.

    python benchmarks/adapt_linear.py                     debian-full, content kNN, unseen items, some minutes
    python benchmarks/adapt_linear.py --data debian --seed 1      another data set, another split

The map W starts at the identity and is trained on what adapt.objective=pairs is trained on, all seen items being keys:
a row's positives are weighted by co-interactions, anchors are drawn alike or by popularity. Some ways learn from users
in place of pairs: half of a user's items are ranked by the mean of the other half. Some take the mean of maps, each
trained on a random part of the items; eight maps of a quarter each, from users, are text.reduce=contrastive. Of the
change a share is kept (adapt.mix): I + mix (W - I). Printed: validation of content kNN on the mapped vectors; the test
is not scored.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments.cli import format_table, run_main  # before torch: it limits the threads

# isort: split
import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec.baselines import ContentKNN
from gnnrec.data.dataset import load_dataset
from gnnrec.data.groups import item_groups, user_groups
from gnnrec.data.interactions import Interactions
from gnnrec.data.splits import make_split
from gnnrec.evaluation.evaluate import evaluate
from gnnrec.evaluation.task import Task, validation_task
from gnnrec.text import TextConfig
from gnnrec.text.contrast import history_loss
from gnnrec.text.nodes import node_vectors

METRICS = ("cold/recall@20", "cold/ndcg@20", "cold_only/recall@20", "recall@20")
MIXES = (0.3, 0.6, 1.0)
ANCHORS = 512


@dataclass(frozen=True)
class Way:
    """One way of training: what a positive weighs, how anchors are drawn, temperature, dropout of the input, steps,
    users a step, maps and the share of the items that each is trained on.
    """

    label: str
    weight: str = "cosine"  # c_ij / sqrt(n_i n_j); conditional: c_ij / n_i; squared: the cosine's square
    anchor_power: float = 0.0  # anchors are drawn in proportion to n_i to this power
    temperature: float = 0.05
    dropout: float = 0.0
    steps: int = 40
    users: int = 0  # so many users a step rank a half of their items by the other half; 0: pairs
    bags: int = 1
    bag_share: float = 1.0


WAYS = (
    Way("as adapt.py"),
    Way("dropout .3", dropout=0.3),
    Way("dropout .5", dropout=0.5),
    Way("dropout .7, 60 steps", dropout=0.7, steps=60),
    Way("anchors by sqrt(n)", anchor_power=0.5),
    Way("anchors by n", anchor_power=1.0),
    Way("conditional weights, anchors by n", weight="conditional", anchor_power=1.0),
    Way("squared weights", weight="squared"),
    Way("temperature .02, dropout .3", temperature=0.02, dropout=0.3),
    Way("temperature .1, dropout .5", temperature=0.1, dropout=0.5, steps=60),
    Way("users, dropout .3, 60 steps", dropout=0.3, steps=60, users=512),
    Way("4 bags of a half", bags=4, bag_share=0.5),
    Way("8 bags of a quarter", bags=8, bag_share=0.25),
    Way("16 bags of an eighth", bags=16, bag_share=0.125),
    Way("users, 60 steps, 4 bags of a half", steps=60, users=512, bags=4, bag_share=0.5),
    Way("users, 60 steps, 8 bags of a quarter", steps=60, users=512, bags=8, bag_share=0.25),
    Way("users, 60 steps, 16 bags of an eighth", steps=60, users=512, bags=16, bag_share=0.125),
)


def pair_weights(train: Interactions, items: np.ndarray, kind: str) -> np.ndarray:
    """Return the weight of each pair of items as each other's positive: [n, n], the diagonal 0."""
    history = sp.csr_array(train.csr()[:, items]).astype(np.float64)
    together, count = (history.T @ history).toarray(), train.item_counts()[items]
    np.fill_diagonal(together, 0)
    if kind == "conditional":
        return together / count[:, None]
    return (together / np.sqrt(np.outer(count, count))) ** (2 if kind == "squared" else 1)


def mean_map(vectors: Tensor, weight: np.ndarray, taken: sp.csr_array, way: Way) -> Tensor:
    """Return the mean of the maps trained on random parts of the items; the arguments are those of `trained_map`."""
    generator, size = np.random.default_rng(0), round(way.bag_share * len(vectors))
    total = torch.zeros(vectors.shape[1], vectors.shape[1])
    for _ in range(way.bags):
        rows = np.sort(generator.choice(len(vectors), size, replace=False))
        part = trained_map(vectors[torch.from_numpy(rows)], weight[np.ix_(rows, rows)], taken[:, rows], way)
        total += part / way.bags
    return total


def trained_map(vectors: Tensor, weight: np.ndarray, taken: sp.csr_array, way: Way) -> Tensor:
    """Return the trained map [d, d] for vectors [n, d], weights of pairs [n, n] and who took what [users, n]."""
    torch.manual_seed(0)
    linear = torch.eye(vectors.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([linear], lr=1e-3)
    if way.users:
        train_on_users(linear, optimizer, vectors, taken, way)
        return linear.detach()
    count = np.asarray(taken.sum(axis=0)).astype(float)
    share = (weight.sum(axis=1) > 0) * count**way.anchor_power
    positives = torch.from_numpy(weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)).float()
    for step in range(way.steps):
        generator = np.random.default_rng(step)
        anchors = torch.from_numpy(
            generator.choice(
                len(vectors), min(ANCHORS, len(vectors) // 2), replace=False, p=share / share.sum()
            )
        )
        keys = F.normalize(F.dropout(vectors, way.dropout) @ linear, dim=1)
        scores = keys[anchors] @ keys.T / way.temperature
        scores[torch.arange(len(anchors)), anchors] = -1e9
        loss = -(positives[anchors] * F.log_softmax(scores, dim=1)).sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return linear.detach()


def train_on_users(
    linear: Tensor, optimizer: torch.optim.Optimizer, vectors: Tensor, taken: sp.csr_array, way: Way
) -> None:
    """Minimise `history_loss` of the mapped vectors: a user's items are parted by fair coins."""
    count = torch.from_numpy(np.asarray(taken.sum(axis=0))).float()
    several = np.flatnonzero(np.diff(taken.indptr) > 1)
    for step in range(way.steps):
        generator = np.random.default_rng(step)
        users = generator.choice(several, min(way.users, len(several)), replace=False)
        rows = torch.from_numpy(taken[users].toarray()).float()
        history = rows * torch.from_numpy(generator.random(rows.shape) < 0.5)
        keys = F.normalize(F.dropout(vectors, way.dropout) @ linear, dim=1)
        loss = history_loss(keys, history, rows - history, (count / count.sum()).log(), way.temperature)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main(argv: Sequence[str]) -> None:
    """Train every way and print validation; see --help."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="debian-full")
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    arguments = parser.parse_args(argv)
    dataset = load_dataset(arguments.data)
    split = make_split(dataset, "cold_item", arguments.seed, cold=0.2)
    train = split.train
    task = validation_task(split, item_groups(train), user_groups(train))
    vectors = torch.from_numpy(
        node_vectors(dataset, "item", TextConfig(), train, split.fingerprint).vectors
    ).float()
    seen = np.flatnonzero(train.item_counts())
    taken = sp.csr_array(train.csr()[:, seen])
    vectors = vectors - vectors[seen].mean(dim=0)
    rows: list[list[object]] = [["frozen", 0.0, *validation(vectors, train, task)]]
    for way in WAYS:
        weight = pair_weights(train, seen, way.weight)
        trained = mean_map(vectors[seen], weight, taken, way)
        change = trained - torch.eye(vectors.shape[1])
        rows += [
            [way.label, mix, *validation(vectors + mix * vectors @ change, train, task)] for mix in MIXES
        ]
    print(format_table(["way", "mix", *METRICS], rows))


def validation(vectors: Tensor, train: Interactions, task: Task) -> list[float]:
    """Return the metrics of content kNN on some vectors."""
    metrics = evaluate(ContentKNN(k=50).fit(train, vectors.numpy()), task, (20,)).metrics()
    return [metrics[f"validation/{name}"] for name in METRICS]


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=False))
