"""The k best of each row."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gnnrec.baselines import sparse
from gnnrec.baselines.sparse import keep_top_k, normalize_rows, top_k_rows
from tests.baselines.oracles import row_normalized, top_k

FEW = st.sampled_from([-2.0, -0.0, 0.0, 1e-30, 0.5, 1.0, 1.0000001, 3e38])
MATRICES = st.tuples(st.integers(1, 6), st.integers(1, 7)).flatmap(
    lambda s: arrays(np.float32, s, elements=FEW)
)


@given(MATRICES, st.integers(1, 9))
def test_top_k_of_rows(matrix: np.ndarray, k: int) -> None:
    kept = keep_top_k(sp.csr_matrix(matrix), k)
    np.testing.assert_array_equal(kept.toarray(), top_k(matrix, k))
    assert (kept.data > 0).all()


@pytest.mark.parametrize(("cells", "largest"), [(1 << 26, 1024), (250_000, 100), (1, 1)])
def test_rows_in_blocks_of_bounded_size(monkeypatch: pytest.MonkeyPatch, cells: int, largest: int) -> None:
    monkeypatch.setattr(sparse, "CELLS", cells)
    matrix = np.random.default_rng(0).random((2500, 30)).astype(np.float32)
    sizes = []

    def block(start: int, stop: int) -> sp.csr_matrix:
        sizes.append(stop - start)
        return sp.csr_matrix(matrix[start:stop])

    stacked = top_k_rows(block, 2500, 4)
    np.testing.assert_array_equal(stacked.toarray(), keep_top_k(sp.csr_matrix(matrix), 4).toarray())
    assert max(sizes) == largest


def test_normalised_rows_sum_to_one_or_stay_empty() -> None:
    matrix = np.array([[1.0, 3.0], [0.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(normalize_rows(sp.csr_matrix(matrix)).toarray(), row_normalized(matrix))
