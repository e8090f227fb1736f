"""One run, or with -m every combination of the values given: python experiments/run.py model=lightgcn init=text"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import yaml

from experiments.cli import format_table, parse_arguments, run_main, told
from experiments.compose import compose_config, config_groups, expand
from gnnrec.config import RunConfig
from gnnrec.errors import GnnrecError
from gnnrec.evaluation.metrics import ALL_METRICS
from gnnrec.run import RunResult, run

SWITCHES = {name: "multirun" for name in ("-m", "--multirun")} | {"--cfg": "cfg"}
SWITCHES |= {name: "help" for name in ("-h", "--help")}
GROUPS = ("", "head", "mid", "tail", "cold", "cold_only", "warm_only")
SHOWN = ("recall", "ndcg")
EXAMPLES = """\
examples:
  python experiments/run.py dataset=debian model=lightgcn init=text seed=0 train.lr=1e-3
  python experiments/run.py -m model=popularity,item_knn split=random,cold_items
  python experiments/run.py model=lightgcn --cfg       print the configuration and stop

A finished run is not run again: its folder below tracking.root (runs/) is read instead.
"""


def main(argv: Sequence[str]) -> None:
    """Run what the command line asks for; see --help.

    Of several runs one that fails does not stop the others: a GnnrecError at the end names each that failed.
    """
    arguments = parse_arguments(argv, SWITCHES)
    if "help" in arguments.switches:
        print(help_text())
        return
    jobs = expand(arguments.overrides) if "multirun" in arguments.switches else [arguments.overrides]
    configs = [RunConfig.from_dict(compose_config(job)) for job in jobs]  # all mistakes before the first run
    if "cfg" in arguments.switches:
        for config in configs:
            print(yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=True))
        return
    if len(jobs) == 1:
        print(result_text(run(configs[0])), flush=True)
    else:
        _run_each(jobs, configs)


def _run_each(jobs: Sequence[Sequence[str]], configs: Sequence[RunConfig]) -> None:
    done, results, failed = [], [], []
    for number, (job, config) in enumerate(zip(jobs, configs), start=1):
        member = f"[{number}/{len(jobs)}] {' '.join(job)}"
        print(member, flush=True)
        try:
            results.append(run(config))
        except (GnnrecError, MemoryError, RuntimeError) as error:
            message = told(error)
            if message is None:
                raise
            failed.append(f"{member}: {message}")
            print(f"failed: {message}", flush=True)
            continue
        done.append(job)
        print(result_text(results[-1]), flush=True)
    if results:
        print(comparison_text(done, results))
    if failed:
        raise GnnrecError("; ".join(failed))


def help_text() -> str:
    """Return usage, the groups with their options, the keys of the default configuration, and examples."""
    lines = ["usage: python experiments/run.py [-m] [--cfg] [GROUP=OPTION ...] [KEY=VALUE ...]", ""]
    lines += ["  -m, --multirun   run every combination of the values given (seed=0,1 model=a,b)"]
    lines += ["  --cfg            print the resolved configuration and stop", "", "groups:"]
    for group, options in config_groups().items():
        lines.append(f"  {group}")
        width = max(map(len, options), default=0)
        lines += [f"    {option.ljust(width)}  {comment}".rstrip() for option, comment in options.items()]
    lines += ["", "keys (of the default options):"]
    defaults = yaml.safe_dump(compose_config([]), sort_keys=False, allow_unicode=True)
    return "\n".join([*lines, *(f"  {line}" for line in defaults.splitlines()), "", EXAMPLES])


def result_text(result: RunResult) -> str:
    """Return the short table shown at the end of a run, and where its files are."""
    rows, shown = [], _shown([result])
    for group in GROUPS:
        keys = [f"test/{group}/{name}" if group else f"test/{name}" for name in shown]
        if any(key in result.metrics for key in keys):
            rows.append([group or "all", *(result.metrics.get(key) for key in keys)])
    return f"{format_table(['test', *shown], rows)}\n{result.path}"


def comparison_text(jobs: Sequence[Sequence[str]], results: Sequence[RunResult]) -> str:
    """Return one line per run of a sweep."""
    shown = _shown(results)
    rows = [
        [" ".join(job), *(result.metrics.get(f"test/{name}") for name in shown)]
        for job, result in zip(jobs, results)
    ]
    return format_table(["run", *shown], rows)


def _shown(results: Sequence[RunResult]) -> list[str]:
    """Return recall and NDCG at 20, or at the first cutoff where there is no 20, or else the first accuracy metrics."""
    names: dict[str, None] = {}
    for result in results:
        everybody = [key.removeprefix("test/") for key in result.metrics if key.count("/") == 1]
        measured = [name for name in everybody if name.partition("@")[0] in ALL_METRICS]
        cutoffs = [name.partition("@")[2] for name in measured if name.startswith(SHOWN)]
        k = "20" if "20" in cutoffs else next(iter(cutoffs), "")
        found = [f"{metric}@{k}" for metric in SHOWN if f"{metric}@{k}" in measured]
        names |= dict.fromkeys(found or measured[: len(SHOWN)])
    return list(names)


if __name__ == "__main__":
    sys.exit(run_main(main))
