"""Mistakes in an encoder, a term, an augmentation or a baseline of one's own are told in one line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gnnrec.config import RunConfig
from gnnrec.data.native import write_native
from gnnrec.data.planted import planted_dataset
from gnnrec.encoders import LightGCN, States
from gnnrec.errors import GnnrecError
from gnnrec.objectives import BPR, Step
from gnnrec.run import run
from gnnrec.views import View

HERE = "tests.test_own_parts"


class Encoder(nn.Module):
    """LightGCN, whose states a mistake changes."""

    def __init__(self, dim: int, mistake: str = "") -> None:
        super().__init__()
        self.inner, self.mistake, self.out_dim = LightGCN(dim, num_layers=2), mistake, dim

    def forward(self, view: View, keep_layers: bool = False) -> Any:
        states = self.inner(view, keep_layers=keep_layers)
        final, layers = states.final, states.layers
        return {
            "": lambda: States(final, layers),
            "tensor": lambda: final,
            "a row too many": lambda: States(torch.cat([final[:1], final]), layers),
            "users alone": lambda: States(view.graph.split(final)[0], layers),
            "one dimension": lambda: States(final.sum(dim=1), layers),
            "no layers": lambda: States(final),
            "nan": lambda: States(final * float("nan"), layers),
        }[self.mistake]()


class NoLayers(nn.Module):
    """An encoder that does not know of layers."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, view: View) -> States:
        return States(view.x)


@dataclass(frozen=True)
class Term:
    """BPR, whose value a mistake changes."""

    mistake: str = ""
    reads = frozenset({"negative"})

    def __call__(self, step: Step) -> Any:
        value = BPR()(step)
        return {
            "": lambda: value,
            "vector": lambda: value.expand(4),
            "number": value.item,
            "nothing": lambda: None,
            "nan": lambda: value * float("nan"),
            "layer": lambda: step.layer_at(1, step.user).sum(),
            "constant": value.detach,
            "some batches": lambda: value if len(step.user) == 64 else value.new_zeros(()),
        }[self.mistake]()


class NoCall:
    """A term that cannot be called."""


@dataclass(frozen=True)
class Augmentation:
    """Gives the view back, or does not."""

    mistake: str = ""

    def __call__(self, view: View, generator: torch.Generator) -> Any:
        return {
            "nothing": lambda: None,
            "x": lambda: view.x,
            "short": lambda: view.drop_edges(torch.ones(5)),
            "": lambda: replace(view),
        }[self.mistake]()


class Baseline:
    """Scores of one, wrong in one way."""

    def __init__(self, mistake: str = "") -> None:
        self.mistake = mistake

    def fit(self, train: Any, item_vectors: Any = None, user_vectors: Any = None) -> Any:
        self.shape = train.num_items
        return None if self.mistake == "nothing" else self

    def scores(self, user: Tensor) -> Any:
        ones = torch.ones(len(user), self.shape)
        return ones.numpy() if self.mistake == "numpy" else ones


class TrainAlone(Baseline):
    """A baseline whose fit takes too few."""

    def fit(self, train: Any) -> Any:
        return self


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_native(
        planted_dataset(num_users=40, num_items=30, seed=0), tmp_path_factory.mktemp("own") / "d"
    )


def config(folder: Path, tmp_path: Path, model: dict[str, Any]) -> RunConfig:
    whole: dict[str, Any] = {
        "encoder": {"_target_": "gnnrec.encoders.LightGCN"},
        "objective": {"rank": {"term": {"_target_": "gnnrec.objectives.BPR"}}},
    }
    return RunConfig.from_dict(
        {
            "dataset": {"name": str(folder)},
            "model": model if "baseline" in model else {**whole, **model},
            "train": {"epochs": 2, "batch_size": 64},
            "init": {"dim": 8},
            "tracking": {"mode": "disabled", "root": str(tmp_path / "runs")},
        }
    )


def encoder(mistake: str) -> dict[str, Any]:
    return {"encoder": {"_target_": f"{HERE}.Encoder", "mistake": mistake}}


def term(mistake: str) -> dict[str, Any]:
    return {"objective": {"mine": {"term": {"_target_": f"{HERE}.Term", "mistake": mistake}}}}


def augmentation(mistake: str) -> dict[str, Any]:
    return {"augmentations": [{"_target_": f"{HERE}.Augmentation", "mistake": mistake}]}


def baseline(name: str, **settings: str) -> dict[str, Any]:
    return {"baseline": {"_target_": f"{HERE}.{name}", **settings}}


LAYERS = {
    "objective": {
        "rank": {"term": {"_target_": "gnnrec.objectives.BPR"}},
        "contrast": {"term": {"_target_": "gnnrec.objectives.CrossLayer", "layer": 1}},
    }
}


@pytest.mark.parametrize(
    "model", [encoder(""), term(""), term("some batches"), augmentation(""), baseline("Baseline")], ids=str
)
def test_without_a_mistake_it_runs(folder: Path, tmp_path: Path, model: dict[str, Any]) -> None:
    assert run(config(folder, tmp_path, model)).metrics["test/recall@20"] >= 0


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (encoder("tensor"), "'Encoder' must return gnnrec.encoders.States (got Tensor)"),
        (
            encoder("a row too many"),
            "must have a row for each of 40 users and then 30 items, [70, dim] (got [71, 8])",
        ),
        (encoder("users alone"), "[70, dim] (got [40, 8])"),
        (encoder("one dimension"), "[70, dim] (got [70])"),
        ({**encoder("no layers"), **LAYERS}, "'Encoder' must return its layers"),
        (
            {"encoder": {"_target_": f"{HERE}.NoCall"}},
            "'NoCall' must have forward(self, view, keep_layers=False)",
        ),
        (
            {"encoder": {"_target_": f"{HERE}.NoLayers"}},
            "'NoLayers' must have forward(self, view, keep_layers=False)",
        ),
        (
            encoder("nan"),
            "not finite in epoch 1, first in step 1 of 6 in 'rank'; nothing was trained before, so look at",
        ),
        (term("nan"), "first in step 1 of 6 in 'mine'; nothing was trained before"),
        (
            term("vector"),
            "the term 'mine' of 'objective' must return a tensor without dimensions, such as a mean (got [4])",
        ),
        (term("number"), "such as a mean (got float)"),
        (term("nothing"), "such as a mean (got NoneType)"),
        (term("layer"), "a term of 'objective' reads layer 1, and no layers were kept"),
        (term("constant"), "nothing to learn from in epoch 1: no batch had a gradient in any term"),
        (
            {"objective": {"mine": {"term": {"_target_": f"{HERE}.NoCall"}}}},
            "the class of 'model.objective.mine.term' must have __call__(self, step)",
        ),
        (
            {"objective": {"total": {"term": {"_target_": "gnnrec.objectives.BPR"}}}},
            "a term cannot be called 'total'",
        ),
        (augmentation("nothing"), "the augmentation 'Augmentation' must return a View (got NoneType)"),
        (augmentation("x"), "must return a View (got Tensor)"),
        (augmentation("short"), "'keep' must have one number per edge"),
        (
            {"augmentations": [{"_target_": f"{HERE}.NoCall"}]},
            "the class of 'model.augmentations[0]' must have __call__(self, view, generator)",
        ),
        (baseline("Baseline", mistake="nothing"), "end it with `return self` (got NoneType)"),
        (baseline("Baseline", mistake="numpy"), "the scores of 'Baseline' must be a tensor"),
        (
            baseline("TrainAlone"),
            "the baseline 'TrainAlone' must have fit(self, train, item_vectors=None, user_vectors=None)",
        ),
        (baseline("NoCall"), "(it has no 'fit')"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line(folder: Path, tmp_path: Path, model: dict[str, Any], told: str) -> None:
    with pytest.raises(GnnrecError) as caught:
        run(config(folder, tmp_path, model))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
