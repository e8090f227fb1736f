"""The runs and searches that a paper table needs: which are missing, and carrying them out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from experiments.cli import command_line
from experiments.search import Search, check_kept
from experiments.settings import Setting, best_setting, with_setting
from experiments.spec import Cell, Job, Place, TableSpec, check_seeds, table_jobs
from gnnrec.errors import ConfigError, GnnrecError
from gnnrec.run import open_run, run
from gnnrec.tracking import RunDir

SHOWN = ("test/recall@20", "test/cold_only/recall@20")


def tuned(cell: Cell, search: Search) -> Setting:
    """Return the best setting of a cell; those that were not tried yet are tried."""
    if search.missing:
        print(f"{cell}: {search.missing} settings to try", flush=True)
        try:
            search.run()
        except GnnrecError as error:
            raise type(error)(f"{cell}: {error}") from error
    return best_setting(cell, search)


def sweep(cell: Cell, spec: TableSpec, extra: Sequence[str]) -> list[str]:
    """Return what is searched for a cell: its settings are chosen on the first seed of the table.

    Raises a ConfigError for a word that sets the seed, and for one of `extra` that sets what the cell is tuned in.
    """
    try:
        check_seeds((*cell.overrides, *cell.tune, *extra))
        check_kept(cell.tune, extra)
    except ConfigError as error:
        raise ConfigError(f"{cell}: {error}") from error
    return [*cell.overrides, *cell.tune, f"seed={spec.seeds[0]}", *extra]


def plan(
    spec: TableSpec,
    cells: Sequence[Cell],
    known: Mapping[Cell, Setting],
    searches: Mapping[Cell, Search],
    seeds: Sequence[int],
    extra: Sequence[str],
) -> str:
    """Return what --dry-run prints: each run or search, whether it is finished, and the command that runs it alone."""
    lines = []
    finished = to_run = to_try = 0
    for cell in cells:
        search = searches.get(cell)
        if search is not None and search.missing:
            words = [*sweep(cell, spec, extra), "--trials", str(len(search.trials))]
            lines.append(f"to tune   {cell}\n          {command_line('tune.py', words)}")
            to_try += search.missing
            to_run += len({open_run(job.config).path for job in table_jobs([cell], seeds, extra)})
            continue
        setting = known.get(cell) if search is None else best_setting(cell, search)
        jobs = table_jobs([with_setting(cell, setting)], seeds, extra)
        folders = {job.place: open_run(job.config) for job in jobs}
        for job in distinct(jobs, folders):
            done = folders[job.place].finished
            finished, to_run = finished + done, to_run + (not done)
            lines.append(
                f"{'finished' if done else 'to run':8}  {job.place}\n"
                f"          {command_line('run.py', job.overrides)}"
            )
    tried = f", {to_try} settings to try" if to_try else ""
    return "\n".join([*lines, f"{finished} finished, {to_run} to run{tried}"])


def distinct(jobs: Sequence[Job], folders: Mapping[Place, RunDir]) -> list[Job]:
    """Return the first job of every run directory: a baseline has one for all seeds."""
    return list({folders[job.place].path: job for job in reversed(jobs)}.values())[::-1]


def run_missing(missing: Sequence[Job], num_runs: int) -> None:
    """Run what is missing, one after the other, telling each result."""
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
