from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

import gnnrec.run
from experiments import search, tune
from experiments.cli import run_main
from experiments.search import Search, draw_trials, read_record
from gnnrec.config import RunConfig
from gnnrec.errors import DataError
from gnnrec.evaluation.result import Evaluation
from gnnrec.manifest import source_hash


def test_a_small_grid_is_tried_whole_and_a_large_one_without_repeats() -> None:
    words = ["model=mf", "a=1,2,3", "b=x,y"]
    assert draw_trials(words, 20, 0) == [["model=mf", f"a={a}", f"b={b}"] for a in (1, 2, 3) for b in "xy"]
    drawn = draw_trials(words, 4, 0)
    assert len({tuple(trial) for trial in drawn}) == 4
    assert draw_trials(words, 4, 0) == drawn
    assert draw_trials(words, 4, 1) != drawn


def test_a_setting_that_repeats_a_word_of_the_row_is_told() -> None:
    words = ["dataset=debian", "model=gfcf", "model.baseline.dim=64", "model.baseline.dim=64,256"]
    tried = search.Search(words, 3)
    assert [tried.settings(trial) for trial in tried.trials] == [
        "model.baseline.dim=64",
        "model.baseline.dim=256",
    ]


def drawn(*words: str, model: str = "mf", num: int = 400) -> list[list[float]]:
    """Draw settings; return the values of each word."""
    trials = draw_trials([*words, f"model={model}"], num, 0)
    return [[float(trial[at].split("=")[1]) for trial in trials] for at in range(len(words))]


def test_intervals_are_drawn_inside_and_evenly_in_the_logarithm() -> None:
    lr, weight, n = drawn(
        "train.lr=tag(log,interval(1e-4,1e-2))", "init.own_weight=interval(0.2,0.4)", "train.epochs=1,2"
    )
    assert min(lr) >= 1e-4
    assert max(lr) <= 1e-2
    assert 0.4 < sum(value < 1e-3 for value in lr) / 400 < 0.6
    assert 0.2 <= min(weight) < 0.25
    assert 0.35 < max(weight) <= 0.4
    assert set(n) == {1, 2}


def test_whole_numbers_are_drawn_for_keys_that_are_whole_numbers() -> None:
    words = ["model.baseline.k=interval(5,14)", "model.baseline.shrink=interval(0,9)"]
    k, shrink = drawn(*words, model="item_knn")
    assert set(k) == set(range(5, 15))
    assert 20 < k.count(5) < 60  # the ends have the share of the others
    assert any(value % 1 for value in shrink)
    log, asked = drawn("init.dim=tag(log,interval(1,99))", "train.lr=int(interval(1,500))")
    assert {*log} <= {*range(1, 100)}
    assert 0.4 < sum(value < 10 for value in log) / 400 < 0.6
    assert {*asked} <= {*range(1, 501)}


def test_whole_numbers_are_not_tried_twice() -> None:
    [epochs] = drawn("train.epochs=interval(1,5)", num=20)
    assert sorted(epochs) == [1, 2, 3, 4, 5]


def test_a_search_is_resumed_and_names_the_best(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[float] = []

    def validate(config: RunConfig, checkpoint: Path) -> dict[str, float]:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(config.train.lr)
        return {"validation/ndcg@20": 1 - abs(config.train.lr - 0.02)}

    monkeypatch.setattr(search, "validate", validate)
    words = [*small, "model=lightgcn", "train.lr=0.01,0.02,0.03,0.04"]
    assert run_main(tune.main, words) == 130
    seen.append(0)
    assert run_main(tune.main, words) == 0
    assert seen == [0.01, 0.02, 0, 0.03, 0.04]
    told, _, best = capsys.readouterr().out.rpartition("best: ")
    assert "train.lr=0.02" in best
    assert "train.lr=0.03" in told
    assert "model=lightgcn" not in told  # what all settings share is told once, by the best


def test_a_trial_killed_in_training_goes_on_where_it_was(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*small, "model=lightgcn", "train.epochs=4", "train.eval_every=1", "train.checkpoint_seconds=0.0"]
    whole = Search([*words, f"tracking.root={tmp_path / 'whole'}"], 1)
    whole.run()
    validations: list[str] = []
    evaluate = gnnrec.run.evaluate

    def killed_in_the_third(*arguments: Any, **options: Any) -> Evaluation:
        validations.append("killed" if len(validations) == 2 else "done")
        if validations[-1] == "killed":
            raise KeyboardInterrupt
        return evaluate(*arguments, **options)

    monkeypatch.setattr(gnnrec.run, "evaluate", killed_in_the_third)
    killed = Search(words, 1)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    assert [path.suffix for path in killed.folder.iterdir()] == [".safetensors"]
    with monkeypatch.context() as patch:
        for module in (gnnrec.run, search):
            patch.setattr(module, "source_hash", lambda config: "other code")
        killed.run()
    assert validations[3:] == ["done"] * 3  # the third and the fourth epoch's, and the one at the end
    assert [path.suffix for path in killed.folder.iterdir()] == [".json"]
    assert killed.ranked()[0].value == whole.ranked()[0].value
    [record] = killed.folder.iterdir()
    assert (
        json.loads(record.read_text())["sources"] == f"{source_hash(killed.configs[0].to_dict())}+other code"
    )


def test_the_best_setting_is_a_command_that_a_shell_takes(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search, "validate", lambda *_: {"validation/ndcg@20": 1.0})
    words = [
        *small,
        "model=lightgcn-softmax",
        "model.encoder.layer_weights=[0.5, 0.25, 0.25]",
        "train.lr=0.01",
    ]
    assert run_main(tune.main, words) == 0
    best = capsys.readouterr().out.rpartition("best: ")[2]
    assert shlex.split(best) == ["python", "experiments/run.py", *words]


def test_a_search_sees_no_test_and_writes_no_run(small: list[str], tmp_path: Path) -> None:
    assert run_main(tune.main, [*small, "model=item_knn", "model.baseline.k=5,10"]) == 0
    rows = [json.loads(record.read_text()) for record in (tmp_path / "runs" / "tune").iterdir()]
    assert len(rows) == 2
    assert all(key.startswith("validation/") for row in rows for key in row["metrics"])
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["tune"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--trials", "0"], "'--trials' must be a whole number of at least 1"),
        (["--metric", "ndgc@20", "model=popularity"], "did you mean 'validation/ndcg@20'?"),
        (["protocol=legacy_test_selected", "model=popularity"], "needs protocol=honest"),
        (["train.lr=0.1,x"], "'train.lr' must be of type float"),
        (["--metric", "gini@20"], "'--metric' must be a metric of which the largest value is the best"),
        (["train.lr"], "cannot read 'train.lr'"),
        (["train.lr=interval(1"], "cannot read 'train.lr=interval(1'"),
        (["train.lr=interval(a,b)"], "cannot read 'train.lr=interval(a,b)'"),
        (["model=glob(*)"], "'model=glob(*)' is no list of values"),
        (["train.epochs=range(1,9,0)"], "'train.epochs=range(1,9,0)' is no list of values"),
        (["train.lr=interval(10,1)"], "'low end' must be in (-inf, 1.0)"),
        (["train.lr=interval(0,inf)"], "'high end' must be in (-inf, inf)"),
        (["train.lr=tag(log,interval(0,10))"], "'low end' must be in (0, 10.0)"),
        (["train.lr=tag(lgo,interval(1,10))"], "unknown tag 'lgo'"),
        (["train.lr=tag(log,choice(1,10))"], "unknown tag 'log'"),
        (["train.epochs=interval(1.2,1.8)"], "has no whole number in it"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str], told: str, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(tune.main, [*small, *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_metric_of_a_group_without_relevant_items_is_told(small: list[str], tmp_path: Path) -> None:
    search = Search([*small, f"tracking.root={tmp_path}", "eval.item_rule=thresholds"], 1, "head/ndcg@20")
    search.folder.mkdir()
    for record in search.records:
        record.write_text(json.dumps({"trial": [], "metrics": {search.metric: None}}))
    with pytest.raises(DataError, match="'validation/head/ndcg@20' in '--metric' has no value"):
        search.ranked()


@pytest.mark.parametrize("metric", ["ndgc@20", "ndcg@25"])
def test_an_unknown_metric_is_told_before_the_first_fit(
    small: list[str], metric: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search, "validate", lambda *_: pytest.fail("fitted"))
    assert run_main(tune.main, [*small, "model=mf", "--metric", metric]) == 2
    assert f"unknown metric 'validation/{metric}' to choose settings by" in capsys.readouterr().err


def test_a_root_that_cannot_be_written_is_told_before_the_first_fit(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search, "validate", lambda *_: pytest.fail("fitted"))
    (tmp_path / "file").write_text("not a folder")
    assert run_main(tune.main, [*small, "model=mf", f"tracking.root={tmp_path / 'file'}"]) == 2
    assert "file/tune': Not a directory; tracking.root=FOLDER sets another" in capsys.readouterr().err


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    broken = ('{"trial": ["a"], "met', '{"trial": ["a"]}', "[1]", '{"metrics": {}}')
    for text in (*broken, '{"metrics": {"validation/ndcg@20": "0.5"}}', '{"metrics": {"a": [0.5]}}'):
        (tmp_path / "t.json").write_text(text)
        with pytest.raises(DataError, match=r"t\.json' is no record of a trial .*; delete the file"):
            read_record(tmp_path / "t.json")


def test_a_trial_is_found_again_whatever_changes_no_number(small: list[str], tmp_path: Path) -> None:
    words = [*small, "model=item_knn"]
    first = search.Search([*words, "model.baseline.k=5,10"], 2)
    first.run()
    elsewhere = search.Search(
        ["tracking.group=g", "device=auto", *words, "device=auto", "model.baseline.k=10,5,20"], 3
    )
    assert elsewhere.missing == 1
    (tmp_path / "runs" / "tune" / "item_knn-0123456789ab.jsonl").write_text("of an earlier version")
    assert search.Search([*words, "model.baseline.k=5,10"], 2).ranked() == first.ranked()


def test_other_data_under_the_same_name_are_tried_anew(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gnnrec.run, "_data_fingerprint", lambda _: "old")
    words = [*small, "model=item_knn", "model.baseline.k=5,10"]
    search.Search(words, 2).run()
    assert search.Search(words, 2).missing == 0
    monkeypatch.setattr(gnnrec.run, "_data_fingerprint", lambda _: "new")
    assert search.Search(words, 2).missing == 2
    with pytest.raises(DataError, match="no record"):
        search.Search(words, 2).ranked()


def test_an_edited_file_of_vectors_is_tried_anew(small: list[str], tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.npy"
    words = [*small, "model=content_knn", f"text.item_vectors={vectors}", "model.baseline.k=5,10"]
    vectors.write_bytes(b"one")
    before = search.Search(words, 2).records
    vectors.write_bytes(b"two")
    assert not set(before) & set(search.Search(words, 2).records)
