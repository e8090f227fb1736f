"""Neighbourhoods from random walks: whom short walks from a node visit most."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from gnnrec.bags import Bags, weighted_sum
from gnnrec.edges import EdgeStructure
from gnnrec.graph import BipartiteGraph
from gnnrec.progress import Progress

BLOCK = 4_000_000  # visits counted at once


@dataclass(frozen=True)
class WalkNeighbours:
    """The T most visited neighbours of every node, users first in the numbering; places not filled weigh 0.

    node: int64 [num_nodes, T]. weight: float32 [num_nodes, T], rows sum to 1 (0 for a node without edges).
    edge: int64 [num_nodes, T], the place of the direct edge in user order, -1 for a neighbour further away.
    """

    node: Tensor
    weight: Tensor
    edge: Tensor

    @cached_property
    def _bags(self) -> tuple[Bags, Bags, Tensor]:
        num_nodes, most = self.node.shape
        offset = torch.arange(0, self.node.numel() + 1, max(most, 1), device=self.node.device)
        bags = Bags(self.node.flatten(), offset, num_nodes)
        return bags, *bags.by_sender()

    def pool(self, weight: Tensor, x: Tensor) -> Tensor:
        """Return the weighted sum of each node's neighbours, weights [num_nodes, T]; differentiable in both."""
        return weighted_sum(weight.flatten().to(x.dtype), x, *self._bags)

    def in_view(self, graph: BipartiteGraph) -> Tensor:
        """Return the weights in a graph with dropped edges: [num_nodes, T], rows sum to 1 or are 0.

        A neighbour by an edge that is dropped, and any neighbour of or at a node that has lost all its edges, weighs 0.
        """
        if not graph.weight.is_cuda and bool((graph.weight > 0).all()):  # the answer would make the host wait
            return self.weight
        there = graph.degree > 0
        direct = self.edge < 0
        if graph.num_edges:
            direct = direct | (graph.weight[self.edge.clamp(min=0)] > 0)
        weight = self.weight * (direct & there.unsqueeze(1) & there[self.node])
        return weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-12)


@lru_cache(maxsize=2)
def walk_neighbours(
    structure: EdgeStructure, num_neighbours: int, num_walks: int, walk_length: int, seed: int
) -> WalkNeighbours:
    """Count the visits of `num_walks` walks of `walk_length` steps from each node; keep the most visited, normalised.

    Every step goes to a uniformly drawn neighbour. Visits to the start itself do not count; of equally visited nodes
    the first in numbering is kept.
    """
    user, item = (part.cpu().numpy().astype(np.int64) for part in (structure.user, structure.item))
    num_nodes = structure.num_users + structure.num_items
    offset = structure.user_offset[:-1].cpu().numpy(), structure.item_offset.cpu().numpy() + len(user)
    start_of = np.concatenate(offset).astype(np.int64)
    target = np.concatenate([item + structure.num_users, structure.user_by_item.cpu().numpy()])
    degree = np.diff(start_of)
    random = np.random.default_rng(seed)
    node = np.zeros((num_nodes, num_neighbours), dtype=np.int64)
    weight = np.zeros((num_nodes, num_neighbours), dtype=np.float32)
    starts = np.flatnonzero(degree)
    blocks = np.array_split(starts, len(starts) * num_walks * walk_length // BLOCK + 1)
    for block in Progress(blocks, name="walks", unit="block"):
        current, visits = np.repeat(block, num_walks), []
        for _ in range(walk_length):
            step = (random.random(len(current)) * degree[current]).astype(np.int64)
            current = target[start_of[current] + step]
            visits.append(current.reshape(len(block), num_walks))
        row, place, visited, count = _most_visited(
            block, np.concatenate(visits, axis=1), num_nodes, num_neighbours
        )
        node[block[row], place], weight[block[row], place] = visited, count
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1)
    edge = np.where(weight > 0, _direct_edge(node, structure, user, item), -1)
    device = structure.user.device
    return WalkNeighbours(*(torch.from_numpy(part).to(device) for part in (node, weight, edge)))


def _most_visited(
    block: np.ndarray, visits: np.ndarray, num_nodes: int, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return row, rank, node and count of the `most` nodes with the most visits of each row, the start left out."""
    row = np.repeat(np.arange(len(block)), visits.shape[1])
    visited = visits.ravel()
    away = visited != block[row]
    key, count = np.unique(row[away] * num_nodes + visited[away], return_counts=True)
    row, visited = key // num_nodes, key % num_nodes
    order = np.lexsort((visited, -count, row))
    row, visited, count = row[order], visited[order], count[order]
    first = np.searchsorted(row, row)
    place = np.arange(len(row)) - first
    kept = place < most
    return row[kept], place[kept], visited[kept], count[kept]


def _direct_edge(
    node: np.ndarray, structure: EdgeStructure, user: np.ndarray, item: np.ndarray
) -> np.ndarray:
    """Return the place in user order of the edge between each node and each of its neighbours, -1 without one."""
    own = np.arange(len(node))[:, None]
    low, high = np.minimum(own, node), np.maximum(own, node) - structure.num_users
    keys, wanted = user * structure.num_items + item, low * structure.num_items + high
    place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    found = (low < structure.num_users) & (high >= 0)
    if len(keys):
        found &= keys[place] == wanted
    return np.where(found, place, -1)
