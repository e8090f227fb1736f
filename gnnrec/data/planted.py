"""Generated data: planted blocks with a known right answer, and power-law graphs of any size."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gnnrec.data.dataset import Dataset
from gnnrec.data.interactions import Interactions
from gnnrec.errors import check_range

_WORDS = (
    *("amber", "basil", "cedar", "delta", "ember", "fjord", "garnet", "harbor", "indigo"),
    *("jasper", "kelp", "lagoon", "maple", "nectar", "onyx", "pepper", "quartz", "raven"),
    *("saffron", "tundra", "umber", "velvet", "willow", "xenon", "yarrow", "zephyr"),
)
_FILLER = ("good", "new", "small", "great", "fine", "item", "thing", "part", "simple", "useful", "extra")


def planted_dataset(
    num_users: int = 120,
    num_items: int = 90,
    num_blocks: int = 3,
    per_user: float = 12.0,
    noise: float = 0.05,
    skew: float = 0.7,
    seed: int = 0,
) -> Dataset:
    """Return blocks of users who take items of their own block, with item text that names the block.

    User u and item i belong to block u % num_blocks and i % num_blocks (column `block` of both tables). A
    user takes about `per_user` items: each of the own block with probability 1 - noise, else any; inside a
    block the item of popularity rank r weighs (r + 1) ** -skew. The right answer is therefore known: every
    item of the own block before every other. An item that is hidden from training is still found, through
    its text alone: it names the block (two words of it, among words that say nothing).

    The pairs depend on `seed` only; times are a random order.
    """
    check_range("num_blocks", num_blocks, "planted_dataset", low=1, high=min(num_users, num_items))
    check_range("noise", noise, "planted_dataset", low=0, high=1)
    check_range("per_user", per_user, "planted_dataset", low=1)
    generator = np.random.default_rng(seed)
    user_block = np.arange(num_users) % num_blocks
    item_block = np.arange(num_items) % num_blocks
    weight = (np.arange(num_items) // num_blocks + 1.0) ** -skew
    pairs = []
    for user in range(num_users):
        own = weight * (item_block == user_block[user])
        probability = (1 - noise) * own / own.sum() + noise * weight / weight.sum()
        size = min(max(3, int(generator.poisson(per_user))), np.count_nonzero(probability))
        chosen = generator.choice(num_items, size=size, replace=False, p=probability)
        pairs.append(np.stack([np.full(size, user), chosen]))
    user, item = np.concatenate(pairs, axis=1)
    time = 1_600_000_000 + generator.permutation(len(user)) * 3600
    texts = [_block_text(block, generator) for block in item_block]
    users = pd.DataFrame({"user_id": [f"u{u}" for u in range(num_users)], "block": user_block})
    items = pd.DataFrame({"item_id": [f"i{i}" for i in range(num_items)], "text": texts, "block": item_block})
    users["text"] = [_block_text(block, generator) for block in user_block]
    card = {
        "name": "planted",
        "title": f"{num_blocks} planted blocks, noise {noise}",
        "license": "CC0-1.0",
        "text_from": "generated: names the block of the item, made without looking at interactions",
        "parameters": {"per_user": per_user, "skew": skew, "seed": seed},
    }
    return Dataset(
        "planted", Interactions(user, item, num_users, num_items, timestamp=time), users, items, card
    )


def block_words(block: int) -> tuple[str, str]:
    """Return the two words that stand for a block in planted text.

    They are shared by no other of the first 13 blocks; pairs repeat after 169.
    """
    first, round_ = 2 * (block % 13), block // 13
    return _WORDS[first], _WORDS[(first + 1 + 2 * round_) % len(_WORDS)]


def _block_text(block: np.integer, generator: np.random.Generator) -> str:
    words = [*block_words(int(block)), *block_words(int(block)), *generator.choice(_FILLER, size=4)]
    return " ".join(generator.permutation(words))


def power_law_interactions(
    num_interactions: int,
    num_users: int,
    num_items: int,
    exponent: float = 0.8,
    seed: int = 0,
) -> Interactions:
    """Return about `num_interactions` distinct pairs whose user and item degrees follow power laws.

    The weight of the user or item of rank r is (r + 1) ** -exponent; ranks are assigned to ids at random. A
    pair drawn twice counts once, so that popular users fill up and the result may be a few percent short.
    Users are drawn as degrees first, then the items of blocks of users: memory stays near 12 bytes per pair.
    """
    check_range("num_interactions", num_interactions, "power_law_interactions", low=1)
    check_range("exponent", exponent, "power_law_interactions", low=0, high=1, high_open=True)
    generator = np.random.default_rng(seed)
    degree = _degrees(num_interactions, num_users, num_items, exponent, generator)
    # the inverse of the cumulative weight: r ** (1 - a) is uniform, so no table of num_items weights is
    # searched
    power = 1.0 / (1.0 - exponent)
    relabel = generator.permutation(num_items).astype(np.int32)
    users, items = [], []
    ends = np.cumsum(degree)
    start, block = 0, 1 << 22
    while start < num_users:
        done = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + block, side="right")))
        owner = np.repeat(np.arange(start, stop, dtype=np.int64), degree[start:stop])
        drawn = (num_items * generator.random(len(owner)) ** power).astype(np.int64)
        keys = owner * num_items + relabel[np.minimum(drawn, num_items - 1)]
        keys.sort()
        keys = keys[np.r_[True, keys[1:] != keys[:-1]]] if len(keys) else keys
        users.append((keys // num_items).astype(np.int32))
        items.append((keys % num_items).astype(np.int32))
        start = stop
    user, item = np.concatenate(users), np.concatenate(items)
    return Interactions(user, item, num_users, num_items)


def _degrees(
    total: int, num_users: int, num_items: int, exponent: float, generator: np.random.Generator
) -> np.ndarray:
    """Return how many draws each user gets: power law, at least one, at most half of the items."""
    weight = (np.arange(num_users) + 1.0) ** -exponent
    degree = np.maximum(1, np.round(total * weight / weight.sum())).astype(np.int64)
    degree = np.minimum(degree, max(1, num_items // 2))
    return generator.permutation(degree)
