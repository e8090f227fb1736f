"""The init modes: what is trained, what is frozen, what unseen nodes start from."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gnnrec.data.interactions import Interactions
from gnnrec.features import (
    COMBINATIONS,
    MODES,
    STARTS,
    USER_MODES,
    BlockPart,
    Combined,
    FullTextTable,
    IdTable,
    InitConfig,
    StartedTable,
    TextTable,
    make_features,
)
from gnnrec.features.config import USER_PROJECTIONS
from tests.features.helpers import NUM_ITEMS, NUM_USERS, WIDTH, centred_vectors, make, make_vectors, randomise

# spectral goes with spectral alone
OWN_MODES, OWN_USERS = ([mode for mode in modes if mode != "spectral"] for modes in (MODES, USER_MODES))

VARIANTS = [
    *({"mode": mode, "users": users} for mode, users in product(OWN_MODES, OWN_USERS)),
    *(
        {"mode": mode, "users": users, "hidden": 16}
        for mode, users in product(OWN_MODES, OWN_USERS)
        if mode in ("text", "id_text") or users in USER_PROJECTIONS
    ),
    *({"mode": "id_text", "users": users, "combine": how} for users, how in product(OWN_USERS, COMBINATIONS)),
    *({"mode": "text_init", "users": users, "start": start} for users, start in product(OWN_USERS, STARTS)),
    *({"mode": mode, "users": "id_profile", "experts": 3} for mode in OWN_MODES),
    {"mode": "spectral", "users": "spectral"},
    {"mode": "id_text", "users": "id_profile", "shared": True},
    {"mode": "text", "users": "profile", "shared": True, "hidden": 16},
    {"mode": "text", "users": "profile", "shared": True, "experts": 2},
]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_every_mode_gives_a_node_matrix_that_learns(train: Interactions, options: dict) -> None:
    features = make(train, **options)
    x = features()
    assert x.shape == (NUM_USERS + NUM_ITEMS, 8)
    assert torch.isfinite(x).all()
    (x * torch.randn(x.shape)).sum().backward()
    parameters = dict(features.named_parameters())
    assert parameters
    assert all(p.grad is not None and p.grad.any() for p in parameters.values())
    users, items = x.detach()[:27], x.detach()[NUM_USERS : NUM_USERS + 22]
    assert 0.05 < float(items.std()) < 0.25  # every mode starts at about the spread of an id table
    assert 0.01 if options["users"] == "profile_init" else 0.05 < float(users.std()) < 0.25


def test_what_each_mode_is_made_of(train: Interactions) -> None:
    kinds = {"id": IdTable, "text": BlockPart, "text_init": TextTable, "id_text": Combined}
    for mode, kind in kinds.items():
        assert type(make(train, mode=mode).items) is kind
    assert type(make(train, mode="text_init", start="full").items) is FullTextTable
    assert type(make(train, mode="text", users="profile_init").users) is StartedTable
    for mode in ("text", "profile"):
        assert type(make(train, mode="text", users=mode).users) is BlockPart
    for mode in ("id_text", "id_profile"):
        assert type(make(train, mode="text", users=mode).users) is Combined


def test_text_is_frozen_centred_on_what_is_seen_and_of_unit_mean_square_length(train: Interactions) -> None:
    items = make(train, mode="text").items
    assert isinstance(items, BlockPart)
    assert items.vectors is not None
    assert "vectors" not in dict(items.named_parameters())
    assert "vectors" not in items.state_dict()  # rebuilt from the run's text, not kept in every checkpoint
    torch.testing.assert_close(items.vectors[:22].mean(0), torch.zeros(WIDTH), atol=1e-5, rtol=0)
    assert float(items.vectors[:22].square().sum(1).mean()) == pytest.approx(1, abs=1e-5)
    raw = torch.from_numpy(make_vectors(NUM_ITEMS))
    centred = raw - raw[:22].mean(0)
    torch.testing.assert_close(  # one factor for all: directions and relative lengths are kept
        F.normalize(items.vectors.flatten(), dim=0), F.normalize(centred.flatten(), dim=0)
    )


def test_profiles_are_means_over_train_items(train: Interactions) -> None:
    users = make(train, mode="text", users="profile").users
    assert isinstance(users, BlockPart)
    assert users.vectors is not None
    raw = torch.from_numpy(make_vectors(NUM_ITEMS))
    centred = raw - raw[:22].mean(0)
    rows = []
    for user in range(NUM_USERS):
        own = centred[torch.from_numpy(train.item[train.user == user].astype(np.int64))]
        rows.append(own.mean(0) if len(own) else torch.zeros(WIDTH))
    expected = torch.stack(rows)
    has = expected.any(dim=1)  # users without a train item have no say in the scale
    assert not bool(has.all())
    expected = expected / expected[has].square().sum(1).mean().sqrt()
    torch.testing.assert_close(users.vectors, expected, rtol=1e-4, atol=1e-5)
    assert float(users()[has].detach().std()) == pytest.approx(0.1, rel=1e-4)
    assert not users.vectors[27:].any()


def test_text_init_starts_at_the_principal_components(train: Interactions) -> None:
    table = make(train, mode="text_init").items().detach()[:22]
    raw = torch.from_numpy(make_vectors(NUM_ITEMS)).double()[:22]
    centred = raw - raw.mean(0)
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    scores = left[:, :8] * values[:8]
    scores = scores * (0.1 / scores.std())
    torch.testing.assert_close(table.abs().double(), scores.abs(), rtol=1e-3, atol=1e-4)
    assert float(table.std()) == pytest.approx(0.1, rel=1e-3)


def test_unseen_rows_of_an_id_plus_text_sum_are_text_alone(train: Interactions) -> None:
    items = make(train, mode="id_text").items
    assert isinstance(items, Combined)
    assert items.ids is not None
    assert not items.ids.weight[22:].any()
    assert items.ids.weight[:22].any(dim=1).all()
    [text] = items.blocks
    torch.testing.assert_close(items()[22:], text()[22:])
    torch.testing.assert_close(items(), items.ids() + text())


def test_id_dropout_removes_whole_id_rows_in_training_only(train: Interactions) -> None:
    items = make(train, mode="id_text", id_dropout=0.5).items
    assert isinstance(items, Combined)
    assert items.ids is not None
    [text] = items.blocks
    whole = items.ids() + text()
    dropped = torch.stack([(items() == text())[:22].all(dim=1) for _ in range(50)])
    kept = torch.stack([(items() == whole)[:22].all(dim=1) for _ in range(1)])
    assert float(dropped.float().mean()) == pytest.approx(0.5, abs=0.08)
    assert kept.any()
    assert bool((dropped.any(0) & ~dropped.all(0)).all())
    items.eval()
    assert torch.equal(items(), whole)


@pytest.mark.parametrize(
    "options", [{"mode": "text"}, {"mode": "id_text"}, {"mode": "text_init", "start": "full"}], ids=str
)
def test_what_unseen_items_are_has_no_say_in_what_seen_ones_start_from(
    train: Interactions, options: dict
) -> None:
    vectors = make_vectors(NUM_ITEMS)
    config = InitConfig(dim=8, **options)
    torch.manual_seed(0)
    one = make_features(config, train, vectors).items()
    vectors[22:] *= 100
    torch.manual_seed(0)
    two = make_features(config, train, vectors).items()
    assert torch.equal(one[:22], two[:22])


def test_variance_start_takes_the_columns_of_largest_variance_among_seen_items(train: Interactions) -> None:
    vectors = make_vectors(NUM_ITEMS)[:, ::-1].copy()  # variance rises from left to right
    vectors[22:, 0] += np.array([1e3, -1e3, 2e3])  # what unseen items do has no say
    config = InitConfig(mode="text_init", start="variance", dim=8)
    table = make_features(config, train, vectors).items().detach()
    variance = vectors[:22].astype(np.float64).var(axis=0)
    columns = sorted(np.argsort(-variance)[:8])
    assert 0 not in columns
    expected = vectors[:, columns] - vectors[:22, columns].mean(0)
    expected = expected * (0.1 / expected[:22].std(ddof=1))
    torch.testing.assert_close(table, torch.from_numpy(expected), rtol=1e-3, atol=1e-4)


def test_a_full_start_is_the_text_itself_trained(train: Interactions) -> None:
    items = make(train, mode="text_init", start="full", dim=20).items  # dim may be above the width
    assert isinstance(items, FullTextTable)
    torch.testing.assert_close(items.weight.detach(), centred_vectors(), rtol=1e-4, atol=1e-5)
    expected = items.weight @ items.output.weight.T + items.output.bias
    torch.testing.assert_close(items(), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "text_init"},
        {"mode": "id_text"},
        {"mode": "id"},
        {"mode": "id_text", "id_dropout": 0.5},
        {"mode": "text", "experts": 4},
    ],
    ids=str,
)
def test_users_that_start_at_the_mean_of_their_items(train: Interactions, options: dict) -> None:
    features = make(train, users="profile_init", **options)
    users = features.users()
    assert features.items.training
    items = features.items.eval()().detach()  # without dropped ids and the noise of gates
    for user in range(NUM_USERS):
        own = items[torch.from_numpy(train.item[train.user == user].astype(np.int64))]
        expected = own.mean(0) if len(own) else torch.zeros(8)
        torch.testing.assert_close(users[user].detach(), expected)


def test_a_shared_projection_is_one_and_the_same(train: Interactions) -> None:
    features = make(train, mode="text", users="profile", hidden=16, shared=True)
    users, items = features.users, features.items
    assert isinstance(users, BlockPart)
    assert isinstance(items, BlockPart)
    assert users.projection is items.projection
    assert users.vectors is not None
    randomise(items)
    torch.testing.assert_close(features()[:NUM_USERS], items.projection(users.vectors))
    separate = make(train, mode="text", users="profile", hidden=16)
    assert sum(p.numel() for p in separate.parameters()) == 2 * sum(p.numel() for p in features.parameters())


def test_one_seed_one_start(train: Interactions) -> None:
    one, two = make(train, mode="id_text"), make(train, mode="id_text")
    assert torch.equal(one(), two())


def test_a_spectral_start_scores_as_the_truncated_svd(train: Interactions) -> None:
    config = InitConfig(mode="spectral", users="spectral", dim=4)
    x = make_features(config, train)()
    counts = [np.maximum(c, 1) ** -0.5 for c in (train.user_counts(), train.item_counts())]
    dense = counts[0][:, None] * train.csr().toarray() * counts[1]
    left, value, right = np.linalg.svd(dense)
    best = (left[:, :4] * value[:4]) @ right[:4]
    scores = (x[:NUM_USERS] @ x[NUM_USERS:].T).detach().numpy()
    np.testing.assert_allclose(scores / np.abs(scores).max(), best / np.abs(best).max(), atol=1e-4)
    assert float(x.detach().std()) == pytest.approx(config.std, rel=1e-4)
    assert x[27:NUM_USERS].abs().max().item() < 1e-5
