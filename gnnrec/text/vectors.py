"""Vectors made elsewhere, matched to the data by raw id."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open

from gnnrec.errors import DataError
from gnnrec.files import sha256_file
from gnnrec.text.models import read_json

log = logging.getLogger(__name__)
_ENDINGS = (".npy", ".safetensors", ".parquet")


@dataclass(frozen=True)
class LoadedVectors:
    """vectors: float32 [n, d], zero where absent; present: bool [n]; num_unknown: rows left out."""

    vectors: np.ndarray
    present: np.ndarray
    num_unknown: int


def load_vectors(path: str | Path, raw_ids: Sequence[Any]) -> LoadedVectors:
    """Return the vectors of a .npy, .safetensors or .parquet file in the order of `raw_ids`.

    .npy: an array [m, d], never a pickle; ids in FILE.ids.json (a list), without which m must be the number
    of raw ids and rows are in id order. .safetensors: a tensor `vectors` [m, d], and `ids` [m] if ids are
    integers, else FILE.ids.json. .parquet: a column `id` and either a column `vector` of lists or one
    numeric column per dimension. Ids are compared as text.

    How many ids of the data have no vector and how many of the file the data does not know is logged. An
    unreadable file, repeated ids, no common id, NaN or infinite values are a DataError.
    """
    path = Path(path).expanduser()
    if path.suffix not in _ENDINGS:
        raise DataError(f"vectors are read from {', '.join(_ENDINGS)} files (got '{path}')")
    if not path.is_file():
        raise DataError(f"there is no file of vectors at '{path}'")
    ids, table = _READERS[path.suffix](path)
    if table.ndim != 2 or table.dtype.kind not in "fiu" or not table.shape[1]:
        raise DataError(
            f"'{path}' must hold numbers [rows, dimensions] (got {table.dtype} {list(table.shape)})"
        )
    if ids is None:
        if len(table) != len(raw_ids):
            raise DataError(
                f"'{path}' has {len(table)} rows and no ids, the data has {len(raw_ids)} ids: put the ids, "
                f"a JSON list in the order of the rows, into '{path.name}.ids.json'"
            )
        ids = list(raw_ids)
        log.warning(
            "'%s' has no ids: its rows are taken in the order of the data set's ids (%s, ...); a JSON list of ids in "
            "'%s' has them matched",
            path,
            ", ".join(map(str, ids[:3])),
            _ids_path(path).name,
        )
    return _match(path, [str(one) for one in ids], table, [str(one) for one in raw_ids])


def vectors_sha256(path: str | Path) -> str:
    """Return a checksum of a file of vectors and of the ids beside it, where there are any."""
    path = Path(path).expanduser()
    files = [file for file in (path, _ids_path(path)) if file.is_file()]
    digests = [sha256_file(file) for file in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def _match(path: Path, ids: list[str], table: np.ndarray, wanted: list[str]) -> LoadedVectors:
    if len(ids) != len(table):
        raise DataError(f"'{path}' has {len(table)} rows but {len(ids)} ids")
    row = {one: index for index, one in enumerate(ids)}
    if len(row) != len(ids):
        repeated = next(one for index, one in enumerate(ids) if row[one] != index)
        raise DataError(f"'{path}' repeats {len(ids) - len(row)} ids, for example '{repeated}'")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is told next
        table = table.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(bad):
        raise DataError(
            f"'{path}' has NaN or infinite values in {len(bad)} rows, first at id '{ids[bad[0]]}'"
        )
    rows = np.array([row.get(one, -1) for one in wanted], dtype=np.int64)
    present = rows >= 0
    if not present.any():
        raise DataError(
            f"'{path}' and the data have no id in common (the file has {', '.join(ids[:3])}, ...; "
            f"the data {', '.join(wanted[:3])}, ...): it must be keyed by raw ids"
        )
    num_unknown = len(ids) - int(present.sum())
    level = logging.INFO if present.all() and not num_unknown else logging.WARNING
    log.log(
        level,
        "'%s': %d of %d ids have a vector, %d have none; %d rows of the file are of unknown ids and left out",
        path,
        present.sum(),
        len(wanted),
        (~present).sum(),
        num_unknown,
    )
    vectors = np.where(present[:, None], table[rows], np.float32(0))
    return LoadedVectors(vectors, present, num_unknown)


def _read_npy(path: Path) -> tuple[list[Any] | None, np.ndarray]:
    try:
        with path.open("rb") as stream:  # np.load would open other kinds of files, too, whatever their name
            table = np.lib.format.read_array(stream, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"'{path}' is not a whole .npy file without pickled objects: {error}") from error
    return _read_ids(path), table


def _read_safetensors(path: Path) -> tuple[list[Any] | None, np.ndarray]:
    try:
        with safe_open(path, framework="pt") as file:  # numpy knows no bfloat16
            names = set(file.keys())
            if "vectors" not in names:
                raise DataError(
                    f"'{path}' has no tensor 'vectors' (it has {', '.join(sorted(names)) or 'none'})"
                )
            table = file.get_tensor("vectors")
            ids = file.get_tensor("ids") if "ids" in names else None
            if table.dtype != torch.float64:
                table = table.float()
    except (SafetensorError, OSError, TypeError) as error:
        raise DataError(f"'{path}' is not a whole safetensors file: {error}") from error
    if ids is None:
        return _read_ids(path), table.numpy()
    if ids.ndim != 1:
        raise DataError(f"the tensor 'ids' of '{path}' must hold one id per row (got {list(ids.shape)})")
    return ids.tolist(), table.numpy()


def _read_parquet(path: Path) -> tuple[list[Any] | None, np.ndarray]:
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        told = " ".join(str(error).split())
        raise DataError(f"'{path}' is not a whole parquet file: {told}") from error
    if "id" not in frame.columns:
        raise DataError(f"'{path}' has no column 'id' (columns: {', '.join(map(str, frame.columns[:5]))})")
    if frame.empty:
        raise DataError(f"'{path}' has no rows")
    values = frame.drop(columns="id")
    if "vector" in values:
        vectors = values["vector"].tolist()
        if any(not hasattr(one, "__len__") for one in vectors):
            raise DataError(f"column 'vector' of '{path}' must hold a list in every row")
        lengths = {len(one) for one in vectors}
        if len(lengths) != 1:
            raise DataError(f"the lists in column 'vector' of '{path}' have {len(lengths)} different lengths")
        return frame["id"].tolist(), np.stack(vectors)
    return frame["id"].tolist(), values.to_numpy()


def _read_ids(path: Path) -> list[Any] | None:
    """Return the ids beside a file of vectors, None where there are none."""
    side_file = _ids_path(path)
    ids = read_json(side_file, None)
    if ids is not None and not (
        isinstance(ids, list)
        and all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in ids)
    ):
        raise DataError(f"'{side_file}' must hold a list of ids, texts or numbers")
    return ids


def _ids_path(path: Path) -> Path:
    return path.with_name(path.name + ".ids.json")


_READERS = {".npy": _read_npy, ".safetensors": _read_safetensors, ".parquet": _read_parquet}
