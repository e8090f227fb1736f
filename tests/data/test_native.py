from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnnrec.data.dataset import Dataset, load_dataset
from gnnrec.data.native import read_native, write_native
from gnnrec.data.recipe import apply_recipe
from gnnrec.errors import DataError, GnnrecError
from gnnrec.files import lock_file


def write(folder: Path, **tables: dict) -> Path:
    folder.mkdir(exist_ok=True)
    for name, columns in tables.items():
        pd.DataFrame(columns).to_parquet(folder / f"{name}.parquet")
    return folder


def test_round_trip_keeps_everything(planted: Dataset, tmp_path: Path) -> None:
    size = len(planted.interactions)
    generator = np.random.default_rng(0)
    dataset = replace(
        planted,
        interactions=replace(planted.interactions, rating=generator.integers(1, 6, size=size)),
        published=generator.integers(0, 3, size=size).astype(np.int8),
        context=pd.DataFrame({"device": generator.choice(["phone", "desk"], size=size)}),
        tables={"friends": pd.DataFrame({"user": [0, 1], "friend": [2, 3]})},
    )
    back = read_native(write_native(dataset, tmp_path / "set"))
    assert back.fingerprint() == dataset.fingerprint()
    assert back.name == "planted"
    assert back.context is not None
    order = dataset.interactions.canonical_order()
    assert order is not None
    assert dataset.context is not None
    assert back.context["device"].tolist() == dataset.context["device"].to_numpy()[order].tolist()
    assert back.tables["friends"].to_numpy().tolist() == [[0, 2], [1, 3]]
    assert back.card["text_from"] == dataset.card["text_from"]
    assert read_native(write_native(back, tmp_path / "again")).fingerprint() == dataset.fingerprint()


def test_a_bare_table_is_a_data_set(tmp_path: Path) -> None:
    folder = write(tmp_path / "bare", interactions={"user": [1, 0], "item": [4, 2]})
    dataset = load_dataset(folder)
    assert (dataset.name, dataset.num_users, dataset.num_items) == ("bare", 2, 5)
    assert dataset.items["item_id"].tolist() == [0, 1, 2, 3, 4]


def test_tables_are_put_in_id_order(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "set",
        interactions={"user": [1, 0], "item": [1, 2], "pos": [0, 1]},
        items={"item": [2, 0, 1], "item_id": ["c", "a", "b"]},
    )
    dataset = load_dataset(folder)
    assert dataset.items["item_id"].tolist() == ["a", "b", "c"]
    assert dataset.card["time"] == "position"
    assert read_native(write_native(dataset, tmp_path / "copy")).card["time"] == "position"


def test_parts_in_words(tmp_path: Path) -> None:
    words = ["warm_train_emb", "cold_val", "test", "warm_train_map"]
    folder = write(tmp_path / "set", interactions={"user": [0] * 4, "item": range(4), "part": words})
    assert load_dataset(folder).published is not None
    assert load_dataset(folder).published.tolist() == [0, 1, 2, 0]  # type: ignore[union-attr]


def test_one_file_of_several(tmp_path: Path) -> None:
    folder = write(tmp_path / "pair", sport={"user": [0], "item": [3]}, cloth={"user": [1], "item": [0]})
    with pytest.raises(
        DataError, match=r"no interactions\.parquet; name one of its files: cloth\.parquet, sport"
    ):
        load_dataset(folder)
    assert load_dataset(folder / "sport.parquet").num_items == 4
    assert load_dataset(folder / "sport.parquet").name == "pair-sport"


def test_a_count_in_the_card_that_is_no_number_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", interactions={"user": [0], "item": [3]})
    (folder / "card.json").write_text('{"num_users": "12k"}')
    with pytest.raises(
        DataError, match=r"'num_users' in the card of '.*set' must be a whole number \(got '12k'\)"
    ):
        load_dataset(folder)
    (folder / "card.json").write_text('{"num_users": 12}')
    assert load_dataset(folder).num_users == 12


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"interactions": {"user": [0]}}, "no column 'item'"),
        ({"interactions": {"user": [0], "item": [-3]}}, r"interactions\.parquet': 'item' ids must be in"),
        ({"interactions": {"user": [0.5], "item": [3]}}, "whole numbers"),
        (
            {"interactions": {"user": [0, None], "item": [3, 4]}},
            r"column 'user' .* misses 1 values \(the first in row 1\)",
        ),
        ({"interactions": {"user": ["a"], "item": [3]}}, "'user' .* must hold numbers"),
        (
            {"interactions": {"user": [0, 1], "item": [3, 2_000_000_000]}},
            r"interactions\.parquet': the largest item number is 2,000,000,000 in 2 rows, .* count from 0",
        ),
        ({"interactions": {"user": [0], "item": [3], "split": [7]}}, r"0 \(train\), 1 \(validation\)"),
        ({"interactions": {"user": [0], "item": [3], "split": ["fold"]}}, "cannot tell whether 'fold'"),
        (
            {"interactions": {"user": [0, 0], "item": [0, 1], "part": ["train", None]}},
            r"column 'part' .* misses 1 values \(the first in row 1\)",
        ),
        (
            {
                "interactions": {"user": [0, 0], "item": [0, 1]},
                "items": {"item": ["pear", None], "item_id": ["a", "b"]},
            },
            r"column 'item' .*items\.parquet' must hold the number of the item, from 0 to 1",
        ),
        ({"interactions": {"user": [0], "item": [3], "rating": [-1.0]}}, "'rating' must be finite"),
        (
            {"interactions": {"user": [0], "item": [3]}, "items": {"item_id": ["a"]}},
            r"'item' ids must be in \[0, 1\)",
        ),
        (
            {"interactions": {"user": [0], "item": [1]}, "items": {"item": [0, 0], "item_id": ["a", "b"]}},
            r"column 'item' .* each id from 0 to 1 once \(expected 1, got 0\)",
        ),
        (
            {"interactions": {"user": [0], "item": [1]}, "items": {"item_id": ["a", "a"]}},
            "repeats the id 'a' in column 'item_id'",
        ),
    ],
)
def test_broken_folders_are_told(tmp_path: Path, tables: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(write(tmp_path / "set", **tables))


@pytest.mark.parametrize(
    ("table", "column"),
    [("users", "user"), ("items", "item"), *(("context", name) for name in ("item", "pos", "part", "split"))],
)
def test_a_column_that_would_be_read_as_something_else_is_not_written(
    planted: Dataset, tmp_path: Path, table: str, column: str
) -> None:
    """A column `item` of an item table used to put the items in its own order."""
    rows = len(getattr(planted, "interactions" if table == "context" else table))
    known = pd.DataFrame(index=range(rows)) if table == "context" else getattr(planted, table)
    changed = replace(planted, **{table: known.assign(**{column: np.arange(rows)[::-1]})})
    with pytest.raises(DataError, match=f"column '{column}' of the table '{table}' .* rename it"):
        write_native(changed, tmp_path / "set")
    assert not (tmp_path / "set" / "card.json").exists()


def test_names_are_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNNREC_DATA", str(tmp_path))
    write(tmp_path / "mine", interactions={"user": [0], "item": [0]})
    assert load_dataset("mine").num_items == 1
    with pytest.raises(DataError, match="did you mean 'mine'"):
        load_dataset("mini")
    with pytest.raises(DataError, match="did you mean 'debian'"):
        load_dataset("debain")
    with pytest.raises(DataError, match=r"no data set at '\./none'"):
        load_dataset("./none")
    (tmp_path / "mine" / "card.json").write_text("{broken")
    with pytest.raises(DataError, match=r"card\.json' as JSON"):
        load_dataset("mine")
    (tmp_path / "mine" / "card.json").unlink()
    (tmp_path / "mine" / "interactions.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"interactions\.parquet' as parquet"):
        load_dataset("mine")


@pytest.mark.parametrize("name", ["interactions", "items"])
def test_a_flipped_bit_in_a_column_is_told(planted: Dataset, tmp_path: Path, name: str) -> None:
    path = write_native(planted, tmp_path / "set") / f"{name}.parquet"
    content = bytearray(path.read_bytes())
    chunk = pq.read_metadata(path).row_group(0).column(0)
    content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"cannot read '.*{name}\.parquet' as parquet"):
        load_dataset(tmp_path / "set")


@pytest.mark.parametrize("wrong", [b'{"index_columns": [', b'{"index_colums": [], "columns": [{}]}', b"\xff"])
def test_a_damaged_description_of_a_table_is_told(tmp_path: Path, wrong: bytes) -> None:
    folder = write(tmp_path / "set", interactions={"user": [0], "item": [0]})
    table = pa.table({"item_id": ["a"]}).replace_schema_metadata({"pandas": wrong})
    pq.write_table(table, folder / "items.parquet")
    with pytest.raises(DataError, match=r"cannot read '.*items\.parquet' as parquet"):
        load_dataset(folder)


def test_a_full_disk_leaves_no_readable_half(
    planted: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gnnrec.data.native as native

    real = native.pq.write_table

    def full(table: object, path: Path, **options: object) -> None:
        if "items" in Path(path).name:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        real(table, path, **options)

    monkeypatch.setattr(native.pq, "write_table", full)
    with pytest.raises(GnnrecError, match=r"cannot write '.*items\.parquet': No space left"):
        write_native(planted, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("step", range(1, 10))
def test_an_interrupted_write_leaves_the_old_set(
    planted: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    folder = write_native(planted, tmp_path / "set")
    before = contents(folder)
    new = apply_recipe(planted, [{"step": "k_core", "k": 8}])
    real, done = Path.rename, []

    def rename(path: Path, target: Path) -> Path:
        done.append(path)
        if len(done) == step:
            raise KeyboardInterrupt
        return real(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            write_native(new, folder)
    assert contents(folder) == before
    assert read_native(write_native(new, folder)).fingerprint() == new.fingerprint()


@pytest.mark.parametrize("step", range(1, 11))
@pytest.mark.parametrize("there", [False, True])
def test_a_killed_write_is_undone_by_the_next_process(
    planted: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, step: int
) -> None:
    import gnnrec.data.native as native

    folder, friends = tmp_path / "set", pd.DataFrame({"user": [0], "friend": [1]})
    if there:
        write_native(planted, folder)
    new = replace(apply_recipe(planted, [{"step": "k_core", "k": 8}]), tables={"friends": friends})
    real, real_undo, left = Path.rename, native._undo, []

    def rename(path: Path, target: Path) -> Path:
        left.pop()  # with none left, its IndexError stands for the signal
        return real(path, target)

    def stop_after(renames: int, undo: Callable[[Path], None], write: Callable[[], object]) -> None:
        left[:] = [None] * renames
        with monkeypatch.context() as patch, suppress(IndexError, DataError):
            patch.setattr(Path, "rename", rename)
            patch.setattr(native, "_undo", undo)
            write()

    stop_after(step - 1, lambda _: None, lambda: write_native(new, folder))
    for renames in (0, 1, 2):  # putting back may be killed as well
        stop_after(renames, real_undo, lambda: read_native(folder))
    if there:
        back = read_native(folder)
        assert (back.fingerprint(), back.tables) == (planted.fingerprint(), {})
    assert read_native(write_native(new, folder)).fingerprint() == new.fingerprint()
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_two_processes_do_not_write_one_folder(planted: Dataset, tmp_path: Path) -> None:
    folder = write_native(planted, tmp_path / "set")
    with (folder / ".lock").open("ab") as held:
        assert lock_file(held, folder / ".lock")
        with pytest.raises(DataError, match=r"another process is writing '.*set': wait for it to end"):
            write_native(planted, folder)
    assert read_native(write_native(planted, folder)).fingerprint() == planted.fingerprint()


def test_what_is_written_over_goes_with_its_tables(planted: Dataset, tmp_path: Path) -> None:
    kg = pd.DataFrame({"head": ["a"], "relation": ["r"], "tail": ["b"]})
    folder = write_native(replace(planted, tables={"kg": kg}), tmp_path / "set")
    (folder / "README.md").write_text("mine")
    fewer = apply_recipe(read_native(folder), [{"step": "sample_users", "num": 20}])
    write_native(replace(fewer, tables={}), folder)
    assert read_native(folder).tables == {}
    assert read_native(folder).card["num_users"] == fewer.num_users
    assert (folder / "README.md").read_text() == "mine"


def test_files_that_are_no_data_set_are_not_written_over(planted: Dataset, tmp_path: Path) -> None:
    folder = write(tmp_path / "raw", ratings={"user": [0], "item": [0]})
    with pytest.raises(DataError, match=r"holds no data set, but ratings\.parquet"):
        write_native(planted, folder)
    assert [path.name for path in folder.iterdir()] == ["ratings.parquet"]


def test_cards_are_plain_json(planted: Dataset, tmp_path: Path) -> None:
    dataset = apply_recipe(planted, [{"step": "k_core", "k": 3}])
    write_native(dataset, tmp_path / "set")
    card = json.loads((tmp_path / "set" / "card.json").read_text())
    assert card["num_items"] == dataset.num_items
    assert card["recipe"][0]["step"] == "k_core"
    assert json.loads(json.dumps(dataset.describe())) == dataset.describe()
