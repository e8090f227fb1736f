from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gnnrec.config import RunConfig
from gnnrec.errors import DataError
from gnnrec.evaluation.significance import compare
from gnnrec.report.frame import FinishedRun
from gnnrec.report.rivals import all_pairs, by_model, comparison_table, legend
from gnnrec.report.tables import to_latex, to_markdown

METRIC = "test/recall@20"
USERS = 60


def _runs(
    make_run, name: str, shift: float, seeds: int = 5, lr: object = 0.1, baseline: object = None, **options
) -> list:
    runs = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        values = rng.uniform(size=USERS) + shift + 0.02 * np.random.default_rng(len(name)).normal(size=USERS)
        config = {
            "model": {"name": name, "baseline": baseline},
            "train": {"lr": lr},
            "seed": seed,
            "tracking": {"root": f"somewhere-{seed}"},
        }
        arrays = {"users": np.arange(USERS), METRIC: values}
        runs.append(
            make_run(f"{name}{lr}{seed}", {METRIC: float(values.mean())}, arrays, config=config, **options)
        )
    return runs


def test_runs_that_differ_in_seed_and_place_alone_are_one_model(make_run) -> None:
    models = by_model(_runs(make_run, "a", 0.0) + _runs(make_run, "bb", 0.1, seeds=2))
    assert {label: len(runs) for label, runs in models.items()} == {"a": 5, "bb": 2}


def test_models_of_one_name_are_told_apart_by_their_settings(make_run) -> None:
    runs = [run for lr in (0.1, 0.2) for run in _runs(make_run, "a", lr, seeds=1, lr=lr)]
    assert list(by_model(runs)) == ["a (train.lr=0.1)", "a (train.lr=0.2)"]
    runs = [run for lr in ("x" * 50, "y" * 50) for run in _runs(make_run, "a", 0.0, seeds=1, lr=lr)]
    assert list(by_model(runs)) == ["a #1", "a #2"]
    assert legend(by_model(runs)) == f"- a #1: a (train.lr={'x' * 50})\n- a #2: a (train.lr={'y' * 50})"
    assert legend(by_model(_runs(make_run, "bb", 0.0, seeds=1))) == ""


def test_a_setting_that_is_missing_null_or_empty_makes_no_other_model(make_run) -> None:
    def run(key: str, seed: int, **more: object) -> FinishedRun:
        return make_run(key, {METRIC: 0.5}, config={"model": {"name": "a", **more}, "seed": seed})

    models = by_model([run("x", 0), run("y", 1, fusion=None), run("z", 2, fusion={}, encoder={"path": None})])
    assert {label: len(found) for label, found in models.items()} == {"a": 3}


def test_settings_that_change_no_number_make_no_other_model(make_run) -> None:
    changes = [
        {},
        {"device": "cuda"},
        {"train": {"lr": 0.1, "checkpoint_seconds": 9}},
        {"text": {"device": "cpu"}},
        {"text": {"batch_tokens": 1}},
    ]
    runs = [
        make_run(
            f"r{seed}",
            {METRIC: 0.5},
            config={"model": {"name": "a"}, "train": {"lr": 0.1}, "seed": seed} | change,
        )
        for seed, change in enumerate(changes)
    ]
    assert {label: len(found) for label, found in by_model(runs).items()} == {"a": 5}


LIGHTGCN = {
    "name": "lightgcn",
    "encoder": {"_target_": "gnnrec.encoders.LightGCN"},
    "objective": {"rank": {"term": {"_target_": "gnnrec.objectives.BPR"}}},
}
BASELINE = {"name": "kNN", "baseline": {"_target_": "gnnrec.baselines.ItemKNN"}}


@pytest.mark.parametrize(
    ("values", "change"),
    [
        ({"model": LIGHTGCN}, {"text": {"model": "hash"}}),
        ({"model": LIGHTGCN, "init": {"users": "text"}}, {"text": {"model": "hash"}}),
        ({"model": LIGHTGCN, "init": {"mode": "text"}}, {"text": {"model": "hash"}}),
        ({"model": LIGHTGCN}, {"train": {"lr": 0.5}}),
        ({"model": LIGHTGCN}, {"init": {"dim": 8}}),
        ({"model": BASELINE}, {"train": {"lr": 0.5}}),
        ({"model": BASELINE}, {"init": {"mode": "text", "users": "text"}}),
        ({"model": BASELINE}, {"text": {"model": "hash"}}),
        ({"model": {**BASELINE, "needs_text": True}}, {"text": {"model": "hash"}}),
    ],
)
def test_what_nothing_reads_makes_no_other_model_as_it_makes_no_other_key(
    make_run, values: dict, change: dict
) -> None:
    one, two = (RunConfig.from_dict(config) for config in (values, values | change))
    runs = [
        make_run(
            f"r{seed}",
            {METRIC: 0.5},
            config={**config.to_dict(), "seed": seed},
            text="of items" if config.needs_text()[0] else None,
        )
        for seed, config in enumerate((one, two))
    ]
    assert len(by_model(runs)) == len({one.key("data"), two.key("data")})


def test_models_that_no_label_tells_apart_are_refused(make_run) -> None:
    configs = [{"model": {"name": "a"}, "train": {"lr": lr}, "seed": 0} for lr in (1, "1")]
    runs = [make_run(f"r{at}", {METRIC: 0.5}, config=config) for at, config in enumerate(configs)]
    with pytest.raises(DataError, match="are different models with one label 'a'"):
        by_model(runs)


def test_each_seed_of_another_tool_comes_in_a_file_of_its_own(make_run) -> None:
    def foreign(key: str, seed: int) -> FinishedRun:
        config = {"model": {"name": "theirs", "external": f"{key}.npz", "sha256": key}, "seed": seed}
        return make_run(key, {METRIC: 0.5}, config=config)

    runs = [foreign(f"file{seed}", seed) for seed in range(3)]
    assert {label: len(found) for label, found in by_model(runs).items()} == {"theirs": 3}
    with pytest.raises(DataError, match="second run of its model with seed 2"):
        by_model([*runs, foreign("again", 2)])


def test_only_runs_of_one_split_and_one_protocol_are_compared(make_run) -> None:
    first = _runs(make_run, "a", 0.0, seeds=1)
    with pytest.raises(DataError, match="another split"):
        by_model(first + _runs(make_run, "bb", 0.0, seeds=1, split="other"))
    with pytest.raises(DataError, match="another protocol"):
        by_model(first + _runs(make_run, "ccc", 0.0, seeds=1, protocol="legacy_test_selected"))
    with pytest.raises(DataError, match=r"another eval\.refit"):
        by_model(first + _runs(make_run, "dddd", 0.0, seeds=1, refit=True))
    with pytest.raises(DataError, match="no finished run"):
        by_model([])
    with pytest.raises(DataError, match="second run"):
        by_model(first + first)


def test_the_table_marks_what_differs_from_the_best(make_run) -> None:
    models = by_model(
        [run for name, at in (("a", 0.0), ("bb", 0.1), ("ccc", 0.1001)) for run in _runs(make_run, name, at)]
    )
    table = comparison_table(models, [METRIC])
    best = max(models, key=lambda label: np.mean([run.result["metrics"][METRIC] for run in models[label]]))
    assert set(row for _, row, _ in table.p_values) == set(models) - {best}
    text = to_markdown(table)
    assert "over all pairs" in text
    assert "†" in text
    assert "±" in text
    assert "ccc 5" in text
    assert "no claim" not in text
    assert r"$\pm$" in to_latex(table)
    assert r"$^\dagger$" in to_latex(table)


@pytest.mark.parametrize(
    ("metric", "best"), [("test/miscalibration@20", "a"), ("test/avg_popularity@20", None)]
)
def test_the_best_of_a_column_is_not_always_the_largest(make_run, metric: str, best: str | None) -> None:
    runs = []
    for name, value in (("a", 0.1), ("bb", 0.5)):
        values = value + 0.01 * np.random.default_rng(len(name)).normal(size=USERS)
        arrays = {"users": np.arange(USERS), metric: values}
        runs.append(make_run(name, {metric: value}, arrays))
    table = comparison_table(by_model(runs), [metric])
    assert {row for _, row, _ in table.p_values} == ({"bb"} if best else set())
    assert [
        line.count("**") for line in to_markdown(table).splitlines() if line.startswith(("| a ", "| bb "))
    ] == [
        2 if best else 0,
        0,
    ]


def test_runs_with_other_groups_are_not_put_into_one_column(make_run) -> None:
    facts = {"definition": "head: top 10%", "thresholds": {"rule": "quantile"}, "num_items": 2}
    facts |= {"num_interactions": 700, "num_evaluated_users": 4}
    models = by_model(_runs(make_run, "a", 0.0) + _runs(make_run, "bb", 0.0, groups={"head": facts}))
    with pytest.raises(
        DataError, match=r"bb0\.10' has another group 'head' .*top 10%.*top 20%.* one item_rule"
    ):
        comparison_table(models, [METRIC])


def test_marks_are_corrected_over_all_pairs_since_the_best_was_seen_on_the_same_values(make_run) -> None:
    shifts = {"a": 0.0, "bb": 0.0, "ccc": 0.012}
    models = by_model([run for name, at in shifts.items() for run in _runs(make_run, name, at)])
    p_values = comparison_table(models, [METRIC]).p_values
    pairs = all_pairs(models, [METRIC]).set_index(["row", "column"])
    assert pairs["p_t"].idxmax() == ("a", "bb")  # the pair that no mark shows is a test, too
    for row in ("a", "bb"):
        assert p_values["models", row, METRIC] == pytest.approx(pairs.loc[(row, "ccc"), "p_holm"])
    larger = pairs.loc[[("a", "ccc"), ("bb", "ccc")]]
    assert larger["p_holm"].max() == pytest.approx(2 * larger["p_t"].max())
    assert larger["p_t"].max() > 1e-6


def test_few_seeds_are_said_and_an_unknown_metric_is_an_error(make_run) -> None:
    models = by_model(_runs(make_run, "a", 0.0, seeds=2))
    assert "no claim rests on a" in comparison_table(models, [METRIC]).caption
    with pytest.raises(DataError, match="recall@20"):
        comparison_table(models, ["test/recal@20"])


def test_a_group_without_a_pair_has_no_value_and_no_test(make_run) -> None:
    empty = "test/head/recall@20"
    runs = []
    for name, value in (("a", 0.2), ("b", 0.4)):
        arrays = {"users": np.arange(USERS), METRIC: np.full(USERS, value), empty: np.full(USERS, np.nan)}
        config = {"model": {"name": name}, "seed": 0}
        runs.append(make_run(name, {METRIC: value, empty: None}, arrays, config=config))
    models = by_model(runs)
    text = to_markdown(comparison_table(models, [METRIC, empty]))
    assert "| a | .2000† | - |" in text
    assert set(all_pairs(models, [METRIC, empty])["metric"]) == {METRIC}


def test_one_model_alone_says_what_its_deviation_is(make_run) -> None:
    table = comparison_table(by_model(_runs(make_run, "solo", 0.0)), [METRIC])
    assert table.caption.endswith("Mean ± standard deviation over seeds.")


def test_every_pair_is_compared_and_corrected(make_run) -> None:
    models = by_model(
        [run for name, at in (("a", 0.0), ("bb", 0.004), ("ccc", 0.1)) for run in _runs(make_run, name, at)]
    )
    pairs = all_pairs(models, [METRIC])
    assert list(zip(pairs["row"], pairs["column"])) == [("a", "bb"), ("a", "ccc"), ("bb", "ccc")]
    values = {
        label: np.stack([run.per_user(METRIC)[METRIC] for run in runs]) for label, runs in models.items()
    }
    expected = compare(values["a"], values["bb"])
    assert pairs.loc[0, "difference"] == expected.difference
    assert pairs.loc[0, "low"] == expected.low
    raw = [
        stats.ttest_rel(values[a].mean(0), values[b].mean(0)).pvalue
        for a, b in zip(pairs["row"], pairs["column"])
    ]
    assert pairs["p_t"].tolist() == pytest.approx(raw)
    assert (pairs["p_holm"] >= pairs["p_bh"]).all()
    assert (pairs["p_bh"] >= pairs["p_t"]).all()


def test_models_with_different_numbers_of_seeds_are_compared_by_their_means(make_run) -> None:
    models = by_model(_runs(make_run, "a", 0.0, seeds=1) + _runs(make_run, "bb", 0.1, seeds=3))
    pairs = all_pairs(models, [METRIC])
    assert np.isnan(pairs.loc[0, "p_seeds"])
    assert pairs.loc[0, "p_t"] < 0.05
    assert pairs.loc[0, "num_seeds"] == 1
    assert "1 of at least 5 seeds" in pairs.loc[0, "warning"]
    models = by_model(_runs(make_run, "ccc", 0.0, seeds=5) + _runs(make_run, "dddd", 0.1, seeds=6))
    pairs = all_pairs(models, [METRIC])
    assert np.isnan(pairs.loc[0, "p_seeds"])
    assert (pairs.loc[0, "num_seeds"], pairs.loc[0, "warning"]) == (5, "")


def test_one_run_of_a_baseline_stands_for_every_seed(make_run) -> None:
    baseline = {"_target_": "gnnrec.baselines.EASE"}
    models = by_model(
        _runs(make_run, "a", 0.0)
        + _runs(make_run, "bb", 0.1, seeds=1, baseline=baseline)
        + _runs(make_run, "ccc", 0.2, seeds=1, baseline=baseline)
    )
    pairs = all_pairs(models, [METRIC]).set_index(["row", "column"])
    trained = pairs.loc[("a", "bb")]
    assert trained["num_seeds"] == 5
    assert trained["p_seeds"] < 0.05
    assert trained["warning"] == ""
    assert np.isnan(pairs.loc[("bb", "ccc"), "p_seeds"])
    assert pairs.loc[("bb", "ccc"), "warning"] == ""  # nothing was trained in either
    caption = comparison_table(models, [METRIC]).caption
    assert "Seeds: a 5." in caption
    assert "no claim rests" not in caption
    alone = comparison_table({name: models[name] for name in ("bb", "ccc")}, [METRIC]).caption
    assert "Nothing was trained." in alone


def test_a_fusion_that_reads_a_trained_run_is_a_model_of_one_seed(make_run) -> None:
    part = {"_target_": "gnnrec.baselines.Embeddings", "runs": ["runs/KEY"]}
    fusion = {"_target_": "gnnrec.baselines.Fusion", "parts": {"graph": part}, "weights": {"graph": 1.0}}
    fused = _runs(make_run, "fusion", 0.1, seeds=1, baseline=fusion)
    models = by_model(_runs(make_run, "a", 0.0) + fused)
    pair = all_pairs(models, [METRIC]).iloc[0]
    assert pair["num_seeds"] == 1
    assert np.isnan(pair["p_seeds"])
    assert "1 of at least 5 seeds" in pair["warning"]
    assert (
        "fusion 1. Fewer than 5 seeds: no claim rests on fusion."
        in comparison_table(models, [METRIC]).caption
    )
    assert "Nothing was trained." not in comparison_table(by_model(fused), [METRIC]).caption


def test_seeds_are_paired_whatever_the_order_of_the_folders(make_run) -> None:
    runs = _runs(make_run, "a", 0.0) + _runs(make_run, "bb", 0.1)
    first = all_pairs(by_model(runs), [METRIC])
    again = all_pairs(by_model([*runs[:5][::-1], *runs[5:]]), [METRIC])
    assert first.loc[0, "p_seeds"] == again.loc[0, "p_seeds"]
    assert list(by_model(runs[::-1])) == ["a", "bb"]
