from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gnnrec.data.card import describe, format_facts, gini, text_coverage, top_share
from gnnrec.data.dataset import Dataset, id_table
from gnnrec.data.interactions import Interactions
from gnnrec.data.tables import drop_dangling, entity_of_items, knowledge_graph, table_report
from gnnrec.errors import ConfigError, DataError


def test_gini_and_shares() -> None:
    assert gini(np.array([4, 4, 4])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)
    counts = np.random.default_rng(0).integers(0, 50, size=40)
    brute = np.abs(counts[:, None] - counts[None]).mean() / (2 * counts.mean())
    assert gini(counts) == pytest.approx(brute)
    assert top_share(np.array([1, 7, 1, 1, 0]), 0.2) == pytest.approx(0.7)
    assert gini(np.zeros(3)) == top_share(np.zeros(0), 0.2) == 0


def case() -> Dataset:
    rows = Interactions(
        np.array([0, 1, 2, 0, 1]),
        np.array([0, 0, 0, 1, 1]),
        4,
        4,
        rating=np.array([1, 2, 3, 4, 5]),
        timestamp=np.array([0, 86400, 86400, 0, 86400]),
    )
    items = id_table("item", 4).assign(text=["one", None, "", "four!"], kg_entity=["e1", None, "e9", None])
    tables = {
        "kg": pd.DataFrame({"head_id": ["e1", "e2"], "relation_id": ["r", "q"], "tail_id": ["e2", "e3"]}),
        "tags": pd.DataFrame({"user": [0, 9, 1], "item": [1, 1, -1], "tag": list("abc")}),
        "notes": pd.DataFrame({"text": ["free"]}),
    }
    return Dataset("case", rows, id_table("user", 4), items, {"license": "CC0"}, tables=tables)


def test_facts_by_hand() -> None:
    facts = describe(case())
    assert (facts["num_users"], facts["num_users_with_interactions"]) == (4, 3)
    assert (facts["num_items"], facts["num_items_with_interactions"]) == (4, 2)
    assert facts["density"] == pytest.approx(5 / 6)
    assert facts["rating"] == {"min": 1, "max": 5, "mean": 3}
    assert facts["time"] == {"unit": "seconds", "from": "1970-01-01", "to": "1970-01-02", "days": 1.0}
    assert facts["license"] == "CC0"
    text = facts["text"]
    assert (text["num_items"], text["share_of_items"], text["share_of_interactions"]) == (2, 0.5, 0.6)
    assert text["by_group"]["cold"] == {"num_items": 2, "share_of_items": 0.5, "mean_chars": 2.5}
    shown = format_facts(facts)
    assert "density" in shown
    assert "0.833333" in shown


def test_text_columns_may_be_named() -> None:
    assert text_coverage(case(), ("kg_entity", "text"))["num_items"] == 3
    assert text_coverage(case(), ("title",))["num_items"] == 0


def test_the_text_of_a_template_is_described() -> None:
    dataset = case()
    items = dataset.items.rename(columns={"text": "title"})
    template = {"text": {"item": [["", "title"], ["entity", "kg_entity"]], "user": []}}
    text = describe(replace(dataset, items=items, card=template))["text"]
    assert (text["columns"], text["num_items"]) == (["title", "kg_entity"], 3)
    assert describe(replace(dataset, items=items))["text"]["num_items"] == 0
    with pytest.raises(
        ConfigError, match=r"unknown text column 'txt' of data set 'case', did you mean 'text'"
    ):
        describe(dataset, ["txt"])


def test_links_are_counted() -> None:
    report = table_report(case())
    assert report["tags"] == {"num_rows": 3, "num_dangling": 2}
    assert report["notes"] == {"num_rows": 1}
    assert report["kg"] == {
        "num_rows": 2,
        "num_entities": 3,
        "num_relations": 2,
        "num_items_linked": 2,
        "num_items_linked_without_triple": 1,
    }
    assert drop_dangling(case()).tables["tags"]["tag"].tolist() == ["a"]


@pytest.mark.parametrize("kind", ["float64", "Int64"])
def test_a_missing_id_is_a_link_into_nothing(kind: str) -> None:
    tags = pd.DataFrame({"item": pd.Series([1, None, 9], dtype=kind), "tag": list("abc")})
    dataset = replace(case(), tables={"tags": tags})
    assert table_report(dataset)["tags"] == {"num_rows": 3, "num_dangling": 2}
    assert drop_dangling(dataset).tables["tags"]["tag"].tolist() == ["a"]


def test_numbered_entities_are_read_as_whole_numbers() -> None:
    dataset = case()
    items = dataset.items.assign(kg_entity=[3.0, np.nan, 12.0, np.nan])
    assert entity_of_items(replace(dataset, items=items)).tolist() == ["3", "", "12", ""]
    assert knowledge_graph(dataset).columns.tolist() == ["head", "relation", "tail"]


def test_a_missing_knowledge_graph_is_told() -> None:
    with pytest.raises(DataError, match="has no knowledge graph \\(its side tables: tags\\)"):
        knowledge_graph(replace(case(), tables={"tags": case().tables["tags"]}))
    with pytest.raises(DataError, match="has no column 'tail'"):
        knowledge_graph(replace(case(), tables={"kg": pd.DataFrame({"head": [], "relation": []})}))
