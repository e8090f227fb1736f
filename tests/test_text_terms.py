"""Alignment with text: the formulas, what is left out, where the trained parts live."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gnnrec.config import RunConfig
from gnnrec.data.interactions import Interactions
from gnnrec.encoders import LightGCN
from gnnrec.errors import ConfigError
from gnnrec.features import InitConfig, make_features
from gnnrec.graph import BipartiteGraph
from gnnrec.make import make_objective, make_recommender
from gnnrec.model import Recommender
from gnnrec.objectives import Objective, Step, TextContrast, TextReconstruction, Weighted
from gnnrec.run import validate
from gnnrec.text.blocks import Block
from gnnrec.training import TrainConfig, fit

NUM_USERS, NUM_ITEMS, SEEN, WIDTH, DIM = 9, 8, 7, 5, 4  # item 7 is not seen, item 2 has no text


@pytest.fixture
def train() -> Interactions:
    keys = np.random.default_rng(0).permutation(NUM_USERS * SEEN)[:30]
    return Interactions(keys // SEEN, keys % SEEN, NUM_USERS, NUM_ITEMS)


@pytest.fixture
def vectors() -> np.ndarray:
    made = np.random.default_rng(1).normal(size=(NUM_ITEMS, WIDTH)).astype(np.float32) + 1
    made[2] = 0
    return made


def make_step(train: Interactions, batch: int = 6) -> Step:
    torch.manual_seed(0)
    graph = BipartiteGraph.from_interactions(train)
    model = Recommender(make_features(InitConfig(dim=DIM, std=1.0), train), LightGCN(DIM, 2), graph)
    user, item = (torch.from_numpy(x[:batch].astype(np.int64)) for x in (train.user, train.item))
    return Step(
        user=user,
        positive=item,
        drawn=item.unsqueeze(1),
        view=model.view(),
        encoder=model.encoder,
        train=graph,
        generator=torch.Generator().manual_seed(0),
    )


def text_of_nodes(train: Interactions, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of all nodes by hand: items centred on the seen ones with text, users at their items' mean."""
    has = vectors.any(axis=1)
    items = (vectors - vectors[:SEEN][has[:SEEN]].mean(axis=0)) * has[:, None]
    items = items / np.sqrt((items[:SEEN][has[:SEEN]] ** 2).sum(axis=1).mean())
    users, user_has = np.zeros((NUM_USERS, WIDTH)), np.zeros(NUM_USERS, dtype=bool)
    for user in range(NUM_USERS):
        own = [i for i in train.item[train.user == user] if has[i]]
        user_has[user] = bool(own)
        if own:
            users[user] = items[own].mean(axis=0)
    users /= np.sqrt((users[user_has] ** 2).sum(axis=1).mean())
    return np.concatenate([users, items]), np.concatenate([user_has, has])


def perceptron(layers: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    w1, b1, w2, b2 = (p.detach().double().numpy() for p in layers.parameters())
    hidden = x @ w1.T + b1
    return np.where(hidden > 0, hidden, 0.01 * hidden) @ w2.T + b2


def info_nce(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    first, second = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (first, second))
    logits = np.exp(first @ second.T / temperature)
    return float(-np.log(np.diag(logits) / logits.sum(axis=1)).mean())


@pytest.mark.parametrize("users", ["none", "profile"])
def test_text_contrast_against_the_formula(train: Interactions, vectors: np.ndarray, users: str) -> None:
    step = make_step(train)
    term = TextContrast(users, temperature=0.3, out_dim=DIM, train=train, item_vectors=vectors)
    text, present = text_of_nodes(train, vectors)
    final = step.states.final.detach().double().numpy()
    expected = 0.0
    nodes = [sorted(set(step.user.tolist())), sorted({i + NUM_USERS for i in step.positive.tolist()})]
    for side in nodes[users == "none" :]:
        kept = [node for node in side if present[node]]
        expected += info_nce(final[kept], perceptron(term.project, text[kept]), 0.3)
    assert NUM_USERS + 2 in nodes[1]  # an item without text is in the batch and left out
    assert float(term(step).detach()) == pytest.approx(expected, rel=1e-4)


def test_users_may_have_texts_of_their_own(train: Interactions, vectors: np.ndarray) -> None:
    own = np.random.default_rng(5).normal(size=(NUM_USERS, WIDTH)).astype(np.float32)
    own[3] = 0
    term = TextContrast("text", out_dim=DIM, train=train, item_vectors=vectors, user_vectors=own)
    assert term.needs_user_text
    assert term.text is not None
    assert term.text.present[:NUM_USERS].tolist() == [user != 3 for user in range(NUM_USERS)]
    seen = (train.user_counts() > 0) & own.any(axis=1)
    centred = own - own[seen].mean(axis=0)
    np.testing.assert_allclose(
        torch.nn.functional.normalize(term.text.vectors[:NUM_USERS][seen]).numpy(),
        centred[seen] / np.linalg.norm(centred[seen], axis=1, keepdims=True),
        rtol=1e-4,
        atol=1e-5,
    )
    with pytest.raises(ConfigError, match=r"vectors of one width.*\(got 2 and 5\)"):
        TextContrast("text", out_dim=DIM, train=train, item_vectors=vectors, user_vectors=own[:, :2])
    with pytest.raises(ConfigError, match="needs user text vectors"):
        TextContrast("text", out_dim=DIM, train=train, item_vectors=vectors)


class Recorder(torch.nn.Module):
    """An encoder that keeps the features it was given."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner, self.seen = inner, []

    def forward(self, view: Any, keep_layers: bool = False) -> Any:
        self.seen.append(view.x.detach().clone())
        return self.inner(view, keep_layers=keep_layers)


@pytest.mark.parametrize("loss", ["info_nce", "cosine"])
@pytest.mark.parametrize("users", ["none", "profile"])
def test_text_reconstruction_against_the_formula(
    train: Interactions, vectors: np.ndarray, users: str, loss: str
) -> None:
    step = make_step(train)
    step.encoder = Recorder(step.encoder)
    options = {"dim": DIM, "out_dim": DIM, "train": train, "item_vectors": vectors}
    term = TextReconstruction(users, p=0.6, loss=loss, temperature=0.4, gamma=3.0, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        term.token.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    value = float(term(step).detach())
    [x] = step.encoder.seen
    masked = (x == term.token.detach()).all(dim=1).numpy()
    text, present = text_of_nodes(train, vectors)
    degree = np.concatenate([train.user_counts(), train.item_counts()])
    allowed = present & (degree > 0)
    if users == "none":
        allowed[:NUM_USERS] = False
    assert masked.any()
    assert not masked[~allowed].any()
    assert not masked[allowed].all()
    torch.testing.assert_close(x[~masked], step.view.x[~masked])
    final = step.encoder.inner(type(step.view)(x, step.train)).final.detach().double().numpy()
    restored, target = perceptron(term.project, final[masked]), text[masked]
    lengths = np.linalg.norm(restored, axis=1) * np.linalg.norm(target, axis=1)
    cosine_error = ((1 - (restored * target).sum(axis=1) / lengths) ** 3).mean()
    expected = info_nce(restored, target, 0.4) if loss == "info_nce" else cosine_error
    assert value == pytest.approx(expected, rel=1e-4)


def test_at_most_so_many_nodes_are_restored_but_all_are_masked(
    train: Interactions, vectors: np.ndarray
) -> None:
    step = make_step(train)
    step.encoder = Recorder(step.encoder)
    rows: list[int] = []
    term = TextReconstruction(p=1.0, max_nodes=3, dim=DIM, out_dim=DIM, train=train, item_vectors=vectors)
    term.project.register_forward_hook(lambda _, given, __: rows.append(len(given[0])))
    term(step)
    assert rows == [3]
    assert int((step.encoder.seen[0] == term.token).all(dim=1).sum()) > 3


def test_nothing_to_align_is_told(train: Interactions, vectors: np.ndarray) -> None:
    vectors = np.zeros_like(vectors)
    vectors[7] = 1  # only the unseen item has a text
    for term in (TextContrast, TextReconstruction):
        with pytest.raises(ConfigError, match="must be there for a node seen in training"):
            term(out_dim=DIM, train=train, item_vectors=vectors)


def test_every_trained_part_gets_a_gradient(train: Interactions, vectors: np.ndarray) -> None:
    options = {"out_dim": DIM, "train": train, "item_vectors": vectors}
    for term in (TextContrast(**options), TextReconstruction(p=0.5, dim=DIM, **options)):  # type: ignore[arg-type]
        term(make_step(train)).backward()
        assert all(p.grad is not None and p.grad.any() for p in term.parameters())
        assert not any(name.startswith("text.") for name in term.state_dict())  # texts are not in checkpoints


def test_blocks_are_aligned_side_by_side(train: Interactions, vectors: np.ndarray) -> None:
    present = vectors.any(axis=1)
    other = np.random.default_rng(2).normal(size=(NUM_ITEMS, 2)).astype(np.float32)
    blocks = [Block("a", vectors, present), Block("b", other, np.ones(NUM_ITEMS, dtype=bool))]
    term = TextContrast(out_dim=DIM, train=train, item_vectors=blocks)
    assert term.text is not None
    assert term.text.vectors.shape == (NUM_USERS + NUM_ITEMS, WIDTH + 2)
    assert bool(term.text.present[NUM_USERS:].all())


def test_without_vectors_a_term_says_what_it_needs(train: Interactions) -> None:
    for term in (TextContrast(), TextReconstruction()):
        with pytest.raises(ConfigError, match="needs 'train' and 'item_vectors'"):
            term(make_step(train))


@pytest.mark.parametrize(
    ("term", "options", "told"),
    [
        (TextContrast, {"users": "profil"}, "did you mean 'profile'"),
        (TextContrast, {"temperature": 0}, "'temperature' must be in"),
        (TextReconstruction, {"p": 0}, "'p' must be in"),
        (TextReconstruction, {"users": "some"}, "unknown users 'some'"),
        (TextReconstruction, {"max_nodes": 1}, "'max_nodes' must be in"),
        (TextReconstruction, {"loss": "cosin"}, "did you mean 'cosine'"),
        (TextReconstruction, {"gamma": 0.5}, "'gamma' must be in"),
    ],
)
def test_a_wrong_option_is_told(term: type, options: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        term(**options)


TERMS = {
    "con": {"_target_": "gnnrec.objectives.TextContrast"},
    "gen": {"_target_": "gnnrec.objectives.TextReconstruction", "p": 0.3},
    "mae": {"_target_": "gnnrec.objectives.TextReconstruction", "p": 0.3, "loss": "cosine"},
}


def config(planted_folder: Path, encoder: str = "LightGCN", mode: str = "id", **changes: Any) -> RunConfig:
    objective = {"rank": {"term": {"_target_": "gnnrec.objectives.Softmax", "negatives": "all"}}}
    objective |= {name: {"weight": 0.05, "term": term} for name, term in TERMS.items()}  # type: ignore[arg-type]
    return RunConfig.from_dict(
        {
            "dataset": {"name": str(planted_folder)},
            "text": {"model": "hash"},
            "init": {"dim": 16, "mode": mode},
            "model": {"encoder": {"_target_": f"gnnrec.encoders.{encoder}"}, "objective": objective},
            "train": {"epochs": 6, "batch_size": 256, "lr": 0.02, "select": "ndcg@10", "eval_every": 6},
            "eval": {"ks": [10], "metrics": ["recall", "ndcg"]},
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("encoder", "mode"), [("LightGCN", "id"), ("NGCF", "id_text"), ("GraphSAGE", "text")]
)
def test_both_terms_train_with_any_encoder_and_mode(planted_folder: Path, encoder: str, mode: str) -> None:
    assert validate(config(planted_folder, encoder, mode))["validation/ndcg@10"] > 0.4


def test_a_term_asks_for_texts_by_itself(planted_folder: Path) -> None:
    assert config(planted_folder).needs_text() == (True, False)
    values = config(planted_folder).to_dict()
    values["model"]["objective"]["con"]["term"]["users"] = "text"
    changed = RunConfig.from_dict(values)
    assert changed.needs_text() == (True, True)
    for path, value in (("model", "minilm"), ("control", "shuffled")):
        other = RunConfig.from_dict({**values, "text": {**values["text"], path: value}})
        assert other.key("x") != changed.key("x")


def test_the_trained_parts_belong_to_the_model_and_are_trained(planted_folder: Path) -> None:
    train = Interactions(np.arange(12) % 6, np.arange(12) // 3, 6, 4)
    vectors = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    settings = config(planted_folder)

    def build() -> tuple[Recommender, Objective]:
        recommender = make_recommender(settings, train, vectors)
        return recommender, make_objective(settings, recommender, train, vectors)

    state = torch.random.get_rng_state()
    recommender, objective = build()
    again, _ = build()
    assert torch.equal(torch.random.get_rng_state(), state)
    before = {name: p.detach().clone() for name, p in recommender.named_parameters()}
    assert all(torch.equal(p, before[name]) for name, p in again.named_parameters())
    assert {name.split(".")[1] for name in before if name.startswith("heads.")} == {"con", "gen", "mae"}
    assert set(recommender.heads["con"].parameters()) == set(objective.terms["con"].term.parameters())  # type: ignore[attr-defined]
    plain = make_recommender(settings, train, vectors)  # features and encoder do not depend on the terms
    assert all(torch.equal(p, before[name]) for name, p in plain.named_parameters())
    fit(recommender, objective, TrainConfig(epochs=2, batch_size=4), None)
    assert all(not torch.equal(p, before[name]) for name, p in recommender.named_parameters())


class Wrapping:
    """A term of one's own around another."""

    def __init__(self, term: Any) -> None:
        self.term = term

    def __call__(self, step: Step) -> Tensor:
        return self.term(step)


def test_two_trained_terms_of_one_name_are_told(planted_folder: Path) -> None:
    """A term inside another goes by the other's name and a `_`."""
    values = config(planted_folder).to_dict()
    inner = values["model"]["objective"]["con"]
    wrapped = {"_target_": "tests.test_text_terms.Wrapping", "term": inner["term"]}
    train = Interactions(np.arange(12) % 6, np.arange(12) // 3, 6, 4)
    vectors = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    for name in ("t__", "t_"):
        values["model"]["objective"] = {"t": {"term": wrapped}, name: inner}
        settings = RunConfig.from_dict(values)
        recommender = make_recommender(settings, train, vectors)
        if name == "t_":
            with pytest.raises(ConfigError, match="two trained terms would be called 't_'"):
                make_objective(settings, recommender, train, vectors)
        else:
            make_objective(settings, recommender, train, vectors)
            assert set(recommender.heads) == {"t_", "t__"}


def rising(values: Iterator[int], model: Recommender) -> dict[str, float]:
    """A validation that gets better with every call."""
    return {"validation/ndcg@20": float(next(values))}


def test_a_resumed_training_ends_in_the_same_bits(planted_folder: Path, tmp_path: Path) -> None:
    train = Interactions(np.arange(12) % 6, np.arange(12) // 3, 6, 4)
    vectors = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    settings = config(planted_folder)
    states: list[dict[str, Tensor]] = []
    for stops, path in (((4,), tmp_path / "whole"), ((2, 4), tmp_path / "resumed")):
        for epochs in stops:
            recommender = make_recommender(settings, train, vectors)
            objective = make_objective(settings, recommender, train, vectors)
            values = itertools.count(10 * epochs)  # each evaluation is the best so far
            fit(
                recommender,
                objective,
                TrainConfig(epochs=epochs, batch_size=4, checkpoint_seconds=0.0),
                partial(rising, values),
                checkpoint=path,
            )
        states.append(recommender.state_dict())
    assert states[0].keys() == states[1].keys()
    assert any(name.startswith("heads.gen.") for name in states[0])
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_alignment_brings_embeddings_and_texts_together(train: Interactions, vectors: np.ndarray) -> None:
    graph = BipartiteGraph.from_interactions(train)
    torch.manual_seed(0)
    model = Recommender(make_features(InitConfig(dim=DIM), train), LightGCN(DIM, 1), graph)
    term = TextContrast(out_dim=DIM, train=train, item_vectors=vectors)
    model.heads["con"] = term
    losses: list[Tensor] = []
    for epochs in (1, 60):
        fit(
            model,
            Objective({"con": Weighted(term)}),
            TrainConfig(epochs=epochs, batch_size=64, lr=0.02),
            None,
        )
        step = make_step(train, batch=30)
        step.view = model.view()
        losses.append(term(step).detach())
    assert losses[1] < 0.5 * losses[0]
