"""Splits by name, for configurations and the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gnnrec.data.interactions import Interactions
from gnnrec.data.splits.base import Split
from gnnrec.data.splits.cold import cold_item_split, cold_user_split, few_shot_item_split
from gnnrec.data.splits.published import published_split
from gnnrec.data.splits.random import cross_validation_split, leave_k_out_split, random_split
from gnnrec.data.splits.temporal import leave_last_out_split, temporal_global_split, temporal_user_split
from gnnrec.errors import ConfigError, check_choice, check_range, suggest

if TYPE_CHECKING:
    from gnnrec.data.dataset import Dataset

SPLITS: dict[str, Callable[..., Split]] = {
    "random": random_split,
    "leave_k_out": leave_k_out_split,
    "leave_last_out": leave_last_out_split,
    "temporal_user": temporal_user_split,
    "temporal_global": temporal_global_split,
    "cold_item": cold_item_split,
    "cold_user": cold_user_split,
    "few_shot_item": few_shot_item_split,
    "cross_validation": cross_validation_split,
    "published": published_split,
}


def make_split(source: Dataset | Interactions, name: str, seed: int | None = None, /, **params: Any) -> Split:
    """Return the split called `name`, drawn with `seed` (0); `params` are the options of its function.

    An unknown name or option is a ConfigError that names the nearest known one. So that options may have any name, the
    others are given by position; `seed` may also be given by name, once.
    """
    check_choice("split", name, SPLITS, "make_split")
    drawn_with: int = params.pop("seed", 0) if seed is None else seed
    check_range("seed", drawn_with, name, low=0)
    if not isinstance(drawn_with, int):  # generators take no 1.0
        raise ConfigError(f"'seed' must be a whole number in '{name}' (got {drawn_with!r})")
    function = SPLITS[name]
    known = [key for key in inspect.signature(function).parameters if key not in ("source", "seed")]
    for key in params:
        if key not in known:
            raise ConfigError(f"unknown option '{key}' of the split '{name}'{suggest(key, known)}")
    return function(source, seed=drawn_with, **params)
