"""Adjacency lists for LightGCN, NGCF, SELFRec and others: train.txt, valid.txt, test.txt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from gnnrec.data.dataset import Dataset, as_text
from gnnrec.data.interactions import Interactions
from gnnrec.data.splits.base import Split
from gnnrec.data.writers import check_support, remove_others
from gnnrec.files import whole_file

_FILES = {"train.txt", "valid.txt", "test.txt", "user_list.txt", "item_list.txt"}


def write_lightgcn(split: Split, folder: str | Path, dataset: Dataset | None = None) -> Path:
    """Write a split as lists, one user a line, and return the folder.

    Every user has a line in train.txt, also one without items, since readers count lines. valid.txt is left
    out where there is no validation; many of those projects do not read it: give them train and validation
    merged if that is what is meant. With `dataset`, the raw ids go to user_list.txt and item_list.txt. Those of
    these files that an earlier export left and this one does not write are removed. A split with support pairs
    is a DataError.
    """
    check_support(split, "LightGCN lists")
    folder = Path(folder)
    written = {"train.txt", "test.txt"}
    _write_list(split.train, folder / "train.txt", all_users=True)
    _write_list(split.test, folder / "test.txt", all_users=False)
    if len(split.validation):
        written.add("valid.txt")
        _write_list(split.validation, folder / "valid.txt", all_users=False)
    if dataset is not None:
        written |= {"user_list.txt", "item_list.txt"}
        _write_ids(as_text(dataset.users["user_id"]), folder / "user_list.txt")
        _write_ids(as_text(dataset.items["item_id"]), folder / "item_list.txt")
    remove_others(folder, _FILES, written)
    return folder


def _write_list(part: Interactions, path: Path, all_users: bool) -> None:
    rows = part.canonical()
    ends = np.cumsum(rows.user_counts())
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        start = 0
        for user, end in enumerate(ends.tolist()):
            if end > start or all_users:
                stream.write(" ".join(map(str, [user, *rows.item[start:end].tolist()])) + "\n")
            start = end


def _write_ids(names: pd.Series, path: Path) -> None:
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write("org_id remap_id\n")
        one_line = names.str.replace(r"[\r\n]+", " ", regex=True)
        stream.writelines(f"{name} {place}\n" for place, name in enumerate(one_line))
