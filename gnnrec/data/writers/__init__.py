"""Writers of other projects' file formats, so that they can be run on exactly our split."""

from __future__ import annotations

from pathlib import Path

from gnnrec.data.splits.base import Split
from gnnrec.errors import DataError


def check_support(split: Split, kind: str) -> None:
    """Raise a DataError for a split with pairs that are given at inference only, which no such file can say."""
    if split.support is not None:
        raise DataError(
            f"the split '{split.name}' has {len(split.support)} support pairs, given at inference only, and {kind} "
            "have no place for them: use support=0 (with the same 'reserve', users and test pairs stay the same)"
        )


def remove_others(folder: Path, names: set[str], written: set[str]) -> None:
    """Remove the files of an earlier export that this one did not write: readers would take them for part of it."""
    for name in names - written:
        (folder / name).unlink(missing_ok=True)
