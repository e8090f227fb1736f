"""A tidy frame of runs becomes a paper table in csv, md and tex: means over seeds, the best in bold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from gnnrec.errors import DataError
from gnnrec.files import whole_file, write_text
from gnnrec.report.frame import records

MARK_BELOW = 0.05
_MARKDOWN = re.compile(r"[\\*_`<\[]")  # what would be no text in a label


@dataclass(frozen=True)
class Column:
    """One column: the metric key it shows, its heading, and whether "max" or "min" is the best (no bold if None)."""

    metric: str
    label: str
    best: str | None = "max"


@dataclass(frozen=True)
class Block:
    """One part of a table, with its own columns: for example one split."""

    label: str
    columns: Sequence[Column]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """What is written: `cells` has one row per block, row label and metric (see `summarise`).

    Args:
        name: file name without ending.
        caption: protocol, seeds, tests: what a number of this table means.
        blocks: the parts, in order.
        rows: the row labels, in order.
        p_values: (block, row, metric) -> corrected p-value against what the caption says; may be empty.
    """

    name: str
    caption: str
    blocks: Sequence[Block]
    rows: Sequence[str]
    cells: pd.DataFrame
    p_values: Mapping[tuple[str, str, str], float] = field(default_factory=dict)


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """Return mean, standard deviation over seeds (n - 1) and number of seeds by block, row and metric.

    Args:
        frame: from `metrics_frame` with the labels `block`, `row` and `seed`.

    Raises a DataError where a run appears twice or runs of different protocols would be mixed in one table.
    """
    if frame.duplicated(["block", "row", "seed", "metric"]).any():
        raise DataError("two runs of the table have the same block, row and seed")
    protocols = sorted(frame["protocol"].unique())
    if len(protocols) > 1:
        raise DataError(f"a table must not mix protocols (got {', '.join(protocols)})")
    grouped = frame.groupby(["block", "row", "metric"], sort=False)["value"]
    return grouped.agg(mean="mean", std="std", num_seeds="count").reset_index()


def write_table(table: Table, folder: str | Path) -> list[Path]:
    """Write `name.csv`, `name.md` and `name.tex` below a folder; return their paths."""
    folder = Path(folder)
    paths = [folder / f"{table.name}.{ending}" for ending in ("csv", "md", "tex")]
    with whole_file(paths[0]) as temporary:
        to_csv_frame(table).to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n")
    write_text(paths[1], to_markdown(table))
    write_text(paths[2], to_latex(table))
    return paths


def to_csv_frame(table: Table) -> pd.DataFrame:
    """Return one row per block, row and column of the table: mean, std, num_seeds and p_holm."""
    rows = []
    for block in table.blocks:
        for row in table.rows:
            for column in block.columns:
                mean, std, num = _cell(table, block, row, column)
                p = table.p_values.get((block.label, row, column.metric))
                rows.append((block.label, row, column.metric, mean, std, num, p))
    names = ["block", "row", "metric", "mean", "std", "num_seeds", "p_holm"]
    return pd.DataFrame(rows, columns=pd.Index(names))


def to_markdown(table: Table) -> str:
    """Return the table as GitHub Markdown: one part per block, the best of each column in bold."""
    lines = []
    for block in table.blocks:
        lines += [f"**{block.label}**", ""]
        lines += [_pipe(["", *(column.label for column in block.columns)])]
        lines += [_pipe(["---", *("---:" for _ in block.columns)])]
        for row, cells in _formatted(table, block, "**{}**", " ± ", "†"):
            lines.append(_pipe([_MARKDOWN.sub(r"\\\g<0>", row), *cells]))
        lines += ["", *([block.note, ""] if block.note else [])]
    return "\n".join([*lines, table.caption, ""])


def to_latex(table: Table) -> str:
    """Return the table as LaTeX without further packages: one tabular per block, and the caption."""
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{_escape(table.caption)}}}"]
    lines.append(rf"\label{{tab:{table.name}}}")
    for block in table.blocks:
        lines.append(rf"\par\medskip\textbf{{{_escape(block.label)}}}\par")
        lines.append(rf"\begin{{tabular}}{{l{'r' * len(block.columns)}}}")
        heads = " & ".join(_escape(column.label) for column in block.columns)
        lines += [r"\hline", rf" & {heads} \\", r"\hline"]
        for row, cells in _formatted(table, block, r"\textbf{{{}}}", r"$\pm$", r"$^\dagger$"):
            # after \\, LaTeX takes [ and * for its own
            label = f"{'{}' if row[:1] in ('[', '*') else ''}{_escape(row)}"
            lines.append(rf"{label} & {' & '.join(cells)} \\")
        lines += [r"\hline", r"\end{tabular}"]
        if block.note:
            lines.append(rf"\par{{\footnotesize {_escape(block.note)}}}\par")
    return "\n".join([*lines, r"\end{table}", ""])


def _formatted(
    table: Table, block: Block, bold: str, plus_minus: str, mark: str
) -> list[tuple[str, list[str]]]:
    best = {column.metric: _best(table, block, column) for column in block.columns}
    rows = []
    for row in table.rows:
        cells = []
        for column in block.columns:
            mean, std, num = _cell(table, block, row, column)
            if mean != mean:
                cells.append("-")
                continue
            text = _number(mean)
            text = bold.format(text) if text == best[column.metric] else text
            text += f"{plus_minus}{_number(std)}" if num > 1 and std == std else ""
            p = table.p_values.get((block.label, row, column.metric))
            cells.append(text + (mark if p is not None and p < MARK_BELOW else ""))
        rows.append((row, cells))
    return rows


def _best(table: Table, block: Block, column: Column) -> str | None:
    """Return the best mean as it is printed, so that rows that look equal are all bold."""
    means = [_cell(table, block, row, column)[0] for row in table.rows]
    known = [mean for mean in means if mean == mean]
    if column.best is None or not known:
        return None
    return _number(max(known) if column.best == "max" else min(known))


def _cell(table: Table, block: Block, row: str, column: Column) -> tuple[float, float, int]:
    cells = table.cells
    here = (cells["block"] == block.label) & (cells["row"] == row) & (cells["metric"] == column.metric)
    for line in records(cells[here]):
        return float(line["mean"]), float(line["std"]), int(line["num_seeds"])
    return float("nan"), float("nan"), 0


def _number(value: float) -> str:
    text = f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def _pipe(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _escape(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {"±": r"$\pm$", "†": r"$^\dagger$", "<": "$<$", ">": "$>$"}
    special |= {character: f"\\{character}" for character in "&%$#_{}"}
    return "".join(special.get(character, character) for character in text)
