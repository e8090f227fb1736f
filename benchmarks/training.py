"""Seconds of a training step beside other tools' own models, steps and losses, and beside the memory's limit.

    python benchmarks/training.py --data ../shared/data/gowalla --models lightgcn --lightgcn-pytorch PATH
    python benchmarks/training.py --data ... --models sgl-ed simgcl --selfrec PATH
    python benchmarks/training.py                       a generated graph of Gowalla's shape, beside PyG

The paths are checkouts of gusye1234/LightGCN-PyTorch, Coder-Yu/SELFRec and RUCAIBox/RecBole; tools without a path
are left out, and all but lightgcn have SELFRec's alone or none. Ours are the shipped model options; a step is that of
fit(), batch and negatives included. With --epochs whole epochs run through fit(), history and its file included, and
`against` says so. Every contestant has a process of its own and they take turns, so that ratios compare what ran side
by side and peak memory is each one's own. The rows of a race take the place of all older ones of the same model,
`against`, data and machine in results/benchmarks/training.csv, for ratios to an older base say nothing of the new one.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import statistics
import subprocess
import sys
import tempfile
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
import yaml

from benchmarks import training_peers as peers
from benchmarks.machine import clock, copy_bandwidth, describe_machine, save_rows
from gnnrec.allocator import keep_freed_memory
from gnnrec.data.dataset import load_dataset
from gnnrec.data.interactions import Interactions
from gnnrec.data.planted import power_law_interactions
from gnnrec.data.splits import make_split
from gnnrec.errors import GnnrecError
from gnnrec.features import InitConfig, make_features
from gnnrec.graph import BipartiteGraph
from gnnrec.manifest import peak_memory_mib
from gnnrec.model import Recommender
from gnnrec.objectives import Objective, Weighted
from gnnrec.objectives.sampling import NegativeSampler
from gnnrec.training import TrainConfig, fit
from gnnrec.training.fit import batches, make_optimizer, train_step
from gnnrec.training.sampler import PairSampler
from gnnrec.typed import build

ROOT = Path(__file__).resolve().parents[1]
DIM, LAYERS, BATCH = peers.DIM, peers.LAYERS, peers.BATCH
IDENTITY = ["model", "against", "data", "num_edges", "device", "processor"]
# a call that trains a while and returns the seconds per step, of a clock and of the processors: [2]
Timer = Callable[[], np.ndarray]
OURS = ("lightgcn", "sgl-ed", "simgcl", "xsimgcl", "directau", "ultragcn", "gat", "pinsage")
SELFREC_NAME = {"lightgcn": "LightGCN", "sgl-ed": "SGL", "simgcl": "SimGCL", "xsimgcl": "XSimGCL"}
# contestants beside ours for a model, and the option that says where the tool is (None: a package)
PEERS = {
    "lightgcn": {
        "pyg-csr": None,
        "pyg-edge-index": None,
        "lightgcn-pytorch": "lightgcn_pytorch",
        "recbole": "recbole",
        "selfrec": "selfrec",
    },
    "sgl-ed": {"selfrec": "selfrec"},
    "simgcl": {"selfrec": "selfrec"},
    "xsimgcl": {"selfrec": "selfrec"},
    "directau": {},
    "ultragcn": {},
    "gat": {},
    "pinsage": {},
}


def main(argv: Sequence[str]) -> None:
    """Time what the command line asks for; see --help."""
    arguments = parse(argv)
    if arguments.worker:
        serve(contestant(arguments, *arguments.worker))
        return
    train = read_train(arguments)  # before any process starts: what cannot be read is told once
    for model in arguments.models:
        names = [n for n, o in PEERS[model].items() if o is None or getattr(arguments, o)]
        if arguments.peers is not None:
            names = [name for name in names if name in arguments.peers]
        rounds = race(argv, model, ["gnnrec", *names], arguments)
        rows = summarise(rounds, model, train, arguments)
        save_rows(arguments.output, rows, IDENTITY)
        print(rows.to_string(index=False), flush=True)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="a data set in native form with a published split")
    parser.add_argument("--edges", type=int, default=810_128, help="of the generated graph")
    for name in ("lightgcn-pytorch", "recbole", "selfrec"):
        parser.add_argument(f"--{name}", metavar="PATH", type=Path)
    parser.add_argument("--models", nargs="+", default=["lightgcn"], choices=OURS)
    parser.add_argument("--peers", nargs="*", choices=list(PEERS["lightgcn"]), help="default: all there are")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="of a contestant in a round")
    parser.add_argument("--epochs", action="store_true", help="ours train an epoch through fit() in a round")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"), help="of ours")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--note", default="", help="kept with the rows, for example 'busy machine'")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "benchmarks" / "training.csv")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def read_train(arguments: argparse.Namespace) -> Interactions:
    """Return the train pairs that every contestant gets."""
    if arguments.data is None:
        return power_law_interactions(arguments.edges, 29_858, 40_981, seed=0)
    return make_split(load_dataset(arguments.data), "published", 0).train


def contestant(arguments: argparse.Namespace, model: str, name: str) -> Timer:
    """Return a call that trains a while and returns the seconds per step."""
    train, device, steps = read_train(arguments), arguments.device, arguments.steps
    if name == "gnnrec":
        return ours(train, model, device, arguments.precision, None if arguments.epochs else steps)
    if name.startswith("pyg"):
        call = peers.pyg(train, device, sparse=name == "pyg-csr")
        steps = steps if name == "pyg-csr" else max(steps // 4, 1)
    elif name == "lightgcn-pytorch":
        call = peers.lightgcn_pytorch(arguments.lightgcn_pytorch, train, device)
    elif name == "recbole":
        call = peers.recbole(arguments.recbole, train, device)
    else:
        call = peers.selfrec(arguments.selfrec, SELFREC_NAME[model], train, device)
        steps = steps if model == "lightgcn" else max(steps // 2, 1)
    return lambda: call(steps)


def ours(
    train: Interactions, name: str, device: str, precision: str = "float32", steps: int | None = None
) -> Timer:
    """Return a timer of a shipped model option: of some steps, or (None) of an epoch through fit()."""
    config = yaml.safe_load((ROOT / "experiments" / "conf" / "model" / f"{name}.yaml").read_text("utf-8"))
    torch.manual_seed(0)
    model = Recommender(
        features=make_features(InitConfig(dim=DIM), train),
        encoder=build(config["encoder"], "encoder", dim=DIM),
        graph=BipartiteGraph.from_interactions(train).to(device),
        augmentations=[build(part, "augmentations") for part in config["augmentations"]],
    ).to(device)
    objective = Objective(
        {k: Weighted(build(v["term"], k), v["weight"]) for k, v in config["objective"].items()}
    )
    training = TrainConfig(epochs=1, batch_size=BATCH, precision=precision)
    return (
        _fit_timer(model, objective, training)
        if steps is None
        else _step_timer(model, objective, training, steps)
    )


def _fit_timer(model: Recommender, objective: Objective, config: TrainConfig) -> Timer:
    log = Path(tempfile.mkdtemp()) / "metrics.jsonl"

    def append(row: dict[str, float]) -> None:
        with log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def nothing(model: Recommender) -> dict[str, float]:
        return {f"validation/{config.select}": 0.0}

    def timed() -> np.ndarray:
        began = clock(str(model.graph.device))
        fit(model, objective, config, nothing, seed=0, on_row=append)
        return (clock(str(model.graph.device)) - began) / -(-model.graph.num_edges // config.batch_size)

    return timed


def _step_timer(model: Recommender, objective: Objective, config: TrainConfig, steps: int) -> Timer:
    keep_freed_memory()  # as fit() does
    device = model.graph.device
    optimizer, generator = make_optimizer(model, config), torch.Generator(device).manual_seed(0)
    negatives = NegativeSampler(model.graph) if objective.reads("negative") else None
    pairs = PairSampler(model.graph, config.batch_size)
    epochs = itertools.chain.from_iterable(
        batches(pairs, negatives, config.num_negatives, generator) for _ in itertools.count()
    )

    def timed() -> np.ndarray:
        began = clock(str(device))
        for batch in itertools.islice(epochs, steps):
            train_step(model, objective, optimizer, batch, generator, config.precision)
        return (clock(str(device)) - began) / steps

    return timed


def serve(call: Timer) -> None:
    """Run the call once for every line on standard input, and answer with a line of figures."""
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        seconds, cpu = call().tolist()
        told = {"seconds": seconds, "cpu": cpu, "peak_mib": peak_memory_mib() or math.nan}
        print(json.dumps(told), flush=True)


def race(
    argv: Sequence[str], model: str, names: Sequence[str], arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """Start a process per contestant, let them take turns, and return a row per contestant and round."""
    command = [sys.executable, __file__, *argv]
    workers = {name: _start([*command, "--worker", model, name]) for name in names}
    rows = []
    try:
        for number in range(arguments.rounds + 1):
            bandwidth = copy_bandwidth(arguments.device)
            for name, worker in workers.items():
                row = {"contestant": name, "round": number, "copy_gb_s": bandwidth, **_ask(worker, name)}
                print(f"{model} round {number} {name}: {1e3 * row['seconds']:.1f} ms", file=sys.stderr)
                if number:  # the first round warms up
                    rows.append(row)
    finally:
        for worker in workers.values():
            worker.kill()
    return rows


def _start(command: list[str]) -> subprocess.Popen[str]:
    # A process group of its own: Ctrl-C reaches us alone, who end them all; without us they end with their input.
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
    )


def _ask(worker: subprocess.Popen[str], name: str) -> dict[str, float]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    for message in ("", "go\n"):  # the first line tells that it is ready
        if message or not hasattr(worker, "ready"):
            with contextlib.suppress(BrokenPipeError):  # one that has ended gives no answer either
                worker.stdin.write(message)
                worker.stdin.flush()
            answer = worker.stdout.readline()
            if not answer:
                raise GnnrecError(f"'{name}' ended; its message is above")
            worker.ready = True  # pyright: ignore[reportAttributeAccessIssue]
    return json.loads(answer)


def floor_bytes(train: Interactions, layers: int = LAYERS, dim: int = DIM) -> int:
    """Return the bytes of a LightGCN step in which every buffer moves once.

    Per propagation, forward and backward alike: the node matrix read and written, and an index and a value of 4 bytes
    for each of 2 num_edges; Adam: parameters, gradient and two moments read, three of them written; the gradient at
    the output: written once and read once.
    """
    matrix = 4 * dim * (train.num_users + train.num_items)
    propagation = 2 * matrix + 8 * 2 * len(train)
    return 2 * layers * propagation + 7 * matrix + 2 * matrix


def summarise(
    rounds: list[dict[str, Any]], model: str, train: Interactions, arguments: argparse.Namespace
) -> pd.DataFrame:
    """Return one row per contestant: milliseconds, ratios to ours round by round, distance from the floor."""
    table = pd.DataFrame(rounds)
    base = table[table.contestant == "gnnrec"].set_index("round")
    against = f"gnnrec {arguments.precision}" + (", whole epochs" if arguments.epochs else "")
    rows = []
    for name, part in table.groupby("contestant", sort=False):
        part = part.set_index("round")
        ratio, cpu_ratio = part.seconds / base.seconds, part.cpu / base.cpu
        floor = floor_bytes(train) / 1e9 / part.copy_gb_s
        row: dict[str, Any] = {"model": model, "contestant": name, "against": against}
        for label, values, digits in (
            ("ms", 1e3 * part.seconds, 1),
            ("ratio", ratio, 2),
            ("times_floor", part.seconds / floor, 2),
        ):
            if label == "times_floor" and model != "lightgcn":
                continue
            for which in (min, statistics.median, max):
                row[f"{label}_{which.__name__}"] = round(float(which(values)), digits)
        row |= {
            "cpu_ms": round(1e3 * statistics.median(part.cpu), 1),
            "ratio_in_cpu_time": round(statistics.median(cpu_ratio), 2),
            "copy_gb_s": round(statistics.median(part.copy_gb_s), 1),
            "peak_mib": round(part.peak_mib.max()),
            "num_edges": len(train),
            "data": Path(arguments.data).name if arguments.data else "generated",
            "rounds": len(part),
            "note": arguments.note,
        }
        rows.append(row | describe_machine(arguments.device))
    return pd.DataFrame(rows)


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=False))
