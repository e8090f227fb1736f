"""tables/*.yaml: what a paper table consists of, and the runs it needs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from experiments.compose import compose_config
from gnnrec.config import RunConfig
from gnnrec.errors import ConfigError, suggest
from gnnrec.report.tables import Block, Column

TABLES = Path(__file__).resolve().parent / "tables"


@dataclass(frozen=True)
class Row:
    """One row: its overrides, and whether it is a baseline that others are compared with."""

    label: str
    overrides: tuple[str, ...]
    baseline: bool


@dataclass(frozen=True)
class TableSpec:
    """A table: blocks (label, overrides, columns) times rows times seeds.

    In the file, `grid` adds rows to `rows`: a list of mappings from label to overrides, of which every combination is
    a row; its label is theirs with spaces, its overrides are theirs in order.

    Args:
        title: the first sentence of the caption.
        tested: metric keys that the paired tests compare, where a block has them as a column.
        gain_over: rows that the gain figure divides by.
    """

    name: str
    title: str
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    blocks: tuple[Block, ...]
    block_overrides: Mapping[str, tuple[str, ...]]
    rows: tuple[Row, ...]
    tested: tuple[str, ...]
    gain_over: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where a run stands in a table."""

    block: str
    row: str
    seed: int

    def __str__(self) -> str:
        return f"{self.block} · {self.row} · seed {self.seed}"


@dataclass(frozen=True)
class Job:
    """One run that a table needs."""

    place: Place
    overrides: tuple[str, ...]
    config: RunConfig


def read_spec(name: str, folder: Path = TABLES) -> TableSpec:
    """Return the table called `name`; a ConfigError names the nearest known table, or the key at fault."""
    known = [file.stem for file in folder.glob("*.yaml")]
    if name not in known:
        raise ConfigError(f"unknown table '{name}'{suggest(name, known)}")
    path = folder / f"{name}.yaml"
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"'{path}' is no valid YAML ({error})") from error
    where = f"tables/{name}.yaml"
    keys = ("title", "overrides", "seeds", "blocks", "rows", "grid", "tested", "gain_over")
    _check(tree, keys, ("title", "blocks", "rows"), where)
    for block in tree["blocks"]:
        _check(block, ("label", "overrides", "columns"), ("label", "columns"), where)
    for row in tree["rows"]:
        _check(row, ("label", "overrides", "baseline"), ("label",), where)
    rows = [
        Row(row["label"], tuple(row.get("overrides", [])), bool(row.get("baseline", False)))
        for row in tree["rows"]
    ]
    rows += _grid(tree.get("grid", []), where)
    labels = [row.label for row in rows]
    twice = [label for label in labels if labels.count(label) > 1]
    if twice:
        raise ConfigError(f"two rows of {where} have the label '{twice[0]}'")
    for label in tree.get("gain_over", []):
        if label not in labels:
            raise ConfigError(f"unknown row '{label}' in 'gain_over' of {where}{suggest(label, labels)}")
    return TableSpec(
        name=name,
        title=tree["title"],
        overrides=tuple(tree.get("overrides", [])),
        seeds=tuple(tree.get("seeds", [0])),
        blocks=tuple(
            Block(block["label"], tuple(Column(key, label) for label, key in block["columns"].items()))
            for block in tree["blocks"]
        ),
        block_overrides={block["label"]: tuple(block.get("overrides", [])) for block in tree["blocks"]},
        rows=tuple(rows),
        tested=tuple(tree.get("tested", [])),
        gain_over=tuple(tree.get("gain_over", [])),
    )


def table_jobs(spec: TableSpec, seeds: Sequence[int], extra: Sequence[str] = ()) -> list[Job]:
    """Return every run of a table in the order of its rows; `extra` overrides come last."""
    jobs = []
    for block in spec.blocks:
        for row in spec.rows:
            for seed in seeds:
                overrides = (*spec.overrides, *spec.block_overrides[block.label], *row.overrides)
                overrides = (*overrides, f"seed={seed}", *extra)
                config = RunConfig.from_dict(compose_config(overrides))
                jobs.append(Job(Place(block.label, row.label, seed), overrides, config))
    return jobs


def _grid(dimensions: Any, where: str) -> list[Row]:
    """Return a row for every combination of one entry of each dimension."""
    valid = isinstance(dimensions, list) and all(
        isinstance(dimension, dict) and all(isinstance(words, list) for words in dimension.values())
        for dimension in dimensions
    )
    if not valid:
        raise ConfigError(f"'grid' must be a list of mappings from label to overrides in {where}")
    if not dimensions:
        return []
    return [
        Row(
            " ".join(filter(None, labels)),
            tuple(
                itertools.chain.from_iterable(
                    dimension[label] for dimension, label in zip(dimensions, labels)
                )
            ),
            baseline=False,
        )
        for labels in itertools.product(*dimensions)
    ]


def _check(tree: Any, known: Sequence[str], needed: Sequence[str], where: str) -> None:
    if not isinstance(tree, dict):
        raise ConfigError(f"{where}: expected keys and values (got {tree!r})")
    for key in tree:
        if key not in known:
            raise ConfigError(f"unknown key '{key}' in {where}{suggest(str(key), known)}")
    for key in needed:
        if key not in tree:
            raise ConfigError(f"{where} lacks the key '{key}' (found: {', '.join(map(str, tree))})")
