"""CSV, TSV and Parquet files with any column names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from gnnrec.data.build import RawIds, build_dataset, check_ids, encode
from gnnrec.data.dataset import Dataset
from gnnrec.data.native import read_parquet
from gnnrec.data.separated import MISSING, read_table
from gnnrec.errors import DataError

_SEPARATORS = {".tsv": "\t", ".tab": "\t", ".csv": ","}


def read_tabular(
    path: str | Path,
    *,
    user: str = "user",
    item: str = "item",
    rating: str | None = None,
    timestamp: str | None = None,
    items: str | Path | None = None,
    item_id: str = "item_id",
    text: list[str] | None = None,
    users: str | Path | None = None,
    user_id: str = "user_id",
    separator: str | None = None,
    encoding: str = "utf-8",
    name: str | None = None,
    text_from: str = "item metadata",
) -> Dataset:
    """Return the data set in a table with a row per interaction, and optional tables of items and users.

    Args:
        path: a .csv, .tsv or .parquet file (.gz allowed for the first two).
        user, item, rating, timestamp: its column names; the last two are read only if named. Times are seconds or
            milliseconds since 1970, or ISO dates.
        items, users: tables with the id columns `item_id` and `user_id`; all their columns are kept. Ids of
            text files are numbers where all of them, here and in the interactions, stay as they are written
            (007 and numbers of 20 digits do not), else text.
        text: columns of the item table that are joined by ". " into `text`.
        separator: default by suffix: tab for .tsv, else comma.
        text_from: what the text was made from, for the card.

    Raises DataError with file, and column or line.
    """
    path = Path(path)
    roles = {"user": user, "item": item, "rating": rating, "timestamp": timestamp}
    wanted = [name for name in roles.values() if name]
    _check_distinct(roles, path)
    table = _table(path, wanted, separator, encoding, {user: pa.string(), item: pa.string()})
    if not len(table):
        raise DataError(f"'{path}' holds no interactions")
    stated = path.suffix == ".parquet"
    item_side = None if items is None else _side(Path(items), item_id, separator, encoding)
    user_side = None if users is None else _side(Path(users), user_id, separator, encoding)
    item_column, item_side = _alike(table[item], item_side, item_id, stated, items)
    user_column, user_side = _alike(table[user], user_side, user_id, stated, users)
    user_ids = encode(user_column, f"column '{user}' of '{path}'")
    item_ids = encode(item_column, f"column '{item}' of '{path}'")
    joined = None
    if text:
        if item_side is None:
            raise DataError("'text' names columns of the item table: pass items=FILE too")
        joined = _joined(item_side, text, str(items))
    item_table = None if item_side is None else _frame(item_side, item_id, "item_id", item_ids, items)
    user_table = None if user_side is None else _frame(user_side, user_id, "user_id", user_ids, users)
    card: dict[str, Any] = {"source": path.name}
    if item_table is not None and joined is not None:
        item_table["text"] = joined.to_numpy()
        card["text_from"] = text_from
    return build_dataset(
        name or path.name.split(".")[0],
        user_ids,
        item_ids,
        source=str(path),
        rating=numbers(table[rating], rating, path) if rating else None,
        timestamp=times(table[timestamp], timestamp, path) if timestamp else None,
        items=item_table,
        users=user_table,
        card=card,
    )


def _check_distinct(roles: dict[str, str | None], path: Path) -> None:
    taken: dict[str, str] = {}
    for role, column in roles.items():
        if column and column in taken:
            raise DataError(
                f"column '{column}' of '{path}' is named for {taken[column]} and for {role}: name one for each"
            )
        taken[column or ""] = role


def _table(
    path: Path, columns: list[str], separator: str | None, encoding: str, types: dict[str, pa.DataType]
) -> pa.Table:
    """Return a table; `types` are those of columns of a text file, where they would be guessed."""
    if path.suffix == ".parquet":
        table = read_parquet(path)
        for name in columns:
            if name not in table.column_names:
                raise DataError(
                    f"'{path}' has no column '{name}' (its columns: {', '.join(table.column_names)})"
                )
        return table
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    return read_table(
        path,
        separator or _SEPARATORS.get(suffix, ","),
        types=types,
        encoding=encoding,
        quote=True,
        columns=columns or None,
    )


def _side(path: Path, column: str, separator: str | None, encoding: str) -> pa.Table:
    """Return an item or user table; of a text file the ids are text."""
    table = _table(path, [], separator, encoding, {column: pa.string()})
    if column not in table.column_names:
        raise DataError(f"'{path}' has no column '{column}' (its columns: {', '.join(table.column_names)})")
    return table


def _alike(
    ids: pa.ChunkedArray, side: pa.Table | None, column: str, stated: bool, path: str | Path | None
) -> tuple[pa.ChunkedArray, pa.Table | None]:
    """Return the ids of the interactions, and the side table with its ids in the same type.

    That is the type that a parquet file of interactions states; else numbers if all ids can be, else text.
    """
    if stated:
        return ids, None if side is None else _cast(side, column, ids.type, path)
    whole = _whole(ids)
    if side is None:
        return ids if whole is None else whole, None
    others = _whole(side[column])
    if whole is None or others is None:
        return ids, _cast(side, column, pa.string(), path)
    return whole, _with_ids(side, column, others)


def _whole(ids: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return ids as whole numbers, or None where one would not stay as it is written."""
    chunks = []
    for chunk in ids.chunks:
        exact = _exact(chunk)
        if exact is None and pa.types.is_string(chunk.type):
            exact = _exact(_bare(chunk))
        if exact is None:
            return None
        chunks.append(exact)
    return pa.chunked_array(chunks, pa.int64())


def _exact(ids: pa.Array) -> pa.Array | None:
    try:
        whole = ids.cast(pa.int64())
        return whole if whole.cast(ids.type).equals(ids) else None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _bare(words: pa.Array) -> pa.Array:
    """Return words without blanks around them, and null for those that say that a number is missing."""
    coded = words.dictionary_encode()
    bare = [None if word in MISSING else word.strip() for word in coded.dictionary.to_pylist()]
    return pa.array(bare, pa.string()).take(coded.indices)


def _cast(table: pa.Table, column: str, kind: pa.DataType, path: str | Path | None) -> pa.Table:
    try:
        return _with_ids(table, column, table[column].cast(kind))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"column '{column}' of '{path}' does not fit the ids of the interactions: {error}"
        ) from error


def _with_ids(table: pa.Table, column: str, ids: pa.ChunkedArray) -> pa.Table:
    if table[column].type == ids.type:
        return table
    # what pandas wrote about the types in a parquet file would bring the old one back
    return table.set_column(table.column_names.index(column), column, ids).replace_schema_metadata()


def _frame(table: pa.Table, column: str, renamed: str, ids: RawIds, path: str | Path | None) -> pd.DataFrame:
    """Return an item or user table with its id column first; one that shares no id is a DataError."""
    frame = table.to_pandas()
    check_ids(frame, column, f"'{path}'")
    if column != renamed and renamed in frame.columns:
        raise DataError(
            f"'{path}' has a column '{renamed}' beside '{column}', and ids go by that name: rename or remove it"
        )
    frame.insert(0, renamed, frame.pop(column))
    if len(frame) and not frame[renamed].isin(ids.names).any():
        raise DataError(
            f"column '{column}' of '{path}' shares no id with the interactions "
            f"(e.g. '{frame[renamed].iloc[0]}' there, '{ids.names[0]}' here); write them alike in both"
        )
    return frame


def _joined(table: pa.Table, columns: list[str], source: str) -> pd.Series:
    """Return the text that these columns of an item table make; a text that would be lost is a DataError."""
    if "text" in table.column_names and "text" not in columns:
        raise DataError(
            f"'{source}' has a column 'text', which the text made of {', '.join(map(repr, columns))} would replace: "
            "name it among these, or rename it"
        )
    return join_text(table.to_pandas(), columns, source)


def join_text(table: pd.DataFrame, columns: list[str], source: str) -> pd.Series:
    """Return the named columns joined by '. '; a DataError where no row has any text."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        known = ", ".join(map(str, table.columns))
        raise DataError(f"'{source}' has no column {', '.join(map(repr, missing))} (its columns: {known})")
    parts = [
        table[name].astype(object).where(table[name].notna(), "").astype(str).str.strip() for name in columns
    ]
    rows = [". ".join(value for value in values if value) for values in zip(*parts)]
    if not any(rows):
        raise DataError(f"'{source}': no row has any text in {', '.join(map(repr, columns))}")
    return pd.Series(rows, index=table.index, dtype=str)


def numbers(values: pa.ChunkedArray, name: str, path: Path) -> np.ndarray:
    """Return a column of numbers (missing as NaN); a column of text is a DataError."""
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise DataError(f"column '{name}' of '{path}' must hold numbers (got {_first_odd(values, float)})")
    return values.to_numpy()


def _first_odd(values: pa.ChunkedArray, *readers: Callable[[str], object]) -> str:
    """Return the first value that none of these can read and its row, or the type of the column if there is none."""
    for row, value in enumerate(values.to_pylist(), start=1):
        failures = 0
        for read in readers:
            try:
                read(value)
            except (TypeError, ValueError):
                failures += value is not None
        if failures == len(readers):
            return f"{value!r} in row {row}"
    return f"a column of type {values.type}"


def times(values: pa.ChunkedArray, name: str, path: Path) -> np.ndarray:
    """Return a column of times as numbers; dates become seconds since 1970 (UTC)."""
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        odd = _first_odd(values, float, datetime.fromisoformat)
        raise DataError(f"column '{name}' of '{path}' must hold seconds or ISO dates, all alike (got {odd})")
    if pa.types.is_date(values.type) or pa.types.is_timestamp(values.type):
        if values.null_count:
            raise DataError(f"column '{name}' of '{path}' misses {values.null_count} values")
        return values.cast(pa.timestamp("s"), safe=False).cast(pa.int64()).to_numpy()
    return numbers(values, name, path)
