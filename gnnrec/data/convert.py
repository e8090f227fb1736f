"""A data set as the graph object of other libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch_geometric.data import HeteroData

from gnnrec.data.dataset import Dataset
from gnnrec.data.interactions import Interactions
from gnnrec.data.tables import entity_of_items, knowledge_graph, table_ids
from gnnrec.errors import DataError

if TYPE_CHECKING:
    import networkx

_LARGE = 1_000_000
_PAIRS = {
    ("user", "friend"): ("user", "user"),
    ("src", "dst"): ("item", "item"),
    ("user", "item"): ("user", "item"),
}


def to_hetero_data(dataset: Dataset, interactions: Interactions | None = None) -> HeteroData:
    """Return a PyG HeteroData with node types user, item (and entity) and an edge type per relation.

    Interactions are ('user', 'interacts', 'item') and ('item', 'interacted_by', 'user'), with `rating` and
    `time` where there are any; side tables with two id columns become edges named after the table; the
    knowledge graph becomes ('entity', 'triple', 'entity') with `relation`, and ('item', 'is', 'entity').
    Pass the train part of a split as `interactions` to leave the held-out ones out.

    Shapes: edge_index int64 [2, num_edges].
    """
    rows = dataset.interactions if interactions is None else interactions
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = dataset.num_users, dataset.num_items
    forward = data["user", "interacts", "item"]
    backward = data["item", "interacted_by", "user"]
    forward.edge_index = _edges(rows.user, rows.item)
    backward.edge_index = forward.edge_index.flip(0)
    for store in (forward, backward):
        if rows.rating is not None:
            store.rating = torch.tensor(rows.rating)
        if rows.timestamp is not None:
            store.time = torch.tensor(rows.timestamp)
    for name, table in dataset.tables.items():
        for (left, right), (source, target) in _PAIRS.items():
            if {left, right} <= set(table.columns):
                edges = _edges(*(_numbers(pd.Series(table[column]), name) for column in (left, right)))
                _check_inside(edges, data[source].num_nodes, data[target].num_nodes, name)
                data[source, name, target].edge_index = edges
                break
    if "kg" in dataset.tables:
        _add_knowledge_graph(data, dataset)
    return data


def _edges(source: np.ndarray, target: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.stack([source, target]).astype(np.int64))


def _numbers(column: pd.Series, name: str) -> np.ndarray:
    if not pd.api.types.is_numeric_dtype(column):
        raise DataError(
            f"column '{column.name}' of the side table '{name}' must hold the numbers of users or items, from 0 "
            f"(got {column.dtype}); number them in the order of the user or item table, or leave the table out"
        )
    return table_ids(column)


def _check_inside(edges: torch.Tensor, num_sources: int, num_targets: int, name: str) -> None:
    limit = torch.tensor([[num_sources], [num_targets]])
    outside = int(((edges < 0) | (edges >= limit)).any(dim=0).sum())
    if outside:
        raise DataError(
            f"the side table '{name}' has {outside} rows that name unknown users or items; "
            "remove them with gnnrec.data.tables.drop_dangling"
        )


def _add_knowledge_graph(data: HeteroData, dataset: Dataset) -> None:
    triples = knowledge_graph(dataset)
    linked = entity_of_items(dataset)
    has = np.flatnonzero(linked != "")
    names = pd.Index(pd.unique(np.concatenate([triples["head"], triples["tail"], linked[has].astype(str)])))
    store = data["entity", "triple", "entity"]
    store.edge_index = _edges(
        names.get_indexer(pd.Index(triples["head"])), names.get_indexer(pd.Index(triples["tail"]))
    )
    codes, relations = pd.factorize(triples["relation"], sort=True)
    store.relation = torch.tensor(codes.astype(np.int64))
    data.relations = [str(name) for name in relations]
    data["entity"].num_nodes = len(names)
    data["item", "is", "entity"].edge_index = _edges(
        has, names.get_indexer(pd.Index(linked[has].astype(str)))
    )


def to_networkx(dataset: Dataset, interactions: Interactions | None = None) -> networkx.Graph:
    """Return the bipartite graph as a networkx Graph with nodes ("user", 3), ("item", 7) and their `raw_id`.

    For inspection and small graphs: beyond a million edges networkx needs gigabytes, which is a DataError
    here.
    """
    import networkx

    rows = dataset.interactions if interactions is None else interactions
    if len(rows) > _LARGE:
        raise DataError(
            f"data set '{dataset.name}' has {len(rows)} interactions, too many for networkx (at most "
            f"{_LARGE}); "
            "sample users with a recipe, or use to_hetero_data"
        )
    graph = networkx.Graph(name=dataset.name)
    graph.add_nodes_from(
        (("user", u), {"bipartite": 0, "raw_id": raw}) for u, raw in enumerate(dataset.users["user_id"])
    )
    graph.add_nodes_from(
        (("item", i), {"bipartite": 1, "raw_id": raw}) for i, raw in enumerate(dataset.items["item_id"])
    )
    graph.add_edges_from((("user", u), ("item", i)) for u, i in zip(rows.user.tolist(), rows.item.tolist()))
    return graph
