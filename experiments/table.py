"""One paper table from its run directories; what is missing is run: python experiments/table.py table=quickstart"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments.cli import Arguments, command_line, parse_arguments, run_main
from experiments.columns import check_columns, check_found
from experiments.search import Search
from experiments.settings import Setting, best_setting, read_settings, with_setting, write_settings
from experiments.spec import (
    TABLES,
    Cell,
    Job,
    Place,
    TableSpec,
    read_spec,
    table_cells,
    table_jobs,
)
from gnnrec.errors import ConfigError, DataError, GnnrecError
from gnnrec.evaluation.significance import MIN_SEEDS
from gnnrec.files import write_text
from gnnrec.manifest import tell_other_code
from gnnrec.report.captions import group_note, protocol_note, seeds_note
from gnnrec.report.compare import paired_p_values
from gnnrec.report.frame import FinishedRun, flatten, metrics_frame
from gnnrec.report.gains import CUTOFF, ItemHits, gain_by_group, metric_against_degree
from gnnrec.report.rivals import model_settings
from gnnrec.report.tables import Block, Table, summarise, to_markdown, write_table
from gnnrec.report.trade_off import trade_off
from gnnrec.run import open_run, run
from gnnrec.tracking import RunDir

SWITCHES = {"--dry-run": "dry-run", "--report-only": "report-only", "--check": "check"}
SWITCHES |= {name: "help" for name in ("-h", "--help")}
OPTIONS = {name: name.lstrip("-") for name in ("--seeds", "--output", "--add", "--part", "--settings")}
SHOWN = ("test/recall@20", "test/cold_only/recall@20")
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
  --output FOLDER   where the table goes (results)
  --part 1/2        run the first of two shares of the runs and write nothing: several processes or machines with one
                    tracking.root take one each, and --report-only writes the table at the end
  --settings FILE   rows that FILE, a NAME_settings.csv, has are run with its settings and not tuned
  KEY=VALUE         applied to every run of the table; needs --output if it changes the numbers

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
    seeds = _seeds(arguments, spec)
    output = _output(arguments, extra)
    cells = table_cells(spec)
    only_report = bool({"report-only", "check"} & arguments.switches)
    if "part" in arguments.options:
        if only_report:
            raise ConfigError("'--part' writes nothing: leave it out with --report-only and --check")
        cells = part_of(cells, arguments.options["part"])
    recorded = arguments.options.get("settings")
    known = read_settings(Path(recorded), cells) if recorded else {}
    searches = {
        cell: Search(_sweep(cell, spec, extra), spec.trials)
        for cell in cells
        if cell.tune and cell not in known
    }
    added = [folder for folder in arguments.options.get("add", "").split(",") if folder]
    check_columns(spec, cells, searches, known, extra, added)
    if "dry-run" in arguments.switches:
        print(_plan(spec, cells, known, searches, seeds, extra))
        return
    untried = sum(search.missing for search in searches.values())
    if untried and only_report:
        raise DataError(
            f"{untried} settings of table '{spec.name}' were not tried yet; "
            "the same command without --report-only and --check tries them"
        )
    settings = {
        cell: known[cell] if cell in known else _tune(cell, searches[cell]) for cell in cells if cell.tune
    }
    jobs = table_jobs([with_setting(cell, settings.get(cell)) for cell in cells], seeds, extra)
    folders = {job.place: open_run(job.config) for job in jobs}
    runs_needed = _distinct(jobs, folders)
    missing = [job for job in runs_needed if not folders[job.place].finished]
    if missing and only_report:
        raise DataError(
            f"{len(missing)} of the {len(runs_needed)} runs of table '{spec.name}' are not finished; "
            "the same command without --report-only and --check runs them"
        )
    _run_missing(missing, len(runs_needed))
    if "part" in arguments.options:
        print(f"part {arguments.options['part']} is done; with --report-only the table is written")
        return
    runs = {place: FinishedRun(folder.path) for place, folder in folders.items()}
    for run_ in runs.values():
        tell_other_code(run_.manifest.get("sources"), run_.path)
    runs |= added_runs(added, runs)
    check_found(spec, runs)
    table = build_table(spec, seeds, runs)
    if "check" in arguments.switches:
        _check_written(table, output)
        print(f"{output / spec.name}.csv, .md and .tex are what the run directories give")
        return
    paths = write_table(table, output) + draw_figures(spec, table, runs, output)
    paths += write_settings(settings, output / f"{spec.name}_settings.csv")
    paths += update_readme(table, output)
    print(f"\n{to_markdown(table)}")
    print(f"written: {', '.join(str(path) for path in paths)}")


def part_of(cells: Sequence[Cell], part: str) -> list[Cell]:
    """Return every N-th cell from the K-th on, for a part K/N; a ConfigError unless 1 <= K <= N."""
    number, slash, total = part.partition("/")
    if not slash or not number.isdecimal() or not total.isdecimal() or not 1 <= int(number) <= int(total):
        raise ConfigError(f"'--part' must be K/N with K from 1 to N, as in 1/2 (got '{part}')")
    return list(cells[int(number) - 1 :: int(total)])


def added_runs(folders: Sequence[str], runs: Mapping[Place, FinishedRun]) -> dict[Place, FinishedRun]:
    """Return run directories of other tools (`experiments/evaluate.py`) as rows named by their model.

    Args:
        folders: each belongs to every block whose runs have the same data and the same split.
    Errors: DataError for other data or another split, a name that is a row of the table, a seed twice, and runs of one
        name and block with different settings.
    """
    blocks: dict[tuple[str, str], dict[str, None]] = {}
    for place, run_ in runs.items():
        blocks.setdefault(_fingerprints(run_), {})[place.block] = None
    rows = {place.row for place in runs}
    firsts: dict[tuple[str, str], FinishedRun] = {}
    added: dict[Place, FinishedRun] = {}
    for folder in folders:
        run_ = FinishedRun(folder)
        if _fingerprints(run_) not in blocks:
            raise DataError(
                f"'{folder}' was made on other data or another split than every block of this table"
            )
        name = str(run_.config["model"]["name"])
        if name in rows:
            raise DataError(
                f"'{folder}' is called '{name}', as a row of this table: make it with another name "
                "(model.name=NAME, --name of evaluate.py)"
            )
        for block in blocks[_fingerprints(run_)]:
            place = Place(block, name, int(run_.config["seed"]))
            if place in added:
                raise DataError(f"'{folder}' would be a second run of {place}")
            _check_settings(run_, firsts.setdefault((block, name), run_))
            added[place] = run_
    return added


def _check_settings(run_: FinishedRun, first: FinishedRun) -> None:
    """Raise a DataError unless two runs of one row have the same settings."""
    one, two = flatten(model_settings(first)), flatten(model_settings(run_))
    differing = [
        f"{key}={two.get(key)} instead of {one.get(key)}" for key in two | one if one.get(key) != two.get(key)
    ]
    if differing:
        raise DataError(
            f"'{run_.path}' has {', '.join(differing)} in '{first.path}': runs of one row must differ in seed, "
            "tracking and device alone; make it with another name (model.name=NAME, --name of evaluate.py)"
        )


def _fingerprints(run_: FinishedRun) -> tuple[str, str]:
    prints = run_.manifest["fingerprints"]
    return prints["data"], prints["split"]


def build_table(spec: TableSpec, seeds: Sequence[int], runs: Mapping[Place, FinishedRun]) -> Table:
    """Return the table of these runs: means over seeds, tests where there are enough seeds, and the caption."""
    _check_blocks(runs)
    frame = metrics_frame(runs.values(), [vars(place) for place in runs])
    cells = summarise(frame)
    p_values = {}
    caption = [spec.title, protocol_note(str(frame["protocol"].iloc[0])), seeds_note(seeds)]
    grouped: dict[tuple[str, str], list[FinishedRun]] = {}
    for place, run_ in runs.items():
        grouped.setdefault((place.block, place.row), []).append(run_)
    fewer = {row: len(found) for (_, row), found in grouped.items() if len(found) < len(seeds)}
    if fewer:
        numbers = ", ".join(f"{row} {count}" for row, count in fewer.items())
        caption.append(f"Fewer seeds, and no test below {MIN_SEEDS}: {numbers}.")
    if len(seeds) >= MIN_SEEDS:
        baselines = [row.label for row in spec.rows if row.baseline]
        enough = {at: found for at, found in grouped.items() if at[1] in baselines or len(found) >= MIN_SEEDS}
        p_values = paired_p_values(enough, baselines, spec.tested)
        caption.append(
            "† differs from the best baseline of the column at p < .05 (paired t-test over users averaged over "
            "seeds, Holm-corrected over the rows)."
        )
    if spec.trials:
        caption.append(
            f"Rows with settings to choose have the best of {spec.trials} by NDCG@20 on validation of seed "
            f"{spec.seeds[0]} ({spec.name}_settings.csv has them); test was not asked."
        )
    blocks = []
    for block in spec.blocks:
        found = [run_ for place, run_ in runs.items() if place.block == block.label]
        blocks.append(Block(block.label, block.columns, group_note(found, [c.metric for c in block.columns])))
    rows = list(dict.fromkeys([*(row.label for row in spec.rows), *(place.row for place in runs)]))
    return Table(spec.name, " ".join(caption), blocks, rows, cells, p_values)


def _check_blocks(runs: Mapping[Place, FinishedRun]) -> None:
    """Raise a DataError unless all runs of a block have the same data and the same split."""
    firsts: dict[str, FinishedRun] = {}
    for place, run_ in runs.items():
        first = firsts.setdefault(place.block, run_)
        if _fingerprints(run_) != _fingerprints(first):
            raise DataError(
                f"{place}: '{run_.path}' has other data or another split than '{first.path}': "
                "the rows of a block are compared, so give them a block of their own"
            )


def draw_figures(
    spec: TableSpec, table: Table, runs: Mapping[Place, FinishedRun], output: Path
) -> list[Path]:
    """Draw the figures that the table asks for; return the paths."""
    paths: list[Path] = []
    if spec.gain_over:
        frame = metrics_frame(runs.values(), [vars(place) for place in runs])
        weak = [row.label for row in spec.rows if "popularity" in row.label.lower()]
        path = output / f"{spec.name}_gain_by_group"
        paths += gain_by_group(frame, path, baselines=spec.gain_over, leave_out=weak)
        paths += metric_against_degree(_item_hits(runs), output / f"{spec.name}_metric_by_degree")
    if spec.trade_off:
        baselines = [row.label for row in spec.rows if row.baseline]
        path = output / f"{spec.name}_trade_off"
        paths += trade_off(table, spec.trade_off, path, baselines=baselines)
    return paths


def _item_hits(runs: Mapping[Place, FinishedRun]) -> dict[str, dict[str, list[ItemHits]]]:
    curves: dict[str, dict[str, list[ItemHits]]] = {}
    for place, run_ in runs.items():
        names = ("item_degree", "item_relevant", f"item_hits@{CUTOFF}")
        arrays = run_.per_user(*names)
        items = ItemHits(*(arrays[name] for name in names))
        curves.setdefault(place.block, {}).setdefault(place.row, []).append(items)
    return curves


def update_readme(table: Table, output: Path) -> list[Path]:
    """Put the table between its markers in the README.md beside `output`, if it has them; return its path."""
    path = output.absolute().parent / "README.md"
    start, end = f"<!-- {table.name}: written by experiments/table.py -->", f"<!-- /{table.name} -->"
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    except UnicodeDecodeError as error:
        raise DataError(
            f"'{path}' is no UTF-8 and did not get the table: convert it, then --report-only"
        ) from error
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        return []
    write_text(path, f"{before}{start}\n{to_markdown(table)}{end}{after}")
    return [path]


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


def _output(arguments: Arguments, extra: Sequence[str]) -> Path:
    if "output" in arguments.options:
        return Path(arguments.options["output"])
    changing = [word for word in extra if word.partition("=")[0].split(".")[0] not in HARMLESS]
    if changing and not {"dry-run"} & arguments.switches:
        raise ConfigError(
            f"'{changing[0]}' changes the numbers of the table: name another folder with --output FOLDER"
        )
    return Path("results")


def _tune(cell: Cell, search: Search) -> Setting:
    """Return the best setting of a cell; those that were not tried yet are tried."""
    if search.missing:
        print(f"{cell}: {search.missing} settings to try", flush=True)
        try:
            search.run()
        except GnnrecError as error:
            raise type(error)(f"{cell}: {error}") from error
    return best_setting(cell, search)


def _sweep(cell: Cell, spec: TableSpec, extra: Sequence[str]) -> list[str]:
    """Return what is searched for a cell: its settings are chosen on the first seed of the table."""
    return [*cell.overrides, *cell.tune, f"seed={spec.seeds[0]}", *extra]


def _plan(
    spec: TableSpec,
    cells: Sequence[Cell],
    known: Mapping[Cell, Setting],
    searches: Mapping[Cell, Search],
    seeds: Sequence[int],
    extra: Sequence[str],
) -> str:
    lines = []
    finished = to_run = to_try = 0
    for cell in cells:
        search = searches.get(cell)
        if search is not None and search.missing:
            words = [*_sweep(cell, spec, extra), "--trials", str(len(search.trials))]
            lines.append(f"to tune   {cell}\n          {command_line('tune.py', words)}")
            to_try += search.missing
            to_run += len({open_run(job.config).path for job in table_jobs([cell], seeds, extra)})
            continue
        setting = known.get(cell) if search is None else best_setting(cell, search)
        jobs = table_jobs([with_setting(cell, setting)], seeds, extra)
        folders = {job.place: open_run(job.config) for job in jobs}
        for job in _distinct(jobs, folders):
            done = folders[job.place].finished
            finished, to_run = finished + done, to_run + (not done)
            lines.append(
                f"{'finished' if done else 'to run':8}  {job.place}\n"
                f"          {command_line('run.py', job.overrides)}"
            )
    tried = f", {to_try} settings to try" if to_try else ""
    return "\n".join([*lines, f"{finished} finished, {to_run} to run{tried}"])


def _distinct(jobs: Sequence[Job], folders: Mapping[Place, RunDir]) -> list[Job]:
    """Return the first job of every run directory: a baseline has one for all seeds."""
    return list({folders[job.place].path: job for job in reversed(jobs)}.values())[::-1]


def _run_missing(missing: Sequence[Job], num_runs: int) -> None:
    if len(missing) < num_runs:
        print(f"{num_runs - len(missing)} of {num_runs} runs are finished already", flush=True)
    for number, job in enumerate(missing, start=1):
        print(f"[{number}/{len(missing)}] {job.place}", flush=True)
        start = time.perf_counter()
        try:
            result = run(job.config)
        except GnnrecError as error:
            raise type(error)(f"{job.place}: {error}") from error
        shown = ", ".join(f"{key} {result.metrics[key]:.4f}" for key in SHOWN if key in result.metrics)
        print(f"      {shown} ({time.perf_counter() - start:.0f} s) {result.path}", flush=True)


def _check_written(table: Table, output: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for path in write_table(table, folder):
            written = output / path.name
            if not written.exists() or written.read_bytes() != path.read_bytes():
                state = "differs from" if written.exists() else "is missing beside"
                raise DataError(
                    f"'{written}' {state} what the run directories give; write it with --report-only"
                )


if __name__ == "__main__":
    sys.exit(run_main(main))
