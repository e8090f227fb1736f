"""What there is to say about a data set: counts, skew, time span, text, licence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from gnnrec.data.dataset import Dataset
from gnnrec.data.groups import item_groups, text_lengths
from gnnrec.data.tables import table_report
from gnnrec.errors import ConfigError, suggest

_STATED = (
    "title",
    "license",
    "licence",
    "citation",
    "source",
    "text_from",
    "tags_from",
    "release",
    "recipe",
    "notes",
)


def describe(dataset: Dataset, text_columns: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the measured facts of a data set, and those that its card states, as plain JSON values.

    Text coverage (share of items with text in `text_columns`) is given overall, weighted by interactions,
    and by popularity group (head, mid, tail by quantile; cold: no interaction at all). By default the columns are
    `text`, or where there is none those of the card's template of item texts. Raises a ConfigError for a column
    that is named and not there.
    """
    columns = _text_columns(dataset) if text_columns is None else text_columns
    for name in columns:
        if text_columns is not None and name not in dataset.items.columns:
            raise ConfigError(
                f"unknown text column '{name}' of data set '{dataset.name}'"
                f"{suggest(name, map(str, dataset.items.columns))}"
            )
    rows = dataset.interactions
    counts = rows.item_counts()
    num_active_users = int(np.count_nonzero(rows.user_counts()))
    num_active_items = int(np.count_nonzero(counts))
    repeats = rows.num_repeats()
    facts: dict[str, Any] = {
        "name": dataset.name,
        "num_users": dataset.num_users,
        "num_items": dataset.num_items,
        "num_users_with_interactions": num_active_users,
        "num_items_with_interactions": num_active_items,
        "num_interactions": len(rows),
        "num_unique_pairs": len(rows) - repeats,
        "density": (len(rows) - repeats) / max(1, num_active_users * num_active_items),
        "gini_items": gini(counts[counts > 0]),
        "share_of_top_20_percent_items": top_share(counts[counts > 0], 0.2),
        "mean_per_user": len(rows) / max(1, num_active_users),
        "median_per_item": float(np.median(counts[counts > 0])) if num_active_items else 0.0,
        "fingerprint": dataset.fingerprint(),
    }
    if dataset.published is not None:
        sizes = np.bincount(dataset.published, minlength=3).tolist()
        facts["published"] = dict(zip(("train", "validation", "test"), sizes))
    if rows.rating is not None and len(rows):
        facts["rating"] = {"min": float(rows.rating.min()), "max": float(rows.rating.max())}
        facts["rating"]["mean"] = float(rows.rating.mean(dtype=np.float64))
    facts.update(_time_span(dataset))
    facts["text"] = text_coverage(dataset, columns)
    if dataset.tables:
        facts["tables"] = table_report(dataset)
    facts.update({key: dataset.card[key] for key in _STATED if key in dataset.card})
    return facts


def _text_columns(dataset: Dataset) -> list[str]:
    template = dataset.card.get("text")
    pairs = template.get("item") if isinstance(template, dict) else None
    return ["text"] if "text" in dataset.items.columns or not pairs else [column for _, column in pairs]


def gini(counts: np.ndarray) -> float:
    """Return the Gini coefficient of counts: 0 where all are equal, towards 1 where one holds all.

    G = sum_i (2 i - n - 1) c_i / (n sum_i c_i), c sorted upwards, i from 1.
    """
    if not len(counts) or not counts.sum():
        return 0.0
    ordered = np.sort(counts).astype(np.float64)
    place = 2.0 * np.arange(1, len(ordered) + 1) - len(ordered) - 1
    return float((place * ordered).sum() / (len(ordered) * ordered.sum()))


def top_share(counts: np.ndarray, share: float) -> float:
    """Return the share of all interactions that the most popular `share` of the items holds."""
    if not len(counts) or not counts.sum():
        return 0.0
    ordered = np.sort(counts)[::-1]
    return float(ordered[: max(1, round(share * len(ordered)))].sum() / ordered.sum())


def text_coverage(dataset: Dataset, columns: Sequence[str] = ("text",)) -> dict[str, Any]:
    """Return coverage and length of item text: overall, weighted by interactions, and by popularity group."""
    length = text_lengths(dataset.items, columns)
    has = length > 0
    counts = dataset.interactions.item_counts()
    result: dict[str, Any] = {
        "columns": [name for name in columns if name in dataset.items.columns],
        "num_items": int(has.sum()),
        "share_of_items": float(has.mean()) if len(has) else 0.0,
        "share_of_interactions": float(counts[has].sum() / max(1, counts.sum())),
        "mean_chars": float(length.mean()) if len(length) else 0.0,
        "median_chars": float(np.median(length)) if len(length) else 0.0,
        "by_group": {},
    }
    for name, mask in item_groups(dataset.interactions).members.items():
        if mask.any():
            result["by_group"][name] = {
                "num_items": int(mask.sum()),
                "share_of_items": float(has[mask].mean()),
                "mean_chars": float(length[mask].mean()),
            }
    return result


def _time_span(dataset: Dataset) -> dict[str, Any]:
    times = dataset.interactions.timestamp
    if times is None or not len(times):
        return {}
    low, high = int(times.min()), int(times.max())
    if dataset.card.get("time") == "position":
        return {"time": {"unit": "place in the user's order", "from": low, "to": high}}
    days = (high - low) / 86_400
    return {"time": {"unit": "seconds", "from": _date(low), "to": _date(high), "days": round(days, 1)}}


def _date(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, tz=UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def format_facts(facts: dict[str, Any], indent: str = "") -> str:
    """Return the facts as aligned lines of text for a terminal."""
    lines = []
    width = max((len(str(key)) for key in facts), default=0)
    for key, value in facts.items():
        if isinstance(value, dict) and value:
            lines.append(f"{indent}{key}:")
            lines.append(format_facts(value, indent + "  "))
        else:
            lines.append(f"{indent}{key!s:<{width}}  {_format(value)}")
    return "\n".join(lines)


def _format(value: Any) -> str:
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False)
