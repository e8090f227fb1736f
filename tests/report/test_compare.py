from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gnnrec.errors import DataError
from gnnrec.report.compare import mean_over_seeds, paired_p_values

METRIC = "test/recall@20"


def _runs(make_run, row: str, shift: float, seeds: int = 2, metric: str = METRIC) -> list:
    runs = []
    for seed in range(seeds):
        generator = np.random.default_rng(seed)
        values = (
            generator.uniform(size=40) + shift + 0.01 * np.random.default_rng(ord(row[0])).normal(size=40)
        )
        values[3] = np.nan
        arrays = {"users": np.arange(40), metric: values}
        runs.append(make_run(f"{row}{seed}", {metric: float(np.nanmean(values))}, arrays))
    return runs


def test_each_user_is_averaged_over_seeds(make_run) -> None:
    runs = _runs(make_run, "a", 0.0, seeds=3)
    arrays = [run.per_user(METRIC)[METRIC] for run in runs]
    np.testing.assert_allclose(mean_over_seeds(runs, METRIC), sum(arrays) / 3)


def test_rows_are_tested_against_the_best_baseline_and_corrected(make_run) -> None:
    shifts = {"weak": -0.5, "strong": 0.0, "model": 0.003, "copy": 0.2}
    runs = {("random", row): _runs(make_run, row, shift) for row, shift in shifts.items()}
    p_values = paired_p_values(runs, ["weak", "strong"], [METRIC, "test/none@20"])
    assert set(p_values) == {("random", "model", METRIC), ("random", "copy", METRIC)}
    raw = {}
    for row in ("model", "copy"):
        one, two = (mean_over_seeds(runs["random", name], METRIC) for name in (row, "strong"))
        raw[row] = stats.ttest_rel(one, two, nan_policy="omit").pvalue
    small, large = sorted(raw, key=lambda row: raw[row])
    assert p_values["random", small, METRIC] == pytest.approx(min(2 * raw[small], 1))
    assert p_values["random", large, METRIC] == pytest.approx(min(max(2 * raw[small], raw[large]), 1))


@pytest.mark.parametrize(
    ("metric", "best"), [("test/recall@20", 0.5), ("test/miscalibration@20", 0.4), ("test/ties@20", None)]
)
def test_the_best_baseline_is_that_with_the_best_value(make_run, metric: str, best: float | None) -> None:
    def row(name: str, value: float) -> list:
        values = np.full(40, value) + 0.01 * np.random.default_rng(len(name)).normal(size=40)
        return [make_run(name, {metric: value}, {"users": np.arange(40), metric: values})]

    runs = {
        ("b", "low"): row("low", 0.4),
        ("b", "high"): row("high", 0.5),
        ("b", "model"): row("model", 0.47),
    }
    p_values = paired_p_values(runs, ["low", "high"], [metric])
    if best is None:
        assert p_values == {}
        return
    rival = "high" if best == 0.5 else "low"
    one, two = (mean_over_seeds(runs["b", name], metric) for name in ("model", rival))
    assert p_values["b", "model", metric] == pytest.approx(stats.ttest_rel(one, two).pvalue)


def test_no_difference_has_no_significance(make_run) -> None:
    same = _runs(make_run, "x", 0.0)
    runs = {("b", "base"): same, ("b", "model"): same}
    assert paired_p_values(runs, ["base"], [METRIC]) == {("b", "model", METRIC): 1.0}


def test_equal_rows_with_different_numbers_of_seeds_have_no_significance(make_run) -> None:
    values = np.random.default_rng(0).integers(1, 20, 200) / np.random.default_rng(1).integers(20, 40, 200)
    arrays = {"users": np.arange(200), METRIC: values}
    runs = [make_run(f"r{seed}", {METRIC: float(values.mean())}, arrays) for seed in range(3)]
    rows = {("b", "base"): runs[:1], ("b", "model"): runs}
    assert paired_p_values(rows, ["base"], [METRIC]) == {("b", "model", METRIC): 1.0}


def test_rows_on_other_users_are_not_paired(make_run) -> None:
    arrays = {"users": np.arange(1, 41), METRIC: np.ones(40)}
    runs = {("b", "base"): _runs(make_run, "x", 0.0), ("b", "model"): [make_run("m", {METRIC: 1.0}, arrays)]}
    with pytest.raises(DataError, match="m' was evaluated on other users than"):
        paired_p_values(runs, ["base"], [METRIC])


def test_a_block_without_baseline_is_left_out(make_run) -> None:
    assert paired_p_values({("b", "model"): _runs(make_run, "x", 0.0)}, ["base"], [METRIC]) == {}


def test_runs_on_other_users_are_not_mixed(make_run) -> None:
    runs = _runs(make_run, "a", 0.0)
    other = make_run("other", {METRIC: 0.5}, {"users": np.arange(1, 41), METRIC: np.ones(40)})
    with pytest.raises(DataError, match="other users"):
        mean_over_seeds([*runs, other], METRIC)
