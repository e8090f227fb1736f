from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gnnrec.data.dataset import Dataset
from gnnrec.data.interactions import Interactions
from gnnrec.data.readers.lightgcn import read_lightgcn
from gnnrec.data.readers.recbole import read_recbole
from gnnrec.data.splits import make_split
from gnnrec.data.writers.lightgcn import write_lightgcn
from gnnrec.data.writers.recbole import write_recbole
from gnnrec.errors import DataError


def with_attributes(planted: Dataset) -> Dataset:
    size = len(planted.interactions)
    rating = np.random.default_rng(0).integers(1, 6, size=size)
    rows = Interactions(
        planted.interactions.user,
        planted.interactions.item,
        planted.num_users,
        planted.num_items,
        rating=rating,
        timestamp=planted.interactions.timestamp,
    )
    items = planted.items.assign(kg_entity=[f"m.{i}" if i % 2 else None for i in range(planted.num_items)])
    items.loc[0, "text"] = 'tab\tand\nline "quoted"'
    kg = pd.DataFrame({"head": ["m.1", "m.3"], "relation": ["film.cut", "film.cut"], "tail": ["m.x", "m.1"]})
    return Dataset("toy", rows, planted.users, items, tables={"kg": kg})


def test_recbole_round_trip(planted: Dataset, tmp_path: Path) -> None:
    dataset = with_attributes(planted)
    folder = write_recbole(dataset, tmp_path / "toy")
    assert (folder / "toy.inter").read_text().splitlines()[
        0
    ] == "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    back = read_recbole(folder)
    assert back.interactions.fingerprint() == dataset.interactions.fingerprint()
    assert back.users["user_id"].tolist() == dataset.users["user_id"].tolist()
    assert back.items["item_id"].tolist() == dataset.items["item_id"].tolist()
    assert back.items["text"].tolist()[1:] == dataset.items["text"].tolist()[1:]
    assert back.items["text"][0] == 'tab and line "quoted"'
    assert back.items["block"].tolist() == dataset.items["block"].tolist()
    assert back.items["kg_entity"].fillna("").tolist() == dataset.items["kg_entity"].fillna("").tolist()
    assert back.tables["kg"].to_numpy().tolist() == dataset.tables["kg"].to_numpy().tolist()


def test_recbole_graphs_are_written_by_name(tmp_path: Path) -> None:
    rows = Interactions(np.array([0, 0]), np.array([0, 2]), 1, 3)
    items = pd.DataFrame({"item_id": ["a", "b", "c"], "kg_entity": [7, None, 8]})
    kg = pd.DataFrame({"head": [7], "tail": [8], "relation": ["by"], "source": ["wiki"]})
    dataset = Dataset("toy", rows, pd.DataFrame({"user_id": ["u"]}), items, tables={"kg": kg})
    folder = write_recbole(dataset, tmp_path / "toy")
    assert (folder / "toy.kg").read_text() == "head_id:token\trelation_id:token\ttail_id:token\n7\tby\t8\n"
    assert (folder / "toy.link").read_text() == "item_id:token\tentity_id:token\na\t7\nc\t8\n"


def test_recbole_ids_are_one_field(tmp_path: Path) -> None:
    rows = Interactions(np.array([0, 1]), np.array([0, 0]), 2, 1)
    items = pd.DataFrame({"item_id": ['"i\x1f'], "kg_entity": ["e\t1"]})
    kg = pd.DataFrame({"head": ["e\t1"], "relation": ["by\n"], "tail": ["x"]})
    dataset = Dataset("toy", rows, pd.DataFrame({"user_id": ["u\t1", "u\n2"]}), items, tables={"kg": kg})
    back = read_recbole(write_recbole(dataset, tmp_path / "toy"))
    assert back.users["user_id"].tolist() == ["u 1", "u 2"]
    assert back.items["item_id"].tolist() == ["'i "]
    assert back.items["kg_entity"].tolist() == back.tables["kg"]["head"].tolist() == ["e 1"]
    alike = replace(dataset, users=pd.DataFrame({"user_id": ["u\t1", "u 1"]}))
    with pytest.raises(DataError, match="several raw ids would be written as 'user_id' 'u 1'"):
        write_recbole(alike, tmp_path / "toy")


@pytest.mark.parametrize("column", ["a:b", "a\tb"])
def test_recbole_has_no_place_for_colons_and_tabs_in_names(
    planted: Dataset, tmp_path: Path, column: str
) -> None:
    with pytest.raises(DataError, match="cannot be written, for a name ends at a colon or a tab"):
        write_recbole(replace(planted, items=planted.items.assign(**{column: 1})), tmp_path / "toy")
    assert not (tmp_path / "toy").exists()


def test_lightgcn_ids_of_two_lines_are_written_as_one(planted: Dataset, tmp_path: Path) -> None:
    items = planted.items.assign(item_id=[f"a\n{i}" for i in range(planted.num_items)])
    split = make_split(planted, "random", 0)
    folder = write_lightgcn(split, tmp_path / "lists", replace(planted, items=items))
    assert read_lightgcn(folder).items["item_id"].tolist() == [f"a {i}" for i in range(planted.num_items)]


def test_recbole_parts_come_back_as_published(planted: Dataset, tmp_path: Path) -> None:
    split = planted.split("random", seed=1)
    back = read_recbole(write_recbole(planted, tmp_path / "toy", split))
    again = make_split(back, "published")
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(again, part).pair_keys(), getattr(split, part).pair_keys())


def test_lightgcn_round_trip(planted: Dataset, tmp_path: Path) -> None:
    split = planted.split("cold_item", seed=2)
    folder = write_lightgcn(split, tmp_path / "lists", planted)
    lines = (folder / "train.txt").read_text().splitlines()
    assert len(lines) == planted.num_users
    assert lines[5].split()[0] == "5"
    back = read_lightgcn(folder)
    assert back.items["item_id"].tolist() == planted.items["item_id"].tolist()
    again = make_split(back, "published")
    assert not again.params["carved"]
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(again, part).pair_keys(), getattr(split, part).pair_keys())


def test_lists_of_an_earlier_export_do_not_stay(planted: Dataset, tmp_path: Path) -> None:
    (tmp_path / "README.txt").write_text("mine")
    write_lightgcn(planted.split("random"), tmp_path, planted)
    split = planted.split("random", 1, ratios=[0.8, 0, 0.2])
    write_lightgcn(split, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.txt", "test.txt", "train.txt"]
    assert len(make_split(read_lightgcn(tmp_path), "published").test) == len(split.test)


def test_atomic_files_of_an_earlier_export_do_not_stay(planted: Dataset, tmp_path: Path) -> None:
    names = lambda: sorted(path.name for path in tmp_path.iterdir())  # noqa: E731
    write_recbole(with_attributes(planted), tmp_path, name="toy")
    (tmp_path / "other.inter").write_text("mine")
    write_recbole(planted, tmp_path, planted.split("random"), name="toy")
    parts = [f"toy.{part}.inter" for part in ("test", "train", "valid")]
    assert names() == sorted(["other.inter", "toy.item", "toy.user", *parts])
    write_recbole(planted, tmp_path, name="toy")
    assert names() == ["other.inter", "toy.inter", "toy.item", "toy.user"]


def test_support_has_no_place_in_other_formats(planted: Dataset, tmp_path: Path) -> None:
    split = planted.split("cold_user", support=2)
    told = "'cold_user' has [0-9]+ support pairs, given at inference only, and .* have no place for them: use support=0"
    with pytest.raises(DataError, match=told):
        write_lightgcn(split, tmp_path)
    with pytest.raises(DataError, match=told):
        write_recbole(planted, tmp_path, split, name="toy")
    assert not list(tmp_path.iterdir())
    write_lightgcn(planted.split("cold_user", reserve=2), tmp_path)


def test_lightgcn_lists_in_the_wild(tmp_path: Path) -> None:
    """Users without a test item, trailing blanks, CRLF, and no id lists, as found in published copies."""
    (tmp_path / "train.txt").write_bytes(b"0 3 1 \r\n1 2\n2 0\n")
    (tmp_path / "test.txt").write_bytes(b"0 2\n1 \n2 4\n\n")
    dataset = read_lightgcn(tmp_path)
    assert (dataset.num_users, dataset.num_items, len(dataset.interactions)) == (3, 5, 6)
    assert dataset.published is not None
    assert dataset.published.tolist() == [0, 0, 0, 0, 2, 2]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train.txt", "0 1\n1 x\n", r"train\.txt' line 2: expected whole numbers"),
        ("train.txt", "0 1\n1 12345678901234567890\n", r"train\.txt' line 2: expected whole numbers"),
        ("train.txt", "0 1\n1 -4\n", r"line 2: ids must be in"),
        ("train.txt", "0 1\n1999999999 4\n", "the largest user number is 1,999,999,999 in 2 rows"),
        ("train.txt", "0 1\n1 1999999999\n", "the largest item number is 1,999,999,999 in 2 rows"),
        ("train.txt", "\n", "holds no interactions"),
        ("item_list.txt", "org_id remap_id\na 0\nb 0\n", "line 3: the number 0 occurs twice"),
        ("item_list.txt", "org_id remap_id\na 0\n", "has no line for item 1"),
        ("item_list.txt", "org_id remap_id\njust-one\n", "line 2: expected 'org_id remap_id'"),
    ],
)
def test_broken_lists_are_named(tmp_path: Path, file: str, content: str, message: str) -> None:
    (tmp_path / "train.txt").write_text("0 1\n")
    (tmp_path / file).write_text(content)
    with pytest.raises(DataError, match=message):
        read_lightgcn(tmp_path)


def test_lightgcn_lists_with_two_validation_parts_are_refused(tmp_path: Path) -> None:
    for file in ("train.txt", "valid.txt", "val.txt"):
        (tmp_path / file).write_text("0 1\n")
    with pytest.raises(DataError, match=r"has a valid\.txt and a val\.txt: keep the one"):
        read_lightgcn(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user_id:token\titem_id\n1\t2\n", "column 'item_id' must be name:type"),
        ("user_id:token\trating:float\n1\t2\n", r"\.inter' has no column 'item_id'"),
        (
            "user_id:token\titem_id:token\trating:float\n1\t2\tmany\n",
            "Row #2: CSV conversion error to double",
        ),
        (
            "user_id:token\titem_id:token\trating:token\n1\t2\tgood\n",
            "Row #2: CSV conversion error to double",
        ),
        ("user_id:token\titem_id:token\n1\t2\t3\n", "Expected 2 columns, got 3"),
    ],
)
def test_broken_atomic_files_are_named(tmp_path: Path, content: str, message: str) -> None:
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "toy.inter").write_text(content)
    with pytest.raises(DataError, match=message):
        read_recbole(folder)
    with pytest.raises(DataError, match=r"has no other\.inter \(it has: toy\.inter\)"):
        read_recbole(folder, name="other")


@pytest.mark.parametrize(("suffix", "lost"), [("kg", "tail_id"), ("link", "item_id")])
def test_graph_files_without_a_column_are_named(tmp_path: Path, suffix: str, lost: str) -> None:
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "toy.inter").write_text("user_id:token\titem_id:token\n1\t2\n")
    names = {"kg": ["head_id", "relation_id", "tail_id"], "link": ["item_id", "entity_id"]}[suffix]
    kept = [name for name in names if name != lost]
    (folder / f"toy.{suffix}").write_text("\t".join(f"{name}:token" for name in kept) + "\n")
    with pytest.raises(DataError, match=rf"toy\.{suffix}' has no column '{lost}'"):
        read_recbole(folder)


def test_parts_may_differ_in_the_order_of_columns_only(tmp_path: Path) -> None:
    (tmp_path / "toy.train.inter").write_text("user_id:token\titem_id:token\trating:float\nu\ti\t4\n")
    test = tmp_path / "toy.test.inter"
    test.write_text("item_id:token\tdevice:token\trating:float\tuser_id:token\nj\tpc\t3\tu\n")
    dataset = read_recbole(tmp_path, "toy")
    assert (dataset.num_users, dataset.items["item_id"].tolist()) == (1, ["i", "j"])
    test.write_text("user_id:token\titem_id:token\nu\tj\n")
    told = r"toy\.test\.inter' must have the columns of the other parts \(user_id of string, .*; got user_id of string"
    with pytest.raises(DataError, match=told):
        read_recbole(tmp_path, "toy")


def test_links_of_items_without_a_row_are_kept(tmp_path: Path) -> None:
    (tmp_path / "toy.inter").write_text("user_id:token\titem_id:token\nu\ti1\nu\ti2\n")
    (tmp_path / "toy.item").write_text("item_id:token\ttitle:token_seq\ni1\tA\n")
    (tmp_path / "toy.link").write_text("item_id:token\tentity_id:token\ni1\te1\ni2\te2\ni3\te3\n")
    dataset = read_recbole(tmp_path, "toy")
    assert dataset.items["kg_entity"].tolist() == ["e1", "e2"]
    assert dataset.card["notes"] == {"num_items_without_a_row": 1, "num_dangling_rows_in_link": 1}


def test_ratings_that_are_called_token_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "toy.inter").write_text("user_id:token\titem_id:token\trating:token\n1\t2\t4\n")
    assert read_recbole(tmp_path, "toy").interactions.rating == [4]
