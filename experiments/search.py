"""Random search on validation: the settings of a model, drawn alike and tried once, whoever asks for them."""

from __future__ import annotations

import itertools
import json
import math
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, Sweep

from experiments.compose import compose_config, parse, sweep_values
from experiments.possible import possible_metrics
from gnnrec.baselines.fusion import kept_fits
from gnnrec.config import RunConfig
from gnnrec.errors import ConfigError, DataError, GnnrecError, check_choice, check_range, suggest
from gnnrec.files import write_text
from gnnrec.manifest import source_hash, tell_other_code
from gnnrec.run import open_run, validate
from gnnrec.tracking import plain
from gnnrec.training.checkpoint import read_position
from gnnrec.typed import TARGET, takes_whole_number

MOST_DRAWS = 100  # for each setting asked for


@dataclass(frozen=True)
class Trial:
    """One setting that was tried: its overrides and its validation metric."""

    overrides: tuple[str, ...]
    value: float


@dataclass(frozen=True)
class Interval:
    """Numbers from low to high, uniform or uniform in the logarithm."""

    low: float
    high: float
    log: bool
    whole: bool

    def has(self, text: str) -> bool:
        """Return whether text is a number that may be drawn, rounded as drawn numbers are."""
        try:
            return float(f"{self.low:.6g}") <= float(text) <= float(f"{self.high:.6g}")
        except ValueError:
            return False

    def draw(self, generator: random.Random) -> str:
        """Return one of them as text."""
        low, high = self.low, self.high
        if self.whole:  # one more at the end, so that rounding down gives every number its share
            low, high = math.ceil(low), math.floor(high) + 1
        if self.log:
            value = math.exp(generator.uniform(math.log(low), math.log(high)))
        else:
            value = generator.uniform(low, high)
        return str(min(math.floor(value), high - 1)) if self.whole else f"{value:.6g}"


Values = list[str] | Interval | None


class Search:
    """A search over the sweeps among `overrides`; every trial is kept in a file of tune/ below tracking.root.

    Every setting is fitted on train and judged on validation; test is never scored. A trial's file is named by the key
    of its run, so other data, defaults or vectors are tried anew; device and tracking are no part of it. A trial that
    was killed goes on from the checkpoint beside its file.

    Args:
        overrides: of a run; `KEY=A,B,C`, `KEY=interval(LOW,HIGH)` and `KEY=tag(log,interval(LOW,HIGH))` are sweeps.
        num: settings to try; all of them where there are no more.
        metric: of validation, for example tail/ndcg@20.
        seed: of the draw of settings.
    Errors: ConfigError for a mistake in any of the settings and for a metric that one of them does not measure,
        DataError for a record that cannot be read.
    """

    def __init__(self, overrides: Sequence[str], num: int, metric: str = "ndcg@20", seed: int = 0) -> None:
        self.metric = f"validation/{metric}"
        self.trials = draw_trials(overrides, num, seed)
        self.configs = [RunConfig.from_dict(compose_config(trial)) for trial in self.trials]
        self.folder = Path(self.configs[0].tracking.root).expanduser() / "tune"
        for config in self.configs:
            possible = possible_metrics(config.eval, "validation")
            if self.metric not in possible:
                raise ConfigError(
                    f"unknown metric '{self.metric}' to choose settings by{suggest(self.metric, possible)}; "
                    "'eval.metrics' and 'eval.ks' say which there are"
                )

    @cached_property
    def records(self) -> list[Path]:
        """The file of each trial; found when first asked for, as it takes the data."""
        return [self.folder / f"{open_run(config).key}.json" for config in self.configs]

    @property
    def missing(self) -> int:
        """How many settings were not tried yet."""
        return sum(not record.exists() for record in set(self.records))

    def run(self) -> None:
        """Try what is missing, and tell every setting with its metric."""
        if self.missing:
            _check_writable(self.folder)
        with kept_fits():
            for number, (trial, config, record) in enumerate(
                zip(self.trials, self.configs, self.records), start=1
            ):
                start = time.perf_counter()
                checkpoint = record.with_suffix(".safetensors")
                if not record.exists():
                    begun = read_position(checkpoint).get("code", []) if checkpoint.exists() else []
                    metrics = plain(validate(config, checkpoint))
                    seconds = time.perf_counter() - start
                    codes = [code["sources"] for code in begun] + [source_hash(config.to_dict())]
                    # of two codes, whichever reads it is told of the other
                    sources = "+".join(dict.fromkeys(codes))
                    row = {"trial": trial, "metrics": metrics, "seconds": seconds, "sources": sources}
                    write_text(record, json.dumps(row))
                checkpoint.unlink(missing_ok=True)
                value = _value(read_record(record)[0], self.metric)
                told = f"[{number}/{len(self.trials)}] {self.metric} {value:.4f}"
                print(f"{told} ({time.perf_counter() - start:.0f} s) {self.settings(trial)}", flush=True)

    def settings(self, trial: Sequence[str]) -> str:
        """Return the overrides of a trial that differ among the trials; all of them where there is one trial."""
        if len(self.trials) == 1:
            return " ".join(trial)
        return " ".join(word for word, tried in zip(trial, zip(*self.trials)) if len(set(tried)) > 1)

    def ranked(self) -> list[Trial]:
        """Return all trials, which were made, from best to worst; the first drawn comes first among equals."""
        results = []
        for trial, config, record in zip(self.trials, self.configs, self.records):
            metrics, sources = read_record(record)
            tell_other_code(sources, config.to_dict(), record)
            results.append(Trial(tuple(trial), _value(metrics, self.metric)))
        return sorted(results, key=lambda result: -result.value)


def draw_trials(overrides: Sequence[str], num: int, seed: int) -> list[list[str]]:
    """Return up to `num` different lists of overrides, each with one value of every sweep; all if there are fewer.

    Intervals are drawn uniformly, in the logarithm where tagged `log`, and in whole numbers for a key that is one and
    for `int(interval(LOW,HIGH))`. A ConfigError names a word that sets the key of a sweep before it.
    """
    sweeps = [(text, _sweep(text, override)) for text, override in zip(overrides, parse(overrides))]
    for place, (text, values) in enumerate(sweeps, start=1):
        if values is not None:
            check_kept([text], overrides[place:])
    generator = random.Random(seed)
    if not any(isinstance(values, Interval) for _, values in sweeps):
        choices = [values if isinstance(values, list) else [""] for _, values in sweeps]
        grid = [_fill(sweeps, chosen) for chosen in itertools.product(*choices)]
        return grid if len(grid) <= num else generator.sample(grid, num)
    sweeps = _whole_where_needed(sweeps)
    drawn: dict[tuple[str, ...], None] = {}
    for _ in range(MOST_DRAWS * num):  # whole numbers repeat, and there may be fewer settings than asked for
        drawn[tuple(_fill(sweeps, [_draw(values, generator) for _, values in sweeps]))] = None
        if len(drawn) == num:
            break
    return [list(trial) for trial in drawn]


def check_kept(words: Sequence[str], later: Sequence[str]) -> None:
    """Raise a ConfigError where a word of `later` sets a key of `words`: it would be run, and another setting told."""
    kept = [(text, key) for text in words for key in _keys(text)]
    for word in later:
        for again in _keys(word):
            for text, key in kept:
                # a word without a dot chooses a group's option, and keys are set after that
                if key == again or ("." in again and key.startswith(f"{again}.")):
                    raise ConfigError(
                        f"'{word}' sets '{key}' again, and the values of '{text}' would never be run: "
                        "leave one of them out"
                    )


def lists(text: str, word: str) -> bool:
    """Return whether a word is an override with one of the values of `text`, or `text` itself if it is no sweep."""
    values = _sweep(text, parse([text])[0])
    if values is None:
        return word == text
    key, _, value = word.partition("=")
    listed = values.has(value) if isinstance(values, Interval) else value in values
    return listed and key == text.split("=", 1)[0]


def _check_writable(folder: Path) -> None:
    """Raise a GnnrecError where no file can be written to a folder: to be told before the first fit, not after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror or error
        raise GnnrecError(f"cannot write '{folder}': {reason}; tracking.root=FOLDER sets another") from error


def read_record(path: Path) -> tuple[dict[str, Any], str | None]:
    """Return the metrics of a trial and the hash of its code; a DataError names a file that cannot be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        metrics = dict(record["metrics"])
        if not metrics or not all(isinstance(value, int | float | None) for value in metrics.values()):
            raise ValueError("its metrics are no numbers")
        return metrics, record.get("sources")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{path}' is no record of a trial ({error}); delete the file") from error


def _keys(word: str) -> Iterator[str]:
    """Yield the keys that a word sets: one, or those in its braces."""

    def below(key: str, value: Any) -> Iterator[str]:
        if isinstance(value, dict) and value and TARGET not in value:
            for name, inner in value.items():
                yield from below(f"{key}.{name}", inner)
        else:
            yield key

    override = parse([word])[0]
    yield from below(override.key_or_group, override.value())


def _sweep(text: str, override: Override) -> Values:
    value = override.value()
    tags = value.tags if isinstance(value, Sweep) else ()
    for tag in tags:
        check_choice("tag", tag, ["log"] if isinstance(value, IntervalSweep) else [], text)
    if isinstance(value, IntervalSweep):
        low, high = value.start or 0.0, value.end or 0.0
        least = 0 if tags else -math.inf
        check_range("low end", low, text, low=least, high=high, low_open=True, high_open=True)
        check_range("high end", high, text, high=math.inf, high_open=True)
        return Interval(low, high, bool(tags), isinstance(value.start, int))
    return sweep_values(text, override) if override.is_sweep_override() else None


def _whole_where_needed(sweeps: Sequence[tuple[str, Values]]) -> list[tuple[str, Values]]:
    """Return the sweeps with whole numbers in the intervals of keys that are whole numbers."""
    first = [f"{v.low:g}" if isinstance(v, Interval) else v[0] if v else "" for _, v in sweeps]
    config = compose_config(_fill(sweeps, first))
    found: list[tuple[str, Values]] = []
    for text, values in sweeps:
        if isinstance(values, Interval):
            whole = values.whole or takes_whole_number(RunConfig, config, text.split("=", 1)[0].lstrip("+"))
            values = replace(values, whole=whole)
            if whole and math.ceil(values.low) > math.floor(values.high):
                raise ConfigError(f"'{text}' has no whole number in it, and the key must be one")
        found.append((text, values))
    return found


def _draw(values: Values, generator: random.Random) -> str:
    if isinstance(values, Interval):
        return values.draw(generator)
    return generator.choice(values) if values else ""


def _fill(sweeps: Sequence[tuple[str, object]], chosen: Sequence[str]) -> list[str]:
    return [
        text if values is None else f"{text.split('=', 1)[0]}={value}"
        for (text, values), value in zip(sweeps, chosen)
    ]


def _value(metrics: Mapping[str, Any], metric: str) -> float:
    if metric not in metrics:
        raise ConfigError(f"unknown metric '{metric}' in '--metric'{suggest(metric, metrics)}")
    if metrics[metric] is None:
        raise DataError(
            f"'{metric}' in '--metric' has no value: no user has a relevant item there; choose another"
        )
    return float(metrics[metric])
