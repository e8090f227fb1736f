"""Objects are built from the mappings that name their class; what cannot be built is told in one line."""

from __future__ import annotations

from typing import Any, Optional, Union

import pytest

from gnnrec.encoders import LightGCN
from gnnrec.errors import ConfigError
from gnnrec.objectives import Contrast
from gnnrec.typed import build
from gnnrec.views import EdgeDropout, FeatureMasking

ENCODER = {"_target_": "gnnrec.encoders.LightGCN", "num_layers": 2}
CONTRAST = {
    "_target_": "gnnrec.objectives.Contrast",
    "first": [
        {"_target_": "gnnrec.views.EdgeDropout", "p": 0.2},
        {"_target_": "gnnrec.views.FeatureMasking"},
    ],
}


def test_build_makes_nested_objects_and_fills_in_what_is_given() -> None:
    encoder = build(ENCODER, "model.encoder", dim=8, width=3)
    assert isinstance(encoder, LightGCN)
    assert (encoder.out_dim, encoder.num_layers) == (8, 2)
    own = build({**ENCODER, "dim": 4}, "model.encoder", dim=8)
    assert own.out_dim == 4
    term = build(CONTRAST, "term")
    assert isinstance(term, Contrast)
    assert list(term.first) == [EdgeDropout(0.2), FeatureMasking()]


def returns(value: int, *, other: int = 2) -> int:
    return value + other


def unhinted(value: OnlyOfATypeChecker) -> Any:  # noqa: F821 # pyright: ignore[reportUndefinedVariable]
    return value


def mixed(pair: tuple[str, int]) -> Any:
    return pair


def optional(value: Optional[int] = None, other: Union[float, str] = 1.0) -> Any:  # noqa: UP007, UP045
    return value, other


def fails() -> None:
    raise AttributeError("no such thing")


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, "'here' must be a mapping with the key '_target_'"),
        ([], "'here' must be a mapping"),
        (
            {"_target_": "gnnrec.encoders.LightGCN"},
            "'here' lacks the key 'dim' of 'gnnrec.encoders.LightGCN'",
        ),
        ({"_target_": "gnnrec.views.EdgeDropout", "p": 2}, "'p' must be in"),
        ({"_target_": "gnnrec.views.EdgeDropout", "q": 1}, r"unknown key 'here.q'.*known: p"),
        (
            {
                "_target_": "gnnrec.objectives.Contrast",
                "first": [{"_target_": "gnnrec.views.EdgeDropout", "q": 1}],
            },
            r"unknown key 'here.first\[0\].q'",
        ),
        ({"_target_": "gnnrec.views.nothing"}, "no 'nothing' in 'gnnrec.views'"),
        ({"_target_": "gnnrec.views.__doc__"}, "no '__doc__'"),
        ({"_target_": ""}, r"must be package\.module\.Class"),
        ({"_target_": "gnnrec..views"}, "whose module cannot be imported"),
        ({"_target_": "os.system", "command": "exit"}, "'here._target_' names 'os.system' of Python itself"),
        (
            {"_target_": "importlib.util.find_spec", "name": "os"},
            "name a class of gnnrec or of your own code",
        ),
    ],
)
def test_what_cannot_be_built_is_told(spec: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        build(spec, "here")


def test_any_callable_on_the_path_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import gnnrec.views as views

    monkeypatch.setattr(views, "returns", returns, raising=False)
    monkeypatch.setattr(views, "fails", fails, raising=False)
    monkeypatch.setattr(views, "unhinted", unhinted, raising=False)
    monkeypatch.setattr(views, "mixed", mixed, raising=False)
    assert build({"_target_": "gnnrec.views.mixed", "pair": ["a", 1]}, "here") == ["a", 1]
    assert build({"_target_": "gnnrec.views.returns", "value": 1}, "here") == 3
    assert build({"_target_": "gnnrec.views.unhinted", "value": 1.5}, "here") == 1.5
    assert build({"_target_": "gnnrec.views.returns", "value": 1}, "here", other=5, unknown=1) == 6
    with pytest.raises(ConfigError, match=r"'here' cannot be built from .*: no such thing"):
        build({"_target_": "gnnrec.views.fails"}, "here")


def test_an_optional_type_is_checked_in_either_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    import gnnrec.views as views

    monkeypatch.setattr(views, "optional", optional, raising=False)
    spec = {"_target_": "gnnrec.views.optional"}
    assert build({**spec, "value": None, "other": 2}, "here") == (None, 2.0)
    assert build({**spec, "value": 3, "other": "a"}, "here") == (3, "a")
    with pytest.raises(ConfigError, match=r"'here.value' must be of type int \(got 'hello'\)"):
        build({**spec, "value": "hello"}, "here")
    with pytest.raises(ConfigError, match=r"'here.other' must be of type float or str \(got True\)"):
        build({**spec, "other": True}, "here")
