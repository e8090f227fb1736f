from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from gnnrec.errors import DataError
from gnnrec.evaluation.beyond import gini
from gnnrec.evaluation.lists import Lists
from gnnrec.report import figures
from gnnrec.report.figures import draw_evaluation
from gnnrec.report.style import save_figure


def arrays(seed: int, num_users: int = 60, num_items: int = 40) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    relevant = rng.integers(0, 5, num_items)
    recall = rng.random((3, num_users)).cumsum(axis=0) / 3
    return {
        "users": np.arange(num_users),
        "user_degree": np.random.default_rng(9).integers(1, 30, num_users),
        "item_degree": np.random.default_rng(9).integers(0, 70, num_items),
        "item_relevant": relevant,
        "item_hits@20": rng.binomial(relevant, 0.4),
        "item_exposure@20": rng.integers(0, 50, num_items),
        **{f"test/recall@{k}": values for k, values in zip((10, 20, 50), recall)},
        "test/head/recall@20": np.full(num_users, np.nan),
    }


def test_every_figure_of_two_models(tmp_path: Path) -> None:
    drawn = draw_evaluation({"a": [arrays(0), arrays(1)], "b": [arrays(2), arrays(3)]})
    stems = ("recall_by_popularity@20", "recall_by_activity@20", "recall_by_cutoff", "lorenz@20")
    assert set(drawn) == {*stems, "significance_recall@20"}
    for stem, figure in drawn.items():
        png, pdf = save_figure(figure, tmp_path / stem)
        assert (png.name, png.read_bytes()[:4]) == (f"{stem}.png", b"\x89PNG")
        assert (pdf.name, pdf.read_bytes()[:4]) == (f"{stem}.pdf", b"%PDF")


def test_figures_are_the_same_twice(tmp_path: Path) -> None:
    files = [
        [path.read_bytes() for name, figure in drawn.items() for path in save_figure(figure, tmp_path / name)]
        for drawn in (draw_evaluation({"a": [arrays(0)]}), draw_evaluation({"a": [arrays(0)]}))
    ]
    assert len(files[0]) == 8
    assert files[0] == files[1]


def test_shorter_lists_are_drawn_at_their_own_cutoff() -> None:
    short = {name.replace("@20", "@15"): values for name, values in arrays(0).items()}
    del short["test/recall@50"]
    names = set(draw_evaluation({"a": [short]}))
    assert names == {"recall_by_popularity@15", "recall_by_activity@15", "recall_by_cutoff", "lorenz@15"}
    assert set(draw_evaluation({"a": [short], "b": [arrays(1)]})) == {"recall_by_cutoff"}


def test_figures_without_their_arrays_are_left_out() -> None:
    few = {name: values for name, values in arrays(0).items() if name in ("users", "test/recall@20")}
    assert draw_evaluation({"a": [few]}) == {}


def test_bands_hold_the_pooled_share() -> None:
    """The band of a bin covers the true rate about as often as it says."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(200):
        relevant = rng.integers(1, 6, 80)
        share, low, high = figures._pooled(rng.binomial(relevant, 0.3), relevant, rng)
        assert low <= share <= high
        covered.append(low <= 0.3 <= high)
    assert 0.88 < np.mean(covered) < 0.99


@pytest.mark.parametrize("cells", [1, 160, 1000, 39_999])
def test_resamples_drawn_in_blocks_are_those_drawn_at_once(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    relevant, hits = rng.integers(1, 6, 81), rng.random(81)
    whole, blocks = np.random.default_rng(1), np.random.default_rng(1)
    monkeypatch.setattr(figures, "_CELLS", cells)
    for _ in range(2):  # the next bin goes on with the same generator
        chosen = whole.integers(0, 81, (figures._RESAMPLES, 81))
        share = hits[chosen].sum(axis=1) / relevant[chosen].sum(axis=1)
        assert figures._pooled(hits, relevant, blocks)[1:] == tuple(np.quantile(share, [0.025, 0.975]))


def test_resamples_of_many_items_are_not_held_at_once() -> None:
    hits = np.ones(100_000)
    tracemalloc.start()
    figures._pooled(hits, hits, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500 * 100_000 * 8 / 3


def test_the_lorenz_figure_shows_the_mean_gini_of_the_seeds() -> None:
    tops = [
        np.array([[0, 1], [0, 1], [0, 2]]),
        np.array([[3, 2], [3, 2], [3, 1]]),
    ]  # each seed has its own favorites
    empty = sparse.csr_matrix((3, 4))
    lists = [Lists(top, top < 0, empty, empty, np.zeros(4, np.int64), 3) for top in tops]
    share = np.mean([figures._lorenz(seed.exposure(2)) for seed in lists], axis=0)
    assert figures._gini(share) == pytest.approx(np.mean([gini(seed, 2) for seed in lists]))


def test_runs_of_different_users_are_not_mixed() -> None:
    other = arrays(1)
    other["users"] = other["users"] + 1
    with pytest.raises(DataError, match="different users"):
        figures.significance_matrix({"a": [arrays(0)], "b": [other]}, metric="test/recall@20")
