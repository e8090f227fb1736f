"""The estimate of memory: it follows the sizes, is told before training, and is near what is measured."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gnnrec.encoders import GAT, GraphSAGE, LightGCN
from gnnrec.errors import GnnrecError
from gnnrec.features import IdTable, NodeFeatures
from gnnrec.graph import BipartiteGraph
from gnnrec.model import Recommender
from gnnrec.objectives import BPR, Contrast, MixedNegatives, Negatives, Objective, Weighted
from gnnrec.objectives.step import Term
from gnnrec.training import TrainConfig, fit, memory
from gnnrec.training.memory import BYTES_PER_ATTENTION, BYTES_PER_EDGE, estimate_memory
from gnnrec.views import EdgeDropout

ROOT = Path(__file__).resolve().parents[2]
RANK = Objective({"rank": Weighted(BPR())})
BOTH = Objective({"rank": Weighted(BPR()), "ssl": Weighted(Contrast([EdgeDropout(0.1)]), 0.1)})


def make_model(dim: int = 8, num_edges: int = 300, encoder: torch.nn.Module | None = None) -> Recommender:
    keys = torch.randperm(40 * 50, generator=torch.Generator().manual_seed(0))[:num_edges]
    graph = BipartiteGraph.from_edges(keys // 50, keys % 50, 40, 50)
    features = NodeFeatures(IdTable(40, dim, 0.1), IdTable(50, dim, 0.1), dim)
    return Recommender(features, encoder or LightGCN(dim, 3), graph)


def test_the_parts_follow_the_sizes() -> None:
    small, wide = estimate_memory(make_model(8), RANK, 64), estimate_memory(make_model(16), RANK, 64)
    assert small.weights == 5 * 4 * 90 * 8
    assert (wide.weights, wide.states) == (2 * small.weights, 2 * small.states)
    more = estimate_memory(make_model(8, 600), RANK, 64)
    assert more.edges - small.edges == 300 * BYTES_PER_EDGE
    assert estimate_memory(make_model(8), RANK, 128).batch == 2 * small.batch
    assert small.total == small.weights + small.states + small.edges + small.batch


def test_views_and_layers_that_are_kept_cost_more() -> None:
    plain, views = (estimate_memory(make_model(), objective, 64) for objective in (RANK, BOTH))
    assert views.states > plain.states
    assert views.edges > plain.edges
    deep = [estimate_memory(make_model(encoder=LightGCN(8, depth)), RANK, 64).states for depth in (1, 6)]
    assert deep[0] == deep[1]
    assert estimate_memory(make_model(encoder=GraphSAGE(8, 2)), RANK, 64).states > plain.states


def test_attention_keeps_numbers_of_every_edge_head_and_layer() -> None:
    plain = estimate_memory(make_model(), RANK, 64).edges
    gat = estimate_memory(make_model(encoder=GAT(8, num_layers=3, num_heads=2)), RANK, 64).edges
    assert gat - plain == 300 * 3 * 2 * BYTES_PER_ATTENTION
    sage = GraphSAGE(8, 2, aggregator="attention")
    assert estimate_memory(make_model(encoder=sage), RANK, 64).edges - plain == 300 * 2 * BYTES_PER_ATTENTION


@pytest.mark.parametrize(
    ("term", "rows"), [(Negatives(BPR(), 2, pool=16), 2 * 16), (MixedNegatives(BPR(), 16), 16 * 4)]
)
def test_negatives_that_a_term_draws_count(term: Term, rows: int) -> None:
    batch = estimate_memory(make_model(), Objective({"rank": Weighted(term)}), 64).batch
    assert batch == estimate_memory(make_model(), RANK, 64, num_negatives=rows).batch


def test_a_batch_holds_no_more_pairs_than_there_are() -> None:
    num_edges = make_model().graph.num_edges
    assert estimate_memory(make_model(), RANK, 10**9) == estimate_memory(make_model(), RANK, num_edges)


def test_fit_tells_the_need_before_it_starts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gnnrec")
    fit(make_model(), RANK, TrainConfig(epochs=1, batch_size=64), None)
    assert "training needs about 0.00 GiB (weights 0.00" in caplog.text
    assert "are free" in caplog.text


@pytest.mark.parametrize(
    ("make", "batch_size", "told"),
    [
        (lambda: make_model(dim=512), 1, "lower init.dim"),
        (lambda: make_model(dim=1, num_edges=1900), 1, "take fewer interactions"),
        (lambda: make_model(), 1 << 20, "lower train.batch_size"),
        (lambda: make_model(4, encoder=GraphSAGE(4, 6)), 1, "lower init.dim or the number of layers"),
    ],
)
def test_far_too_much_is_refused_with_what_to_lower(
    make: Callable[[], Recommender], batch_size: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make()
    need = estimate_memory(model, RANK, batch_size).total
    before = {name: value.clone() for name, value in model.state_dict().items()}
    monkeypatch.setattr(memory, "free_memory", lambda device: int(need / 1.6))
    with pytest.raises(GnnrecError, match=rf"training needs about .* GiB are free; {told}"):
        fit(model, RANK, TrainConfig(epochs=1, batch_size=batch_size), None)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_little_too_much_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_model()
    need = estimate_memory(model, RANK, 64).total
    monkeypatch.setattr(memory, "free_memory", lambda device: int(need / 1.2))
    fit(model, RANK, TrainConfig(epochs=1, batch_size=64), None)
    assert "more than the machine has" in caplog.text


@pytest.mark.slow
def test_the_measured_peak_is_within_a_factor_of_two() -> None:
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "scale.py"),
        "--edges",
        "2e6",
        "--steps",
        "3",
        "--inside",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    row = json.loads(done.stdout.strip().splitlines()[-1])
    assert 0.5 < row["peak_gib"] / row["estimate_gib"] < 2
