"""Side tables of a data set: knowledge graph, tags, friends, citations; how they link, and what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from gnnrec.data.build import ID_COLUMNS
from gnnrec.data.dataset import Dataset, as_text
from gnnrec.errors import DataError

_KG = {"head": ("head", "head_id"), "relation": ("relation", "relation_id"), "tail": ("tail", "tail_id")}


def knowledge_graph(dataset: Dataset) -> pd.DataFrame:
    """Return the triples of the data set as text columns head, relation, tail (entity names).

    Items are entities through the item column `kg_entity`. Raises DataError where there is no knowledge
    graph.
    """
    table = dataset.tables.get("kg")
    if table is None:
        known = ", ".join(dataset.tables) or "none"
        raise DataError(f"data set '{dataset.name}' has no knowledge graph (its side tables: {known})")
    columns = {}
    for name, choices in _KG.items():
        found = next((choice for choice in choices if choice in table.columns), None)
        if found is None:
            known = ", ".join(map(str, table.columns))
            raise DataError(
                f"the table 'kg' of data set '{dataset.name}' has no column '{name}' (its columns: {known})"
            )
        columns[name] = as_text(table[found])
    return pd.DataFrame(columns)


def entity_of_items(dataset: Dataset) -> np.ndarray:
    """Return the entity name of each item, '' where it is not linked, object [num_items]."""
    if "kg_entity" not in dataset.items.columns:
        return np.full(dataset.num_items, "", dtype=object)
    values = dataset.items["kg_entity"]
    if pd.api.types.is_float_dtype(values):
        values = values.astype("Int64")  # whole numbers became floats because some items have none
    return as_text(values).to_numpy(dtype=object)


def table_report(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Return for each side table its number of rows, and of those that name an unknown user or item.

    For the knowledge graph: entities, relations, items linked, and linked items whose entity is in no triple.
    """
    report: dict[str, dict[str, Any]] = {}
    for name, table in dataset.tables.items():
        entry: dict[str, Any] = {"num_rows": len(table)}
        dangling = _dangling(dataset, table)
        if dangling is not None:
            entry["num_dangling"] = int(dangling.sum())
        report[name] = entry
    if "kg" in dataset.tables:
        triples = knowledge_graph(dataset)
        entities = pd.unique(np.concatenate([triples["head"].to_numpy(), triples["tail"].to_numpy()]))
        linked = entity_of_items(dataset)
        linked = linked[linked != ""]
        report["kg"].update(
            num_entities=len(entities),
            num_relations=len(set(triples["relation"])),
            num_items_linked=len(linked),
            num_items_linked_without_triple=int((~np.isin(linked.astype(str), entities.astype(str))).sum()),
        )
    return report


def _dangling(dataset: Dataset, table: pd.DataFrame) -> np.ndarray | None:
    """Return a mask of the rows with an id out of range, or None where the table names no users or items."""
    size = {"user": dataset.num_users, "item": dataset.num_items}
    mask = None
    for column, kind in ID_COLUMNS.items():
        if column not in table.columns or not pd.api.types.is_numeric_dtype(table[column]):
            continue
        ids = table_ids(pd.Series(table[column]))
        bad = ~((ids >= 0) & (ids < size[kind]))
        mask = bad if mask is None else mask | bad
    return mask


def table_ids(column: pd.Series) -> np.ndarray:
    """Return the ids of a numeric column of a side table, -1 where there is none: int64 [num_rows].

    A column with a missing id is read as floats, or as pandas' own integers.
    """
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(values) & (values == np.floor(values)), values, -1).astype(np.int64)


def drop_dangling(dataset: Dataset) -> Dataset:
    """Return the data set without the side-table rows that name unknown users or items."""
    tables = {}
    for name, table in dataset.tables.items():
        bad = _dangling(dataset, table)
        tables[name] = table if bad is None else table.loc[~bad].reset_index(drop=True)
    return replace(dataset, tables=tables)
