"""Propensity weights: against the losses pair by pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gnnrec import losses
from gnnrec.errors import ConfigError
from gnnrec.objectives import (
    BCE,
    BPR,
    BilateralSoftmax,
    Constraint,
    Contrast,
    CosineContrastive,
    DirectAU,
    InversePropensity,
    PopDCL,
    Softmax,
    Step,
)
from gnnrec.views import EdgeDropout
from tests.test_objectives import interacted, make_step

TERMS = [
    BPR(),
    BCE(),
    CosineContrastive(0.1),
    BilateralSoftmax(),
    Softmax(negatives="all"),
    Softmax(negatives="all", mask_positives=False, cosine=True),
    Constraint(),
]


class Noted:
    """A term that keeps the weights it was given."""

    reads = frozenset({"weight"})

    def __call__(self, step: Step) -> Tensor:
        self.weight = step.weight
        return step.user_emb.sum()


@pytest.mark.parametrize(("power", "user_power", "most"), [(0.5, 0, None), (1, 0.3, 1.2), (-0.5, 0, 10)])
def test_weights_are_the_formula_and_one_on_average(
    power: float, user_power: float, most: float | None
) -> None:
    noted, step = Noted(), make_step()  # all train pairs, each once
    InversePropensity(noted, power, user_power, most)(step)
    table = interacted(step.train).double().numpy()
    user, item = step.user.numpy(), step.positive.numpy()
    expected = table.sum(0)[item] ** -power * table.sum(1)[user] ** -user_power
    if most is not None:
        expected = np.minimum(expected, most * expected.mean())
        assert most > 2 or (expected == expected.max()).sum() > 1
    np.testing.assert_allclose(noted.weight, expected / expected.mean(), rtol=1e-5)
    assert float(noted.weight.mean()) == pytest.approx(1)


@pytest.mark.parametrize("term", TERMS, ids=str)
def test_the_loss_is_the_weighted_mean_of_the_losses_of_single_pairs(term: Any) -> None:
    whole, noted = make_step(), Noted()
    InversePropensity(noted, 1.0)(whole)
    single = []
    for row in range(len(whole.user)):
        step = make_step(torch.tensor([row]))
        single.append(term(step.changed(negative=whole.negative[row : row + 1])))
    expected = (torch.stack(single) * noted.weight).mean()
    torch.testing.assert_close(InversePropensity(term, 1.0)(whole), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(InversePropensity(term, 0.0)(whole), term(whole))
    assert not torch.allclose(expected, term(whole), rtol=1e-4)


def test_direct_au_weighs_the_alignment_alone() -> None:
    step, noted = make_step(), Noted()
    InversePropensity(noted, 1.0)(step)
    expected = losses.alignment(step.user_emb, step.positive_emb, noted.weight)
    torch.testing.assert_close(InversePropensity(DirectAU(0.0), 1.0)(step), expected)
    spread = DirectAU(0.7)(step) - DirectAU(0.0)(step)
    torch.testing.assert_close(InversePropensity(DirectAU(0.7), 1.0)(step), expected + spread)


def test_pop_dcl_is_weighted_too() -> None:
    step = make_step()
    assert not torch.allclose(InversePropensity(PopDCL(), 1.0)(step), PopDCL()(step))


def test_weights_multiply_where_terms_are_nested() -> None:
    one, two = Noted(), Noted()
    InversePropensity(one, 0.5)(make_step())
    InversePropensity(InversePropensity(two, 0.5), 0.5)(make_step())
    torch.testing.assert_close(two.weight, one.weight.square())


def test_the_tail_is_learned_better_with_weights() -> None:
    """After the same few steps the mean margin of rare items gains on that of popular ones."""

    def margins(term: Any) -> tuple[float, float]:
        step = make_step()
        x = step.view.x.detach().clone().requires_grad_()
        for _ in range(20):
            trial = make_step()
            object.__setattr__(trial.view, "x", x)
            (gradient,) = torch.autograd.grad(term(trial), x)
            x = (x - 2.0 * gradient).detach().requires_grad_()
        trial = make_step()
        object.__setattr__(trial.view, "x", x)
        gap = (trial.user_emb * (trial.positive_emb - trial.negative_emb[:, 0])).sum(-1)
        _, counts = trial.train.split(trial.train.degree)
        rare = counts[trial.positive] <= counts[trial.positive].median()
        return float(gap[rare].mean().detach()), float(gap[~rare].mean().detach())

    plain, weighted = margins(BPR()), margins(InversePropensity(BPR(), 2.0, max_weight=None))
    assert weighted[0] - weighted[1] > plain[0] - plain[1]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: InversePropensity(Contrast([EdgeDropout(0.5)])), "must be one that reads 'step.weight'"),
        (lambda: InversePropensity(BPR(), max_weight=0.5), "'max_weight' must be in"),
        (lambda: InversePropensity(BPR(), power=float("nan")), "'power' must be in"),
    ],
)
def test_a_wrong_argument_is_told(make: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make()
