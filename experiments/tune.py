"""A random search on validation, the same budget for every model: python experiments/tune.py model=lightgcn ..."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep

from experiments.cli import Arguments, format_table, parse_arguments, run_main
from experiments.compose import compose_config
from gnnrec.baselines.fusion import kept_fits
from gnnrec.config import RunConfig
from gnnrec.errors import ConfigError, DataError, suggest
from gnnrec.files import whole_file
from gnnrec.run import validate
from gnnrec.tracking import plain

SWITCHES = {name: "help" for name in ("-h", "--help")}
OPTIONS = {name: name.lstrip("-") for name in ("--trials", "--metric", "--seed")}
HELP = """\
usage: python experiments/tune.py [flags] [GROUP=OPTION ...] [KEY=VALUE ...] [KEY=A,B,C ...] [KEY=RANGE ...]

  KEY=A,B,C                            one of these values
  "KEY=interval(0.1,0.9)"              a number between
  "KEY=tag(log,interval(1e-4,1e-2))"   the same, uniform in its logarithm
  --trials 20                          settings to try; all of them where there are no more
  --metric ndcg@20                     validation metric, for example tail/ndcg@20 or cold_only/recall@20
  --seed 0                             of the draw of settings

Every setting is fitted on train and judged on validation; test is never scored. Trials are kept in
tune/*.jsonl below tracking.root, so that the same command goes on where it stopped.
"""


def main(argv: Sequence[str]) -> None:
    """Search, print the trials from best to worst and the command that runs the best; see --help."""
    arguments = parse_arguments(argv, SWITCHES, OPTIONS)
    if "help" in arguments.switches:
        print(HELP)
        return
    trials = draw_trials(arguments.overrides, _whole(arguments, "trials", 20), _whole(arguments, "seed", 0))
    metric = f"validation/{arguments.options.get('metric', 'ndcg@20')}"
    configs = [
        RunConfig.from_dict(compose_config(trial)) for trial in trials
    ]  # all mistakes before the first
    path = _record_path(configs[0], arguments.overrides)
    done = read_record(path)
    results: list[tuple[float, list[str]]] = []
    with kept_fits():
        for number, (trial, config) in enumerate(zip(trials, configs), start=1):
            key = json.dumps(trial)
            start = time.perf_counter()
            if key not in done:
                done[key] = plain(validate(config))
                _append(path, {"trial": trial, "metrics": done[key], "seconds": time.perf_counter() - start})
            value = _value(done[key], metric)
            results.append((value, trial))
            took = f"{time.perf_counter() - start:.0f} s"
            print(f"[{number}/{len(trials)}] {metric} {value:.4f} ({took}) {' '.join(trial)}", flush=True)
    results.sort(key=lambda result: -result[0])
    print(format_table(["settings", metric], [[" ".join(trial), value] for value, trial in results[:10]]))
    print(f"{path}\nbest: python experiments/run.py {' '.join(results[0][1])}")


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


def _whole(arguments: Arguments, name: str, default: int) -> int:
    text = arguments.options.get(name, str(default))
    if not text.isdecimal() or (name == "trials" and int(text) < 1):
        raise ConfigError(
            f"'--{name}' must be a whole number{' of at least 1' if name == 'trials' else ''} (got '{text}')"
        )
    return int(text)


if __name__ == "__main__":
    sys.exit(run_main(main))
