"""Book-Crossing: BX-Book-Ratings.csv, BX-Books.csv and BX-Users.csv, or their comma-separated copies.

C.-N. Ziegler, S. M. McNee, J. A. Konstan and G. Lausen, WWW 2005, https://doi.org/10.1145/1060745.1060754
"""

from __future__ import annotations

import csv
import html
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from gnnrec.data.build import IdCollector, build_dataset
from gnnrec.data.dataset import Dataset
from gnnrec.data.files import find_file, find_optional, read_lines
from gnnrec.errors import DataError


def read_bookcrossing(folder: str | Path, name: str = "book-crossing") -> Dataset:
    """Return ratings 0 to 10 as interactions (0 means implicit), books as items, users with place and age.

    Text is title, author, publisher and year. The files of the authors are latin-1 with ';' and backslashes
    before quotes; later copies are UTF-8 with commas: both are read.
    """
    folder = Path(folder)
    path = find_file(folder, "BX-Book-Ratings.csv", "Ratings.csv")
    users, items, ratings = IdCollector(), IdCollector(), []
    for number, row in _rows(path):
        if len(row) < 3 or not row[2].strip().isdigit():
            raise DataError(
                f"'{path}' line {number}: expected user, ISBN and a rating from 0 to 10 (got {row[:4]})"
            )
        users.add(row[0])
        items.add(row[1])
        ratings.append(int(row[2]))
    source = find_optional(folder, "BX-Users.csv", "Users.csv")
    people = None
    if source is not None:
        people = pd.DataFrame([row[:3] for _, row in _rows(source)], columns=["user_id", "location", "age"])
        people["age"] = pd.to_numeric(people["age"], errors="coerce")
        people = people[people["user_id"].isin(users.ids().names.tolist())]
    return build_dataset(
        name,
        users.ids(),
        items.ids(),
        source=str(path),
        rating=np.array(ratings, dtype=np.float32),
        items=_read_books(folder),
        users=None if people is None else pd.DataFrame(people),
        card={
            "license": "freely available for research with acknowledgement of the authors",
            "citation": "Ziegler et al., Improving Recommendation Lists, WWW 2005",
            "source": path.name,
            "text_from": "title, author, publisher and year",
            "rating": "0 is implicit feedback, 1 to 10 explicit",
        },
    )


def _read_books(folder: Path) -> pd.DataFrame | None:
    path = find_optional(folder, "BX-Books.csv", "BX_Books.csv", "Books.csv")
    if path is None:
        return None
    rows = [[html.unescape(value) for value in row[:5]] for _, row in _rows(path) if len(row) >= 5]
    books = pd.DataFrame(rows, columns=["item_id", "title", "author", "year", "publisher"])
    pieces = [books[name].str.strip() for name in ("title", "author", "publisher", "year")]
    books["text"] = [". ".join(piece for piece in row if piece and piece != "0") for row in zip(*pieces)]
    return books.drop_duplicates("item_id", ignore_index=True)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of each row after the header."""
    _, header = next(read_lines(path, "latin-1"), (0, ""))
    original = ";" in header
    if not (original or "," in header):
        raise DataError(f"'{path}' line 1: expected a header separated by ';' or ',' (got {header[:60]!r})")
    text = (line for _, line in read_lines(path, "latin-1" if original else "utf-8"))
    reader = csv.reader(
        text,
        delimiter=";" if original else ",",
        escapechar="\\" if original else None,
        doublequote=not original,
        strict=False,
    )
    next(reader)
    for row in reader:
        yield reader.line_num, row
