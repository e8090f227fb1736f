"""Figures of a data set: degrees, popularity, time, text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gnnrec.data.dataset import Dataset
from gnnrec.data.groups import text_lengths
from gnnrec.files import whole_file

_BLUE, _ORANGE, _GREY = "#0072B2", "#E69F00", "#999999"  # Okabe and Ito: told apart by colour-blind readers


def draw_figures(dataset: Dataset, folder: str | Path, text_columns: Sequence[str] = ("text",)) -> list[Path]:
    """Draw the figures that the data set has data for as PNG files in `folder` and return their paths."""
    drawn = [
        _draw(dataset, folder, "degrees", _degrees),
        _draw(dataset, folder, "popularity", _lorenz),
    ]
    if dataset.interactions.timestamp is not None and dataset.card.get("time") != "position":
        drawn.append(_draw(dataset, folder, "time", _time))
    length = text_lengths(dataset.items, text_columns)
    if length.any():
        drawn.append(_draw(dataset, folder, "text_length", partial(_text_length, length)))
        drawn.append(_draw(dataset, folder, "text_coverage", partial(_text_coverage, length)))
    return drawn


def _draw(dataset: Dataset, folder: str | Path, name: str, draw: Callable[[Dataset, Axes], None]) -> Path:
    figure = Figure(figsize=(5, 3.5), layout="constrained")  # without pyplot: no global state, no display
    draw(dataset, figure.subplots())
    path = Path(folder) / f"{name}.png"
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
    return path


def _degrees(dataset: Dataset, axes: Axes) -> None:
    rows = dataset.interactions
    for counts, label, colour, marker in (
        (rows.user_counts(), "users", _BLUE, "o"),
        (rows.item_counts(), "items", _ORANGE, "s"),
    ):
        degree, number = np.unique(counts[counts > 0], return_counts=True)
        axes.loglog(degree, number, marker, color=colour, markersize=3, label=label, linestyle="none")
    axes.set(xlabel="interactions", ylabel="number of users or items", title=f"{dataset.name}: degrees")
    axes.legend()


def _lorenz(dataset: Dataset, axes: Axes) -> None:
    counts = np.sort(dataset.interactions.item_counts())
    held = np.concatenate([[0], np.cumsum(counts) / max(1, counts.sum())])
    axes.plot(np.linspace(0, 1, len(held)), held, color=_BLUE)
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1)
    axes.set(
        xlabel="share of items, rare first",
        ylabel="share of interactions",
        title=f"{dataset.name}: popularity",
    )


def _time(dataset: Dataset, axes: Axes) -> None:
    times = dataset.interactions.timestamp
    assert times is not None
    number, edges = np.histogram(times, bins=min(100, max(10, len(times) // 20)))
    axes.stairs(number, edges.astype("datetime64[s]").astype("datetime64[ms]"), fill=True, color=_BLUE)
    axes.set(ylabel="interactions", title=f"{dataset.name}: over time")
    axes.tick_params(axis="x", rotation=30)


def _text_length(length: np.ndarray, dataset: Dataset, axes: Axes) -> None:
    axes.hist(length, bins=50, color=_BLUE)
    axes.set(xlabel="characters", ylabel="items", title=f"{dataset.name}: text length")


def _text_coverage(length: np.ndarray, dataset: Dataset, axes: Axes) -> None:
    """Share of items with text in ten equal bins of popularity rank."""
    counts = dataset.interactions.item_counts()
    ranked = np.argsort(-counts, kind="stable")
    has = length[ranked] > 0
    shares = [part.mean() if len(part) else 0.0 for part in np.array_split(has, 10)]
    axes.bar(np.arange(10) * 10 + 5, shares, width=9, color=_ORANGE)
    axes.set(
        xlabel="percentile of popularity, popular first", ylabel="share of items with text", ylim=(0, 1.02)
    )
    axes.set_title(f"{dataset.name}: text by popularity")
