"""From raw columns to a Dataset: ids are numbered, values are checked, and what was found is written down."""

from __future__ import annotations

import logging
import time
from array import array
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from gnnrec.data.dataset import Dataset, as_text
from gnnrec.data.interactions import Interactions
from gnnrec.errors import DataError

logger = logging.getLogger(__name__)

_DAY = 86_400


@dataclass(frozen=True, eq=False)
class RawIds:
    """A column of raw ids in coded form: row r holds names[codes[r]]; names are distinct."""

    codes: np.ndarray
    names: np.ndarray


class IdCollector:
    """Numbers raw ids as they come, for readers that stream: 4 bytes a row and the distinct names."""

    def __init__(self) -> None:
        self._codes = array("i")
        self._places: dict[Any, int] = {}

    def add(self, name: Any) -> None:
        """Append one row."""
        self._codes.append(self._places.setdefault(name, len(self._places)))

    def __contains__(self, name: Any) -> bool:
        return name in self._places

    def ids(self) -> RawIds:
        """Return what was collected."""
        names = np.empty(len(self._places), dtype=object)
        names[:] = list(self._places)
        return RawIds(
            np.frombuffer(self._codes, dtype=np.int32) if self._codes else np.zeros(0, np.int32), names
        )


def encode(values: pa.ChunkedArray | pa.Array, what: str) -> RawIds:
    """Return a column of raw ids (whole numbers or text) in coded form; missing ids are a DataError."""
    if not len(values):
        return RawIds(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=object))
    chunked = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
    coded = chunked.dictionary_encode().combine_chunks()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.unify_dictionaries().chunk(0)
    names = coded.dictionary.to_numpy(zero_copy_only=False)
    missing = coded.is_null().to_numpy(zero_copy_only=False)
    if names.dtype == object and (names == "").any():
        missing = missing | (coded.indices.fill_null(-1).to_numpy() == int(np.flatnonzero(names == "")[0]))
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise DataError(f"{what}: {int(missing.sum())} ids are missing (the first in row {row + 1})")
    return RawIds(coded.indices.to_numpy(), names)


def number(
    ids: RawIds, table: pd.DataFrame | None, kind: str, source: str
) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """Return the id of each row, the table in id order, and counts of what does not match.

    Ids follow the order of the table; raw ids that it lacks come after, sorted. Without a table all are
    sorted: numbers by size, text by code point. The order of the interactions never has a say.
    """
    column = f"{kind}_id"
    if table is not None:
        check_ids(table, column, f"the table that belongs to '{source}'")
    names = pd.Index(ids.names)
    unlisted = names if table is None else names[pd.Index(table[column]).get_indexer(names) < 0]
    extra = _sorted(unlisted)
    notes = {}
    if table is None:
        result = pd.DataFrame({column: extra})
    else:
        result = table
        if len(extra):
            notes[f"num_{kind}s_without_a_row"] = len(extra)
            result = pd.concat([table, pd.DataFrame({column: extra})], ignore_index=True)
        result = result.reset_index(drop=True)
    places = pd.Index(result[column]).get_indexer(names).astype(np.int32)
    return places[ids.codes], result, notes


def _sorted(names: pd.Index) -> np.ndarray:
    values = names.to_numpy()
    if values.dtype.kind in "iu":
        return np.sort(values)
    return np.array(sorted(values, key=lambda name: (not isinstance(name, int), name)), dtype=object)


def check_ids(table: pd.DataFrame, column: str, source: str) -> None:
    """Raise a DataError for missing and repeated ids; `source` says whose column it is."""
    missing = (table[column].isna() | (table[column] == "")).to_numpy()
    if missing.any():
        raise DataError(
            f"column '{column}' of {source} misses {int(missing.sum())} ids (the first in "
            f"row {int(np.flatnonzero(missing)[0]) + 1}); write them, or remove these rows"
        )
    repeated = table[column].duplicated()
    if repeated.any():
        rows = np.flatnonzero(table[column] == table.loc[repeated, column].iloc[0])
        raise DataError(
            f"column '{column}' of {source} repeats the id {table[column].iloc[rows[0]]!r} "
            f"(rows {rows[0] + 1} and {rows[1] + 1}; {int(repeated.sum())} repeats in all)"
        )


def build_dataset(
    name: str,
    user: RawIds,
    item: RawIds,
    *,
    source: str,
    rating: np.ndarray | None = None,
    timestamp: np.ndarray | None = None,
    published: np.ndarray | None = None,
    context: pd.DataFrame | None = None,
    users: pd.DataFrame | None = None,
    items: pd.DataFrame | None = None,
    tables: dict[str, pd.DataFrame] | None = None,
    card: dict[str, Any] | None = None,
) -> Dataset:
    """Return the Dataset of raw columns; repeated pairs are kept and counted in the card.

    Args:
        source: the file that errors name.
        users, items: tables with a raw id column, in any order; rows without interactions stay (such items
            are candidates at test).
        tables: side tables; columns `user` and `item` in them hold raw ids and are numbered, rows of unknown
            ids are left out and counted.
        card: facts of the release; what the reader itself left out is counted under `notes`.

    Raises DataError for no interactions, missing ids, bad ratings, bad times and repeated ids in a table.
    """
    if not len(user.codes):
        raise DataError(f"'{source}' holds no interactions")
    if rating is not None:
        rating = check_ratings(rating, source)
    if timestamp is not None:
        timestamp = check_times(timestamp, source)
    notes: dict[str, Any] = dict((card or {}).get("notes", {}))
    user_ids, users, found = number(user, users, "user", source)
    notes.update(found)
    item_ids, items, found = number(item, items, "item", source)
    notes.update(found)
    interactions = Interactions(
        user_ids, item_ids, len(users), len(items), rating=rating, timestamp=timestamp, unique=False
    )
    repeats = interactions.num_repeats()
    if repeats:
        notes["num_repeated_pairs"] = repeats
    interactions = replace(interactions, unique=repeats == 0, checked=True)
    numbered = {}
    for key, table in (tables or {}).items():
        numbered[key], dangling = number_table(table, users, items)
        if dangling:
            notes[f"num_dangling_rows_in_{key}"] = dangling
    _note_text(items, notes)
    for key, value in notes.items():
        logger.info("%s: %s = %s", name, key, value)
    full_card = {"name": name, **(card or {}), "notes": notes}
    return Dataset(name, interactions, users, items, full_card, published, context, numbered)


def _note_text(items: pd.DataFrame, notes: dict[str, Any]) -> None:
    if "text" in items.columns:
        without = int((as_text(items["text"]).str.strip() == "").sum())
        if without:
            notes["num_items_without_text"] = without


def number_table(table: pd.DataFrame, users: pd.DataFrame, items: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return a side table with raw ids replaced by numbers, and how many rows were left out as unknown."""
    result = table.copy()
    known = np.ones(len(table), dtype=bool)
    for column, kind in ID_COLUMNS.items():
        if column in result.columns:
            ids = users["user_id"] if kind == "user" else items["item_id"]
            result[column] = pd.Index(ids).get_indexer(pd.Index(result[column]))
            known &= result[column].to_numpy() >= 0
    return result.loc[known].reset_index(drop=True), int((~known).sum())


ID_COLUMNS = {"user": "user", "friend": "user", "item": "item", "src": "item", "dst": "item"}
"""Columns of side tables that hold user or item numbers, and of which kind."""


def check_ratings(values: np.ndarray, source: str) -> np.ndarray:
    """Return ratings as float32; a missing, infinite or negative one is a DataError with file and row."""
    ratings = np.asarray(values, dtype=np.float32)
    bad = ~(np.isfinite(ratings) & (ratings >= 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"'{source}': rating {ratings[row]} in row {row + 1} ({int(bad.sum())} such rows); "
            "ratings must be numbers and not negative"
        )
    return ratings


def check_times(values: np.ndarray, source: str, now: float | None = None) -> np.ndarray:
    """Return times as int64 seconds; milliseconds throughout are divided by 1000.

    Missing times, mixed units (some values a thousand times others) and times more than a day ahead of `now`
    (this machine's clock) or beyond 64 bits are a DataError with file and row.
    """
    times = np.asarray(values)
    if times.dtype.kind in "fu":
        missing = ~np.isfinite(times)
        if missing.any():
            raise DataError(
                f"'{source}': the timestamp in row {int(np.flatnonzero(missing)[0]) + 1} is missing"
            )
        beyond = ~(np.abs(times) < 2.0**63)  # these would become other numbers below
        if beyond.any():
            row = int(np.flatnonzero(beyond)[0])
            raise DataError(
                f"'{source}': the timestamp {times[row]} in row {row + 1} is no time ({int(beyond.sum())} such rows); "
                "times are seconds since 1970"
            )
    times = times.astype(np.int64)
    if not len(times):
        return times
    milliseconds = times > 100_000_000_000
    if milliseconds.any():
        moments = times[times > 0]
        if (moments <= 100_000_000_000).any():
            row = int(np.flatnonzero(~milliseconds & (times > 0))[0])
            other = int(np.flatnonzero(milliseconds)[0])
            raise DataError(
                f"'{source}': timestamps are in mixed units: {times[row]} in row {row + 1} looks like "
                f"seconds, "
                f"{times[other]} in row {other + 1} like milliseconds; convert them to seconds"
            )
        times = times // 1000
    limit = (time.time() if now is None else now) + _DAY
    if (times > limit).any():
        row = int(np.flatnonzero(times > limit)[0])
        raise DataError(
            f"'{source}': the timestamp {times[row]} in row {row + 1} lies in the future "
            f"({int((times > limit).sum())} such rows); times are seconds since 1970"
        )
    return times
