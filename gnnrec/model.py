"""Recommender: node features and an encoder over the train graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gnnrec.encoders.states import encode
from gnnrec.errors import ConfigError, check_choice
from gnnrec.features import NodeFeatures, TextNeighbours
from gnnrec.graph import BipartiteGraph
from gnnrec.views import Augmentation, View


class Recommender(nn.Module):
    """Scores s(u, i) = e_u . e_i (or their cosine) with e = encoder(View(features(), graph)).

    The embeddings are computed once and kept until `refresh()`; training uses `view()` instead.

    Args:
        features: the node matrix.
        encoder: View -> States.
        graph: the train graph.
        augmentations: applied to the main view of every training step, never at scoring.
        score: `dot` or `cosine`.
        unseen: fills in the final embeddings of items without train interactions, at scoring only.
        item_text: frozen text vectors [num_items, width] for encoders and augmentations that use them.
    """

    item_text: Tensor | None

    def __init__(
        self,
        features: NodeFeatures,
        encoder: nn.Module,
        graph: BipartiteGraph,
        augmentations: Sequence[Augmentation] = (),
        score: str = "dot",
        name: str = "recommender",
        unseen: TextNeighbours | None = None,
        item_text: Tensor | None = None,
    ) -> None:
        super().__init__()
        check_choice("score", score, ("dot", "cosine"), "model")
        self.features, self.encoder, self.graph = features, encoder, graph
        self.augmentations = tuple(augmentations)
        self.score, self.name, self.unseen = score, name, unseen
        self.register_buffer("item_text", item_text, persistent=False)
        self.heads = nn.ModuleDict()
        self._embedded: tuple[Tensor, Tensor] | None = None

    def view(self) -> View:
        """Return the unaugmented view of the current features."""
        return View(self.features(), self.graph, item_text=self.item_text, train=self.graph.structure)

    def refresh(self) -> None:
        """Forget the kept embeddings; call after the parameters or the graph changed."""
        self._embedded = None

    @torch.no_grad()
    def embed(self) -> tuple[Tensor, Tensor]:
        """Return (user_emb [num_users, dim], item_emb [num_items, dim]) in evaluation mode."""
        if self._embedded is None:
            training = self.training
            self.eval()
            final = encode(self.encoder, self.view()).final
            self.train(training)
            user_emb, item_emb = self.graph.split(final)
            if self.unseen is not None:
                item_emb = self.unseen.fill(item_emb)
            if self.score == "cosine":
                user_emb, item_emb = F.normalize(user_emb, dim=-1), F.normalize(item_emb, dim=-1)
            self._embedded = user_emb, item_emb
        return self._embedded

    @property
    def user_emb(self) -> Tensor:
        return self.embed()[0]

    @property
    def item_emb(self) -> Tensor:
        return self.embed()[1]

    def scores(self, user: Tensor) -> Tensor:
        """Score all items for some users: [len(user), num_items] float32, higher is better."""
        return self.user_emb[user] @ self.item_emb.T

    def recommend(self, user: Tensor, k: int = 20, exclude_seen: bool = True) -> tuple[Tensor, Tensor]:
        """Return the k best items of each user and their scores, each [len(user), k], best first.

        Train items are left out unless `exclude_seen` is false; a place that cannot be filled holds -1 and -inf.
        """
        if not 1 <= k <= self.graph.num_items:
            raise ConfigError(f"'k' must be in [1, {self.graph.num_items}] in 'recommend' (got {k})")
        if len(user) and not 0 <= int(user.min()) <= int(user.max()) < self.graph.num_users:
            raise ConfigError(
                f"'user' must hold indices in [0, {self.graph.num_users - 1}] in 'recommend' "
                f"(got {int(user.min())} to {int(user.max())})"
            )
        scores = self.scores(user)
        if exclude_seen:
            start, length = self.graph.user_range(user)
            for row, (s, n) in enumerate(zip(start.tolist(), length.tolist())):
                scores[row, self.graph.structure.item[s : s + n].long()] = float("-inf")
        best, item = scores.topk(k, dim=1)
        return torch.where(torch.isfinite(best), item, -1), best
