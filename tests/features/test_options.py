"""Which options go together, and what is told where they do not."""

from __future__ import annotations

import pytest

from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError
from gnnrec.features import InitConfig, make_features
from tests.features.helpers import NUM_ITEMS, NUM_USERS, make, make_vectors


@pytest.mark.parametrize(
    ("options", "needs"),
    [
        ({}, (False, False)),
        ({"mode": "text"}, (True, False)),
        ({"mode": "text_init"}, (True, False)),
        ({"users": "id_profile"}, (True, False)),
        ({"users": "text"}, (False, True)),
        ({"neighbours": 5}, (True, False)),
        ({"users": "profile_init"}, (False, False)),
        ({"mode": "id_text", "users": "id_text"}, (True, True)),
    ],
    ids=str,
)
def test_which_texts_are_needed(options: dict, needs: tuple[bool, bool]) -> None:
    config = InitConfig(**options)
    assert (config.needs_item_text, config.needs_user_text) == needs


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mode": "txt"}, "did you mean 'text'"),
        ({"users": "profil"}, "did you mean 'profile'"),
        ({"dim": 0}, "'dim' must be in"),
        ({"hidden": -1}, "'hidden' must be in"),
        ({"std": 0}, "'std' must be in"),
        ({"id_dropout": 1}, "'id_dropout' must be in"),
        ({"neighbours": -1}, "'neighbours' must be in"),
        ({"own_weight": -1}, "'own_weight' must be in"),
        ({"experts": -1}, "'experts' must be in"),
        ({"experts": 2, "hidden": 4}, r"'hidden' must be 0 with 'experts'.*\(got 4\)"),
        ({"combine": "add"}, "unknown combine 'add'"),
        ({"start": "pcs"}, "did you mean 'pca'"),
        ({"combine": "gate"}, "'combine' has no say in 'init' without a projection of text"),
        (
            {"combine": "concat", "mode": "text_init"},
            r"no say .* \(got concat with mode=text_init, users=id\)",
        ),
        ({"combine": "residual"}, "'combine'=residual needs an id beside the text"),
        ({"combine": "residual", "mode": "text", "users": "profile"}, "needs an id beside the text"),
        ({"shared": True}, "'shared' needs mode=text or id_text with users=profile"),
        ({"shared": True, "mode": "text", "users": "text"}, r"got mode=text, users=text"),
        ({"hidden": 8}, r"'hidden' has no say in 'init' without a projection of text .*\(got 8 with mode=id"),
        ({"experts": 2, "mode": "text_init"}, "'experts' has no say .* without a projection of text"),
        ({"id_dropout": 0.5, "mode": "text"}, "'id_dropout' has no say .* without an id beside the text"),
        (
            {"start": "full", "mode": "text"},
            "'start' has no say .* without mode=text_init .*: leave it at pca",
        ),
        ({"own_weight": 0.0, "mode": "text"}, "'own_weight' has no say .* without neighbours"),
    ],
)
def test_a_wrong_option_is_told(options: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        InitConfig(**options)


def test_missing_or_misshapen_vectors_are_told(train: Interactions) -> None:
    with pytest.raises(ConfigError, match="needs item text vectors"):
        make_features(InitConfig(mode="text"), train)
    with pytest.raises(ConfigError, match="needs user text vectors"):
        make_features(InitConfig(users="text"), train)
    with pytest.raises(ConfigError, match=r"item text vectors must have 25 rows \(got 24\)"):
        make_features(InitConfig(mode="text"), train, make_vectors(24))


def test_text_init_needs_as_many_vectors_and_columns_as_dimensions(train: Interactions) -> None:
    with pytest.raises(ConfigError, match=r"12 and 22, for 'text_init' \(got 13\)"):
        make(train, mode="text_init", dim=13)
    few = train.select(train.item < 6)
    with pytest.raises(ConfigError, match=r"12 and 6, for 'text_init' \(got 8\)"):
        make(few, mode="text_init")
    assert make(few, mode="text_init", start="variance")().shape == (NUM_USERS + NUM_ITEMS, 8)


@pytest.mark.parametrize(("mode", "users"), [("spectral", "id"), ("id", "spectral")])
def test_spectral_goes_with_spectral_alone(mode: str, users: str) -> None:
    with pytest.raises(ConfigError, match="both"):
        InitConfig(mode=mode, users=users)
