from __future__ import annotations

from dataclasses import replace

import networkx
import pandas as pd
import pytest
import torch

from gnnrec.data.dataset import Dataset
from gnnrec.errors import DataError


def test_hetero_data_holds_every_relation(planted: Dataset) -> None:
    items = planted.items.assign(kg_entity=["e0", "e1", *[None] * (planted.num_items - 2)])
    tables = {
        "kg": pd.DataFrame({"head": ["e0", "e1"], "relation": ["b", "a"], "tail": ["x", "e0"]}),
        "friends": pd.DataFrame({"user": [0, 1], "friend": [1, 2]}),
        "citations": pd.DataFrame({"src": [4], "dst": [5]}),
    }
    dataset = replace(planted, items=items, tables=tables)
    data = dataset.to_hetero_data()
    assert data.validate()
    edges = data["user", "interacts", "item"].edge_index
    assert edges.dtype == torch.int64
    keys = edges[0] * dataset.num_items + edges[1]
    assert keys.tolist() == dataset.interactions.pair_keys().tolist()
    assert torch.equal(data["item", "interacted_by", "user"].edge_index, edges.flip(0))
    assert torch.equal(data["user", "interacts", "item"].time, data["item", "interacted_by", "user"].time)
    assert data["user", "friends", "user"].edge_index.tolist() == [[0, 1], [1, 2]]
    assert data["item", "citations", "item"].edge_index.tolist() == [[4], [5]]
    assert data["entity"].num_nodes == 3
    assert data.relations == ["a", "b"]
    assert data["entity", "triple", "entity"].relation.tolist() == [1, 0]
    assert data["item", "is", "entity"].edge_index.tolist() == [[0, 1], [0, 1]]


def test_only_train_can_be_given(planted: Dataset) -> None:
    train = planted.split("random").train
    assert planted.to_hetero_data(train)["user", "interacts", "item"].edge_index.size(1) == len(train)
    assert planted.to_networkx(train).number_of_edges() == len(train)


def test_dangling_rows_are_refused(planted: Dataset) -> None:
    broken = replace(planted, tables={"friends": pd.DataFrame({"user": [0], "friend": [500]})})
    with pytest.raises(DataError, match="'friends' has 1 rows that name unknown"):
        broken.to_hetero_data()


def test_side_tables_hold_numbers(planted: Dataset) -> None:
    for friend, message in (
        ("u2", "column 'friend' of the side table 'friends' must hold the numbers"),
        (None, "1 rows"),
    ):
        broken = replace(planted, tables={"friends": pd.DataFrame({"user": [0, 1], "friend": [1, friend]})})
        with pytest.raises(DataError, match=message):
            broken.to_hetero_data()


def test_networkx_graph_is_bipartite(planted: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = planted.to_networkx()
    assert networkx.is_bipartite(graph)
    assert graph.number_of_nodes() == planted.num_users + planted.num_items
    assert graph.nodes["item", 7]["raw_id"] == planted.items["item_id"][7]
    degree = planted.interactions.user_counts()
    assert all(graph.degree["user", user] == degree[user] for user in range(planted.num_users))
    monkeypatch.setattr("gnnrec.data.convert._LARGE", 10)
    with pytest.raises(DataError, match="too many for networkx"):
        planted.to_networkx()
