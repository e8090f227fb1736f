"""From the columns of a data set to one text per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gnnrec.errors import DataError, suggest

Template = Sequence[Sequence[str]]


def render(frame: pd.DataFrame, template: Template) -> list[str]:
    """Return one text per row: `label: value` for each [label, column] pair, joined by '. '.

    A missing or empty value drops its pair, an empty label leaves the value alone, and a value that is a
    list is joined by ', '. Values stay as they are ('libglib2.0-dev' keeps its dots and dashes); a closing
    full stop is not doubled. A column that the frame lacks is a DataError that names the nearest one.
    """
    if not isinstance(template, list | tuple):
        raise DataError(f"a text template is a list of [label, column] pairs (got {template!r})")
    pairs = [_pair(entry) for entry in template]
    parts: list[list[str]] = [[] for _ in range(len(frame))]
    for label, column in pairs:
        if column not in frame.columns:
            raise DataError(
                f"the text template asks for column '{column}'{suggest(column, map(str, frame.columns))}"
            )
        for part, value in zip(parts, frame[column].tolist()):
            text = to_text(value).rstrip(". ")
            if text:
                part.append(f"{label}: {text}" if label else text)
    return [". ".join(part) for part in parts]


def row_texts(frame: pd.DataFrame, template: Template | None = None) -> list[str]:
    """Return the text of each row: the template's, else that of the column `text`.

    The template is what a data set's card holds under card['text']['item'] or card['text']['user'].
    """
    if template:
        return render(frame, template)
    if "text" not in frame.columns:
        names = ", ".join(map(str, frame.columns)) or "none"
        raise DataError(
            f"there is no text: no text template in the card and no column named 'text' (columns: {names})"
        )
    return [to_text(value) for value in frame["text"].tolist()]


def to_text(value: Any) -> str:
    """Return a cell as stripped text: '' for None, NaN and NaT; lists joined by ', '; 2.0 as '2'."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return ", ".join(text for text in map(to_text, items) if text)
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _pair(entry: Any) -> tuple[str, str]:
    pair = isinstance(entry, list | tuple) and len(entry) == 2
    if not pair or not all(isinstance(part, str) for part in entry):
        raise DataError(f"a text template is a list of [label, column] pairs (got {entry!r})")
    return entry[0], entry[1]
