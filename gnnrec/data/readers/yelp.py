"""Yelp Open Dataset: yelp_academic_dataset_review.json, _business.json and _user.json, streamed.

Terms: https://www.yelp.com/dataset (academic use, no redistribution).
"""

from __future__ import annotations

from array import array
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from gnnrec.data.build import IdCollector, build_dataset
from gnnrec.data.dataset import Dataset
from gnnrec.data.files import field_of, find_file, find_optional, id_of, number_of, read_json_lines
from gnnrec.errors import DataError

LICENSE = "Yelp Dataset Terms of Use: academic use, no redistribution"
_PREFIX = "yelp_academic_dataset_"


def read_yelp(folder: str | Path, name: str = "yelp", friends: bool = False) -> Dataset:
    """Return the reviews of the Yelp Open Dataset as interactions with stars and time, businesses as items.

    Text is name, categories and city of the business; reviews are never text. With `friends`, the friendships
    among users become the side table `friends`. Users may review a business repeatedly: repeats are kept.
    """
    folder = Path(folder)
    path = find_file(folder, f"{_PREFIX}review.json", "review.json")
    users, items = IdCollector(), IdCollector()
    ratings, times = array("f"), array("q")
    for number, record in read_json_lines(path):
        users.add(id_of(record, ("user_id",), path, number))
        items.add(id_of(record, ("business_id",), path, number))
        ratings.append(number_of(record, ("stars",), path, number))
        times.append(seconds(str(field_of(record, ("date",), path, number)), path, number))
    tables = {}
    if friends:
        source = find_file(folder, f"{_PREFIX}user.json", "user.json")
        tables["friends"] = _read_friends(source, users)
    return build_dataset(
        name,
        users.ids(),
        items.ids(),
        source=str(path),
        rating=np.frombuffer(ratings, dtype=np.float32) if ratings else None,
        timestamp=np.frombuffer(times, dtype=np.int64) if times else None,
        items=_read_businesses(folder),
        tables=tables,
        card={
            "license": LICENSE,
            "citation": "Yelp Open Dataset, https://www.yelp.com/dataset",
            "source": path.name,
            "text_from": "business name, categories and city",
        },
    )


def _read_businesses(folder: Path) -> pd.DataFrame | None:
    path = find_optional(folder, f"{_PREFIX}business.json", "business.json")
    if path is None:
        return None
    rows = []
    for number, record in read_json_lines(path):
        name, city, state = (str(record.get(key) or "") for key in ("name", "city", "state"))
        categories = record.get("categories") or ""
        categories = ", ".join(categories) if isinstance(categories, list) else str(categories)
        text = ". ".join(part for part in (name, categories, city) if part)
        rows.append((id_of(record, ("business_id",), path, number), name, categories, city, state, text))
    return pd.DataFrame(rows, columns=["item_id", "title", "categories", "city", "state", "text"])


def _read_friends(path: Path, users: IdCollector) -> pd.DataFrame:
    """Return the friendships of users who reviewed, as raw ids."""
    rows = []
    for number, record in read_json_lines(path):
        user = id_of(record, ("user_id",), path, number)
        listed = record.get("friends") or []
        names = listed if isinstance(listed, list) else [part.strip() for part in str(listed).split(",")]
        if user in users:
            rows.extend((user, friend) for friend in names if friend and friend != "None")
    return pd.DataFrame(rows, columns=["user", "friend"])


def seconds(text: str, path: str | Path, number: int) -> int:
    """Return an ISO date or date and time (UTC where it says no zone) as seconds since 1970."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(f"'{path}' line {number}: '{text}' is no ISO date") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp())
