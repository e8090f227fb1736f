"""Losses against their formulas written out in plain Python, and against values known by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnnrec import losses

BATCH, NUM_NEGATIVES, DIM = 6, 4, 5


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scores(seed: int = 0) -> tuple[Tensor, Tensor]:
    return draw(BATCH, seed=seed), draw(BATCH, NUM_NEGATIVES, seed=seed + 1)


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b))
    return dot / math.sqrt(sum(x * x for x in a) * sum(x * x for x in b))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_bpr_is_the_mean_log_sigmoid_of_the_difference() -> None:
    positive, negative = scores()
    terms = [-math.log(sigmoid(p - n)) for p, row in zip(positive.tolist(), negative.tolist()) for n in row]
    assert float(losses.bpr(positive, negative)) == pytest.approx(sum(terms) / len(terms))
    single = losses.bpr(positive, negative[:, 0])
    assert float(single) == pytest.approx(float(losses.bpr(positive, negative[:, :1])))
    zero = torch.zeros(3)
    assert float(losses.bpr(zero, zero)) == pytest.approx(math.log(2))


def softmax(positive: Tensor, negative: Tensor) -> Tensor:
    """The sampled softmax of given logits: one-hot keys."""
    return losses.softmax_loss(positive, negative, torch.eye(negative.shape[1], dtype=negative.dtype))


def test_softmax_loss_is_the_cross_entropy_of_the_positive() -> None:
    positive, negative = scores()
    logits = torch.cat([positive.unsqueeze(1), negative], dim=1)
    expected = F.cross_entropy(logits, torch.zeros(BATCH, dtype=torch.long))
    torch.testing.assert_close(softmax(positive, negative), expected)
    equal = softmax(torch.zeros(3), torch.zeros(3, 9))
    assert float(equal) == pytest.approx(math.log(10))


def test_bce_is_the_mean_over_positives_and_negatives() -> None:
    positive, negative = scores()
    terms = [-math.log(sigmoid(p)) for p in positive.tolist()]
    terms += [-math.log(1 - sigmoid(n)) for row in negative.tolist() for n in row]
    assert float(losses.bce(positive, negative)) == pytest.approx(sum(terms) / len(terms))


def test_cosine_contrastive_counts_negatives_beyond_the_margin() -> None:
    positive, negative = (torch.tanh(s) for s in scores())
    terms = []
    for p, row in zip(positive.tolist(), negative.tolist()):
        terms.append(1 - p + 3.0 * sum(max(0.0, n - 0.2) for n in row) / len(row))
    result = losses.cosine_contrastive(positive, negative, 0.2, 3.0)
    assert float(result) == pytest.approx(sum(terms) / len(terms))
    perfect = losses.cosine_contrastive(torch.ones(2), torch.full((2, 3), 0.5), 0.5, 1.0)
    assert float(perfect) == 0


def test_bilateral_softmax_pools_negatives_at_their_own_temperature() -> None:
    positive, negative = (torch.tanh(s) for s in scores())
    first, second = 0.3, 0.15
    terms = []
    for p, row in zip(positive.tolist(), negative.tolist()):
        mean = sum(math.exp(n / second) for n in row) / len(row)
        terms.append(-p / first + second / first * math.log(mean))
    result = losses.bilateral_softmax(positive, negative, first, second)
    assert float(result) == pytest.approx(sum(terms) / len(terms))


def test_info_nce_takes_the_other_rows_of_the_second_view() -> None:
    first, second, t = draw(BATCH, DIM), draw(BATCH, DIM, seed=1), 0.4
    one, two = first.tolist(), second.tolist()
    terms = []
    for i in range(BATCH):
        exps = [math.exp(cosine(one[i], two[j]) / t) for j in range(BATCH)]
        terms.append(-math.log(exps[i] / sum(exps)))
    assert float(losses.info_nce(first, second, t)) == pytest.approx(sum(terms) / BATCH)
    same = losses.info_nce(torch.ones(8, 3), torch.ones(8, 3))
    assert float(same) == pytest.approx(math.log(8))  # every row looks like every other
    assert float(losses.info_nce(torch.eye(4), torch.eye(4), 0.01)) == pytest.approx(0, abs=1e-6)


def test_info_nce_knows_directions_only() -> None:
    first, second = draw(BATCH, DIM), draw(BATCH, DIM, seed=1)
    torch.testing.assert_close(losses.info_nce(first, second), losses.info_nce(7 * first, 0.1 * second))


def test_grace_has_the_negatives_of_both_views_in_both_directions() -> None:
    first, second, weight = draw(BATCH, DIM), draw(BATCH, DIM, seed=1), torch.arange(1.0, BATCH + 1)
    t, terms, weighted = 0.5, [], []
    for own, other in ((first.tolist(), second.tolist()), (second.tolist(), first.tolist())):
        for i, a in enumerate(own):
            inter = [math.exp(cosine(a, b) / t) for b in other]
            intra = [math.exp(cosine(a, b) / t) for j, b in enumerate(own) if j != i]
            terms.append(-math.log(inter[i] / (sum(inter) + sum(intra))))
            weighted.append(terms[-1] * (i + 1))
    assert float(losses.grace(first, second, t)) == pytest.approx(sum(terms) / (2 * BATCH))
    got = float(losses.grace(first, second, t, weight.double()))
    assert got == pytest.approx(sum(weighted) / (2 * BATCH))
    assert float(losses.grace(first, first)) == pytest.approx(float(losses.grace(2 * first, first)))


def test_a_weight_is_a_factor_of_each_row() -> None:
    loss, weight = draw(4, 3), torch.tensor([0.0, 1.0, 2.0, 5.0], dtype=torch.float64)
    assert float(losses.mean(loss)) == pytest.approx(float(loss.sum()) / 12)
    expected = float((loss[1] + 2 * loss[2] + 5 * loss[3]).sum()) / 12
    assert float(losses.mean(loss, weight)) == pytest.approx(expected)
    assert float(losses.mean(loss[:, 0], weight)) == pytest.approx(float(loss[:, 0] @ weight) / 4)


def test_alignment_is_the_mean_squared_distance_of_unit_rows() -> None:
    first, second = draw(BATCH, DIM), draw(BATCH, DIM, seed=1)
    terms = [2 - 2 * cosine(a, b) for a, b in zip(first.tolist(), second.tolist())]
    assert float(losses.alignment(first, second)) == pytest.approx(sum(terms) / BATCH)
    assert float(losses.alignment(first, 3 * first)) == pytest.approx(0)
    assert float(losses.alignment(first, -first)) == pytest.approx(4)


def test_uniformity_is_the_log_mean_over_distinct_pairs() -> None:
    x = draw(BATCH, DIM)
    unit = F.normalize(x, dim=1)
    distances = torch.pdist(unit).square()
    assert float(losses.uniformity(x)) == pytest.approx(float(torch.exp(-2 * distances).mean().log()))
    assert float(losses.uniformity(torch.ones(5, 3))) == pytest.approx(0, abs=1e-6)  # all in one place
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    assert float(losses.uniformity(opposite)) == pytest.approx(-8)  # exp(-2 * 4)


def test_uniformity_of_a_single_row_is_nothing() -> None:
    x = draw(1, DIM).requires_grad_()
    value = losses.uniformity(x)
    (gradient,) = torch.autograd.grad(value, x)
    assert value.item() == 0
    assert not gradient.any()


def test_l2_is_half_the_squares_over_the_first_arguments_rows() -> None:
    first, second = draw(BATCH, DIM), draw(3 * BATCH, DIM, seed=1)
    expected = (first.square().sum() + second.square().sum()) / (2 * BATCH)
    torch.testing.assert_close(losses.l2(first, second), expected)
    assert float(losses.l2(torch.full((2, 3), 2.0))) == pytest.approx(6)
    assert float(losses.l2(torch.zeros(0, 3))) == 0


def with_scores(loss: Callable[..., Tensor], *arguments: float) -> Callable[..., Tensor]:
    return lambda positive, negative: loss(positive, negative, *arguments)


RANKING = [
    losses.bpr,
    softmax,
    losses.bce,
    with_scores(losses.cosine_contrastive, -1.0, 1.0),
    with_scores(losses.bilateral_softmax, 0.3, 0.2),
]


@pytest.mark.parametrize("loss", RANKING)
def test_a_ranking_loss_pulls_positives_up_and_negatives_down(loss: Callable[..., Tensor]) -> None:
    positive, negative = (torch.tanh(s).requires_grad_() for s in scores())
    for_positive, for_negative = torch.autograd.grad(loss(positive, negative), (positive, negative))
    assert bool((for_positive < 0).all())
    assert bool((for_negative > 0).all())
    assert torch.autograd.gradcheck(loss, (positive, negative))


@pytest.mark.parametrize("loss", [losses.info_nce, losses.grace, losses.alignment, losses.l2])
def test_gradients_of_losses_on_rows(loss: Callable[..., Tensor]) -> None:
    first, second = draw(BATCH, DIM).requires_grad_(), draw(BATCH, DIM, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(loss, (first, second))


def test_gradient_of_uniformity() -> None:
    assert torch.autograd.gradcheck(losses.uniformity, (draw(BATCH, DIM).requires_grad_(),))


@pytest.mark.parametrize("loss", RANKING[:3])
@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
@settings(max_examples=30, deadline=None)
def test_large_scores_do_not_overflow(loss: Callable[..., Tensor], p: float, n: float) -> None:
    positive, negative = torch.tensor([p], requires_grad=True), torch.tensor([[n, n]], requires_grad=True)
    value = loss(positive, negative)
    value.backward()
    assert math.isfinite(value.item())
    assert value.item() >= 0
    assert positive.grad is not None
    assert torch.isfinite(positive.grad).all()
