from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gnnrec.data.dataset import Dataset
from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, DataError
from gnnrec.text import TextConfig, encode_texts
from gnnrec.text.nodes import node_fingerprint, node_texts, node_vectors

TRAIN = Interactions(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2]), 3, 4)
ITEMS = pd.DataFrame(
    {"item_id": ["a", "b", "c", "d"], "name": ["vim", "nano", "gimp", ""], "kind": ["x", "y", "y", ""]}
)
USERS = pd.DataFrame({"user_id": [10, 11, 12], "text": ["writer", "painter", "reader"]})
DATA = Dataset("tiny", TRAIN, USERS, ITEMS, {"text": {"item": [["", "name"], ["kind", "kind"]]}})
HASH = TextConfig(model="hash")


def test_texts_come_from_the_template_or_the_text_column():
    assert node_texts(DATA, "item", HASH) == ["vim. kind: x", "nano. kind: y", "gimp. kind: y", ""]
    assert node_texts(DATA, "user", HASH) == ["writer", "painter", "reader"]
    with pytest.raises(ConfigError, match="unknown side"):
        node_texts(DATA, "itme", HASH)


def test_vectors_and_which_rows_have_them():
    nodes = node_vectors(DATA, "item", HASH, TRAIN)
    np.testing.assert_array_equal(nodes.present, [True, True, True, False])
    np.testing.assert_array_equal(nodes.vectors[:3], encode_texts(node_texts(DATA, "item", HASH)[:3], HASH))
    assert not nodes.vectors[3].any()


def test_reductions_are_fitted_on_the_items_of_train():
    config = replace(HASH, reduce="center")
    nodes = node_vectors(DATA, "item", config, TRAIN.select(slice(0, 2)))
    np.testing.assert_allclose(nodes.vectors[:2].mean(axis=0), 0, atol=1e-6)
    assert np.abs(nodes.vectors[:3].mean(axis=0)).max() > 1e-3
    informed = node_vectors(DATA, "item", replace(HASH, reduce="informed", reduce_dim=5), TRAIN)
    assert informed.vectors.shape == (4, 5)


def test_dim_cuts_vectors_from_a_file_whatever_the_model(tmp_path: Path):
    np.save(tmp_path / "v.npy", np.eye(4, dtype=np.float32))
    config = replace(HASH, item_vectors=str(tmp_path / "v.npy"), dim=2)
    assert node_vectors(DATA, "item", config, TRAIN).vectors.shape == (4, 2)
    with pytest.raises(ConfigError, match="'dim' must be at most 4"):
        node_vectors(DATA, "item", replace(config, dim=5), TRAIN)


def test_vectors_from_a_file_take_the_same_path(tmp_path: Path):
    path = tmp_path / "v.npy"
    np.save(path, np.eye(3, dtype=np.float32) * 2)
    (tmp_path / "v.npy.ids.json").write_text(json.dumps(["c", "a", "b"]))
    config = replace(HASH, item_vectors=str(path))
    nodes = node_vectors(DATA, "item", config, TRAIN)
    np.testing.assert_array_equal(nodes.vectors, [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(nodes.present, [True, True, True, False])
    first = node_fingerprint(DATA, "item", config)
    np.save(path, np.ones((3, 3)))
    assert node_fingerprint(DATA, "item", config) != first


def test_generated_texts_take_the_place_of_the_template(tmp_path: Path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "b", "text": "small editor"}\n')
    (tmp_path / "p.jsonl.card.json").write_text('{"split": "s1"}')
    config = replace(HASH, item_profiles=str(path))
    assert node_texts(DATA, "item", config, split="s1") == ["", "small editor", "", ""]
    np.testing.assert_array_equal(
        node_vectors(DATA, "item", config, TRAIN, split="s1").present, [False, True, False, False]
    )
    with pytest.raises(DataError, match="train part of split s1"):
        node_vectors(DATA, "item", config, TRAIN, split="s2")


def test_names_for_the_anonymised_control_come_from_the_card_or_a_name_column():
    anonymous = node_vectors(DATA, "item", replace(HASH, control="anonymized"), TRAIN)
    np.testing.assert_array_equal(anonymous.vectors[1], anonymous.vectors[2])
    card = {"text": {"item": [["", "name"], ["kind", "kind"]], "item_name": "kind"}}
    named = node_vectors(replace(DATA, card=card), "item", replace(HASH, control="anonymized"), TRAIN)
    assert (named.vectors[1] != named.vectors[2]).any()
    card["text"]["item_name"] = ["name", "kind"]
    both = node_vectors(replace(DATA, card=card), "item", replace(HASH, control="anonymized"), TRAIN)
    np.testing.assert_array_equal(both.vectors[0], encode_texts(["item. kind: item"], HASH)[0])
    for wrong in (["name", "kin"], "kin"):
        card["text"]["item_name"] = wrong
        with pytest.raises(DataError, match="'item_name'] asks for column 'kin', did you mean 'kind'"):
            node_vectors(replace(DATA, card=card), "item", replace(HASH, control="anonymized"), TRAIN)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("title", "card\\['text'\\] of data set .* must be a mapping"),
        ({"item": 5}, "a text template is a list of .label, column. pairs .got 5."),
        ({"item": [["", "name"], 7]}, "a text template is a list of .label, column. pairs .got 7."),
    ],
)
def test_a_card_of_another_form_is_told(told: object, message: str):
    with pytest.raises(DataError, match=message):
        node_vectors(replace(DATA, card={"text": told}), "item", HASH, TRAIN)
    with pytest.raises(ConfigError, match="needs a name per text"):
        node_vectors(DATA, "user", replace(HASH, control="anonymized"), TRAIN)


def test_the_fingerprint_follows_texts_and_settings():
    base = node_fingerprint(DATA, "item", HASH)
    assert node_fingerprint(DATA, "item", replace(HASH, device="cuda")) == base
    assert node_fingerprint(DATA, "user", HASH) != base
    assert node_fingerprint(DATA, "item", replace(HASH, control="shuffled")) != base


def test_a_control_of_texts_is_refused_where_a_file_of_vectors_takes_their_place(tmp_path: Path):
    np.save(tmp_path / "v.npy", np.eye(4, dtype=np.float32))
    for control in ("bag_of_words", "anonymized"):
        config = replace(HASH, item_vectors=str(tmp_path / "v.npy"), control=control)
        with pytest.raises(ConfigError, match=rf"text.control={control} is of texts, and text.item_vectors"):
            node_vectors(DATA, "item", config, TRAIN)
