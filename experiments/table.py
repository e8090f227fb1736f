"""One paper table from its run directories; what is missing is run: python experiments/table.py table=quickstart"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments.assembly import added_runs, build_table, draw_figures, readme_with
from experiments.blocks import check_blocks
from experiments.cli import Arguments, parse_arguments, run_main
from experiments.columns import check_columns, check_found
from experiments.kept import NOTHING, Kept, check_same_groups, keep, named_rows
from experiments.search import Search
from experiments.settings import Setting, read_settings, with_setting, write_settings
from experiments.spec import TABLES, Cell, TableSpec, check_seeds, read_spec, table_cells, table_jobs
from experiments.table_runs import distinct, plan, run_missing, sweep, tuned
from gnnrec.errors import ConfigError, DataError
from gnnrec.files import write_text
from gnnrec.manifest import tell_other_code
from gnnrec.report.frame import FinishedRun
from gnnrec.report.tables import Table, to_markdown, write_table
from gnnrec.run import open_run

SWITCHES = {"--dry-run": "dry-run", "--report-only": "report-only", "--check": "check"}
SWITCHES |= {name: "help" for name in ("-h", "--help")}
OPTIONS = {
    name: name.lstrip("-") for name in ("--seeds", "--output", "--add", "--part", "--settings", "--rows")
}
# Overrides that change where and how a table is computed, but none of its numbers.
HARMLESS = ("tracking", "device")
HELP = """\
usage: python experiments/table.py table=NAME [flags] [KEY=VALUE ...]

  table=NAME        one of: {tables}
  --seeds 0,1,2     these seeds instead of those of the table
  --dry-run         say which runs are finished and which would run, and stop
  --report-only     write the table from finished runs; missing runs are an error
  --check           compare the written files with the run directories; differences are an error
  --add FOLDER,...  further run directories as rows, from experiments/evaluate.py
  --output FOLDER   where the table goes; without it to results, and into the README.md beside where that has its place
  --part 1/2        run the first of two shares of the runs and write nothing: several processes or machines with one
                    tracking.root take one each, and --report-only writes the table at the end
  --settings FILE   rows that FILE, a NAME_settings.csv, has are run with its settings and not tuned
  --rows ROW,...    run these rows alone; the others stay as the written table has them, whose runs need not be there
                    (not for tables of five seeds, whose rows are tested against each other)
  KEY=VALUE         applied to every run of the table

What changes the numbers (KEY=VALUE, other --seeds, --add) needs --output, except with --dry-run and --part.

Writes NAME.csv, NAME.md, NAME.tex, and, where the table has `gain_over`, the figures NAME_gain_by_group and
NAME_metric_by_degree, where it has `trade_off`, NAME_trade_off (png, pdf).
Rows that say what to `tune` are tuned first, all with the same number of settings; NAME_settings.csv tells the best.
Finished runs are not run again; an interrupted table goes on where it stopped.
"""


def main(argv: Sequence[str]) -> None:
    """Run what is missing of a table and write it; see --help."""
    arguments = parse_arguments(argv, SWITCHES, OPTIONS)
    if "help" in arguments.switches:
        print(HELP.format(tables=", ".join(sorted(file.stem for file in TABLES.glob("*.yaml")))))
        return
    spec, extra = _table_name(arguments)
    check_seeds(extra)
    seeds = _seeds(arguments, spec)
    output = _output(arguments, extra, seeds != list(spec.seeds))
    every = table_cells(spec)
    only_report = bool({"report-only", "check"} & arguments.switches)
    cells, kept = _cells_to_run(arguments, every, spec, seeds, output)
    recorded = arguments.options.get("settings")
    known = read_settings(Path(recorded), cells) if recorded else {}
    sweeps = {cell: sweep(cell, spec, extra) for cell in cells if cell.tune}
    searches = {cell: Search(words, spec.trials) for cell, words in sweeps.items() if cell not in known}
    added = [folder for folder in arguments.options.get("add", "").split(",") if folder]
    check_columns(spec, cells, searches, known, extra, added)
    check_blocks(cells, searches, known, seeds, extra)
    if "dry-run" in arguments.switches:
        print(plan(spec, cells, known, searches, seeds, extra))
        return
    untried = sum(search.missing for search in searches.values())
    if untried and only_report:
        raise DataError(
            f"{untried} settings of table '{spec.name}' were not tried yet; "
            "the same command without --report-only and --check tries them"
        )
    settings = {
        cell: known[cell] if cell in known else tuned(cell, searches[cell]) for cell in cells if cell.tune
    }
    jobs = table_jobs([with_setting(cell, settings.get(cell)) for cell in cells], seeds, extra)
    folders = {job.place: open_run(job.config) for job in jobs}
    runs_needed = distinct(jobs, folders)
    missing = [job for job in runs_needed if not folders[job.place].finished]
    if missing and only_report:
        raise DataError(
            f"{len(missing)} of the {len(runs_needed)} runs of table '{spec.name}' are not finished; "
            "the same command without --report-only and --check runs them"
        )
    run_missing(missing, len(runs_needed))
    if "part" in arguments.options:
        print(f"part {arguments.options['part']} is done; with --report-only the table is written")
        return
    runs = {place: FinishedRun(folder.path) for place, folder in folders.items()}
    for run_ in runs.values():
        tell_other_code(run_.manifest.get("sources"), run_.config, run_.path)
    runs |= added_runs(added, runs)
    check_found(spec, runs)
    settings |= kept.settings
    settings = {cell: settings[cell] for cell in every if cell in settings}  # in the order of the table
    table = build_table(spec, seeds, runs, settings, kept.means)
    if kept.means is not None:
        check_same_groups(table, output / f"{spec.name}.md")
    readme = {} if "output" in arguments.options else readme_with(table, output)
    if "check" in arguments.switches:
        compared = _check_written(table, settings, readme, output)
        print(f"{', '.join(map(str, compared))}: what the run directories give")
        return
    paths = write_table(table, output) + draw_figures(spec, table, runs, output)
    paths += write_settings(settings, output / f"{spec.name}_settings.csv")
    for path, text in readme.items():
        write_text(path, text)
        paths.append(path)
    print(f"\n{to_markdown(table)}")
    print(f"written: {', '.join(str(path) for path in paths)}")


def _cells_to_run(
    arguments: Arguments, every: list[Cell], spec: TableSpec, seeds: Sequence[int], output: Path
) -> tuple[list[Cell], Kept]:
    """Return the cells that `--rows` and `--part` leave to run, and what is kept of the written table."""
    cells, kept = every, NOTHING
    if "rows" in arguments.options:
        for other in {"check", "add"} & {*arguments.switches, *arguments.options}:
            raise ConfigError(f"'--{other}' needs the runs of all rows: leave out '--rows'")
        named = named_rows(arguments.options["rows"], spec)
        cells = [cell for cell in every if cell.row in named]
        kept = keep([cell for cell in every if cell.row not in named], spec, seeds, output)
    if "part" in arguments.options:
        if {"report-only", "check"} & arguments.switches:
            raise ConfigError("'--part' writes nothing: leave it out with --report-only and --check")
        cells = part_of(cells, arguments.options["part"])
    return cells, kept


def part_of(cells: Sequence[Cell], part: str) -> list[Cell]:
    """Return every N-th cell from the K-th on, for a part K/N; a ConfigError unless 1 <= K <= N."""
    number, slash, total = part.partition("/")
    if not slash or not number.isdecimal() or not total.isdecimal() or not 1 <= int(number) <= int(total):
        raise ConfigError(f"'--part' must be K/N with K from 1 to N, as in 1/2 (got '{part}')")
    return list(cells[int(number) - 1 :: int(total)])


def _table_name(arguments: Arguments) -> tuple[TableSpec, list[str]]:
    names = [word.partition("=")[2] for word in arguments.overrides if word.startswith("table=")]
    if len(names) != 1:
        known = ", ".join(sorted(file.stem for file in TABLES.glob("*.yaml")))
        raise ConfigError(f"name one table, as in table=quickstart (known: {known})")
    return read_spec(names[0]), [word for word in arguments.overrides if not word.startswith("table=")]


def _seeds(arguments: Arguments, spec: TableSpec) -> list[int]:
    text = arguments.options.get("seeds")
    if text is None:
        return list(spec.seeds)
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(
            f"'--seeds' must be whole numbers with commas, as in 0,1,2 (got '{text}')"
        ) from error
    return list(dict.fromkeys(seeds))


def _output(arguments: Arguments, extra: Sequence[str], other_seeds: bool) -> Path:
    if "output" in arguments.options:
        return Path(arguments.options["output"])
    changing = [word for word in extra if word.partition("=")[0].split(".")[0] not in HARMLESS]
    changing += ["--seeds"] if other_seeds else []
    changing += ["--add"] if arguments.options.get("add") else []
    writes = "dry-run" not in arguments.switches and "part" not in arguments.options
    if changing and writes:
        raise ConfigError(
            f"'{changing[0]}' changes the numbers of the table: name another folder with --output FOLDER"
        )
    return Path("results")


def _check_written(
    table: Table, settings: Mapping[Cell, Setting], readme: Mapping[Path, str], output: Path
) -> list[Path]:
    """Return the written files, or raise a DataError for one that the run directories give otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        made = write_table(table, folder)
        made += write_settings(settings, Path(folder) / f"{table.name}_settings.csv")
        expected = {output / path.name: path.read_bytes() for path in made}
    expected |= {path: text.encode() for path, text in readme.items()}
    for written, content in expected.items():
        if not written.exists() or written.read_bytes() != content:
            state = "differs from" if written.exists() else "is missing beside"
            raise DataError(f"'{written}' {state} what the run directories give; write it with --report-only")
    return list(expected)


if __name__ == "__main__":
    sys.exit(run_main(main))
