"""Seconds per training step, ours through the ordinary fit() beside PyG's LightGCN, on one graph in one run.

    python benchmarks/training.py                       a generated graph of Gowalla's shape
    python benchmarks/training.py --data FOLDER         a data set in native form (its published train part)

Rounds alternate between the contestants, so that a slow spell of a shared machine hits all of them; read the ratios.
Writes results/benchmarks/training.csv.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd
import torch
import torch_geometric
from torch_geometric.nn.models import LightGCN as PyGLightGCN
from torch_geometric.utils import to_torch_csr_tensor

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from gnnrec.config import build
from gnnrec.data.dataset import load_dataset
from gnnrec.data.interactions import Interactions
from gnnrec.data.planted import power_law_interactions
from gnnrec.data.splits import make_split
from gnnrec.encoders import LightGCN
from gnnrec.errors import suggest
from gnnrec.features import InitConfig, make_features
from gnnrec.files import whole_file
from gnnrec.graph import BipartiteGraph
from gnnrec.model import Recommender
from gnnrec.objectives import Objective, Weighted
from gnnrec.training import TrainConfig, fit
from gnnrec.training.sampler import NegativeSampler, PairSampler

DIM, LAYERS, BATCH = 64, 3, 2048
EDGE_DROPOUT = {"_target_": "gnnrec.views.EdgeDropout", "p": 0.1}
NOISE = {"_target_": "gnnrec.views.LayerNoise", "magnitude": 0.1}


def main() -> None:
    """Time every contestant and print medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="a data set in native form with a published split")
    parser.add_argument("--edges", type=int, default=810_128, help="of the generated graph")
    parser.add_argument(
        "--only", nargs="+", help="contestants, the first is what the others are compared with"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=24, help="steps of PyG in a round; ours train an epoch")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/training.csv"))
    arguments = parser.parse_args()
    train = _train(arguments.data, arguments.edges)
    contestants = {
        "gnnrec-lightgcn": lambda: _ours(train, {}),
        "pyg-lightgcn-csr": lambda: _pyg(train, arguments.steps, sparse=True),
        "pyg-lightgcn-edge-index": lambda: _pyg(train, max(arguments.steps // 8, 1), sparse=False),
        "gnnrec-sgl-ed": lambda: _ours(train, _contrast(EDGE_DROPOUT)),
        "gnnrec-simgcl": lambda: _ours(train, _contrast(NOISE)),
    }
    chosen = arguments.only or list(contestants)
    unknown = [name for name in chosen if name not in contestants]
    if unknown:
        parser.error(f"unknown contestant '{unknown[0]}'{suggest(unknown[0], contestants)}")
    steps = {name: contestants[name]() for name in chosen}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for round_number in range(arguments.rounds + 1):
        for name, step in steps.items():
            elapsed = step()
            if round_number:  # the first round warms up
                seconds[name].append(elapsed)
    rows = _report(seconds, train)
    with whole_file(arguments.output) as temporary:
        rows.to_csv(temporary, index=False)
    print(rows.to_string(index=False))


def _train(path: str | None, num_edges: int) -> Interactions:
    if path is None:
        return power_law_interactions(29_858, 40_981, num_edges, seed=0)
    return make_split(load_dataset(path), "published", 0).train


def _contrast(view: dict[str, object]) -> dict[str, Weighted]:
    term = {"_target_": "gnnrec.objectives.Contrast", "first": [view], "temperature": 0.2}
    return {"contrast": Weighted(build(term, "contrast"), 0.1)}


def _ours(train: Interactions, more: dict[str, Weighted]) -> Callable[[], float]:
    """Return a timer of one epoch of fit(), as a run does it, logging included."""
    torch.manual_seed(0)
    graph = BipartiteGraph.from_interactions(train)
    model = Recommender(make_features(InitConfig(dim=DIM), train), LightGCN(DIM, LAYERS), graph)
    terms = {
        "rank": Weighted(build({"_target_": "gnnrec.objectives.BPR"}, "rank")),
        "l2": Weighted(build({"_target_": "gnnrec.objectives.L2"}, "l2"), 1e-4),
    }
    objective = Objective(terms | more)
    config = TrainConfig(epochs=1, batch_size=BATCH)

    def timed() -> float:
        began = time.perf_counter()
        fit(model, objective, config, None, seed=0)
        return (time.perf_counter() - began) / -(-len(train) // BATCH)

    return timed


def _pyg(train: Interactions, steps: int, sparse: bool) -> Callable[[], float]:
    """Return a timer of PyG's own model and loss, as in its LightGCN example, with Adam at its defaults."""
    torch.manual_seed(0)
    graph = BipartiteGraph.from_interactions(train)
    size = graph.num_nodes
    edges = to_torch_csr_tensor(graph.edge_index, size=(size, size)) if sparse else graph.edge_index
    model = PyGLightGCN(size, DIM, LAYERS)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    pairs, negatives = PairSampler(graph, BATCH), NegativeSampler(graph)
    generator = torch.Generator().manual_seed(0)

    def timed() -> float:
        began = time.perf_counter()
        for _, (user, positive) in zip(range(steps), pairs.epoch(generator)):
            negative = negatives.sample(user, 1, generator).squeeze(1)
            labels = torch.stack([torch.cat([user, user]), graph.item_node(torch.cat([positive, negative]))])
            optimizer.zero_grad()
            positive_rank, negative_rank = model(edges, labels).chunk(2)
            nodes = torch.cat([user, graph.item_node(positive), graph.item_node(negative)])
            loss = model.recommendation_loss(positive_rank, negative_rank, node_id=nodes, lambda_reg=1e-4)
            loss.backward()
            optimizer.step()
        return (time.perf_counter() - began) / steps

    return timed


def _report(seconds: dict[str, list[float]], train: Interactions) -> pd.DataFrame:
    first = next(iter(seconds))
    rows = []
    for name, times in seconds.items():
        ratios = [mine / base for mine, base in zip(times, seconds[first])]
        rows.append(
            {
                "contestant": name,
                "ms_per_step": round(1e3 * statistics.median(times), 1),
                "ratio_min": round(min(ratios), 2),
                "ratio_median": round(statistics.median(ratios), 2),
                "ratio_max": round(max(ratios), 2),
                "num_edges": len(train),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
                "torch_geometric": torch_geometric.__version__,
                "date": date.today().isoformat(),
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
