"""One look for all figures: colour-blind safe, fonts embedded as text, PNG for screens and PDF for papers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

from gnnrec.files import whole_file

# Okabe and Ito (2008), https://jfly.uni-koeln.de/color/: told apart with every common colour blindness; after
# these eight, four of Paul Tol's "muted" scheme, https://personal.sron.nl/~pault/, for tables of many rows.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
COLOURS += ("#882255", "#999933", "#44AA99", "#661100")
MARKERS = "osD^vPX*<>hp"
_LOOK = {"pdf.fonttype": 42, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def new_figure(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Any, Any]:
    """Return a figure without a window and its axes as an array [rows, columns]; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_LOOK):  # pyright: ignore[reportArgumentType]
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        return figure, figure.subplots(rows, columns, squeeze=False, **options)


def visible(label: str) -> str:
    """Return a label that a legend shows: matplotlib leaves out those that begin with an underscore."""
    return f" {label}" if label.startswith("_") else label


def add_legend(figure: Any, axes: Any) -> None:
    """Put one legend for all axes below them, each label once."""
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    style: dict[str, Any] = {"ncols": 3, "fontsize": 8, "frameon": False}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", **style)


def save_figure(figure: Any, path: str | Path, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Write `path`.FORMAT for every format, whole or not at all and without a date; return the paths."""
    path = Path(path)
    written = []
    for ending in formats:
        options: dict[str, Any] = {"dpi": 130} if ending == "png" else {"metadata": {"CreationDate": None}}
        target = path.with_name(f"{path.name}.{ending}")
        with whole_file(target) as temporary, matplotlib.rc_context(_LOOK):  # pyright: ignore[reportArgumentType]
            figure.savefig(temporary, format=ending, **options)
        written.append(target)
    return written
