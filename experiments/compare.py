"""Finished runs side by side, every pair tested: python experiments/compare.py RUN_OR_FOLDER ... [flags]"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import pandas as pd

from experiments.cli import format_table, parse_arguments, run_main
from gnnrec.errors import ConfigError
from gnnrec.files import whole_file, write_text
from gnnrec.report.figures import arrays_of, draw_evaluation
from gnnrec.report.frame import FinishedRun, finished_runs, records
from gnnrec.report.rivals import all_pairs, by_model, comparison_table, legend
from gnnrec.report.style import save_figure
from gnnrec.report.tables import to_markdown, write_table

SWITCHES = {name: "help" for name in ("-h", "--help")}
OPTIONS = {"--metrics": "metrics", "--output": "output", "--name": "name", "--models": "models"}
METRICS = "recall@20,ndcg@20"
HELP = f"""\
usage: python experiments/compare.py RUN_OR_FOLDER ... [flags]

  RUN_OR_FOLDER     run directories, or folders of run directories (unfinished ones in a folder are skipped);
                    runs that differ in the seed alone are one model; all must have one data set and one split
  --metrics A,B     metric keys without test/, for example recall@20,tail/ndcg@20 ({METRICS})
  --models A,B      what to call the models, in the order in which they come otherwise
  --output FOLDER   where the files go (results)
  --name NAME       their name (compare)

Writes NAME.csv, NAME.md, NAME.tex (mean and deviation over seeds, significance marks), NAME_pairs.csv (every pair:
difference, bootstrap interval, effect size, t-test, Wilcoxon, sign flips, over users and over seeds, corrected), and
below NAME_figures the recall curve, Lorenz curve, metric against popularity and activity, and the matrix of pairs.
"""


def main(argv: Sequence[str]) -> None:
    """Compare finished runs; see --help."""
    arguments = parse_arguments(argv, SWITCHES, OPTIONS)
    if "help" in arguments.switches:
        print(HELP)
        return
    if not arguments.overrides:
        raise ConfigError("name run directories to compare; see --help")
    metrics = [f"test/{name.strip()}" for name in arguments.options.get("metrics", METRICS).split(",")]
    output, name = Path(arguments.options.get("output", "results")), arguments.options.get("name", "compare")
    models = _renamed(by_model(_runs(arguments.overrides)), arguments.options.get("models"))
    table = comparison_table(models, metrics, name)
    paths = write_table(table, output)
    pairs = all_pairs(models, metrics)
    names = legend(models)
    text = to_markdown(table) + (f"\n{names}\n" if names else "")
    if len(pairs):
        text = f"{text}\n**pairs**\n\n```\n{pairs_text(pairs)}\n```\n"
        with whole_file(output / f"{name}_pairs.csv") as temporary:
            pairs.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
        paths.append(output / f"{name}_pairs.csv")
    write_text(output / f"{name}.md", text)
    for stem, figure in draw_evaluation(arrays_of(models)).items():
        paths += save_figure(figure, output / f"{name}_figures" / stem)
    print(text)
    for warning, concerned in pairs_by_warning(pairs).items():
        print(f"warning: {warning} ({', '.join(concerned)})", file=sys.stderr)
    print(f"written: {', '.join(str(path) for path in paths)}")


def pairs_text(pairs: pd.DataFrame) -> str:
    """Return the pairs as a plain text table: row minus column."""
    names = [
        "",
        "difference",
        "95% interval",
        "d",
        "p (t, Holm)",
        "p (Wilcoxon)",
        "p (sign flips)",
        "p (seeds)",
    ]
    rows = []
    for pair in records(pairs):
        rows.append(
            [
                f"{pair['metric'].removeprefix('test/')}: {pair['row']} - {pair['column']}",
                f"{pair['difference']:+.4f}",
                f"{pair['low']:+.4f} to {pair['high']:+.4f}",
                f"{pair['effect_size']:.2f}",
                *(_p(pair[key]) for key in ("p_holm", "p_wilcoxon", "p_permutation", "p_seeds")),
            ]
        )
    return format_table(names, rows)


def pairs_by_warning(pairs: pd.DataFrame) -> dict[str, list[str]]:
    """Return every warning with the pairs that it concerns, in words."""
    concerned: dict[str, dict[str, None]] = {}
    for pair in records(pairs):
        if pair["warning"]:
            concerned.setdefault(pair["warning"], {})[f"{pair['row']} - {pair['column']}"] = None
    return {warning: list(names) for warning, names in concerned.items()}


def _renamed(models: Mapping[str, list[FinishedRun]], text: str | None) -> dict[str, list[FinishedRun]]:
    names = list(models) if text is None else [name.strip() for name in text.split(",")]
    if len(names) != len(models) or len(set(names)) != len(names):
        raise ConfigError(
            f"'--models' must have {len(models)} different names, for {', '.join(models)} (got '{text}')"
        )
    return dict(zip(names, models.values()))


def _p(value: float) -> str:
    return "-" if value != value else "<.001" if value < 0.001 else f"{value:.3f}"


def _runs(places: Sequence[str]) -> list[FinishedRun]:
    runs: dict[Path, FinishedRun] = {}
    for place in places:
        path = Path(place).expanduser()
        if not path.is_dir():
            raise ConfigError(f"no folder '{place}' (expected a run directory or a folder of them)")
        is_run = (path / "DONE").exists() or (path / "config.yaml").exists()
        for run in [FinishedRun(path)] if is_run else finished_runs(path):
            runs[run.path.resolve()] = run
    return list(runs.values())


if __name__ == "__main__":
    sys.exit(run_main(main))
