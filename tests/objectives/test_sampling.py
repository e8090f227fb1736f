"""Negatives, uniform and by popularity: exact, never a positive, never an item that training does not know."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph
from gnnrec.objectives.sampling import NegativeSampler
from tests.training.test_sampler import PAIRS, make_graph, seeded


def allowed(pairs: list[tuple[int, int]], user: int) -> set[int]:
    """Brute force: items of anybody's train pairs, less the user's own."""
    return {i for _, i in pairs} - {i for u, i in pairs if u == user}


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_shares_of_all_users_in_one_batch(power: float) -> None:
    graph = make_graph(PAIRS, 5, 11)
    user = torch.arange(5).repeat(4000)
    drawn = NegativeSampler(graph, power).sample(user, 5, seeded())
    counts = np.bincount([i for _, i in PAIRS], minlength=11).astype(float)
    for u in range(5):
        items = sorted(allowed(PAIRS, u))
        found = torch.bincount(drawn[user == u].flatten(), minlength=11).numpy()
        assert set(np.flatnonzero(found)) == set(items)
        expected = counts[items] ** power
        assert chisquare(found[items], expected / expected.sum() * found.sum()).pvalue > 1e-3


@given(
    st.sets(st.tuples(st.integers(0, 5), st.integers(0, 7)), min_size=1),
    st.just(0.0) | st.floats(0, 8),
    st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_never_a_positive_and_never_unseen(pairs: set[tuple[int, int]], power: float, seed: int) -> None:
    rows = sorted(pairs)
    graph = make_graph(rows, 6, 8)
    if any(not allowed(rows, u) for u, _ in rows):
        with pytest.raises(ConfigError, match="every item of train"):
            NegativeSampler(graph, power)
        return
    user = torch.tensor([u for u, _ in rows])
    drawn = NegativeSampler(graph, power).sample(user, 40, seeded(seed))
    for u, items in zip(user.tolist(), drawn.tolist()):
        assert set(items) <= allowed(rows, u)


@pytest.mark.parametrize("power", [0.0, 0.75])
@pytest.mark.parametrize("draw", [0.0, 1 - 2**-53])
def test_the_ends_of_the_draw_are_inside(draw: float, power: float, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = NegativeSampler(make_graph(PAIRS, 5, 11), power)
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, draw, dtype=torch.float64))
    ends = [min(allowed(PAIRS, u)) if draw == 0 else max(allowed(PAIRS, u)) for u in range(4)]
    assert sampler.sample(torch.arange(4), 1, seeded()).squeeze(1).tolist() == ends


def test_one_seed_one_draw() -> None:
    sampler, user = NegativeSampler(make_graph(PAIRS, 5, 11)), torch.tensor([0, 1, 2, 3] * 10)
    one, two, other = (sampler.sample(user, 5, seeded(s)) for s in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("power", [0.0, 0.75])
def test_a_user_of_every_item_is_told(power: float) -> None:
    rows = [(0, 0), (1, 0), (1, 1), (1, 2), (2, 1)]
    graph = make_graph(rows, 3, 4)
    with pytest.raises(
        ConfigError, match=r"1 of 3 users \(index 1 is the first\).*every item of train.*model=directau"
    ):
        NegativeSampler(graph, power)


def test_power_zero_is_uniform_draw_by_draw() -> None:
    """The formula of the uniform sampler, item by item."""
    graph = make_graph(PAIRS, 5, 11)
    user = torch.randint(5, (300,), generator=seeded(3))
    drawn = NegativeSampler(graph).sample(user, 4, seeded(9))
    uniform = torch.rand((300, 4), generator=seeded(9), dtype=torch.float64)
    for row, u in enumerate(user.tolist()):
        free = sorted(allowed(PAIRS, u))
        assert drawn[row].tolist() == [free[int(r * len(free))] for r in uniform[row].tolist()]


def test_one_very_popular_item_among_many() -> None:
    """Rounding leaves every item at least one ticket."""
    num = 3000
    user = torch.cat([torch.arange(num), torch.arange(num)])
    item = torch.cat([torch.zeros(num, dtype=torch.long), torch.arange(1, num + 1)])
    sampler = NegativeSampler(BipartiteGraph.from_edges(user, item, num + 1, num + 1), power=6.0)
    assert int((sampler.end.diff(prepend=sampler.end.new_zeros(1)) >= 1).all())
    drawn = sampler.sample(torch.full((50,), num), 10, seeded())  # the user without pairs
    assert float((drawn == 0).double().mean()) > 0.99


def test_a_negative_power_is_told() -> None:
    with pytest.raises(ConfigError, match="'power' must be in"):
        NegativeSampler(make_graph(PAIRS, 5, 11), -1.0)
