"""The errors a user can cause, and the words they are told in."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST_NAMES = 12  # that an error lists


class GnnrecError(ValueError):
    """Something the user can mend: entry points print it as one line and exit with status 2."""


class ConfigError(GnnrecError):
    """A configuration key or value that cannot be used."""


class DataError(GnnrecError):
    """A data file or folder that cannot be used."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the tail of an 'unknown name' error: the nearest known name, and the known names, the nearest of many.

    Of names with slashes (metrics), the nearest is one of the group that was written, or of one spelt almost alike.

    >>> suggest("lightgnc", ["mf", "lightgcn"])
    ", did you mean 'lightgcn'? (known: lightgcn, mf)"
    """
    names = sorted(known)
    able = names
    if "/" in name:
        groups = difflib.get_close_matches(_group(name), {_group(other) for other in names}, n=1, cutoff=0.8)
        able = [other for other in names if _group(other) in groups]
    near = difflib.get_close_matches(name, able, n=1, cutoff=0.5)
    hint = f", did you mean '{near[0]}'?" if near else ";"
    shown = sorted(difflib.get_close_matches(name, names, n=_MOST_NAMES, cutoff=0.0))
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"{hint} (known: {', '.join(shown)}{more})"


def _group(name: str) -> str:
    return name.rpartition("/")[0]


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
