"""Terms with negatives of their own, against loops over candidates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec import losses
from gnnrec.encoders import NGCF, LightGCN
from gnnrec.errors import ConfigError
from gnnrec.objectives import (
    BPR,
    L2,
    Constraint,
    Contrast,
    CosineContrastive,
    InversePropensity,
    MixedNegatives,
    Negatives,
    Objective,
    Softmax,
    Step,
    Weighted,
)
from gnnrec.objectives.sampling import NegativeSampler
from gnnrec.views import EdgeDropout
from tests.test_objectives import DIM, interacted, make_step


class Noted:
    """A term that keeps the negatives it was given."""

    reads = frozenset({"negative", "negative_emb"})

    def __call__(self, step: Step) -> Tensor:
        self.step = step
        return step.negative_emb.sum()


def drawn(step: Step, num: int, power: float = 0.0) -> Tensor:
    """What the step's generator gives next, without moving it."""
    generator = torch.Generator().set_state(step.generator.get_state())
    return NegativeSampler(step.train, power).sample(step.user, num, generator)


@pytest.mark.parametrize("power", [0.0, 0.75])
def test_negatives_are_those_of_an_exact_sampler(power: float) -> None:
    step, noted = make_step(), Noted()
    expected = drawn(step, 5, power)
    Negatives(noted, num_negatives=5, power=power)(step)
    assert torch.equal(noted.step.negative, expected)
    assert not interacted(step.train)[step.user.unsqueeze(1), expected].any()
    assert step.negative.shape[1] == 3  # the step itself keeps its own


def test_the_term_is_computed_on_them_and_the_view_encoded_once() -> None:
    step, calls = make_step(), []
    step.encoder.register_forward_hook(lambda *_: calls.append(1))
    negative = drawn(step, 4)
    users, items = step.train.split(step.states.final)
    scores = users @ items.T
    expected = losses.bpr(scores[step.user, step.positive], scores[step.user.unsqueeze(1), negative])
    BPR()(step)  # negatives of the step are encoded before
    torch.testing.assert_close(Negatives(BPR(), num_negatives=4)(step), expected)
    assert len(calls) == 1


@pytest.mark.parametrize("cosine", [False, True])
def test_the_hardest_of_each_pool(cosine: bool) -> None:
    step, noted = make_step(), Noted()
    candidates = drawn(step, 12)
    Negatives(noted, num_negatives=3, pool=4, cosine=cosine)(step)
    users, items = step.train.split(step.states.final)
    scores = users @ (F.normalize(items, dim=1) if cosine else items).T
    for row, user in enumerate(step.user.tolist()):
        pools = [candidates[row, start : start + 4].tolist() for start in (0, 4, 8)]
        best = [max(pool, key=lambda item: scores[user, item].item()) for pool in pools]
        assert noted.step.negative[row].tolist() == best


def test_gradients_are_those_of_the_scores_of_the_hardest() -> None:
    step, noted = make_step(), Noted()
    Negatives(noted, num_negatives=3, pool=4)(make_step())
    users, items = step.train.split(step.states.final)
    scores = users @ items.T
    negative = scores[step.user.unsqueeze(1), noted.step.negative]
    expected = losses.bpr(scores[step.user, step.positive], negative)
    trial = make_step()  # the term is the first to ask for any states
    result = Negatives(BPR(), num_negatives=3, pool=4)(trial)
    torch.testing.assert_close(result, expected)
    (one,) = torch.autograd.grad(result, trial.view.x)
    (two,) = torch.autograd.grad(expected, step.view.x)
    torch.testing.assert_close(one, two)


def test_the_two_ways_of_ranking_a_pool_differ() -> None:
    chosen = []
    for cosine in (False, True):
        noted = Noted()
        Negatives(noted, num_negatives=3, pool=4, cosine=cosine)(make_step())
        chosen.append(noted.step.negative)
    assert not torch.equal(*chosen)


@pytest.mark.parametrize("given", [None, [0.0, 0.3, 0.7]])
def test_mixed_negatives_pair_by_pair(given: list[float] | None) -> None:
    step, noted = make_step(torch.tensor([0, 9, 30]), keep_layers=True), Noted()
    step.encoder = LightGCN(DIM, num_layers=2, layer_weights=given)
    generator = torch.Generator().set_state(step.generator.get_state())
    candidates = NegativeSampler(step.train).sample(step.user, 5, generator)
    weights = given or [1 / 3] * 3
    shares = [torch.rand(3, 1, 1, generator=generator) if weight else torch.zeros(3) for weight in weights]
    MixedNegatives(noted, num_negatives=5)(step)
    for row, (user, positive) in enumerate(zip(step.user.tolist(), step.positive.tolist())):
        hops = []
        for layer, share, weight in zip(step.states.layers, shares, weights):
            items, a = step.train.split(layer)[1], share[row].item()
            mixed = [a * items[positive] + (1 - a) * items[n] for n in candidates[row].tolist()]
            hops.append(weight * max(mixed, key=lambda m: (m @ step.states.final[user]).item()))
        torch.testing.assert_close(noted.step.negative_emb[row, 0], torch.stack(hops).sum(dim=0))


def test_final_states_are_mixed_where_they_are_no_sum_of_layers() -> None:
    step, noted = make_step(torch.tensor([0, 9, 30]), keep_layers=True), Noted()
    step.encoder = NGCF(DIM, num_layers=2, dropout=0.0)
    generator = torch.Generator().set_state(step.generator.get_state())
    candidates = NegativeSampler(step.train).sample(step.user, 5, generator)
    share = torch.rand(3, 1, 1, generator=generator)
    MixedNegatives(noted, num_negatives=5)(step)
    users, items = step.train.split(step.states.final)
    for row, (user, positive) in enumerate(zip(step.user.tolist(), step.positive.tolist())):
        a = share[row].item()
        mixed = [a * items[positive] + (1 - a) * items[n] for n in candidates[row].tolist()]
        best = int(torch.stack([m @ users[user] for m in mixed]).argmax())
        torch.testing.assert_close(noted.step.negative_emb[row, 0], mixed[best])


def test_mixed_negatives_lie_nearer_to_the_positive_and_push_harder() -> None:
    step = make_step(keep_layers=True)
    mixed, plain = MixedNegatives(BPR(), 8)(step), Negatives(BPR(), 1)(step)
    assert mixed.item() > plain.item()
    (gradient,) = torch.autograd.grad(MixedNegatives(BPR(), 8)(step), step.view.x)
    assert gradient.any()


def test_layers_are_kept_for_a_term_inside_another() -> None:
    inside = InversePropensity(MixedNegatives(BPR()))
    assert Objective({"a": Weighted(inside)}).keep_layers
    assert not Objective({"a": Weighted(inside, 0), "b": Weighted(Negatives(BPR()))}).keep_layers


def test_a_sampler_is_made_once_per_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    init = NegativeSampler.__init__
    monkeypatch.setattr(
        NegativeSampler, "__init__", lambda self, *a: (made.append(1), init(self, *a))[0] and None
    )
    term, step = Negatives(BPR()), make_step()
    term(step)
    term(step)
    assert len(made) == 1
    term(make_step())
    assert len(made) == 2


@pytest.mark.parametrize("wrap", [Negatives, MixedNegatives])
@pytest.mark.parametrize("term", [Softmax(), Contrast([EdgeDropout(0.5)]), InversePropensity(Softmax())])
def test_a_term_without_sampled_negatives_is_refused(wrap: Any, term: Any) -> None:
    with pytest.raises(ConfigError, match=r"must be one that reads 'step\.negative"):
        wrap(term)


def test_a_term_that_would_not_see_the_mixture_is_refused() -> None:
    for term in (L2(), Constraint()):
        with pytest.raises(
            ConfigError, match=rf"'step\.negative_emb' in 'MixedNegatives' \(got {type(term).__name__}"
        ):
            MixedNegatives(term)


@pytest.mark.parametrize("wrap", [Negatives, MixedNegatives])
@pytest.mark.parametrize(
    "inner", [Negatives(BPR()), MixedNegatives(BPR()), InversePropensity(Negatives(BPR()))]
)
def test_negatives_that_others_would_replace_are_refused(wrap: Any, inner: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"Negatives inside it would take others instead: leave one of them out"
    ):
        wrap(inner)


def test_terms_may_be_wrapped_twice() -> None:
    step = make_step(keep_layers=True)
    for term in (
        Negatives(InversePropensity(BPR()), 2, power=0.5),
        InversePropensity(Negatives(CosineContrastive(), 2, pool=3, cosine=True)),
        Negatives(L2(), 4),
    ):
        assert torch.isfinite(term(step))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Negatives(BPR(), num_negatives=0), "'num_negatives' must be in"),
        (lambda: Negatives(BPR(), pool=0), "'pool' must be in"),
        (lambda: Negatives(BPR(), power=-0.5), "'power' must be in"),
        (lambda: MixedNegatives(BPR(), num_negatives=0), "'num_negatives' must be in"),
    ],
)
def test_a_wrong_argument_is_told(make: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make()
