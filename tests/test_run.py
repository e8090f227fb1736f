"""Whole runs: what they leave, that the test is sealed, that they can be interrupted, what is told."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import gnnrec.run as module
from gnnrec.config import RunConfig
from gnnrec.data.interactions import Interactions
from gnnrec.data.native import write_native
from gnnrec.data.planted import planted_dataset
from gnnrec.data.splits import make_split
from gnnrec.errors import ConfigError, GnnrecError
from gnnrec.make import make_recommender
from gnnrec.run import RunResult, merge, run, validate
from gnnrec.training import History

SSL: dict[str, Any] = {
    "weight": 0.02,
    "term": {
        "_target_": "gnnrec.objectives.Contrast",
        "first": [
            {"_target_": "gnnrec.views.EdgeDropout", "p": 0.1},
            {"_target_": "gnnrec.views.FeatureMasking", "p": 0.1},
        ],
    },
}
RANK = {"term": {"_target_": "gnnrec.objectives.Softmax", "negatives": "all"}}
POPULARITY = {"name": "popularity", "baseline": {"_target_": "gnnrec.baselines.Popularity"}}
BASE: dict[str, Any] = {
    "text": {"model": "hash"},
    "init": {"mode": "id", "dim": 16},
    "model": {
        "name": "LightGCN",
        "encoder": {"_target_": "gnnrec.encoders.LightGCN"},
        "objective": {"rank": RANK},
    },
    "train": {"epochs": 8, "batch_size": 256, "lr": 0.02, "select": "ndcg@10", "eval_every": 4},
    "eval": {"ks": [5, 10], "metrics": ["recall", "ndcg"], "num_user_groups": 2},
    "tracking": {"mode": "disabled"},
}
FULL: dict[str, Any] = {  # changes that make everything take part: text, profiles, self-supervision
    "init__mode": "id_text",
    "init__users": "id_profile",
    "model__objective": {"rank": RANK, "ssl": SSL},
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Text vectors go to a folder of this test run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNNREC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planted data in native form: 80 users, 60 items, 3 blocks."""
    dataset = planted_dataset(num_users=80, num_items=60, seed=0)
    return write_native(dataset, tmp_path_factory.mktemp("data") / "planted")


def make(folder: Path, root: Path | None = None, **changes: Any) -> RunConfig:
    """BASE on the data of `folder`, with changes given by dotted path (`__` for the dot)."""
    values = copy.deepcopy(BASE)
    values["dataset"] = {"name": str(folder)}
    values["tracking"]["root"] = str(root or folder.parent / "runs")
    for path, value in changes.items():
        *parts, name = path.split("__")
        node = values
        for part in parts:
            node = node.setdefault(part, {})
        node[name] = value
    return RunConfig.from_dict(values)


def read(result: RunResult, name: str) -> Any:
    text = (result.path / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)


def rows_of(result: RunResult) -> list[dict[str, float]]:
    rows = read(result, "metrics.jsonl")
    return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows]


@pytest.fixture(scope="module")
def popularity(folder: Path) -> RunResult:
    return run(make(folder, model=POPULARITY))


@pytest.fixture(scope="module")
def full(folder: Path) -> RunConfig:
    return make(folder, **FULL, init__id_dropout=0.2)


@pytest.fixture(scope="module")
def finished(full: RunConfig) -> RunResult:
    return run(full)


def test_a_finished_run_is_complete_and_beats_popularity_on_test(
    finished: RunResult, popularity: RunResult, full: RunConfig
) -> None:
    assert finished.metrics["test/ndcg@10"] > popularity.metrics["test/ndcg@10"] + 0.15
    names = {path.name for path in finished.path.iterdir()}
    kept = {"config.yaml", "manifest.json", "metrics.jsonl", "result.json", "per_user.npz"}
    assert names == {*kept, "embeddings.safetensors", "figures", "DONE"}
    result = read(finished, "result.json")
    assert result["metrics"] == pytest.approx(finished.metrics)
    assert (result["key"], result["protocol"], result["refit"]) == (finished.key, "honest", False)
    best = [row for row in rows_of(finished) if row["epoch"] == result["best_epoch"]]
    assert result["validation"]["validation/ndcg@10"] == best[0]["validation/ndcg@10"]
    assert {"loss/total", "loss/rank", "loss/ssl"} <= set(best[0])
    embeddings = load_file(finished.path / "embeddings.safetensors")
    assert {name: tuple(t.shape) for name, t in embeddings.items()} == {
        "user_emb": (80, 16),
        "item_emb": (60, 16),
    }
    assert RunConfig.from_dict(full.to_dict()).key("x") == full.key("x")
    assert set(result["groups"]) >= {"head", "mid", "tail", "user_q1", "user_q2"}


def test_per_user_arrays_give_the_metrics(finished: RunResult) -> None:
    arrays = np.load(finished.path / "per_user.npz")
    for key in ("test/ndcg@10", "test/recall@5", "test/tail/recall@10"):
        assert np.nanmean(arrays[key]) == pytest.approx(finished.metrics[key])
    assert len(arrays["users"]) == len(arrays["test/ndcg@10"])
    # lists of 10 items, the largest of eval.ks: the arrays and figures of items are named after it
    assert arrays["item_exposure@10"].sum() == 10 * len(arrays["users"])
    assert not any(name.endswith("@20") for name in arrays.files)
    drawn = {path.stem for path in (finished.path / "figures").glob("*.png")}
    assert {"recall_by_popularity@10", "recall_by_activity@10", "lorenz@10"} <= drawn


def test_the_manifest_says_what_was_used(finished: RunResult, full: RunConfig) -> None:
    manifest = read(finished, "manifest.json")
    assert manifest["num_test_scorings"] == 1
    assert manifest["seeds"] == {"run": 0, "split": 0, "evaluation": 0}
    assert set(manifest["seconds"]) == {"data", "text", "train", "test"}
    assert all(len(manifest["fingerprints"][name]) == 64 for name in ("data", "split", "text"))
    assert manifest["num_parameters"] > 80 * 16


def test_the_same_configuration_gives_the_same_result(
    full: RunConfig, finished: RunResult, folder: Path, tmp_path: Path
) -> None:
    again = run(make_full_at(full, tmp_path))
    assert again.key == finished.key
    assert again.path != finished.path
    for name in ("result.json", "embeddings.safetensors"):
        assert (again.path / name).read_bytes() == (finished.path / name).read_bytes()
    assert rows_of(again) == rows_of(finished)
    one, two = np.load(again.path / "per_user.npz"), np.load(finished.path / "per_user.npz")
    assert one.files == two.files
    assert all(np.array_equal(one[name], two[name], equal_nan=True) for name in one.files)


def make_full_at(config: RunConfig, root: Path, **changes: Any) -> RunConfig:
    """The same configuration in another place."""
    values = config.to_dict()
    values["tracking"]["root"] = str(root)
    for path, value in changes.items():
        group, _, name = path.partition("__")
        (values[group] if name else values)[name or group] = value
    return RunConfig.from_dict(values)


def test_another_seed_gives_another_model(full: RunConfig, finished: RunResult, tmp_path: Path) -> None:
    other = run(make_full_at(full, tmp_path, seed=1))
    assert other.key != finished.key
    one, two = (load_file(r.path / "embeddings.safetensors")["user_emb"] for r in (other, finished))
    assert not torch.equal(one, two)


def test_a_finished_run_is_read_not_run_again(
    full: RunConfig, finished: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "fit", lambda *_: pytest.fail("trained again"))
    again = run(full)
    assert (again.key, again.path, again.metrics) == (finished.key, finished.path, finished.metrics)


def test_a_baseline_run_leaves_no_embeddings(popularity: RunResult) -> None:
    assert not (popularity.path / "embeddings.safetensors").exists()
    assert (popularity.path / "DONE").exists()
    result = read(popularity, "result.json")
    assert result["best_epoch"] is None
    assert read(popularity, "manifest.json")["fingerprints"]["text"] is None


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set with a published split, and the same with other pairs in its test part."""
    dataset = planted_dataset(num_users=80, num_items=60, seed=0)
    split = make_split(dataset, "random", 0)
    generator = np.random.default_rng(0)
    taken = set(dataset.interactions.pair_keys().tolist())
    free = [key for key in generator.permutation(80 * 60).tolist() if key not in taken][
        : len(split.test) // 2
    ]
    corrupted = Interactions(np.array(free) // 60, np.array(free) % 60, 80, 60)
    folders = []
    for name, test in (("true", split.test), ("corrupted", corrupted)):
        parts = (split.train, split.validation, test)
        user, item = (np.concatenate([getattr(part, side) for part in parts]) for side in ("user", "item"))
        labels = np.repeat(np.arange(3, dtype=np.int8), [len(part) for part in parts])
        data = dataset.with_interactions(Interactions(user, item, 80, 60), labels)
        folders.append(write_native(data, tmp_path_factory.mktemp("sealed") / name))
    return folders[0], folders[1]


@pytest.mark.parametrize("refit", [False, True])
def test_the_test_set_has_no_say_in_training(published: tuple[Path, Path], refit: bool) -> None:
    results = []
    for folder in published:
        results.append(run(make(folder, **FULL, split={"name": "published"}, eval__refit=refit)))
    true, corrupted = results
    assert true.key != corrupted.key
    name = "embeddings.safetensors"
    assert (true.path / name).read_bytes() == (corrupted.path / name).read_bytes()
    assert rows_of(true) == rows_of(corrupted)
    assert true.metrics["test/ndcg@10"] > corrupted.metrics["test/ndcg@10"] + 0.1


class Calls:
    """Notes on which part each evaluation looked at, and what each fit was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.splits: list[str] = []
        self.fits: list[tuple[int, int, bool]] = []
        real_evaluate, real_fit = module.evaluate, module.fit

        def evaluate(scorer: Any, task: Any, *rest: Any, **more: Any) -> Any:
            self.splits.append(task.split)
            return real_evaluate(scorer, task, *rest, **more)

        def fit(model: Any, objective: Any, config: Any, validate: Any, *rest: Any, **more: Any) -> History:
            epochs = more.get("last_epoch") or config.epochs
            self.fits.append((model.graph.num_edges, epochs, validate is not None))
            return real_fit(model, objective, config, validate, *rest, **more)

        monkeypatch.setattr(module, "evaluate", evaluate)
        monkeypatch.setattr(module, "fit", fit)


def test_the_test_is_scored_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch)
    run(make(folder, tmp_path))
    assert calls.splits == ["validation", "validation", "test"]


def test_a_search_never_scores_the_test_and_writes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(monkeypatch)
    metrics = validate(make(folder, tmp_path / "runs"))
    assert set(calls.splits) == {"validation"}
    assert all(key.startswith("validation/") for key in metrics)
    assert not (tmp_path / "runs").exists()
    with pytest.raises(ConfigError, match="protocol=honest"):
        validate(make(folder, tmp_path, protocol="legacy_test_selected"))


def test_a_legacy_run_is_stamped_and_counts_its_test_scorings(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(monkeypatch)
    result = run(make(folder, tmp_path, protocol="legacy_test_selected"))
    assert calls.splits == ["test", "test", "test"]
    assert read(result, "result.json")["protocol"] == "legacy_test_selected"
    assert read(result, "manifest.json")["num_test_scorings"] == 3
    dataset = module._load_dataset(str(folder))
    split = make_split(dataset, "random", 0)
    assert calls.fits == [(len(split.train) + len(split.validation), 8, True)]


def test_refit_trains_again_on_train_and_validation_for_the_chosen_epochs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(monkeypatch)
    config = make(folder, tmp_path)
    plain = run(config)
    refit = run(make_full_at(config, tmp_path, eval={**config.to_dict()["eval"], "refit": True}))
    split = make_split(module._load_dataset(str(folder)), "random", 0)
    best = read(refit, "result.json")["best_epoch"]
    whole = len(split.train) + len(split.validation)
    assert calls.fits == [(len(split.train), 8, True), (len(split.train), 8, True), (whole, best, False)]
    assert read(refit, "result.json")["refit"] is True
    assert read(refit, "manifest.json")["num_test_scorings"] == 1
    assert rows_of(refit) == rows_of(plain)
    one, two = (load_file(r.path / "embeddings.safetensors")["user_emb"] for r in (plain, refit))
    assert not torch.equal(one, two)


def test_after_a_refit_only_the_items_of_no_training_are_cold(folder: Path, tmp_path: Path) -> None:
    split = make_split(module._load_dataset(str(folder)), "cold_item", 0)
    known = merge(split.train, split.validation).item_counts()
    for refit, counts in ((False, split.train.item_counts()), (True, known)):
        result = run(make(folder, tmp_path, model=POPULARITY, split={"name": "cold_item"}, eval__refit=refit))
        cold = read(result, "result.json")["groups"]["cold"]
        assert cold["num_items"] == (counts == 0).sum()
        assert ("in train or validation" in cold["definition"]) == refit
    assert (known == 0).sum() < (split.train.item_counts() == 0).sum()


@pytest.mark.parametrize("refit", [False, True])
def test_a_fixed_number_of_epochs_is_trained_once_without_validation(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refit: bool
) -> None:
    calls = Calls(monkeypatch)
    result = run(make(folder, tmp_path, train__eval_every=0, eval__refit=refit))
    split = make_split(module._load_dataset(str(folder)), "random", 0)
    pairs = len(split.train) + (len(split.validation) if refit else 0)
    assert calls.fits == [(pairs, 8, False)]
    assert [row["epoch"] for row in rows_of(result)] == list(range(1, 9))
    assert not any(key.startswith("validation/") for row in rows_of(result) for key in row)
    assert (result.path / "embeddings.safetensors").exists()


@pytest.mark.parametrize("eval_every", [0, 4])
def test_the_last_training_goes_on_where_it_was_killed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eval_every: int
) -> None:
    """Without validation, and where the epoch was selected on validation and all pairs are trained on again."""
    calls, stop_at = 0, -1

    def counted(*args: Any) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise KeyboardInterrupt
        return train_epoch(*args)

    fit_module = sys.modules["gnnrec.training.fit"]  # the package's attribute of that name is the function
    train_epoch = fit_module._train_epoch
    monkeypatch.setattr(fit_module, "_train_epoch", counted)
    words = {"train__eval_every": eval_every, "train__checkpoint_seconds": 0.0, "eval__refit": True}
    whole = run(make(folder, tmp_path / "whole", **words))
    calls, stop_at = 0, calls
    config = make(folder, tmp_path / "killed", **words)
    with pytest.raises(KeyboardInterrupt):
        run(config)
    calls, stop_at = 0, -1
    again = run(config)
    assert calls == 1
    for name in ("result.json", "embeddings.safetensors"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert not list(again.path.glob("*checkpoint*"))
    assert not list(again.path.glob("refit*"))


def test_a_trained_model_is_fused_with_baselines(folder: Path, tmp_path: Path) -> None:
    fusion = {
        "parts": {"knn": {"_target_": "gnnrec.baselines.ItemKNN", "k": 5}},
        "weights": {"graph": 1.0, "knn": 0.3},
    }
    fused = run(make(folder, tmp_path, model__fusion=fusion))
    alone = run(make(folder, tmp_path))
    same = run(make(folder, tmp_path, model__fusion={**fusion, "weights": {"graph": 2.0, "knn": 0.0}}))
    assert fused.metrics["test/ndcg@10"] != alone.metrics["test/ndcg@10"]
    assert same.metrics["test/ndcg@10"] == pytest.approx(alone.metrics["test/ndcg@10"])
    one, two = (load_file(r.path / "embeddings.safetensors")["user_emb"] for r in (fused, alone))
    assert torch.equal(one, two)
    assert read(fused, "manifest.json")["num_parameters"] == read(alone, "manifest.json")["num_parameters"]


def test_merge_joins_two_parts() -> None:
    one = Interactions(np.array([1, 0]), np.array([2, 1]), 3, 4)
    two = Interactions(np.array([0]), np.array([3]), 3, 4)
    merged = merge(one, two)
    assert list(zip(merged.user.tolist(), merged.item.tolist())) == [(0, 1), (0, 3), (1, 2)]
    assert (merged.num_users, merged.num_items) == (3, 4)


def test_a_run_killed_in_training_and_started_again_is_one_never_killed(
    full: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {**full.to_dict()["train"], "eval_every": 2, "checkpoint_seconds": 0.0}
    whole = run(make_full_at(full, tmp_path / "whole", train=train))
    config = make_full_at(full, tmp_path / "killed", train=train)
    with monkeypatch.context() as patch:
        patch.setattr(module.Tracker, "log", lambda self, row, epoch: interrupt() if epoch == 6 else None)
        with pytest.raises(KeyboardInterrupt):
            run(config)
    killed = tmp_path / "killed" / whole.key
    assert not (killed / "DONE").exists()
    assert (killed / "checkpoint.safetensors").exists()
    assert len((killed / "metrics.jsonl").read_text().splitlines()) == 3  # one more than the checkpoint has
    again = run(config)
    for name in ("result.json", "embeddings.safetensors"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert rows_of(again) == rows_of(whole)
    assert not (again.path / "checkpoint.safetensors").exists()


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_run_that_fails_is_not_done(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make(folder, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_evaluate", lambda *_: interrupt())
        with pytest.raises(KeyboardInterrupt):
            run(config)
    [path] = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert not (path / "DONE").exists()
    assert not (path / "result.json").exists()
    assert not (path / ".lock").exists()
    assert run(config).metrics["test/ndcg@10"] > 0.2
    assert (path / "DONE").exists()


def test_a_root_that_cannot_be_written_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(GnnrecError, match=r"cannot write '.*file.*tracking\.root=FOLDER sets another"):
        run(make(folder, tmp_path / "file" / "runs"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dataset": {"name": "debain"}}, "debian"),
        ({"split": {"name": "randm"}}, "did you mean 'random'"),
        ({"split": {"name": "random", "params": {"ratio": [8, 1, 1]}}}, "did you mean 'ratios'"),
        ({"split": {"name": "published"}}, "published"),
        ({"split": {"name": "cold_user", "params": {"support": 1}}}, r"split\.params\.support=0"),
        ({"device": "qpu"}, "device 'qpu' cannot be used .*device=auto"),
        ({"eval__item_rule": "quantil"}, "did you mean 'quantile'"),
        ({"init__mode": "text", "text__item_vectors": "/nowhere.npz"}, "nowhere"),
    ],
    ids=str,
)
def test_a_mistake_leaves_no_result(folder: Path, tmp_path: Path, changes: dict, told: str) -> None:
    with pytest.raises(GnnrecError, match=told):
        run(make(folder, tmp_path / "runs", **changes))
    assert list(tmp_path.rglob("DONE")) == []


def test_a_run_is_mirrored_in_wandb_offline(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    result = run(make(folder, tmp_path, tracking__mode="offline", model=POPULARITY))
    [mirror] = (tmp_path / "wandb").glob("offline-run-*")
    assert mirror.name.endswith(result.key)
    [log] = mirror.glob("run-*.wandb")
    content = log.read_bytes()
    assert b"test/ndcg@10" in content
    assert b"honest" in content


def test_make_recommender_is_seeded_and_leaves_the_global_generator_alone(
    full: RunConfig, folder: Path
) -> None:
    train = make_split(module._load_dataset(str(folder)), "random", 0).train
    vectors = np.random.default_rng(0).normal(size=(60, 20)).astype(np.float32)
    state = torch.get_rng_state()
    one, two = (make_recommender(full, train, vectors) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.user_emb, two.user_emb)
    assert one.graph.num_edges == len(train)
