"""Strict cold start: items or users of which training sees nothing, and few-shot items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gnnrec.data.groups import item_groups
from gnnrec.data.interactions import Interactions
from gnnrec.data.splits.base import (
    DROPPED,
    SUPPORT,
    TEST,
    VALIDATION,
    Split,
    build_split,
    check_count,
    check_ratios,
    check_real_times,
    places_in_runs,
    random_parts,
    random_ranks,
    rows_of,
    times_of,
)
from gnnrec.errors import ConfigError, DataError, check_choice, check_range, suggest

if TYPE_CHECKING:
    from gnnrec.data.dataset import Dataset


def cold_item_split(
    source: Dataset | Interactions,
    cold: float = 0.2,
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    by: str = "random",
    category: str = "categories",
) -> Split:
    """Hide the share `cold` of the items that have interactions: half of them for validation, half for test.

    All interactions of a cold item go to its part. Those of the other items are split per user by `ratios`,
    so that warm-only and joint numbers exist beside the cold-only ones. The cold items are

    - by="random": drawn by `seed`;
    - by="time": those that appear last (by their first interaction), the latest of them for test;
    - by="category": whole categories of the column `category` of the item table, in a drawn order; one is taken
      only where that brings a half nearer to its share, so that a large one does not make it several times as large.

    A half without any cold item is a DataError.
    """
    check_range("cold", cold, "cold_item", low=0, high=1, low_open=True, high_open=True)
    check_choice("by", by, ("random", "time", "category"), "cold_item")
    shares = check_ratios(ratios, "cold_item")
    rows = rows_of(source)
    generator = np.random.default_rng(seed)
    where = _cold_places(source, rows, cold, by, category, generator)
    part = where[rows.item]
    warm = part == 0
    part[warm] = random_parts(rows.select(warm), shares, generator)
    params: dict[str, Any] = {"cold": cold, "ratios": list(ratios), "by": by}
    if by == "category":
        params["category"] = category
    params["num_cold_validation_items"] = int((where == VALIDATION).sum())
    params["num_cold_test_items"] = int((where == TEST).sum())
    return build_split(rows, part, "cold_item", seed, params)


def _cold_places(
    source: Dataset | Interactions,
    rows: Interactions,
    cold: float,
    by: str,
    category: str,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return for each item 0 (warm), validation or test, int8 [num_items]."""
    where = np.zeros(rows.num_items, dtype=np.int8)
    items = np.flatnonzero(rows.item_counts())
    if by == "category":
        groups = _cold_categories(source, items, cold, category, generator)
    else:
        num_cold = round(cold * len(items))
        if by == "time":
            check_real_times(source, "cold_item with by='time'", "by='random'")
            first = _first_times(source if isinstance(source, Interactions) else source.interactions)
            order = items[np.lexsort((items, first[items]))]
            late = order[len(order) - num_cold :]
        else:
            late = generator.permutation(items)[:num_cold]
        groups = late[: num_cold // 2], late[num_cold // 2 :]
    _check_halves(groups, f"'cold_item' by {by}", "items", cold, len(items))
    where[groups[0]] = VALIDATION
    where[groups[1]] = TEST
    return where


def _check_halves(halves: Sequence[Any], where: str, kind: str, cold: float, num: int) -> None:
    """Raise a DataError where there is nobody cold for validation or for test."""
    for word, half in zip(("validation", "test"), halves):
        if not len(half):
            smaller = " or a column of smaller categories" if where.endswith("category") else ""
            raise DataError(
                f"{where} with cold={cold} leaves no cold {kind} for {word} (of {num} {kind} with interactions); "
                f"use a larger 'cold'{smaller}"
            )


def _first_times(interactions: Interactions) -> np.ndarray:
    """Return when each item appears first, repeats counted (of which splits keep the last), int64 [num_items]."""
    first = np.full(interactions.num_items, np.iinfo(np.int64).max)
    np.minimum.at(first, interactions.item, times_of(interactions, "cold_item with by='time'"))
    return first


def _cold_categories(
    source: Dataset | Interactions,
    items: np.ndarray,
    cold: float,
    category: str,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the items of the categories drawn for validation and for test, about half of `cold` each.

    Each half walks through the drawn order of those that are left.
    """
    if not isinstance(category, str):
        raise ConfigError(
            f"'category' must be the name of an item column in 'cold_item' by category (got {category!r})"
        )
    if isinstance(source, Interactions) or category not in source.items.columns:
        known = ["none"] if isinstance(source, Interactions) else map(str, source.items.columns)
        raise ConfigError(
            f"'cold_item' by category needs an item column '{category}'{suggest(category, known)}; "
            "the option 'category' names another"
        )
    values = source.items[category].astype(object).where(source.items[category].notna(), "").astype(str)
    labels = values.to_numpy(dtype=object)[items]
    names, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) < 3:
        raise DataError(
            f"'cold_item' by category needs at least 3 categories in column '{category}' (got {len(names)})"
        )
    sizes = counts.tolist()
    left = generator.permutation(len(names)).tolist()
    halves = []
    for _ in range(2):
        taken, lacking = np.zeros(len(names), dtype=bool), cold / 2 * len(items)
        for number in left:
            if abs(lacking - sizes[number]) < abs(lacking):
                taken[number] = True
                lacking -= sizes[number]
        left = [number for number in left if not taken[number]]
        halves.append(items[taken[place]])
    return halves[0], halves[1]


def cold_user_split(
    source: Dataset | Interactions,
    cold: float = 0.2,
    support: int = 0,
    reserve: int | None = None,
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> Split:
    """Hide the share `cold` of the users, drawn at random: half for validation, half for test.

    Of each cold user `support` interactions (usually 0, 1, 3, 5 or 10), drawn at random, become
    Split.support: known at inference, never in training. `reserve` (default: `support`) rows of each cold
    user are never evaluated, so that runs with one `reserve` and different `support` share users and test
    rows, and the smaller support is part of the larger; rows of the reserve beyond the support are dropped.
    Cold users are drawn from those with more than `reserve` interactions; a half without any is a DataError. The
    other users' rows are split by `ratios`.
    """
    check_range("cold", cold, "cold_user", low=0, high=1, low_open=True, high_open=True)
    check_count("support", support, "cold_user", low=0)
    kept = support if reserve is None else reserve
    check_count("reserve", kept, "cold_user", low=support)
    shares = check_ratios(ratios, "cold_user")
    rows = rows_of(source)
    generator = np.random.default_rng(seed)
    counts = rows.user_counts()
    able = np.flatnonzero(counts > kept)
    num_cold = round(cold * np.count_nonzero(counts))
    if num_cold > len(able):
        raise DataError(
            f"'cold_user' wants {num_cold} cold users with more than {kept} interactions, and only "
            f"{len(able)} "
            "have so many; use a smaller 'support', 'reserve' or 'cold'"
        )
    drawn = generator.permutation(able)[:num_cold]
    halves = drawn[: num_cold // 2], drawn[num_cold // 2 :]
    _check_halves(halves, "'cold_user'", "users", cold, int(np.count_nonzero(counts)))
    where = np.zeros(rows.num_users, dtype=np.int8)
    where[halves[0]] = VALIDATION
    where[halves[1]] = TEST
    part = where[rows.user]
    ranks = random_ranks(rows, generator)
    hidden = part > 0
    part[hidden & (ranks < kept)] = DROPPED
    part[hidden & (ranks < support)] = SUPPORT
    part[~hidden] = random_parts(rows.select(~hidden), shares, generator)
    params = {"cold": cold, "support": support, "reserve": kept, "ratios": list(ratios)}
    params["num_cold_validation_users"] = num_cold // 2
    params["num_cold_test_users"] = num_cold - num_cold // 2
    return build_split(rows, part, "cold_user", seed, params)


def few_shot_item_split(
    source: Dataset | Interactions,
    k: int = 5,
    tail: float = 0.5,
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> Split:
    """Split as random_split does, then cut the train rows of each tail item down to `k`.

    The tail is the least popular share `tail` of the items.

    The rows that stay are drawn at random; those cut are dropped. With one seed, validation and test are the
    same for every k, and the train part of a smaller k is part of that of a larger one. k = 0 makes the tail
    cold.
    """
    check_count("k", k, "few_shot_item", low=0)
    check_range("tail", tail, "few_shot_item", low=0, high=1, low_open=True)
    shares = check_ratios(ratios, "few_shot_item")
    rows = rows_of(source)
    generator = np.random.default_rng(seed)
    part = random_parts(rows, shares, generator)
    train = np.flatnonzero(part == 0)
    groups = item_groups(rows.select(train), rule="quantile", head=0.0, tail=tail)
    few = train[groups.members["tail"][rows.item[train]]]
    item = rows.item[few]
    order = np.lexsort((generator.random(len(few)), item))
    part[few[order[places_in_runs(item[order]) >= k]]] = DROPPED
    params = {"k": k, "tail": tail, "ratios": list(ratios)}
    params["num_few_shot_items"] = int(groups.members["tail"].sum())
    return build_split(rows, part, "few_shot_item", seed, params)
