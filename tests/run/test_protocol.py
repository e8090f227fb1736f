"""The test is sealed: what training, selection and training again may see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import gnnrec.run as module
from gnnrec.data.interactions import Interactions
from gnnrec.data.native import write_native
from gnnrec.data.planted import planted_dataset
from gnnrec.data.splits import make_split
from gnnrec.errors import ConfigError
from gnnrec.protocol import merge
from gnnrec.run import run, validate
from tests.run.helpers import FULL, POPULARITY, Calls, make, make_full_at, read, rows_of

NO_VALIDATION = {"name": "random", "params": {"ratios": [0.9, 0, 0.1]}}


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


@pytest.mark.parametrize(("work", "changes"), [(run, {}), (validate, {}), (validate, {"model": POPULARITY})])
def test_a_validation_part_without_pairs_is_told_before_any_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[..., object], changes: dict
) -> None:
    monkeypatch.setattr(module, "_vectors", lambda *_: pytest.fail("began to work"))
    with pytest.raises(ConfigError, match="the validation task has no relevant pair"):
        work(make(folder, tmp_path, split=NO_VALIDATION, **changes))


def test_what_is_not_validated_needs_no_validation_pair(folder: Path, tmp_path: Path) -> None:
    run(make(folder, tmp_path, model=POPULARITY, split=NO_VALIDATION))
    run(make(folder, tmp_path, train__eval_every=0, split=NO_VALIDATION))


def test_merge_joins_two_parts() -> None:
    one = Interactions(np.array([1, 0]), np.array([2, 1]), 3, 4)
    two = Interactions(np.array([0]), np.array([3]), 3, 4)
    merged = merge(one, two)
    assert list(zip(merged.user.tolist(), merged.item.tolist())) == [(0, 1), (0, 3), (1, 2)]
    assert (merged.num_users, merged.num_items) == (3, 4)
