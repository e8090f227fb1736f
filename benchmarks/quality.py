"""Quality against seconds of training: validation NDCG@20 and Recall@20 of trained presets, baselines as points.

    python benchmarks/quality.py --data ../shared/data/gowalla --seconds 300
    python benchmarks/quality.py --data FOLDER --runs "model=simgcl" "model=lightgcn-ssm init=spectral train=large"

Every run is `experiments/run.py`'s with these overrides, on the published split, judged on validation after each epoch;
the test is never touched. Of a model that is fused with baselines the graph part alone is trained and judged; models
that read texts are refused. The clock counts training alone, not validation, and stops a run after --seconds. A run
whose learning rate decays should name `train.epochs`, so that the decay fits into its time. All rows of a run take the
place of its older ones of the same machine in results/benchmarks/quality.csv; the figure beside it is drawn from it.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments.cli import run_main  # before torch: it limits the threads

# isort: split
import matplotlib.pyplot as plt
import pandas as pd

from benchmarks.machine import curve_names, describe_machine, save_rows
from experiments.compose import compose_config
from gnnrec.config import RunConfig
from gnnrec.data.dataset import load_dataset
from gnnrec.data.groups import item_groups, user_groups
from gnnrec.data.splits import Split, make_split
from gnnrec.errors import ConfigError
from gnnrec.evaluation.evaluate import evaluate
from gnnrec.evaluation.task import Task, validation_task
from gnnrec.make import make_objective, make_recommender
from gnnrec.model import Recommender
from gnnrec.training import TrainConfig, fit
from gnnrec.typed import build

ROOT = Path(__file__).resolve().parents[1]
RUNS = (
    "model=gfcf",
    "model=svd_ae",
    "model=ials",
    "model=lightgcn",
    "model=lightgcn init=spectral",
    "model=sgl-ed init=spectral",
    "model=simgcl init=spectral",
    "model=xsimgcl init=spectral",
    "model=lightgcn-ssm init=spectral train=large train.epochs=8",
    "model=lightgcn-sl init.std=0.01 train=bsl",
)
IDENTITY = ["data", "run", "device", "processor"]  # not the epoch: a shorter run leaves none behind


class _Spent(Exception):
    """The time of a run is over."""


def main(argv: Sequence[str]) -> None:
    """Measure what the command line asks for; see --help."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="a data set in native form with a published split")
    parser.add_argument("--runs", nargs="+", default=RUNS, metavar="OVERRIDES")
    parser.add_argument("--seconds", type=float, default=300.0, help="of training, for each run")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--note", default="", help="kept with the rows, for example 'one thread'")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "benchmarks" / "quality.csv")
    arguments = parser.parse_args(argv)
    split = make_split(load_dataset(arguments.data), "published", 0)
    for words in arguments.runs:
        overrides = ["dataset=folder", f"dataset.name={arguments.data}", "split=published", *words.split()]
        config = RunConfig.from_dict(compose_config([*overrides, f"device={arguments.device}"]))
        if any(config.needs_text()):
            raise ConfigError(f"'{words}' reads texts, which are not loaded here: name a model without them")
        rows = pd.DataFrame(measure(config, split, arguments.seconds))
        rows.insert(0, "run", words)
        rows.insert(0, "data", Path(arguments.data).name)
        rows = rows.assign(note=arguments.note, **describe_machine(arguments.device))
        save_rows(arguments.output, rows, IDENTITY)
        print(rows[["run", "epoch", "seconds", "ndcg", "recall"]].tail(1).to_string(index=False), flush=True)
    draw(pd.read_csv(arguments.output), arguments.output.with_suffix(".png"))


def measure(config: RunConfig, split: Split, seconds: float) -> list[dict[str, Any]]:
    """Return a row per epoch of a trained model, or the one row of a baseline: seconds so far, ndcg, recall."""
    task = validation_task(split, item_groups(split.train), user_groups(split.train))
    began = time.perf_counter()
    if config.model.baseline is not None:
        scorer = build(config.model.baseline, "model.baseline").fit(split.train)
        return [{"epoch": 0, "seconds": round(time.perf_counter() - began, 2), **quality(scorer, task)}]
    recommender = make_recommender(config, split.train)
    objective = make_objective(config, recommender, split.train)
    rows: list[dict[str, Any]] = []
    validating = 0.0

    def validate(model: Recommender) -> dict[str, float]:
        nonlocal validating
        start = time.perf_counter()
        found = quality(model, task)
        validating += time.perf_counter() - start
        spent = time.perf_counter() - began - validating
        rows.append({"epoch": len(rows) + 1, "seconds": round(spent, 2), **found})
        if spent > seconds:
            raise _Spent
        return {f"validation/{config.train.select}": found["ndcg"]}

    training = {**vars(config.train), "eval_every": 1, "patience": 10**6}
    with contextlib.suppress(_Spent):
        fit(recommender, objective, TrainConfig(**training), validate, config.seed)
    return rows


def quality(scorer: Any, task: Task) -> dict[str, float]:
    """Return NDCG@20 and Recall@20 on validation."""
    found = evaluate(scorer, task, (20,), metrics=("ndcg", "recall"), groups=False).metrics()
    return {name: round(found[f"{task.split}/{name}@20"], 5) for name in ("ndcg", "recall")}


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw NDCG against seconds, one line per run and a diamond per baseline, a panel per data set."""
    names = list(table["data"].unique())
    table = table.assign(run=curve_names(table, "run", ["device", "processor"]))
    figure, axes = plt.subplots(
        1, len(names), figsize=(6 * len(names), 5.5), constrained_layout=True, squeeze=False
    )
    for axis, name in zip(axes[0], names):
        here = table[table["data"] == name]
        for run, part in here.groupby("run", sort=False):  # the rows are in the order of their epochs
            style = "D" if list(part["epoch"]) == [0] else "-"
            axis.semilogx(part["seconds"], part["ndcg"], style, label=str(run))
        axis.set(xlabel="seconds of training", ylabel="validation NDCG@20", title=name)
    lines = {label: line for axis in axes[0] for line, label in zip(*axis.get_legend_handles_labels())}
    figure.legend(
        lines.values(), lines.keys(), loc="outside lower center", ncols=2, frameon=False, fontsize=7
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=False))
