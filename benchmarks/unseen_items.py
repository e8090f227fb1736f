"""Whose recall is the joint recall of unseen items? Finished runs over several splits, read again.

    python experiments/run.py -m dataset=debian split=cold_items \\
      split.seed=0,1,2 model=content_knn text.reduce=none,contrastive
    python benchmarks/unseen_items.py runs --key text.reduce --first none

A few popular items may hold a third of the test pairs of unseen items, so that Recall averaged over users says how
these few fare. For each value of the key: Recall@20 among all items (joint), averaged over users, over unseen items
(the share of an item's test users who find it), and over pairs without the five items of most test pairs; behind each
the gain over the first value of the key, its mean over splits (least to most). The folder must hold runs that differ
in key and split alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments.cli import format_table, run_main  # before torch: it limits the threads

# isort: split
import numpy as np

from gnnrec.errors import ConfigError, DataError
from gnnrec.report.frame import FinishedRun, finished_runs, flatten

WAYS = ("over users", "over items", "without five items")
MOST = 5


def recalls(run: FinishedRun) -> list[float]:
    """Return the joint Recall@20 of unseen items in the three WAYS."""
    arrays = run.per_user("item_degree", "item_relevant", "item_hits@20")
    unseen = (arrays["item_degree"] == 0) & (arrays["item_relevant"] > 0)
    if not unseen.any():
        raise DataError(f"'{run.path}' has no test pair of an unseen item: take a cold-item split")
    relevant, hits = arrays["item_relevant"][unseen], arrays["item_hits@20"][unseen]
    others = np.argsort(-relevant, kind="stable")[MOST:]
    without = hits[others].sum() / relevant[others].sum() if len(others) else float("nan")
    return [run.result["metrics"]["test/cold/recall@20"], float((hits / relevant).mean()), float(without)]


def main(argv: Sequence[str]) -> None:
    """Print the table; see --help."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--key", required=True, help="what the runs differ in, as text.reduce")
    parser.add_argument("--first", help="the value that others are compared with (the first in order)")
    arguments = parser.parse_args(argv)
    found: dict[str, dict[str, list[float]]] = {}
    for run in finished_runs(arguments.folder):
        config = flatten(run.config)
        if arguments.key not in config:
            raise ConfigError(f"--key {arguments.key} is no key of '{run.path / 'config.yaml'}'")
        split = run.manifest["fingerprints"]["split"]
        if split in found.setdefault(str(config[arguments.key]), {}):
            raise ConfigError(
                f"two runs of {arguments.key}={config[arguments.key]} have one split, '{run.path}' is one: "
                "give a folder of runs that differ in key and split alone"
            )
        found[str(config[arguments.key])][split] = recalls(run)
    if not found:
        raise ConfigError(f"there is no finished run below '{arguments.folder}'")
    first = arguments.first or min(found)
    if first not in found:
        raise ConfigError(
            f"--first {first} is no value of {arguments.key} here (there are {', '.join(sorted(found))})"
        )
    rows = [
        row(name, found[name], found[first]) for name in sorted(found, key=lambda name: (name != first, name))
    ]
    print(format_table([arguments.key, "splits", *WAYS], rows))


def row(name: str, splits: dict[str, list[float]], first: dict[str, list[float]]) -> list[object]:
    """Return the cells of one value of the key: means over splits, and ratios to the first value on the same splits."""
    common = sorted(splits.keys() & first.keys())
    if not common:
        raise ConfigError(f"'{name}' has no split in common with the value that it is compared with")
    values, base = (np.array([runs[split] for split in common]) for runs in (splits, first))
    change = values / base - 1
    gains = zip(change.mean(axis=0), change.min(axis=0), change.max(axis=0), strict=True)
    told = [f"{mean:+.1%} ({least:+.1%} to {most:+.1%})" for mean, least, most in gains]
    return [
        name,
        len(common),
        *(f"{value:.4f} {gain}" for value, gain in zip(values.mean(axis=0), told, strict=True)),
    ]


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=False))
