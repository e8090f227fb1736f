"""Self-supervised terms: contrast between views, and between layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from gnnrec import losses
from gnnrec.errors import ConfigError, check_range
from gnnrec.graph import BipartiteGraph
from gnnrec.objectives.step import Step, check_one_width
from gnnrec.views import Augmentation, View, augment

_Graphs = tuple[BipartiteGraph, tuple[BipartiteGraph, ...] | None]


@dataclass
class Contrast:
    """InfoNCE between two views of the batch's users and of its positive items, summed over the two sides.

    Wu et al. 2021, SGL, https://arxiv.org/abs/2010.10783, eq. 10 and 11, with means over the distinct nodes of the
    batch, which are the negatives, too (as SELFRec's code; SGL's sums, and has all users or items for negatives). With
    LayerNoise as the only augmentation this is SimGCL's term, with `intra_view` GRACE's (see losses.grace; without its
    projection head).

    Args:
        first, second: augmentations of the two views; `second` defaults to a fresh draw of `first`.
        temperature: divides the cosines.
        max_nodes: contrast at most so many users and so many items, drawn from the batch; the cost is quadratic in
            it. None takes all.
        intra_view: the other nodes of the own view are negatives, too.
        degree_power: weigh a node by (train degree)^-degree_power, scaled to a mean of 1 over the nodes contrasted:
            above 0 the tail gets more of the contrast than its one row in the mean, below 0 less.
        refresh: the graphs of the two views are drawn anew after so many steps, and at the start of every epoch; 0 for
            an epoch, as SGL's authors do; 1 for every step. All but 1 save drawing, and need
            augmentations that change the graph alone.

    Views that are drawn for every step are drawn on top of the model's own augmentations: what these take away is in
    neither view. Views that are kept are drawn from the train graph, so that no draw of the main view stays with them.
    """

    first: Sequence[Augmentation]
    second: Sequence[Augmentation] | None = None
    temperature: float = 0.2
    max_nodes: int | None = None
    intra_view: bool = False
    degree_power: float = 0.0
    refresh: int = 1

    def __post_init__(self) -> None:
        check_range("refresh", self.refresh, "Contrast", low=0)
        self._kept: list[_Graphs | None] = []  # None: the main view itself
        self._age = 0
        check_range("temperature", self.temperature, "Contrast", low=0, low_open=True)
        check_range("degree_power", self.degree_power, "Contrast")
        if not self.first and not self.second:
            raise ConfigError("'Contrast' needs an augmentation in 'first' or 'second' (got none in either)")
        if self.max_nodes is not None:
            check_range("max_nodes", self.max_nodes, "Contrast", low=2)

    def begin_epoch(self, epoch: int, view: Callable[[], View], generator: torch.Generator) -> None:
        """Have the views drawn anew, so that an epoch depends on nothing before it."""
        self._kept = []

    def __call__(self, step: Step) -> Tensor:
        parts = _batch_nodes(step, self.max_nodes)
        nodes, sizes = torch.cat(parts), [len(part) for part in parts]
        one, two = (step.rows_of(view, nodes) for view in self._views(step))
        loss = losses.grace if self.intra_view else losses.info_nce
        terms = []
        for part, first, second in zip(parts, one.split(sizes), two.split(sizes)):
            weight = _degree_weight(step, part, self.degree_power) if self.degree_power else None
            terms.append(loss(first, second, self.temperature, weight, step.precision))
        return terms[0] + terms[1]

    def _views(self, step: Step) -> list[View]:
        recipes = self.first, self.first if self.second is None else self.second
        if self.refresh == 1:
            return [augment(step.view, recipe, step.generator) for recipe in recipes]
        main = step.view
        if not self._kept or (self.refresh and self._age >= self.refresh):
            train = step.train.with_precision(main.graph.precision)
            whole = replace(main, graph=train, layer_graphs=None)
            views = [augment(whole, recipe, step.generator) for recipe in recipes]
            if any(view.x is not main.x or view.perturb is not main.perturb for view in views):
                raise ConfigError(
                    "'refresh' must be 1 in 'Contrast' where augmentations change features or layers, not the graph "
                    f"alone (got {self.refresh})"
                )
            keep = getattr(step.encoder, "fixed_structure", False)
            self._kept = [None if view is whole else _graphs(view, compact=not keep) for view in views]
            self._age = 0
        self._age += 1
        return [
            main if graphs is None else replace(main, graph=graphs[0], layer_graphs=graphs[1])
            for graphs in self._kept
        ]


@dataclass(frozen=True)
class CrossLayer:
    """InfoNCE between the final state and one layer of the same (perturbed) view, summed over the two sides.

    Yu et al. 2023, XSimGCL, https://arxiv.org/abs/2209.02544, eq. 11: with LayerNoise among the model's
    augmentations, the ranking and the contrast share one pass. With `anchor` a layer stands in for the final state:
    layer=0, anchor=2 contrasts a node with its structural neighbours (Lin et al. 2022, NCL,
    https://arxiv.org/abs/2202.06200, section 3.2, which adds `item_weight` and takes all users or items for negatives,
    where here it is those of the batch).

    Args:
        layer: the layer that is contrasted, 0 being the features. temperature: divides the cosines.
        anchor: layer in place of the final state; the only choice for an encoder that concatenates its layers (NGCF).
        item_weight: of the items' side.
    """

    needs_layers: ClassVar[bool] = True
    layer: int = 1
    temperature: float = 0.2
    anchor: int | None = None
    item_weight: float = 1.0

    def __post_init__(self) -> None:
        check_range("layer", self.layer, "CrossLayer", low=0)
        check_range("temperature", self.temperature, "CrossLayer", low=0, low_open=True)
        check_range("item_weight", self.item_weight, "CrossLayer", low=0)
        if self.anchor is not None:
            check_range("anchor", self.anchor, "CrossLayer", low=0)
            if self.anchor == self.layer:
                raise ConfigError(
                    f"'anchor' must not be 'layer' itself in 'CrossLayer' (both are {self.layer})"
                )

    def check_encoder(self, encoder: nn.Module, dim: int) -> None:
        """Raise a ConfigError where the encoder has too few layers, or a final state of another width than a layer."""
        if self.anchor is None:
            check_one_width(encoder, dim, "CrossLayer")
        num_layers = getattr(encoder, "num_layers", None)
        for name in ("layer", "anchor"):
            layer = getattr(self, name)
            if layer is not None and num_layers is not None and layer > num_layers:
                raise ConfigError(
                    f"'{name}' must be in [0, {num_layers}] in 'CrossLayer', the layers of {type(encoder).__name__} "
                    f"(got {layer})"
                )

    def __call__(self, step: Step) -> Tensor:
        users, items = (
            losses.info_nce(
                step.final_at(nodes) if self.anchor is None else step.layer_at(self.anchor, nodes),
                step.layer_at(self.layer, nodes),
                self.temperature,
                precision=step.precision,
            )
            for nodes in _batch_nodes(step)
        )
        return users + self.item_weight * items


def _graphs(view: View, compact: bool) -> _Graphs:
    """Return the graphs of a view; compact: without the edges that it drops, which every product would read."""
    if not compact:
        return view.graph, view.layer_graphs
    if view.layer_graphs is None:
        return view.graph.compact(), None
    layer_graphs = tuple(graph.compact() for graph in view.layer_graphs)
    return layer_graphs[-1], layer_graphs


def _batch_nodes(step: Step, max_nodes: int | None = None) -> list[Tensor]:
    """Return the distinct users and positive items of the batch as sorted nodes, at most max_nodes each."""
    parts = [torch.unique(step.user), step.train.item_node(torch.unique(step.positive))]
    return parts if max_nodes is None else [_draw(part, max_nodes, step.generator) for part in parts]


def _degree_weight(step: Step, nodes: Tensor, power: float) -> Tensor:
    weight = step.train.degree[nodes].clamp(min=1) ** -power
    return weight / weight.mean()


def _draw(nodes: Tensor, size: int, generator: torch.Generator) -> Tensor:
    if len(nodes) <= size:
        return nodes
    order = torch.randperm(len(nodes), generator=generator, device=generator.device)
    return nodes[order[:size].to(nodes.device).sort().values]
