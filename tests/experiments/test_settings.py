"""Settings that were chosen for the rows of a table, written and read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.settings import Setting, read_settings, with_setting, write_settings
from experiments.spec import Cell, read_spec, table_cells
from gnnrec.errors import DataError

RESULTS = Path(__file__).resolve().parents[2] / "results"
TUNED = Cell("a block", "kNN, wide", ("model=item_knn",), ("model.baseline.k=10,20", "+x={y: 1, z: 2}"))
FIXED = Cell("a block", "popularity", ("model=popularity",), ())


def test_settings_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "t_settings.csv"
    setting = Setting(("model.baseline.k=20", "+x={y: 1, z: 2}"), 2, 0.25)
    assert write_settings({TUNED: setting}, path) == [path]
    other = Cell("another block", "kNN, wide", (), ("model.baseline.k=10,20",))
    assert read_settings(path, [FIXED, TUNED, other]) == {TUNED: setting}
    assert with_setting(TUNED, setting).overrides == ("model=item_knn", *setting.chosen)
    assert with_setting(TUNED, setting).tune == ()
    assert with_setting(FIXED, None) is FIXED
    assert write_settings({}, tmp_path / "none.csv") == []
    assert not (tmp_path / "none.csv").exists()


def test_a_setting_chosen_among_others_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "t_settings.csv"
    write_settings({TUNED: Setting(("model.baseline.k=20", "+x={y: 1, z: 2}"), 2, 0.25)}, path)
    wider = Cell(TUNED.block, TUNED.row, TUNED.overrides, ("model.baseline.k=10,20,30",))
    with pytest.raises(DataError, match=r"'a block · kNN, wide' chosen among model.baseline.k=10,20 "):
        read_settings(path, [wider])


@pytest.mark.parametrize("label", ["0.10", "NA", "1e3", "007", "nan", "True", " a "])
def test_a_label_that_looks_like_a_number_is_found_again(tmp_path: Path, label: str) -> None:
    path, setting = tmp_path / "t_settings.csv", Setting(("train.lr=1e-3",), 3, 0.25)
    for cell in (Cell(label, "row", (), ("train.lr=1e-3",)), Cell("block", label, (), ("train.lr=1e-3",))):
        write_settings({cell: setting}, path)
        assert read_settings(path, [cell]) == {cell: setting}


@pytest.mark.parametrize(
    ("tune", "chosen", "fits"),
    [
        (("train.lr=1e-3,5e-3",), ("train.lr=0.005",), True),
        (("train.lr=1e-3,5e-3",), ("train.lr=0.9",), False),
        (("train.lr=1e-3,5e-3",), ("train.lr=0.005", "train.epochs=2"), False),
        (("train.lr=1e-3,5e-3", "train.epochs=2,4"), ("train.lr=0.005",), False),
        (("train.lr=1e-3,5e-3",), ("model.augmentations=[{_target_: os.system, command: exit}]",), False),
        (("train.epochs=2", "init.dim=8,16"), ("train.epochs=2", "init.dim=16"), True),
        (("train.epochs=2", "init.dim=8,16"), ("train.epochs=3", "init.dim=16"), False),
        (("train.lr=tag(log,interval(1e-4,1e-2))",), ("train.lr=0.01",), True),
        (("train.lr=tag(log,interval(1e-4,1e-2))",), ("train.lr=0.02",), False),
        (("train.lr=tag(log,interval(1e-4,1e-2))",), ("train.lr=fast",), False),
        (("train.lr=interval(0,0.33333333)",), ("train.lr=0.333333",), True),
    ],
)
def test_only_what_the_table_lists_is_taken_as_chosen(
    tmp_path: Path, tune: tuple[str, ...], chosen: tuple[str, ...], fits: bool
) -> None:
    cell, path = Cell("a block", "LightGCN", (), tune), tmp_path / "t_settings.csv"
    write_settings({cell: Setting(chosen, 2, 0.25)}, path)
    if fits:
        assert read_settings(path, [cell])[cell].chosen == chosen
    else:
        with pytest.raises(DataError, match="'a block · LightGCN', which is none of"):
            read_settings(path, [cell])


@pytest.mark.parametrize("text", [None, "", "block,row\na,b\n", "block,row,among,tried,chosen\nx,y,z,1,w\n"])
def test_a_file_without_settings_is_an_error(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "t_settings.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=r"expected a NAME_settings\.csv"):
        read_settings(path, [TUNED])


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*_settings.csv")), ids=lambda path: path.stem)
def test_shipped_settings_are_those_of_every_tuned_row(path: Path) -> None:
    cells = [cell for cell in table_cells(read_spec(path.stem.removesuffix("_settings"))) if cell.tune]
    assert cells
    assert list(read_settings(path, cells)) == cells
