"""Run directories become tidy frames: one row per run and metric."""

from __future__ import annotations

import json
import lzma
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import yaml

from gnnrec.errors import DataError, suggest

Labels = Sequence[Mapping[str, Any]]
# RuntimeError: a compression that Python does not have; MemoryError: a shape that there is not
_BROKEN_ARRAYS = (
    OSError,
    ValueError,
    LookupError,
    EOFError,
    RuntimeError,
    MemoryError,
    BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


@dataclass(frozen=True)
class MetricKey:
    """The parts of `split/[group/]name@k`; `k` is None where a metric has no cutoff."""

    split: str
    group: str
    name: str
    k: int | None


def parse_metric(key: str) -> MetricKey:
    """Return the parts of a metric key; group is "" where all users and items count.

    >>> parse_metric("test/tail/ndcg@20")
    MetricKey(split='test', group='tail', name='ndcg', k=20)
    """
    *path, last = key.split("/")
    name, _, cutoff = last.partition("@")
    if len(path) not in (1, 2) or not (cutoff or "0").isdecimal():
        raise DataError(f"'{key}' is no metric key (expected split/[group/]metric@k)")
    return MetricKey(path[0], path[1] if len(path) == 2 else "", name, int(cutoff) if cutoff else None)


class FinishedRun:
    """The files of one finished run directory, each read when first asked for."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "DONE").exists():
            raise DataError(
                f"'{self.path}' is no finished run (it has no file DONE); run it again to finish it"
            )

    @cached_property
    def result(self) -> dict[str, Any]:
        """`result.json`."""
        path = self.path / "result.json"
        return _with_keys(path, _read_json(path), "key", "protocol", "refit", "metrics", "groups")

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """`manifest.json`."""
        path = self.path / "manifest.json"
        return _with_keys(path, _read_json(path), "fingerprints.data", "fingerprints.split")

    @cached_property
    def config(self) -> dict[str, Any]:
        """`config.yaml`."""
        path = self.path / "config.yaml"
        try:
            config = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, ValueError) as error:  # ValueError: a date that there is not
            raise _broken(path, error) from error
        return _with_keys(path, config, "model.name", "seed")

    def per_user(self, *names: str) -> dict[str, np.ndarray]:
        """Return the named arrays of `per_user.npz`, all of them if none is named."""
        path = self.path / "per_user.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                missing = [name for name in names if name not in arrays]
                if missing:
                    raise DataError(
                        f"'{path}' has no array '{missing[0]}'{suggest(missing[0], arrays.files)}"
                    )
                return {name: arrays[name] for name in (names or arrays.files)}
        except DataError:
            raise
        except _BROKEN_ARRAYS as error:
            raise _broken(path, error) from error


def finished_runs(root: str | Path) -> list[FinishedRun]:
    """Return the finished runs below a folder of run directories, by name."""
    return [FinishedRun(done.parent) for done in sorted(Path(root).expanduser().glob("*/DONE"))]


def metrics_frame(
    runs: Iterable[FinishedRun], labels: Sequence[Mapping[str, Any]] | None = None
) -> pd.DataFrame:
    """Return one row per run and metric.

    Columns: those of `labels` (one mapping per run, the flattened configuration if None), `path`, `key`,
    `protocol`, `metric` (the whole key), `split`, `group`, `name`, `k`, `value` (NaN for null).
    """
    rows = []
    for place, run in enumerate(runs):
        label = flatten(run.config) if labels is None else labels[place]
        who = {**label, "path": str(run.path), "key": run.result["key"], "protocol": run.result["protocol"]}
        try:
            for metric, value in run.result["metrics"].items():
                parts = parse_metric(metric)
                number = float("nan") if value is None else float(value)
                rows.append({**who, "metric": metric, **vars(parts), "value": number})
        except (DataError, ValueError, TypeError, AttributeError) as error:
            raise _broken(run.path / "result.json", error) from error
    return pd.DataFrame(rows)


def records(frame: Any) -> list[dict[str, Any]]:
    """Return the rows of a frame as dictionaries."""
    return frame.to_dict(orient="records")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested dictionary with dotted names: {"train": {"lr": 1}} becomes {"train.lr": 1}."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = str(value) if isinstance(value, list) else value
    return flat


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _broken(path, error) from error
    if not isinstance(value, dict):
        raise _broken(path, ValueError("not an object"))
    return value


def _with_keys(path: Path, tree: Any, *keys: str) -> dict[str, Any]:
    """Return what was read from a file of a run, or raise a DataError unless it has these keys, dots within."""
    for key in keys:
        node = tree
        for part in key.split("."):
            if not isinstance(node, dict) or part not in node:
                raise _broken(path, ValueError(f"the key '{key}' is missing"))
            node = node[part]
    return tree


def _broken(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())
    return DataError(f"cannot read '{path}' ({reason}); delete '{path.parent}' and run it again")
