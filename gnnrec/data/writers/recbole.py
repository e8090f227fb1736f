"""RecBole atomic files of a data set or of one split of it.

Format: https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pandas as pd

from gnnrec.data.dataset import Dataset, as_text
from gnnrec.data.interactions import Interactions
from gnnrec.data.splits.base import Split
from gnnrec.data.tables import entity_of_items, knowledge_graph
from gnnrec.data.writers import check_support, remove_others
from gnnrec.errors import DataError
from gnnrec.files import whole_file

_ENDS = ("inter", "train.inter", "valid.inter", "test.inter", "user", "item", "link", "kg")


def write_recbole(
    dataset: Dataset, folder: str | Path, split: Split | None = None, name: str | None = None
) -> Path:
    """Write NAME.inter, .item, .user, and .kg and .link where there is a knowledge graph; return the folder.

    With `split`, interactions go to NAME.train.inter, .valid.inter and .test.inter, which RecBole reads with
    `benchmark_filename: [train, valid, test]`. Numeric columns become float, `text` and `title` token_seq,
    other columns token. The format knows no quoting: tabs and line ends inside text and ids become blanks, and
    a quote at the start an apostrophe (RecBole's parser would look for its end). Ids that this makes alike are
    a DataError, and so is a split with support pairs. Those of these files that an earlier export left and this
    one does not write are removed.
    """
    if split is not None:
        check_support(split, "RecBole's files")
    folder = Path(folder)
    name = name or folder.name
    users, items = _ids(dataset.users, "user_id"), _ids(dataset.items, "item_id")
    _check_columns(dataset)
    if split is None:
        parts = {f"{name}.inter": dataset.interactions}
    else:
        parts = {
            f"{name}.{key}.inter": part
            for key, part in (("train", split.train), ("valid", split.validation), ("test", split.test))
        }
    written = {*parts, f"{name}.user", f"{name}.item"}
    for file, part in parts.items():
        _write(_interaction_frame(part, users, items), folder / file)
    _write(_typed(dataset.users, "user_id"), folder / f"{name}.user")
    linked = "kg_entity" in dataset.items.columns
    attributes = dataset.items.drop(columns="kg_entity") if linked else dataset.items
    _write(_typed(attributes, "item_id"), folder / f"{name}.item")
    if linked:
        entities = _one_field(pd.Series(entity_of_items(dataset), dtype=str))
        has = (entities != "").to_numpy()
        links = {"item_id:token": items.to_numpy()[has], "entity_id:token": entities.to_numpy()[has]}
        _write(pd.DataFrame(links), folder / f"{name}.link")
        written.add(f"{name}.link")
    if "kg" in dataset.tables:
        triples = knowledge_graph(dataset)
        columns = {f"{column}_id:token": _one_field(as_text(triples[column])) for column in triples}
        _write(pd.DataFrame(columns), folder / f"{name}.kg")
        written.add(f"{name}.kg")
    remove_others(folder, {f"{name}.{end}" for end in _ENDS}, written)
    return folder


def _interaction_frame(part: Interactions, users: pd.Series, items: pd.Series) -> pd.DataFrame:
    frame = {
        "user_id:token": users.to_numpy()[part.user],
        "item_id:token": items.to_numpy()[part.item],
    }
    if part.rating is not None:
        frame["rating:float"] = part.rating
    if part.timestamp is not None:
        frame["timestamp:float"] = part.timestamp
    return pd.DataFrame(frame)


def _typed(table: pd.DataFrame, key: str) -> pd.DataFrame:
    columns = {f"{key}:token": _ids(table, key)}
    for column in table.columns:
        values = pd.Series(table[column])
        if column == key:
            continue
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            columns[f"{column}:float"] = values
        else:
            kind = "token_seq" if column in ("text", "title") else "token"
            columns[f"{column}:{kind}"] = _one_field(as_text(values))
    return pd.DataFrame(columns)


def _check_columns(dataset: Dataset) -> None:
    for column in (*dataset.users.columns, *dataset.items.columns):
        if re.search(r"[:\t\r\n]", str(column)):
            raise DataError(
                f"column {column!r} cannot be written, for a name ends at a colon or a tab: rename it"
            )


def _ids(table: pd.DataFrame, key: str) -> pd.Series:
    ids = _one_field(as_text(table[key]))
    repeated = ids.to_numpy()[ids.duplicated().to_numpy()]
    if len(repeated):
        raise DataError(f"several raw ids would be written as '{key}' {repeated[0]!r}: rename them")
    return ids


def _one_field(values: pd.Series) -> pd.Series:
    return values.str.replace(r"[\t\r\n\x1f]+", " ", regex=True).str.replace(r'^"', "'", regex=True)


def _write(frame: pd.DataFrame, path: Path) -> None:
    with whole_file(path) as temporary:
        # an unused quote character: with the usual one, quotes inside text would have to be escaped
        frame.to_csv(
            temporary, sep="\t", index=False, quoting=csv.QUOTE_NONE, quotechar="\x1f", lineterminator="\n"
        )
