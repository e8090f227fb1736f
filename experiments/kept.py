"""Rows of a written table that stay as they are while others of it are run: `--rows` of table.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from experiments.settings import Setting, read_settings
from experiments.spec import Cell, TableSpec
from gnnrec.errors import ConfigError, DataError, suggest
from gnnrec.evaluation.significance import MIN_SEEDS
from gnnrec.report.frame import records
from gnnrec.report.tables import Table

COLUMNS = ("block", "row", "metric", "mean", "std", "num_seeds")


class Kept(NamedTuple):
    """What is kept of a written table: its lines, as `summarise` gives them, and what its rows were tuned to."""

    means: pd.DataFrame | None
    settings: dict[Cell, Setting]


NOTHING = Kept(None, {})


def named_rows(text: str, spec: TableSpec) -> list[str]:
    """Return the rows that `--rows` names, with commas between them; a label may have commas of its own.

    Raises a ConfigError for what is no row, and for none at all.
    """
    labels = [row.label for row in spec.rows]
    named, rest = [], text
    while rest:
        fitting = [label for label in labels if rest == label or rest.startswith(f"{label},")]
        if not fitting:
            unknown = rest.partition(",")[0]
            raise ConfigError(
                f"'--rows' names '{unknown}', which is no row of table '{spec.name}'{suggest(unknown, labels)}"
            )
        named.append(max(fitting, key=len))
        rest = rest[len(named[-1]) + 1 :]
    if not named:
        raise ConfigError(f"'--rows' names no row; table '{spec.name}' has {', '.join(labels)}")
    return named


def keep(cells: Sequence[Cell], spec: TableSpec, seeds: Sequence[int], folder: Path) -> Kept:
    """Return what the written table in a folder has of these cells.

    Raises:
        ConfigError: the table is more than its means, and needs all of its runs.
        DataError: there is no such table, it lacks one of the cells or has it otherwise, or it has rows that the table
            does not have now.
    """
    for holds, reason in (
        (len(seeds) >= MIN_SEEDS, "its rows are tested against each other"),
        (bool(spec.gain_over), "its figures show all runs ('gain_over')"),
    ):
        if holds:
            raise ConfigError(f"'--rows' does not go with table '{spec.name}': {reason}; leave it out")
    path = folder / f"{spec.name}.csv"
    try:
        frame = pd.read_csv(path, dtype={"block": str, "row": str}, keep_default_na=False, na_values=[""])
        lines = records(frame.loc[frame["mean"].notna(), list(COLUMNS)])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"'{path}' cannot be read ({error}): '--rows' adds to a table that table.py wrote; "
            "without it all rows are run"
        ) from error
    unknown = {line["row"] for line in lines} - {row.label for row in spec.rows}
    if unknown:
        raise DataError(
            f"'{path}' has the row '{min(unknown)}', which table '{spec.name}' does not have: without '--rows' "
            "the table is written anew"
        )
    kept = [line for cell in cells for line in _lines_of(cell, lines, len(seeds), path)]
    settings = _settings_of(cells, folder / f"{spec.name}_settings.csv")
    return Kept(pd.DataFrame(kept, columns=pd.Index(COLUMNS)), settings)


def _lines_of(
    cell: Cell, lines: Sequence[dict[str, Any]], num_seeds: int, path: Path
) -> list[dict[str, Any]]:
    found = [line for line in lines if (line["block"], line["row"]) == (cell.block, cell.row)]
    if not found:
        raise DataError(f"'{path}' has no row '{cell}' to keep: name it in '--rows', too")
    for line in found:
        if line["num_seeds"] != num_seeds:
            raise DataError(
                f"'{path}' has '{cell}' with {line['num_seeds']} seeds, the table has {num_seeds}: "
                "name it in '--rows', too"
            )
    return found


def _settings_of(cells: Sequence[Cell], path: Path) -> dict[Cell, Setting]:
    tuned = [cell for cell in cells if cell.tune]
    found = read_settings(path, tuned) if tuned else {}
    for cell in tuned:
        if cell not in found:
            raise DataError(
                f"'{path}' has no setting of '{cell}', which is to be kept: name it in '--rows', too"
            )
    return found


def check_same_groups(table: Table, path: Path) -> None:
    """Raise a DataError where a written NAME.md has other groups, and so other data or another split, than `table`."""
    try:
        written = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' cannot be read ({error}): without '--rows' all rows are run") from error
    for block in table.blocks:
        if block.note not in written:
            raise DataError(
                f"'{path}' has other groups in '{block.label}' than these runs, so its rows cannot stand beside "
                "them: without '--rows' all rows are run"
            )
