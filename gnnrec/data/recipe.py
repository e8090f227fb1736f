"""Preprocessing as an explicit list of steps, each of which writes down what it removed."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from gnnrec.data.build import ID_COLUMNS
from gnnrec.data.dataset import Dataset
from gnnrec.data.groups import text_lengths
from gnnrec.data.interactions import Interactions
from gnnrec.data.tables import table_ids
from gnnrec.errors import ConfigError, DataError, check_choice, check_range, suggest
from gnnrec.typed import TARGET, build

logger = logging.getLogger(__name__)


def min_rating(dataset: Dataset, at_least: float) -> Dataset:
    """Keep the interactions rated `at_least` or higher."""
    rating = dataset.interactions.rating
    if rating is None:
        raise DataError(f"'min_rating' needs ratings, and data set '{dataset.name}' has none")
    return _keep(dataset, rating >= at_least)


def deduplicate(dataset: Dataset, keep: str = "last") -> Dataset:
    """Keep each pair once: its first or last occurrence by time, or (keep="count") its number as the rating.

    With "count" the time is that of the last occurrence. In a published split the pair is of the earliest part that
    it occurs in, as the split `published` has it.
    """
    check_choice("keep", keep, ("first", "last", "count"), "deduplicate")
    rows = dataset.interactions
    if rows.unique and keep != "count":
        return dataset
    order = rows.canonical_order()
    order = np.arange(len(rows)) if order is None else order
    keys = rows.pair_keys()[order]
    new = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    chosen = order[new if keep == "first" else np.append(new[1:], True)[: len(keys)]]
    result = _keep(dataset, chosen)
    interactions, published = result.interactions.marked_unique(), result.published
    if dataset.published is not None and len(keys):
        published = np.minimum.reduceat(dataset.published[order], np.flatnonzero(new))
    if keep == "count":
        counts = np.diff(np.append(np.flatnonzero(new), len(keys)))
        interactions = replace(interactions, rating=counts.astype(np.float32))
    return replace(result, interactions=interactions, published=published)


def k_core(
    dataset: Dataset, k: int | None = None, user: int | None = None, item: int | None = None
) -> Dataset:
    """Keep the largest set in which every user has `user` and every item `item` interactions at least.

    `k` stands for both; 5 where nothing is given. The set is unique, so the order of removal has no say;
    repeated pairs count each time (remove them first). S. B. Seidman, Social Networks 5, 1983.
    """
    least_user = user if user is not None else (k if k is not None else 5)
    least_item = item if item is not None else (k if k is not None else 5)
    check_range("user", least_user, "k_core", low=0)
    check_range("item", least_item, "k_core", low=0)
    rows = dataset.interactions
    return _keep(dataset, _core_rows(rows, least_user, least_item))


def _core_rows(rows: Interactions, least_user: int, least_item: int) -> np.ndarray:
    """Return the row numbers of the core: rows of poor users and items go, until none is left.

    Rounds shrink fast, so only the rows that are left are looked at; each round costs their number.
    """
    kept = np.arange(len(rows), dtype=np.int32 if len(rows) < 2**31 else np.int64)
    user, item = rows.user, rows.item
    user_counts, item_counts = rows.user_counts(), rows.item_counts()
    while True:
        good = (user_counts >= least_user)[user] & (item_counts >= least_item)[item]
        if good.all():
            return kept
        bad = ~good
        user_counts -= np.bincount(user[bad], minlength=rows.num_users)
        item_counts -= np.bincount(item[bad], minlength=rows.num_items)
        kept, user, item = kept[good], user[good], item[good]


def min_text(dataset: Dataset, chars: int = 1, columns: Sequence[str] = ("text",)) -> Dataset:
    """Keep the interactions with items that have at least `chars` characters in the named text columns."""
    check_range("chars", chars, "min_text", low=1)
    missing = [name for name in columns if name not in dataset.items.columns]
    if missing:
        known = ", ".join(map(str, dataset.items.columns))
        raise ConfigError(f"unknown item column {missing[0]!r} in 'min_text' (known: {known})")
    long_enough = text_lengths(dataset.items, columns) >= chars
    return _keep(dataset, long_enough[dataset.interactions.item])


def time_window(
    dataset: Dataset, start: int | float | None = None, end: int | float | None = None
) -> Dataset:
    """Keep the interactions from `start` (included) to `end` (left out), in the unit of the timestamps."""
    times = dataset.interactions.timestamp
    if times is None:
        raise DataError(f"'time_window' needs timestamps, and data set '{dataset.name}' has none")
    inside = np.ones(len(times), dtype=bool)
    if start is not None:
        inside &= times >= start
    if end is not None:
        inside &= times < end
    return _keep(dataset, inside)


def sample_users(dataset: Dataset, num: int, seed: int = 0) -> Dataset:
    """Keep the interactions of `num` users with interactions, drawn at random."""
    check_range("num", num, "sample_users", low=1)
    check_range("seed", seed, "sample_users", low=0)
    active = np.flatnonzero(dataset.interactions.user_counts())
    chosen = np.zeros(dataset.num_users, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(active)[:num]] = True
    return _keep(dataset, chosen[dataset.interactions.user])


def drop_unused(dataset: Dataset, users: bool = True, items: bool = True) -> Dataset:
    """Remove users and items without an interaction and number the rest anew, in the old order.

    Raw ids stay in the columns user_id and item_id. Rows of side tables that name a removed user or item go
    too.
    """
    rows = dataset.interactions
    stays = {
        "user": rows.user_counts() > 0 if users else np.ones(rows.num_users, dtype=bool),
        "item": rows.item_counts() > 0 if items else np.ones(rows.num_items, dtype=bool),
    }
    if all(mask.all() for mask in stays.values()):
        return dataset
    place = {kind: np.where(mask, np.cumsum(mask) - 1, -1).astype(np.int32) for kind, mask in stays.items()}
    interactions = Interactions(
        place["user"][rows.user],
        place["item"][rows.item],
        int(stays["user"].sum()),
        int(stays["item"].sum()),
        rating=rows.rating,
        timestamp=rows.timestamp,
        unique=rows.unique,
    )
    return replace(
        dataset,
        interactions=interactions,
        users=dataset.users.loc[stays["user"]].reset_index(drop=True),
        items=dataset.items.loc[stays["item"]].reset_index(drop=True),
        tables={name: _renumber(table, place) for name, table in dataset.tables.items()},
    )


def _renumber(table: pd.DataFrame, place: dict[str, np.ndarray]) -> pd.DataFrame:
    result = table.copy()
    known = np.ones(len(table), dtype=bool)
    for column, kind in ID_COLUMNS.items():
        if column in table.columns and pd.api.types.is_numeric_dtype(table[column]):
            old = table_ids(pd.Series(table[column]))
            inside = (old >= 0) & (old < len(place[kind]))
            result[column] = np.where(inside, place[kind][np.where(inside, old, 0)], -1)
            known &= result[column].to_numpy() >= 0
    return result.loc[known].reset_index(drop=True)


STEPS: dict[str, Callable[..., Dataset]] = {
    "min_rating": min_rating,
    "deduplicate": deduplicate,
    "k_core": k_core,
    "min_text": min_text,
    "time_window": time_window,
    "sample_users": sample_users,
    "drop_unused": drop_unused,
}


def apply_recipe(dataset: Dataset, recipe: Sequence[Mapping[str, Any]]) -> Dataset:
    """Return the data set after the steps of `recipe`; users and items without rows are dropped last.

    A step is a mapping with its name under `step` and its options beside it: {"step": "k_core", "k": 10}.
    What each step left and removed is logged, and kept in card["recipe"]. A step that leaves nothing is a
    DataError.
    """
    log = list(dataset.card.get("recipe", []))
    for entry in [*recipe, {"step": "drop_unused"}]:
        options = dict(entry)
        name = options.pop("step", None)
        if name is None:
            raise ConfigError(f"a step of a recipe needs its name under 'step' (got {dict(entry)!r})")
        check_choice("step", name, STEPS, "recipe")
        known = [key for key in inspect.signature(STEPS[name]).parameters if key != "dataset"]
        for key in options:
            if key not in known:
                raise ConfigError(f"unknown option '{key}' of step '{name}'{suggest(key, known)}")
        before = _sizes(dataset)
        dataset = build({TARGET: f"{__name__}.{name}", **options}, name, dataset=dataset)
        after = _sizes(dataset)
        log.append(
            {
                "step": name,
                **options,
                "removed": {key: before[key] - after[key] for key in after},
                "left": after,
            }
        )
        logger.info("%s %s: removed %s, left %s", name, options, log[-1]["removed"], after)
        if not after["interactions"]:
            raise DataError(
                f"step '{name}' of the recipe leaves no interactions of data set '{dataset.name}' "
                f"(before it there were {before['interactions']}); loosen {options or 'it'}"
            )
    return replace(dataset, card={**dataset.card, "recipe": log})


def _sizes(dataset: Dataset) -> dict[str, int]:
    rows = dataset.interactions
    return {
        "interactions": len(rows),
        "users": int(np.count_nonzero(rows.user_counts())),
        "items": int(np.count_nonzero(rows.item_counts())),
    }


def _keep(dataset: Dataset, chosen: np.ndarray) -> Dataset:
    """Return the data set with the rows of a mask or of row numbers."""
    context = dataset.context
    if context is not None:
        context = context.iloc[chosen if chosen.dtype != bool else np.flatnonzero(chosen)].reset_index(
            drop=True
        )
    published = None if dataset.published is None else dataset.published[chosen]
    kept = dataset.interactions.select(chosen)
    if not kept.unique and len(kept) < len(dataset.interactions):
        kept = kept.marked_unique()
    return dataset.with_interactions(kept, published, context)
