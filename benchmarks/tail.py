"""Does text help the tail of the best model without text, at no cost overall? Fusion with content kNN, on several sets.

    python benchmarks/tail.py --data debian ../shared/data/ml-latest-small --seeds 0 1 2 3 4

For each data set and each random split (the seed draws it): four settings each of item kNN, user kNN, RP3beta and EASE
are judged on validation, and the best by NDCG@20 is the model without text. It is fused with content kNN (Fusion with a
prior, gnnrec/baselines/fusion.py), sixteen settings; of those that lose nothing overall on validation, the one with the
best tail NDCG@20 there is taken, else the best overall. The control goes through the same with shuffled text vectors.
Test is scored once for each of the three. Rows are added to results/tail.csv; results/tail.md is written from it.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments.cli import run_main  # before torch: it limits the threads

# isort: split
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmarks.machine import save_rows
from gnnrec.baselines import EASE, ContentKNN, Fusion, ItemKNN, RP3Beta, UserKNN
from gnnrec.baselines.fusion import Fitted
from gnnrec.data.dataset import Dataset, load_dataset
from gnnrec.data.groups import item_groups, user_groups
from gnnrec.data.splits import Split, make_split
from gnnrec.evaluation.evaluate import Evaluation, evaluate
from gnnrec.evaluation.significance import holm, paired_t
from gnnrec.evaluation.task import Task, test_task, validation_task
from gnnrec.files import write_text
from gnnrec.report.frame import records
from gnnrec.text import TextConfig
from gnnrec.text.nodes import node_vectors

ROOT = Path(__file__).resolve().parents[1]
TESTED = ("ndcg@20", "tail/ndcg@20")
METRICS = ("ndcg@20", "recall@20", "head/ndcg@20", "mid/ndcg@20", "tail/ndcg@20")
RIVALS: dict[str, list[Any]] = {
    "item kNN": [ItemKNN(k=k) for k in (50, 100, 300, 1000)],
    "user kNN": [UserKNN(k=k, feature_weighting=w) for k in (50, 200) for w in ("none", "tf_idf")],
    "RP3beta": [RP3Beta(k=k, alpha=1.0, beta=b) for k in (100, 300) for b in (0.2, 0.5)],
    "EASE": [EASE(l2=l2) for l2 in (5.0, 20.0, 80.0, 320.0)],
}
WEIGHTS, PRIORS = (0.2, 0.4, 0.6, 0.8), (2.0, 5.0, 20.0, 80.0)


class Scored:
    """The scores of a fitted model, computed once for the users that a task evaluates."""

    def __init__(self, model: Any, users: np.ndarray, num_users: int) -> None:
        self.place = torch.full((num_users,), -1)
        self.place[torch.from_numpy(users)] = torch.arange(len(users))
        self.values = model.scores(torch.from_numpy(users))

    def scores(self, user: Tensor) -> Tensor:
        """Score all items: [len(user), num_items] float32."""
        return self.values[self.place[user]]


def main(argv: Sequence[str]) -> None:
    """Measure what the command line asks for; see --help."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", default=["debian"], help="bundled names or folders")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "tail.csv")
    arguments = parser.parse_args(argv)
    for name in arguments.data:
        dataset = load_dataset(name)
        found = [one_split(dataset, make_split(dataset, "random", seed)) for seed in arguments.seeds]
        rows = summary(dataset.name, arguments.seeds, found)
        save_rows(arguments.output, rows, ["data", "model"])
        write_text(arguments.output.with_suffix(".md"), markdown(pd.read_csv(arguments.output)))
        print(rows.to_string(index=False), flush=True)


def one_split(dataset: Dataset, split: Split) -> dict[str, Any]:
    """Choose all settings on validation and return each model's test evaluation, and what was chosen."""
    groups = item_groups(split.train), user_groups(split.train)
    validation, test = validation_task(split, *groups), test_task(split, *groups)
    name, best, base = best_rival(split, validation)
    result: dict[str, Any] = {"without text": (name, measured(best, test))}
    for label, control in (("with text", "none"), ("shuffled text", "shuffled")):
        vectors = node_vectors(
            dataset, "item", TextConfig(control=control), split.train, split.fingerprint
        ).vectors
        content = ContentKNN(k=50).fit(split.train, vectors)
        weight, prior = choose(best, content, split, validation, base)
        result[label] = (f"{weight:g}, {prior:g}", measured(fuse(best, content, weight, prior, split), test))
    print(f"{dataset.name} seed {split.seed}: { ({k: v[0] for k, v in result.items()}) }", flush=True)
    return result


def best_rival(split: Split, task: Task) -> tuple[str, Any, Mapping[str, float]]:
    """Return the name, the fitted model and the validation metrics of the best model without text."""
    best: tuple[str, Any, Mapping[str, float]] = "", None, {"validation/ndcg@20": -1.0}
    for name, settings in RIVALS.items():
        for model in settings:
            metrics = measured(model.fit(split.train), task).metrics()
            if metrics["validation/ndcg@20"] > best[2]["validation/ndcg@20"]:
                best = name, model, metrics
    return best


def choose(
    model: Any, content: Any, split: Split, task: Task, base: Mapping[str, float]
) -> tuple[float, float]:
    """Return the weight and the prior of content kNN beside a model, by the rule of this file."""
    users = np.flatnonzero(task.relevant.user_counts())
    parts = [Scored(part, users, split.train.num_users) for part in (model, content)]
    tried = []
    for weight, prior in itertools.product(WEIGHTS, PRIORS):
        metrics = measured(fuse(parts[0], parts[1], weight, prior, split), task).metrics()
        overall, tail = metrics["validation/ndcg@20"], metrics["validation/tail/ndcg@20"]
        loses_nothing = overall >= base["validation/ndcg@20"]
        tried.append((loses_nothing, tail if loses_nothing else overall, weight, prior))
    return max(tried)[2:]


def fuse(model: Any, content: Any, weight: float, prior: float, split: Split) -> Fusion:
    """Return the fusion of two fitted models."""
    parts = {"model": Fitted(model), "content": Fitted(content)}
    return Fusion(parts, {"model": 1.0, "content": weight}, {"content": prior}).fit(split.train)


def measured(scorer: Any, task: Task) -> Evaluation:
    """Return NDCG and Recall at 20 by item group."""
    return evaluate(scorer, task, (20,), metrics=("ndcg", "recall"))


def summary(data: str, seeds: Sequence[int], found: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a row per model: means and deviations over the splits, gain in the tail, and tests against the first.

    Every split has test pairs of its own; the tests are over users, each averaged over the splits.
    """
    rows = []
    for label in found[0]:
        row: dict[str, Any] = {"data": data, "model": label, "seeds": len(seeds)}
        row["chosen"] = "; ".join(dict.fromkeys(one[label][0] for one in found))
        for metric in METRICS:
            values = [one[label][1].metrics()[f"test/{metric}"] for one in found]
            row[metric] = round(float(np.mean(values)), 4)
            row[f"{metric} deviation"] = round(float(np.std(values, ddof=1)), 4) if len(values) > 1 else None
        if label != "without text":
            for metric in TESTED:
                difference = user_means(found, label, metric) - user_means(found, "without text", metric)
                row[f"p {metric}"] = float(f"{paired_t(difference[~np.isnan(difference)]):.2g}")
            base = rows[0]["tail/ndcg@20"]  # of a model that never shows a tail item: 0
            row["tail gain"] = round(row["tail/ndcg@20"] / base - 1, 3) if base else None
        rows.append(row)
    return pd.DataFrame(rows)


def user_means(found: Sequence[Mapping[str, Any]], label: str, metric: str) -> np.ndarray:
    """Return each user's mean over the splits, NaN for one who has no relevant item in any: float64 [num_users]."""
    evaluations = [one[label][1] for one in found]
    size = 1 + max(int(evaluation.users.max()) for evaluation in evaluations)
    total, count = np.zeros(size), np.zeros(size)
    for evaluation in evaluations:
        value = evaluation.per_user[f"test/{metric}"]
        known = ~np.isnan(value)
        total[evaluation.users[known]] += value[known]
        count[evaluation.users[known]] += 1
    return np.divide(total, count, out=np.full(size, np.nan), where=count > 0)


def markdown(table: pd.DataFrame) -> str:
    """Return the table as markdown, its p-values corrected, with what its numbers mean."""
    p_values = [f"p {metric}" for metric in TESTED]
    columns = ["data", "model", "chosen", "seeds", *METRICS, "tail gain", *p_values]
    table = table.assign(
        **{name: [float(f"{p:.2g}") for p in holm(table[name].tolist())] for name in p_values}
    )
    lines = [
        "# Text in the tail",
        "",
        *[line for line in (__doc__ or "").split("\n\n")[2].splitlines()],
        "",
        "`chosen`: the best model without text; weight and prior of content kNN beside it. Means over random splits,",
        "test; p: paired t-test against the model without text over users, each averaged over the splits;",
        "Holm-corrected over all rows of the column (the csv file has the uncorrected ones).",
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
    ]
    for row in records(table):
        lines.append("| " + " | ".join("" if pd.isna(row[c]) else str(row[c]) for c in columns) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=False))
