"""Time and memory of a LightGCN training step against the number of edges, on generated power-law graphs.

    python benchmarks/scale.py                                   1e5 to 1e7 edges
    python benchmarks/scale.py --edges 1e8 --precision bfloat16  one size, added to the table

A graph of n edges has n / 50 users and n / 200 items, 64 dimensions, 3 layers; a batch is 2048 pairs. Every size has a
process of its own, so that peak memory is its own; the estimate that fit() makes before it starts stands beside it.
Rows are added to results/benchmarks/scale.csv and drawn in results/benchmarks/scale.png.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments.cli import run_main  # before torch: it limits the threads

# isort: split
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
import torch

from benchmarks.machine import curve_names, describe_machine, save_rows
from gnnrec.allocator import keep_freed_memory
from gnnrec.data.planted import power_law_interactions
from gnnrec.encoders import LightGCN
from gnnrec.errors import GnnrecError
from gnnrec.features import InitConfig, make_features
from gnnrec.graph import BipartiteGraph
from gnnrec.manifest import peak_memory_mib
from gnnrec.model import Recommender
from gnnrec.objectives import BPR, L2, Objective, Weighted
from gnnrec.objectives.sampling import NegativeSampler
from gnnrec.training import TrainConfig
from gnnrec.training.fit import make_optimizer, train_step
from gnnrec.training.memory import estimate_memory
from gnnrec.training.sampler import PairSampler

OUT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "scale.csv"
BATCH, DIM, LAYERS = 2048, 64, 3
IDENTITY = ["edges", "precision", "threads", "note", "processor"]


def main(argv: Sequence[str]) -> None:
    """Measure what the command line asks for; see --help."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edges", nargs="+", type=float, default=[1e5, 3e5, 1e6, 3e6, 1e7])
    parser.add_argument("--steps", type=int, default=8, help="of which the first is not counted")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--note", default="", help="kept with the rows, for example 'busy machine'")
    parser.add_argument("--output", type=Path, default=OUT)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.inside:
        print(json.dumps(measure(int(arguments.edges[0]), arguments.steps, arguments.precision)))
        return
    options = ["--precision", arguments.precision, "--steps", str(arguments.steps), "--inside"]
    failed = []
    for edges in arguments.edges:
        command = [sys.executable, __file__, "--edges", str(int(edges)), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = done.stderr.strip() or f"ended with status {done.returncode}"
            print(f"{edges:g} edges: {reason.splitlines()[-1]}", file=sys.stderr, flush=True)
            failed.append(f"{edges:g}")
            continue
        row = json.loads(done.stdout.strip().splitlines()[-1]) | {"note": arguments.note}
        print(row, flush=True)
        save_rows(arguments.output, pd.DataFrame([row | describe_machine()]), IDENTITY)
    if arguments.output.exists():
        draw(pd.read_csv(arguments.output), arguments.output.with_suffix(".png"))
    if failed:
        raise GnnrecError(f"no row for {', '.join(failed)} edges; the reasons are above")


def measure(edges: int, steps: int, precision: str) -> dict[str, Any]:
    """Build a graph of so many edges, train some steps, and return seconds and memory."""
    keep_freed_memory()  # as fit() does
    torch.manual_seed(0)
    start = peak_memory_mib() or 0.0
    train = power_law_interactions(edges, max(edges // 50, 2), max(edges // 200, 2), seed=0)
    generated = peak_memory_mib() or 0.0
    began = time.perf_counter()
    graph = BipartiteGraph.from_interactions(train)
    built = time.perf_counter() - began
    model = Recommender(make_features(InitConfig(dim=DIM), train), LightGCN(DIM, LAYERS), graph)
    objective = Objective({"rank": Weighted(BPR()), "l2": Weighted(L2(), 1e-4)})
    del train
    estimate = estimate_memory(model, objective, BATCH)
    optimizer, generator = make_optimizer(model, TrainConfig()), torch.Generator().manual_seed(0)
    negatives, pairs = NegativeSampler(graph), PairSampler(graph, BATCH)
    seconds = []
    for user, positive in itertools.islice(pairs.epoch(generator), steps):
        began = time.perf_counter()
        batch = user, positive, negatives.sample(user, 1, generator)
        train_step(model, objective, optimizer, batch, generator, precision)
        seconds.append(time.perf_counter() - began)
    peak = peak_memory_mib() or 0.0
    seconds = seconds[1:] or seconds
    return {
        "edges": graph.num_edges,
        "users": graph.num_users,
        "items": graph.num_items,
        "precision": precision,
        "ms_min": round(1e3 * min(seconds), 2),
        "ms_median": round(1e3 * statistics.median(seconds), 2),
        "ms_max": round(1e3 * max(seconds), 2),
        "steps": len(seconds),
        "build_seconds": round(built, 2),
        "peak_gib": round((peak - start) / 2**10, 3),
        "generating_gib": round((generated - start) / 2**10, 3),
        "estimate_gib": round(estimate.total / 2**30, 3),
    }


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw time and memory against edges, both axes logarithmic, beside a line of slope one."""
    table = table.assign(curve=curve_names(table, "precision", ["processor", "threads", "note"]))
    figure, axes = plt.subplots(1, 2, figsize=(8, 4.2), constrained_layout=True)
    columns = (("ms_median", "milliseconds per step"), ("peak_gib", "peak memory, GiB"))
    for axis, (column, label) in zip(axes, columns):
        for curve, part in table.sort_values("edges").groupby("curve"):
            axis.loglog(part.edges, part[column], "o-", label=str(curve))
        last = table.sort_values("edges").iloc[-1]
        line = table.edges.sort_values()
        axis.loglog(line, last[column] * line / last.edges, ":", color="grey", label="proportional")
        axis.set(xlabel="edges", ylabel=label)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=False))
