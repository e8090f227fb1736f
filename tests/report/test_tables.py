from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from gnnrec.errors import DataError
from gnnrec.report.frame import metrics_frame
from gnnrec.report.tables import (
    Block,
    Column,
    Table,
    summarise,
    to_csv_frame,
    to_latex,
    to_markdown,
    write_table,
)


def _frame(make_run, values: dict[tuple[str, int], float], protocol: str = "honest") -> pd.DataFrame:
    runs, labels = [], []
    for (row, seed), value in values.items():
        runs.append(
            make_run(f"{row}{seed}", {"test/recall@20": value, "test/gini@20": 1 - value}, protocol=protocol)
        )
        labels.append({"block": "random", "row": row, "seed": seed})
    return metrics_frame(runs, labels)


def _table(cells: pd.DataFrame, **more) -> Table:
    columns = (
        Column("test/recall@20", "R@20"),
        Column("test/gini@20", "Gini", "min"),
        Column("test/none@1", "none"),
    )
    blocks = [Block("random", columns, "head 2 items.")]
    return Table("t", "50% of A & B; one seed", blocks, ["pop", "kNN | x", "absent"], cells, **more)


def test_mean_and_standard_deviation_over_seeds(make_run) -> None:
    cells = summarise(_frame(make_run, {("pop", 0): 0.1, ("pop", 1): 0.3, ("kNN | x", 0): 0.5}))
    line = cells[(cells["row"] == "pop") & (cells["metric"] == "test/recall@20")].iloc[0]
    assert line["mean"] == pytest.approx(0.2)
    assert line["std"] == pytest.approx(math.sqrt(0.02))
    assert line["num_seeds"] == 2


def test_a_run_counted_twice_and_mixed_protocols_are_errors(make_run) -> None:
    frame = _frame(make_run, {("pop", 0): 0.1})
    with pytest.raises(DataError, match="same block, row and seed"):
        summarise(pd.concat([frame, frame]))
    other = frame.assign(protocol="legacy_test_selected", seed=1)
    with pytest.raises(DataError, match="must not mix protocols"):
        summarise(pd.concat([frame, other]))


def test_markdown_has_the_best_in_bold_and_marks(make_run) -> None:
    cells = summarise(_frame(make_run, {("pop", 0): 0.1, ("kNN | x", 0): 0.5}))
    text = to_markdown(_table(cells, p_values={("random", "kNN | x", "test/recall@20"): 0.01}))
    assert text.splitlines() == [
        "**random**",
        "",
        "|  | R@20 | Gini | none |",
        "| --- | ---: | ---: | ---: |",
        "| pop | .1000 | .9000 | - |",
        r"| kNN \| x | **.5000**† | **.5000** | - |",
        "| absent | - | - | - |",
        "",
        "head 2 items.",
        "",
        "50% of A & B; one seed",
    ]


def test_a_p_value_above_the_level_has_no_mark(make_run) -> None:
    cells = summarise(_frame(make_run, {("pop", 0): 0.1, ("kNN | x", 0): 0.5}))
    assert "†" not in to_markdown(_table(cells, p_values={("random", "kNN | x", "test/recall@20"): 0.05}))


def test_equal_values_are_both_bold_and_seeds_show_their_spread(make_run) -> None:
    values = {(row, seed): 0.25 + 0.1 * seed for row in ("pop", "kNN | x") for seed in (0, 1)}
    text = to_markdown(_table(summarise(_frame(make_run, values))))
    assert text.count("**.3000** ± .0707") == 2


def test_latex_escapes_and_is_balanced(make_run) -> None:
    text = to_latex(_table(summarise(_frame(make_run, {("pop", 0): 0.1, ("kNN | x", 0): 0.5}))))
    assert r"\caption{50\% of A \& B; one seed}" in text
    assert r"\textbf{.5000}" in text
    assert text.count(r"\begin{") == text.count(r"\end{")
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in rows} == {3}


def test_labels_are_text_in_every_form(make_run) -> None:
    labels = ["[cold] x", "*x", "a._target_=b", "2*3"]
    cells = summarise(_frame(make_run, {(row, 0): 0.5 for row in labels}))
    table = replace(_table(cells), rows=labels)
    lines = to_markdown(table).splitlines()
    starts = [line.split(" | ")[0] for line in lines if "\\" in line]
    assert starts == [r"| \[cold] x", r"| \*x", r"| a.\_target\_=b", r"| 2\*3"]
    rows = [line.split(" & ")[0] for line in to_latex(table).splitlines() if ".5000" in line]
    assert rows == ["{}[cold] x", "{}*x", r"a.\_target\_=b", "2*3"]


def test_a_seed_without_a_value_is_none_and_zero_has_no_sign(make_run) -> None:
    cells = summarise(_frame(make_run, {("pop", 0): 0.5, ("pop", 1): math.nan, ("kNN | x", 0): -1e-5}))
    text = to_markdown(_table(cells))
    assert "| pop | **.5000** |" in text
    assert r"| kNN \| x | .0000 |" in text
    frame = to_csv_frame(_table(cells))
    assert frame[frame["row"] == "pop"]["num_seeds"].tolist()[:2] == [1, 1]


def test_csv_holds_every_cell_and_its_spread(make_run) -> None:
    cells = summarise(_frame(make_run, {("pop", 0): 0.1, ("pop", 1): 0.3, ("kNN | x", 0): 0.5}))
    frame = to_csv_frame(_table(cells))
    assert len(frame) == 9
    pop = frame[(frame["row"] == "pop") & (frame["metric"] == "test/recall@20")].iloc[0]
    assert (round(pop["mean"], 6), round(pop["std"], 6), pop["num_seeds"]) == (0.2, 0.141421, 2)


def test_three_files_are_written_and_the_same_bytes_again(make_run, tmp_path: Path) -> None:
    table = _table(summarise(_frame(make_run, {("pop", 0): 0.1, ("kNN | x", 0): 0.5})))
    first = write_table(table, tmp_path / "a")
    second = write_table(table, tmp_path / "b")
    assert [path.name for path in first] == ["t.csv", "t.md", "t.tex"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert pd.read_csv(first[0])["mean"].notna().sum() == 4
