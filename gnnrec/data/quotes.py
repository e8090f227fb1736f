"""Quotes of separated text files that are not closed, which parsers take for one long field."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from gnnrec.data.files import read_lines
from gnnrec.errors import DataError

UNIT = "\x1f"
"""What stands for a separator of several characters, which parsers do not take: no text holds it."""

_CHUNK = 1 << 22


def check_quotes(path: Path, separator: str, encoding: str) -> None:
    """Raise a DataError for a quoted field that runs over lines and is not closed as RFC 4180 has it.

    A parser reads the rows up to the next quote, or to the end of the file, as the text of that field, and they are
    lost without a word. A stray quote within one line costs no row and passes.
    """
    if not _has_quotes(path):
        return
    taken: list[str] = []
    delimiter = separator if len(separator) == 1 else UNIT
    lines = (line.replace(separator, delimiter) for line in _lines(path, encoding))
    rows = csv.reader(_taking(lines, taken), delimiter=delimiter)
    limit = csv.field_size_limit(2**31 - 1)  # one for the process; a long text is no fault
    first = 1
    try:
        for _ in rows:
            if len(taken) > 1:
                _check_row(taken, first, rows.line_num, path, delimiter)
            first = rows.line_num + 1
            taken.clear()
    finally:
        csv.field_size_limit(limit)


def _check_row(lines: list[str], first: int, last: int, path: Path, delimiter: str) -> None:
    try:
        for _ in csv.reader(lines, delimiter=delimiter, strict=True):
            pass
    except csv.Error as error:
        raise DataError(
            f"'{path}' line {first}: a quote is opened and not closed up to line {last}, so the rows between would be "
            'lost in it; close it, or write a quote inside a field twice ("")'
        ) from error


def _has_quotes(path: Path) -> bool:
    with pa.input_stream(str(path)) as stream:
        while chunk := stream.read(_CHUNK):
            if b'"' in chunk:
                return True
    return False


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """Yield the lines of a file; a carriage return alone ends one, too."""
    for _, text in read_lines(path, encoding):
        for line in text.split("\r"):
            yield line + "\n"


def _taking(lines: Iterator[str], taken: list[str]) -> Iterator[Any]:
    """Yield the lines, each put into `taken` before."""
    for line in lines:
        taken.append(line)
        yield line
