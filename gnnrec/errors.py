"""The errors a user can cause, and the words they are told in."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GnnrecError(ValueError):
    """Something the user can mend: entry points print it as one line and exit with status 2."""


class ConfigError(GnnrecError):
    """A configuration key or value that cannot be used."""


class DataError(GnnrecError):
    """A data file or folder that cannot be used."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the tail of an 'unknown name' error: the nearest known name, and the known names.

    >>> suggest("lightgnc", ["mf", "lightgcn"])
    ", did you mean 'lightgcn'? (known: lightgcn, mf)"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f", did you mean '{near[0]}'?" if near else ";"
    return f"{hint} (known: {', '.join(names)})"


def check_range(
    name: str,
    value: float,
    where: str,
    *,
    low: float | None = None,
    high: float | None = None,
    low_open: bool = False,
    high_open: bool = False,
) -> None:
    """Raise a ConfigError unless `value` is a number inside the interval; None leaves an end open."""
    left = "(" if low_open or low is None else "["
    right = ")" if high_open or high is None else "]"
    number = isinstance(value, int | float) and not isinstance(value, bool) and value == value
    above = number and (low is None or value > low or (value == low and not low_open))
    below = number and (high is None or value < high or (value == high and not high_open))
    if not (above and below):
        interval = f"{left}{'-inf' if low is None else low}, {'inf' if high is None else high}{right}"
        raise ConfigError(f"'{name}' must be in {interval} in '{where}' (got {value!r})")


def check_choice(name: str, value: str, choices: Iterable[str], where: str) -> None:
    """Raise a ConfigError that names the nearest choice unless `value` is one of `choices`."""
    options = list(choices)
    if value not in options:
        raise ConfigError(f"unknown {name} '{value}' in '{where}'{suggest(str(value), options)}")
