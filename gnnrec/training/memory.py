"""How much memory a training needs, told before it starts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from gnnrec.allocator import available_memory
from gnnrec.encoders import LightGCN
from gnnrec.errors import GnnrecError
from gnnrec.model import Recommender
from gnnrec.objectives import Contrast, MixedNegatives, Negatives, Objective

logger = logging.getLogger(__name__)
GIB = float(1 << 30)
# Structure 20, weight 4, operator 8, keys of the negatives 8, order of an epoch 8; while it is built, sorting takes
# 16 more.
BYTES_PER_EDGE = 64
# Six float32 numbers forward, and their gradients.
BYTES_PER_ATTENTION = 48
# An estimate this much above what is free is refused; below it only a warning is due.
FAR_ABOVE = 1.5


@dataclass(frozen=True)
class Estimate:
    """Bytes at the peak of training, by what they are for."""

    weights: int
    states: int
    edges: int
    batch: int

    @property
    def total(self) -> int:
        return self.weights + self.states + self.edges + self.batch

    def __str__(self) -> str:
        parts = (f"{name} {value / GIB:.2f}" for name, value in vars(self).items())
        return f"{self.total / GIB:.2f} GiB ({', '.join(parts)})"


ADVICE = {
    "weights": "lower init.dim",
    "states": "lower init.dim or the number of layers, or take fewer views",
    "edges": "take fewer interactions (a k-core, or a sample of users)",
    "batch": "lower train.batch_size or train.num_negatives",
}


def estimate_memory(
    model: Recommender, objective: Objective, batch_size: int, num_negatives: int = 1
) -> Estimate:
    """Estimate the peak of training from shapes alone; for LightGCN within a factor of 2 (docs/performance.md).

    weights: every trained number five times (itself, gradient, two moments, the best so far), frozen ones once.
    states: node matrices of [num_nodes, dim] alive at once. LightGCN keeps none for the backward pass, whatever its
    depth: x, two states, two gradients; every other encoder keeps about four per layer. A contrast makes two more
    passes. edges: BYTES_PER_EDGE, and 16 for each view with edges of its own, 20 more for the structure of one that is
    kept; attention keeps BYTES_PER_ATTENTION for each edge, head and layer. batch: rows and their gradients, those of
    negatives that a term draws for itself included.
    """
    graph, encoder = model.graph, model.encoder
    trained = sum(p.numel() * p.element_size() for p in model.parameters())
    frozen = sum(b.numel() * b.element_size() for b in model.buffers())
    width = max(model.features.dim, getattr(encoder, "out_dim", 0))
    matrix = 4 * graph.num_nodes * width
    contrasts = [term for term in _terms(objective) if isinstance(term, Contrast)]
    num_views = 2 * len(contrasts)
    num_layers = int(getattr(encoder, "num_layers", 2))
    each = 0 if isinstance(encoder, LightGCN) else 4 * max(num_layers, 1)
    states = matrix * (5 + each + (1 + each) * num_views)
    pairs = min(batch_size, graph.num_edges)
    num_rows = 2 + max([num_negatives, *(_own_negatives(term, num_layers) for term in _terms(objective))])
    batch = 4 * 4 * width * pairs * num_rows * (1 + num_views)
    per_edge = BYTES_PER_EDGE + sum(2 * (16 if term.refresh == 1 else 36) for term in contrasts)
    if hasattr(encoder, "attention"):
        heads = int(getattr(encoder, "num_heads", 1))
        per_edge += BYTES_PER_ATTENTION * heads * num_layers * (1 + num_views)
    edges = graph.num_edges * per_edge
    return Estimate(5 * trained + frozen, states, edges, batch)


def _terms(objective: Objective) -> Iterator[object]:
    for weighted in objective.terms.values():
        term: object = weighted.term if weighted.weight > 0 else None
        while term is not None:
            yield term
            term = getattr(term, "term", None)


def _own_negatives(term: object, num_layers: int) -> int:
    """Return how many rows of negatives for each pair a term draws itself."""
    if isinstance(term, Negatives):
        return term.num_negatives * term.pool
    return term.num_negatives * (num_layers + 1) if isinstance(term, MixedNegatives) else 0


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on the device, or None where that is not known."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_memory()


def check_memory(model: Recommender, objective: Objective, batch_size: int, num_negatives: int = 1) -> None:
    """Log what training will need; raise a GnnrecError that says what to lower where it is far above what is free.

    What the model and the graph hold already counts as needed: it is part of the estimate and no longer free.
    """
    estimate = estimate_memory(model, objective, batch_size, num_negatives)
    free = free_memory(model.graph.device)
    if free is None:
        logger.info("training needs about %s of memory", estimate)
        return
    logger.info("training needs about %s of memory; %.2f GiB are free", estimate, free / GIB)
    if estimate.total > FAR_ABOVE * free:
        largest = max(vars(estimate), key=lambda name: getattr(estimate, name))
        raise GnnrecError(
            f"training needs about {estimate} of memory, and {free / GIB:.2f} GiB are free; {ADVICE[largest]}"
        )
    if estimate.total > free:
        logger.warning("this may be more than the machine has")
