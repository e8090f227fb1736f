"""The edges of a user-item graph in both orders, and their values under each normalisation."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from torch import Tensor

from gnnrec.bags import Bags, offsets

NORMS = ("symmetric", "mean", "sum")
Halves = tuple[Tensor, Tensor]  # user rows and item rows of a node matrix


@dataclass(frozen=True)
class EdgeStructure:
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

    @cached_property
    def into_users(self) -> Bags:
        """The sums over each user's items."""
        return Bags(self.item, self.user_offset, self.num_items)

    @cached_property
    def into_items(self) -> Bags:
        """The sums over each item's users."""
        return Bags(self.user_by_item, self.item_offset, self.num_users)

    @cached_property
    def to_user_order(self) -> Tensor:
        """The item-order place of each edge by user: [num_edges], the inverse of `to_item_order`."""
        place = torch.empty_like(self.to_item_order)
        place[self.to_item_order] = torch.arange(len(place), dtype=place.dtype, device=place.device)
        return place

    @staticmethod
    def build(user: Tensor, item: Tensor, num_users: int, num_items: int) -> tuple[EdgeStructure, Tensor]:
        """Return the structure of edges in any order, and the places of its edges among them."""
        order = torch.argsort(user.long() * num_items + item.long())
        index_dtype = torch.int32 if max(len(user), num_users, num_items) < 2**31 - 1 else torch.int64
        user, item = user[order].to(index_dtype), item[order].to(index_dtype)
        to_item_order = torch.argsort(item, stable=True)
        structure = EdgeStructure(
            num_users=num_users,
            num_items=num_items,
            user=user,
            item=item,
            user_offset=offsets(user, num_users),
            item_offset=offsets(item, num_items),
            user_by_item=user[to_item_order],
            item_by_item=item[to_item_order],
            to_item_order=to_item_order.to(index_dtype),
        )
        return structure, order

    def keep(self, edges: Tensor) -> EdgeStructure:
        """Return the structure of some edges, bool [num_edges] in user order."""
        by_item = edges[self.to_item_order]
        place = edges.cumsum(0, dtype=self.to_item_order.dtype) - 1
        user, item_by_item = self.user[edges], self.item_by_item[by_item]
        return replace(
            self,
            user=user,
            item=self.item[edges],
            user_offset=offsets(user, self.num_users),
            item_offset=offsets(item_by_item, self.num_items),
            user_by_item=self.user_by_item[by_item],
            item_by_item=item_by_item,
            to_item_order=place[self.to_item_order[by_item]],
        )

    def to(self, device: torch.device | str) -> EdgeStructure:
        """Return the structure on another device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device) for k, v in moved.items() if isinstance(v, Tensor)})


@dataclass(frozen=True)
class Operator:
    """Edge values of one linear map and of its transpose, each for both halves."""

    user_half: Tensor  # [num_edges], user order: out_user = sum over its items
    item_half: Tensor  # [num_edges], item order: out_item = sum over its users
    user_half_t: Tensor
    item_half_t: Tensor

    def halves(self, transposed: bool) -> Halves:
        """Return the values of both halves of the map or of its transpose."""
        return (self.user_half_t, self.item_half_t) if transposed else (self.user_half, self.item_half)

    @staticmethod
    def make(structure: EdgeStructure, weight: Tensor, degree: Halves, norm: str) -> Operator:
        """Return the values of one of `NORMS` (see BipartiteGraph.propagate).

        Shapes: weight [num_edges] in user order; degree [num_users], [num_items], weighted.
        """
        s = structure
        by_item = weight.index_select(0, s.to_item_order)
        if norm == "sum":
            return Operator(weight, by_item, weight, by_item)
        power = 0.5 if norm == "symmetric" else 1.0
        user, item = (torch.where(d > 0, d.clamp(min=1e-30) ** -power, 0.0) for d in degree)
        at_user, at_item = user.index_select(0, s.user), item.index_select(0, s.item)
        if norm == "symmetric":
            values = at_user.mul_(weight).mul_(at_item)
            item_values = values.index_select(0, s.to_item_order)
            return Operator(values, item_values, values, item_values)
        # Rows are divided by their own degree, so the transpose divides by the degree of the other end.
        return Operator(
            user_half=weight * at_user,
            item_half=by_item * item.index_select(0, s.item_by_item),
            user_half_t=weight * at_item,
            item_half_t=by_item * user.index_select(0, s.user_by_item),
        )

    def to(self, dtype: torch.dtype) -> Operator:
        """Return the values in another precision."""
        return Operator(*(half.to(dtype) for half in vars(self).values()))
