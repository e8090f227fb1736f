"""What a baseline must have, and what is told of one that has not."""

from __future__ import annotations

import inspect
from typing import Any

from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError

_FACE = "fit(self, train, item_vectors=None, user_vectors=None)"


def check_fits(baseline: Any) -> None:
    """Raise a ConfigError for a class whose `fit` cannot be called as that of the others is."""
    name = type(baseline).__name__
    if not callable(getattr(baseline, "fit", None)):
        raise ConfigError(f"the baseline '{name}' must have {_FACE} (it has no 'fit')")
    try:
        inspect.signature(baseline.fit).bind(None, None, None)
    except TypeError as error:
        raise ConfigError(f"the baseline '{name}' must have {_FACE} ({error})") from error


def fitted(
    baseline: Any,
    train: Interactions,
    item_vectors: Any = None,
    user_vectors: Any = None,
) -> Any:
    """Return what `fit` returns, a scorer; anything else is a ConfigError."""
    scorer = baseline.fit(train, item_vectors, user_vectors)
    if not callable(getattr(scorer, "scores", None)):
        raise ConfigError(
            f"'fit' of the baseline '{type(baseline).__name__}' must return what has scores(user), itself as a rule: "
            f"end it with `return self` (got {type(scorer).__name__})"
        )
    return scorer
