"""A data set: interactions, what is known about users and items, and where it came from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gnnrec.data.interactions import Interactions
from gnnrec.errors import DataError, suggest
from gnnrec.files import data_home

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from gnnrec.data.splits import Split

BUNDLED = ("debian",)
_MANY = 10_000_000  # rows of a table of ids that fit any machine


@dataclass(frozen=True, eq=False)
class Dataset:
    """Interactions with one row of attributes per user and per item, and a card.

    Args:
        name: short name, e.g. "ml-100k".
        interactions: the user-item pairs; repeats are allowed (`interactions.unique` says).
        users: one row per user in id order; `user_id` holds the raw id, other columns are text or attributes.
        items: one row per item in id order; `item_id` holds the raw id.
        card: what is known about the set: title, licence, citation, source, steps, text_from, ...
        published: int8 [n], 0 train, 1 validation, 2 test, where the set comes with a split; else None.
        context: one row per interaction with further columns (plays, device, ...); else None.
        tables: side tables by name: kg (head, relation, tail), tags, friends, ...

    Raises DataError for tables whose length is not the number of users or items, and repeated raw ids.
    """

    name: str
    interactions: Interactions
    users: pd.DataFrame
    items: pd.DataFrame
    card: dict[str, Any] = field(default_factory=dict)
    published: np.ndarray | None = None
    context: pd.DataFrame | None = None
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_table(self.users, "user", self.interactions.num_users, self.name)
        _check_table(self.items, "item", self.interactions.num_items, self.name)
        for what, rows in (("published", self.published), ("context", self.context)):
            if rows is not None and len(rows) != len(self.interactions):
                raise DataError(
                    f"'{what}' of data set '{self.name}' must have one row per interaction "
                    f"(expected {len(self.interactions)}, got {len(rows)})"
                )

    @property
    def num_users(self) -> int:
        """Number of users, those without an interaction included."""
        return self.interactions.num_users

    @property
    def num_items(self) -> int:
        """Number of items, those without an interaction included."""
        return self.interactions.num_items

    def split(self, name: str, seed: int = 0, **params: Any) -> Split:
        """Return the split called `name` (see gnnrec.data.splits.make_split)."""
        from gnnrec.data.splits import make_split

        return make_split(self, name, seed, **params)

    def fingerprint(self) -> str:
        """Return a SHA-256 of interactions, published split, user and item tables, and recipe; not of row order."""
        digest = hashlib.sha256(self.interactions.fingerprint().encode())
        if self.published is not None:
            order = self.interactions.canonical_order(ties=self.published)
            digest.update(
                np.ascontiguousarray(self.published if order is None else self.published[order]).data
            )
        for table in (self.users, self.items):
            for column in sorted(map(str, table.columns)):
                digest.update(f"\x1d{column}\x1e".encode())
                digest.update("\x1f".join(as_text(table[column])).encode("utf-8", "surrogatepass"))
        for step in self.card.get("recipe", []):
            options = {key: value for key, value in step.items() if key not in ("removed", "left")}
            digest.update(json.dumps(options, sort_keys=True, default=str).encode())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """Return counts, skew, time span, text coverage and what the card states (see gnnrec.data.card)."""
        from gnnrec.data.card import describe

        return describe(self)

    def to_hetero_data(self, interactions: Interactions | None = None) -> HeteroData:
        """Return a PyG HeteroData (see gnnrec.data.convert)."""
        from gnnrec.data.convert import to_hetero_data

        return to_hetero_data(self, interactions)

    def to_networkx(self, interactions: Interactions | None = None) -> Any:
        """Return a networkx Graph (see gnnrec.data.convert)."""
        from gnnrec.data.convert import to_networkx

        return to_networkx(self, interactions)

    def with_interactions(
        self,
        interactions: Interactions,
        published: np.ndarray | None = None,
        context: pd.DataFrame | None = None,
    ) -> Dataset:
        """Return the same users and items with other interactions."""
        return replace(self, interactions=interactions, published=published, context=context)


def as_text(values: Any) -> pd.Series:
    """Return the values as strings, a missing value as the empty string."""
    return pd.Series(values.astype(object).where(values.notna(), ""), dtype=str)


def id_table(kind: str, count: int) -> pd.DataFrame:
    """Return the table of `count` users or items of which nothing is known: raw ids 0, 1, 2, ..."""
    return pd.DataFrame({f"{kind}_id": np.arange(count)})


def check_numbering(kind: str, count: int, num_rows: int, source: str | Path) -> None:
    """Raise a DataError where numbers up to `count` - 1 in `num_rows` rows are not ids that count from 0.

    A row is kept for each number below the largest: raw ids taken for numbers would fill the memory.
    """
    if count > _MANY and count > 100 * num_rows:
        raise DataError(
            f"'{source}': the largest {kind} number is {count - 1:,} in {num_rows:,} rows, and numbers must "
            "count from 0: data_scripts/table.py reads any ids from a CSV or Parquet file with a pair in each row"
        )


def load_dataset(name_or_path: str | Path) -> Dataset:
    """Return a data set by its bundled name, its native folder, or the folder's name below the data home.

    A path to one .parquet file takes that file as the interactions, and items.parquet and users.parquet
    beside it. Raises DataError that names the nearest known data set where there is none of that name.
    """
    from gnnrec.data.native import read_native

    text = str(name_or_path)
    if not text:
        raise DataError("the name of the data set is empty")
    if text in BUNDLED:
        return read_native(Path(__file__).parent / text)
    path = Path(text).expanduser()
    if path.exists():
        return read_native(path)
    below = data_home() / text
    if not path.is_absolute() and below.exists():
        return read_native(below)
    if "/" in text or path.suffix:
        raise DataError(f"there is no data set at '{text}' (looked there and below '{data_home()}')")
    raise DataError(
        f"unknown data set '{text}'{suggest(text, [*BUNDLED, *_installed()])}; looked below '{data_home()}'"
    )


def _installed() -> list[str]:
    home = data_home()
    return sorted(entry.name for entry in home.iterdir() if entry.is_dir()) if home.is_dir() else []


def _check_table(table: pd.DataFrame, kind: str, count: int, name: str) -> None:
    column = f"{kind}_id"
    if column not in table.columns:
        raise DataError(f"the {kind} table of data set '{name}' has no column '{column}'")
    if len(table) != count:
        raise DataError(
            f"the {kind} table of data set '{name}' must have {count} rows, one per {kind} (got {len(table)})"
        )
    if not table[column].is_unique:
        first = table.loc[table[column].duplicated(), column].tolist()[0]
        raise DataError(
            f"the {kind} table of data set '{name}' repeats the id {first!r} in column '{column}'"
        )
