"""Amazon Reviews 2014, 2018 and 2023: JSON lines of reviews and of product metadata, streamed.

2014: J. McAuley et al., SIGIR 2015, https://doi.org/10.1145/2766462.2767755; R. He and J. McAuley, WWW 2016.
2018: J. Ni, J. Li and J. McAuley, EMNLP 2019, https://aclanthology.org/D19-1018.
2023: Y. Hou et al., Bridging Language and Items for Retrieval and Recommendation, 2024,
    https://arxiv.org/abs/2403.03952.
"""

from __future__ import annotations

import html
import re
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gnnrec.data.build import IdCollector, build_dataset
from gnnrec.data.dataset import Dataset
from gnnrec.data.files import id_of, number_of, read_json_lines

LICENSE = "Amazon review data of UCSD: for research, no explicit licence; texts belong to their authors"
CITATIONS = {
    "2014": "He and McAuley, Ups and Downs, WWW 2016",
    "2018": "Ni, Li and McAuley, Justifying Recommendations, EMNLP 2019",
    "2023": "Hou et al., Bridging Language and Items, arXiv 2403.03952, 2024",
}

_USER = ("reviewerID", "user_id")
_ITEM = ("parent_asin", "asin")
_RATING = ("overall", "rating")
_TIME = ("unixReviewTime", "timestamp", "sort_timestamp")


def read_amazon(
    reviews: str | Path,
    metadata: str | Path | None = None,
    name: str | None = None,
    max_chars: int = 2000,
) -> Dataset:
    """Return one category from its reviews file and, for text, its metadata file (also gzipped).

    All three releases are told by their field names; of 2023 the item is `parent_asin`. Text is title, brand,
    categories, features and description of the product, cut at `max_chars` characters; reviews are never
    text. Memory holds one number per review field and the metadata of wanted products. Metadata rows without
    a review are left out and counted; repeated metadata rows of one product count once (the first).
    """
    reviews = Path(reviews)
    users, items = IdCollector(), IdCollector()
    ratings, times = array("f"), array("q")
    release = ""
    for number, record in read_json_lines(reviews):
        if not release:
            release = "2014 or 2018" if "reviewerID" in record else "2023"
        users.add(id_of(record, _USER, reviews, number))
        items.add(id_of(record, _ITEM, reviews, number))
        ratings.append(number_of(record, _RATING, reviews, number))
        times.append(int(number_of(record, _TIME, reviews, number)))
    table, counts = (None, {}) if metadata is None else _read_metadata(Path(metadata), items, max_chars)
    card: dict[str, Any] = {
        "license": LICENSE,
        "citation": CITATIONS["2023"] if release == "2023" else f"{CITATIONS['2014']}; {CITATIONS['2018']}",
        "release": release,
        "source": reviews.name,
        **counts,
    }
    if table is not None:
        card["text_from"] = "product metadata: title, brand, categories, features, description"
    return build_dataset(
        name or reviews.name.split(".")[0],
        users.ids(),
        items.ids(),
        source=str(reviews),
        rating=np.frombuffer(ratings, dtype=np.float32) if ratings else None,
        timestamp=np.frombuffer(times, dtype=np.int64) if times else None,
        items=table,
        card=card,
    )


def _read_metadata(path: Path, items: IdCollector, max_chars: int) -> tuple[pd.DataFrame, dict[str, int]]:
    rows: dict[str, tuple[str, str, str, str]] = {}
    counts = {"num_repeated_metadata_rows": 0, "num_metadata_rows_without_reviews": 0}
    for number, record in read_json_lines(path):
        asin = id_of(record, _ITEM, path, number)
        if asin in rows:
            counts["num_repeated_metadata_rows"] += 1
        elif asin not in items:
            counts["num_metadata_rows_without_reviews"] += 1
        else:
            title = clean(record.get("title"))
            brand = clean(record.get("brand") or record.get("store"))
            categories = ", ".join(_categories(record))
            body = [clean(record.get(key)) for key in ("features", "feature", "description")]
            text = ". ".join(part for part in (title, brand, categories, *body) if part)
            rows[asin] = (title, brand, categories, text[:max_chars])
    columns = ["title", "brand", "categories", "text"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=str)
    return table.rename_axis("item_id").reset_index(), counts


def _categories(record: dict[str, Any]) -> list[str]:
    """Return the category names once each, whether they come as a list or as a list of paths."""
    names: dict[str, None] = {}
    stack = [record.get("categories") or record.get("category") or []]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(reversed(value))
        elif value:
            names[clean(value)] = None
    return [name for name in names if name]


def clean(value: Any) -> str:
    """Return text (or a list of texts) without tags, entities and repeated blanks."""
    if value is None:
        return ""
    joined = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return " ".join(re.sub(r"<[^>]{0,300}>", " ", html.unescape(joined)).split())
