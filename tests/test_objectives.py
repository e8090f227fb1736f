"""Terms against dense computations over all items, and the weighted sum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gnnrec import losses
from gnnrec.encoders import LightGCN
from gnnrec.errors import ConfigError
from gnnrec.graph import BipartiteGraph
from gnnrec.objectives import (
    BCE,
    BPR,
    L2,
    BilateralSoftmax,
    Contrast,
    CosineContrastive,
    CrossLayer,
    DirectAU,
    InversePropensity,
    Negatives,
    Objective,
    PopDCL,
    Softmax,
    Step,
    Weighted,
    known_pairs,
)
from gnnrec.objectives.step import rows
from gnnrec.views import EdgeDropout, LayerNoise, View, augment

NUM_USERS, NUM_ITEMS, DIM = 14, 11, 6  # the last two items have no train pair


def make_graph(num_edges: int = 50) -> BipartiteGraph:
    generator = torch.Generator().manual_seed(0)
    keys = torch.randperm(NUM_USERS * (NUM_ITEMS - 2), generator=generator)[:num_edges]
    width = NUM_ITEMS - 2
    return BipartiteGraph.from_edges(keys // width, keys % width, NUM_USERS, NUM_ITEMS)


def make_step(batch: Tensor | None = None, seed: int = 0, **more: Any) -> Step:
    """A step over some edges of the graph (all of them where none are named), with a fixed x."""
    graph = make_graph()
    batch = torch.arange(graph.num_edges) if batch is None else batch
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(graph.num_nodes, DIM, generator=generator, requires_grad=True)
    user, positive = graph.structure.user.long()[batch], graph.structure.item.long()[batch]
    negative = torch.randint(NUM_ITEMS - 2, (len(user), 3), generator=generator)
    encoder: nn.Module = LightGCN(DIM, num_layers=2)
    return Step(
        user,
        positive,
        negative,
        View(x, graph),
        encoder,
        graph,
        torch.Generator().manual_seed(seed),
        **more,
    )


def interacted(graph: BipartiteGraph) -> Tensor:
    dense = torch.zeros(graph.num_users, graph.num_items, dtype=torch.bool)
    dense[graph.structure.user.long(), graph.structure.item.long()] = True
    return dense


def full_softmax(step: Step, term: Softmax) -> Tensor:
    """Cross-entropy over all items seen in training, the user's other train items left out."""
    users, items = step.train.split(step.states.final)
    if term.cosine:
        users, items = F.normalize(users, dim=1), F.normalize(items, dim=1)
    _, counts = step.train.split(step.train.degree)
    logits = users[step.user] @ items.T / term.temperature
    logits = logits + torch.where(counts > 0, term.adjustment * (counts / counts.sum()).log(), 0.0)
    out = (counts == 0).repeat(len(step.user), 1)
    if term.mask_positives:
        out |= interacted(step.train)[step.user]
    out[torch.arange(len(step.user)), step.positive] = False
    return F.cross_entropy(logits.masked_fill(out, float("-inf")), step.positive)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.3},
        {"cosine": True, "temperature": 0.2},
        {"adjustment": 0.7},
        {"mask_positives": False},
    ],
    ids=str,
)
def test_softmax_with_all_negatives_is_dense_cross_entropy(options: dict[str, Any]) -> None:
    term, step = Softmax(negatives="all", **options), make_step()
    result, expected = term(step), full_softmax(step, term)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)
    (one,) = torch.autograd.grad(result, step.view.x, retain_graph=True)
    (two,) = torch.autograd.grad(expected, step.view.x)
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


def test_uniform_draws_of_every_item_are_all_items() -> None:
    step = make_step()
    torch.testing.assert_close(Softmax(num_negatives=9)(step), Softmax(negatives="all")(step))
    torch.testing.assert_close(Softmax(num_negatives=5000)(step), Softmax(negatives="all")(step))


@pytest.mark.parametrize("adjustment", [0.0, 0.5])
def test_in_batch_negatives_of_the_whole_train_set_are_the_full_softmax(adjustment: float) -> None:
    # with every pair in the batch an item occurs exactly as often as it is expected to
    options: dict[str, Any] = {"temperature": 0.5, "adjustment": adjustment}
    step = make_step()
    torch.testing.assert_close(
        Softmax(negatives="in_batch", **options)(step), Softmax(negatives="all", **options)(step)
    )


@pytest.mark.parametrize("negatives", ["uniform", "in_batch", "popularity", "mixed"])
def test_the_corrected_sum_over_negatives_is_that_of_the_full_softmax_on_average(negatives: str) -> None:
    """E[sum_n exp(logit_n - log q_n)] = sum over all items of exp(logit), which is what log q is for."""
    graph, generator = make_graph(), torch.Generator().manual_seed(5)
    term = Softmax(negatives=negatives, num_negatives=4, mask_positives=False)
    _, counts = graph.split(graph.degree)
    log_popularity = (counts / counts.sum()).log()
    exp_scores = torch.rand(NUM_ITEMS, generator=generator) + 0.5
    sums = []
    step = make_step()
    for _ in range(3000):
        batch = torch.randint(graph.num_edges, (16,), generator=generator)
        step.positive = graph.structure.item.long()[batch]
        candidates, times, log_expected = term._draw(step, counts, log_popularity)
        assert len(candidates.unique()) == len(candidates)
        sums.append((exp_scores[candidates] * times / log_expected.exp()).sum())
    values = torch.stack(sums)
    expected = exp_scores[counts > 0].sum()
    assert abs(float(values.mean() - expected)) < 4 * float(values.std()) / math.sqrt(len(values))
    assert float(values.std()) > 0.01 * float(expected)  # these are samples, not the whole


def test_in_batch_softmax_is_near_the_full_softmax_on_average_and_needs_its_correction() -> None:
    term, whole = Softmax(negatives="in_batch"), make_step()
    generator = torch.Generator().manual_seed(0)
    corrected, full = [], []
    for _ in range(80):
        step = make_step(torch.randint(whole.train.num_edges, (40,), generator=generator))
        corrected.append(float(term(step).detach()))
        full.append(float(full_softmax(step, term).detach()))
    assert np.mean(corrected) == pytest.approx(np.mean(full), abs=0.06)
    logits = whole.user_emb @ whole.positive_emb.T
    plain = F.cross_entropy(logits, torch.arange(len(logits)))  # no correction, no mask
    assert abs(float(plain.detach()) - np.mean(full)) > 0.5


def test_without_correction_in_batch_softmax_is_plain_cross_entropy_over_the_batch() -> None:
    """Rows that hold an item the user has, the own positive again included, are left out."""
    step = make_step()
    term = Softmax(negatives="in_batch", correction=False, temperature=0.5)
    logits = step.user_emb @ step.positive_emb.T / 0.5
    known = interacted(step.train)[step.user][:, step.positive]
    known[torch.arange(len(logits)), torch.arange(len(logits))] = False
    expected = F.cross_entropy(logits.masked_fill(known, float("-inf")), torch.arange(len(logits)))
    torch.testing.assert_close(term(step), expected)


def test_an_item_without_train_pairs_is_no_negative() -> None:
    for negatives in ("all", "uniform"):
        step = make_step()
        Softmax(negatives=negatives, num_negatives=8)(step).backward()
        gradient = step.view.x.grad
        assert gradient is not None
        assert not gradient[NUM_USERS + NUM_ITEMS - 2 :].any()
        assert gradient[NUM_USERS : NUM_USERS + NUM_ITEMS - 2].any(dim=1).all()


@pytest.mark.parametrize("all_positives", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_known_pairs_against_brute_force(all_positives: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    graph = make_graph()
    batch = torch.randint(graph.num_edges, (20,), generator=generator)
    user, positive = graph.structure.user.long()[batch], graph.structure.item.long()[batch]
    candidates = torch.randperm(NUM_ITEMS, generator=generator)[:7]
    pairs = set(zip(graph.structure.user.tolist(), graph.structure.item.tolist()))
    expected = [
        [c == p or (all_positives and (u, c) in pairs) for c in candidates.tolist()]
        for u, p in zip(user.tolist(), positive.tolist())
    ]
    row, column = known_pairs(graph, user, positive, candidates, all_positives)
    assert row.tolist() == sorted(row.tolist())
    mask = torch.zeros(20, 7, dtype=torch.bool)
    mask[row, column] = True
    assert mask.tolist() == expected


def test_known_pairs_of_users_without_train_pairs() -> None:
    graph = BipartiteGraph.from_edges(torch.tensor([1]), torch.tensor([2]), 3, 4)
    user, positive = torch.tensor([0, 1, 2]), torch.tensor([0, 2, 3])
    row, column = known_pairs(graph, user, positive, torch.arange(4), True)
    assert (row.tolist(), column.tolist()) == ([1], [2])


def brute_scores(step: Step, cosine: bool) -> tuple[Tensor, Tensor]:
    users, items = step.train.split(step.states.final)
    if cosine:
        users, items = F.normalize(users, dim=1), F.normalize(items, dim=1)
    table = users @ items.T
    return table[step.user, step.positive], table[step.user.unsqueeze(1), step.negative]


@pytest.mark.parametrize(
    ("term", "loss", "cosine"),
    [
        (BPR(), losses.bpr, False),
        (BCE(), losses.bce, False),
        (CosineContrastive(0.1, 2.0), lambda p, n: losses.cosine_contrastive(p, n, 0.1, 2.0), True),
        (BilateralSoftmax(0.2, 0.1), lambda p, n: losses.bilateral_softmax(p, n, 0.2, 0.1), True),
    ],
)
def test_terms_on_sampled_negatives(term: Any, loss: Any, cosine: bool) -> None:
    step = make_step()
    torch.testing.assert_close(term(step), loss(*brute_scores(step, cosine)), rtol=1e-5, atol=1e-6)


def test_direct_au_is_alignment_plus_half_the_uniformities() -> None:
    step = make_step()
    users, items = step.train.split(step.states.final)
    u, i = users[step.user], items[step.positive]
    expected = losses.alignment(u, i) + 0.3 * (losses.uniformity(u) + losses.uniformity(i)) / 2
    torch.testing.assert_close(DirectAU(0.3)(step), expected)


@pytest.mark.parametrize("cosine", [False, True])
def test_scores_are_those_of_the_final_rows(cosine: bool) -> None:
    step = make_step()
    user, positive, negative = step.user_emb, step.positive_emb, step.item_emb(step.negative)
    if cosine:
        user, positive, negative = (F.normalize(rows, dim=-1) for rows in (user, positive, negative))
    expected = (user * positive).sum(-1), torch.einsum("bd,bnd->bn", user, negative)
    given = step.changed(negative_emb=step.item_emb(step.negative))
    for scores in (step.scores(cosine), given.scores(cosine)):
        torch.testing.assert_close(scores, expected)


def test_l2_of_all_nodes_is_weight_decay_over_the_batch_size() -> None:
    step = make_step(torch.tensor([0, 3, 8]))
    torch.testing.assert_close(L2(all_nodes=True)(step), 0.5 * step.view.x.square().sum() / 3)


def test_l2_is_on_the_rows_of_layer_zero() -> None:
    step = make_step()
    users, items = step.train.split(step.view.x)
    negative = items[step.negative].flatten(0, 1)
    with_negatives = losses.l2(users[step.user], items[step.positive], negative)
    torch.testing.assert_close(L2()(step), with_negatives)
    torch.testing.assert_close(L2(negatives=False)(step), losses.l2(users[step.user], items[step.positive]))


def test_rows_have_one_gradient_with_any_number_of_threads() -> None:
    """x[index] does not: several threads add its gradient up in no fixed order."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 64, generator=generator, requires_grad=True)
    index = torch.randint(200, (2048, 4), generator=generator)
    weight = torch.randn(2048, 4, 64, generator=generator)
    assert torch.equal(rows(x, index), x[index])
    threads, gradients = torch.get_num_threads(), []
    try:
        for number in (1, 2, 2, 2, 2):
            torch.set_num_threads(number)
            gradients += torch.autograd.grad((rows(x, index) * weight).sum(), x)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)


@dataclass(frozen=True)
class Constant:
    """A term with a known value, which notes that it was asked."""

    value: float
    asked: list[str]

    def __call__(self, step: Step) -> Tensor:
        self.asked.append("yes")
        return torch.tensor(self.value)


def test_the_objective_is_the_weighted_sum_and_names_its_terms() -> None:
    asked: list[str] = []
    terms = {"a": Weighted(Constant(2.0, asked), 0.5), "b": Weighted(Constant(3.0, asked))}
    total, named = Objective(terms)(make_step())
    assert float(total) == 4
    assert {name: float(value) for name, value in named.items()} == {"a": 1.0, "b": 3.0}
    assert len(asked) == 2


def test_a_term_of_weight_zero_is_not_computed() -> None:
    asked: list[str] = []
    objective = Objective(
        {"a": Weighted(Constant(1.0, [])), "off": Weighted(Constant(float("nan"), asked), 0)}
    )
    total, named = objective(make_step())
    assert (float(total), list(named), asked) == (1.0, ["a"], [])


def test_the_states_are_encoded_once_per_step() -> None:
    step, calls = make_step(), []
    step.encoder.register_forward_hook(lambda *_: calls.append(1))
    Objective({"a": Weighted(BPR()), "b": Weighted(Softmax()), "c": Weighted(DirectAU())})(step)
    assert len(calls) == 1


@pytest.mark.parametrize("wrapped", [InversePropensity(BPR()), Negatives(BPR(), num_negatives=4)])
def test_terms_in_other_terms_see_the_states_of_the_step(wrapped: Any) -> None:
    """One pass and one draw of the noise for a wrapped term and for those beside it."""
    step, calls = make_step(), []
    step.view = augment(step.view, [LayerNoise(0.5)], step.generator)
    step.encoder.register_forward_hook(lambda *_: calls.append(1))
    seen: list[Tensor] = []

    def look(step: Step) -> Tensor:
        seen.append(step.user_emb)
        return step.user_emb.sum()

    wrapped.term = look
    wrapped(step)
    look(step)
    assert len(calls) == 1
    assert torch.equal(*seen)


def test_layers_are_kept_only_where_a_term_needs_them() -> None:
    assert Objective({"a": Weighted(CrossLayer())}).keep_layers
    assert not Objective({"a": Weighted(BPR()), "b": Weighted(Contrast([EdgeDropout(0.5)]))}).keep_layers


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Objective({}), "at least one term"),
        (lambda: Objective({"rank": Weighted(BPR(), 0)}), "weight above 0"),
        (lambda: Weighted(BPR(), -1), "'weight' must be in"),
        (lambda: Softmax(temperature=0), r"'temperature' must be in \(0, inf\) in 'Softmax' \(got 0\)"),
        (lambda: Softmax(negatives="unifrom"), "did you mean 'uniform'"),
        (lambda: Softmax(num_negatives=0), "'num_negatives' must be in"),
        (lambda: Softmax(adjustment=1.5), "'adjustment' must be in"),
        (lambda: Contrast([], temperature=-1), "'temperature' must be in"),
        (lambda: CrossLayer(layer=-1), "'layer' must be in"),
        (lambda: CrossLayer(anchor=-1), "'anchor' must be in"),
        (lambda: Softmax(power=-1), "'power' must be in"),
        (lambda: Softmax(denominator_power=0), "'denominator_power' must be in"),
        (lambda: PopDCL(0), "'temperature' must be in"),
        (lambda: CosineContrastive(margin=2), "'margin' must be in"),
        (lambda: BilateralSoftmax(0.0), "'positive_temperature' must be in"),
        (lambda: DirectAU(-1), "'weight' must be in"),
    ],
)
def test_a_wrong_argument_is_told(make: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make()
