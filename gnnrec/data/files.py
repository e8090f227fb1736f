"""Reading other people's text files by the line: encodings, gzip and broken lines told by file and line."""

from __future__ import annotations

import csv
import gzip
import json
import math
import zlib
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gnnrec.errors import DataError
from gnnrec.progress import Progress

_BOMS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
TRUNCATED = "the gzip file is cut off; fetch it again"


def find_file(folder: str | Path, *names: str) -> Path:
    """Return the first of `names` that is in `folder`, maybe with .gz; else a DataError lists what is there."""
    found = find_optional(folder, *names)
    if found is None:
        here = sorted(entry.name for entry in Path(folder).iterdir())[:12] if Path(folder).is_dir() else []
        raise DataError(f"'{folder}' has no {' or '.join(names)} (it has: {', '.join(here) or 'nothing'})")
    return found


def find_optional(folder: str | Path, *names: str) -> Path | None:
    """Return the first of `names` that is in `folder`, also with .gz behind it, or None."""
    for name in names:
        for candidate in (name, f"{name}.gz"):
            if (Path(folder) / candidate).is_file():
                return Path(folder) / candidate
    return None


def read_lines(path: str | Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yield the number (from 1) and text of each line of a plain or gzipped file, without CR, LF and BOM.

    Memory stays bounded by the longest line. Raises DataError with the line number for bytes that are not of
    the encoding, and for a gzip file that ends too early.
    """
    path = Path(path)
    check_encoding(encoding)
    number = 0
    try:
        with (
            path.open("rb") as raw,
            Progress(total=path.stat().st_size, name=path.name, unit="B") as bar,
        ):
            head = raw.peek(4)[:4]
            zipped = head[:2] == b"\x1f\x8b"
            if not zipped:
                check_bom(head, encoding, path)
            stream = gzip.GzipFile(fileobj=raw) if zipped else raw
            for number, line in enumerate(stream, start=1):
                if number == 1 and line.startswith(b"\xef\xbb\xbf"):
                    line = line[3:]
                yield number, line.decode(encoding).rstrip("\r\n")
                if number % 50_000 == 0:
                    bar.update(raw.tell() - bar.done)
    except UnicodeDecodeError as error:
        raise _encoding_error(path, number, encoding, error) from error
    except EOFError as error:
        raise DataError(f"'{path}' after line {number}: {TRUNCATED}") from error
    except (OSError, zlib.error) as error:
        raise DataError(f"cannot read '{path}' after line {number}: {error}") from error


def check_encoding(encoding: str) -> None:
    try:
        "a".encode(encoding)
    except LookupError as error:
        raise DataError(
            f"unknown encoding '{encoding}': use a name such as utf-8, latin-1 or cp1252"
        ) from error


def check_bom(head: bytes, encoding: str, path: Path) -> None:
    for mark, name in _BOMS:
        if head.startswith(mark) and not encoding.lower().replace("_", "-").startswith(name):
            raise DataError(f"'{path}' begins with the mark of {name}; convert it to UTF-8 first")


def _encoding_error(path: Path, line: int, encoding: str, error: UnicodeDecodeError) -> DataError:
    return DataError(
        f"'{path}' line {line + 1 if line == 0 else line}: byte {error.object[error.start]:#04x} is not "
        f"{encoding}; "
        "pass the encoding of the file, e.g. encoding='latin-1'"
    )


def csv_rows(reader: Any, path: str | Path) -> Iterator[Any]:
    """Yield the rows of a reader of module csv; what it cannot read is a DataError with the line."""
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(
            f"'{path}' up to line {reader.line_num}: {error}; look for a quote that is not closed"
        ) from error


def read_json_lines(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and object of each line of JSON (or of Python literals, as some old dumps hold them).

    Literals are parsed, never executed. Raises DataError with the line number for anything else.
    """
    for number, line in read_lines(path):
        if not line.strip():
            continue
        value = _parse(line, path, number)
        if not isinstance(value, dict):
            raise DataError(f"'{path}' line {number}: expected an object (got {type(value).__name__})")
        yield number, value


def _parse(line: str, path: str | Path, number: int) -> Any:
    try:
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            value = _literal(line, path, number, error)
        return _without_surrogates(value) if "\\ud" in line.lower() else value
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"'{path}' line {number}: a number of too many digits, or lists and objects nested too deeply"
        ) from error


def _without_surrogates(value: Any) -> Any:
    """Return a value of JSON with '?' for each half of a surrogate pair: no file can hold these."""
    if isinstance(value, str):
        joined = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return joined.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_without_surrogates(one) for one in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(one) for key, one in value.items()}
    return value


def _literal(line: str, path: str | Path, number: int, error: json.JSONDecodeError) -> Any:
    try:
        return literal_eval(line)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise DataError(f"'{path}' line {number}: not JSON ({error.msg} at column {error.colno})") from error


def field_of(record: dict[str, Any], names: tuple[str, ...], path: str | Path, number: int) -> Any:
    """Return the first of the named fields that the record has, or raise a DataError with file and line."""
    for name in names:
        if name in record and record[name] is not None:
            return record[name]
    known = ", ".join(sorted(record))
    raise DataError(f"'{path}' line {number}: no field {' or '.join(map(repr, names))} (it has: {known})")


def id_of(record: dict[str, Any], names: tuple[str, ...], path: str | Path, number: int) -> str:
    """Return the raw id in the first of the named fields as text; an empty one, a list or the like is a DataError."""
    value = field_of(record, names, path, number)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise DataError(
            f"'{path}' line {number}: {' or '.join(map(repr, names))} must be an id (got {value!r})"
        )
    return str(value)


def number_of(record: dict[str, Any], names: tuple[str, ...], path: str | Path, number: int) -> float:
    """Return the first of the named fields as a number; anything else, or one beyond 64 bits, is a DataError."""
    value = field_of(record, names, path, number)
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not abs(result) < 2**63:
        raise DataError(
            f"'{path}' line {number}: {' or '.join(map(repr, names))} must be a number (got {value!r})"
        )
    return result
