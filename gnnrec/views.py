"""Views of the graph and its node features, and the augmentations that turn one view into another.

An augmentation is any callable (view, generator) -> view. To add one, write a small frozen dataclass here with a
`__call__` and name its class path in a YAML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec.errors import check_choice, check_range
from gnnrec.graph import BipartiteGraph


@dataclass(frozen=True)
class View:
    """What an encoder sees: node features `x` [num_nodes, dim], a graph, and an optional change of each layer.

    `perturb(state, layer)` is applied by the encoder to the state of every layer (1-based) after propagation.
    `layer_graphs`, if given, holds one graph per layer in place of `graph`.
    """

    x: Tensor
    graph: BipartiteGraph
    perturb: Callable[[Tensor, int], Tensor] | None = None
    layer_graphs: tuple[BipartiteGraph, ...] | None = None

    def graph_at(self, layer: int) -> BipartiteGraph:
        """Return the graph of a layer (1-based); layers past the last given graph use the last one."""
        if self.layer_graphs is None:
            return self.graph
        return self.layer_graphs[min(layer, len(self.layer_graphs)) - 1]


Augmentation = Callable[[View, torch.Generator], View]


def augment(view: View, augmentations: Iterable[Augmentation], generator: torch.Generator) -> View:
    """Apply augmentations one after another."""
    for augmentation in augmentations:
        view = augmentation(view, generator)
    return view


def _uniform(size: int, like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(size, generator=generator, device=generator.device).to(like.device)


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
        keep = _uniform(len(weight), weight, generator) >= self.p
        return replace(view, graph=view.graph.reweight(weight * keep), layer_graphs=None)


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
        user, item = graph.split(_uniform(graph.num_nodes, graph.weight, generator) >= self.p)
        weight = graph.weight
        if self.side != "items":
            weight = weight * user[graph.structure.user]
        if self.side != "users":
            weight = weight * item[graph.structure.item]
        return replace(view, graph=graph.reweight(weight), layer_graphs=None)


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
        graphs = tuple(drop(view, generator).graph for _ in range(self.num_layers))
        return replace(view, graph=graphs[-1], layer_graphs=graphs)


@dataclass(frozen=True)
class DegreeEdgeDropout:
    """Drop edges of popular items more often: p_e = min(p (w_e - min w) / (mean w - min w), p_max).

    w_e = -log of the item's degree would keep popular edges as in GCA (Zhu et al. 2021,
    https://arxiv.org/abs/2010.14945, eq. 4 and 5); here w_e = log degree, since it is the head that a recommender can
    spare: rare items keep their few edges.
    """

    p: float = 0.1
    p_max: float = 0.7

    def __post_init__(self) -> None:
        check_range("p", self.p, "DegreeEdgeDropout", low=0, high=1, high_open=True)
        check_range("p_max", self.p_max, "DegreeEdgeDropout", low=0, high=1, high_open=True)

    def __call__(self, view: View, generator: torch.Generator) -> View:
        graph = view.graph
        _, degree = graph.split(graph.degree)
        weight = degree.clamp(min=1).log()[graph.structure.item]
        low = weight.min()
        probability = (self.p * (weight - low) / (weight.mean() - low).clamp(min=1e-12)).clamp(max=self.p_max)
        keep = _uniform(len(weight), weight, generator) >= probability
        return replace(view, graph=graph.reweight(graph.weight * keep), layer_graphs=None)


@dataclass(frozen=True)
class FeatureMasking:
    """Set features to zero with probability p.

    `columns`: the same feature dimensions for all nodes (Zhu et al. 2020, GRACE, https://arxiv.org/abs/2006.04131,
    section 3.2.1); `rows`: all features of a node; `elements`: each entry by itself. `rescale` divides what is kept
    by 1 - p, as dropout does; GRACE does not.
    """

    p: float = 0.1
    mode: str = "columns"
    rescale: bool = False

    def __post_init__(self) -> None:
        check_range("p", self.p, "FeatureMasking", low=0, high=1, high_open=True)
        check_choice("mode", self.mode, ("columns", "rows", "elements"), "FeatureMasking")

    def __call__(self, view: View, generator: torch.Generator) -> View:
        x = view.x
        shape = {"columns": (1, x.shape[1]), "rows": (x.shape[0], 1), "elements": tuple(x.shape)}[self.mode]
        keep = torch.rand(shape, generator=generator, device=generator.device).to(x.device) >= self.p
        scale = 1 / (1 - self.p) if self.rescale else 1.0
        return replace(view, x=x * (keep * scale))


@dataclass(frozen=True)
class LayerNoise:
    """Add noise of length `magnitude` to every layer: e' = e + sign(e) * magnitude * u / ||u||, u ~ U(0, 1)^dim.

    Yu et al. 2022, SimGCL, https://arxiv.org/abs/2112.08679, eq. 7 and 8.
    """

    magnitude: float = 0.1

    def __post_init__(self) -> None:
        check_range("magnitude", self.magnitude, "LayerNoise", low=0)

    def __call__(self, view: View, generator: torch.Generator) -> View:
        def perturb(state: Tensor, layer: int) -> Tensor:
            noise = torch.rand(state.shape, generator=generator, device=generator.device).to(state.device)
            noise = F.normalize(noise, dim=-1).mul_(self.magnitude)
            return torch.addcmul(state, state.detach().sign(), noise)

        return replace(view, perturb=perturb)
