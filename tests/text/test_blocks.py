"""Feature blocks: who has what, which categories count, what is fitted on what."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from gnnrec.data.dataset import Dataset
from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, DataError
from gnnrec.text import TextConfig, encode_texts
from gnnrec.text.blocks import Block, BlockConfig, block_fingerprint, block_texts, categories, load_blocks

TRAIN = Interactions(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 2, 3]), 3, 6)
ITEMS = pd.DataFrame(
    {
        "item_id": ["a", "b", "c", "d", "e", "f"],
        "title": ["vim", "nano", "", None, "ed", "emacs"],
        "about": ["modal editor", "small editor", "image editor", "", "", "lisp"],
        "tags": ["text, small", "text", None, "image,text", "image, rare", "rare"],
        "genres": [["x"], [], ["x", "y"], ["y"], ["z"], ["x", "z"]],
    }
)
USERS = pd.DataFrame({"user_id": [10, 11, 12], "text": ["writer", "painter", ""]})
DATA = Dataset("tiny", TRAIN, USERS, ITEMS, {"text": {"item": [["", "title"]], "item_name": "title"}})
HASH = TextConfig(model="hash")


def load(config: TextConfig = HASH, **block: Any) -> Block:
    [loaded] = load_blocks(DATA, "item", {"one": BlockConfig(**block)}, config, TRAIN)
    assert loaded.name == "one"
    return loaded


def test_a_text_block_is_the_vector_of_its_own_columns():
    block = load(columns=("title",))
    np.testing.assert_array_equal(block.present, [True, True, False, False, True, True])
    assert isinstance(block.dense(), np.ndarray)
    np.testing.assert_array_equal(
        block.dense()[block.present], encode_texts(["vim", "nano", "ed", "emacs"], HASH)
    )
    assert not block.dense()[~block.present].any()
    two = BlockConfig(columns=("title", "about"))
    assert block_texts(DATA, "item", two)[:3] == [
        "title: vim. about: modal editor",
        "title: nano. about: small editor",
        "about: image editor",
    ]


def test_a_template_fills_in_where_the_own_text_is_missing_and_nowhere_else():
    block = BlockConfig(columns=("title",), missing="template", template=(("an", "about"), ("tags", "tags")))
    texts = block_texts(DATA, "item", block)
    assert texts == ["vim", "nano", "an: image editor", "tags: image,text", "ed", "emacs"]
    loaded = load(columns=("title",), missing="template", template=(("an", "about"),))
    np.testing.assert_array_equal(loaded.present, [True, True, True, False, True, True])
    assert not loaded.learned


def test_vectors_of_a_file_are_matched_by_id_and_may_be_missing(tmp_path: Path):
    np.save(tmp_path / "cover.npy", np.array([[3.0, 4.0], [0.0, 2.0], [9.0, 9.0]]))
    (tmp_path / "cover.npy.ids.json").write_text(json.dumps(["d", "a", "unknown"]))
    block = load(kind="vectors", path=str(tmp_path / "cover.npy"), missing="learned")
    np.testing.assert_allclose(
        block.dense(), np.array([[0, 1], [0, 0], [0, 0], [0.6, 0.8], [0, 0], [0, 0]]), atol=1e-6
    )
    np.testing.assert_array_equal(block.present, [True, False, False, True, False, False])
    assert block.learned
    cut = load(replace(HASH, dim=1), kind="vectors", path=str(tmp_path / "cover.npy"))
    assert cut.dense().shape == (6, 2)  # text.dim is of the language model
    own = load(HASH, kind="vectors", path=str(tmp_path / "cover.npy"), text={"dim": 1, "normalize": False})
    np.testing.assert_array_equal(own.dense()[:, 0], [0, 0, 0, 3, 0, 0])


def brute_categories(columns: list[str], min_count: int) -> tuple[list[str], list[set[str]]]:
    """The categories that enough of items 0 to 3 (those of TRAIN) have, and those of each item."""
    cells: list[set[str]] = []
    for row in range(6):
        found = set()
        for column in columns:
            cell = ITEMS[column].iloc[row]
            words = cell if isinstance(cell, list) else [] if not isinstance(cell, str) else cell.split(",")
            found |= {f"{column}={word.strip()}" for word in words}
        cells.append(found)
    names = {name for row in cells[:4] for name in row}
    kept = sorted(name for name in names if sum(name in row for row in cells[:4]) >= min_count)
    return kept, [row & set(kept) for row in cells]


@pytest.mark.parametrize("min_count", [1, 2])
@pytest.mark.parametrize("columns", [["tags"], ["genres"], ["tags", "genres"]])
def test_categories_are_those_of_training_rows(columns: list[str], min_count: int):
    block = BlockConfig(kind="bag", columns=tuple(columns), min_count=min_count)
    shares, present = categories(ITEMS, block, TRAIN.item_counts() > 0)
    kept, cells = brute_categories(columns, min_count)
    expected = np.array([[(name in row) / max(len(row), 1) for name in kept] for row in cells])
    np.testing.assert_allclose(shares.toarray(), expected, rtol=1e-6)
    np.testing.assert_array_equal(present, [bool(row) for row in cells])


def test_a_category_that_training_lacks_is_no_category():
    block = load(kind="bag", columns=("tags",))
    assert sp.issparse(block.values)
    assert block.dense().shape == (6, 3)  # image, small, text; 'rare' belongs to unseen items alone
    np.testing.assert_array_equal(block.present, [True, True, False, True, True, False])


def test_multi_hot_rows_have_length_one():
    block = load(kind="multi_hot", columns=("tags",))
    half = 0.5**0.5
    expected = [[0, half, half], [0, 0, 1], [0, 0, 0], [half, 0, half], [1, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(block.dense(), expected, atol=1e-6)
    bare = load(replace(HASH, normalize=False), kind="multi_hot", columns=("tags",))
    np.testing.assert_allclose(bare.dense(), expected, atol=1e-6)


def test_blocks_keep_their_order_and_their_own_text_settings():
    blocks = {
        "b": BlockConfig(columns=("title",)),
        "a": BlockConfig(columns=("about",), text={"dim": 16}),
        "c": BlockConfig(kind="multi_hot", columns=("tags",), text={"reduce": "pca", "reduce_dim": 2}),
    }
    loaded = load_blocks(DATA, "item", blocks, HASH, TRAIN)
    assert [block.name for block in loaded] == ["b", "a", "c"]
    assert [block.dense().shape[1] for block in loaded] == [256, 16, 2]
    [users] = load_blocks(DATA, "user", {"text": BlockConfig(columns=("text",))}, HASH, TRAIN)
    np.testing.assert_array_equal(users.present, [True, True, False])


def rows_of(block: Block) -> list[tuple[float, ...]]:
    return sorted(tuple(row) for row in np.round(block.dense(), 5).tolist())


@pytest.mark.parametrize(
    "block",
    [
        {"columns": ("title",)},
        {"kind": "multi_hot", "columns": ("tags",)},
        {"kind": "bag", "columns": ("tags",)},
    ],
    ids=str,
)
def test_shuffling_gives_every_kind_of_block_to_other_rows(block: dict):
    plain, shuffled = load(**block), load(replace(HASH, control="shuffled"), **block)
    np.testing.assert_array_equal(plain.present, shuffled.present)
    assert rows_of(plain) == rows_of(shuffled)
    assert (plain.dense() != shuffled.dense()).any()
    assert not shuffled.dense()[~plain.present].any()


def test_each_block_has_random_vectors_of_its_own_under_the_gaussian_control():
    same = BlockConfig(kind="multi_hot", columns=("tags",))
    one, other = load_blocks(DATA, "item", {"a": same, "b": same}, replace(HASH, control="gaussian"), TRAIN)
    assert not np.isclose(one.dense(), other.dense())[one.present].any()


def test_the_other_controls_hold_for_blocks_too_or_say_why_not(tmp_path: Path):
    words = load(replace(HASH, control="bag_of_words"), columns=("about",))
    assert words.dense().shape[1] < 10
    anonymous = replace(HASH, control="anonymized")
    titles = load(anonymous, columns=("title",)).dense()
    np.testing.assert_array_equal(titles[0], titles[1])
    normal = load(replace(HASH, control="gaussian"), kind="multi_hot", columns=("tags",))
    assert normal.dense().shape == (6, 3)
    assert rows_of(normal) != rows_of(load(kind="multi_hot", columns=("tags",)))
    with pytest.raises(ConfigError, match="kind=multi_hot in place of kind=bag"):
        load(replace(HASH, control="gaussian"), kind="bag", columns=("tags",))
    np.save(tmp_path / "v.npy", np.ones((6, 2)))
    for block in (
        {"kind": "vectors", "path": str(tmp_path / "v.npy")},
        {"kind": "bag", "columns": ("tags",)},
    ):
        for control in ("bag_of_words", "anonymized"):
            with pytest.raises(ConfigError, match=r"is of texts.*text: \{control: none\}"):
                load(replace(HASH, control=control), **block)
            assert load(replace(HASH, control=control), **block, text={"control": "none"}).present.any()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"kind": "image", "columns": ("a",)}, "unknown kind 'image'"),
        ({"columns": ("a",), "missing": "mean"}, "unknown missing 'mean'"),
        ({}, r"'columns' must name the columns of kind=text"),
        ({"kind": "vectors"}, "'path' belongs to kind=vectors"),
        ({"columns": ("a",), "path": "x.npy"}, "'path' belongs to kind=vectors"),
        ({"kind": "vectors", "path": "x.npy", "columns": ("a",)}, "must be empty for kind=vectors"),
        ({"columns": ("a",), "missing": "template"}, "'template' and missing=template belong together"),
        ({"columns": ("a",), "template": (("a", "b"),)}, "'template' and missing=template belong together"),
        (
            {"kind": "bag", "columns": ("a",), "missing": "template", "template": (("a", "b"),)},
            "missing=template needs kind=text",
        ),
        ({"kind": "bag", "columns": ("a",), "min_count": 0}, "'min_count' must be in"),
        ({"kind": "bag", "columns": ("a",), "separator": ""}, "'separator' must not be empty"),
        (
            {"columns": ("a",), "text": {"modle": "hash"}},
            "unknown key 'block.text.modle'.*did you mean 'model'",
        ),
        ({"columns": ("a",), "text": {"control": "shufled"}}, "did you mean 'shuffled'"),
    ],
)
def test_a_wrong_block_is_told_when_it_is_made(options: dict, told: str):
    with pytest.raises(ConfigError, match=told):
        BlockConfig(**options)


def test_a_block_may_differ_in_what_the_reduction_of_all_reads():
    config = replace(HASH, reduce="pca", reduce_dim=3)
    assert load(config, columns=("title",), text={"reduce_dim": 2}).dense().shape == (6, 2)
    with pytest.raises(ConfigError, match=r"'reduce_dim' in 'text' is read by .* \(got 3 with none\)"):
        load(config, columns=("title",), text={"reduce": "none"})


def test_what_the_data_does_not_have_is_told():
    with pytest.raises(DataError, match="asks for column 'tag', did you mean 'tags'"):
        load(kind="bag", columns=("tag",))
    with pytest.raises(DataError, match="asks for column 'titel', did you mean 'title'"):
        load(columns=("titel",))
    with pytest.raises(DataError, match="no category of columns tags is in 9 training rows or more"):
        load(kind="bag", columns=("tags",), min_count=9)


def test_the_fingerprint_follows_contents_and_settings(tmp_path: Path):
    path = tmp_path / "v.npy"
    np.save(path, np.ones((6, 2)))
    blocks = {
        "title": BlockConfig(columns=("title",)),
        "tags": BlockConfig(kind="bag", columns=("tags",)),
        "cover": BlockConfig(kind="vectors", path=str(path)),
    }

    def fingerprint(changed: dict[str, BlockConfig] | None = None, data: Dataset = DATA) -> str:
        return block_fingerprint(data, "item", changed or blocks, HASH)

    first = fingerprint()
    assert fingerprint() == first
    found = {first}
    found.add(fingerprint({**blocks, "tags": BlockConfig(kind="multi_hot", columns=("tags",))}))
    found.add(fingerprint({**blocks, "title": BlockConfig(columns=("title",), text={"dim": 8})}))
    found.add(fingerprint(data=replace(DATA, items=ITEMS.assign(title="x"))))
    found.add(fingerprint(data=replace(DATA, items=ITEMS.assign(tags="x"))))
    other = tmp_path / "elsewhere.npy"
    other.write_bytes(path.read_bytes())
    assert fingerprint({**blocks, "cover": BlockConfig(kind="vectors", path=str(other))}) == first
    np.save(path, np.zeros((6, 2)))
    found.add(fingerprint())
    assert len(found) == 6
