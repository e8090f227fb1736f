"""The native form of a data set: a folder of parquet files and a card.

interactions.parquet   user, item (0-based); optional rating, timestamp (or pos), split (0, 1, 2), others
items.parquet          optional; one row per item: item (0-based; row order where absent), item_id, others
users.parquet          optional; the same with user, user_id
NAME.parquet           optional side tables: kg (head, relation, tail), tags, friends, ...
card.json              optional; stats.json is taken in its place
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gnnrec.data.dataset import Dataset, check_numbering, id_table
from gnnrec.data.interactions import Interactions
from gnnrec.errors import DataError, GnnrecError
from gnnrec.files import only_writer, whole_file, write_text

_KNOWN = ("user", "item", "rating", "timestamp", "split")
_MEANT = {*_KNOWN, "pos", "part"}  # columns of interactions.parquet that are read as something
_MAIN = ("interactions", "users", "items")
_NEW = ".new"  # the folder within a native folder where a new set is written


def read_native(path: str | Path) -> Dataset:
    """Return the data set in a native folder, or the one whose interactions are the given .parquet file.

    Ids are those of the files. Without a timestamp, a column `pos` (place in the user's order) stands for it
    and the card says `time: position`. Columns beyond the known ones become `context`. Raises DataError with
    file and column for anything missing or broken.
    """
    path = Path(path)
    folder, main = (path, path / "interactions.parquet") if path.is_dir() else (path.parent, path)
    if path.is_dir() and not main.is_file() and (folder / _NEW).is_dir():
        with suppress(OSError), _alone(folder):
            pass  # the writer was killed: the old set is put back
    if not main.is_file():
        found = ", ".join(sorted(entry.name for entry in folder.iterdir() if entry.suffix == ".parquet"))
        raise DataError(
            f"'{folder}' has no interactions.parquet" + (f"; name one of its files: {found}" if found else "")
        )
    card = _read_card(folder)
    table = read_parquet(main)
    users, items = (_read_ids(folder / f"{kind}s.parquet", kind) for kind in ("user", "item"))
    interactions, published = _interactions(table, main, card, users, items)
    rest = table.drop_columns(
        [name for name in table.column_names if name in (*_KNOWN, card.get("time_column"))]
    )
    name = str(card.get("name", folder.name))
    tables = {}
    if path.is_dir():
        for file in sorted(folder.glob("*.parquet")):
            if file.stem not in _MAIN and not file.stem.startswith("split_"):
                tables[file.stem] = _frame(read_parquet(file), file)
    return Dataset(
        name=name if path.is_dir() else f"{name}-{path.stem}",
        interactions=interactions,
        users=id_table("user", interactions.num_users) if users is None else users,
        items=id_table("item", interactions.num_items) if items is None else items,
        card=card,
        published=published,
        context=_frame(rest, main) if rest.num_columns else None,
        tables=tables,
    )


def read_parquet(path: Path) -> pa.Table:
    """Return a parquet file as a table; a broken or missing one is a DataError that names it."""
    try:
        return pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _frame(table: pa.Table, path: Path) -> pd.DataFrame:
    """Return a table of a file as a frame; what pandas cannot take of it is a DataError that names the file."""
    try:
        return table.to_pandas()
    except (ValueError, LookupError, TypeError, AttributeError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(f"cannot read '{path}' as parquet: {reason}")


def _read_card(folder: Path) -> dict[str, Any]:
    for name in ("card.json", "stats.json"):
        file = folder / name
        if file.is_file():
            try:
                card = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
                raise DataError(f"cannot read '{file}' as JSON: {error}") from error
            if not isinstance(card, dict):
                raise DataError(f"'{file}' must hold a JSON object (got {type(card).__name__})")
            return card if name == "card.json" else {"stats": card, "name": card.get("name", folder.name)}
    return {"name": folder.name}


def _read_ids(path: Path, kind: str) -> pd.DataFrame | None:
    """Return the user or item table in id order with a raw id column, or None where there is no such file."""
    if not path.is_file():
        return None
    frame = _frame(read_parquet(path), path)
    if kind in frame.columns:
        place = frame.pop(kind)
        if not pd.api.types.is_integer_dtype(place):
            raise DataError(
                f"column '{kind}' of '{path}' must hold the number of the {kind}, from 0 to {len(place) - 1} "
                f"(got {place.dtype}): give a column of another meaning another name"
            )
        order = np.argsort(place.to_numpy(), kind="stable")
        ids = place.to_numpy()[order]
        if not np.array_equal(ids, np.arange(len(ids))):
            wrong = int(np.flatnonzero(ids != np.arange(len(ids)))[0])
            raise DataError(
                f"column '{kind}' of '{path}' must hold each id from 0 to {len(ids) - 1} once "
                f"(expected {wrong}, got {ids[wrong]})"
            )
        frame = frame.iloc[order].reset_index(drop=True)
    if f"{kind}_id" not in frame.columns:
        frame.insert(0, f"{kind}_id", np.arange(len(frame)))
    return frame


def _interactions(
    table: pa.Table, path: Path, card: dict[str, Any], users: pd.DataFrame | None, items: pd.DataFrame | None
) -> tuple[Interactions, np.ndarray | None]:
    for name in ("user", "item"):
        if name not in table.column_names:
            raise DataError(f"'{path}' has no column '{name}' (its columns: {', '.join(table.column_names)})")
    user, item = column(table, "user", path), column(table, "item", path)
    time_column = next((name for name in ("timestamp", "pos") if name in table.column_names), None)
    if time_column == "pos":
        card.setdefault("time", "position")
        card["time_column"] = "pos"
    split_column = next((name for name in ("split", "part") if name in table.column_names), None)
    sizes = {}
    for kind, ids, rows in (("user", user, users), ("item", item, items)):
        least = int(ids.max()) + 1 if len(ids) else 0
        stated = _stated(card, f"num_{kind}s", path.parent) if rows is None else len(rows)
        sizes[f"num_{kind}s"] = len(rows) if rows is not None else max(least, stated or 0)
        if stated is None:
            check_numbering(kind, least, len(ids), path)
    try:
        interactions = Interactions(
            user,
            item,
            rating=column(table, "rating", path) if "rating" in table.column_names else None,
            timestamp=column(table, time_column, path) if time_column else None,
            unique=False,
            **sizes,
        )
    except DataError as error:
        raise DataError(f"'{path}': {error}") from error
    published = None if split_column is None else _parts(table, split_column, path)
    return interactions.marked_unique(), published


def _stated(card: dict[str, Any], name: str, folder: Path) -> int | None:
    value = card.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise DataError(f"'{name}' in the card of '{folder}' must be a whole number (got {value!r})")
    return value


def column(table: pa.Table, name: str, path: Path) -> np.ndarray:
    """Return a column without missing values as numpy; a missing value or a text column is a DataError."""
    values = table[name]
    _check_whole(table, name, path)
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise DataError(f"column '{name}' of '{path}' must hold numbers (got {values.type})")
    return values.to_numpy()


def _check_whole(table: pa.Table, name: str, path: Path) -> None:
    missing = table[name].null_count
    if missing:
        row = int(np.flatnonzero(table[name].is_null().to_numpy())[0])
        raise DataError(f"column '{name}' of '{path}' misses {missing} values (the first in row {row})")


def _parts(table: pa.Table, name: str, path: Path) -> np.ndarray:
    """Return the published part of each row: numbers 0, 1, 2, or words that contain train, val or test."""
    values = table[name]
    if pa.types.is_integer(values.type):
        parts = column(table, name, path)
        if len(parts) and not (parts.min() >= 0 and parts.max() <= 2):
            raise DataError(f"column '{name}' of '{path}' must hold 0 (train), 1 (validation) or 2 (test)")
        return parts.astype(np.int8)
    _check_whole(table, name, path)
    words = pd.Series(_frame(table.select([name]), path)[name]).astype(str)
    codes = {}
    for word in words.unique():
        places = [place for place, key in enumerate(("train", "val", "test")) if key in word.lower()]
        if len(places) != 1:
            raise DataError(
                f"column '{name}' of '{path}': cannot tell whether '{word}' is train, validation or test"
            )
        codes[word] = places[0]
    return words.map(codes).to_numpy(dtype=np.int8)


def write_native(dataset: Dataset, folder: str | Path) -> Path:
    """Write a native folder, whole or not at all, and return it.

    A data set that is there is replaced with all its tables; files that are no part of it stay. Where the
    process is killed, the next one that reads or writes the folder puts the old set back. Rows are written in
    canonical order (by user, then item, then time). While another process writes there it is a DataError.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            _check_free(folder)
            (folder / _NEW).mkdir()
            _write_files(dataset, folder / _NEW)
            _swap(folder)
    except OSError as error:
        raise GnnrecError(f"cannot write '{folder}': {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            folder.rmdir()  # succeeds only where nothing came and nothing was
    return folder


def _check_free(folder: Path) -> None:
    """Raise a DataError for parquet files that are no data set: they would be read as its side tables."""
    others = [path.name for path in _own_files(folder) if path.suffix == ".parquet"]
    if others and "interactions.parquet" not in others:
        raise DataError(
            f"'{folder}' holds no data set, but {', '.join(others)}, which would be read as side tables of "
            "the new one; name another folder"
        )


def _own_files(folder: Path) -> list[Path]:
    """Return the files of a native folder, interactions.parquet, without which nothing is read, first."""
    found = [*folder.glob("*.parquet"), *folder.glob("card.json")]
    return sorted(found, key=lambda path: (path.name != "interactions.parquet", path.name))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; before and after, what was begun there and is not whole is undone."""
    with only_writer(folder, folder / ".lock"):
        try:
            _undo(folder)
            yield
        finally:
            _undo(folder)


def _swap(folder: Path) -> None:
    """Put the new files in place of the old ones: interactions.parquet leaves first and comes last."""
    new = folder / _NEW
    fresh = _own_files(new)
    (new / "leaving").mkdir()
    for path in _own_files(folder):
        path.rename(new / "leaving" / path.name)
    (new / "leaving").rename(new / "old")  # from here on what is in the folder is new
    for path in reversed(fresh):
        path.rename(folder / path.name)


def _undo(folder: Path) -> None:
    """Delete what is left of a swap; if it did not end, put the old files back. It may be killed as well."""
    new = folder / _NEW
    if not (folder / "interactions.parquet").exists():
        if (new / "old").is_dir():
            for path in _own_files(folder):
                path.unlink()
            (new / "old").rename(new / "leaving")
        for path in reversed(_own_files(new / "leaving")):
            path.rename(folder / path.name)
    shutil.rmtree(new, ignore_errors=True)


def _check_names(dataset: Dataset) -> None:
    """Raise a DataError for a column that would be read as something else."""
    context = () if dataset.context is None else map(str, dataset.context.columns)
    tables = (
        ("users", map(str, dataset.users.columns), {"user"}),
        ("items", map(str, dataset.items.columns), {"item"}),
        ("context", context, _MEANT),
    )
    for table, names, meant in tables:
        for name in sorted(meant.intersection(names)):
            raise DataError(
                f"column '{name}' of the table '{table}' of data set '{dataset.name}' has a meaning of its own "
                f"in native form ({', '.join(sorted(meant))}): rename it"
            )


def _write_files(dataset: Dataset, folder: Path) -> None:
    _check_names(dataset)
    rows = dataset.interactions
    order = rows.canonical_order()
    columns: dict[str, np.ndarray] = {"user": rows.user, "item": rows.item}
    time_column = str(dataset.card.get("time_column", "timestamp"))
    for name, values in (
        ("rating", rows.rating),
        (time_column, rows.timestamp),
        ("split", dataset.published),
    ):
        if values is not None:
            columns[name] = values
    if order is not None:
        columns = {name: values[order] for name, values in columns.items()}
    table = pa.table(columns)
    if dataset.context is not None:
        context = dataset.context if order is None else dataset.context.iloc[order]
        for name in context.columns:
            table = table.append_column(str(name), pa.array(context[name]))
    _write_parquet(table, folder / "interactions.parquet")
    frames = {"users": dataset.users, "items": dataset.items, **dataset.tables}
    for name, frame in frames.items():
        _write_parquet(pa.Table.from_pandas(frame, preserve_index=False), folder / f"{name}.parquet")
    counts = {"num_users": dataset.num_users, "num_items": dataset.num_items}
    card = {"name": dataset.name, **dataset.card, **counts}
    write_text(folder / "card.json", json.dumps(card, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def _write_parquet(table: pa.Table, path: Path) -> None:
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
