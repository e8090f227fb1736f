"""Who interacted with what: the one form in which every other part sees a data set."""

from __future__ import annotations

import hashlib
from dataclasses import InitVar, dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from gnnrec.errors import DataError

_BLOCK = 1 << 22
_MAX_ID = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Interactions:
    """User-item pairs as arrays, with the ratings and times of the pairs where there are any.

    Args:
        user: int32 [n], 0-based, below `num_users`.
        item: int32 [n], 0-based, below `num_items`.
        num_users: number of users, those without an interaction included.
        num_items: number of items, those without an interaction included.
        rating: float32 [n] or None; finite and not negative.
        timestamp: int64 [n] or None; seconds since 1970, or any other order of events.
        unique: whether each pair occurs once. True is checked; False allows repeats (splits remove them).

    Raises DataError for lengths that differ, ids out of range, bad ratings and repeated pairs.
    """

    user: np.ndarray
    item: np.ndarray
    num_users: int
    num_items: int
    rating: np.ndarray | None = None
    timestamp: np.ndarray | None = None
    unique: bool = True
    checked: InitVar[bool] = False  # True skips the checks, for rows that come from checked ones

    def __post_init__(self, checked: bool) -> None:
        if checked:
            return
        _set(self, "num_users", int(self.num_users))
        _set(self, "num_items", int(self.num_items))
        _set(self, "user", _ids(self.user, self.num_users, "user"))
        _set(self, "item", _ids(self.item, self.num_items, "item"))
        _set(self, "rating", _ratings(self.rating))
        if self.timestamp is not None:
            _set(self, "timestamp", np.ascontiguousarray(_whole(self.timestamp, "timestamp"), dtype=np.int64))
        for name in ("item", "rating", "timestamp"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.user):
                raise DataError(
                    f"'{name}' must have one value per interaction (expected {len(self.user)}, got "
                    f"{len(values)})"
                )
        if self.unique:
            self._check_unique()

    def __len__(self) -> int:
        return len(self.user)

    def _check_unique(self) -> None:
        keys = self.pair_keys()
        if strictly_increasing(keys):
            return
        keys.sort()
        same = np.flatnonzero(keys[1:] == keys[:-1])
        if len(same):
            user, item = divmod(int(keys[same[0]]), self.num_items)
            raise DataError(
                f"pairs must be unique ({len(same)} repeats, the first is user {user}, item {item}); "
                "remove them with deduplicate(), or pass unique=False to keep them"
            )

    def pair_keys(self) -> np.ndarray:
        """Return user * num_items + item as int64 [n]: one number per pair, ordered by user, then item."""
        keys = self.user.astype(np.int64)
        keys *= self.num_items
        keys += self.item
        return keys

    def csr(self) -> sp.csr_array:
        """Return the float32 matrix [num_users, num_items] that is one at every pair."""
        ones = np.ones(len(self), dtype=np.float32)
        matrix = sp.csr_array((ones, (self.user, self.item)), shape=(self.num_users, self.num_items))
        matrix.data[:] = 1.0
        return matrix

    def user_counts(self) -> np.ndarray:
        """Return the number of interactions of each user, int64 [num_users]."""
        return np.bincount(self.user, minlength=self.num_users)

    def item_counts(self) -> np.ndarray:
        """Return the number of interactions of each item, int64 [num_items]."""
        return np.bincount(self.item, minlength=self.num_items)

    def select(self, chosen: np.ndarray | slice) -> Interactions:
        """Return the rows named by a bool mask [n] or by distinct row numbers, in the same id space."""
        return Interactions(
            user=self.user[chosen],
            item=self.item[chosen],
            num_users=self.num_users,
            num_items=self.num_items,
            rating=None if self.rating is None else self.rating[chosen],
            timestamp=None if self.timestamp is None else self.timestamp[chosen],
            unique=self.unique,
            checked=True,
        )

    def canonical_order(self, ties: np.ndarray | None = None) -> np.ndarray | None:
        """Return the row numbers that sort by user, item, time and rating; None where rows already are so.

        Rows that are equal in all of these go by `ties`, one value a row, where it is given.
        """
        keys = self.pair_keys()
        if strictly_increasing(keys):
            return None
        order = np.argsort(keys)
        if self.unique:
            return order
        # only the rows of repeated pairs need the slower sort by time and rating as well
        keys = keys[order]
        repeated = np.zeros(len(keys), dtype=bool)
        np.equal(keys[1:], keys[:-1], out=repeated[1:])
        repeated[:-1] |= repeated[1:]
        rows = order[repeated]
        columns = [column[rows] for column in (ties, self.rating, self.timestamp) if column is not None]
        order[repeated] = rows[np.lexsort([*columns, keys[repeated]])]
        return order

    def canonical(self) -> Interactions:
        """Return the same interactions by user, then item: what every random draw starts from."""
        order = self.canonical_order()
        return self if order is None else self.select(order)

    def marked_unique(self) -> Interactions:
        """Return the same rows, marked as unique where each pair does occur once."""
        if self.unique or self.num_repeats():
            return self
        rows = self.select(slice(None))
        _set(rows, "unique", True)
        return rows

    def num_repeats(self) -> int:
        """Return the number of rows beyond the first of each pair."""
        if self.unique:
            return 0
        keys = self.pair_keys()
        if strictly_increasing(keys):
            return 0
        keys.sort()
        return int(np.count_nonzero(keys[1:] == keys[:-1]))

    def deduplicate(self, keep: str = "last") -> Interactions:
        """Return each pair once, in canonical order, as it was at its first or last occurrence.

        First and last are by timestamp (then rating); the order of rows has no say.
        """
        if self.unique:
            return self
        rows = self.canonical()
        keys = rows.pair_keys()
        new = np.ones(len(keys), dtype=bool)
        np.not_equal(keys[1:], keys[:-1], out=new[1:])
        chosen = new if keep == "first" else np.append(new[1:], True)[: len(keys)]
        kept = rows.select(chosen)
        _set(kept, "unique", True)
        return kept

    def fingerprint(self) -> str:
        """Return a SHA-256 of sizes, pairs, ratings and times, whatever the row order."""
        digest = hashlib.sha256(f"{self.num_users} {self.num_items} {len(self)}".encode())
        order = self.canonical_order()
        for column in (self.user, self.item, self.rating, self.timestamp):
            digest.update(b"-" if column is None else b"+")
            if column is None:
                continue
            for start in range(0, len(column), _BLOCK):
                stop = start + _BLOCK
                block = column[start:stop] if order is None else column[order[start:stop]]
                little_endian = block.astype(block.dtype.newbyteorder("<"), copy=False)
                digest.update(np.ascontiguousarray(little_endian).data)
        return digest.hexdigest()


def strictly_increasing(keys: np.ndarray) -> bool:
    """Return whether every value is larger than the one before it."""
    return all(
        bool(
            np.all(
                keys[start + 1 : start + _BLOCK + 1] > keys[start : start + _BLOCK][: len(keys) - start - 1]
            )
        )
        for start in range(0, max(len(keys) - 1, 0), _BLOCK)
    )


def _set(instance: Any, name: str, value: Any) -> None:
    object.__setattr__(instance, name, value)


def _whole(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise DataError(f"'{name}' must be one-dimensional (got shape {array.shape})")
    if array.dtype.kind not in "iu" and len(array):
        raise DataError(f"'{name}' must hold whole numbers (got {array.dtype})")
    return array


def _ids(values: Any, count: int, name: str) -> np.ndarray:
    array = _whole(values, name)
    if not 0 <= count <= _MAX_ID:
        raise DataError(f"'num_{name}s' must be in [0, {_MAX_ID}] (got {count})")
    if len(array):
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= count:
            bad = low if low < 0 else high
            row = int(np.flatnonzero(array == bad)[0])
            raise DataError(f"'{name}' ids must be in [0, {count}) (got {bad} in row {row})")
    return np.ascontiguousarray(array, dtype=np.int32)


def _ratings(values: Any) -> np.ndarray | None:
    if values is None:
        return None
    array = np.ascontiguousarray(values, dtype=np.float32)
    bad = ~(np.isfinite(array) & (array >= 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"'rating' must be finite and not negative (got {array[row]} in row {row}, {int(bad.sum())} "
            f"such rows)"
        )
    return array
