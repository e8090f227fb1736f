"""What a benchmark says about the machine it ran on, and the machine's own limit."""

from __future__ import annotations

import datetime
import io
import os
import platform
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from gnnrec.files import whole_file

CPUINFO = Path("/proc/cpuinfo")
INSTRUCTIONS = {"avx512_bf16": "bf16", "amx_tile": "amx"}  # flag of Linux -> how it is told


def describe_machine(device: str = "cpu", packages: tuple[str, ...] = ("torch_geometric",)) -> dict[str, Any]:
    """Return processor, cores, threads, device, versions and date; never the host's name."""
    row: dict[str, Any] = {"processor": _processor(), "cores": os.cpu_count()}
    row |= {"threads": torch.get_num_threads(), "device": "cpu"}
    if device.startswith("cuda"):
        row["device"] = torch.cuda.get_device_name(device)
    row |= {"python": platform.python_version(), "torch": torch.__version__}
    for package in packages:
        try:
            row[package] = version(package)
        except PackageNotFoundError:
            row[package] = ""
    return row | {"date": datetime.date.today().isoformat()}


def _processor() -> str:
    told: dict[str, str] = {}
    for line in CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.exists() else ():
        name, _, value = line.partition(":")
        told.setdefault(name.strip(), value.strip())
    flags = told.get("flags", "").split()
    words = [told.get("model name", platform.machine()), torch.backends.cpu.get_cpu_capability()]
    return ", ".join(words + [word for flag, word in INSTRUCTIONS.items() if flag in flags])


def copy_bandwidth(device: str = "cpu", mebibytes: int = 256, repeats: int = 7) -> float:
    """Return GB/s, read and written bytes together, of copying a buffer too large for the caches; the median."""
    source = torch.ones(mebibytes * (1 << 18), device=device)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(repeats + 1):
        began = now(device)
        target.copy_(source)
        seconds.append(now(device) - began)
    return 2 * source.numel() * 4 / statistics.median(seconds[1:]) / 1e9


def now(device: str) -> float:
    """Return the seconds of a clock, when the device is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter()


def clock(device: str) -> np.ndarray:
    """Return the seconds of a clock and those of this process on its processors, when the device is done: [2]."""
    return np.array([now(device), time.process_time()])


def save_rows(path: Path, rows: pd.DataFrame, identity: list[str]) -> None:
    """Add rows to a csv file, in the place of older ones that agree with them in the columns `identity`.

    Older rows stay as they were written: a whole number does not become 3.0 because another row lacks it. Where they
    lack a column of `identity`, it counts as empty.
    """
    rows = _as_written(io.StringIO(rows.to_csv(index=False)))
    if path.exists():
        old = _as_written(path)
        new = set(_keys(rows, identity))
        rows = pd.concat([old.loc[[key not in new for key in _keys(old, identity)]], rows]).fillna("")
    with whole_file(path) as temporary:
        rows.to_csv(temporary, index=False)


def _as_written(table: Path | io.StringIO) -> pd.DataFrame:
    return pd.read_csv(table, dtype=str, keep_default_na=False)


def _keys(table: pd.DataFrame, columns: list[str]) -> list[tuple[str, ...]]:
    return [tuple(row) for row in table.reindex(columns=columns, fill_value="").to_numpy().tolist()]


def curve_names(table: pd.DataFrame, first: str, others: list[str]) -> list[str]:
    """Return what a figure calls each row: the value of `first`, and those of `others` that are not all the same."""
    table = table.astype(object).fillna("")
    told = [first, *(name for name in others if name in table and len(set(table[name])) > 1)]
    return [", ".join(str(word) for word in row if word != "") for row in table[told].to_numpy().tolist()]
