"""What a split is, and the draws that several splits share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, DataError, check_range

if TYPE_CHECKING:
    from gnnrec.data.dataset import Dataset

_BLOCK = 1 << 20
TRAIN, VALIDATION, TEST, SUPPORT, DROPPED = 0, 1, 2, 3, 4


@dataclass(frozen=True, eq=False)
class Split:
    """Train, validation and test parts in one id space; disjoint as pairs.

    Args:
        train, validation, test: the parts, in canonical order (by user, then item), each pair once.
        name: the name of the split, as make_split takes it.
        seed: the seed that drew it.
        params: everything else that it was made with, and what it left out.
        support: interactions of cold users that are given at inference only, or None.
        dropped: interactions in no other part, or None; no model sees them, and no task asks for them.
    """

    train: Interactions
    validation: Interactions
    test: Interactions
    name: str
    seed: int
    params: dict[str, Any]
    support: Interactions | None = None
    dropped: Interactions | None = None
    fingerprint: str = field(default="")

    def __post_init__(self) -> None:
        if not self.fingerprint:
            digest = hashlib.sha256()
            for part in (self.train, self.validation, self.test, self.support):
                digest.update(b"none" if part is None else part.fingerprint().encode())
            object.__setattr__(self, "fingerprint", digest.hexdigest())

    @property
    def cold_items(self) -> np.ndarray:
        """The items that occur in validation or test and never in train, bool [num_items]."""
        later = self.validation.item_counts() + self.test.item_counts() > 0
        return later & (self.train.item_counts() == 0)

    @property
    def cold_users(self) -> np.ndarray:
        """The users that occur in validation or test and never in train, bool [num_users]."""
        later = self.validation.user_counts() + self.test.user_counts() > 0
        return later & (self.train.user_counts() == 0)


def rows_of(source: Dataset | Interactions) -> Interactions:
    """Return the unique interactions in canonical order; of repeated pairs the last occurrence is kept."""
    interactions = source if isinstance(source, Interactions) else source.interactions
    return interactions.deduplicate(keep="last").canonical()


def times_of(rows: Interactions, where: str) -> np.ndarray:
    """Return the time of each row, or raise a DataError that says which splits need none."""
    if rows.timestamp is None:
        raise DataError(
            f"'{where}' needs a timestamp for every interaction and this data set has none; use 'random'"
        )
    return rows.timestamp


def check_real_times(source: Dataset | Interactions, where: str, instead: str) -> None:
    """Raise a DataError where the timestamps are places in each user's order, which compare no two users."""
    if not isinstance(source, Interactions) and source.card.get("time") == "position":
        raise DataError(
            f"'{where}' needs real times, and data set '{source.name}' has only the order of each user's "
            f"interactions; use {instead}"
        )


def build_split(
    rows: Interactions, part: np.ndarray, name: str, seed: int, params: dict[str, Any], *, may_lack: str = ""
) -> Split:
    """Return the Split that `part` (int8 [n]: train 0, validation 1, test 2, support 3, dropped 4) describes.

    Raises a DataError where train, validation or test would be empty, unless `may_lack` names that part.
    """
    parts: dict[str, Any] = {}
    for place, word in enumerate(("train", "validation", "test")):
        parts[word] = rows.select(part == place)
        if not len(parts[word]) and word != may_lack:
            raise DataError(
                f"the split '{name}' leaves no {word} interactions (of {len(rows)}, with {_words(params)}); "
                "use more data or other shares"
            )
    for place, word in ((SUPPORT, "support"), (DROPPED, "dropped")):
        parts[word] = rows.select(part == place) if (part == place).any() else None
    recorded = {**params, "num_dropped": len(parts["dropped"])} if parts["dropped"] else params
    return Split(**parts, name=name, seed=seed, params=recorded)


def _words(params: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in params.items()) or "no options"


def check_ratios(ratios: tuple[float, ...] | list[float], where: str) -> tuple[float, float, float]:
    """Return train, validation and test shares that add up to one, from three numbers such as 8:1:1."""
    if not isinstance(ratios, list | tuple) or len(ratios) != 3:
        raise ConfigError(
            f"'ratios' must be three numbers (train, validation, test) in '{where}' (got {ratios!r})"
        )
    for ratio in ratios:
        check_range("ratios", ratio, where, low=0)
    total = sum(ratios)
    if not total > 0 or not ratios[0] > 0:
        raise ConfigError(f"'ratios' must leave something to train in '{where}' (got {ratios!r})")
    return ratios[0] / total, ratios[1] / total, ratios[2] / total


def check_count(name: str, value: int, where: str, *, low: int, high: int | None = None) -> None:
    """Raise a ConfigError unless `value` is a whole number in [low, high]."""
    check_range(name, value, where, low=low, high=high)
    if isinstance(value, float) and not value.is_integer():
        raise ConfigError(f"'{name}' must be a whole number in '{where}' (got {value!r})")


def random_parts(
    rows: Interactions, ratios: tuple[float, float, float], generator: np.random.Generator
) -> np.ndarray:
    """Return train, validation or test for each row, drawn per user, int8 [n]; rows in canonical order.

    A user with d rows gets floor(d * test + u) test rows and floor(d * (test + validation) + u) held-out rows
    in all, u uniform in [0, 1): the shares are exact in expectation also where most users have few rows. At
    least one row of every user stays in train.
    """
    return shares_of(rows, random_ranks(rows, generator), ratios, generator)


def shares_of(
    rows: Interactions,
    ranks: np.ndarray,
    ratios: tuple[float, float, float],
    generator: np.random.Generator,
) -> np.ndarray:
    """Return test for each user's lowest ranks, then validation, then train, as random_parts rounds."""
    counts = rows.user_counts()
    offset = generator.random(rows.num_users)
    most = np.maximum(counts - 1, 0)
    test = np.minimum(np.floor(counts * ratios[2] + offset).astype(np.int64), most)
    held = np.minimum(np.floor(counts * (ratios[1] + ratios[2]) + offset).astype(np.int64), most)
    if ratios[1] == 0:
        held = test
    if ratios[2] == 0:
        test = np.zeros_like(test)
    part = np.zeros(len(rows), dtype=np.int8)
    for start in range(0, len(rows), _BLOCK):
        window = slice(start, start + _BLOCK)
        user = rows.user[window]
        part[window] += ranks[window] < held[user]
        part[window] += ranks[window] < test[user]
    return part


def random_ranks(rows: Interactions, generator: np.random.Generator) -> np.ndarray:
    """Return each user's rows in random order as places 0, 1, 2, ..., int32 [n]; rows in canonical order."""
    ranks = np.empty(len(rows), dtype=np.int32)
    for start, stop in _user_blocks(rows):
        size = stop - start
        user = np.cumsum(np.r_[False, rows.user[start + 1 : stop] != rows.user[start : stop - 1]])
        # one number per row, user then chance then row, so that a plain sort (which is much faster than one
        # that returns the order) does; equal chances, about one pair in four million, go by row
        row_bits, user_bits = size.bit_length(), int(user[-1]).bit_length()
        chance = generator.integers(1 << 62, size=size) >> (row_bits + user_bits)
        keys = (user << (62 - user_bits)) | (chance << row_bits) | np.arange(size)
        keys.sort()
        order = keys & ((1 << row_bits) - 1)
        ranks[start:stop][order] = places_in_runs(user)
    return ranks


def time_ranks(rows: Interactions, generator: np.random.Generator, where: str) -> np.ndarray:
    """Return each row's place counted from the user's newest, int32 [n]; equal times in a drawn order."""
    times = times_of(rows, where)
    ranks = np.empty(len(rows), dtype=np.int32)
    for start, stop in _user_blocks(rows):
        user = rows.user[start:stop]
        order = np.lexsort((generator.random(stop - start), -times[start:stop], user))
        ranks[start:stop][order] = places_in_runs(user)
    return ranks


def _user_blocks(rows: Interactions) -> Iterator[tuple[int, int]]:
    """Yield row ranges of whole users, so that sorts stay in cache and memory bounded at 100 million rows."""
    ends = np.cumsum(rows.user_counts())
    start = 0
    while start < len(rows):
        last = np.searchsorted(ends, start + _BLOCK, side="right")
        stop = int(ends[last - 1]) if last and ends[last - 1] > start else int(ends[last])
        yield start, stop
        start = stop


def places_in_runs(user: np.ndarray) -> np.ndarray:
    """Return 0, 1, 2, ... within each run of equal values."""
    first = np.flatnonzero(np.r_[True, user[1:] != user[:-1]])
    return np.arange(len(user)) - np.repeat(first, np.diff(np.r_[first, len(user)]))
