"""Blocks as node features: missing rows, combinations and profiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError
from gnnrec.features import (
    BlockPart,
    Combined,
    InitConfig,
    NodeFeatures,
    TextNeighbours,
    make_features,
)
from gnnrec.text.blocks import Block

NUM_USERS, NUM_ITEMS, SEEN = 20, 15, 12  # the last three items are not seen in training


@pytest.fixture
def train() -> Interactions:
    keys = np.random.default_rng(0).permutation(18 * SEEN)[:90]
    return Interactions(keys // SEEN, keys % SEEN, NUM_USERS, NUM_ITEMS)


def make_blocks(learned: bool = False) -> list[Block]:
    """Text that item 0 and the unseen item 13 lack, and categories that items 0 and 1 lack."""
    generator = np.random.default_rng(1)
    has_text = ~np.isin(np.arange(NUM_ITEMS), [0, 13])
    text = (generator.normal(size=(NUM_ITEMS, 7)) + 3).astype(np.float32) * has_text[:, None]
    hot = (generator.random((NUM_ITEMS, 4)) < 0.5).astype(np.float32)
    hot[2:, 0] = 1
    hot[:2] = 0
    shares = hot / np.maximum(hot.sum(axis=1, keepdims=True), 1)
    return [
        Block("text", text, has_text, learned),
        Block("tags", sp.csr_array(shares), hot.any(axis=1), learned),
    ]


def make(train: Interactions, blocks: list[Block], **options: Any) -> NodeFeatures:
    torch.manual_seed(0)
    return make_features(InitConfig(dim=6, **options), train, blocks)


def centred(block: Block) -> np.ndarray:
    """The block's values, centred and of unit mean square length over seen rows that have it, zero where absent."""
    values, has = block.dense().astype(np.float64), block.present
    fit = has & (np.arange(NUM_ITEMS) < SEEN)
    x = (values - values[fit].mean(axis=0)) * has[:, None]
    return x / np.sqrt((x[fit] ** 2).sum(axis=1).mean())


def parts_of(side: torch.nn.Module) -> tuple[BlockPart, BlockPart]:
    assert isinstance(side, Combined)
    text, tags = side.blocks
    assert isinstance(text, BlockPart)
    assert isinstance(tags, BlockPart)
    return text, tags


@pytest.mark.parametrize("learned", [False, True])
def test_each_block_by_its_formula(train: Interactions, learned: bool) -> None:
    blocks = make_blocks(learned)
    text, tags = parts_of(make(train, blocks, mode="text").items)
    with torch.no_grad():
        for part in (text, tags):
            for parameter in part.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    for part, block in ((text, blocks[0]), (tags, blocks[1])):
        projection = part.projection
        if block.name == "text":
            values = torch.from_numpy(centred(block)).float()
            expected = values @ projection.output.weight.T + projection.output.bias
        else:
            expected = torch.from_numpy(block.dense()) @ projection.weight
        absent = torch.from_numpy(~block.present)
        assert absent.any()
        expected[absent] = part.missing if learned and part.missing is not None else torch.zeros(6)
        assert (part.missing is not None) == learned
        torch.testing.assert_close(part(), expected, rtol=1e-4, atol=1e-4)


def test_the_learned_vector_is_trained_by_the_seen_rows_that_lack_the_block(train: Interactions) -> None:
    features = make(train, make_blocks(learned=True), mode="text")
    text, _ = parts_of(features.items)
    assert text.missing is not None
    assert not text.missing.any()
    weight = torch.randn(NUM_ITEMS, 6)
    (features.items() * weight).sum().backward()
    assert text.missing.grad is not None
    torch.testing.assert_close(text.missing.grad, weight[0] + weight[13])


def test_without_a_missing_row_there_is_nothing_to_learn(train: Interactions) -> None:
    block = make_blocks()[0]
    full = Block("text", block.values, np.ones(NUM_ITEMS, dtype=bool), learned=True)
    items = make(train, [full], mode="text").items
    assert isinstance(items, BlockPart)
    assert items.missing is None


@pytest.mark.parametrize("combine", ["sum", "concat"])
def test_sum_and_concat_of_blocks_and_ids(train: Interactions, combine: str) -> None:
    items = make(train, make_blocks(), mode="id_text", combine=combine).items
    text, tags = parts_of(items)
    assert isinstance(items, Combined)
    assert items.ids is not None
    torch.testing.assert_close(items(), items.ids() + text() + tags())  # concat starts at the sum
    spread = float((text() + tags())[2:12].detach().std())
    assert 0.04 < spread < 0.2  # two blocks together start at about the spread of one


def test_a_gate_shares_between_the_parts_that_an_item_has(train: Interactions) -> None:
    items = make(train, make_blocks(), mode="id_text", combine="gate").items
    text, tags = parts_of(items)
    assert isinstance(items, Combined)
    assert items.ids is not None
    assert items.score is not None
    with torch.no_grad():
        items.score.normal_()
        items.offset.normal_()
    parts = torch.stack([items.ids(), text(), tags()]).detach()
    has = torch.ones(3, NUM_ITEMS, dtype=torch.bool)
    has[0, SEEN:] = False
    has[1, [0, 13]] = False
    has[2, [0, 1]] = False
    for row in range(NUM_ITEMS):
        logits = torch.stack([items.score[b] @ parts[b, row] + items.offset[b] for b in range(3)])
        share = torch.exp(logits) * has[:, row]
        share = share / share.sum()
        torch.testing.assert_close(items()[row], (share.unsqueeze(1) * parts[:, row]).sum(0))


def test_an_item_with_nothing_at_all_is_zeros_in_a_gate(train: Interactions) -> None:
    blocks = make_blocks()
    for block in blocks:
        block.present[14] = False
    items = make(train, blocks, mode="text", combine="gate").items
    x = items()
    assert not x[14].any()
    x.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in items.parameters() if p.grad is not None)


def test_profiles_are_means_over_the_items_that_have_the_block(train: Interactions) -> None:
    blocks = make_blocks()
    text, tags = parts_of(make(train, blocks, mode="text", users="profile").users)
    values, hot = centred(blocks[0]), blocks[1].dense()
    means, shares, has = (
        np.zeros((NUM_USERS, 7)),
        np.zeros((NUM_USERS, 4)),
        np.zeros((2, NUM_USERS), dtype=bool),
    )
    for user in range(NUM_USERS):
        own = train.item[train.user == user]
        for place, block in enumerate(blocks):
            kept = own[block.present[own]]
            has[place, user] = len(kept) > 0
            if len(kept):
                (means, shares)[place][user] = (values, hot)[place][kept].mean(axis=0)
    assert text.present is not None
    assert tags.present is not None
    np.testing.assert_array_equal(text.present.numpy(), has[0])
    np.testing.assert_array_equal(tags.present.numpy(), has[1])
    means /= np.sqrt((means[has[0]] ** 2).sum(axis=1).mean())
    assert text.vectors is not None
    np.testing.assert_allclose(text.vectors.numpy(), means, rtol=1e-4, atol=1e-5)
    expected = torch.from_numpy(shares).float() @ tags.projection.weight
    torch.testing.assert_close(tags(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{"experts": 2}, {"hidden": 5}, {"shared": True}], ids=str)
def test_blocks_take_every_kind_of_projection(train: Interactions, options: dict) -> None:
    features = make(train, make_blocks(True), mode="id_text", users="id_profile", combine="gate", **options)
    x = features()
    (x * torch.randn(x.shape)).sum().backward()
    assert torch.isfinite(x).all()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in features.parameters())
    if "shared" in options:
        for mine, theirs in zip(parts_of(features.users), parts_of(features.items), strict=True):
            assert mine.projection is theirs.projection


def test_text_init_and_neighbours_take_the_blocks_side_by_side(train: Interactions) -> None:
    blocks = make_blocks()
    hot = Block("hot", blocks[1].dense(), blocks[1].present)
    both = np.concatenate([centred(blocks[0]), centred(hot)], axis=1)
    table = make(train, [blocks[0], hot], mode="text_init").items().detach()
    _, _, components = np.linalg.svd(both[:SEEN], full_matrices=False)
    expected = both @ components[:6].T
    expected *= 0.1 / expected[:SEEN].std(ddof=1)
    np.testing.assert_allclose(np.abs(table.numpy()), np.abs(expected), rtol=1e-3, atol=1e-4)
    seen = np.arange(NUM_ITEMS) < SEEN
    emb = torch.randn(NUM_ITEMS, 4)
    torch.testing.assert_close(  # bags have no vectors and are left out
        TextNeighbours([blocks[0], blocks[1]], seen, 3, 0.5).fill(emb),
        TextNeighbours([blocks[0]], seen, 3, 0.5).fill(emb),
    )
    with pytest.raises(ConfigError, match="need a block with vectors"):
        TextNeighbours([blocks[1]], seen, 3, 0.5)


@pytest.mark.parametrize("mode", ["text", "id_text", "text_init"])
def test_a_block_that_says_the_same_of_all_seen_items_is_told(train: Interactions, mode: str) -> None:
    full = np.arange(NUM_ITEMS) >= 0
    vectors = np.random.default_rng(2).normal(size=(NUM_ITEMS, 8)).astype(np.float32)
    vectors[:SEEN] = vectors[0]
    told = r"item block 'cover' must say something that differs between the nodes seen in training \(got"
    with pytest.raises(ConfigError, match=rf"{told} 12 vectors there, all alike\)"):
        make(train, [Block("cover", vectors, full)], mode=mode)
    with pytest.raises(ConfigError, match=rf"{told} 1 vectors there, all alike\)"):
        make(train, [Block("cover", vectors, np.isin(np.arange(NUM_ITEMS), [3, 13, 14]))], mode=mode)
    torch.manual_seed(0)
    with pytest.raises(ConfigError, match=r"^item text vectors must say something that differs"):
        make_features(InitConfig(dim=6, mode=mode), train, vectors)
    vectors[:SEEN] += np.eye(SEEN, 8, dtype=np.float32) * 1e-3  # few digits, but they differ
    assert make(train, [Block("cover", vectors, full)], mode=mode)().isfinite().all()


def test_a_block_that_no_seen_item_has_is_told(train: Interactions) -> None:
    values = np.random.default_rng(2).normal(size=(NUM_ITEMS, 8)).astype(np.float32)
    block = Block("cover", values, np.arange(NUM_ITEMS) >= SEEN)
    for mode in ("text_init", "text"):
        with pytest.raises(ConfigError, match="item block 'cover' must be there for a node seen in training"):
            make(train, [block], mode=mode)


def test_blocks_of_another_number_of_rows_are_told(train: Interactions) -> None:
    short = Block("text", np.ones((3, 2), dtype=np.float32), np.ones(3, dtype=bool))
    with pytest.raises(ConfigError, match=r"item block 'text' must have 15 rows \(got 3\)"):
        make(train, [short], mode="text")
    with pytest.raises(ConfigError, match="needs item text vectors"):
        make(train, [], mode="text")


@pytest.mark.parametrize("mode", ["text", "text_init", "id_text"])
def test_one_block_that_everybody_has_is_the_same_as_an_array(train: Interactions, mode: str) -> None:
    vectors = np.random.default_rng(3).normal(size=(NUM_ITEMS, 5)).astype(np.float32)
    states: list[Tensor] = []
    for given in (vectors, [Block("text", vectors, np.ones(NUM_ITEMS, dtype=bool))]):
        torch.manual_seed(0)
        states.append(make_features(InitConfig(mode=mode, dim=4), train, given)())
    assert torch.equal(states[0], states[1])
