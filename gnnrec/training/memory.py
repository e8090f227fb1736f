"""How much memory a training needs, before it starts."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

import torch

from gnnrec.encoders import LightGCN
from gnnrec.errors import GnnrecError
from gnnrec.model import Recommender
from gnnrec.objectives import Contrast, CrossLayer, MixedNegatives, Negatives, Objective, Softmax
from gnnrec.objectives.step import parts

logger = logging.getLogger(__name__)
GIB = float(1 << 30)
BYTES_PER_EDGE = (
    72  # structure 20, weights and operator 12, samplers 16, an epoch's order 8, sorting while built 16
)
OVERCOMMIT = 1.25  # an estimate may be this much above what is free before it is refused


@dataclass(frozen=True)
class Estimate:
    """Bytes at the peak of training, by what they are for."""

    weights: int
    states: int
    edges: int
    losses: int

    @property
    def total(self) -> int:
        return self.weights + self.states + self.edges + self.losses

    def __str__(self) -> str:
        parts = (f"{name} {value / GIB:.2f}" for name, value in vars(self).items())
        return f"{self.total / GIB:.2f} GiB ({', '.join(parts)})"


def estimate_memory(model: Recommender, objective: Objective, batch_size: int) -> Estimate:
    """Estimate the peak of training from shapes alone.

    weights: every trained number five times (itself, gradient, two moments, the best so far), frozen ones once;
    states: node matrices [num_nodes, dim] alive at once, of the main pass and of each further view; edges:
    BYTES_PER_EDGE each, and 12 per edge of a view of its own; losses: logits of the contrast and of the softmax, with
    their gradients.
    """
    graph = model.graph
    trained = sum(p.numel() * p.element_size() for p in model.parameters())
    frozen = sum(b.numel() * b.element_size() for b in model.buffers())
    matrix = 4 * graph.num_nodes * max(model.features.dim, getattr(model.encoder, "out_dim", 0))
    weighted = [weighted.term for weighted in objective.terms.values() if weighted.weight > 0]
    terms = [part for term in weighted for part in parts(term)]
    num_views = 2 * sum(isinstance(term, Contrast) for term in terms)
    layered = objective.keep_layers or any(isinstance(term, CrossLayer) for term in terms)
    num_layers = max(getattr(model.encoder, "num_layers", 2), 1)
    linear = isinstance(model.encoder, LightGCN)
    per_pass = 3 if linear and not layered else 3 * num_layers
    states = matrix * (6 + per_pass + (3 if linear else 3 * num_layers) * num_views)
    losses = 0
    for term in terms:
        losses += _loss_bytes(term, batch_size, graph.num_users, graph.num_items)
        if isinstance(term, Negatives | MixedNegatives):  # rows of the candidates, a copy, and their gradient
            losses += 4 * 3 * batch_size * term.num_negatives * getattr(term, "pool", 1) * model.features.dim
    edges = graph.num_edges * (BYTES_PER_EDGE + 12 * num_views)
    return Estimate(5 * trained + frozen, states, edges, losses)


def _loss_bytes(term: object, batch_size: int, num_users: int, num_items: int) -> int:
    if isinstance(term, Softmax):
        drawn, batch = term.num_negatives, batch_size
        columns = {"all": num_items, "in_batch": batch, "mixed": batch + drawn}.get(term.negatives, drawn)
        return 4 * 4 * batch_size * min(columns, num_items)
    if isinstance(term, Contrast | CrossLayer):
        most = getattr(term, "max_nodes", None) or batch_size
        return sum(4 * 3 * min(most, side) ** 2 for side in (num_users, num_items))
    return 0


def available_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on the device, or None where that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def check_memory(model: Recommender, objective: Objective, batch_size: int) -> Estimate:
    """Log what training will need; raise a GnnrecError naming what to lower when it is far above what is free."""
    estimate, free = estimate_memory(model, objective, batch_size), available_memory(model.graph.device)
    known = "unknown" if free is None else f"{free / GIB:.2f} GiB"
    logger.info("training needs about %s; free: %s", estimate, known)
    if free is not None and estimate.total > OVERCOMMIT * free:
        largest = max(vars(estimate), key=lambda name: getattr(estimate, name))
        advice = {
            "weights": "init.dim",
            "states": "init.dim, the number of layers or of views",
            "edges": "the number of interactions (a k-core or a sample of users)",
            "losses": "train.batch_size, or max_nodes of the contrast, or num_negatives of the softmax",
        }[largest]
        raise GnnrecError(f"training needs about {estimate}, and {known} is free; lower {advice}")
    return estimate
