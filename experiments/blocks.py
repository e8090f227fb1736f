"""Whether what stands in a block of a table is measured alike: asked of the configurations, before anything is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from experiments.search import Search
from experiments.settings import Setting, with_setting
from experiments.spec import Cell, Place, table_jobs
from gnnrec.config import RunConfig
from gnnrec.errors import ConfigError
from gnnrec.report.frame import flatten

# Beside dataset and split: what makes the groups, and what the models of the test know.
GROUPING = ("eval.item_rule", "eval.head", "eval.tail", "eval.num_user_groups", "eval.refit")


def check_blocks(
    cells: Sequence[Cell],
    searches: Mapping[Cell, Search],
    settings: Mapping[Cell, Setting],
    seeds: Sequence[int],
    extra: Sequence[str],
) -> None:
    """Raise a ConfigError for a run with other data, split, groups or refit than the others of its block.

    So is a run with another protocol than the others of the table. The runs are told apart by their configurations
    alone.

    Args:
        searches, settings: of the cells that are tuned.
    """
    fixed = []
    for cell in cells:
        if cell in searches:  # of its settings, any one says what another seed does
            words = searches[cell].trials[0][: len(cell.overrides) + len(cell.tune)]
            fixed.append(replace(cell, overrides=tuple(words), tune=()))
        else:
            fixed.append(with_setting(cell, settings.get(cell)))
    runs: list[tuple[str | Cell, Place, RunConfig]] = [
        (job.place.block, job.place, job.config) for job in table_jobs(fixed, seeds, extra)
    ]
    for cell, search in searches.items():  # its seed need not be among the runs'
        runs += [(cell, Place(cell.block, cell.row, config.seed), config) for config in search.configs]
    firsts: dict[str | Cell, tuple[Place, dict[str, Any]]] = {}
    table: tuple[Place, str] | None = None
    for among, place, config in runs:
        values = _measured(config)
        first, expected = firsts.setdefault(among, (place, values))
        for key in expected | values:
            if values.get(key) != expected.get(key):
                raise ConfigError(_differs(place, key, values.get(key), first, expected.get(key)))
        table = table or (place, config.protocol)
        if config.protocol != table[1]:
            raise ConfigError(_differs(place, "protocol", config.protocol, *table))


def _measured(config: RunConfig) -> dict[str, Any]:
    values = flatten(config.to_dict())
    return {
        key: value
        for key, value in values.items()
        if key.startswith(("dataset.", "split.")) or key in GROUPING
    }


def _differs(place: Place, key: str, value: Any, first: Place, expected: Any) -> str:
    if key == "protocol":
        rule = "a table has one protocol, so give such rows a table of their own"
    elif (place.block, place.row) == (first.block, first.row):
        rule = "the runs of a row are one mean, so give them one value, without ${seed}"
    else:
        rule = "the rows of a block are compared, so give such rows a block of their own"
    return f"{place} has {key}={value}, {first} has {key}={expected}: {rule}"
