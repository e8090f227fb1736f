"""Speed and memory of the data path: read, de-duplicate, 10-core, split, write, open.

    python benchmarks/data.py                  10 million interactions from CSV, beside plain pandas (3-4 minutes)
    python benchmarks/data.py --recbole PATH   the same, beside the loader of a RecBole checkout
    python benchmarks/data.py --large          100 million generated interactions, opened and split (16 GB)

Every measurement runs in a process of its own, and peak memory is that of the process. Rows go to
results/benchmarks/data.csv; limits are those that the project promises (docs/data.md).
"""

from __future__ import annotations

import argparse
import importlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from experiments.cli import run_main
from gnnrec.errors import ConfigError, GnnrecError

RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "data.csv"
LIMITS = {"gnnrec: read, de-duplicate, 10-core, split, write": (60.0, 4.0), "gnnrec: open native": (2.0, 4.0)}
LIMITS["gnnrec: open and split"] = (float("inf"), 12.0)


def generate_csv(folder: Path, size: int) -> None:
    """Write `size` rows with ratings, times and 2% repeated pairs, in random order."""
    import pyarrow as pa
    import pyarrow.csv as pc

    from gnnrec.data.planted import power_law_interactions

    rows = power_law_interactions(int(size / 0.96), size // 60, size // 200, exponent=0.6, seed=0)
    generator = np.random.default_rng(1)
    order = generator.permutation(len(rows))[: int(size * 0.98)]
    order = generator.permutation(np.concatenate([order, generator.choice(order, size - len(order))]))
    table = pa.table(
        {
            "user_id": rows.user[order].astype(np.int64) + 1_000_000,
            "item_id": rows.item[order].astype(np.int64) + 5_000_000,
            "rating": generator.integers(1, 6, size=len(order)),
            "timestamp": generator.integers(1_300_000_000, 1_600_000_000, size=len(order)),
        }
    )
    pc.write_csv(table, folder / "interactions.csv", pc.WriteOptions(quoting_style="none"))
    atomic = folder / "recbole" / "bench"
    atomic.mkdir(parents=True, exist_ok=True)
    kinds = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
    options = pc.WriteOptions(quoting_style="none", delimiter="\t", include_header=False)
    with (atomic / "bench.inter").open("wb") as stream:
        stream.write(("\t".join(kinds) + "\n").encode())
        pc.write_csv(table, stream, options)


def ours(folder: Path, size: int) -> None:
    """Run the whole pipeline of this project on the CSV file."""
    from gnnrec.data.native import write_native
    from gnnrec.data.readers.tabular import read_tabular
    from gnnrec.data.recipe import apply_recipe

    path = folder / "interactions.csv"
    dataset = read_tabular(path, user="user_id", item="item_id", rating="rating", timestamp="timestamp")
    dataset = apply_recipe(dataset, [{"step": "deduplicate"}, {"step": "k_core", "k": 10}])
    split = dataset.split("random", seed=0)
    write_native(dataset, folder / "native")
    for part in ("train", "validation", "test"):
        write_native(dataset.with_interactions(getattr(split, part)), folder / "native" / part)
    print(len(dataset.interactions))


def open_native(folder: Path, size: int) -> None:
    """Open the native folder that `ours` wrote."""
    from gnnrec.data.dataset import load_dataset

    print(len(load_dataset(folder / "native").interactions))


def plain_pandas(folder: Path, size: int) -> None:
    """Do the same with pandas as one would write it by hand."""
    import pandas as pd

    frame: Any = pd.read_csv(folder / "interactions.csv")
    frame = frame.sort_values("timestamp").drop_duplicates(["user_id", "item_id"], keep="last")
    while True:
        before = len(frame)
        frame = frame[frame.groupby("user_id")["item_id"].transform("size") >= 10]
        frame = frame[frame.groupby("item_id")["user_id"].transform("size") >= 10]
        if len(frame) == before:
            break
    frame["user"], _ = pd.factorize(frame["user_id"], sort=True)
    frame["item"], _ = pd.factorize(frame["item_id"], sort=True)
    frame = frame.sample(frac=1, random_state=0)
    place = frame.groupby("user").cumcount() / frame.groupby("user")["item"].transform("size")
    for name, low, high in (("train", 0.2, 2), ("validation", 0.1, 0.2), ("test", -1, 0.1)):
        frame[(place >= low) & (place < high)].to_parquet(folder / f"pandas_{name}.parquet")
    print(len(frame))


def recbole(folder: Path, size: int) -> None:
    """Load and filter with RecBole's dataset class; it neither splits nor writes: less than we do."""
    options = {
        "data_path": str(folder / "recbole"),
        "user_inter_num_interval": "[10,inf)",
        "item_inter_num_interval": "[10,inf)",
        "rm_dup_inter": "last",
        "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]},
        "use_gpu": False,
    }
    recbole_data = importlib.import_module("recbole.data")
    config = importlib.import_module("recbole.config")
    dataset = recbole_data.create_dataset(config.Config(model="BPR", dataset="bench", config_dict=options))
    print(dataset.inter_num)


def generate_native(folder: Path, size: int) -> None:
    """Write a native folder of `size` power-law interactions."""
    from gnnrec.data.dataset import Dataset, id_table
    from gnnrec.data.native import write_native
    from gnnrec.data.planted import power_law_interactions

    rows = power_law_interactions(size, size // 50, size // 200, exponent=0.6, seed=0)
    users, items = id_table("user", rows.num_users), id_table("item", rows.num_items)
    write_native(Dataset("large", rows, users, items), folder / "large")
    print(len(rows))


def open_and_split(folder: Path, size: int) -> None:
    """Open the large native folder and split it at random per user."""
    from gnnrec.data.dataset import load_dataset

    dataset = load_dataset(folder / "large")
    split = dataset.split("random", seed=0)
    print(len(split.train) + len(split.validation) + len(split.test))


CASES: dict[str, Callable[[Path, int], None]] = {
    "generate csv": generate_csv,
    "gnnrec: read, de-duplicate, 10-core, split, write": ours,
    "gnnrec: open native": open_native,
    "pandas: the same by hand": plain_pandas,
    "RecBole: load, de-duplicate, 10-core": recbole,
    "generate native": generate_native,
    "gnnrec: open and split": open_and_split,
}


def measure(case: str, folder: Path, size: int, recbole_path: str) -> dict[str, object]:
    """Run a case in a process of its own and return its row; seconds leave out the imports."""
    from benchmarks.machine import describe_machine  # torch is no part of a case's memory

    command = [sys.executable, __file__, "--case", case, "--folder", str(folder), "--size", str(size)]
    environment = dict(os.environ)
    if CASES[case] is recbole:
        environment["PYTHONPATH"] = recbole_path
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        reason = done.stderr.strip() or f"ended with status {done.returncode}"
        print(f"{case}: failed: {reason.splitlines()[-1]}", file=sys.stderr)
        return {}
    seconds, processor, peak = map(float, done.stdout.strip().splitlines()[-1].split())
    limit_seconds, limit_gb = LIMITS.get(case, ("", ""))
    within = "" if limit_seconds == "" else seconds <= float(limit_seconds) and peak <= float(limit_gb)
    row = {"case": case, "num_interactions": size, "seconds": round(seconds, 2)}
    row.update(cpu_seconds=round(processor, 2), peak_gb=round(peak, 2))
    row.update(
        limit_seconds="" if limit_seconds == float("inf") else limit_seconds,
        limit_gb=limit_gb,
        within=within,
        ratio="",
        **describe_machine(packages=("pandas", "pyarrow")),
    )
    verdict = "" if within == "" else f", within the limit: {within}"
    print(f"{case}: {seconds:.2f} s ({processor:.2f} s of processor), {peak:.2f} GB{verdict}", flush=True)
    return row


def run_case(case: str, folder: Path, size: int) -> None:
    """Run one case here and print its seconds and peak memory as the last line."""
    needed = (
        ("recbole.data",) if CASES[case] is recbole else ("gnnrec.data.readers.tabular", "gnnrec.data.splits")
    )
    for module in needed:
        importlib.import_module(module)
    started, used = time.perf_counter(), time.process_time()
    CASES[case](folder, size)
    seconds, processor = time.perf_counter() - started, time.process_time() - used
    print(seconds, processor, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2)


def main(argv: Sequence[str]) -> None:
    """Run the cases and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--size", type=int, help="number of interactions (default 10 million, --large 100 million)"
    )
    parser.add_argument("--large", action="store_true", help="open and split a large generated set instead")
    parser.add_argument(
        "--recbole", metavar="PYTHONPATH", help="where RecBole and what it needs can be imported"
    )
    parser.add_argument("--folder", help="where to put the files (default: a temporary folder)")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.case:
        run_case(options.case, Path(options.folder), options.size)
        return
    if options.folder and not Path(options.folder).is_dir():
        raise ConfigError(f"--folder: there is no folder '{options.folder}'")
    size = options.size or (100_000_000 if options.large else 10_000_000)
    names = list(CASES)[5:] if options.large else list(CASES)[: 5 if options.recbole else 4]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows = [row for name in names if (row := measure(name, Path(folder), size, options.recbole or ""))]
    import pandas as pd

    from benchmarks.machine import save_rows

    base = next((row for row in rows if row["case"] == names[1]), None)
    for row in rows:
        if base and not options.large and row["case"] in names[3:]:
            row["ratio"] = round(float(str(row["seconds"])) / float(str(base["seconds"])), 2)
    if rows:
        save_rows(RESULT, pd.DataFrame(rows), ["case", "num_interactions", "processor"])
    if len(rows) < len(names):
        raise GnnrecError(f"{len(names) - len(rows)} of {len(names)} cases failed; the reasons are above")


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=False))
