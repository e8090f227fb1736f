"""Two figures: who gains over a baseline by item group, and how recall grows with an item's train degree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gnnrec.errors import DataError
from gnnrec.report.frame import records
from gnnrec.report.style import COLOURS, MARKERS, add_legend, new_figure, save_figure, visible

CUTOFF = 20  # of both figures
METRIC = f"recall@{CUTOFF}"
GROUPS = ("head", "mid", "tail", "cold")
# A relative gain over less than this is noise over nothing: the figure prints the two values instead.
NEAR_ZERO = 0.005
CAP = 3.0
_SMALL = {"rotation": 90, "ha": "center", "va": "bottom", "fontsize": 7}


@dataclass(frozen=True)
class Gain:
    """One row against a baseline on one group; `ratio` = value / base - 1, None where base is below .005."""

    value: float
    base: float

    @property
    def ratio(self) -> float | None:
        return None if self.base < NEAR_ZERO else self.value / self.base - 1


def relative_gains(
    frame: pd.DataFrame, baseline: str, metric: str, groups: Sequence[str]
) -> dict[tuple[str, str, str], Gain]:
    """Return the gain over a baseline by (block, row, group), of the means over seeds.

    Args:
        frame: from `metrics_frame` with labels `block`, `row`, `seed`.
        metric: name with cutoff, for example "recall@20".
        groups: item groups of the test metrics; those that a block lacks are left out.
    """
    values: dict[tuple[str, str, str], list[float]] = {}
    wanted = {f"test/{group}/{metric}": group for group in groups}
    for line in records(frame[frame["metric"].isin(list(wanted))]):
        if not math.isnan(line["value"]):
            place = (line["block"], line["row"], wanted[line["metric"]])
            values.setdefault(place, []).append(line["value"])
    means = {place: sum(numbers) / len(numbers) for place, numbers in values.items()}
    if not any(row == baseline for _, row, _ in means):
        raise DataError(f"no run of the baseline '{baseline}' has the metric '{metric}' by group")
    return {
        (block, row, group): Gain(value, means[block, baseline, group])
        for (block, row, group), value in means.items()
        if row != baseline and (block, baseline, group) in means
    }


def gain_by_group(
    frame: pd.DataFrame,
    path: str | Path,
    *,
    baselines: Sequence[str],
    leave_out: Sequence[str] = (),
) -> list[Path]:
    """Draw the relative gain of each row over each baseline by item group; write `path`.png and .pdf.

    One line of axes per baseline, one column per block. Bars above +300% are cut and carry their value; where
    the baseline is near zero there is no ratio, and the value itself is printed. The mean of a group is
    over the users with a test item in it.
    """
    blocks = list(dict.fromkeys(frame["block"]))
    colours = {row: COLOURS[place % len(COLOURS)] for place, row in enumerate(dict.fromkeys(frame["row"]))}
    rows = [row for row in colours if row not in leave_out]
    figure, axes = new_figure(len(baselines), len(blocks), 4.6 * len(blocks), 2.7 * len(baselines) + 0.5)
    for line, baseline in enumerate(baselines):
        gains = relative_gains(frame, baseline, METRIC, GROUPS)
        for axis, block in zip(axes[line], blocks):
            part = {(row, group): gain for (at, row, group), gain in gains.items() if at == block}
            _bars(axis, part, [row for row in rows if row != baseline], colours)
            axis.set_title(f"{block}: over {baseline}", fontsize=9)
        axes[line][0].set_ylabel(f"relative gain, {METRIC}")
    add_legend(figure, axes)
    return save_figure(figure, path)


def _bars(
    axis: Any,
    gains: Mapping[tuple[str, str], Gain],
    rows: Sequence[str],
    colours: Mapping[str, str],
) -> None:
    bases = {group: gain.base for (_, group), gain in gains.items()}
    shown = [group for group in GROUPS if group in bases]
    width = 0.8 / max(len(rows), 1)
    for place, row in enumerate(rows):
        heights = []
        for position, group in enumerate(shown):
            gain = gains.get((row, group))
            ratio = gain.ratio if gain else None
            heights.append(min(ratio or 0.0, CAP))
            at = position + (place - (len(rows) - 1) / 2) * width
            if gain and ratio is None:
                axis.text(at, 0, f" {gain.value:.3f}", **_SMALL)  # no ratio over nothing
            elif ratio is not None and ratio > CAP:
                axis.text(at, CAP, f" {ratio:+.0%}", **_SMALL)
        offset = (place - (len(rows) - 1) / 2) * width
        x = [position + offset for position in range(len(shown))]
        axis.bar(x, heights, width, label=visible(row), color=colours[row])
    labels = [f"{group}\n(baseline {bases[group]:.3f})" for group in shown]
    axis.set_xticks(range(len(shown)), labels, fontsize=8)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:+.0%}")
    axis.axhline(0, color="black", linewidth=0.8)
    axis.margins(y=0.15)
    if any((gain.ratio or 0) > CAP for gain in gains.values()):
        axis.set_ylim(top=CAP * 1.4)  # room for what is printed above the bars that are cut
    if any(gain.ratio is None for gain in gains.values()):
        bottom, top = axis.get_ylim()
        axis.set_ylim(top=max(top, -bottom / 4))  # room for the values that are printed above 0


@dataclass(frozen=True)
class ItemHits:
    """How often each item was found.

    Args:
        degree: train interactions of each item, int [num_items].
        relevant: test users for whom the item is relevant, int [num_items].
        hits: those of them whose top 20 holds the item, int [num_items].
    """

    degree: np.ndarray
    relevant: np.ndarray
    hits: np.ndarray


def recall_by_degree(items: ItemHits) -> pd.DataFrame:
    """Return the share of test pairs found, pooled over the items of a bin of train degree.

    Bins: 0, 1, 2-3, 4-7, 8-15, ...; columns `low`, `high`, `num_items` (items with a test pair), `num_pairs`,
    `recall` = sum of hits / sum of relevant. Bins without a test pair are left out.
    """
    bins = np.where(items.degree > 0, np.floor(np.log2(np.maximum(items.degree, 1))).astype(int) + 1, 0)
    rows = []
    for number in np.unique(bins[items.relevant > 0]):
        member = (bins == number) & (items.relevant > 0)
        low, high = (2 ** (number - 1), 2**number - 1) if number else (0, 0)
        pairs = int(items.relevant[member].sum())
        rows.append((int(low), int(high), int(member.sum()), pairs, items.hits[member].sum() / pairs))
    return pd.DataFrame(rows, columns=pd.Index(["low", "high", "num_items", "num_pairs", "recall"]))


def metric_against_degree(
    curves: Mapping[str, Mapping[str, Sequence[ItemHits]]], path: str | Path
) -> list[Path]:
    """Draw the share of test pairs in the top 20 against the item's train degree; write `path`.png and .pdf.

    Args:
        curves: block -> row -> one ItemHits per seed (averaged over seeds).
    """
    figure, axes = new_figure(1, len(curves), 4.6 * len(curves), 3.6, sharey=True)
    order = list(dict.fromkeys(row for rows in curves.values() for row in rows))
    for axis, (block, rows) in zip(axes.flat, curves.items()):
        ticks: dict[int, str] = {}
        for row, seeds in rows.items():
            bins: dict[tuple[int, int], list[float]] = {}
            for items in seeds:
                for line in records(recall_by_degree(items)):
                    bins.setdefault((line["low"], line["high"]), []).append(line["recall"])
            at = [low.bit_length() for low, _ in sorted(bins)]  # 0, 1, 2-3, 4-7: one step each
            ticks |= dict(zip(at, (_span(low, high) for low, high in sorted(bins))))
            place = order.index(row)
            style = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
            means = [sum(bins[span]) / len(bins[span]) for span in sorted(bins)]
            axis.plot(at, means, label=visible(row), markersize=4, linewidth=1.2, **style)
        axis.set_xticks(sorted(ticks), [ticks[at] for at in sorted(ticks)], fontsize=7, rotation=45)
        axis.set_title(block, fontsize=9)
        axis.set_xlabel("train interactions of the item")
    axes[0][0].set_ylim(bottom=0)  # of all panels, once all are drawn: it fixes the shared top, too
    axes[0][0].set_ylabel(f"share of test pairs in the top {CUTOFF}")
    add_legend(figure, axes)
    return save_figure(figure, path)


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"
