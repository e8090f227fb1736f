"""Fusion against scipy's z-scores, and embeddings of a trained run as one of its parts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from gnnrec.baselines import EASE, GFCF, ContentKNN, Embeddings, Fusion, ItemKNN, Popularity
from gnnrec.baselines import fusion as module
from gnnrec.baselines.fusion import Fitted, kept_fits, standardise
from gnnrec.config import RunConfig
from gnnrec.data.interactions import Interactions
from gnnrec.data.native import write_native
from gnnrec.data.planted import planted_dataset
from gnnrec.errors import ConfigError, DataError
from gnnrec.run import RunResult, run, validate

USERS = torch.arange(25)


class Constant:
    """Scores every item alike, by a number that float32 rounds."""

    def fit(self, train: Interactions, item_vectors: Any = None, user_vectors: Any = None) -> Constant:
        self.num_items = train.num_items
        return self

    def scores(self, user: Tensor) -> Tensor:
        return torch.full((len(user), self.num_items), 0.1) * 3


def fuse(history: Interactions, weights: dict[str, float], **parts: Any) -> np.ndarray:
    return Fusion(parts, weights).fit(history).scores(USERS).numpy()


def zscores(model: Any, history: Interactions) -> np.ndarray:
    scores = model.fit(history).scores(USERS).numpy().astype(np.float64)
    return np.nan_to_num(scipy.stats.zscore(scores, axis=1))


def test_the_sum_of_z_scores(history: Interactions) -> None:
    expected = 0.7 * zscores(EASE(5.0), history) - 0.2 * zscores(ItemKNN(5), history)
    got = fuse(history, {"knn": -0.2, "ease": 0.7}, ease=EASE(5.0), knn=ItemKNN(5))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_a_prior_fades_a_part_with_the_train_count_of_an_item(history: Interactions) -> None:
    parts = {"ease": EASE(5.0), "knn": ItemKNN(5)}
    got = Fusion(parts, {"ease": 1.0, "knn": 0.5}, {"knn": 3.0}).fit(history).scores(USERS).numpy()
    share = 3.0 / (3.0 + history.item_counts())
    expected = zscores(EASE(5.0), history) + 0.5 * share * zscores(ItemKNN(5), history)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_priors_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"unknown part 'priors.eas' in 'Fusion', did you mean 'ease'"):
        Fusion({"ease": EASE(5.0)}, {"ease": 1.0}, {"eas": 3.0})
    with pytest.raises(ConfigError, match=r"'priors.ease' must be .* \(got 0"):
        Fusion({"ease": EASE(5.0)}, {"ease": 1.0}, {"ease": 0.0})


def test_a_part_of_weight_zero_is_not_fitted_and_the_other_ranks_as_alone(history: Interactions) -> None:
    class Unfit:
        def fit(self, *_: Any) -> None:
            pytest.fail("a part of weight 0 was fitted")

    got = fuse(history, {"ease": 2.0, "off": 0}, ease=EASE(5.0), off=Unfit())
    np.testing.assert_array_equal(got, fuse(history, {"ease": 2.0}, ease=EASE(5.0)))
    alone = EASE(5.0).fit(history).scores(USERS).numpy()
    has_history = np.ptp(alone, axis=1) > 0
    assert has_history.sum() == 24
    np.testing.assert_array_equal(np.argsort(got[has_history]), np.argsort(alone[has_history]))


def test_a_constant_part_changes_nothing(history: Interactions) -> None:
    alone = fuse(history, {"ease": 1.0}, ease=EASE(5.0))
    both = fuse(history, {"ease": 1.0, "same": 5.0}, ease=EASE(5.0), same=Constant())
    np.testing.assert_array_equal(alone, both)


def test_scores_come_in_blocks(history: Interactions, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Fusion({"ease": EASE(5.0), "gfcf": GFCF(3)}, {"ease": 1.0, "gfcf": 0.3}).fit(history)
    whole = model.scores(USERS)
    asked: list[int] = []
    scores = model.fitted["ease"].scores
    monkeypatch.setattr(
        model.fitted["ease"], "scores", lambda user: (asked.append(len(user)), scores(user))[1]
    )
    monkeypatch.setattr(module, "BLOCK", 4)
    torch.testing.assert_close(model.scores(USERS), whole)
    assert max(asked) == 4


def test_standardise_leaves_its_input_and_knows_small_spreads() -> None:
    scores = torch.tensor([[1e-20, 2e-20, 3e-20], [1e8, 1e8 + 8, 1e8 - 8], [0.0, 0.0, 0.0]])
    kept = scores.clone()
    result = standardise(scores)
    assert torch.equal(scores, kept)
    torch.testing.assert_close(result[0], torch.tensor([-1.2247449, 0.0, 1.2247449]))
    assert not result[1:].any()


def test_fits_are_kept_inside_their_block_alone(
    history: Interactions, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[tuple[float, int, bool]] = []
    fit = EASE.fit

    def counted(self: EASE, train: Interactions, item_vectors: Any = None, user_vectors: Any = None) -> EASE:
        fits.append((self.l2, len(train), item_vectors is None))
        return fit(self, train)

    monkeypatch.setattr(EASE, "fit", counted)

    def scores(l2: float, weight: float, train: Interactions, given: Any = None) -> Tensor:
        parts = {"ease": EASE(l2), "gfcf": GFCF(3)}
        return Fusion(parts, {"ease": weight, "gfcf": 1.0}).fit(train, given).scores(USERS)

    less = history.select(slice(0, len(history) - 9))
    asked: list[tuple[Any, ...]] = [
        (5.0, 1.0, history),
        (5.0, 0.5, history),  # kept
        (6.0, 0.5, history),
        (6.0, 0.5, less),
        (6.0, 0.5, less, vectors),
        (6.0, 0.7, less, vectors.copy()),  # kept
        (6.0, 0.7, less, vectors + 1),
    ]
    plain = [scores(*arguments) for arguments in asked]
    assert len(fits) == 7
    fits.clear()
    with kept_fits():
        kept = [scores(*arguments) for arguments in asked]
    num = len(history)
    assert fits == [
        (5.0, num, True), (6.0, num, True), (6.0, num - 9, True), (6.0, num - 9, False), (6.0, num - 9, False)
    ]  # fmt: skip
    assert all(torch.equal(one, two) for one, two in zip(plain, kept))
    scores(6.0, 0.7, less, vectors + 1)
    assert len(fits) == 6


def test_a_trained_part_is_never_taken_over(history: Interactions) -> None:
    """Two trained models may look alike from outside, and hold what is no setting."""

    class Trained:
        def __init__(self, seed: int) -> None:
            self.cache = {(0, 1): seed}
            self.table = torch.randn(25, history.num_items, generator=torch.Generator().manual_seed(seed))

        def scores(self, user: Tensor) -> Tensor:
            return self.table[user]

    with kept_fits():
        one, two = (
            Fusion({"graph": Fitted(Trained(seed)), "ease": EASE()}, {"graph": 1.0, "ease": 0.5})
            .fit(history)
            .scores(USERS)
            for seed in (0, 1)
        )
    assert not torch.allclose(one, two)


def test_parts_on_two_devices_meet_on_that_of_the_user_ids(history: Interactions) -> None:
    class Elsewhere:
        def __init__(self, device: str | None) -> None:
            self.device = device

        def scores(self, user: Tensor) -> Tensor:
            return torch.ones(len(user), history.num_items, device=self.device or user.device)

    parts = {"graph": Fitted(Elsewhere("cpu")), "ease": Fitted(Elsewhere(None))}
    model = Fusion(parts, {"graph": 1.0, "ease": 0.5}, {"graph": 3.0}).fit(history)
    assert model.scores(USERS.to("meta")).device == torch.device("meta")


def test_vectors_reach_the_parts(history: Interactions, vectors: np.ndarray) -> None:
    model = Fusion({"text": ContentKNN(5)}, {"text": 1.0}).fit(history, vectors)
    expected = ContentKNN(5).fit(history, vectors).scores(USERS)
    torch.testing.assert_close(model.scores(USERS), standardise(expected))


@pytest.mark.parametrize(
    ("parts", "weights", "told"),
    [
        ({"ease": EASE()}, {}, "'weights.ease' is missing"),
        ({"ease": EASE()}, {"ease": 1.0, "eace": 1.0}, "unknown part 'weights.eace'.*did you mean 'ease'"),
        ({"ease": EASE()}, {"ease": 0}, "one that is not 0"),
        ({"ease": EASE()}, {"ease": float("nan")}, "'weights.ease' must be a finite number"),
        ({"ease": EASE()}, {"ease": "1"}, "'weights.ease' must be a finite number"),
        ({"ease": {"l2": 1}}, {"ease": 1}, "'parts.ease' must be a baseline"),
        ([EASE()], [1.0], "must be mappings"),
    ],
)
def test_a_wrong_argument_is_told(parts: Any, weights: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Fusion(parts, weights)


SETTINGS: dict[str, Any] = {
    "init": {"dim": 8},
    "train": {"epochs": 3, "batch_size": 256, "lr": 0.05, "select": "ndcg@10"},
    "eval": {"ks": [10], "metrics": ["ndcg"], "num_user_groups": 2},
    "model": {
        "name": "mf",
        "encoder": {"_target_": "gnnrec.encoders.LightGCN", "num_layers": 1},
        "objective": {"rank": {"term": {"_target_": "gnnrec.objectives.BPR"}}},
    },
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A configuration on planted data, written below a folder of its own."""
    home = tmp_path_factory.mktemp("fusion")
    data = write_native(planted_dataset(num_users=60, num_items=45, seed=0), home / "planted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNNREC_CACHE", str(home / "cache"))
        yield {
            **SETTINGS,
            "dataset": {"name": str(data)},
            "tracking": {"mode": "disabled", "root": str(home / "runs")},
        }


@pytest.fixture(scope="module")
def trained(tree: dict[str, Any]) -> list[RunResult]:
    """Two runs of one graph model: trained on train, and on train + validation."""
    configs = [{**tree, "eval": {**tree["eval"], "refit": refit}} for refit in (False, True)]
    return [run(RunConfig.from_dict(config)) for config in configs]


def fused(tree: dict[str, Any], runs: Any, refit: bool, **more: Any) -> RunConfig:
    part = {"_target_": "gnnrec.baselines.Embeddings", "runs": runs}
    popular = {"_target_": "gnnrec.baselines.Popularity"}
    baseline = {
        "_target_": "gnnrec.baselines.Fusion",
        "parts": {"graph": part, "popularity": popular},
        "weights": {"graph": 1.0, "popularity": 0.0},
    }
    model = {"name": "fusion", "baseline": baseline}
    return RunConfig.from_dict({**tree, "model": model, "eval": {**tree["eval"], "refit": refit}, **more})


def test_embeddings_of_the_right_run_are_taken(tree: dict[str, Any], trained: list[RunResult]) -> None:
    runs = [str(result.path) for result in trained]
    graph = json.loads((trained[0].path / "result.json").read_text(encoding="utf-8"))
    metrics = validate(fused(tree, runs, refit=False))
    assert metrics["validation/ndcg@10"] == pytest.approx(graph["validation"]["validation/ndcg@10"], abs=1e-6)
    for result, refit in zip(trained, (False, True)):
        again = run(fused(tree, runs, refit))
        assert again.metrics["test/ndcg@10"] == pytest.approx(result.metrics["test/ndcg@10"], abs=1e-6)
    assert trained[0].metrics["test/ndcg@10"] != trained[1].metrics["test/ndcg@10"]


def test_another_run_in_the_place_of_one_is_another_fusion(
    tree: dict[str, Any], trained: list[RunResult], tmp_path: Path
) -> None:
    """What a trained part is counts, wherever it lies, as for files of vectors."""
    place, elsewhere = tmp_path / "best", tmp_path / "elsewhere"
    shutil.copytree(trained[0].path, place)
    shutil.copytree(trained[0].path, elsewhere)
    before = fused(tree, str(place), refit=False).key("x")
    assert fused(tree, [str(elsewhere)], refit=False).key("x") == before
    beside = RunConfig.from_dict({**tree, "model": {**tree["model"], "fusion": beside_of(place)}}).key("x")
    shutil.rmtree(place)
    shutil.copytree(trained[1].path, place)
    assert fused(tree, str(place), refit=False).key("x") != before
    changed = RunConfig.from_dict({**tree, "model": {**tree["model"], "fusion": beside_of(place)}})
    assert changed.key("x") != beside


def beside_of(path: Path) -> dict[str, Any]:
    parts = {"read": {"_target_": "gnnrec.baselines.Embeddings", "runs": str(path)}}
    return {"parts": parts, "weights": {"graph": 1.0, "read": 0.5}}


@pytest.mark.parametrize(
    "change",
    [{"split": {"seed": 1}}, {"eval": {**SETTINGS["eval"], "refit": True}}, {"split": {"name": "cold_item"}}],
    ids=str,
)
def test_embeddings_of_another_split_are_refused(
    tree: dict[str, Any], trained: list[RunResult], change: dict[str, Any]
) -> None:
    config = fused(tree, str(trained[0].path), refit=False)
    with pytest.raises(DataError, match="no run of 'Embeddings' was trained on these"):
        run(RunConfig.from_dict({**config.to_dict(), **change}))


@pytest.mark.parametrize("beside", [False, True], ids=["baseline", "beside a trained model"])
def test_embeddings_selected_on_pairs_that_are_test_here_are_refused(
    tree: dict[str, Any], beside: bool
) -> None:
    """Two splits by time with one train part, of which one tests what the other selects on."""
    timestamp = planted_dataset(num_users=60, num_items=45, seed=0).interactions.timestamp
    assert timestamp is not None
    times = np.sort(timestamp)
    begin, late, early = (int(times[int(len(times) * share)]) for share in (0.7, 0.9, 0.8))
    splits = [
        {"name": "temporal_global", "params": {"validation_from": begin, "test_from": test}}
        for test in (late, early)
    ]
    trained = run(RunConfig.from_dict({**tree, "split": splits[0]}))
    config = fused(tree, str(trained.path), refit=False, split=splits[0])
    if beside:
        model = {**tree["model"], "fusion": beside_of(trained.path)}
        config = RunConfig.from_dict({**tree, "split": splits[0], "model": model})
    assert run(config).metrics
    with pytest.raises(DataError, match=r"no run of 'Embeddings' was trained on these .* of this split"):
        run(RunConfig.from_dict({**config.to_dict(), "split": splits[1]}))


def test_embeddings_selected_on_test_are_refused(
    tree: dict[str, Any], trained: list[RunResult], tmp_path: Path
) -> None:
    legacy = run(RunConfig.from_dict({**tree, "protocol": "legacy_test_selected"}))
    with pytest.raises(DataError, match="must be a run of protocol=honest"):
        run(fused(tree, [str(legacy.path)], refit=True))
    same = Embeddings(str(legacy.path), protocol="legacy_test_selected")
    assert same.protocol == "legacy_test_selected"


def test_a_folder_that_is_no_run_is_told_before_anything_is_done(
    tree: dict[str, Any], trained: list[RunResult], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no finished run"):
        fused(tree, str(tmp_path), refit=False)
    baseline = {"name": "popularity", "baseline": {"_target_": "gnnrec.baselines.Popularity"}}
    popular = run(RunConfig.from_dict({**tree, "model": baseline}))
    with pytest.raises(ConfigError, match="no run of a graph model"):
        Embeddings([str(trained[0].path), str(popular.path)])
    with pytest.raises(ConfigError, match="at least one run"):
        Embeddings([])


@pytest.mark.parametrize("name", ["embeddings.safetensors", "manifest.json"])
def test_a_broken_file_is_told(name: str, trained: list[RunResult], tmp_path: Path) -> None:
    copy = shutil.copytree(trained[0].path, tmp_path / "run")
    train = planted_dataset(num_users=60, num_items=45, seed=0).interactions
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    manifest["fingerprints"]["train"] = train.fingerprint()
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    part = Embeddings(str(copy), split_fingerprint=manifest["fingerprints"]["split"])
    assert part.fit(train).scores(torch.tensor([3])).shape == (1, 45)
    with pytest.raises(DataError, match=r"of split None; got .*/run': pairs"):
        Embeddings(str(copy)).fit(train)
    (copy / name).write_bytes(b"{")
    with pytest.raises(DataError, match=f"{name}' cannot be read"):
        part.fit(train)


def test_popularity_can_be_weighed_against(history: Interactions) -> None:
    plain = fuse(history, {"ease": 1.0}, ease=EASE(5.0))
    against = fuse(history, {"ease": 1.0, "popular": -1.0}, ease=EASE(5.0), popular=Popularity())
    counts = history.item_counts()
    assert (against[:, counts.argmax()] < plain[:, counts.argmax()]).all()
