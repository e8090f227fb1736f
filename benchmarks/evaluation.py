"""Speed and memory of evaluation at Gowalla's shape, beside other tools' own code, in one run.

    python benchmarks/evaluation.py --lightgcn PATH --selfrec PATH --recbole PATH

The paths are checkouts of gusye1234/LightGCN-PyTorch, Coder-Yu/SELFRec and RUCAIBox/RecBole; tools without a path
are left out. Rounds take every tool in turn, so that ratios compare what ran side by side. Rows are added to
results/benchmarks/evaluation.csv.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments.cli import run_main  # before torch: it limits the threads

# isort: split
import numpy as np
import pandas as pd
import torch

from benchmarks.evaluation_peers import lightgcn, plain, recbole, selfrec
from benchmarks.machine import describe_machine, save_rows
from gnnrec.data.groups import item_groups, user_groups
from gnnrec.data.interactions import Interactions
from gnnrec.evaluation.evaluate import ALL_BEYOND, ALL_METRICS, evaluate
from gnnrec.evaluation.scorers import EmbeddingScorer
from gnnrec.evaluation.task import Task

OUT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "evaluation.csv"
IDENTITY = ["tool", "num_users", "processor"]
NUM_USERS, NUM_ITEMS, NUM_TRAIN, NUM_TEST, DIM = 29_858, 40_981, 810_128, 217_242, 64
KS = (10, 20, 50)


def main(argv: Sequence[str]) -> None:
    """Time every tool, print the table and write it as csv."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("lightgcn", "selfrec", "recbole"):
        parser.add_argument(f"--{name}", metavar="PATH")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--users", type=int, default=NUM_USERS, help="evaluated users")
    parser.add_argument("--output", type=Path, default=OUT)
    arguments = parser.parse_args(argv)
    task, scorer = make_case(arguments.users)
    tools = make_tools(arguments, task, scorer)
    rows = measure(tools, arguments.rounds, len(np.unique(task.relevant.user)))
    table = summarise(rows, DIM)
    print(table.to_string(index=False))
    save_rows(arguments.output, table.assign(**describe_machine(packages=())), IDENTITY)


def make_case(num_users: int) -> tuple[Task, EmbeddingScorer]:
    """Return a task of Gowalla's shape, popularity skewed, and normal embeddings; relevant for `num_users` only."""
    rng = np.random.default_rng(0)
    drawn = int(1.3 * (NUM_TRAIN + NUM_TEST))
    popular = rng.permutation(NUM_ITEMS)[(NUM_ITEMS * rng.random(drawn) ** 2.5).astype(np.int64)]
    keys = np.unique(rng.integers(0, NUM_USERS, drawn) * NUM_ITEMS + popular)
    keys = rng.permutation(keys)[: NUM_TRAIN + NUM_TEST]
    every = Interactions(keys // NUM_ITEMS, keys % NUM_ITEMS, NUM_USERS, NUM_ITEMS)
    train, test = every.select(slice(0, NUM_TRAIN)), every.select(slice(NUM_TRAIN, None))
    test = test.select(test.user < num_users)
    items = item_groups(train)
    items.members.pop("cold")  # Gowalla has none
    task = Task("test", test, train.csr(), items, user_groups(train), train.item_counts())  # pyright: ignore[reportArgumentType]
    generator = torch.Generator().manual_seed(0)
    emb = [torch.randn(size, DIM, generator=generator) for size in (NUM_USERS, NUM_ITEMS)]
    return task, EmbeddingScorer(emb[0], emb[1])


def make_tools(
    arguments: argparse.Namespace, task: Task, scorer: EmbeddingScorer
) -> dict[str, Callable[[], tuple[float, float]]]:
    """Return name -> a call that evaluates and returns Recall@20 and NDCG@20."""

    def ours(**options: Any) -> tuple[float, float]:
        metrics = evaluate(scorer, task, KS, **options).metrics()
        return metrics["test/recall@20"], metrics["test/ndcg@20"]

    block = min((64, 128, 256), key=lambda size: _seconds(lambda: plain(scorer, task, 20, size, 2048)))
    two = ("recall", "ndcg")
    no_auc = ALL_METRICS[:-1]
    no_text = [name for name in ALL_BEYOND if name not in ("ild", "unexpectedness", "miscalibration")]
    tools: dict[str, Callable[[], tuple[float, float]]] = {
        f"plain matmul + topk(50), blocks of {block}": lambda: plain(scorer, task, 50, block, metrics=False),
        f"plain + mask, Recall, NDCG@20, blocks of {block}": lambda: plain(scorer, task, 50, block),
        "gnnrec, Recall, NDCG@10/20/50, all groups": lambda: ours(metrics=two, beyond=()),
        "gnnrec, defaults": ours,
        "gnnrec, every metric but AUC and those of texts": lambda: ours(metrics=no_auc, beyond=no_text),
        "gnnrec, with AUC": lambda: ours(metrics=ALL_METRICS),
        "gnnrec, as in training: NDCG@20": lambda: ours20(scorer, task),
    }
    if arguments.lightgcn:
        path = Path(arguments.lightgcn)
        tools["LightGCN-PyTorch Test, its model propagating at every batch"] = lightgcn(
            path, scorer, task, KS, True
        )
        tools["LightGCN-PyTorch Test, given products"] = lightgcn(path, scorer, task, KS, False)
    if arguments.selfrec:
        tools["SELFRec test + ranking_evaluation"] = selfrec(Path(arguments.selfrec), scorer, task, KS)
    if arguments.recbole:
        tools["RecBole Collector + Evaluator"] = recbole(Path(arguments.recbole), scorer, task, KS)
    return tools


def ours20(scorer: EmbeddingScorer, task: Task) -> tuple[float, float]:
    """Return what validation during training computes; Recall@20 is not among it."""
    return float("nan"), evaluate(scorer, task, (20,), metrics=("ndcg",), groups=False).metrics()[
        "test/ndcg@20"
    ]


def measure(
    tools: dict[str, Callable[[], tuple[float, float]]], rounds: int, num_users: int
) -> list[dict[str, Any]]:
    """Return one row per round and tool; the first round is a warm-up and not kept."""
    rows = []
    for number in range(rounds + 1):
        rate = matmul_rate()
        for name, call in tools.items():
            with Watch() as watch:
                recall, ndcg = call()
            wall, processor = num_users / watch.seconds, num_users / watch.cpu_seconds
            print(
                f"round {number} {name}: {wall:.0f} users/s, {processor:.0f} per processor second",
                file=sys.stderr,
            )
            if number:
                rows.append(
                    {
                        "round": number,
                        "tool": name,
                        "num_users": num_users,
                        "users_per_s": num_users / watch.seconds,
                        "cpu_s": watch.cpu_seconds,
                        "peak_mib": watch.peak_mib,
                        "gflops": rate,
                        "recall": recall,
                        "ndcg": ndcg,
                    }
                )
    return rows


def matmul_rate() -> float:
    """Return the float32 matrix product rate of this machine now, GFLOP/s, best of five."""
    square = torch.randn(2048, 2048)
    return 2 * 2048**3 / min(_seconds(lambda: square @ square) for _ in range(5)) / 1e9


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Watch:
    """Seconds, processor seconds and additional resident memory (every 5 ms) of a block of code."""

    def __enter__(self) -> Watch:
        self._stop = threading.Event()
        self._base = self._top = _resident_mib()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        self._start, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu_seconds = time.perf_counter() - self._start, time.process_time() - self._cpu
        self._stop.set()
        self._thread.join()
        self.peak_mib = self._top - self._base

    def _sample(self) -> None:
        while not self._stop.wait(0.005):
            self._top = max(self._top, _resident_mib())


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def summarise(rows: list[dict[str, Any]], dim: int) -> pd.DataFrame:
    """Return one row per tool: users/s, ratios to the plain loop with metrics, memory, share of matmul rate.

    The ratio of processor seconds is what holds on a machine that others use at the same time.
    """
    columns: dict[str, dict[str, np.ndarray]] = {}
    for name in dict.fromkeys(row["tool"] for row in rows):
        mine = [row for row in rows if row["tool"] == name]
        columns[name] = {key: np.array([row[key] for row in mine]) for key in mine[0] if key != "tool"}
    base = next(part for name, part in columns.items() if name.startswith("plain + mask"))
    result = []
    for name, part in columns.items():
        ratio = part["users_per_s"] / base["users_per_s"]
        share = part["users_per_s"] * 2 * NUM_ITEMS * dim / 1e9 / part["gflops"]
        numbers = {
            "users_per_s": (np.median(part["users_per_s"]), 0),
            "users_per_cpu_s": (part["num_users"][0] / np.median(part["cpu_s"]), 0),
            "ratio_to_plain_min": (ratio.min(), 3),
            "ratio_to_plain_median": (np.median(ratio), 3),
            "ratio_to_plain_max": (ratio.max(), 3),
            "ratio_in_cpu_time": (np.median(base["cpu_s"] / part["cpu_s"]), 3),
            "peak_mib": (part["peak_mib"].max(), 0),
            "share_of_matmul_rate": (np.median(share), 3),
            "recall@20": (part["recall"][0], 6),
            "ndcg@20": (part["ndcg"][0], 6),
        }
        row = {key: round(float(value), digits) for key, (value, digits) in numbers.items()}
        counts = {"num_users": int(part["num_users"][0]), "rounds": len(ratio)}
        result.append({"tool": name, **row, **counts})
    return pd.DataFrame(result)


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=False))
