"""What one metric costs in another: every row of a table as a point, those that nothing beats in both on a line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gnnrec.errors import DataError
from gnnrec.report.frame import records
from gnnrec.report.style import COLOURS, add_legend, new_figure, save_figure
from gnnrec.report.tables import Block, Table, to_csv_frame

# Where a label may stand beside its point: offset in points and alignment, tried in this order.
_PLACES = (
    ((5, 0), "left", "center"),
    ((-5, 0), "right", "center"),
    ((0, 5), "center", "bottom"),
    ((0, -5), "center", "top"),
    ((4, 4), "left", "bottom"),
    ((4, -4), "left", "top"),
    ((-4, 4), "right", "bottom"),
    ((-4, -4), "right", "top"),
)


def pareto_front(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the places, by rising x, of the points that no other point beats in one value and equals in the other.

    >>> pareto_front(np.array([1.0, 2.0, 3.0, 2.0]), np.array([3.0, 2.0, 1.0, 1.0])).tolist()
    [0, 1, 2]
    """
    best, front = -np.inf, []
    for place in np.lexsort((-y, -x)):  # falling x, among equals falling y
        if y[place] > best or (front and y[place] == best and x[place] == x[front[-1]]):
            best = y[place]
            front.append(place)
    return np.array(front[::-1], dtype=np.int64)


def trade_off(
    table: Table, metrics: Sequence[str], path: str | Path, *, baselines: Collection[str] = ()
) -> list[Path]:
    """Draw the rows of each block as points of two metrics, means over seeds; write `path`.png and .pdf.

    Bars are one standard deviation over seeds. Labels stand where there is room for them: those of the Pareto front
    (rows that no other row beats in one metric and equals in the other) first, the others in the order of the table.

    Args:
        metrics: keys of two columns, x and y; larger is better in both. Blocks without them are left out.
        baselines: row labels that are drawn as squares.
    """
    blocks = [block for block in table.blocks if {*metrics} <= {column.metric for column in block.columns}]
    if not blocks:
        raise DataError(f"no block of table '{table.name}' has both '{metrics[0]}' and '{metrics[1]}'")
    figure, axes = new_figure(1, len(blocks), 6.8 * len(blocks), 5.2)
    for axis, block in zip(axes.flat, blocks):
        _draw_block(axis, table, block, metrics, baselines)
    add_legend(figure, axes)
    figure.draw_without_rendering()  # fixes the layout, which the room for labels depends on
    for axis in axes.flat:
        _place_labels(axis)
    return save_figure(figure, path)


def _draw_block(
    axis: Any, table: Table, block: Block, metrics: Sequence[str], baselines: Collection[str]
) -> None:
    lines = records(to_csv_frame(table))
    cells = {(line["row"], line["metric"]): line for line in lines if line["block"] == block.label}
    x, y, x_std, y_std = (
        np.array([float(cells[row, metric][value]) for row in table.rows])
        for value in ("mean", "std")
        for metric in metrics
    )
    cheap = np.array([row in baselines for row in table.rows])
    for kind, member, colour, marker in (
        ("model", ~cheap, COLOURS[0], "o"),
        ("baseline", cheap, COLOURS[3], "s"),
    ):
        axis.errorbar(
            x[member],
            y[member],
            np.nan_to_num(y_std[member]),
            np.nan_to_num(x_std[member]),
            fmt=marker,
            label=kind,
            color=colour,
            markersize=4,
            elinewidth=0.6,
        )
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    front = known[pareto_front(x[known], y[known])].tolist()
    axis.plot(x[front], y[front], color="0.6", linewidth=0.8, zorder=0, label="not beaten in both")
    labels = {column.metric: column.label for column in block.columns}
    axis.set_xlabel(labels[metrics[0]])
    axis.set_ylabel(labels[metrics[1]])
    axis.set_title(block.label, fontsize=9)
    axis.margins(0.12)
    order = [
        *front[-1:],
        *front,
        *known.tolist(),
    ]  # the best in x, which stands at the edge, has the first choice
    for place in dict.fromkeys(order):
        axis.annotate(
            table.rows[place],
            (x[place], y[place]),
            (0, 0),
            textcoords="offset points",
            fontsize=6.5,
            fontweight="bold" if place in front else "normal",
            color=COLOURS[3] if cheap[place] else COLOURS[0],
        )


def _place_labels(axis: Any) -> None:
    """Move each label to the first place where it covers no point and no label before it; hide it if there is none."""
    points = [axis.transData.transform(label.xy) for label in axis.texts]
    taken: list[Any] = []
    for label in axis.texts:
        for offset, horizontal, vertical in _PLACES:
            label.set(position=offset, horizontalalignment=horizontal, verticalalignment=vertical)
            box = label.get_window_extent()
            inside = axis.bbox.x0 <= box.x0 and box.x1 <= axis.figure.bbox.x1
            free = not any(box.overlaps(other) for other in taken)
            if inside and free and not _covers(box, points):
                taken.append(box)
                break
        else:
            label.set_visible(False)


def _covers(box: Any, points: Sequence[np.ndarray]) -> bool:
    return any(box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1 for x, y in points)
