"""Contrasts of views and of layers, against InfoNCE of their nodes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gnnrec import losses
from gnnrec.encoders import NGCF, LightGCN, PinSage
from gnnrec.encoders.walks import walk_neighbours
from gnnrec.errors import ConfigError
from gnnrec.objectives import Contrast, CrossLayer, check_encoder
from gnnrec.views import (
    Augmentation,
    EdgeDropout,
    FeatureMasking,
    LayerNoise,
    NodeDropout,
    RandomWalk,
    augment,
)
from tests.test_objectives import DIM, NUM_USERS, make_step


def test_contrast_of_one_view_with_itself_is_info_nce_of_its_distinct_nodes() -> None:
    step = make_step()
    users, items = step.train.split(step.states.final)
    u, i = users[step.user.unique()], items[step.positive.unique()]
    expected = losses.info_nce(u, u, 0.3) + losses.info_nce(i, i, 0.3)
    torch.testing.assert_close(Contrast([EdgeDropout(0.0)], temperature=0.3)(step), expected)


def test_contrast_draws_two_views_and_the_step_decides_which() -> None:
    augmentations = [EdgeDropout(0.5), FeatureMasking(0.3)]
    one, again, other = (Contrast(augmentations)(make_step(seed=s)) for s in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    step = make_step()
    first, second = (step.encoder(augment(step.view, augmentations, step.generator)).final for _ in range(2))
    expected = sum(
        losses.info_nce(first[nodes], second[nodes], 0.2)
        for nodes in (step.user.unique(), NUM_USERS + step.positive.unique())
    )
    torch.testing.assert_close(one, expected)
    assert not torch.equal(Contrast([EdgeDropout(0.5)], [LayerNoise()])(make_step()), one)


def test_views_are_kept_for_so_many_steps_and_for_an_epoch_at_most() -> None:
    def losses_of(term: Contrast, epochs: int = 1) -> list[float]:
        step = make_step()
        found = []
        for epoch in range(epochs):
            term.begin_epoch(epoch, lambda: step.view, step.generator)
            found += [float(term(step).detach()) for _ in range(6)]
        return found

    anew = losses_of(Contrast([EdgeDropout(0.5)]))
    assert len(set(anew)) == 6
    three = losses_of(Contrast([EdgeDropout(0.5)], refresh=3))
    assert three[0] == anew[0]  # the same draw as without
    assert three[0] == three[1] == three[2] != three[3] == three[4] == three[5]
    epoch = losses_of(Contrast([EdgeDropout(0.5)], refresh=0), epochs=2)
    assert len(set(epoch[:6])) == len(set(epoch[6:])) == 1
    assert epoch[0] != epoch[6]
    assert len(set(losses_of(Contrast([EdgeDropout(0.5)], [], refresh=0)))) == 1


@pytest.mark.parametrize("augmentation", [EdgeDropout(0.5), NodeDropout(0.3), RandomWalk(0.5, num_layers=2)])
def test_a_kept_view_is_the_one_drawn_without_its_dropped_edges(augmentation: Augmentation) -> None:
    term, anew = Contrast([augmentation], refresh=0), Contrast([augmentation])
    torch.testing.assert_close(term(make_step()), anew(make_step()))
    for view in term._views(make_step()):
        assert all(bool((graph.weight > 0).all()) for graph in view.layer_graphs or (view.graph,))


def test_a_kept_view_has_all_edges_for_an_encoder_that_knows_them_by_their_place() -> None:
    walk_neighbours.cache_clear()
    term, step = Contrast([EdgeDropout(0.5)], refresh=0), make_step()
    step.encoder = PinSage(DIM, num_layers=1)
    expected = Contrast([EdgeDropout(0.5)])(replace(step, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(term(step), expected)
    assert walk_neighbours.cache_info().misses == 1  # the walks are those of the train graph


def test_a_view_that_nothing_augments_is_the_main_view_kept_or_not() -> None:
    for refresh in (0, 1):
        term = Contrast([EdgeDropout(0.5)], [], refresh=refresh)
        for step in (make_step(), make_step(seed=1)):
            assert term._views(step)[1] is step.view


def test_kept_views_are_of_the_train_graph_and_those_of_one_step_of_the_main_view() -> None:
    step = make_step()
    step.view = NodeDropout(0.5, "items")(step.view, step.generator)
    gone = step.view.graph.isolated
    assert gone is not None
    assert gone.sum() > 5
    kept, anew = (Contrast([EdgeDropout(0.1)], refresh=n)._views(step)[0].graph for n in (0, 1))
    assert bool(anew.isolated[gone].all())
    assert kept.isolated is None or not bool(kept.isolated[gone].all())


def test_kept_views_are_in_the_precision_of_the_main_view() -> None:
    step = make_step()
    step.view = replace(step.view, graph=step.view.graph.with_precision("bfloat16"))
    for augmentation in (EdgeDropout(0.5), RandomWalk(0.5, num_layers=2)):
        for view in Contrast([augmentation], refresh=0)._views(step):
            assert {graph.precision for graph in view.layer_graphs or (view.graph,)} == {"bfloat16"}


def test_contrasts_of_a_thing_with_itself_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'Contrast' needs an augmentation"):
        Contrast([])
    with pytest.raises(ConfigError, match=r"'anchor' must not be 'layer' itself .* \(both are 2\)"):
        CrossLayer(layer=2, anchor=2)


def test_kept_views_follow_the_weights() -> None:
    """The graph is kept, the features are those of the step."""
    term, step = Contrast([EdgeDropout(0.5)], refresh=0), make_step()
    before = float(term(step).detach())
    other = make_step(seed=9)
    other.view = replace(step.view, x=step.view.x.detach().flip(0).requires_grad_())
    assert float(term(other).detach()) != pytest.approx(before, rel=1e-4)
    for augmentation in (FeatureMasking(0.3), LayerNoise()):
        with pytest.raises(ConfigError, match=r"'refresh' must be 1 in 'Contrast' .* \(got 0\)"):
            Contrast([augmentation], refresh=0)(make_step())


def test_cross_layer_contrasts_a_layer_with_the_final_state() -> None:
    step = make_step(keep_layers=True)
    layer = step.train.propagate(step.view.x)
    final = step.states.final
    expected = sum(
        losses.info_nce(final[nodes], layer[nodes], 0.2)
        for nodes in (step.user.unique(), NUM_USERS + step.positive.unique())
    )
    torch.testing.assert_close(CrossLayer(1)(step), expected)


def test_cross_layer_contrasts_two_layers_and_weighs_the_items() -> None:
    step = make_step(keep_layers=True)
    second = step.train.propagate(step.train.propagate(step.view.x))
    users, items = (
        losses.info_nce(second[nodes], step.view.x[nodes], 0.1)
        for nodes in (step.user.unique(), NUM_USERS + step.positive.unique())
    )
    term = CrossLayer(layer=0, anchor=2, temperature=0.1, item_weight=0.3)
    torch.testing.assert_close(term(step), users + 0.3 * items)


def test_contrast_weighs_nodes_by_degree() -> None:
    step = make_step()
    first, second = (
        step.encoder(augment(step.view, [EdgeDropout(0.3)], step.generator)).final for _ in range(2)
    )
    total = 0.0
    for nodes in (step.user.unique(), NUM_USERS + step.positive.unique()):
        one, two = F.normalize(first[nodes]), F.normalize(second[nodes])
        rows_ = torch.logsumexp(one @ two.T / 0.2, dim=1) - (one * two).sum(dim=1) / 0.2
        weight = torch.tensor([1 / math.sqrt(int(step.train.degree[node])) for node in nodes])
        total = total + (rows_ * weight).sum() / weight.sum()
    result = Contrast([EdgeDropout(0.3)], degree_power=0.5)(make_step())
    torch.testing.assert_close(result, total)
    assert not torch.equal(result, Contrast([EdgeDropout(0.3)])(make_step()))


def test_contrast_with_negatives_of_its_own_view() -> None:
    step = make_step()
    first, second = (
        step.encoder(augment(step.view, [EdgeDropout(0.3)], step.generator)).final for _ in range(2)
    )
    parts = (step.user.unique(), NUM_USERS + step.positive.unique())
    expected = sum(losses.grace(first[nodes], second[nodes], 0.5) for nodes in parts)
    result = Contrast([EdgeDropout(0.3)], temperature=0.5, intra_view=True)(make_step())
    torch.testing.assert_close(result, expected)


@pytest.mark.parametrize(
    ("term", "encoder", "told"),
    [
        (
            CrossLayer(1),
            NGCF(DIM),
            r"'CrossLayer' needs an encoder .* as wide as its layers.*got NGCF: 24 and 6",
        ),
        (CrossLayer(3), LightGCN(DIM, num_layers=2), r"'layer' must be in \[0, 2\].*LightGCN \(got 3\)"),
        (CrossLayer(0, anchor=4), NGCF(DIM), r"'anchor' must be in \[0, 3\]"),
    ],
)
def test_cross_layer_is_refused_where_the_encoder_has_no_such_layer(
    term: CrossLayer, encoder: nn.Module, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        check_encoder(term, encoder, DIM)


def test_cross_layer_of_two_layers_works_on_an_encoder_that_concatenates() -> None:
    step, encoder = make_step(keep_layers=True), NGCF(DIM, num_layers=2)
    check_encoder(CrossLayer(0, anchor=2), encoder, DIM)
    step.encoder = encoder
    assert torch.isfinite(CrossLayer(0, anchor=2)(step))
