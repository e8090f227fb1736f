from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gnnrec.errors import DataError
from gnnrec.text.templates import render, row_texts, to_text

FRAME = pd.DataFrame(
    {
        "name": ["libglib2.0-dev", "vim", None],
        "section": ["libdevel", "", "  "],
        "tags": [["role::devel-lib", "devel::library"], [], None],
        "year": [1995.0, float("nan"), float("nan")],
    }
)


def test_a_template_keeps_names_and_drops_missing_values():
    template = [["package", "name"], ["section", "section"], ["tags", "tags"], ["year", "year"]]
    assert render(FRAME, template) == [
        "package: libglib2.0-dev. section: libdevel. tags: role::devel-lib, devel::library. year: 1995",
        "package: vim",
        "",
    ]


def test_an_empty_label_leaves_the_value_alone_and_full_stops_are_not_doubled():
    frame = pd.DataFrame({"a": ["One sentence."], "b": ["Two..."]})
    assert render(frame, [["", "a"], ["b", "b"]]) == ["One sentence. b: Two"]


def test_an_unknown_column_names_the_nearest():
    with pytest.raises(DataError, match=r"'sectoin', did you mean 'section'\?"):
        render(FRAME, [["section", "sectoin"]])


@pytest.mark.parametrize("entry", ["ab", ["name"], ["label", 3]])
def test_a_malformed_template_is_an_error(entry: object):
    with pytest.raises(DataError, match=r"list of \[label, column\] pairs"):
        render(FRAME, [entry])  # type: ignore[list-item]


def test_without_template_the_text_column_is_the_text():
    frame = pd.DataFrame({"text": [" a ", None]})
    assert row_texts(frame) == ["a", ""]
    assert row_texts(frame.assign(t="x"), [["", "t"]]) == ["x", "x"]
    with pytest.raises(DataError, match="no column named 'text'"):
        row_texts(FRAME)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, ""),
        (np.nan, ""),
        (pd.NaT, ""),
        (2.0, "2"),
        (2.5, "2.5"),
        (7, "7"),
        (np.array(["b", "a"]), "b, a"),
    ],
)
def test_cells(cell: object, text: str):
    assert to_text(cell) == text
