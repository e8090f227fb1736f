"""Groups of items by popularity and of users by activity, always from train counts only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from gnnrec.data.dataset import as_text
from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, check_choice, check_range

_UNKNOWN = "no train interaction"


@dataclass(frozen=True, eq=False)
class Groups:
    """Named masks over all items (or all users), with the rule that made them.

    Args:
        members: name -> bool [n]; the masks are disjoint, and a group without members has an all-false mask.
        definition: the rule in one sentence, for tables and captions.
        thresholds: the numbers behind the rule, e.g. the smallest train count of a head item.
    """

    members: dict[str, np.ndarray]
    definition: str
    thresholds: dict[str, Any] = field(default_factory=dict)

    def sizes(self) -> dict[str, int]:
        """Return the number of members of each group."""
        return {name: int(mask.sum()) for name, mask in self.members.items()}

    def interaction_counts(self, ids: np.ndarray) -> dict[str, int]:
        """Return how many of `ids` (the user or item column of some interactions) fall into each group."""
        return {name: int(mask[ids].sum()) for name, mask in self.members.items()}


def item_groups(
    train: Interactions,
    rule: str = "quantile",
    head: float | None = None,
    tail: float | None = None,
) -> Groups:
    """Return the groups head, mid, tail and cold of the items, by their number of train interactions.

    Items are ranked from popular to rare; equal counts are ranked by item id, the smaller first. Items
    without a train interaction are `cold` under every rule and take part in no share.

    - `quantile`: head = the most popular share `head` (default .2) of the items that have train interactions,
      tail = the least popular share `tail` (default .5) of them.
    - `pareto`: head = the smallest set of most popular items that hold the share `head` (default .8) of all
      train interactions; mid = on up to the share `tail` (default .95); tail = the rest.
    - `thresholds`: head = at least `head` (default 100) train interactions, tail = at most `tail` (default
      10).
    """
    check_choice("rule", rule, ("quantile", "pareto", "thresholds"), "item_groups")
    counts = train.item_counts()
    warm = np.flatnonzero(counts)
    ranked = warm[np.lexsort((warm, -counts[warm]))]
    if rule == "quantile":
        num_head, start_tail, definition = _by_quantile(ranked, _or(head, 0.2), _or(tail, 0.5))
    elif rule == "pareto":
        num_head, start_tail, definition = _by_share(counts[ranked], _or(head, 0.8), _or(tail, 0.95))
    else:
        num_head, start_tail, definition = _by_count(counts[ranked], _or(head, 100), _or(tail, 10))
    parts = {
        "head": ranked[:num_head],
        "mid": ranked[num_head:start_tail],
        "tail": ranked[start_tail:],
        "cold": np.flatnonzero(counts == 0),
    }
    thresholds = {"rule": rule, "head_min_count": _end(counts[parts["head"]], np.min)}
    thresholds["tail_max_count"] = _end(counts[parts["tail"]], np.max)
    return Groups(_masks(parts, train.num_items), definition, thresholds)


def _by_quantile(ranked: np.ndarray, head: float, tail: float) -> tuple[int, int, str]:
    check_range("head", head, "item_groups", low=0, high=1)
    check_range("tail", tail, "item_groups", low=0, high=1)
    if head + tail > 1 + 1e-12:
        raise ConfigError(f"'head' + 'tail' must be at most 1 in 'item_groups' (got {head} + {tail})")
    num_head = round(head * len(ranked))
    start_tail = max(num_head, len(ranked) - round(tail * len(ranked)))
    definition = (
        f"head: the most popular {head:.0%} of the items with train interactions; tail: the least popular "
        f"{tail:.0%}; "
        f"mid: between; cold: {_UNKNOWN} (ties by item id)"
    )
    return num_head, start_tail, definition


def _by_share(counts: np.ndarray, head: float, tail: float) -> tuple[int, int, str]:
    check_range("head", head, "item_groups", low=0, high=1)
    check_range("tail", tail, "item_groups", low=head, high=1)
    held = np.cumsum(counts)
    total = int(held[-1]) if len(held) else 0
    # 1e-9 of one interaction: .8 * 10 is 8.000000000000002 for some totals, which would move a boundary item
    num_head = int(np.searchsorted(held, head * total - 1e-9)) + 1 if head > 0 and total else 0
    start_tail = max(
        num_head, int(np.searchsorted(held, tail * total - 1e-9)) + 1 if tail > 0 and total else 0
    )
    definition = (
        f"head: the fewest items that hold {head:.0%} of train interactions; mid: on up to {tail:.0%}; "
        f"tail: the rest; cold: {_UNKNOWN} (ties by item id)"
    )
    return num_head, start_tail, definition


def _by_count(counts: np.ndarray, head: float, tail: float) -> tuple[int, int, str]:
    check_range("head", head, "item_groups", low=1)
    check_range("tail", tail, "item_groups", low=0, high=head, high_open=True)
    definition = (
        f"head: at least {head:g} train interactions; tail: 1 to {tail:g}; mid: between; cold: {_UNKNOWN}"
    )
    return int((counts >= head).sum()), int((counts > tail).sum()), definition


def user_groups(train: Interactions, num: int = 4) -> Groups:
    """Return `num` groups of equal size by train activity, user_q1 the least active, and `user_cold`.

    Users are ranked by their number of train interactions, equal counts by user id; sizes differ by at most
    one. Users without a train interaction form `user_cold`, a group that is left out where it would be empty.
    """
    check_range("num", num, "user_groups", low=1)
    counts = train.user_counts()
    active = np.flatnonzero(counts)
    ranked = active[np.lexsort((active, counts[active]))]
    parts = {f"user_q{place + 1}": part for place, part in enumerate(np.array_split(ranked, num))}
    thresholds = {f"{name}_max_count": _end(counts[part], np.max) for name, part in parts.items()}
    inactive = np.flatnonzero(counts == 0)
    if len(inactive):
        parts["user_cold"] = inactive
    definition = (
        f"user_q1 (least active) to user_q{num}: users with train interactions in {num} equal parts by "
        f"their number "
        f"(ties by user id); user_cold: {_UNKNOWN}"
    )
    return Groups(_masks(parts, train.num_users), definition, thresholds)


def after_refit(groups: Groups, counts: np.ndarray) -> Groups:
    """Return item or user groups for a model that was trained on train and validation.

    `cold` and `user_cold` keep the members without any of the interactions in `counts` (int [n], of train and
    validation). Those that only validation knows are in no group: the other groups are made from train. `user_cold`
    is left out where it would be empty.
    """
    members = {
        name: mask & (counts == 0) if name in ("cold", "user_cold") else mask
        for name, mask in groups.members.items()
    }
    if "user_cold" in members and not members["user_cold"].any():
        del members["user_cold"]
    now = "no interaction in train or validation (in validation alone: in no group)"
    return Groups(members, groups.definition.replace(_UNKNOWN, now), groups.thresholds)


def category_groups(
    items: pd.DataFrame, column: str, separator: str | None = None, num: int = 10, other: str = "other"
) -> Groups:
    """Return the `num` largest categories of the items, the rest as `other`, missing ones as `none`.

    An item with several categories (joined by `separator`) counts for the first of them. Categories that are called
    `other` or `none` themselves are part of these groups.
    """
    if column not in items.columns:
        known = ", ".join(map(str, items.columns))
        raise ConfigError(f"unknown column '{column}' in 'category_groups' (known: {known})")
    values = as_text(items[column])
    if separator:
        values = values.str.split(separator, n=1, regex=False).str[0]
    values = values.str.strip()
    sizes = values[~values.isin(["", "none", other])].value_counts()
    chosen = sorted(sizes.index, key=lambda name: (-sizes[name], name))[:num]
    members = {str(name): (values == name).to_numpy() for name in chosen}
    members[other] = (~values.isin([*chosen, "", "none"])).to_numpy()
    members["none"] = values.isin(["", "none"]).to_numpy()
    definition = (
        f"the {num} largest values of '{column}', '{other}' for the rest, 'none' for items without one"
    )
    return Groups(members, definition, {"column": column, "num": num})


def text_groups(items: pd.DataFrame, columns: Sequence[str] = ("text",), min_chars: int = 1) -> Groups:
    """Return with_text and without_text: at least `min_chars` characters in the columns, or fewer."""
    length = text_lengths(items, columns)
    members = {"with_text": length >= min_chars, "without_text": length < min_chars}
    definition = f"with_text: at least {min_chars} characters in {', '.join(columns)}; without_text: fewer"
    return Groups(members, definition, {"min_chars": min_chars})


def text_lengths(items: pd.DataFrame, columns: Sequence[str] = ("text",)) -> np.ndarray:
    """Return the number of characters of the named text columns, outer blanks left out, int64 [num_items]."""
    total = np.zeros(len(items), dtype=np.int64)
    for column in columns:
        if column in items.columns:
            total += as_text(items[column]).str.strip().str.len().to_numpy(dtype=np.int64)
    return total


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _end(counts: np.ndarray, which: Any) -> int | None:
    return int(which(counts)) if len(counts) else None


def _masks(parts: dict[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
    masks = {}
    for name, ids in parts.items():
        masks[name] = np.zeros(size, dtype=bool)
        masks[name][ids] = True
    return masks
