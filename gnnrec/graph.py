"""The user-item graph: the only place that knows that users come first, then items, in the node matrix.

Propagation is the hot path of every encoder, so there is one implementation. The adjacency is block
off-diagonal, A = [[0, R], [R^T, 0]], hence A x is computed as the two halves R x_item and R^T x_user. Each half
is a weighted bag of rows: `torch.nn.functional.embedding_bag` on CPU (measured 2.6 times faster than
`torch.sparse` CSR on a processor where MKL takes its generic path and on a par with it elsewhere, see
docs/performance.md) and `torch.sparse` CSR on CUDA.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import networkx as nx
import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, check_choice

NORMS = ("symmetric", "mean", "sum")


@dataclass(frozen=True)
class _Structure:
    """Edges sorted by user and by item; `to_item_order[e]` is the user-order place of the e-th edge by item."""

    num_users: int
    num_items: int
    user: Tensor  # [num_edges] user of each edge, user order
    item: Tensor  # [num_edges] item of each edge, user order
    user_offset: Tensor  # [num_users + 1]
    item_offset: Tensor  # [num_items + 1]
    user_by_item: Tensor  # [num_edges] user of each edge, item order
    item_by_item: Tensor  # [num_edges] item of each edge, item order
    to_item_order: Tensor  # [num_edges]

    @staticmethod
    def build(user: Tensor, item: Tensor, num_users: int, num_items: int) -> tuple[_Structure, Tensor]:
        order = torch.argsort(user.long() * num_items + item.long())
        index_dtype = torch.int32 if max(len(user), num_users, num_items) < 2**31 - 1 else torch.int64
        user, item = user[order].to(index_dtype), item[order].to(index_dtype)
        to_item_order = torch.argsort(item, stable=True)
        structure = _Structure(
            num_users=num_users,
            num_items=num_items,
            user=user,
            item=item,
            user_offset=_offsets(user, num_users),
            item_offset=_offsets(item, num_items),
            user_by_item=user[to_item_order],
            item_by_item=item[to_item_order],
            to_item_order=to_item_order.to(index_dtype),
        )
        return structure, order

    def to(self, device: torch.device | str) -> _Structure:
        return replace(self, **{k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)})


@dataclass(frozen=True)
class _Operator:
    """Edge values of one linear map and of its transpose, each for both halves."""

    user_half: Tensor  # [num_edges], user order: out_user = sum over its items
    item_half: Tensor  # [num_edges], item order: out_item = sum over its users
    user_half_t: Tensor
    item_half_t: Tensor


@dataclass(frozen=True)
class BipartiteGraph:
    """An undirected user-item graph with non-negative edge weights; immutable.

    Build one with `from_interactions` or `from_edges`. Weights are kept in user order (sorted by user, then
    item); an edge of weight 0 counts as absent everywhere, degrees included.
    """

    structure: _Structure
    weight: Tensor  # [num_edges] float32, user order
    _operators: dict[str, _Operator] = field(default_factory=dict, repr=False, compare=False)

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
        structure, order = _Structure.build(user, item, num_users, num_items)
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
        user = _segment_sum(self.weight, self.structure.user, self.num_users)
        item = _segment_sum(self.weight, self.structure.item, self.num_items)
        return torch.cat([user, item])

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
        return BipartiteGraph(self.structure, weight)

    def to(self, device: torch.device | str) -> BipartiteGraph:
        """Return the graph on another device."""
        if torch.device(device) == self.device:
            return self
        return BipartiteGraph(self.structure.to(device), self.weight.to(device))

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
            _segment_softmax(into_user, s.user, keep, self.num_users),
            _segment_softmax(into_item, s.item_by_item, keep[s.to_item_order], self.num_items),
        )

    def aggregate(self, x: Tensor, into_user: Tensor, into_item: Tensor) -> Tensor:
        """Return sum over the edges into each node of value * x[sender]; differentiable in x and in the values.

        Shapes: x [num_nodes, dim], values [num_edges] as in edge_values -> [num_nodes, dim].
        """
        s = self.structure
        x_user, x_item = self.split(x)
        halves = (
            (s.item, x_item, s.user_offset, into_user),
            (s.user_by_item, x_user, s.item_offset, into_item),
        )
        return torch.cat(
            [
                F.embedding_bag(i, y, o, mode="sum", per_sample_weights=v, include_last_offset=True)
                for i, y, o, v in halves
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

    def operator(self, norm: str) -> _Operator:
        """Return (and keep) the edge values of one normalisation."""
        if norm not in self._operators:
            self._operators[norm] = self._make_operator(norm)
        return self._operators[norm]

    def _make_operator(self, norm: str) -> _Operator:
        s = self.structure
        by_item = self.weight[s.to_item_order]
        if norm == "sum":
            return _Operator(self.weight, by_item, self.weight, by_item)
        power = 0.5 if norm == "symmetric" else 1.0
        scale = torch.where(self.degree > 0, self.degree.clamp(min=1e-30) ** -power, 0.0)
        user, item = self.split(scale)
        if norm == "symmetric":
            values = self.weight * user[s.user] * item[s.item]
            item_values = values[s.to_item_order]
            return _Operator(values, item_values, values, item_values)
        # Rows are divided by their own degree, so the transpose divides by the degree of the other end.
        return _Operator(
            user_half=self.weight * user[s.user],
            item_half=by_item * item[s.item_by_item],
            user_half_t=self.weight * item[s.item],
            item_half_t=by_item * user[s.user_by_item],
        )


class _Polynomial(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, graph: BipartiteGraph, coefficients: tuple[float, ...], norm: str) -> Tensor:
        ctx.graph, ctx.coefficients, ctx.norm = graph, coefficients, norm
        operator = graph.operator(norm)
        return _horner(graph, x, coefficients, operator.user_half, operator.item_half)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        operator = ctx.graph.operator(ctx.norm)
        grad = _horner(
            ctx.graph, grads[0].contiguous(), ctx.coefficients, operator.user_half_t, operator.item_half_t
        )
        return grad, None, None, None


def _horner(
    graph: BipartiteGraph, x: Tensor, coefficients: tuple[float, ...], user_half: Tensor, item_half: Tensor
) -> Tensor:
    """Evaluate the polynomial on the two halves apart, so that no node matrix is assembled on the way."""
    s = graph.structure
    x_user, x_item = graph.split(x)
    h_user, h_item = x_user, x_item
    scale = coefficients[-1]
    for k in range(len(coefficients) - 2, -1, -1):
        new_user = _bag(s.item, s.user_offset, user_half, h_item)
        new_item = _bag(s.user_by_item, s.item_offset, item_half, h_user)
        if scale != 1.0:
            # The leading coefficient is applied to the first product, once.
            new_user.mul_(scale)
            new_item.mul_(scale)
            scale = 1.0
        if coefficients[k] != 0.0:
            new_user.add_(x_user, alpha=coefficients[k])
            new_item.add_(x_item, alpha=coefficients[k])
        h_user, h_item = new_user, new_item
    out = torch.cat([h_user, h_item])
    return out if scale == 1.0 else out.mul_(scale)


def _bag(index: Tensor, offset: Tensor, value: Tensor, x: Tensor) -> Tensor:
    """Return y[r] = sum of value[e] x[index[e]] over the edges e of row r: [len(offset) - 1, dim]."""
    if x.is_cuda:
        matrix = torch.sparse_csr_tensor(
            offset, index, value.to(x.dtype), size=(len(offset) - 1, x.shape[0]), check_invariants=False
        )
        return matrix @ x
    return F.embedding_bag(
        index, x, offset, mode="sum", per_sample_weights=value.to(x.dtype), include_last_offset=True
    )


def _offsets(sorted_index: Tensor, num_rows: int) -> Tensor:
    counts = torch.bincount(sorted_index, minlength=num_rows)
    offset = torch.zeros(num_rows + 1, dtype=sorted_index.dtype, device=sorted_index.device)
    torch.cumsum(counts, 0, out=offset[1:])
    return offset


def _segment_softmax(logits: Tensor, index: Tensor, keep: Tensor, num_rows: int) -> Tensor:
    index = index.long()
    logits = logits.masked_fill(~keep, float("-inf"))
    top = torch.full((num_rows,), float("-inf"), device=logits.device).scatter_reduce(
        0, index, logits.detach(), "amax"
    )
    top = torch.where(torch.isfinite(top), top, 0.0)
    weights = (logits - top.index_select(0, index)).exp()
    total = torch.zeros(num_rows, device=logits.device).index_add(0, index, weights)
    return weights / total.index_select(0, index).clamp(min=1e-12)


def _segment_sum(weight: Tensor, index: Tensor, num_rows: int) -> Tensor:
    # Weights are 0 or 1 in the hot path, where float64 sums are exact whatever their order.
    return torch.bincount(index, weights=weight.double(), minlength=num_rows).float()
