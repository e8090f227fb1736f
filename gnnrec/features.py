"""How ids and vectors become the node matrix x that an encoder sees: the init modes.

Users and items are two sides; each side is a small module whose forward() returns [num_rows, dim].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, check_choice, check_range

MODES = ("id", "text", "text_init", "id_text")
USER_MODES = ("id", "text", "profile", "id_text", "id_profile")


@dataclass(frozen=True)
class InitConfig:
    """How the node matrix is made.

    Args:
        mode: items: `id` a trainable table; `text` a trained projection of frozen text vectors; `text_init` a
            trainable table that starts at the principal components of the text vectors; `id_text` id plus text.
        users: users: `id`, `text` (projected user texts), `profile` (projected mean of the text vectors of the
            user's train items), `id_text`, `id_profile` (sums).
        dim: width of x.
        hidden: width of the hidden layer of the projection; 0 for a linear map.
        std: standard deviation of the initial id table.
        neighbours: an item that training never sees also gets the mean final embedding of so many seen items with
            the nearest texts (see TextNeighbours); 0 for none.
        own_weight: what its own encoded text is weighted with beside that mean.
        id_dropout: probability that, during training, a row of an id + text sum loses its id part, so that the
            text part learns to stand alone, as it must for an unseen item (the idea of DropoutNet, Volkovs et al.
            2017, https://papers.nips.cc/paper/2017/hash/dbd22ba3bd0df8f385bdac3e9f8be207-Abstract.html).
    """

    mode: str = "id"
    users: str = "id"
    dim: int = 64
    hidden: int = 0
    std: float = 0.1
    neighbours: int = 0
    own_weight: float = 0.5
    id_dropout: float = 0.0

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, MODES, "init")
        check_choice("users", self.users, USER_MODES, "init")
        check_range("dim", self.dim, "init", low=1)
        check_range("hidden", self.hidden, "init", low=0)
        check_range("std", self.std, "init", low=0, low_open=True)
        check_range("neighbours", self.neighbours, "init", low=0)
        check_range("own_weight", self.own_weight, "init", low=0)
        check_range("id_dropout", self.id_dropout, "init", low=0, high=1, high_open=True)

    @property
    def needs_item_text(self) -> bool:
        return self.mode != "id" or "profile" in self.users or self.neighbours > 0

    @property
    def needs_user_text(self) -> bool:
        return "text" in self.users


class IdTable(nn.Module):
    """A trainable row per node; rows that training never sees start, and stay, at zero."""

    def __init__(self, num_rows: int, dim: int, std: float, seen: Tensor | None = None) -> None:
        super().__init__()
        weight = torch.randn(num_rows, dim) * std
        if seen is not None:
            weight[~seen] = 0
        self.weight = nn.Parameter(weight)

    def forward(self) -> Tensor:
        return self.weight


class TextTable(nn.Module):
    """A trainable row per node that starts at the leading principal components of its text vector.

    Zhang et al. 2025, LLMInit, https://arxiv.org/abs/2503.01814; deviation: principal components in place of the
    selected dimensions. The components are scaled to a mean entry variance of std^2.
    """

    def __init__(self, vectors: Tensor, dim: int, std: float, seen: Tensor) -> None:
        super().__init__()
        fitted = vectors[seen] if bool(seen.any()) else vectors
        if min(fitted.shape) < dim:
            raise ConfigError(
                f"'dim' must be at most the width and the number of the text vectors seen in training, "
                f"{fitted.shape[1]} and {fitted.shape[0]}, for 'text_init' (got {dim})"
            )
        _, _, components = torch.linalg.svd(fitted, full_matrices=False)
        table = vectors @ components[:dim].T
        self.weight = nn.Parameter(table * (std / table[seen].std().clamp(min=1e-12)))

    def forward(self) -> Tensor:
        return self.weight


class ProjectedText(nn.Module):
    """A trained projection of frozen vectors: x = W v + b, or W_2 leaky_relu(W_1 v + b_1) + b_2.

    The output layer starts so that x has about the spread of an id table (`std`).
    """

    vectors: Tensor

    def __init__(self, vectors: Tensor, dim: int, hidden: int, std: float) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors, persistent=False)
        width = vectors.shape[1]
        self.hidden = nn.Linear(width, hidden) if hidden else None
        self.output = nn.Linear(hidden or width, dim)
        with torch.no_grad():
            self.output.weight.normal_()
            self.output.bias.zero_()
            self.output.weight.mul_(std / self().std().clamp(min=1e-12))

    def forward(self) -> Tensor:
        x = self.vectors
        if self.hidden is not None:
            x = F.leaky_relu(self.hidden(x))
        return self.output(x)


class IdPlusText(nn.Module):
    """Sum of an id table and projected text; `dropout` removes the id part of random rows during training."""

    def __init__(self, ids: IdTable, text: ProjectedText, dropout: float) -> None:
        super().__init__()
        self.ids, self.text, self.dropout = ids, text, dropout

    def forward(self) -> Tensor:
        ids = self.ids()
        if self.training and self.dropout > 0:
            ids = ids * (torch.rand(len(ids), 1, device=ids.device) >= self.dropout)
        return ids + self.text()


class NodeFeatures(nn.Module):
    """The node matrix: users first, then items."""

    def __init__(self, users: nn.Module, items: nn.Module, dim: int) -> None:
        super().__init__()
        self.users, self.items, self.dim = users, items, dim

    def forward(self) -> Tensor:
        """Return x [num_nodes, dim]."""
        return torch.cat([self.users(), self.items()])


class TextNeighbours:
    """Gives items without train interactions the embeddings of the seen items whose texts are nearest.

    e_i <- own_weight e_i + sum_{j in N_k(i)} w_ij e_j, w_ij = max(cos(v_i, v_j), 0)^3 / sum_j' (...): content kNN
    with the user's learned score s(u, j) = e_u . e_j in place of whether u touched j. The cube favours the nearest.

    Args:
        vectors: text vectors of all items [num_items, d]. seen: bool [num_items]. k: neighbours of each item.
    """

    def __init__(self, vectors: np.ndarray, seen: np.ndarray, k: int, own_weight: float) -> None:
        x = F.normalize(_prepare(vectors, torch.from_numpy(seen), "item"), dim=1)
        warm = torch.from_numpy(np.flatnonzero(seen))
        self.unseen = torch.from_numpy(np.flatnonzero(~seen))
        similarity, place = (x[self.unseen] @ x[warm].T).clamp(min=0).pow(3).topk(min(k, len(warm)), dim=1)
        self.weight = similarity / similarity.sum(dim=1, keepdim=True).clamp(min=1e-12)
        self.neighbour = warm[place]
        self.own_weight = own_weight

    def fill(self, item_emb: Tensor) -> Tensor:
        """Return item embeddings [num_items, dim] with the unseen rows filled in; the seen rows are unchanged."""
        unseen, weight = self.unseen.to(item_emb.device), self.weight.to(item_emb.device)
        near = item_emb[self.neighbour.to(item_emb.device)]
        filled = self.own_weight * item_emb[unseen] + (weight.unsqueeze(2) * near).sum(dim=1)
        return item_emb.index_copy(0, unseen, filled)


def make_features(
    config: InitConfig,
    train: Interactions,
    item_vectors: np.ndarray | None = None,
    user_vectors: np.ndarray | None = None,
) -> NodeFeatures:
    """Build the node features of a configuration from train interactions and text vectors.

    `item_vectors` [num_items, d] and `user_vectors` [num_users, d] are needed where the modes use them.
    """
    seen_users = torch.from_numpy(train.user_counts() > 0)
    seen_items = torch.from_numpy(train.item_counts() > 0)
    item_text = _prepare(item_vectors, seen_items, "item") if config.needs_item_text else None
    user_text: Tensor | None = None
    if config.needs_user_text:
        user_text = _prepare(user_vectors, seen_users, "user")
    elif "profile" in config.users:
        assert item_text is not None
        user_text = _profiles(train, item_text)
    # An id-only table keeps its random rows for unseen nodes; in a sum they would only blur the text.
    users = _side(config.users.replace("profile", "text"), user_text, seen_users, config)
    items = _side(config.mode, item_text, seen_items, config)
    return NodeFeatures(users, items, config.dim)


def _side(mode: str, vectors: Tensor | None, seen: Tensor, config: InitConfig) -> nn.Module:
    if mode == "id":
        return IdTable(len(seen), config.dim, config.std)
    assert vectors is not None
    if mode == "text_init":
        return TextTable(vectors, config.dim, config.std, seen)
    text = ProjectedText(vectors, config.dim, config.hidden, config.std)
    if mode == "text":
        return text
    return IdPlusText(IdTable(len(seen), config.dim, config.std, seen), text, config.id_dropout)


def _prepare(vectors: np.ndarray | None, seen: Tensor, side: str) -> Tensor:
    """Centre on the nodes seen in training (sentence vectors share one direction) and scale to unit length."""
    if vectors is None:
        raise ConfigError(
            f"this init mode needs {side} text vectors; choose a 'text' option or another 'init'"
        )
    if len(vectors) != len(seen):
        raise ConfigError(f"{side} text vectors must have {len(seen)} rows (got {len(vectors)})")
    x = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
    return _unit_length(x - (x[seen] if bool(seen.any()) else x).mean(dim=0))


def _profiles(train: Interactions, item_text: Tensor) -> Tensor:
    """Mean text vector of each user's train items, scaled like the items'; zeros without any."""
    counts = np.maximum(train.user_counts(), 1)[:, None]
    return _unit_length(
        torch.from_numpy(np.asarray(train.csr() @ item_text.numpy() / counts, dtype=np.float32))
    )


def _unit_length(x: Tensor) -> Tensor:
    # One factor for all rows, not one per row. Unit variance per column instead would let one step of Adam, which
    # moves every weight by lr whatever the gradient, move x by lr times the width of the text vectors.
    return x / x.square().sum(dim=1).mean().sqrt().clamp(min=1e-12)
