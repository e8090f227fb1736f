"""Whether runs have the metrics that a table shows: asked before the first of them starts, and of what they found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from experiments.possible import possible_metrics
from experiments.search import Search
from experiments.settings import Setting, with_setting
from experiments.spec import Cell, Place, TableSpec, table_jobs
from gnnrec.errors import ConfigError, suggest
from gnnrec.report import gains
from gnnrec.report.frame import FinishedRun, parse_metric


def check_columns(
    spec: TableSpec,
    cells: Sequence[Cell],
    searches: Mapping[Cell, Search],
    settings: Mapping[Cell, Setting],
    extra: Sequence[str],
    added: Sequence[str],
) -> None:
    """Raise a ConfigError for a column, or for what a figure shows, that no run of a block can have, whatever its data.

    Args:
        searches, settings: of the cells that are tuned.
        added: folders of further runs, whose metrics any block may have.
    """
    others = {metric for folder in added for metric in FinishedRun(folder).result["metrics"]}
    for block in spec.blocks:
        possible = set(others)
        of_block = [cell for cell in cells if cell.block == block.label]
        wanted = {column.metric: "columns" for column in block.columns}
        if spec.gain_over:
            wanted.setdefault(f"test/{gains.METRIC}", "figures ('gain_over')")
        for cell in of_block:
            if possible.issuperset(wanted):
                break  # mostly after the first row
            if cell in searches:
                configs = searches[cell].configs
            else:
                jobs = table_jobs([with_setting(cell, settings.get(cell))], spec.seeds[:1], extra)
                configs = [job.config for job in jobs]
            possible.update(*(possible_metrics(config.eval) for config in configs))
        for metric, place in wanted.items() if of_block else ():  # a part of a table may have none
            if metric not in possible:
                raise ConfigError(
                    f"unknown metric {_where(spec, block.label, metric, place)}{suggest(metric, possible)}; "
                    "'eval.metrics' and 'eval.ks' say which there are"
                )


def check_found(spec: TableSpec, runs: Mapping[Place, FinishedRun]) -> None:
    """Raise a ConfigError for a column that no run of its block has, for want of anybody in its group."""
    found: dict[str, set[str]] = {}
    for place, run in runs.items():
        found.setdefault(place.block, set()).update(run.result["metrics"])
    for block in spec.blocks:
        for column in block.columns:
            if column.metric not in found[block.label]:
                of_users = parse_metric(column.metric).group.startswith("user_")
                lacking = (
                    "evaluated user without train interactions" if of_users else "test pair of a cold item"
                )
                raise ConfigError(
                    f"no run has the metric {_where(spec, block.label, column.metric)}: its split has no {lacking}; "
                    "leave the column out, or choose another split"
                )


def _where(spec: TableSpec, block: str, metric: str, place: str = "columns") -> str:
    return f"'{metric}' in the {place} of '{block}' in experiments/tables/{spec.name}.yaml"
