from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from gnnrec.errors import DataError
from gnnrec.text.vectors import load_vectors

VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3)
IDS = ["d", "b", "x", "a"]
WANTED = ["a", "b", "c", "d"]


def write(folder: Path, kind: str, vectors: np.ndarray = VECTORS, ids: list | None = IDS) -> Path:
    path = folder / f"vectors{kind}"
    if kind == ".npy":
        np.save(path, vectors)
    elif kind == ".safetensors":
        save_file({"vectors": vectors}, path)
    else:
        pd.DataFrame({"id": ids, "vector": list(vectors)}).to_parquet(path)
        return path
    if ids is not None:
        path.with_name(path.name + ".ids.json").write_text(json.dumps(ids))
    return path


@pytest.mark.parametrize("kind", [".npy", ".safetensors", ".parquet"])
def test_rows_are_matched_by_raw_id_and_counted(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    loaded = load_vectors(write(tmp_path, kind), WANTED)
    np.testing.assert_array_equal(loaded.vectors, [VECTORS[3], VECTORS[1], [0, 0, 0], VECTORS[0]])
    np.testing.assert_array_equal(loaded.present, [True, True, False, True])
    assert loaded.num_unknown == 1
    assert "3 of 4 ids have a vector, 1 have none; 1 rows of the file are of unknown ids" in caplog.text


def test_integer_ids_and_columns_per_dimension(tmp_path: Path):
    save_file({"vectors": VECTORS, "ids": np.array([7, 5, 6, 4])}, tmp_path / "v.safetensors")
    np.testing.assert_array_equal(
        load_vectors(tmp_path / "v.safetensors", [4, 5, 6, 7]).vectors, VECTORS[[3, 1, 2, 0]]
    )
    frame = pd.DataFrame(VECTORS.astype(np.float64), columns=["x", "y", "z"]).assign(id=[7, 5, 6, 4])
    frame.to_parquet(tmp_path / "v.parquet")
    np.testing.assert_array_equal(load_vectors(tmp_path / "v.parquet", ["5"]).vectors, VECTORS[[1]])


def test_npy_without_ids_must_have_a_row_per_id(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = write(tmp_path, ".npy", ids=None)
    np.testing.assert_array_equal(load_vectors(path, WANTED).vectors, VECTORS)
    assert "has no ids: its rows are taken in the order of the data set's ids (a, b, c, ...)" in caplog.text
    with pytest.raises(DataError, match=r"has 4 rows and no ids, the data has 3 ids.*vectors.npy.ids.json"):
        load_vectors(path, WANTED[:3])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinite_values_are_refused(bad: float, tmp_path: Path):
    vectors = VECTORS.copy()
    vectors[2, 1] = bad
    with pytest.raises(DataError, match="NaN or infinite values in 1 rows, first at id 'x'"):
        load_vectors(write(tmp_path, ".npy", vectors), WANTED)


def test_ids_that_repeat_or_match_nothing_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="repeats 1 ids, for example 'b'"):
        load_vectors(write(tmp_path, ".npy", ids=["a", "b", "b", "c"]), WANTED)
    with pytest.raises(DataError, match="no id in common"):
        load_vectors(write(tmp_path, ".npy", ids=["1", "2", "3", "4"]), WANTED)
    with pytest.raises(DataError, match="4 rows but 3 ids"):
        load_vectors(write(tmp_path, ".npy", ids=["1", "2", "3"]), WANTED)


@pytest.mark.parametrize("kind", [".npy", ".safetensors", ".parquet"])
def test_a_cut_file_is_one_clear_error(kind: str, tmp_path: Path):
    path = write(tmp_path, kind)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="is not a whole"):
        load_vectors(path, WANTED)


def test_an_archive_of_arrays_and_ids_of_another_shape_are_refused(tmp_path: Path):
    with (tmp_path / "archive.npy").open("wb") as stream:
        np.savez(stream, vectors=VECTORS)
    with pytest.raises(DataError, match=r"is not a whole \.npy file"):
        load_vectors(tmp_path / "archive.npy", WANTED)
    for ids in (np.array(4), np.arange(8).reshape(4, 2)):
        save_file({"vectors": VECTORS, "ids": ids}, tmp_path / "i.safetensors")
        with pytest.raises(DataError, match=r"'ids' of .* must hold one id per row"):
            load_vectors(tmp_path / "i.safetensors", WANTED)


def test_pickles_shapes_and_endings_are_refused(tmp_path: Path):
    np.save(tmp_path / "p.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="without pickled objects"):
        load_vectors(tmp_path / "p.npy", WANTED)
    np.save(tmp_path / "flat.npy", np.zeros(4))
    with pytest.raises(DataError, match=r"must hold numbers \[rows, dimensions\]"):
        load_vectors(tmp_path / "flat.npy", WANTED)
    with pytest.raises(DataError, match=r"are read from .npy"):
        load_vectors(tmp_path / "v.pt", WANTED)
    with pytest.raises(DataError, match="no file of vectors"):
        load_vectors(tmp_path / "none.npy", WANTED)
    save_file({"other": VECTORS}, tmp_path / "o.safetensors")
    with pytest.raises(DataError, match="no tensor 'vectors'"):
        load_vectors(tmp_path / "o.safetensors", WANTED)
    pd.DataFrame({"x": [1.0]}).to_parquet(tmp_path / "n.parquet")
    with pytest.raises(DataError, match="no column 'id'"):
        load_vectors(tmp_path / "n.parquet", WANTED)
    ragged = pd.DataFrame({"id": ["a", "b"], "vector": [[1.0], [1.0, 2.0]]})
    ragged.to_parquet(tmp_path / "r.parquet")
    with pytest.raises(DataError, match="2 different lengths"):
        load_vectors(tmp_path / "r.parquet", WANTED)


@pytest.mark.parametrize(
    "content", ["3", '"ab"', '{"a": 1}', '["a", ["b"], null, "d"]', '["a", true, "x", "d"]']
)
def test_ids_that_are_no_list_of_ids_are_refused(content: str, tmp_path: Path):
    path = write(tmp_path, ".npy")
    path.with_name(path.name + ".ids.json").write_text(content)
    with pytest.raises(DataError, match="must hold a list of ids"):
        load_vectors(path, WANTED)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_tensors_of_other_precisions_are_read(dtype: torch.dtype, tmp_path: Path):
    path = write(tmp_path, ".safetensors")
    save_tensors({"vectors": torch.from_numpy(VECTORS).to(dtype)}, path)
    loaded = load_vectors(path, WANTED).vectors
    np.testing.assert_array_equal(loaded, VECTORS[[3, 1, 0, 0]] * np.array([1, 1, 0, 1])[:, None])
    assert loaded.dtype == np.float32


def test_other_columns_beside_lists_are_passed_over_and_no_rows_are_told(tmp_path: Path):
    table = pd.DataFrame({"id": IDS, "title": IDS, "vector": list(VECTORS)})
    table.to_parquet(tmp_path / "v.parquet")
    assert load_vectors(tmp_path / "v.parquet", WANTED).present.tolist() == [True, True, False, True]
    table[:0].to_parquet(tmp_path / "empty.parquet")
    with pytest.raises(DataError, match="has no rows"):
        load_vectors(tmp_path / "empty.parquet", WANTED)


def test_vectors_without_dimensions_or_without_a_list_are_refused(tmp_path: Path):
    np.save(tmp_path / "thin.npy", np.zeros((3, 0)))
    with pytest.raises(DataError, match=r"must hold numbers \[rows, dimensions\] \(got float64 \[3, 0\]\)"):
        load_vectors(tmp_path / "thin.npy", WANTED)
    pd.DataFrame({"id": ["a", "b"], "vector": [[1.0], None]}).to_parquet(tmp_path / "holes.parquet")
    with pytest.raises(DataError, match="must hold a list in every row"):
        load_vectors(tmp_path / "holes.parquet", WANTED)


@pytest.mark.filterwarnings("error")
def test_numbers_that_float32_cannot_hold_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="NaN or infinite"):
        load_vectors(write(tmp_path, ".npy", VECTORS.astype(np.float64) * 1e300), WANTED)
