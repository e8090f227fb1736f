"""make_features: from a configuration, train interactions and vectors to the node features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from gnnrec.data.interactions import Interactions
from gnnrec.features.combine import Combined, NodeFeatures
from gnnrec.features.config import InitConfig
from gnnrec.features.prepare import Prepared, Vectors, prepare, profile, side_by_side
from gnnrec.features.projection import BlockPart, CategoryTable, ExpertProjection, Projection
from gnnrec.features.tables import FullTextTable, IdTable, StartedTable, TextTable
from gnnrec.svd import normalized_matrix, truncated_svd


def make_features(
    config: InitConfig,
    train: Interactions,
    item_vectors: Vectors | None = None,
    user_vectors: Vectors | None = None,
) -> NodeFeatures:
    """Build the node features of a configuration from train interactions and text vectors.

    `item_vectors` and `user_vectors` are needed where the modes use them: an array [num_items, d] or
    [num_users, d], or the blocks of gnnrec.text.blocks.
    """
    if config.mode == "spectral":
        tables = spectral_start(train, config.dim, config.std)
        return NodeFeatures(StartedTable(tables[0]), StartedTable(tables[1]), config.dim)
    seen_users = torch.from_numpy(train.user_counts() > 0)
    seen_items = torch.from_numpy(train.item_counts() > 0)
    item_blocks = prepare(item_vectors, seen_items, "item") if config.needs_item_text else []
    user_blocks: list[Prepared] = []
    if config.needs_user_text:
        user_blocks = prepare(user_vectors, seen_users, "user")
    elif config.users in ("profile", "id_profile"):
        user_blocks = [profile(train, block) for block in item_blocks]
    made: dict[str, nn.Module] | None = {} if config.shared else None
    if config.users == "profile_init":
        items = _side(config.mode, item_blocks, seen_items, config, made)
        return NodeFeatures(StartedTable(_mean_rows(train, items)), items, config.dim)
    users = _side(config.users.replace("profile", "text"), user_blocks, seen_users, config, made)
    items = _side(config.mode, item_blocks, seen_items, config, made)
    return NodeFeatures(users, items, config.dim)


def _side(
    mode: str,
    blocks: Sequence[Prepared],
    seen: Tensor,
    config: InitConfig,
    made: dict[str, nn.Module] | None,
) -> nn.Module:
    if mode == "id":
        return IdTable(len(seen), config.dim, config.std)
    if mode == "text_init":
        vectors = side_by_side(blocks)
        if config.start == "full":
            return FullTextTable(vectors, config.dim, config.std, seen)
        return TextTable(vectors, config.dim, config.std, seen, config.start)
    parts = [_part(block, len(blocks), config, made) for block in blocks]
    if mode == "text":
        return parts[0] if len(parts) == 1 else Combined(None, parts, config.dim, config.combine)
    # An id-only table keeps its random rows for unseen nodes; beside text they would only blur it.
    ids = IdTable(len(seen), config.dim, 0.0 if config.combine == "residual" else config.std, seen)
    return Combined(ids, parts, config.dim, config.combine, config.id_dropout)


def _part(
    block: Prepared, num_blocks: int, config: InitConfig, made: dict[str, nn.Module] | None
) -> BlockPart:
    """Return a block with its projection, which is the other side's where `made` has one by this name."""
    known = None if made is None else made.get(block.name)
    width = block.width
    if known is not None:
        projection = known
    elif not isinstance(block.values, Tensor):
        projection = CategoryTable(width, config.dim)
    elif config.experts:
        projection = ExpertProjection(width, config.dim, config.experts)
    else:
        projection = Projection(width, config.dim, config.hidden)
    if made is not None:
        made[block.name] = projection
    std = config.std * num_blocks**-0.5  # so that the sum of the blocks has std
    return BlockPart(block, projection, config.dim, std if known is None else None)


def spectral_start(train: Interactions, dim: int, std: float) -> tuple[Tensor, Tensor]:
    """Return user and item rows U S^1/2 and V S^1/2, scaled to a mean entry variance of std^2.

    R~ = Du^-1/2 R Di^-1/2 ~ U S V^T, the largest `dim` singular values: what the linear encoders converge to in the
    limit of a squared loss, so that training starts some epochs ahead. Deterministic; it does not depend on the seed
    of the run.

    Shapes: [num_users, dim], [num_items, dim]; rows without train pairs are zero.
    """
    user, value, item = truncated_svd(normalized_matrix(train), dim, 0, max(128, 2 * dim), "init")
    root = value.sqrt()
    scale = std / torch.cat([user * root, item * root]).std().clamp(min=1e-12)
    return user * root * scale, item * root * scale


@torch.no_grad()
def _mean_rows(train: Interactions, items: nn.Module) -> Tensor:
    counts = np.maximum(train.user_counts(), 1)[:, None]
    items.eval()  # without dropped ids and the noise of gates
    rows = items().numpy()
    items.train()
    return torch.from_numpy(np.asarray(train.csr() @ rows / counts, dtype=np.float32))
