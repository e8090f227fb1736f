from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from gnnrec.data.dataset import Dataset
from gnnrec.data.held_out import held_out_facts
from gnnrec.data.interactions import Interactions
from gnnrec.data.splits import Split, make_split


def test_nearness_is_the_mean_cosine_by_hand(planted: Dataset) -> None:
    split = make_split(planted, "random", 0)
    facts = held_out_facts(split)
    assert json.loads(json.dumps(facts)) == facts
    train = split.train.csr().toarray()
    norms = np.linalg.norm(train, axis=0)
    cosine = train.T @ train / np.outer(np.maximum(norms, 1), np.maximum(norms, 1))
    parts = {"validation": split.validation, "test": split.test}
    common = [u for u in range(planted.num_users) if all((part.user == u).any() for part in parts.values())]
    by_user = {
        name: [
            np.mean([cosine[item, train[user] > 0].mean() for item in part.item[part.user == user]])
            for user in common
        ]
        for name, part in parts.items()
    }
    for name, part in parts.items():
        assert facts[name]["num_pairs"] == len(part)
        assert facts[name]["nearness_users"] == len(common)
        assert facts[name]["nearness"] == pytest.approx(np.mean(by_user[name]), rel=1e-5)
        shares = [value for key, value in facts[name].items() if key.startswith("share_")]
        assert sum(shares) == pytest.approx(1)
    difference = np.subtract(by_user["test"], by_user["validation"])
    told = facts["test - validation"]
    assert told["nearness"] == pytest.approx(difference.mean(), rel=1e-4)
    assert told["standard_error"] == pytest.approx(difference.std(ddof=1) / len(common) ** 0.5, rel=1e-4)
    assert abs(told["nearness"]) < 3 * told["standard_error"]


def test_a_test_set_from_elsewhere_is_seen(planted: Dataset) -> None:
    split = make_split(planted, "random", 0)
    train = split.train.csr().toarray()
    liked = train @ (train.T @ train)
    strange = np.argsort(np.where(train > 0, np.inf, liked), axis=1)[
        :, :2
    ]  # items far from all of the user's
    users = np.repeat(np.arange(planted.num_users), 2)
    test = Interactions(users, strange.ravel(), planted.num_users, planted.num_items)
    told = held_out_facts(replace(split, test=test, fingerprint=""))["test - validation"]
    assert told["nearness"] < -4 * told["standard_error"]


def test_a_part_that_is_empty_is_left_out(planted: Dataset) -> None:
    split: Split = make_split(planted, "random", 0)
    none = split.validation.select(slice(0))
    assert set(held_out_facts(replace(split, validation=none, fingerprint=""))) == {"test"}
    assert held_out_facts(replace(split, validation=none, test=none, fingerprint="")) == {}
    others = split.train.select(~np.isin(split.train.user, split.test.user))
    assert "nearness" not in held_out_facts(replace(split, train=others, fingerprint=""))["test"]
