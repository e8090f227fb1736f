"""Seconds, memory and the distance from the machine's limit of the models without gradient training.

    python benchmarks/closed_form.py --dataset FOLDER --models ease_items item_knn gfcf
    python benchmarks/closed_form.py --pairs 200000 --users 6000 --items 4000       generated data

Each model runs in a process of its own, so that its peak memory is its own. `plain_ease` is EASE as it is usually
written (numpy: inverse of the dense Gram matrix), and `implicit_als` the iALS of the package implicit where it is
installed. For EASE the rate of its n^3 operations is put beside that of a float32 matrix product measured just
before, in the same process. Rows are added to results/benchmarks/closed_form.csv.
"""

from __future__ import annotations

import argparse
import json
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
import numpy as np
import pandas as pd
import torch

from benchmarks.machine import describe_machine, save_rows
from gnnrec import baselines
from gnnrec.data.dataset import load_dataset
from gnnrec.data.interactions import Interactions
from gnnrec.data.planted import power_law_interactions
from gnnrec.errors import GnnrecError
from gnnrec.manifest import peak_memory_mib

OUT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "closed_form.csv"
IDENTITY = ["model", "users", "items", "pairs", "processor", "threads"]


class PlainEASE:
    """EASE as usually written: X^T X dense, numpy.linalg.inv, weights and scores in float32."""

    def fit(self, train: Interactions) -> PlainEASE:
        """Invert out of place."""
        self.history = train.csr()
        gram = (self.history.T @ self.history).toarray()
        gram[np.diag_indices_from(gram)] += 100.0
        inverse = np.linalg.inv(gram)
        self.weights = inverse / -np.diag(inverse)
        np.fill_diagonal(self.weights, 0.0)
        return self

    def scores(self, user: torch.Tensor) -> torch.Tensor:
        """Score all items."""
        return torch.from_numpy(self.history[user.numpy()] @ self.weights)


class ImplicitALS:
    """iALS of the package implicit, 64 factors, 16 epochs."""

    def fit(self, train: Interactions) -> ImplicitALS:
        """Fit on this machine's processor."""
        from implicit.cpu.als import AlternatingLeastSquares  # pyright: ignore[reportMissingImports]

        model = AlternatingLeastSquares(factors=64, iterations=16, random_state=0)
        model.fit(train.csr().tocsr(), show_progress=False)
        self.user_emb, self.item_emb = (
            torch.from_numpy(part) for part in (model.user_factors, model.item_factors)
        )
        return self

    def scores(self, user: torch.Tensor) -> torch.Tensor:
        """Score all items."""
        return self.user_emb[user] @ self.item_emb.T


MODELS: dict[str, Any] = {
    "item_knn": lambda: baselines.ItemKNN(100),
    "user_knn": lambda: baselines.UserKNN(100),
    "rp3beta": lambda: baselines.RP3Beta(300),
    "slim": lambda: baselines.SLIM(neighbours=100),
    "ease_items": lambda: baselines.EASE(100.0, "item"),
    "ease_users": lambda: baselines.EASE(100.0, "user"),
    "plain_ease": PlainEASE,
    "ials": lambda: baselines.IALS(64),
    "implicit_als": ImplicitALS,
    "svd": lambda: baselines.NormalizedSVD(256),
    "gfcf": lambda: baselines.GFCF(256),
    "svd_ae": lambda: baselines.SVDAE(512),
}


def main(argv: Sequence[str]) -> None:
    """Measure what the command line asks for; see --help."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dataset", help="a bundled name or a folder; all its pairs are used")
    parser.add_argument("--pairs", type=int, default=200_000, help="of generated data")
    parser.add_argument("--users", type=int, default=6_000)
    parser.add_argument("--items", type=int, default=4_000)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--score-users", type=int, default=2048, help="users whose scoring is timed")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.inside:
        print(json.dumps(measure(arguments.models[0], load(arguments), arguments.score_users)))
        return
    load(arguments)  # what cannot be read is told once
    failed = []
    for name in arguments.models:
        shared = [part for part in argv if part not in arguments.models and part != "--models"]
        command = [sys.executable, __file__, *shared, "--inside", "--models", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = done.stderr.strip() or f"ended with status {done.returncode}"
            print(f"{name}: {reason.splitlines()[-1]}", file=sys.stderr, flush=True)
            failed.append(name)
            continue
        row = json.loads(done.stdout.strip().splitlines()[-1])
        print(row, flush=True)
        save_rows(arguments.out, pd.DataFrame([row]), IDENTITY)
    if failed:
        raise GnnrecError(f"no row for {', '.join(failed)}; the reasons are above")


def load(arguments: argparse.Namespace) -> Interactions:
    """Return the pairs to fit on."""
    if arguments.dataset:
        return load_dataset(arguments.dataset).interactions.deduplicate()
    return power_law_interactions(arguments.pairs, arguments.users, arguments.items)


def measure(name: str, train: Interactions, score_users: int) -> dict[str, Any]:
    """Fit and score one model in this process."""
    rate = product_rate() if "ease" in name else float("nan")
    before = peak_memory_mib() or 0.0
    start = time.perf_counter()
    model = MODELS[name]().fit(train)
    fit_seconds = time.perf_counter() - start
    users = torch.arange(min(score_users, train.num_users))
    start = time.perf_counter()
    for block in users.split(128):
        model.scores(block)
    score_seconds = time.perf_counter() - start
    peak = peak_memory_mib() or 0.0
    side = train.num_users if name == "ease_users" else train.num_items
    return {
        "model": name,
        "users": train.num_users,
        "items": train.num_items,
        "pairs": len(train),
        "fit seconds": round(fit_seconds, 2),
        "scored users per second": round(len(users) / score_seconds),
        "peak GiB above start": round((peak - before) / 1024, 2),
        "GFLOP/s of n^3": round(side**3 / fit_seconds / 1e9, 1) if "ease" in name else None,
        "GFLOP/s of a product": round(rate, 1) if "ease" in name else None,
        **describe_machine(packages=("numpy",)),
    }


def product_rate(size: int = 2048) -> float:
    """Return the GFLOP/s of a float32 matrix product, the best of three."""
    a, b = torch.rand(size, size), torch.rand(size, size)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds) / 1e9


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=False))
