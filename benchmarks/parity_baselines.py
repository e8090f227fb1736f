"""Published numbers of baselines on the LightGCN files of Gowalla and Yelp2018 beside ours, one command per row.

    python benchmarks/parity_baselines.py --data ../shared/data

Settings are the published ones, which their authors selected on test: protocol=legacy_test_selected, train and
validation together. Finished runs below tracking.root are read, not run again; --finished shows only these. Writes
results/parity_baselines.csv and .md. EASE needs about 4 GB of memory and a few minutes on two free cores.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import pandas as pd

from experiments.cli import run_main
from experiments.compose import compose_config
from gnnrec.config import RunConfig
from gnnrec.files import whole_file, write_text
from gnnrec.run import open_run, run

RESULTS = Path(__file__).resolve().parents[1] / "results"
COMMON = ["split=published", "protocol=legacy_test_selected", "tracking=disabled"]
BARS_KNN = ["model=item_knn", "model.baseline.normalize=true", "model.baseline.center=true"]
RP3 = ["model=rp3beta", "model.baseline.normalize=true"]
BARS = "BARS (Open-CF-Benchmark)"
MYTH = "arXiv 2308.00404 (settings only)"


class Row(NamedTuple):
    """One published result: label, data set, overrides, recall@20, ndcg@20 (None: not at hand), and its source."""

    label: str
    data: str
    overrides: list[str]
    recall: float | None
    ndcg: float | None
    source: str


ROWS = [
    Row("popularity", "gowalla", ["model=popularity"], 0.0416, 0.0317, BARS),
    Row("popularity", "yelp2018", ["model=popularity"], 0.0124, 0.0101, BARS),
    Row("item kNN", "gowalla", [*BARS_KNN, "model.baseline.k=100"], 0.1570, 0.1214, BARS),
    Row(
        "item kNN",
        "yelp2018",
        [*BARS_KNN, "model.baseline.k=150", "model.baseline.similarity=pearson"],
        0.0639,
        0.0531,
        BARS,
    ),
    Row("EASE", "gowalla", ["model=ease", "model.baseline.l2=80"], 0.1765, 0.1467, BARS),
    Row("EASE", "yelp2018", ["model=ease", "model.baseline.l2=300"], 0.0657, 0.0552, BARS),
    Row("GF-CF", "gowalla", ["model=gfcf"], 0.1849, 0.1518, BARS),
    Row("GF-CF", "yelp2018", ["model=gfcf"], 0.0697, 0.0571, BARS),
    Row("SVD-AE", "gowalla", ["model=svd_ae", "model.baseline.dim=1194"], None, None, "authors' rank"),
    Row("SVD-AE", "yelp2018", ["model=svd_ae", "model.baseline.dim=1267"], None, None, "authors' rank"),
    Row("user kNN", "gowalla", ["model=user_knn", "model.baseline.k=146"], None, None, MYTH),
    Row("user kNN", "yelp2018", ["model=user_knn", "model.baseline.k=146"], None, None, MYTH),
    Row(
        "RP3beta",
        "gowalla",
        [
            *RP3,
            "model.baseline.k=777",
            "model.baseline.alpha=0.5663562161452378",
            "model.baseline.beta=0.001085447926739258",
        ],
        None,
        None,
        MYTH,
    ),
    Row(
        "RP3beta",
        "yelp2018",
        [
            *RP3,
            "model.baseline.k=342",
            "model.baseline.alpha=0.7681732734954694",
            "model.baseline.beta=0.4181395996963926",
        ],
        None,
        None,
        MYTH,
    ),
    Row(
        "SLIM",
        "gowalla",
        ["model=slim", "model.baseline.l1=0.00015", "model.baseline.l2=149.3"],
        0.1699,
        0.1382,
        BARS,
    ),
    Row(
        "SLIM",
        "yelp2018",
        ["model=slim", "model.baseline.l1=0.0317", "model.baseline.l2=316.6"],
        0.0646,
        0.0541,
        BARS,
    ),
]


def main(argv: Sequence[str]) -> None:
    """Run or read every row, then write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds gowalla and yelp2018")
    parser.add_argument("--root", default="runs", help="tracking.root")
    parser.add_argument("--finished", action="store_true", help="only rows whose run is finished")
    arguments = parser.parse_args(argv)
    table = []
    for row in ROWS:
        overrides = [f"dataset.name={arguments.data / row.data}", *COMMON, *row.overrides]
        config = RunConfig.from_dict(compose_config([*overrides, f"tracking.root={arguments.root}"]))
        if arguments.finished and not open_run(config).finished:
            continue
        table.append(result_row(row, run(config).metrics))
        print(table[-1], flush=True)
    frame = pd.DataFrame(table)
    with whole_file(RESULTS / "parity_baselines.csv") as temporary:
        frame.to_csv(temporary, index=False)
    write_text(RESULTS / "parity_baselines.md", markdown(frame))


def result_row(row: Row, metrics: dict[str, float]) -> dict[str, Any]:
    """Return one line of the table; differences are ours minus published."""
    recall, ndcg = metrics["test/recall@20"], metrics["test/ndcg@20"]
    command = [
        "python experiments/run.py",
        f"dataset.name=../shared/data/{row.data}",
        *COMMON,
        *row.overrides,
    ]
    return {
        "model": row.label,
        "data": row.data,
        "published recall@20": row.recall,
        "recall@20": round(recall, 4),
        "published ndcg@20": row.ndcg,
        "ndcg@20": round(ndcg, 4),
        "recall difference": None if row.recall is None else round(recall - row.recall, 4),
        "ndcg difference": None if row.ndcg is None else round(ndcg - row.ndcg, 4),
        "source": row.source,
        "protocol": "legacy_test_selected",
        "command": " ".join(command),
    }


def markdown(frame: pd.DataFrame) -> str:
    """Return the table and the commands as markdown."""
    shown = [name for name in frame.columns if name not in ("command", "protocol")]
    lines = [
        "# Baselines beside published numbers (protocol: legacy_test_selected)",
        "",
        "Recall@20 and NDCG@20, full ranking, on the LightGCN files of Gowalla and Yelp2018. Settings are the",
        "published ones, which their authors selected on test: the table says how near this code is to others',",
        "not how good a model is. Made by `python benchmarks/parity_baselines.py --data ../shared/data`.",
        "",
        "| " + " | ".join(shown) + " |",
        "|" + "---|" * len(shown),
    ]
    for values in frame[shown].itertuples(index=False):
        lines.append("| " + " | ".join("" if pd.isna(v) else str(v) for v in values) + " |")
    lines += ["", "Commands:", ""]
    lines += [f"    {command}" for command in frame["command"]]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(run_main(main))
