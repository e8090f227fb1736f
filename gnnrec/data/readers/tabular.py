"""CSV, TSV and Parquet files with any column names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from gnnrec.data.build import build_dataset, encode
from gnnrec.data.dataset import Dataset
from gnnrec.data.files import read_table
from gnnrec.data.native import read_parquet
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
    all_items: bool = True,
) -> Dataset:
    """Return the data set in a table with a row per interaction, and optional tables of items and users.

    Args:
        path: a .csv, .tsv or .parquet file (.gz allowed for the first two).
        user, item, rating, timestamp: its column names; the last two are read only if named. Times are
        seconds or
            milliseconds since 1970, or ISO dates.
        items, users: tables with the id columns `item_id` and `user_id`; all their columns are kept.
        text: columns of the item table that are joined by ". " into `text`.
        separator: default by suffix: tab for .tsv, else comma.
        text_from: what the text was made from, for the card.
        all_items: whether items without an interaction stay.

    Raises DataError with file, and column or line.
    """
    path = Path(path)
    wanted = [name for name in (user, item, rating, timestamp) if name]
    table = _table(path, wanted, separator, encoding)
    if not len(table):
        raise DataError(f"'{path}' holds no interactions")
    item_table = (
        None
        if items is None
        else _frame(Path(items), item_id, "item_id", table[item].type, separator, encoding)
    )
    user_table = (
        None
        if users is None
        else _frame(Path(users), user_id, "user_id", table[user].type, separator, encoding)
    )
    card: dict[str, Any] = {"source": path.name}
    if text:
        if item_table is None:
            raise DataError("'text' names columns of the item table: pass items=FILE too")
        item_table["text"] = join_text(item_table, text, str(items))
        card["text_from"] = text_from
    return build_dataset(
        name or path.name.split(".")[0],
        encode(table[user], f"column '{user}' of '{path}'"),
        encode(table[item], f"column '{item}' of '{path}'"),
        source=str(path),
        rating=numbers(table[rating], rating, path) if rating else None,
        timestamp=times(table[timestamp], timestamp, path) if timestamp else None,
        items=item_table,
        users=user_table,
        card=card,
        all_items=all_items,
    )


def _table(path: Path, columns: list[str], separator: str | None, encoding: str) -> pa.Table:
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
        encoding=encoding,
        quote=True,
        columns=columns or None,
    )


def _frame(
    path: Path, column: str, renamed: str, like: pa.DataType, separator: str | None, encoding: str
) -> pd.DataFrame:
    """Return an item or user table whose id column has the type of the interactions' ids."""
    table = _table(path, [], separator, encoding)
    if column not in table.column_names:
        raise DataError(f"'{path}' has no column '{column}' (its columns: {', '.join(table.column_names)})")
    if table[column].type != like:
        place = table.column_names.index(column)
        try:
            table = table.set_column(place, column, table[column].cast(like))
        except pa.ArrowInvalid as error:
            raise DataError(
                f"column '{column}' of '{path}' does not fit the ids of the interactions: {error}"
            ) from error
    frame = table.to_pandas()
    frame.insert(0, renamed, frame.pop(column))
    return frame


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
        raise DataError(
            f"column '{name}' of '{path}' must hold numbers (got {values.type}, e.g. {values[0].as_py()!r})"
        )
    return values.to_numpy()


def times(values: pa.ChunkedArray, name: str, path: Path) -> np.ndarray:
    """Return a column of times as numbers; dates become seconds since 1970 (UTC)."""
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        raise DataError(
            f"column '{name}' of '{path}' must hold seconds or ISO dates (got e.g. {values[0].as_py()!r})"
        )
    if pa.types.is_date(values.type) or pa.types.is_timestamp(values.type):
        if values.null_count:
            raise DataError(f"column '{name}' of '{path}' misses {values.null_count} values")
        return values.cast(pa.timestamp("s"), safe=False).cast(pa.int64()).to_numpy()
    return numbers(values, name, path)
