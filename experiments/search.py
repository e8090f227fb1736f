"""Random search on validation: the settings of a model, drawn alike and tried once, whoever asks for them."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep

from experiments.compose import compose_config
from gnnrec.baselines.fusion import kept_fits
from gnnrec.config import RunConfig
from gnnrec.errors import ConfigError, DataError, suggest
from gnnrec.files import whole_file
from gnnrec.run import validate
from gnnrec.tracking import plain


@dataclass(frozen=True)
class Trial:
    """One setting that was tried: its overrides and its validation metric."""

    overrides: tuple[str, ...]
    value: float


class Search:
    """A search over the sweeps among `overrides`; trials are kept in tune/*.jsonl below tracking.root.

    Every setting is fitted on train and judged on validation; test is never scored.

    Args:
        overrides: of a run; `KEY=A,B,C`, `KEY=interval(LOW,HIGH)` and `KEY=tag(log,interval(LOW,HIGH))` are sweeps.
        num: settings to try; all of them where there are no more.
        metric: of validation, for example tail/ndcg@20.
        seed: of the draw of settings.
    Errors: ConfigError for a mistake in any of the settings, DataError for a record that cannot be read.
    """

    def __init__(self, overrides: Sequence[str], num: int, metric: str = "ndcg@20", seed: int = 0) -> None:
        self.metric = f"validation/{metric}"
        self.trials = draw_trials(overrides, num, seed)
        self.configs = [RunConfig.from_dict(compose_config(trial)) for trial in self.trials]
        self.path = _record_path(self.configs[0], overrides)
        self.done = read_record(self.path)

    @property
    def missing(self) -> int:
        """How many settings were not tried yet."""
        return sum(json.dumps(trial) not in self.done for trial in self.trials)

    def run(self) -> None:
        """Try what is missing, and tell every setting with its metric."""
        with kept_fits():
            for number, (trial, config) in enumerate(zip(self.trials, self.configs), start=1):
                key, start = json.dumps(trial), time.perf_counter()
                if key not in self.done:
                    self.done[key] = plain(validate(config))
                    row = {"trial": trial, "metrics": self.done[key], "seconds": time.perf_counter() - start}
                    _append(self.path, row)
                told = (
                    f"[{number}/{len(self.trials)}] {self.metric} {_value(self.done[key], self.metric):.4f}"
                )
                print(f"{told} ({time.perf_counter() - start:.0f} s) {self.settings(trial)}", flush=True)

    def settings(self, trial: Sequence[str]) -> str:
        """Return the overrides of a trial that differ among the trials; all of them where there is one trial."""
        if len(self.trials) == 1:
            return " ".join(trial)
        return " ".join(word for word, tried in zip(trial, zip(*self.trials)) if len(set(tried)) > 1)

    def ranked(self) -> list[Trial]:
        """Return all trials, which were made, from best to worst; the first drawn comes first among equals."""
        results = [
            Trial(tuple(trial), _value(self.done[json.dumps(trial)], self.metric)) for trial in self.trials
        ]
        return sorted(results, key=lambda result: -result.value)


def draw_trials(overrides: Sequence[str], num: int, seed: int) -> list[list[str]]:
    """Return up to `num` different lists of overrides, each with one value of every sweep; all if there are fewer.

    Intervals are drawn uniformly, in the logarithm where tagged `log`.
    """
    parser = OverridesParser.create()
    sweeps: list[tuple[str, list[str] | IntervalSweep | None]] = []
    for text in overrides:
        compose_check = parser.parse_override(text)
        value = compose_check.value()
        if isinstance(value, IntervalSweep):
            sweeps.append((text, value))
        elif compose_check.is_discrete_sweep():
            sweeps.append((text, list(compose_check.sweep_string_iterator())))
        else:
            sweeps.append((text, None))
    choices = [values if isinstance(values, list) else [""] for _, values in sweeps]
    if not any(isinstance(values, IntervalSweep) for _, values in sweeps):
        grid = [_fill(sweeps, chosen) for chosen in itertools.product(*choices)]
        return grid if len(grid) <= num else random.Random(seed).sample(grid, num)
    generator = random.Random(seed)
    return [_fill(sweeps, [_draw(values, generator) for _, values in sweeps]) for _ in range(num)]


def read_record(path: Path) -> dict[str, dict[str, Any]]:
    """Return trial -> metrics of an earlier call; a DataError names a line that cannot be read."""
    done: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.exists() else []):
        try:
            row = json.loads(line)
            done[json.dumps(row["trial"])] = row["metrics"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"line {number + 1} of '{path}' is broken ({error}); delete the file") from error
    return done


def _draw(values: list[str] | IntervalSweep | None, generator: random.Random) -> str:
    if isinstance(values, IntervalSweep):
        low, high = float(values.start or 0), float(values.end or 1)
        if "log" in values.tags:
            return f"{math.exp(generator.uniform(math.log(low), math.log(high))):.6g}"
        return f"{generator.uniform(low, high):.6g}"
    return generator.choice(values) if values else ""


def _fill(sweeps: Sequence[tuple[str, object]], chosen: Sequence[str]) -> list[str]:
    return [
        text if values is None else f"{text.split('=', 1)[0]}={value}"
        for (text, values), value in zip(sweeps, chosen)
    ]


def _record_path(config: RunConfig, overrides: Sequence[str]) -> Path:
    kept = sorted(word for word in overrides if not word.startswith(("tracking", "device")))
    name = f"{config.model.name}-{hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:12]}"
    return Path(config.tracking.root).expanduser() / "tune" / f"{name}.jsonl"


def _append(path: Path, row: Mapping[str, Any]) -> None:
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    with whole_file(path) as temporary:
        temporary.write_text(f"{kept}{json.dumps(row)}\n", encoding="utf-8")


def _value(metrics: Mapping[str, Any], metric: str) -> float:
    value = metrics.get(metric)
    if value is None:
        raise ConfigError(f"unknown metric '{metric}' in '--metric'{suggest(metric, metrics)}")
    return float(value)
