"""The user-item graph: the only place that knows that users come first, then items, in the node matrix.

Propagation is the hot path of every encoder, so there is one implementation. The adjacency is block
off-diagonal, A = [[0, R], [R^T, 0]], hence A x is computed as the two halves R x_item and R^T x_user, each a
weighted sum over bags of rows (gnnrec/bags.py). The edges themselves, in both orders, are in gnnrec/edges.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import networkx as nx
import torch
from torch import Tensor

from gnnrec.bags import segment_softmax, segment_sum, weighted_sum
from gnnrec.data.interactions import Interactions
from gnnrec.edges import NORMS, EdgeStructure, Halves, Operator
from gnnrec.errors import ConfigError, check_choice

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class BipartiteGraph:
    """An undirected user-item graph with non-negative edge weights; immutable.

    Build one with `from_interactions` or `from_edges`. Weights are kept in user order (sorted by user, then
    item); an edge of weight 0 counts as absent everywhere, degrees included.
    """

    structure: EdgeStructure
    weight: Tensor  # [num_edges] float32, user order
    precision: str = "float32"  # in which node matrices are stored between products
    _operators: dict[tuple[str, torch.dtype], Operator] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def from_interactions(cls, interactions: Interactions) -> BipartiteGraph:
        """Build the graph of a set of interactions, every edge of weight 1."""
        return cls.from_edges(
            torch.from_numpy(interactions.user),
            torch.from_numpy(interactions.item),
            interactions.num_users,
            interactions.num_items,
        )

    @classmethod
    def from_edges(
        cls, user: Tensor, item: Tensor, num_users: int, num_items: int, weight: Tensor | None = None
    ) -> BipartiteGraph:
        """Build a graph from `user`, `item` (and `weight`) of shape [num_edges], in any order, each pair once."""
        if user.shape != item.shape or user.dim() != 1:
            raise ConfigError(
                f"'user' and 'item' must have one shape [num_edges] (got {tuple(user.shape)}, {tuple(item.shape)})"
            )
        for name, index, size in (("user", user, num_users), ("item", item, num_items)):
            if len(index) and (int(index.min()) < 0 or int(index.max()) >= size):
                raise ConfigError(
                    f"'{name}' must lie in [0, {size}) (got {int(index.min())}..{int(index.max())})"
                )
        if weight is not None and weight.shape != user.shape:
            raise ConfigError(f"'weight' must have shape {tuple(user.shape)} (got {tuple(weight.shape)})")
        if weight is not None and not bool((weight >= 0).all()):
            wrong = float(weight[~(weight >= 0)][0])
            raise ConfigError(f"'weight' must not be negative or NaN (got {wrong:g})")
        structure, order = EdgeStructure.build(user, item, num_users, num_items)
        repeated = (structure.user[1:] == structure.user[:-1]) & (structure.item[1:] == structure.item[:-1])
        if bool(repeated.any()):
            e = int(repeated.nonzero()[0])
            pair = f"user {int(structure.user[e])}, item {int(structure.item[e])}"
            raise ConfigError(f"edges must be unique (got {pair} more than once)")
        values = (
            torch.ones(len(user), device=user.device) if weight is None else weight.to(torch.float32)[order]
        )
        return cls(structure, values)

    @property
    def num_users(self) -> int:
        return self.structure.num_users

    @property
    def num_items(self) -> int:
        return self.structure.num_items

    @property
    def num_nodes(self) -> int:
        return self.num_users + self.num_items

    @property
    def num_edges(self) -> int:
        """Number of stored edges, those of weight 0 included."""
        return len(self.structure.user)

    @property
    def device(self) -> torch.device:
        return self.weight.device

    @cached_property
    def degree(self) -> Tensor:
        """Weighted degree of every node, users first: float32 [num_nodes]."""
        s = self.structure
        by_item = self.weight.index_select(0, s.to_item_order)
        return torch.cat([segment_sum(self.weight, s.user_offset), segment_sum(by_item, s.item_offset)])

    @cached_property
    def isolated(self) -> Tensor | None:
        """Which nodes have no edges, bool [num_nodes], or None where all have some (not asked on CUDA)."""
        isolated = self.degree == 0
        return isolated if isolated.is_cuda or bool(isolated.any()) else None

    @cached_property
    def seen_items(self) -> Tensor:
        """The items with edges, ascending: int64; waits for the device the first time."""
        return torch.nonzero(self.split(self.degree)[1] > 0).squeeze(1)

    @cached_property
    def edge_index(self) -> Tensor:
        """Both directions of every edge in node numbering: int64 [2, 2 * num_edges], as PyG expects."""
        user, item = self.structure.user.long(), self.structure.item.long() + self.num_users
        return torch.stack([torch.cat([user, item]), torch.cat([item, user])])

    def item_node(self, item: Tensor) -> Tensor:
        """Return the row of each item in the node matrix."""
        return item + self.num_users

    def user_range(self, user: Tensor) -> tuple[Tensor, Tensor]:
        """Return where each user's edges start in user order and how many there are: int64, each user.shape."""
        start = self.structure.user_offset[user].long()
        return start, self.structure.user_offset[user + 1].long() - start

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Split a node matrix [num_nodes, ...] into its user rows and its item rows (views, no copy)."""
        return x[: self.num_users], x[self.num_users :]

    def reweight(self, weight: Tensor) -> BipartiteGraph:
        """Return the graph with other edge weights [num_edges] in user order, sharing the structure.

        Degrees, and with them the normalisation, follow the new weights.
        """
        if weight.shape != self.weight.shape:
            raise ConfigError(
                f"'weight' must have shape {tuple(self.weight.shape)} (got {tuple(weight.shape)})"
            )
        return BipartiteGraph(self.structure, weight, self.precision)

    def compact(self) -> BipartiteGraph:
        """Return the graph without its edges of weight 0: worth its time, some products', where many follow."""
        keep = self.weight > 0
        return BipartiteGraph(self.structure.keep(keep), self.weight[keep], self.precision)

    def with_precision(self, precision: str) -> BipartiteGraph:
        """Return the graph with another storage of propagated matrices: bfloat16 halves what a product reads.

        Sums within a product stay in float32; its result is rounded to 8 bits.
        """
        check_choice("precision", precision, PRECISIONS, "graph")
        if precision == self.precision:
            return self
        other = replace(self, precision=precision)
        vars(other).update(degree=self.degree, isolated=self.isolated)  # the operators are shared, too
        return other

    def to(self, device: torch.device | str) -> BipartiteGraph:
        """Return the graph on another device."""
        if torch.device(device) == self.device:
            return self
        return BipartiteGraph(self.structure.to(device), self.weight.to(device), self.precision)

    def propagate(self, x: Tensor, norm: str = "symmetric") -> Tensor:
        """Multiply the node matrix by the (normalised) adjacency; differentiable in `x`.

        symmetric: y = D^-1/2 A D^-1/2 x (Kipf and Welling 2017, https://arxiv.org/abs/1609.02907, eq. 2,
        without self-loops); mean: y = D^-1 A x; sum: y = A x. A node without edges gets zeros.

        Shapes: x [num_nodes, dim] -> [num_nodes, dim].
        """
        return self.polynomial(x, (0.0, 1.0), norm)

    def polynomial(self, x: Tensor, coefficients: tuple[float, ...], norm: str = "symmetric") -> Tensor:
        """Return sum_k coefficients[k] P^k x, P being the operator of `propagate`, without keeping P^k x.

        Horner's form, h <- P h + c_k x from the highest power down, holds one intermediate node matrix; the
        gradient is the same polynomial of the transposed operator.

        Shapes: x [num_nodes, dim] -> [num_nodes, dim].
        """
        check_choice("norm", norm, NORMS, "propagate")
        if x.dim() != 2 or x.shape[0] != self.num_nodes:
            raise ConfigError(f"'x' must have shape [{self.num_nodes}, dim] (got {tuple(x.shape)})")
        if not coefficients:
            raise ConfigError("'coefficients' must not be empty in 'polynomial'")
        result: Tensor = _Polynomial.apply(x, self, coefficients, norm)  # type: ignore[assignment]
        return result

    def store(self, x: Tensor) -> Tensor:
        """Return x in the precision of this graph; float64 stays as it is."""
        return x.to(PRECISIONS[self.precision]) if x.dtype == torch.float32 else x

    def multiply(self, x: Halves, norm: str = "symmetric", transposed: bool = False) -> Halves:
        """Multiply a node matrix, given as its halves, by the operator or its transpose; no gradient."""
        s, (user_half, item_half) = self.structure, self.operator(norm, x[0].dtype).halves(transposed)
        return s.into_users.sum(user_half, x[1]), s.into_items.sum(item_half, x[0])

    def multiply_at(self, wanted: Halves, x: Halves) -> Halves:
        """Return the rows `wanted` (users, items) of the symmetric product alone; no gradient."""
        s, (user_half, item_half) = self.structure, self.operator("symmetric", x[0].dtype).halves(False)
        return (
            s.into_users.sum_at(wanted[0], user_half, x[1]),
            s.into_items.sum_at(wanted[1], item_half, x[0]),
        )

    def multiply_from(self, given: Halves, x: Halves, transposed: bool = False) -> Halves:
        """Multiply a node matrix that is zero outside the distinct rows `given` (users, items) by the symmetric
        operator or its transpose; no gradient.
        """
        s, (user_half, item_half) = self.structure, self.operator("symmetric", x[0].dtype).halves(transposed)
        return (
            s.into_users.sum_from(given[1], user_half, x[1]),
            s.into_items.sum_from(given[0], item_half, x[0]),
        )

    def num_edges_at(self, users: Tensor, items: Tensor) -> int:
        """Return how many edges some users and some items have together; waits for the device."""
        _, user_edges = self.user_range(users)
        offset = self.structure.item_offset
        item_edges = offset.index_select(0, items + 1) - offset.index_select(0, items)
        return int(user_edges.sum()) + int(item_edges.sum())

    def edge_values(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return source[sender] + target[receiver] for the edges into users and into items, each [num_edges].

        Shapes: source, target [num_nodes]. The two halves are in user order and in item order.
        """
        s = self.structure
        (source_user, source_item), (target_user, target_item) = self.split(source), self.split(target)
        into_user = source_item.index_select(0, s.item) + target_user.index_select(0, s.user)
        into_item = source_user.index_select(0, s.user_by_item) + target_item.index_select(0, s.item_by_item)
        return into_user, into_item

    def softmax(self, into_user: Tensor, into_item: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise edge logits over the edges into each node; edges of weight 0 get 0. Halves as in edge_values."""
        s = self.structure
        keep = self.weight > 0
        return (
            segment_softmax(into_user, s.user, keep, self.num_users),
            segment_softmax(into_item, s.item_by_item, keep[s.to_item_order], self.num_items),
        )

    def aggregate(self, x: Tensor, into_user: Tensor, into_item: Tensor) -> Tensor:
        """Return sum over the edges into each node of value * x[sender]; differentiable in x and in the values.

        Shapes: x [num_nodes, dim], values [num_edges] as in edge_values -> [num_nodes, dim].
        """
        s = self.structure
        x_user, x_item = self.split(x)
        return torch.cat(
            [
                weighted_sum(into_user, x_item, s.into_users, s.into_items, s.to_item_order),
                weighted_sum(into_item, x_user, s.into_items, s.into_users, s.to_user_order),
            ]
        )

    def to_networkx(self) -> nx.Graph:
        """Return the graph for networkx: nodes ('user', u) and ('item', i), edges with their weight."""
        graph = nx.Graph()
        graph.add_nodes_from((("user", u) for u in range(self.num_users)), bipartite=0)
        graph.add_nodes_from((("item", i) for i in range(self.num_items)), bipartite=1)
        rows = zip(self.structure.user.tolist(), self.structure.item.tolist(), self.weight.tolist())
        graph.add_weighted_edges_from((("user", u), ("item", i), w) for u, i, w in rows if w)
        return graph

    def operator(self, norm: str, dtype: torch.dtype = torch.float32) -> Operator:
        """Return (and keep) the edge values of one normalisation."""
        if (norm, dtype) not in self._operators:
            exact = dtype == torch.float32
            self._operators[norm, dtype] = (
                Operator.make(self.structure, self.weight, self.split(self.degree), norm)
                if exact
                else self.operator(norm).to(dtype)
            )
        return self._operators[norm, dtype]


class _Polynomial(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, graph: BipartiteGraph, coefficients: tuple[float, ...], norm: str) -> Tensor:
        ctx.graph, ctx.coefficients, ctx.norm = graph, coefficients, norm
        return _horner(graph, x, coefficients, norm, transposed=False)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        grad = _horner(ctx.graph, grads[0].contiguous(), ctx.coefficients, ctx.norm, transposed=True)
        return grad, None, None, None


def _horner(
    graph: BipartiteGraph, x: Tensor, coefficients: tuple[float, ...], norm: str, transposed: bool
) -> Tensor:
    """Evaluate the polynomial on the two halves apart, so that no node matrix is assembled on the way."""
    if len(coefficients) == 1:
        return x * coefficients[0]
    whole = graph.split(x)
    state, scale = graph.split(graph.store(x)), coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        state = graph.multiply(state, norm, transposed)
        for half, start in zip(state, whole):
            if scale != 1.0:
                half.mul_(scale)  # the leading coefficient is applied to the first product, once
            if coefficient != 0.0:
                half.add_(start, alpha=coefficient)
        scale = 1.0
    return torch.cat(state).to(x.dtype)
