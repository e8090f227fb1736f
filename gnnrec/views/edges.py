"""Augmentations that drop edges."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gnnrec.errors import check_choice, check_range
from gnnrec.graph import BipartiteGraph
from gnnrec.views.view import View, draw, skewed


@dataclass(frozen=True)
class EdgeDropout:
    """Drop each edge with probability p and renormalise: A' = mask * A, mask ~ Bernoulli(1 - p).

    Wu et al. 2021, SGL, https://arxiv.org/abs/2010.10783, eq. 5 ("ED"). Both directions of an edge go together.
    Deviation: an independent draw per edge, where the authors' code drops a fixed number of edges.
    """

    p: float = 0.1

    def __post_init__(self) -> None:
        check_range("p", self.p, "EdgeDropout", low=0, high=1, high_open=True)

    def __call__(self, view: View, generator: torch.Generator) -> View:
        weight = view.graph.weight
        keep = draw((len(weight),), weight, generator) >= self.p
        return view.drop_edges(keep)


@dataclass(frozen=True)
class NodeDropout:
    """Isolate each node with probability p: all its edges are dropped, its features stay.

    Wu et al. 2021, SGL, https://arxiv.org/abs/2010.10783, eq. 4 ("ND"). `side` limits it to users or to items:
    isolating items during training is how a model learns to score an item that has no edges at all.
    """

    p: float = 0.1
    side: str = "both"

    def __post_init__(self) -> None:
        check_range("p", self.p, "NodeDropout", low=0, high=1, high_open=True)
        check_choice("side", self.side, ("both", "users", "items"), "NodeDropout")

    def __call__(self, view: View, generator: torch.Generator) -> View:
        graph = view.graph
        user, item = graph.split(draw((graph.num_nodes,), graph.weight, generator) >= self.p)
        if self.side == "users":
            return view.drop_edges(user[graph.structure.user])
        if self.side == "items":
            return view.drop_edges(item[graph.structure.item])
        return view.drop_edges(user[graph.structure.user] & item[graph.structure.item])


@dataclass(frozen=True)
class RandomWalk:
    """Drop edges with probability p, drawn anew for each layer.

    Wu et al. 2021, SGL, https://arxiv.org/abs/2010.10783, section 3.1.1 ("RW").
    """

    p: float = 0.1
    num_layers: int = 3

    def __post_init__(self) -> None:
        check_range("p", self.p, "RandomWalk", low=0, high=1, high_open=True)
        check_range("num_layers", self.num_layers, "RandomWalk", low=1)

    def __call__(self, view: View, generator: torch.Generator) -> View:
        drop = EdgeDropout(self.p)
        layers = (view.graph_at(layer) for layer in range(1, self.num_layers + 1))
        graphs = tuple(
            drop(replace(view, graph=graph, layer_graphs=None), generator).graph for graph in layers
        )
        return replace(view, graph=graphs[-1], layer_graphs=graphs)


@dataclass(frozen=True)
class DegreeEdgeDropout:
    """Drop edges by the degree c_e of their ends: p_e = min(p (s_e - min s) / (mean s - min s), p_max).

    drop=head: s_e = log c_e. The head can spare edges, rare items keep their few: the tail-aware augmentation.
    drop=tail: s_e = -log c_e, which keeps the edges of central nodes: Zhu et al. 2021, GCA,
    https://arxiv.org/abs/2010.14945, eq. 4 and 5 with degree centrality, where ends=both is their mean of both ends;
    their code takes one end.

    Args:
        p: probability of the average edge. p_max: of any edge.
        drop: which edges are dropped more.
        ends: c_e is the degree of the edge's `item`, or the mean of `both` its ends.
    """

    p: float = 0.1
    p_max: float = 0.7
    drop: str = "head"
    ends: str = "item"

    def __post_init__(self) -> None:
        check_range("p", self.p, "DegreeEdgeDropout", low=0, high=1, high_open=True)
        check_range("p_max", self.p_max, "DegreeEdgeDropout", low=0, high=1, high_open=True)
        check_choice("drop", self.drop, ("head", "tail"), "DegreeEdgeDropout")
        check_choice("ends", self.ends, ("item", "both"), "DegreeEdgeDropout")

    def __call__(self, view: View, generator: torch.Generator) -> View:
        graph = view.graph
        keep = draw((graph.num_edges,), graph.weight, generator) >= self.probability(graph)
        return view.drop_edges(keep)

    def probability(self, graph: BipartiteGraph) -> Tensor:
        """Return p_e of every edge: [num_edges] in user order."""
        user, item = graph.split(graph.degree.clamp(min=1))
        centrality = item[graph.structure.item]
        if self.ends == "both":
            centrality = (centrality + user[graph.structure.user]) / 2
        score = centrality.log()
        return skewed(score if self.drop == "head" else -score, self.p, self.p_max)
