"""A view: what an encoder sees. Augmentations turn one view into another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gnnrec.edges import EdgeStructure
from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph


@dataclass(frozen=True)
class View:
    """What an encoder sees: node features `x` [num_nodes, dim], a graph, and an optional change of each layer.

    `perturb(state, layer)` is applied by the encoder to the state of every layer (1-based) after propagation.
    `layer_graphs`, if given, holds one graph per layer in place of `graph`. `item_text` [num_items, width] are frozen
    text vectors of the items, for the parts that make edges of them; it is there with model.needs_text=true.
    `train` is the structure of the train graph, which `graph` may have more or fewer edges than; None: that of `graph`.
    """

    x: Tensor
    graph: BipartiteGraph
    perturb: Callable[[Tensor, int], Tensor] | None = None
    layer_graphs: tuple[BipartiteGraph, ...] | None = None
    item_text: Tensor | None = None
    train: EdgeStructure | None = None

    def drop_edges(self, keep: Tensor) -> View:
        """Return the view without the edges where `keep` [num_edges], in user order, is 0; in every layer's graph."""
        if keep.shape != self.graph.weight.shape:
            raise ConfigError(
                f"'keep' must have one number per edge, {list(self.graph.weight.shape)}, in 'drop_edges' "
                f"(got {list(keep.shape)})"
            )
        if self.layer_graphs is None:
            return replace(self, graph=self.graph.reweight(self.graph.weight * keep))
        graphs = tuple(graph.reweight(graph.weight * keep) for graph in self.layer_graphs)
        return replace(self, graph=graphs[-1], layer_graphs=graphs)

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
        if not isinstance(view, View):
            name = type(augmentation).__name__
            raise ConfigError(f"the augmentation '{name}' must return a View (got {type(view).__name__})")
    return view


def draw(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """Return uniform numbers in [0, 1) on the device of `like`, drawn on that of the generator."""
    return torch.rand(shape, generator=generator, device=generator.device).to(like.device)


def draw_bytes(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """Return uniform whole numbers in [0, 255] as float32; eight come from one random word, so they are cheap."""
    size = math.prod(shape)
    words = torch.empty(-(-size // 8), dtype=torch.int64, device=generator.device)
    words.random_(torch.iinfo(torch.int64).min, None, generator=generator)
    return words.view(torch.uint8)[:size].view(shape).to(like.device, torch.float32)


def skewed(score: Tensor, p: float, p_max: float) -> Tensor:
    """Return probabilities of mean p, before the cap, that grow with s: min(p (s - min s) / (mean s - min s), p_max).

    Zhu et al. 2021, GCA, https://arxiv.org/abs/2010.14945, eq. 5 and 7, with s the negative log centrality. Equal
    scores, where their equation is 0 / 0, get p.
    """
    above = score - score.min()
    mean = above.mean()
    share = torch.where(mean > 1e-9, above / mean.clamp(min=1e-9), 1.0)
    return (p * share).clamp(max=p_max)
