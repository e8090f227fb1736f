"""The settings that rows of a table are run with: the best of a search, kept in a file and read from it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from experiments.search import Search, lists
from experiments.spec import Cell
from gnnrec.errors import DataError
from gnnrec.files import whole_file

METRIC = "validation/ndcg@20"
COLUMNS = ("block", "row", "among", "tried", "chosen", METRIC)


class Setting(NamedTuple):
    """What a cell was tuned to: the chosen words, among how many settings, and their metric on validation."""

    chosen: tuple[str, ...]
    tried: int
    value: float


def best_setting(cell: Cell, search: Search) -> Setting:
    """Return the best setting of a search that was made."""
    start, best = len(cell.overrides), search.ranked()[0]
    chosen = best.overrides[start : start + len(cell.tune)]
    return Setting(tuple(chosen), len(search.trials), best.value)


def with_setting(cell: Cell, setting: Setting | None) -> Cell:
    """Return the cell with its setting among the overrides, or as it is where there is none."""
    if setting is None:
        return cell
    return replace(cell, overrides=(*cell.overrides, *setting.chosen), tune=())


def write_settings(settings: Mapping[Cell, Setting], path: Path) -> list[Path]:
    """Write what every tuned cell was tuned to, and among what, as csv; return its path, or none."""
    if not settings:
        return []
    rows = [
        (
            cell.block,
            cell.row,
            shlex.join(cell.tune),
            setting.tried,
            shlex.join(setting.chosen),
            round(setting.value, 6),
        )
        for cell, setting in settings.items()
    ]
    with whole_file(path) as temporary:
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(temporary, index=False, lineterminator="\n")
    return [path]


def read_settings(path: Path, cells: list[Cell]) -> dict[Cell, Setting]:
    """Return the settings in a file for those of the cells that it has.

    Raises:
        DataError: the file cannot be read, or it chose a cell's setting among others than the table has now,
            or none of those.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)  # a row may be called 0.10 or NA
        lines = {
            (line["block"], line["row"]): (
                line["among"],
                Setting(tuple(shlex.split(line["chosen"])), int(line["tried"]), float(line[METRIC])),
            )
            for line in frame.to_dict("records")
        }
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"'{path}' cannot be read as settings ({error}): expected a NAME_settings.csv that table.py wrote"
        ) from error
    found = {}
    for cell in cells:
        among, setting = lines.get((cell.block, cell.row), (None, None))
        if setting is None or not cell.tune:
            continue
        if among != shlex.join(cell.tune):
            raise DataError(
                f"'{path}' has a setting of '{cell}' chosen among {among}, the table asks for "
                f"{shlex.join(cell.tune)}: delete that line, and it is tuned anew"
            )
        fits = len(setting.chosen) == len(cell.tune) and all(map(lists, cell.tune, setting.chosen))
        if not fits:  # what is chosen is run: it must not say anything else
            raise DataError(
                f"'{path}' has {shlex.join(setting.chosen)} for '{cell}', which is none of {among}: "
                "delete that line, and it is tuned anew"
            )
        found[cell] = setting
    return found
