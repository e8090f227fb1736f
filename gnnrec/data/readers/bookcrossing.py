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
from gnnrec.data.files import csv_rows, find_file, find_optional, read_lines
from gnnrec.data.quotes import check_quotes
from gnnrec.errors import DataError

_RATINGS = {str(value) for value in range(11)}


def read_bookcrossing(folder: str | Path, name: str = "book-crossing") -> Dataset:
    """Return ratings 0 to 10 as interactions (0 means implicit), books as items, users with place and age.

    Text is title, author, publisher and year. The files of the authors are latin-1 with ';' and backslashes
    before quotes; later copies are UTF-8 with commas: both are read. Left out and counted in the card's notes:
    users without a rating, and rows of books or users without an id or with more or fewer fields than the header.
    """
    folder = Path(folder)
    path = find_file(folder, "BX-Book-Ratings.csv", "Ratings.csv")
    users, items, ratings = IdCollector(), IdCollector(), []
    _, rows = _open(path)
    for number, row in rows:
        if len(row) != 3 or row[2].strip() not in _RATINGS:
            raise DataError(
                f"'{path}' line {number}: expected user, ISBN and a rating from 0 to 10 (got {row[:4]})"
            )
        if not row[0] or not row[1]:
            raise DataError(f"'{path}' line {number}: the user or the ISBN is missing (got {row})")
        users.add(row[0])
        items.add(row[1])
        ratings.append(int(row[2]))
    notes: dict[str, int] = {}
    books, people = _read_books(folder, notes), _read_users(folder, users, notes)
    return build_dataset(
        name,
        users.ids(),
        items.ids(),
        source=str(path),
        rating=np.array(ratings, dtype=np.float32),
        items=books,
        users=people,
        card={
            "license": "freely available for research with acknowledgement of the authors",
            "citation": "Ziegler et al., Improving Recommendation Lists, WWW 2005",
            "source": path.name,
            "text_from": "title, author, publisher and year",
            "rating": "0 is implicit feedback, 1 to 10 explicit",
            "notes": notes,
        },
    )


def _read_users(folder: Path, rated: IdCollector, notes: dict[str, int]) -> pd.DataFrame | None:
    path = find_optional(folder, "BX-Users.csv", "Users.csv")
    if path is None:
        return None
    everyone = _whole_rows(path, ["user_id", "location", "age"], "user", notes)
    everyone["age"] = pd.to_numeric(everyone["age"], errors="coerce")
    people = everyone.loc[np.array([user in rated for user in everyone["user_id"]], dtype=bool)]
    if len(people) < len(everyone):
        notes["num_users_without_ratings"] = len(everyone) - len(people)
    return pd.DataFrame(people)


def _read_books(folder: Path, notes: dict[str, int]) -> pd.DataFrame | None:
    path = find_optional(folder, "BX-Books.csv", "BX_Books.csv", "Books.csv")
    if path is None:
        return None
    columns = ["item_id", "title", "author", "year", "publisher"]
    books = _whole_rows(path, columns, "book", notes)
    # not the ids, which the ratings hold as written
    books[columns[1:]] = books[columns[1:]].map(html.unescape)
    pieces = [books[name].str.strip() for name in ("title", "author", "publisher", "year")]
    books["text"] = [". ".join(piece for piece in row if piece and piece != "0") for row in zip(*pieces)]
    return books


def _whole_rows(path: Path, columns: list[str], kind: str, notes: dict[str, int]) -> pd.DataFrame:
    """Return the first fields of the rows that are as long as the header and name an id; others are counted."""
    header, rows = _open(path)
    if len(header) < len(columns):
        raise DataError(
            f"'{path}' line 1: expected the columns {', '.join(columns)}, in this order (got {header})"
        )
    found = [row for _, row in rows]
    whole = [row for row in found if len(row) == len(header) and row[0]]
    if len(whole) < len(found):
        notes[f"num_malformed_{kind}_rows"] = len(found) - len(whole)
    # ids stay as they are, since those of the ratings do; other fields may run over lines
    kept = [[row[0], *(" ".join(field.split()) for field in row[1 : len(columns)])] for row in whole]
    return pd.DataFrame(kept, columns=columns)


def _open(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Return the header, and line number and fields of each row that is not blank."""
    _, header = next(read_lines(path, "latin-1"), (0, ""))
    original = ";" in header
    if not (original or "," in header):
        raise DataError(f"'{path}' line 1: expected a header separated by ';' or ',' (got {header[:60]!r})")
    if not original:  # where quotes inside text have backslashes, the check would take them for loose ones
        check_quotes(path, ",", "utf-8")
    text = (line + "\n" for _, line in read_lines(path, "latin-1" if original else "utf-8"))
    reader = csv.reader(
        text,
        delimiter=";" if original else ",",
        escapechar="\\" if original else None,
        doublequote=not original,
        strict=False,
    )
    rows = ((reader.line_num, row) for row in csv_rows(reader, path) if row)
    return next(rows)[1], rows
