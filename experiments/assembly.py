"""From finished runs to a paper table and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from experiments.settings import Setting
from experiments.spec import Cell, Place, TableSpec
from gnnrec.errors import DataError
from gnnrec.evaluation.significance import MIN_SEEDS
from gnnrec.report.captions import group_note, protocol_note, seeds_note
from gnnrec.report.compare import paired_p_values
from gnnrec.report.frame import FinishedRun, flatten, metrics_frame
from gnnrec.report.gains import CUTOFF, ItemHits, gain_by_group, metric_against_degree
from gnnrec.report.rivals import model_settings
from gnnrec.report.tables import Block, Table, summarise, to_markdown
from gnnrec.report.trade_off import trade_off


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


def build_table(
    spec: TableSpec,
    seeds: Sequence[int],
    runs: Mapping[Place, FinishedRun],
    settings: Mapping[Cell, Setting],
    kept: pd.DataFrame | None = None,
) -> Table:
    """Return the table of these runs: means over seeds, tests where there are enough seeds, and the caption.

    Args:
        settings: of the cells that were tuned.
        kept: further rows, which were run before, as `summarise` gives them.
    """
    _check_blocks(runs)
    frame = metrics_frame(runs.values(), [vars(place) for place in runs])
    cells = summarise(frame)
    if kept is not None and len(kept):
        cells = pd.concat([cells, kept])
    p_values = {}
    refitted = {place.block: run_.result["refit"] for place, run_ in runs.items()}
    caption = [spec.title, protocol_note(str(frame["protocol"].iloc[0]), refitted), seeds_note(seeds)]
    grouped: dict[tuple[str, str], list[FinishedRun]] = {}
    for place, run_ in runs.items():
        grouped.setdefault((place.block, place.row), []).append(run_)
    fewer = _fewer({at: len(found) for at, found in grouped.items()}, len(seeds))
    if fewer:
        caption.append(f"Fewer seeds, and no test below {MIN_SEEDS}: {', '.join(fewer)}.")
    if len(seeds) >= MIN_SEEDS:
        baselines = [row.label for row in spec.rows if row.baseline]
        enough = {at: found for at, found in grouped.items() if at[1] in baselines or len(found) >= MIN_SEEDS}
        p_values = paired_p_values(enough, baselines, spec.tested)
        caption.append(
            "† differs from the best baseline of the column at p < .05 (paired t-test over users averaged over "
            "seeds, Holm-corrected over the rows)."
        )
    if settings:
        tried = sorted({setting.tried for setting in settings.values()})
        numbers = " to ".join(map(str, dict.fromkeys((tried[0], tried[-1]))))
        caption.append(
            f"Rows with settings to choose have the best of {numbers} by NDCG@20 on validation of seed "
            f"{spec.seeds[0]} ({spec.name}_settings.csv has them); test was not asked."
        )
    blocks = []
    for block in spec.blocks:
        found = [run_ for place, run_ in runs.items() if place.block == block.label]
        blocks.append(Block(block.label, block.columns, group_note(found, [c.metric for c in block.columns])))
    rows = list(dict.fromkeys([*(row.label for row in spec.rows), *(place.row for place in runs)]))
    return Table(spec.name, " ".join(caption), blocks, rows, cells, p_values)


def _fewer(counts: Mapping[tuple[str, str], int], num: int) -> list[str]:
    """Return the rows with fewer than `num` seeds and how many they have, with the block where that differs."""
    of_row: dict[str, set[int]] = {}
    for (_, row), count in counts.items():
        of_row.setdefault(row, set()).add(count)
    named = {at: at[1] if len(of_row[at[1]]) == 1 else " · ".join(at) for at in counts}
    return list(dict.fromkeys(f"{named[at]} {count}" for at, count in counts.items() if count < num))


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


def readme_with(table: Table, output: Path) -> dict[Path, str]:
    """Return the README.md beside `output` and its text with the table between its markers; {} if it has none."""
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
    return {path: f"{before}{start}\n{to_markdown(table)}{end}{after}"} if found and closed else {}
