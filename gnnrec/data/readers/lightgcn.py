"""Adjacency lists as LightGCN, NGCF and their many followers use them: one user a line, 'user item item ...'.

Format: https://github.com/kuandeng/LightGCN (Data/gowalla)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from gnnrec.data.dataset import Dataset, check_numbering, id_table
from gnnrec.data.files import find_file, find_optional, read_lines
from gnnrec.data.interactions import Interactions
from gnnrec.errors import DataError

_PARTS = (("train.txt", 0), ("valid.txt", 1), ("val.txt", 1), ("test.txt", 2))


def read_lightgcn(folder: str | Path, name: str | None = None) -> Dataset:
    """Return the data set in train.txt, test.txt and (if there) valid.txt or val.txt: its published split.

    user_list.txt and item_list.txt (org_id remap_id) give the raw ids; without them the numbers are the raw
    ids.
    """
    folder = Path(folder)
    find_file(folder, "train.txt")
    if find_optional(folder, "valid.txt") and find_optional(folder, "val.txt"):
        raise DataError(f"'{folder}' has a valid.txt and a val.txt: keep the one that is the validation part")
    columns = []
    for file, code in _PARTS:
        path = find_optional(folder, file)
        if path is not None:
            user, item = _read_list(path)
            columns.append((user, item, np.full(len(user), code, dtype=np.int8)))
    user, item, part = (np.concatenate(values) for values in zip(*columns))
    if not len(user):
        raise DataError(f"'{folder}/train.txt' holds no interactions")
    for kind, numbers in (("user", user), ("item", item)):
        check_numbering(kind, int(numbers.max()) + 1, len(numbers), folder)
    users = _raw_ids(folder / "user_list.txt", "user", int(user.max()) + 1)
    items = _raw_ids(folder / "item_list.txt", "item", int(item.max()) + 1)
    interactions = Interactions(user, item, len(users), len(items), unique=False).marked_unique()
    card = {"name": name or folder.name, "source": "LightGCN adjacency lists"}
    return Dataset(name or folder.name, interactions, users, items, card, published=part)


def _read_list(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the user and item columns of one list; users without items are allowed."""
    users, rows, sizes = [], [], []
    for line, text in read_lines(path):
        if not text.strip():
            continue
        try:
            numbers = np.array(text.split(), dtype=np.int64)
        except (ValueError, OverflowError) as error:
            raise DataError(
                f"'{path}' line {line}: expected whole numbers, 'user item item ...' ({error})"
            ) from error
        if numbers.min() < 0 or numbers.max() >= 2**31:
            raise DataError(
                f"'{path}' line {line}: ids must be in [0, 2^31) (got {numbers.min()} to {numbers.max()})"
            )
        users.append(numbers[0])
        rows.append(numbers[1:].astype(np.int32))
        sizes.append(len(numbers) - 1)
    item = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int32)
    return np.repeat(np.array(users, dtype=np.int32), np.array(sizes, dtype=np.int64)), item


def _raw_ids(path: Path, kind: str, least: int) -> pd.DataFrame:
    """Return the id table of a user_list.txt or item_list.txt, or that of the numbers themselves."""
    if not path.is_file():
        return id_table(kind, least)
    names: dict[int, str] = {}
    for line, text in read_lines(path):
        if line == 1 or not text.strip():
            continue
        fields = text.rsplit(None, 1)
        if len(fields) != 2 or not fields[1].isdecimal():
            raise DataError(f"'{path}' line {line}: expected 'org_id remap_id' (got {text[:60]!r})")
        if int(fields[1]) in names:
            raise DataError(f"'{path}' line {line}: the number {fields[1]} occurs twice")
        names[int(fields[1])] = fields[0]
    missing = next((place for place in range(max(least, len(names))) if place not in names), None)
    if missing is not None:
        raise DataError(
            f"'{path}' has no line for {kind} {missing} (it has {len(names)}, the lists need {least})"
        )
    return pd.DataFrame({f"{kind}_id": [names[place] for place in range(len(names))]})
