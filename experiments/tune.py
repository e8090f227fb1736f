"""A random search on validation, the same budget for every model: python experiments/tune.py model=lightgcn ..."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments.cli import Arguments, command_line, format_table, parse_arguments, run_main
from experiments.search import Search
from gnnrec.errors import ConfigError
from gnnrec.evaluation.direction import best_value

SWITCHES = {name: "help" for name in ("-h", "--help")}
OPTIONS = {name: name.lstrip("-") for name in ("--trials", "--metric", "--seed")}
HELP = """\
usage: python experiments/tune.py [flags] [GROUP=OPTION ...] [KEY=VALUE ...] [KEY=A,B,C ...] [KEY=RANGE ...]

  KEY=A,B,C                            one of these values
  "KEY=interval(0.1,0.9)"              a number between; a whole one where KEY takes whole numbers only
  "KEY=tag(log,interval(1e-4,1e-2))"   the same, uniform in its logarithm
  --trials 20                          settings to try; all of them where there are no more
  --metric ndcg@20                     validation metric of which the largest value is the best, for example
                                       tail/ndcg@20 or cold_only/recall@20
  --seed 0                             of the draw of settings

Every setting is fitted on train and judged on validation; test is never scored. Trials are kept in tune/ below
tracking.root by the keys of their runs: the same command goes on where it stopped, other data are tried anew.
"""


def main(argv: Sequence[str]) -> None:
    """Search, print the trials from best to worst and the command that runs the best; see --help."""
    arguments = parse_arguments(argv, SWITCHES, OPTIONS)
    if "help" in arguments.switches:
        print(HELP)
        return
    metric = arguments.options.get("metric", "ndcg@20")
    if best_value(metric) != "max":
        raise ConfigError(
            f"'--metric' must be a metric of which the largest value is the best, as ndcg@20 (got '{metric}')"
        )
    search = Search(
        arguments.overrides, _whole(arguments, "trials", 20), metric, _whole(arguments, "seed", 0)
    )
    search.run()
    best = search.ranked()
    rows = [[search.settings(trial.overrides), trial.value] for trial in best[:10]]
    print(format_table(["settings", search.metric], rows))
    print(f"{search.folder}\nbest: {command_line('run.py', best[0].overrides)}")


def _whole(arguments: Arguments, name: str, default: int) -> int:
    text = arguments.options.get(name, str(default))
    if not text.isdecimal() or (name == "trials" and int(text) < 1):
        raise ConfigError(
            f"'--{name}' must be a whole number{' of at least 1' if name == 'trials' else ''} (got '{text}')"
        )
    return int(text)


if __name__ == "__main__":
    sys.exit(run_main(main))
