"""Prototypes: contrast of nodes with the centres of their clusters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec.errors import check_range
from gnnrec.objectives.step import Step, rows
from gnnrec.unit import unit
from gnnrec.views import View

BLOCK = 4096


@dataclass
class Prototypes:
    """InfoNCE of the layer-0 rows of the batch's users and items with the centres of their clusters, summed over sides:
    the mean over distinct nodes of -log(exp(cos(x_v, c_v) / t) / sum_c exp(cos(x_v, c) / t)).

    Lin et al. 2022, NCL, https://arxiv.org/abs/2202.06200, section 3.3: users and items are clustered apart, by
    k-means on the layer-0 rows, at the start of an epoch (the E-step); the centres then stay fixed. Means over
    distinct nodes, where the paper and code sum over the batch: their weight is ours divided by the batch size. For
    the first `warmup` epochs the term is 0 (20 in the code).

    Args:
        num_clusters: of the users and of the items; at most as many as there are.
        temperature: divides the cosines. warmup: epochs without this term. iterations: of k-means.
    """

    num_clusters: int = 1000
    temperature: float = 0.1
    warmup: int = 0
    iterations: int = 10

    def __post_init__(self) -> None:
        check_range("num_clusters", self.num_clusters, "Prototypes", low=2)
        check_range("temperature", self.temperature, "Prototypes", low=0, low_open=True)
        check_range("warmup", self.warmup, "Prototypes", low=0)
        check_range("iterations", self.iterations, "Prototypes", low=1)
        self._clusters: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def begin_epoch(self, epoch: int, view: Callable[[], View], generator: torch.Generator) -> None:
        """Cluster the users and the items by their current layer-0 rows."""
        self._clusters = []
        if epoch > self.warmup:
            current = view()
            sides = current.graph.split(current.x.detach())
            self._clusters = [kmeans(x, self.num_clusters, generator, self.iterations) for x in sides]

    def __call__(self, step: Step) -> Tensor:
        if not self._clusters:
            return step.view.x.sum() * 0
        sides = (torch.unique(step.user), torch.unique(step.positive))
        nodes = (sides[0], step.train.item_node(sides[1]))
        terms = []
        for (centres, cluster), side, node in zip(self._clusters, sides, nodes):
            logits = unit(rows(step.view.x, node)) @ unit(centres).T
            terms.append(F.cross_entropy(logits / self.temperature, cluster[side]))
        return torch.stack(terms).sum()


def kmeans(
    x: Tensor, num_clusters: int, generator: torch.Generator, iterations: int = 10
) -> tuple[Tensor, Tensor]:
    """Return centres [k, dim] and the cluster of each row [rows] by Lloyd's algorithm from k random rows.

    k is at most the number of rows. A cluster that loses all its rows keeps its centre. The rows are those of the last
    assignment, to which the centres are the means. Lloyd 1982, https://doi.org/10.1109/TIT.1982.1056489.
    """
    k = min(num_clusters, len(x))
    order = torch.randperm(len(x), generator=generator, device=generator.device)
    centres = x[order[:k].to(x.device)].clone()
    cluster = _nearest(x, centres)
    for iteration in range(iterations):
        count = torch.bincount(cluster, minlength=k)
        # One scatter per column adds up in the order of rows, whatever the number of threads.
        total = torch.stack([torch.bincount(cluster, weights=column, minlength=k) for column in x.T], dim=1)
        means = (total / count.clamp(min=1).unsqueeze(1)).to(x.dtype)
        centres = torch.where(count.unsqueeze(1) > 0, means, centres)
        if iteration + 1 < iterations:
            nearest = _nearest(x, centres)
            if torch.equal(nearest, cluster):
                break
            cluster = nearest
    return centres, cluster


def _nearest(x: Tensor, centres: Tensor) -> Tensor:
    """Return the nearest centre of each row: |x - c|^2 = |x|^2 - 2 x.c + |c|^2, of which |x|^2 decides nothing."""
    shift = centres.square().sum(dim=1)
    return torch.cat([(shift - 2 * block @ centres.T).argmin(dim=1) for block in x.split(BLOCK)])
