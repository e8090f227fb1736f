"""Tune every baseline with the same budget on validation, then score the best setting on test once.

    python benchmarks/tune_baselines.py --dataset debian --split random --out results/baselines_debian.csv

Every model gets the same number of settings (8; popularity has none). The best validation ndcg@20 decides. A row takes
the place of an older one of the same model, data set, split and seed in --out; all others are kept.
"""

from __future__ import annotations

import argparse
import itertools
import shlex
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

from experiments.compose import compose_config
from gnnrec import baselines
from gnnrec.data.dataset import load_dataset
from gnnrec.data.groups import item_groups, user_groups
from gnnrec.data.splits import Split, make_split
from gnnrec.evaluation.evaluate import evaluate
from gnnrec.evaluation.task import Task, test_task, validation_task
from gnnrec.files import whole_file
from gnnrec.text import TextConfig
from gnnrec.text.nodes import node_vectors
from gnnrec.typed import read

SELECT = "ndcg@20"
GROUPS = ("", "head/", "mid/", "tail/", "cold/", "cold_only/", "warm_only/")
# model option of experiments/conf/model -> grid; the product of the lists is 8 settings
GRIDS: dict[str, tuple[type, dict[str, list[Any]]]] = {
    "popularity": (baselines.Popularity, {}),
    "item_knn": (baselines.ItemKNN, {"k": [50, 100, 300, 1000], "similarity": ["cosine", "jaccard"]}),
    "user_knn": (baselines.UserKNN, {"k": [20, 50, 100, 300], "feature_weighting": ["none", "tf_idf"]}),
    "rp3beta": (baselines.RP3Beta, {"k": [100, 300], "alpha": [0.6, 1.0], "beta": [0.2, 0.5]}),
    "slim": (baselines.SLIM, {"l1": [0.1, 1.0], "l2": [5.0, 20.0, 50.0, 100.0]}),
    "ease": (baselines.EASE, {"l2": [5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]}),
    "ials": (baselines.IALS, {"dim": [64, 256], "unobserved": [0.05, 0.3], "l2": [0.001, 0.005]}),
    "svd": (baselines.NormalizedSVD, {"dim": [64, 128, 256, 512], "item_power": [0.0, 0.5]}),
    "gfcf": (baselines.GFCF, {"dim": [64, 256], "weight": [0.1, 0.3, 1.0, 3.0]}),
    "svd_ae": (baselines.SVDAE, {"dim": [64, 96, 128, 192, 256, 384, 512, 768]}),
    "content_knn": (baselines.ContentKNN, {"k": [20, 50, 100, 300], "power": [1.0, 3.0]}),
    "text_ridge": (baselines.TextRidge, {"dim": [128, 512], "l2": [0.001, 0.01], "prior": [2.0, 20.0]}),
    "text_ease": (
        baselines.TextEASE,
        {"l2": [5.0, 50.0], "text_weight": [5.0, 50.0], "text_l2": [1.0, 10.0]},
    ),
}
WITH_TEXT = ("content_knn", "text_ridge", "text_ease")


def main(argv: Sequence[str]) -> None:
    """Tune what the command line asks for; see --help."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dataset", default="debian", help="a bundled name or a folder")
    parser.add_argument("--split", default="random", help="a name of make_split")
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    parser.add_argument("--text", default="minilm", help="an option of experiments/conf/text")
    parser.add_argument("--models", nargs="+", default=list(GRIDS), choices=list(GRIDS))
    parser.add_argument("--out", type=Path, required=True, help="the csv file that rows are added to")
    arguments = parser.parse_args(argv)
    dataset = load_dataset(arguments.dataset)
    split = make_split(dataset, arguments.split, arguments.seed)
    vectors = None
    if any(name in WITH_TEXT for name in arguments.models):
        config = read(TextConfig, compose_config([f"text={arguments.text}"])["text"])
        vectors = node_vectors(dataset, "item", config, split.train, split.fingerprint).vectors
    for name in arguments.models:
        row = tune(name, split, vectors if name in WITH_TEXT else None)
        row = {
            "dataset": dataset.name,
            "split": split.name,
            "seed": arguments.seed,
            **row,
            "command": command_line(arguments, name),
        }
        save(arguments.out, row)
        print({k: v for k, v in row.items() if k in ("model", "params", f"validation {SELECT}")}, flush=True)


def command_line(arguments: argparse.Namespace, model: str) -> str:
    """Return the command that makes the row of one model."""
    words = ["--dataset", arguments.dataset, "--split", arguments.split, "--seed", str(arguments.seed)]
    words += ["--text", arguments.text, "--models", model, "--out", str(arguments.out)]
    return f"python benchmarks/tune_baselines.py {shlex.join(words)}"


def tune(name: str, split: Split, vectors: np.ndarray | None) -> dict[str, Any]:
    """Fit all settings of one model, and return its row: the best setting with its validation and test metrics."""
    factory, grid = GRIDS[name]
    items, users = item_groups(split.train), user_groups(split.train)
    settings = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    best, best_value, fit_seconds = (settings[0], {}, None), -1.0, 0.0
    for setting in settings:
        start = time.perf_counter()
        model = factory(**setting).fit(split.train, item_vectors=vectors)
        fit_seconds = time.perf_counter() - start
        found = measure(model, validation_task(split, items, users))
        print(f"  {name} {setting} {found[f'validation {SELECT}']:.4f} {fit_seconds:.1f} s", flush=True)
        if found[f"validation {SELECT}"] > best_value:
            best, best_value = (setting, found, model), found[f"validation {SELECT}"]
    setting, validation, model = best
    test = measure(model, test_task(split, items, users))
    params = " ".join(f"{k}={v}" for k, v in setting.items())
    return {"model": name, "settings": len(settings), "params": params, **validation, **test}


def measure(model: Any, task: Task) -> dict[str, float]:
    """Return recall@20 and ndcg@20 of all groups there are."""
    metrics = evaluate(model, task, ks=(20,), metrics=("recall", "ndcg")).metrics()
    row = {}
    for group, metric in itertools.product(GROUPS, ("recall@20", "ndcg@20")):
        key = f"{task.split}/{group}{metric}"
        if key in metrics:
            row[f"{task.split} {group}{metric}".replace("/", " ")] = round(metrics[key], 5)
    return row


def save(path: Path, row: dict[str, Any]) -> None:
    """Put the row into the csv file, in the place of an older one of the same model, data set, split and seed."""
    identity = ["dataset", "split", "seed", "model"]
    table = pd.DataFrame([row])
    if path.exists():
        old = pd.read_csv(path)
        same = (old[identity] == pd.Series(row)[identity]).all(axis=1)
        table = pd.concat([old[~same], table], ignore_index=True)
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False)


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=False))
