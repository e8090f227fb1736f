"""What a finished run leaves, and what decides it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import gnnrec.run as module
from gnnrec import manifest
from gnnrec.config import RunConfig
from gnnrec.data.splits import make_split
from gnnrec.make import make_recommender
from gnnrec.run import RunResult, run
from tests.run.helpers import POPULARITY, make, make_full_at, read, rows_of


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


def test_a_finished_run_of_other_code_is_read_with_one_warning(
    folder: Path, popularity: RunResult, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = make(folder, model=POPULARITY)
    run(config)
    assert not caplog.records
    monkeypatch.setattr(manifest, "source_hash", lambda config: "another")
    assert run(config).metrics == run(config).metrics == popularity.metrics
    manifest.tell_other_code("a third", {}, popularity.path.with_name("neighbour"))
    assert [f"'{popularity.path}' was made with other code" in text for text in caplog.messages] == [True]


def test_code_edited_while_a_run_trains_is_not_what_made_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "gnnrec"
    package.mkdir()
    (package / "losses.py").write_text("before")
    monkeypatch.setattr(manifest, "ROOT", tmp_path)
    hash_now = manifest._hash_sources.__wrapped__
    monkeypatch.setattr(manifest, "_hash_sources", cache(hash_now))
    before, evaluate = hash_now(()), module.evaluate

    def edit(*arguments: object, **options: object) -> object:
        (package / "losses.py").write_text("after")
        return evaluate(*arguments, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(module, "evaluate", edit)
    result = run(make(folder, root=tmp_path / "runs", model=POPULARITY))
    assert read(result, "manifest.json")["sources"] == before != hash_now(())


def test_a_class_of_ones_own_is_part_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_hash_sources", manifest._hash_sources.__wrapped__)
    monkeypatch.syspath_prepend(tmp_path)
    own = tmp_path / "own_losses.py"
    own.write_text("class Mine: ...")
    nested = {"model": {"objective": {"rank": {"term": [{"_target_": "own_losses.Mine"}]}}}}
    without, before = (
        manifest.source_hash({"model": {"_target_": "gnnrec.losses.bpr"}}),
        manifest.source_hash(nested),
    )
    own.write_text("class Mine: pass")
    assert len({without, before, manifest.source_hash(nested)}) == 3
    assert manifest.source_hash({"_target_": "nowhere.at.all.Mine"}) == manifest.source_hash({})


def test_per_user_arrays_give_the_metrics(finished: RunResult) -> None:
    arrays = np.load(finished.path / "per_user.npz")
    for key in ("test/ndcg@10", "test/recall@5", "test/tail/recall@10"):
        assert np.nanmean(arrays[key]) == pytest.approx(finished.metrics[key])
    assert len(arrays["users"]) == len(arrays["test/ndcg@10"])
    # lists of 10 items, the largest of eval.ks: the arrays and figures of items are named after it
    assert arrays["item_exposure@10"].sum() == 10 * len(arrays["users"])
    assert not any(name.endswith("@20") for name in arrays.files)
    files = list((finished.path / "figures").iterdir())
    drawn = {path.stem for path in files}
    assert {path.suffix for path in files} == {".png"}
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
