"""CiteULike-a and CiteULike-t: libraries of scientific articles with tags, citations and abstracts.

a: C. Wang and D. M. Blei, KDD 2011; H. Wang, B. Chen and W.-J. Li, IJCAI 2013,
    https://github.com/js05212/citeulike-a
t: the second paper, https://github.com/js05212/citeulike-t
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from gnnrec.data.dataset import Dataset, check_numbering, id_table
from gnnrec.data.files import csv_rows, find_file, find_optional, read_lines
from gnnrec.data.interactions import Interactions
from gnnrec.data.quotes import check_quotes
from gnnrec.errors import DataError


def read_citeulike(folder: str | Path, name: str | None = None, text: str = "auto") -> Dataset:
    """Return users' libraries as interactions, articles as items, citations as a side table (src, dst).

    users.dat, citations.dat and item-tag.dat (a) hold a line per user or article, 'count id id ...';
    tag-item.dat (t) holds a line per tag. `text` is "abstract" (title and abstract: raw-data.csv or
    rawtext.dat), "tags", or "auto": abstracts where the file is there, else tags. Numbers in the files are
    the ids.
    """
    folder = Path(folder)
    source = find_file(folder, "users.dat")
    user, item = _lists(source)
    tags = _tags(folder)
    abstracts = None if text == "tags" else _abstracts(folder)
    if text == "abstract" and abstracts is None:
        raise DataError(f"'{folder}' has no raw-data.csv or rawtext.dat for text='abstract'; use text='tags'")
    num_items = max(int(item.max(initial=-1)) + 1, 0 if abstracts is None else len(abstracts))
    num_items = max(num_items, max(tags, default=-1) + 1)
    check_numbering("item", num_items, len(item), folder)
    items = id_table("item", num_items)
    items["tags"] = [", ".join(tags.get(place, [])) for place in range(num_items)]
    if abstracts is not None:
        items["text"] = [*abstracts, *[""] * (num_items - len(abstracts))]
    else:
        items["text"] = items["tags"]
    tables = {}
    citations = find_optional(folder, "citations.dat")
    if citations is not None:
        src, dst = _lists(citations)
        tables["citations"] = pd.DataFrame({"src": src, "dst": dst})
    num_users = int(user.max(initial=-1)) + 1
    interactions = Interactions(user, item, num_users, num_items, unique=False).marked_unique()
    card = {
        "name": name or folder.name,
        "license": "research use, no licence file",
        "citation": "Wang, Chen and Li, Collaborative Topic Regression, IJCAI 2013",
        "source": source.name,
        "text_from": "title and abstract" if abstracts is not None else "tags of users (leak risk)",
    }
    return Dataset(name or folder.name, interactions, id_table("user", num_users), items, card, tables=tables)


def _lists(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return row and value of 'count value value ...' lines; a count that does not fit is a DataError."""
    rows, sizes = [], []
    for line, text in read_lines(path):
        fields = text.split()
        try:
            values = np.array(fields, dtype=np.int32)
        except (ValueError, OverflowError) as error:
            raise DataError(f"'{path}' line {line}: expected whole numbers below 2^31 ({error})") from error
        if len(values) and values.min() < 0:
            raise DataError(f"'{path}' line {line}: numbers must not be negative (got {values.min()})")
        if len(values) and values[0] != len(values) - 1:
            raise DataError(f"'{path}' line {line}: says {values[0]} values and holds {len(values) - 1}")
        rows.append(values[1:])
        sizes.append(max(len(values) - 1, 0))
    if not any(sizes):
        raise DataError(f"'{path}' holds no values")
    return np.repeat(np.arange(len(sizes)), sizes), np.concatenate(rows)


def _tags(folder: Path) -> dict[int, list[str]]:
    by_item, by_tag = find_optional(folder, "item-tag.dat"), find_optional(folder, "tag-item.dat")
    names = find_optional(folder, "tags.dat")
    source = by_item or by_tag
    if source is None or names is None:
        return {}
    words = [text for _, text in read_lines(names)]
    left, right = _lists(source)
    item, tag = (left, right) if by_item is not None else (right, left)
    tags: dict[int, list[str]] = {}
    for place, number in zip(item.tolist(), tag.tolist()):
        if number >= len(words):
            raise DataError(f"'{source}' names tag {number}, and '{names}' has {len(words)}")
        tags.setdefault(place, []).append(words[number])
    return tags


def _abstracts(folder: Path) -> list[str] | None:
    """Return title and abstract by article: raw-data.csv of a, or rawtext.dat of t ('##' above each)."""
    table = find_optional(folder, "raw-data.csv")
    if table is not None:
        texts: dict[int, str] = {}
        check_quotes(table, ",", "latin-1")
        reader = csv.DictReader(line + "\n" for _, line in read_lines(table, "latin-1"))
        for row in csv_rows(reader, table):
            try:
                place = int(row["doc.id"]) - 1
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(
                    f"'{table}' line {reader.line_num}: no whole number in column 'doc.id'"
                ) from error
            if place < 0:
                raise DataError(
                    f"'{table}' line {reader.line_num}: doc.id must be at least 1 (got {place + 1})"
                )
            fields = [" ".join((row.get(name) or "").split()) for name in ("raw.title", "raw.abstract")]
            texts[place] = ". ".join(field for field in fields if field)
        count = max(texts, default=-1) + 1
        check_numbering("article (doc.id - 1)", count, len(texts), table)
        return [texts.get(place, "") for place in range(count)]
    raw = find_optional(folder, "rawtext.dat")
    if raw is None:
        return None
    texts_in_order: list[str] = []
    for _, line in read_lines(raw, "latin-1"):
        if line.startswith("##"):
            texts_in_order.append("")
        elif texts_in_order:
            texts_in_order[-1] = f"{texts_in_order[-1]} {line.strip()}".strip()
    return texts_in_order
