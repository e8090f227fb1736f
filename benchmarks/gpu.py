"""Seconds of an epoch and share of the copy bandwidth on a GPU, beside PyG and SELFRec on the same device.

    python benchmarks/gpu.py --data ../shared/data/gowalla ../shared/data/yelp2018 --selfrec PATH
    python benchmarks/gpu.py --device cpu --pairs 4000 --models lightgcn     a trial of the script without a GPU

Ours train whole epochs through fit(); a peer trains `--steps` steps, and its epoch is their mean times the steps of
an epoch. `synchronisations` counts how often a step makes the host wait for the device (torch's own count, CUDA
only): it must not grow with the steps. The rows of a model take the place of all older ones of the same model, data,
precision and machine in results/benchmarks/gpu.csv.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments.cli import run_main  # before torch: it limits the threads

# isort: split
import pandas as pd
import torch

from benchmarks import training_peers as peers
from benchmarks.machine import copy_bandwidth, describe_machine, save_rows
from benchmarks.training import BATCH, SELFREC_NAME, Timer, floor_bytes, ours
from gnnrec.data.dataset import load_dataset
from gnnrec.data.interactions import Interactions
from gnnrec.data.planted import power_law_interactions
from gnnrec.data.splits import make_split
from gnnrec.errors import ConfigError

OUT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "gpu.csv"
IDENTITY = ["data", "model", "precision", "num_edges", "device", "processor", "threads"]


def main(argv: Sequence[str]) -> None:
    """Measure what the command line asks for; see --help."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", default=[], help="data sets in native form, published split")
    parser.add_argument("--pairs", type=int, default=810_128, help="of a generated graph, without --data")
    parser.add_argument("--models", nargs="+", default=list(SELFREC_NAME), choices=SELFREC_NAME)
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"), help="of ours")
    parser.add_argument("--selfrec", metavar="PATH", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50, help="of a peer in a round")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--output", type=Path, default=OUT)
    arguments = parser.parse_args(argv)
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError("there is no CUDA device; --device cpu tries the script")
    for path in arguments.data or [None]:
        train = read_train(path, arguments.pairs)
        name = Path(path).name if path else "generated"
        for model in arguments.models:
            rows = measure(arguments, train, model)
            table = pd.DataFrame(
                [{"data": name, **row, **describe_machine(arguments.device)} for row in rows]
            )
            save_rows(arguments.output, table, IDENTITY)
            print(table.iloc[:, :13].to_string(index=False), flush=True)


def read_train(path: str | None, num_pairs: int) -> Interactions:
    """Return the published train part of a data set, or generated pairs."""
    if path is None:
        return power_law_interactions(num_pairs, max(num_pairs // 27, 2), max(num_pairs // 20, 2), seed=0)
    return make_split(load_dataset(path), "published", 0).train


def measure(arguments: argparse.Namespace, train: Interactions, model: str) -> list[dict[str, Any]]:
    """Return a row per contestant of a model, round by round in turn."""
    device, steps = arguments.device, arguments.steps
    calls: dict[str, Timer] = {"gnnrec": ours(train, model, device, arguments.precision)}
    if model == "lightgcn":
        calls["pyg-csr"] = _steps(peers.pyg(train, device, sparse=True), steps)
        calls["pyg-edge-index"] = _steps(peers.pyg(train, device, sparse=False), steps)
    if arguments.selfrec:
        calls["selfrec"] = _steps(peers.selfrec(arguments.selfrec, SELFREC_NAME[model], train, device), steps)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(arguments.rounds + 1):
        for name, call in calls.items():
            elapsed, _ = call().tolist()
            if number:  # the first round warms up
                seconds[name].append(elapsed)
    bandwidth = copy_bandwidth(device, 1024 if device.startswith("cuda") else 64)
    waits = count_synchronisations(ours(train, model, device, arguments.precision, steps=4))
    per_epoch = -(-len(train) // BATCH)
    rows = []
    for name, times in seconds.items():
        ratios = [mine / base for mine, base in zip(times, seconds["gnnrec"])]
        row: dict[str, Any] = {"model": model, "contestant": name, "precision": arguments.precision}
        row["num_edges"] = len(train)
        for which in (min, statistics.median, max):
            row[f"epoch_s_{which.__name__}"] = round(per_epoch * which(times), 3)
        row |= {"ratio_median": round(statistics.median(ratios), 2), "copy_gb_s": round(bandwidth, 1)}
        floor = floor_bytes(train) / bandwidth / 1e9 if model == "lightgcn" else float("nan")
        row["share_of_copy_bandwidth"] = round(floor / statistics.median(times), 3)
        row["synchronisations_per_step"] = waits if name == "gnnrec" else None
        rows.append(row)
    return rows


def _steps(call: peers.Call, steps: int) -> Timer:
    return lambda: call(steps)


def count_synchronisations(call: Callable[[], object], steps: int = 4) -> float | None:
    """Return how often a step makes the host wait, as torch warns of it, or None where there is no CUDA."""
    if not torch.cuda.is_available():
        return None
    call()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught) / steps


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=False))
