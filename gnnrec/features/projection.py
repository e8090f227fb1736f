"""Trained projections of frozen vectors and of categories."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gnnrec.features.prepare import Prepared


class Projection(nn.Module):
    """A linear map or a perceptron: W v + b, or W_2 leaky_relu(W_1 v + b_1) + b_2.

    Shapes: [n, width] -> [n, dim].
    """

    def __init__(self, width: int, dim: int, hidden: int = 0) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, hidden) if hidden else None
        self.output = nn.Linear(hidden or width, dim)
        with torch.no_grad():
            self.output.weight.normal_()
            self.output.bias.zero_()

    @property
    def weight(self) -> Tensor:
        """The weights that the output is proportional to at the start."""
        return self.output.weight

    def forward(self, x: Tensor) -> Tensor:
        if self.hidden is not None:
            x = F.leaky_relu(self.hidden(x))
        return self.output(x)


class ExpertProjection(nn.Module):
    """A mixture of linear experts: sum_k g_k W_k (v - b_k), g = softmax(U v + e * softplus(V v)), e ~ N(0, I).

    Hou et al. 2022, UniSRec, https://arxiv.org/abs/2206.05941, the MoE-enhanced adaptor: each expert is a "parametric
    whitening", and e is drawn in training only. U and V start at zero, as in the authors' code. Deviations: no
    dropout of v (the code has 0.2), no floor of 0.01 under the noise; W_k starts at the spread of an id table.

    Shapes: [n, width] -> [n, dim].
    """

    def __init__(self, width: int, dim: int, experts: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(experts, width, dim))
        self.bias = nn.Parameter(torch.zeros(experts, width))
        self.gate = nn.Parameter(torch.zeros(width, experts))
        self.noise = nn.Parameter(torch.zeros(width, experts))

    def forward(self, x: Tensor) -> Tensor:
        logits = x @ self.gate
        if self.training:
            logits = logits + torch.randn_like(logits) * F.softplus(x @ self.noise)
        share = logits.softmax(dim=1)
        # sum_k g_k W_k b_k needs no [n, width] matrix per expert
        shift = torch.einsum("kw,kwd->kd", self.bias, self.weight)
        mixed = -share @ shift
        for k, weight in enumerate(self.weight):
            mixed = torch.addcmul(mixed, share[:, k : k + 1], x @ weight)
        return mixed


class CategoryTable(nn.Module):
    """A trained row per category; a node's row is the weighted sum of its categories' rows.

    Shapes: (category, offset, share) of torch.nn.functional.embedding_bag -> [n, dim].
    """

    def __init__(self, num_categories: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_categories, dim))

    def forward(self, bags: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        category, offset, share = bags
        return F.embedding_bag(category, self.weight, offset, mode="sum", per_sample_weights=share)


class BlockPart(nn.Module):
    """A block of frozen values and its trained projection, which starts with a spread of `std`.

    Rows that lack the block are zeros, or one learned vector for all of them, which starts at zero.

    Args:
        block: vectors [n, width], or shares of categories, sparse [n, num_categories].
        projection: Projection, ExpertProjection, or for categories CategoryTable.
        std: None leaves the projection's scale alone: another side has set it.
    """

    vectors: Tensor | None
    present: Tensor | None

    def __init__(self, block: Prepared, projection: nn.Module, dim: int, std: float | None) -> None:
        super().__init__()
        self.register_buffer(
            "vectors", block.values if isinstance(block.values, Tensor) else None, persistent=False
        )
        bags = () if isinstance(block.values, Tensor) else _bags(block.values)
        for name, value in zip(("category", "offset", "share"), bags):
            self.register_buffer(name, value, persistent=False)
        self.register_buffer("present", block.present, persistent=False)
        self.projection = projection
        some_lack = block.present is not None and not bool(block.present.all())
        self.missing = nn.Parameter(torch.zeros(dim)) if block.learned and some_lack else None
        if std is not None:
            self._scale(std, block.present if block.fitted is None else block.fitted)

    @property
    def has(self) -> Tensor | None:
        """Rows that have something to say, bool [n]; None for all."""
        return self.present if self.missing is None else None

    def forward(self) -> Tensor:
        x = self._projected()
        if self.present is None:
            return x
        return torch.where(
            self.present.unsqueeze(1), x, x.new_zeros(()) if self.missing is None else self.missing
        )

    def _projected(self) -> Tensor:
        return self.projection(
            (self.category, self.offset, self.share) if self.vectors is None else self.vectors
        )

    @torch.no_grad()
    def _scale(self, std: float, rows: Tensor | None) -> None:
        x = self._projected()
        spread = (x if rows is None else x[rows]).std()
        weight = self.projection.weight
        assert isinstance(weight, Tensor)
        weight.mul_(std / spread.clamp(min=1e-12))


def _bags(shares: sp.csr_array) -> tuple[Tensor, Tensor, Tensor]:
    index, start = shares.indices.astype(np.int64), shares.indptr[:-1].astype(np.int64)
    return torch.from_numpy(index), torch.from_numpy(start), torch.from_numpy(shares.data.astype(np.float32))
