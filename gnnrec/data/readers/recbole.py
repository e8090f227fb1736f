"""RecBole atomic files: NAME.inter, .item, .user, .kg and .link, tab-separated with typed headers.

Format: https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from gnnrec.data.build import build_dataset, encode
from gnnrec.data.dataset import Dataset
from gnnrec.data.files import read_lines
from gnnrec.data.separated import read_table
from gnnrec.errors import DataError

_TYPES = {
    "token": pa.string(),
    "token_seq": pa.string(),
    "float": pa.float64(),
    "float_seq": pa.string(),
}
_NEEDED = {
    ".inter": ("user_id", "item_id"),
    ".item": ("item_id",),
    ".user": ("user_id",),
    ".link": ("item_id", "entity_id"),
    ".kg": ("head_id", "relation_id", "tail_id"),
}
_TAKEN = ("user_id", "item_id", "rating", "timestamp")
_PARTS = {"train": 0, "valid": 1, "test": 2}


def read_recbole(folder: str | Path, name: str | None = None) -> Dataset:
    """Return a data set in RecBole's atomic files.

    `name` is that of the files; by default that of the folder, or of the only .inter file in it.

    Columns keep their names without the type; of .inter, the columns user_id, item_id, rating and timestamp
    are taken. NAME.train.inter, .valid.inter and .test.inter become the published split. .kg becomes the
    table `kg` (head, relation, tail), .link the item column `kg_entity`. A `text` column is taken as it is.
    """
    folder = Path(folder)
    name = name or _name_of_files(folder)
    table, published = _interactions(folder, name)
    items = _optional(folder / f"{name}.item")
    users = _optional(folder / f"{name}.user")
    tables = {}
    triples = _optional(folder / f"{name}.kg")
    if triples is not None:
        renamed = {"head_id": "head", "relation_id": "relation", "tail_id": "tail"}
        tables["kg"] = triples.rename(columns=renamed)[list(renamed.values())]
    has = table.column_names
    dataset = build_dataset(
        name,
        encode(table["user_id"], f"'{folder}': user_id"),
        encode(table["item_id"], f"'{folder}': item_id"),
        source=f"{folder}/{name}.inter",
        rating=table["rating"].to_numpy() if "rating" in has else None,
        timestamp=table["timestamp"].to_numpy() if "timestamp" in has else None,
        published=published,
        users=users,
        items=items,
        tables=tables,
        card={"source": "RecBole atomic files"},
    )
    links = _optional(folder / f"{name}.link")
    return dataset if links is None else _with_links(dataset, links)


def names_of_files(folder: str | Path) -> list[str]:
    """Return the names of the data sets that have an .inter file in the folder."""
    stems = [path.name.removesuffix(".inter") for path in Path(folder).glob("*.inter")]
    ends = tuple(f".{part}" for part in _PARTS)
    return sorted({stem.rpartition(".")[0] if stem.endswith(ends) else stem for stem in stems})


def _name_of_files(folder: Path) -> str:
    found = names_of_files(folder)
    return found[0] if len(found) == 1 else folder.name


def _interactions(folder: Path, name: str) -> tuple[pa.Table, np.ndarray | None]:
    whole = folder / f"{name}.inter"
    if whole.is_file():
        return read_atomic(whole), None
    found = {part: folder / f"{name}.{part}.inter" for part in _PARTS}
    if not (found["train"].is_file() and found["test"].is_file()):
        here = ", ".join(sorted(entry.name for entry in folder.glob("*.inter"))) or "no .inter file"
        raise DataError(
            f"'{folder}' has no {name}.inter (it has: {here}); the name of the data set must be that of its files"
        )
    tables, codes = [], []
    for part, path in found.items():
        if path.is_file():
            table = read_atomic(path)
            tables.append(table.select([column for column in _TAKEN if column in table.column_names]))
            codes.append(np.full(len(table), _PARTS[part], dtype=np.int8))
            if tables[-1].schema != tables[0].schema:
                wanted, got = (_columns(one) for one in (tables[0], tables[-1]))
                raise DataError(f"'{path}' must have the columns of the other parts ({wanted}; got {got})")
    return pa.concat_tables(tables), np.concatenate(codes)


def _columns(table: pa.Table) -> str:
    return ", ".join(f"{field.name} of {field.type}" for field in table.schema)


def read_atomic(path: Path) -> pa.Table:
    """Return one atomic file; the header gives name:type for each column."""
    _, header = next(read_lines(path), (0, ""))
    names, types = [], {}
    for field in header.split("\t"):
        column, _, kind = field.partition(":")
        if kind not in _TYPES:
            raise DataError(
                f"'{path}' line 1: column '{field}' must be name:type with a type of {', '.join(_TYPES)}"
            )
        if column in names:
            raise DataError(
                f"'{path}' line 1: two columns are named '{column}': rename or remove one of them"
            )
        names.append(column)
        # ratings and times are numbers, also where a file calls them token
        number = path.suffix == ".inter" and column in ("rating", "timestamp")
        types[field] = pa.float64() if number else _TYPES[kind]
    table = read_table(path, "\t", types=types)
    for column in _NEEDED.get(path.suffix, ()):
        if column not in names:
            raise DataError(f"'{path}' has no column '{column}' (its columns: {', '.join(names)})")
    return table.rename_columns(names)


def _optional(path: Path) -> pd.DataFrame | None:
    return read_atomic(path).to_pandas() if path.is_file() else None


def _with_links(dataset: Dataset, links: pd.DataFrame) -> Dataset:
    """Return the data set with the item column `kg_entity`; links of unknown items are counted."""
    items = dataset.items
    entity = dict(zip(links["item_id"].tolist(), links["entity_id"].tolist()))
    unknown = len(entity.keys() - set(items["item_id"]))
    notes = {**dataset.card["notes"], **({"num_dangling_rows_in_link": unknown} if unknown else {})}
    items = items.assign(kg_entity=[entity.get(name) for name in items["item_id"].tolist()])
    return replace(dataset, items=items, card={**dataset.card, "notes": notes})
