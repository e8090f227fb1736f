"""What is ranked for whom: the relevant items, the masked items and the groups of one evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse

from gnnrec.errors import ConfigError, DataError, check_choice

if TYPE_CHECKING:
    from gnnrec.data.groups import Groups
    from gnnrec.data.interactions import Interactions
    from gnnrec.data.splits import Split


@dataclass(frozen=True)
class Task:
    """One ranking task: for every user, find `relevant` items among all items that are not `masked`.

    Users without a relevant item are left out (and counted by `evaluate`). Cold items stay candidates.

    Args:
        split: "validation" or "test", the first part of every metric key.
        relevant: the held-out pairs.
        masked: [num_users, num_items], non-zero where a user's item may not be recommended.
        items: groups of items; a group named "cold" holds those of which training saw nothing.
        users: groups of users.
        train_counts: int64 [num_items], train interactions of each item, for the popularity metrics; None counts
            the masked pairs instead.
    """

    split: Literal["validation", "test"]
    relevant: Interactions
    masked: sparse.csr_matrix
    items: Groups
    users: Groups
    train_counts: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_choice("split", self.split, ("validation", "test"), "Task")
        shape = (self.relevant.num_users, self.relevant.num_items)
        if self.masked.shape != shape:
            raise DataError(
                f"'masked' must have the shape of 'relevant' {shape} in 'Task' (got {self.masked.shape})"
            )
        for kind, groups, size in (("items", self.items, shape[1]), ("users", self.users, shape[0])):
            for name, member in groups.members.items():
                if member.shape != (size,) or member.dtype != np.bool_:
                    raise DataError(
                        f"group '{name}' of '{kind}' in 'Task' must be {size} booleans "
                        f"(got {member.dtype} of shape {member.shape})"
                    )
                if name in RESERVED:
                    raise ConfigError(f"the group name '{name}' is reserved in 'Task': rename the group")

    @property
    def num_users(self) -> int:
        return self.relevant.num_users

    @property
    def num_items(self) -> int:
        return self.relevant.num_items

    def item_counts(self) -> np.ndarray:
        """Return int64 [num_items]: `train_counts`, or the masked users of each item where these are not given."""
        if self.train_counts is not None:
            return self.train_counts
        return np.bincount(self.masked.indices, minlength=self.num_items)

    def cold(self) -> np.ndarray:
        """Return bool[num_items]: the items of which training saw nothing."""
        member = self.items.members.get("cold")
        return np.zeros(self.num_items, dtype=bool) if member is None else member


RESERVED = ("warm", "cold_only", "warm_only")


def validation_task(split: Split, items: Groups, users: Groups) -> Task:
    """Return the task of model selection: relevant are the validation pairs, masked train, support and dropped."""
    masked = _masked(split.train, split.support, split.dropped)
    return Task("validation", split.validation, masked, items, users, split.train.item_counts())


def test_task(split: Split, items: Groups, users: Groups) -> Task:
    """Return the final task: relevant are the test pairs, masked train, validation, support and dropped."""
    masked = _masked(split.train, split.validation, split.support, split.dropped)
    return Task("test", split.test, masked, items, users, split.train.item_counts())


def _masked(*parts: Interactions | None) -> sparse.csr_matrix:
    """Return the pairs of disjoint parts; one that is None is empty."""
    return sparse.csr_matrix(sum(part.csr() for part in parts if part is not None))


test_task.__test__ = False  # pytest would take it for a test  # pyright: ignore[reportFunctionMemberAccess]
