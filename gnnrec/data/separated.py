"""Reading other people's separated text files as tables, by a parser that uses all processors."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc

from gnnrec.data.files import TRUNCATED, check_bom, check_encoding, read_lines
from gnnrec.data.quotes import UNIT, check_quotes
from gnnrec.errors import DataError

MISSING = ["", "NA", "NaN", "nan", "NULL"]
"""How separated files write that a number is missing."""


def read_table(
    path: str | Path,
    separator: str,
    names: list[str] | None = None,
    types: dict[str, pa.DataType] | None = None,
    encoding: str = "utf-8",
    quote: bool = False,
    columns: list[str] | None = None,
) -> pa.Table:
    """Return a separated text file (plain or gzipped) as a table, by a parser that uses all processors.

    Args:
        separator: one character, or several (as '::' of MovieLens).
        names: the column names; None takes them from the first line.
        types: types of columns; others are inferred.
        quote: whether fields may be in double quotes.
        columns: the columns to keep.

    Raises DataError with file, and line or column, for bad rows, bad values, bad bytes and cut-off files.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file '{path}'")
    if path.stat().st_size == 0:
        raise DataError(f"'{path}' is empty")
    check_encoding(encoding)
    _check_separator(separator)

    def parse(use_threads: bool) -> pa.Table:
        return pc.read_csv(
            _source(path, separator),
            read_options=pc.ReadOptions(
                column_names=names, encoding=encoding, block_size=1 << 22, use_threads=use_threads
            ),
            parse_options=pc.ParseOptions(
                delimiter=separator if len(separator) == 1 else UNIT,
                quote_char='"' if quote else False,
                newlines_in_values=quote,
            ),
            convert_options=pc.ConvertOptions(
                column_types=types or {}, include_columns=columns or [], null_values=MISSING
            ),
        )

    try:
        with path.open("rb") as raw:
            head = raw.read(4)
        check_bom(head, encoding, path)
        if names is None:
            _check_header(path, separator, encoding, columns)
        if quote:
            check_quotes(path, separator, encoding)
        table = parse(use_threads=True)
        for name, kind in zip(table.column_names, table.schema.types):
            if pa.types.is_binary(kind):  # what the parser takes for text that is not UTF-8
                _find_bad_line(path, encoding)
                raise DataError(f"column '{name}' of '{path}' holds bytes that are not {encoding}")
        return _with_separators(table, separator) if quote and len(separator) > 1 else table
    except pa.ArrowKeyError as error:
        raise _column_error(path, separator, columns or [], encoding) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        _find_bad_line(path, encoding)
        reason = str(error)
        if "runcated" in reason or "nexpected end" in reason:
            raise DataError(f"cannot read '{path}': {TRUNCATED}") from error
        try:
            parse(use_threads=False)  # only this mode tells the row
        except (pa.ArrowException, OSError) as again:
            reason = str(again)
        raise DataError(f"cannot read '{path}': {' '.join(reason.split())}") from error


def _check_separator(separator: str) -> None:
    if not separator.isascii() or not separator or set(separator) & set('"\r\n'):
        raise DataError(
            f"the separator must be ASCII characters without quotes and line ends (got {separator!r})"
        )


def _source(path: Path, separator: str) -> Any:
    """Return what the parser reads; a long separator is replaced by a character that no text holds."""
    stream = pa.input_stream(str(path))
    if len(separator) == 1:
        return stream
    with stream:
        return pa.BufferReader(stream.read().replace(separator.encode(), UNIT.encode()))


def _with_separators(table: pa.Table, separator: str) -> pa.Table:
    """Return a table with the long separator back in the text of quoted fields that hold it."""
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            text = table[field.name].to_pandas().str.replace(UNIT, separator, regex=False)
            table = table.set_column(place, field.name, pa.array(text, field.type))
    return table


def _header(path: Path, separator: str, encoding: str) -> list[str]:
    for _, line in read_lines(path, encoding):
        first = line.partition("\r")[0]  # which ends a line, too
        delimiter = separator if len(separator) == 1 else UNIT
        return next(csv.reader([first.replace(separator, delimiter)], delimiter=delimiter))
    return []


def _check_header(path: Path, separator: str, encoding: str, columns: list[str] | None) -> None:
    """Raise a DataError for a column that is wanted and there twice: the parser would take any of the two."""
    known = _header(path, separator, encoding)
    for name in known:
        if known.count(name) > 1 and (not columns or name in columns):
            raise DataError(f"'{path}' has two columns '{name}': rename one of them")


def _column_error(path: Path, separator: str, columns: list[str], encoding: str) -> DataError:
    known = _header(path, separator, encoding)
    missing = [name for name in columns if name not in known]
    return DataError(
        f"'{path}' has no column {', '.join(map(repr, missing))} (its columns: {', '.join(known)})"
    )


def _find_bad_line(path: Path, encoding: str) -> None:
    """Raise the DataError that names the line, where the fault is in bytes that are not of the encoding."""
    for _ in read_lines(path, encoding):
        pass
