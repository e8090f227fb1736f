"""The loop: the same bits for the same seed; early stopping; what is logged; what is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gnnrec import progress
from gnnrec.encoders import LightGCN
from gnnrec.errors import ConfigError, GnnrecError
from gnnrec.features import IdTable, NodeFeatures
from gnnrec.graph import BipartiteGraph
from gnnrec.model import Recommender
from gnnrec.objectives import (
    BPR,
    L2,
    DirectAU,
    InversePropensity,
    Objective,
    Softmax,
    Step,
    Weighted,
)
from gnnrec.training import History, TrainConfig, fit
from gnnrec.training.fit import _learning_rate
from gnnrec.training.sampler import PairSampler
from gnnrec.views import View
from tests.training.helpers import CONFIG, equal, train, weights, without_seconds


def test_training_learns(setting: Any) -> None:
    untrained = setting.validate(setting.model())["validation/ndcg@10"]
    model, history = train(setting)
    assert history.best_value > untrained + 0.1
    assert history.rows[-1]["loss/total"] < history.rows[0]["loss/total"]
    assert setting.validate(model)["validation/ndcg@10"] == history.best_value


def test_one_seed_one_model(setting: Any) -> None:
    one, first = train(setting)
    two, second = train(setting)
    assert equal(weights(one), weights(two))
    assert without_seconds(first) == without_seconds(second)
    other, third = train(setting, seed=1)
    assert not equal(weights(one), weights(other))
    assert without_seconds(first) != without_seconds(third)


def test_the_global_generator_has_no_say(setting: Any) -> None:
    one, _ = train(setting)
    model = setting.model()
    torch.manual_seed(12345)
    fit(model, setting.objective, CONFIG, setting.validate, 0)
    assert equal(weights(one), weights(model))


def test_progress_counts_steps_and_tells_the_epoch(
    setting: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    model, history = train(setting, replace(CONFIG, epochs=2))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train")]
    steps = len(PairSampler(model.graph, CONFIG.batch_size))
    assert len(lines) == 2 * steps
    assert lines[0].startswith(f"train: 1 of {2 * steps} steps, ")
    assert lines[0].endswith(", epoch 1 of 2")
    first = history.rows[0]["validation/ndcg@10"]
    assert lines[-1].endswith(f", epoch 2 of 2, ndcg@10 {first:.4f} (best {first:.4f} at 1)")


def test_early_stopping_keeps_the_best_state(setting: Any) -> None:
    values, seen = iter([0.1, 0.5, 0.4, 0.5, 0.3, 0.9]), {}

    def validate(model: Recommender) -> dict[str, float]:
        value = next(values)
        seen.setdefault(value, weights(model))
        return {"validation/ndcg@10": value}

    model = setting.model()
    history = fit(model, setting.objective, replace(CONFIG, epochs=100), validate, 0)
    # epochs 3, 4 (equal, not better) and 5 bring nothing: patience 3 ends the run there
    assert (history.epoch, history.best_epoch, history.best_value) == (5, 2, 0.5)
    assert equal(weights(model), seen[0.5])
    assert not equal(weights(model), seen[0.3])


def test_patience_counts_evaluations_and_the_last_epoch_is_evaluated(setting: Any) -> None:
    config = replace(CONFIG, epochs=7, eval_every=3, patience=2)
    history = fit(setting.model(), setting.objective, config, lambda _: {"validation/ndcg@10": 0.0}, 0)
    assert [row["epoch"] for row in history.rows] == [3, 6, 7]
    stopped = fit(
        setting.model(),
        setting.objective,
        replace(config, epochs=50),
        lambda _: {"validation/ndcg@10": 0.0},
        0,
    )
    assert [row["epoch"] for row in stopped.rows] == [3, 6, 9]


def test_rows_name_every_term(setting: Any) -> None:
    _, history = train(setting, replace(CONFIG, epochs=2))
    row = history.rows[0]
    assert set(row) == {
        *("epoch", "lr", "loss/total", "loss/rank", "loss/ssl", "loss/l2"),
        *("validation/ndcg@10", "validation/recall@10", "validation/ties@10"),
        *("seconds/train", "seconds/validation"),
    }
    assert row["loss/total"] == pytest.approx(row["loss/rank"] + row["loss/ssl"] + row["loss/l2"], rel=1e-5)
    assert [r["epoch"] for r in history.rows] == [1, 2]
    json.dumps(history.rows)  # plain numbers


def test_without_validation_all_epochs_run_and_the_last_weights_stay(setting: Any) -> None:
    model, reported = setting.model(), []
    history = fit(model, setting.objective, replace(CONFIG, epochs=3), None, 0, None, reported.append)
    assert [row["epoch"] for row in history.rows] == [1, 2, 3]
    assert (reported, history.best_epoch) == (history.rows, 0)
    assert not any(key.startswith("validation/") for key in history.rows[0])
    states = []

    def validate(model: Recommender) -> dict[str, float]:
        states.append(weights(model))
        return {"validation/ndcg@10": -len(states)}  # the first is the best

    other = setting.model()
    fit(other, setting.objective, replace(CONFIG, epochs=3), validate, 0)
    assert equal(weights(model), states[2])
    assert equal(weights(other), states[0])
    never = setting.model()
    fit(never, setting.objective, replace(CONFIG, epochs=3, eval_every=0), validate, 0)
    assert len(states) == 3
    assert equal(weights(never), states[2])


def test_scores_after_training_are_those_of_the_best_weights(setting: Any) -> None:
    model, _ = train(setting)
    kept = model.user_emb
    model.refresh()
    assert torch.equal(kept, model.user_emb)


@dataclass(frozen=True)
class NotFinite:
    """A term that is fine in its first epoch."""

    calls: list[int]

    def __call__(self, step: Step) -> Tensor:
        self.calls.append(1)
        return step.user_emb.sum() * (1.0 if len(self.calls) < 2 else float("nan"))


def test_a_loss_that_is_not_finite_names_its_terms_and_the_epoch(
    plain_model: Callable[[], Recommender],
) -> None:
    objective = Objective({"rank": Weighted(BPR()), "odd": Weighted(NotFinite([]))})
    with pytest.raises(
        GnnrecError, match=r"not finite in epoch 2, first in step 1 of \d+ in 'odd'; lower train\.lr"
    ):
        fit(plain_model(), objective, TrainConfig(epochs=5), None)


def test_the_cosine_schedule_ends_near_zero() -> None:
    config = TrainConfig(epochs=10, lr=0.4, schedule="cosine")
    assert _learning_rate(config, 0) == 0.4
    assert _learning_rate(config, 5) == pytest.approx(0.2)
    assert _learning_rate(config, 10) == pytest.approx(0)
    rates = [_learning_rate(config, p / 4) for p in range(41)]
    assert rates == sorted(rates, reverse=True)
    assert {_learning_rate(TrainConfig(lr=0.4), p) for p in (0, 3.5, 99)} == {0.4}


def test_the_learning_rate_reaches_the_optimiser(plain_model: Callable[[], Recommender]) -> None:
    """Adam's first step moves every weight that has a gradient by lr, whatever the gradient."""
    model = plain_model()
    before = weights(model)
    fit(model, Objective({"l2": Weighted(L2(negatives=False))}), TrainConfig(epochs=1, lr=0.01), None)
    for name, value in weights(model).items():
        torch.testing.assert_close(
            (before[name] - value).abs(), torch.full_like(value, 0.01), rtol=1e-3, atol=1e-5
        )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"epochs": 0}, r"'epochs' must be in \[1, inf\) in 'train' \(got 0\)"),
        ({"batch_size": 0}, "'batch_size' must be in"),
        ({"lr": 0.0}, r"'lr' must be in \(0, inf\)"),
        ({"lr": float("nan")}, "'lr' must be in"),
        ({"patience": 0}, "'patience' must be in"),
        ({"eval_every": -1}, "'eval_every' must be in"),
        ({"num_negatives": 0}, "'num_negatives' must be in"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
    ],
)
def test_a_wrong_option_is_told(options: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        TrainConfig(**options)


def test_a_last_epoch_keeps_the_schedule_of_all_epochs(setting: Any) -> None:
    config = replace(CONFIG, epochs=8, eval_every=1, schedule="cosine", patience=8)
    rates = []
    for last in (3, None):
        history = fit(setting.model(), setting.objective, config, setting.validate, last_epoch=last)
        rates.append([row["lr"] for row in history.rows])
    assert len(rates[0]) == 3
    assert rates[0] == rates[1][:3]


def test_a_user_of_every_item_is_an_error_only_where_negatives_are_read() -> None:
    pairs = torch.tensor([(0, 0), (0, 1), (0, 2), (1, 0), (2, 1), (2, 2)])

    def train_on(*terms: Any) -> History:
        graph = BipartiteGraph.from_edges(pairs[:, 0], pairs[:, 1], 3, 3)
        features = NodeFeatures(IdTable(3, 4, 0.1), IdTable(3, 4, 0.1), 4)
        model = Recommender(features, LightGCN(4, 1), graph)
        objective = Objective({str(n): Weighted(term, 0.5) for n, term in enumerate(terms)})
        return fit(model, objective, TrainConfig(epochs=2, batch_size=4), None)

    train_on(Softmax(), L2(negatives=False))
    train_on(DirectAU(), L2(all_nodes=True))
    for terms in ([BPR()], [Softmax(), L2()], [InversePropensity(BPR())]):
        with pytest.raises(ConfigError, match="have interacted with every item of train"):
            train_on(*terms)


@dataclass(frozen=True)
class Nothing:
    """A term of gradient zero, on the sampled negatives; it may say so or not."""

    reads: frozenset[str] = frozenset({"negative"})

    def __call__(self, step: Step) -> Tensor:
        return 0.0 * step.item_emb(step.negative).sum()


def test_an_epoch_is_prepared_on_features_without_the_noise_of_training(setting: Any) -> None:
    seen = []

    class Prepared(BPR):
        def begin_epoch(self, epoch: int, view: Callable[[], View], generator: torch.Generator) -> None:
            view()
            seen.append(model.training)

    model = setting.model()
    model.features.register_forward_hook(lambda module, *_: seen.append(module.training))
    fit(model, Objective({"rank": Weighted(Prepared())}), replace(CONFIG, epochs=1), None, 0)
    assert seen[:2] == [False, False]
    assert seen[2]  # the first step


def test_negatives_that_nobody_reads_move_nothing(setting: Any) -> None:
    """Without them the last layer has fewer rows; the softmax's own draws stay the same."""
    trained = []
    for more in ({}, {"nothing": Weighted(Nothing())}):
        model = setting.model()
        terms = {
            "rank": Weighted(Softmax(num_negatives=8)),
            "l2": Weighted(L2(negatives=False), 1e-3),
            **more,
        }
        fit(model, Objective(terms), CONFIG, setting.validate)
        trained.append(weights(model))
    assert equal(*trained)


def test_a_term_that_reads_negatives_must_say_so(setting: Any) -> None:
    objective = Objective({"rank": Weighted(Softmax()), "own": Weighted(Nothing(reads=frozenset()))})
    with pytest.raises(ConfigError, match=r"none were drawn.*reads = frozenset\(\{\"negative\"\}\)"):
        fit(setting.model(), objective, CONFIG, setting.validate)
