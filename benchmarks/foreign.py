"""What calling other tools takes in both comparisons; nothing of theirs is kept here."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, nothing is printed."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def adjacency(history: Any) -> torch.Tensor:
    """Return the normalised adjacency of sparse [users, items] as LightGCN-PyTorch builds it, as a coalesced COO."""
    pairs = history.tocoo()
    num_users, size = pairs.shape[0], sum(pairs.shape)
    ends = np.stack([pairs.row.astype(np.int64), pairs.col.astype(np.int64) + num_users])
    ends = np.concatenate([ends, ends[::-1]], axis=1)
    degree = np.maximum(np.bincount(ends[0], minlength=size), 1).astype(np.float32)
    weight = torch.from_numpy(1 / np.sqrt(degree[ends[0]] * degree[ends[1]]))
    return torch.sparse_coo_tensor(torch.from_numpy(ends), weight, (size, size)).coalesce()


def prepare_recbole(path: Path, *packages: str) -> None:
    """Let modules of RecBole and of some of its packages be imported without what their __init__ files import.

    The whole needs libraries that these parts do not. Of its utils there are the enumerations alone, and messages
    without colour. numpy gets back the aliases that it had before 1.24.
    """
    for alias, kind in (("float", float), ("int", int)):
        if not hasattr(np, alias):
            setattr(np, alias, kind)
    for name in ("recbole", *(f"recbole.{package}" for package in packages)):
        package = types.ModuleType(name)
        package.__path__ = [str(path / name.replace(".", "/"))]
        sys.modules[name] = package
    spec = importlib.util.spec_from_file_location(
        "recbole.utils", path / "recbole" / "utils" / "enum_type.py"
    )
    assert spec is not None
    assert spec.loader is not None
    utils = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(utils)
    setattr(utils, "set_color", lambda text, *_: text)  # noqa: B010
    sys.modules["recbole.utils"] = utils
