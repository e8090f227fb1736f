"""MIND, Microsoft news: behaviours as implicit feedback, news with title and abstract.

F. Wu et al., MIND: A Large-scale Dataset for News Recommendation, ACL 2020,
https://aclanthology.org/2020.acl-main.331
"""

from __future__ import annotations

from array import array
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from gnnrec.data.build import IdCollector, build_dataset
from gnnrec.data.dataset import Dataset
from gnnrec.data.files import find_file, read_lines
from gnnrec.data.separated import read_table
from gnnrec.errors import DataError

_NEWS = [
    "item_id",
    "category",
    "subcategory",
    "title",
    "abstract",
    "url",
    "title_entities",
    "abstract_entities",
]


def read_mind(folder: str | Path, name: str | None = None, history: bool = True) -> Dataset:
    """Return the clicks of behaviors.tsv as interactions and news.tsv as items.

    A click is an impression marked -1 at the time of its line. With `history`, the earlier clicks of a user
    count
    too: they come without times, so each gets the time of the line that it first stands in. A pair clicked
        several
    times counts once, at its first time. Text is title and abstract.
    """
    folder = Path(folder)
    path = find_file(folder, "behaviors.tsv")
    users, items, times = IdCollector(), IdCollector(), array("q")
    first: dict[tuple[str, str], int] = {}
    for number, line in read_lines(path):
        fields = line.split("\t")
        if len(fields) != 5:
            raise DataError(
                f"'{path}' line {number}: expected 5 fields separated by tabs (got {len(fields)})"
            )
        moment = _seconds(fields[2], path, number)
        clicked = [entry[:-2] for entry in fields[4].split() if entry.endswith("-1")]
        taken = [*(fields[3].split() if history else []), *clicked]
        if not fields[1] or "" in taken:
            raise DataError(f"'{path}' line {number}: the id of the user or of a clicked article is missing")
        for news in taken:
            pair = (fields[1], news)
            first[pair] = min(moment, first.get(pair, moment))
    for (user, news), moment in first.items():
        users.add(user)
        items.add(news)
        times.append(moment)
    source = find_file(folder, "news.tsv")
    news_table = read_table(
        source, "\t", names=_NEWS, types={column: pa.string() for column in _NEWS}
    ).to_pandas()[["item_id", "category", "subcategory", "title", "abstract"]]
    title, abstract = news_table["title"].fillna(""), news_table["abstract"].fillna("")
    news_table["text"] = (title + ". " + abstract).str.removesuffix(". ")
    return build_dataset(
        name or folder.name,
        users.ids(),
        items.ids(),
        source=str(path),
        timestamp=np.frombuffer(times, dtype=np.int64) if times else None,
        items=pd.DataFrame(news_table),
        card={
            "license": "Microsoft Research License: non-commercial research",
            "citation": "Wu et al., MIND: A Large-scale Dataset for News Recommendation, ACL 2020",
            "source": path.name,
            "text_from": "news title and abstract",
            "history": "included, at the time of its first line" if history else "left out",
        },
    )


def _seconds(text: str, path: Path, number: int) -> int:
    try:
        return int(datetime.strptime(text, "%m/%d/%Y %I:%M:%S %p").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise DataError(f"'{path}' line {number}: '{text}' is no time like 11/15/2019 8:55:22 AM") from error
