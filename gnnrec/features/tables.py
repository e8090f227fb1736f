"""Trainable tables: a row per node, from random numbers or from text."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnnrec.errors import ConfigError


class IdTable(nn.Module):
    """A trainable row per node; with `seen`, rows that training never sees start, and stay, at zero."""

    seen: Tensor | None

    def __init__(self, num_rows: int, dim: int, std: float, seen: Tensor | None = None) -> None:
        super().__init__()
        weight = torch.randn(num_rows, dim) * std
        if seen is not None:
            weight[~seen] = 0
        self.weight = nn.Parameter(weight)
        self.register_buffer("seen", seen, persistent=False)

    def forward(self) -> Tensor:
        return self.weight


class StartedTable(nn.Module):
    """A trainable row per node that starts at given rows."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(start.clone())

    def forward(self) -> Tensor:
        return self.weight


class TextTable(nn.Module):
    """A trainable row per node that starts at `dim` numbers of its text vector.

    start=pca: the leading principal components of the rows seen in training. start=variance: the columns of largest
    variance among them (Zhang et al. 2025, LLMInit, https://arxiv.org/abs/2503.01814), in the order
    they have. Both are scaled to a mean entry variance of std^2 over the seen rows. Deviations: LLMInit does not
    scale, its code takes the variance over the most popular fifth of the items; principal components are ours.

    Shapes: vectors [n, width], seen bool [n] -> [n, dim]. Errors: ConfigError where width or seen rows are too few.
    """

    def __init__(self, vectors: Tensor, dim: int, std: float, seen: Tensor, start: str = "pca") -> None:
        super().__init__()
        fitted = vectors[seen] if bool(seen.any()) else vectors
        least = min(fitted.shape) if start == "pca" else fitted.shape[1]
        if least < dim:
            raise ConfigError(
                f"'dim' must be at most the width and the number of the text vectors seen in training, "
                f"{fitted.shape[1]} and {fitted.shape[0]}, for 'text_init' (got {dim})"
            )
        if start == "variance":
            columns = fitted.var(dim=0, correction=0).topk(dim).indices.sort().values
            table = vectors[:, columns]
        else:
            _, _, components = torch.linalg.svd(fitted, full_matrices=False)
            table = vectors @ components[:dim].T
        self.weight = nn.Parameter(table * (std / _spread(table[seen])))

    def forward(self) -> Tensor:
        return self.weight


class FullTextTable(nn.Module):
    """A trainable row per node that starts at its whole text vector, and a trained linear map: x = W t + b.

    As LLMInit without selection (TextTable), but of width `dim`, so that it fits every encoder.

    Shapes: vectors [n, width] -> [n, dim].
    """

    def __init__(self, vectors: Tensor, dim: int, std: float, seen: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(vectors.clone())
        self.output = nn.Linear(vectors.shape[1], dim)
        with torch.no_grad():
            self.output.weight.normal_()
            self.output.bias.zero_()
            self.output.weight.mul_(std / _spread(self()[seen]))

    def forward(self) -> Tensor:
        return self.output(self.weight)


def _spread(rows: Tensor) -> Tensor:
    """Return the standard deviation of the rows seen in training, by which all are scaled."""
    spread = rows.std()
    if float(spread) < 1e-12:
        raise ConfigError(
            f"a node seen in training must have a text vector that differs from the others' for 'text_init' (got "
            f"{len(rows)} such nodes, all without): leave the block out, or choose another 'mode'"
        )
    return spread
