"""Sums of propagated layers, all of them or the rows that a training step looks at.

A batch looks at a few thousand rows of the final states. They need every layer but the last in full, of the last
layer only themselves, and the gradient comes back in these rows only. The whole is one autograd function: no layer is
kept for the backward pass, and the gradient is one dense matrix, not one per look-up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gnnrec.edges import Halves
from gnnrec.graph import BipartiteGraph

# With more than this share of all edges at the wanted rows, all rows are computed: picking edges has its cost, too.
FEW = 0.4

Perturb = Callable[[Tensor, int], Tensor]


def rows(x: Tensor, index: Tensor) -> Tensor:
    """Return rows of a node matrix: x [num_nodes, dim], index of any shape -> [*index.shape, dim].

    Not x[index]: with several threads its gradient on a CPU adds up in no fixed order, and two runs of one seed
    then differ in the last bits.
    """
    return x.index_select(0, index.flatten()).view(*index.shape, x.shape[1])


@dataclass
class LayerSum:
    """States e = sum_k coefficients[k] h_k with h_0 = x and h_k = perturb(P_k h_{k-1}, k), computed when asked for.

    P_k = D^-1/2 A D^-1/2 of graphs[k-1]. The gradient takes what `perturb` adds for a constant.

    Args:
        x: [num_nodes, dim]. graphs: one per layer. coefficients: one more than graphs.
        first: factor of x by node [num_nodes], in place of coefficients[0], or None.
        perturb: changes the state of a layer (1-based), row by row, or None. Where it is random, rows asked for with
            `at` and all rows are two draws.
        keep_layers: whether `layers` is filled.
        product: P_1 x, once it is known; views that only perturb share it.
    """

    x: Tensor
    graphs: tuple[BipartiteGraph, ...]
    coefficients: tuple[float, ...]
    first: Tensor | None = None
    perturb: Perturb | None = None
    keep_layers: bool = False
    product: Halves | None = None

    @property
    def layers(self) -> list[Tensor]:
        """The states h_0..h_L, each [num_nodes, dim], where they are kept."""
        return self._all if self.keep_layers else []

    @cached_property
    def _all(self) -> list[Tensor]:
        layers = [self.x]
        for layer, graph in enumerate(self.graphs, start=1):
            state = graph.propagate(layers[-1])
            layers.append(state if self.perturb is None else self.perturb(state, layer))
        return layers

    @cached_property
    def final(self) -> Tensor:
        """All rows of e: [num_nodes, dim]."""
        one_graph = all(graph is self.graphs[0] for graph in self.graphs)
        if self.graphs and one_graph and self.perturb is None and "_all" not in vars(self):
            if self.first is None:
                return self.graphs[0].polynomial(self.x, self.coefficients)
            final = self.graphs[0].polynomial(self.x, (0.0, *self.coefficients[1:]))
            return final + self.start(self.x)
        final = self.start(self.x)
        for weight, state in zip(self.coefficients[1:], self._all[1:], strict=True):
            final = torch.add(final, state, alpha=weight)
        return final

    def start(self, x: Tensor, nodes: Tensor | None = None) -> Tensor:
        """Return what layer 0 adds to e, for all nodes or for x at some."""
        if self.first is None:
            return x * self.coefficients[0]
        return x * (self.first if nodes is None else self.first.index_select(0, nodes)).unsqueeze(1)

    def at(self, nodes: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the rows of e and of h_0..h_L at some nodes, sorted and distinct: each [len(nodes), dim].

        Of the layers only h_0 where they are not kept.
        """
        if "final" in vars(self) or "_all" in vars(self) or not self._are_few(nodes):
            return rows(self.final, nodes), [rows(layer, nodes) for layer in self.layers or [self.x]]
        final, *layers = _Rows.apply(self.x, nodes, self)  # type: ignore[misc]
        return final, layers if self.keep_layers else layers[:1]

    def at_beside(self, main: LayerSum, main_rows: Tensor, nodes: Tensor) -> Tensor:
        """Return the rows of e at some nodes, given those of a main pass that differs in `perturb` alone.

        What is perturbed differs by what the gradient takes for a constant, so the gradient is that of `main_rows`:
        any number of such views share one backward pass, and P_1 x.
        """
        if not self.is_beside(main):
            raise ValueError("the two passes must differ in 'perturb' alone")
        self.product = main.product
        with torch.no_grad():
            values, _ = self.at(nodes)
        return main_rows + (values - main_rows.detach())

    def is_beside(self, main: object) -> bool:
        """Return whether the two passes differ in `perturb` alone."""
        return (
            isinstance(main, LayerSum)
            and self.x is main.x
            and len(self.graphs) == len(main.graphs)
            and all(one is two for one, two in zip(self.graphs, main.graphs))
            and self.coefficients == main.coefficients
        )

    def _are_few(self, nodes: Tensor) -> bool:
        # On CUDA the product is fast, and the decision would make the host wait for the device.
        if self.x.is_cuda or not self.graphs:
            return False
        num_edges = self.graphs[0].num_edges_at(*_halves(self.graphs[0], nodes))
        return num_edges < FEW * 2 * self.graphs[0].num_edges


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, nodes: Tensor, plan: LayerSum) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        wanted = _halves(plan.graphs[0], nodes)
        layers = [x.index_select(0, nodes)]
        final = plan.start(layers[0], nodes)
        state = plan.graphs[0].split(plan.graphs[0].store(x))
        for layer, graph in enumerate(plan.graphs, start=1):
            last = layer == len(plan.graphs)
            if last:
                state = graph.multiply_at(wanted, state)
            elif layer == 1 and plan.product is not None:
                state = plan.product
            else:
                state = graph.multiply(state)
                plan.product = state if layer == 1 else plan.product
            if plan.perturb is not None:
                user, item = (graph.store(plan.perturb(half, layer)) for half in state)
                state = user, item
            layers.append(_take(state, None if last else wanted).to(x.dtype))
            final.add_(layers[-1], alpha=plan.coefficients[layer])
        ctx.plan, ctx.dtype = plan, x.dtype
        ctx.save_for_backward(nodes)
        return final, *layers

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, final: Tensor | None, *layers: Tensor | None) -> tuple[Tensor | None, None, None]:
        plan, (nodes,) = ctx.plan, ctx.saved_tensors
        graph = plan.graphs[0]
        given = _halves(graph, nodes)
        arriving = [_weighted(final, c, grad) for c, grad in zip(plan.coefficients, (None, *layers[1:]))]
        arriving[0] = _weighted(None if final is None else plan.start(final, nodes), 1.0, layers[0])
        state: Halves | None = None
        for layer in range(len(plan.graphs), 0, -1):
            graph, grad = plan.graphs[layer - 1], arriving[layer]
            if state is not None:
                _add(state, given, grad)
                state = graph.multiply(state, transposed=True)
            elif grad is not None:
                few = graph.store(grad).split([len(part) for part in given])
                state = graph.multiply_from(given, (few[0], few[1]), transposed=True)
        start = arriving[0]
        if state is None:
            if start is None:
                return None, None, None
            whole = start.new_zeros(graph.num_nodes, start.shape[1])
        else:
            whole = torch.empty(graph.num_nodes, state[0].shape[1], dtype=ctx.dtype, device=nodes.device)
            for half, place in zip(state, graph.split(whole)):
                place.copy_(half)
        if start is not None:
            whole.index_add_(0, nodes, start)
        return whole, None, None


def _weighted(final: Tensor | None, weight: float, more: Tensor | None) -> Tensor | None:
    """Return weight * final + more, where either may be absent."""
    if final is None or weight == 0.0:
        return more
    return final * weight if more is None else torch.add(more, final, alpha=weight)


def _add(state: Halves, given: Halves, grad: Tensor | None) -> None:
    if grad is not None:
        for half, place, part in zip(state, given, grad.split([len(part) for part in given])):
            half.index_add_(0, place, part.to(half.dtype))


def _take(state: Halves, wanted: Halves | None) -> Tensor:
    if wanted is not None:
        state = state[0].index_select(0, wanted[0]), state[1].index_select(0, wanted[1])
    return torch.cat(state)


def _halves(graph: BipartiteGraph, nodes: Tensor) -> Halves:
    """Return the users and the items, as indices of their side, among sorted nodes."""
    num_users = int(torch.searchsorted(nodes, graph.num_users))
    return nodes[:num_users], nodes[num_users:] - graph.num_users
