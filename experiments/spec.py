"""tables/*.yaml: what a paper table consists of, and the runs it needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from experiments.compose import compose_config
from gnnrec.baselines.fusion import reads_a_run
from gnnrec.config import ModelConfig, RunConfig
from gnnrec.errors import ConfigError, GnnrecError, suggest
from gnnrec.evaluation.beyond import PER_USER
from gnnrec.evaluation.direction import best_value
from gnnrec.evaluation.metrics import ALL_METRICS
from gnnrec.progress import Progress
from gnnrec.report.tables import Block, Column

TABLES = Path(__file__).resolve().parent / "tables"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any, low: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_columns(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(_is_text, (*value, *value.values())))


Kind = tuple[Callable[[Any], bool], str]
SWEEPS: Kind = (
    lambda value: isinstance(value, dict) and all(map(_are_texts, value.values())),
    "a mapping from label to sweeps",
)
# What each key of a table must be, in words.
KINDS: dict[str, Kind] = {
    **dict.fromkeys(("title", "label", "table"), (_is_text, "a text (numbers in quotes)")),
    **dict.fromkeys(
        ("overrides", "tune", "tested", "gain_over", "trade_off", "leave_out"),
        (_are_texts, "a list of texts"),
    ),
    "seeds": (
        lambda value: isinstance(value, list) and bool(value) and all(map(_is_whole, value)),
        "a list of whole numbers, as in [0, 1]",
    ),
    "trials": (lambda value: _is_whole(value, 1), "a whole number of at least 1"),
    "baseline": (lambda value: isinstance(value, bool), "true or false"),
    "blocks": (lambda value: isinstance(value, list), "a list"),
    "rows": (lambda value: isinstance(value, list), "a list"),
    "columns": (_are_columns, "a mapping from label to metric (labels that are numbers in quotes)"),
}


@dataclass(frozen=True)
class Row:
    """One row: its overrides, whether it is a baseline that others are compared with, and what is tuned (sweeps)."""

    label: str
    overrides: tuple[str, ...]
    baseline: bool
    tune: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableSpec:
    """A table: blocks (label, overrides, columns) times rows times seeds.

    In the file, an entry `{table: NAME}` of `rows` stands for the rows of another table, less those labels that
    `leave_out` lists; with `tune`, a mapping from label to sweeps, some of them choose among other settings here.
    `grid` adds rows after `rows`: a list of mappings from label to overrides, of which every combination is a row; its
    label is theirs with spaces, its overrides are theirs in order.

    Args:
        title: the first sentence of the caption.
        trials: how many settings of a row's `tune` are tried on validation of the first seed, in each block.
        tested: metric keys that the paired tests compare, where a block has them as a column.
        gain_over: rows that the gain figure divides by; without any, the figures by item are not drawn.
        trade_off: two metric keys, x and y of a figure with every row as a point; empty for none.
    """

    name: str
    title: str
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    trials: int
    blocks: tuple[Block, ...]
    block_overrides: Mapping[str, tuple[str, ...]]
    rows: tuple[Row, ...]
    tested: tuple[str, ...]
    gain_over: tuple[str, ...]
    trade_off: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """A row in a block: what is run for every seed."""

    block: str
    row: str
    overrides: tuple[str, ...]
    tune: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.block} · {self.row}"


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


def read_spec(name: str, folder: Path = TABLES, within: tuple[str, ...] = ()) -> TableSpec:
    """Return the table called `name`; a ConfigError names the nearest known table, or the key at fault.

    Args:
        within: the tables whose rows are being read, each a part of the one before.
    """
    known = [file.stem for file in folder.glob("*.yaml")]
    if name not in known:
        raise ConfigError(f"unknown table '{name}'{suggest(name, known)}")
    path = folder / f"{name}.yaml"
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"'{path}' is no valid YAML ({error})") from error
    where = f"experiments/tables/{name}.yaml"
    keys = ("title", "overrides", "seeds", "trials", "blocks", "rows", "grid", "tested")
    keys += ("gain_over", "trade_off")
    _check(tree, keys, ("title", "blocks", "rows"), where)
    for block in tree["blocks"]:
        _check(block, ("label", "overrides", "columns"), ("label", "columns"), where)
    _check_distinct([block["label"] for block in tree["blocks"]], "blocks", where)
    if name in within:
        raise ConfigError(f"table '{name}' takes its own rows ({' -> '.join([*within, name])})")
    rows = [row for entry in tree["rows"] for row in _rows(entry, where, folder, (*within, name))]
    rows += _grid(tree.get("grid", []), where)
    for row in rows:
        if row.tune and "trials" not in tree:
            raise ConfigError(f"row '{row.label}' of {where} has 'tune': say how often with 'trials'")
    labels = [row.label for row in rows]
    _check_distinct(labels, "rows", where)
    columns = {key for block in tree["blocks"] for key in block["columns"].values()}
    _check_tested(tree.get("tested", []), columns, where)
    for label in tree.get("gain_over", []):
        if label not in labels:
            raise ConfigError(f"unknown row '{label}' in 'gain_over' of {where}{suggest(label, labels)}")
    trade_off = tuple(tree.get("trade_off", []))
    if trade_off and (
        len(trade_off) != 2
        or not all(best_value(metric) == "max" for metric in trade_off)
        or not any({*trade_off} <= {*block["columns"].values()} for block in tree["blocks"])
    ):
        raise ConfigError(
            f"'trade_off' of {where} must be two metrics, larger ones better, that are columns of one block "
            f"(got {list(trade_off)})"
        )
    return TableSpec(
        name=name,
        title=tree["title"],
        overrides=tuple(tree.get("overrides", [])),
        seeds=tuple(tree.get("seeds", [0])),
        trials=tree.get("trials", 0),
        blocks=tuple(
            Block(
                block["label"],
                tuple(Column(key, label, best_value(key)) for label, key in block["columns"].items()),
            )
            for block in tree["blocks"]
        ),
        block_overrides={block["label"]: tuple(block.get("overrides", [])) for block in tree["blocks"]},
        rows=tuple(rows),
        tested=tuple(tree.get("tested", [])),
        gain_over=tuple(tree.get("gain_over", [])),
        trade_off=trade_off,
    )


def table_cells(spec: TableSpec) -> list[Cell]:
    """Return every cell of a table in the order of its blocks and rows."""
    return [
        Cell(
            block.label,
            row.label,
            (*spec.overrides, *spec.block_overrides[block.label], *row.overrides),
            row.tune,
        )
        for block in spec.blocks
        for row in spec.rows
    ]


def table_jobs(cells: Sequence[Cell], seeds: Sequence[int], extra: Sequence[str] = ()) -> list[Job]:
    """Return every run of these cells, which are tuned; `extra` overrides come last.

    A baseline that reads a trained run has one job, whatever the number of seeds: that run is of one seed.

    Errors: ConfigError for a mistake in a cell, which it names, and for a word that sets the seed.
    """
    jobs = []
    for cell in Progress(cells, name="compose", unit="row"):
        reading: list[ModelConfig] = []  # more than one where `runs` has ${seed} in it
        for seed in seeds:
            overrides = (*cell.overrides, f"seed={seed}", *extra)
            try:
                check_seeds((*cell.overrides, *cell.tune, *extra))
                config = _config(overrides)
            except GnnrecError as error:
                raise type(error)(f"{cell}: {error}") from error
            if reads_a_run(config.model.baseline):
                if config.model in reading:
                    continue
                reading.append(config.model)
            jobs.append(Job(Place(cell.block, cell.row, seed), overrides, config))
    return jobs


def check_seeds(words: Sequence[str]) -> None:
    """Raise a ConfigError for a word that sets the seed: every seed of a table would be a run of that one."""
    for word in words:
        if word.partition("=")[0].lstrip("+").partition("@")[0] == "seed":
            raise ConfigError(
                f"'{word}' sets the seed, and a table has its seeds in 'seeds' or --seeds: leave it out"
            )


@lru_cache(maxsize=4096)  # asked for before anything is run, and again for the runs
def _config(overrides: tuple[str, ...]) -> RunConfig:
    return RunConfig.from_dict(compose_config(overrides))


def _rows(entry: Any, where: str, folder: Path, within: tuple[str, ...]) -> list[Row]:
    """Return the row that this entry of `rows` describes, or those of the table that it names."""
    if not isinstance(entry, dict) or "table" not in entry:
        _check(entry, ("label", "overrides", "baseline", "tune"), ("label",), where)
        overrides, tune = tuple(entry.get("overrides", [])), tuple(entry.get("tune", []))
        return [Row(entry["label"], overrides, entry.get("baseline", False), tune)]
    _check(entry, ("table", "tune", "leave_out"), ("table",), where, KINDS | {"tune": SWEEPS})
    rows = {row.label: row for row in read_spec(entry["table"], folder, within).rows}
    for key in ("tune", "leave_out"):
        for label in entry.get(key, []):
            if label not in rows:
                raise ConfigError(
                    f"unknown row '{label}' in '{key}' of {where}, in table '{entry['table']}'{suggest(label, rows)}"
                )
    tune = entry.get("tune", {})
    return [
        replace(row, tune=tuple(tune.get(row.label, row.tune)))
        for row in rows.values()
        if row.label not in entry.get("leave_out", [])
    ]


def _grid(dimensions: Any, where: str) -> list[Row]:
    """Return a row for every combination of one entry of each dimension."""
    valid = isinstance(dimensions, list) and all(
        isinstance(dimension, dict)
        and all(map(_is_text, dimension))
        and all(map(_are_texts, dimension.values()))
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


def _check(
    tree: Any, known: Sequence[str], needed: Sequence[str], where: str, kinds: Mapping[str, Kind] = KINDS
) -> None:
    if not isinstance(tree, dict):
        raise ConfigError(f"{where}: expected keys and values (got {tree!r})")
    for key, value in tree.items():
        if key not in known:
            raise ConfigError(f"unknown key '{key}' in {where}{suggest(str(key), known)}")
        if key in kinds and not kinds[key][0](value):
            raise ConfigError(f"'{key}' must be {kinds[key][1]} in {where} (got {value!r})")
    for key in needed:
        if key not in tree:
            raise ConfigError(f"{where} lacks the key '{key}' (found: {', '.join(map(str, tree))})")


def _check_tested(keys: Sequence[str], columns: Collection[str], where: str) -> None:
    """Raise a ConfigError unless runs keep these columns for every user, and one of their values is the best."""
    for key in keys:
        if key not in columns:
            raise ConfigError(
                f"'{key}' in 'tested' of {where} is no column of a block{suggest(key, columns)}"
            )
        group, _, name = key.removeprefix("test/").rpartition("/")
        kept = name.partition("@")[0] in (*ALL_METRICS, *PER_USER) and not group.startswith("user_")
        if not kept or best_value(key) is None:
            raise ConfigError(
                f"'{key}' in 'tested' of {where} cannot be tested over users: name accuracy metrics of everybody or of "
                "a group of items, as in test/tail/ndcg@20"
            )


def _check_distinct(labels: Sequence[str], what: str, where: str) -> None:
    if not labels:
        raise ConfigError(f"{where} has no {what}")
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"two {what} of {where} have the label '{label}'")
