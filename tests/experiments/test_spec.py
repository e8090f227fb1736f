"""What a table file says, read without running anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import search
from experiments.spec import TABLES, Cell, read_spec, table_cells, table_jobs
from gnnrec.errors import ConfigError

BLOCKS = "blocks: [{label: one, columns: {R@20: test/recall@20}}]"
GOOD = f"title: x\n{BLOCKS}\nrows: [{{label: a}}]\n"


def test_the_quickstart_is_different_runs() -> None:
    spec = read_spec("quickstart")
    jobs = table_jobs(table_cells(spec), spec.seeds)
    assert len(spec.seeds) == 1
    assert len(jobs) == len({job.config.key("data") for job in jobs}) == len(spec.rows) * len(spec.blocks)
    assert {job.config.dataset.name for job in jobs} == {"debian"}
    assert {job.config.split.name for job in jobs} == {"random", "cold_item"}
    assert len({job.place for job in jobs}) == len(jobs)


def test_every_shipped_table_composes() -> None:
    for path in TABLES.glob("*.yaml"):
        spec = read_spec(path.stem)
        jobs = table_jobs(table_cells(spec), spec.seeds[:1])
        assert len({job.config.key("data") + job.config.dataset.name for job in jobs}) == len(jobs), path
        for cell in table_cells(spec)[: len(spec.rows)]:
            assert not cell.tune or search.Search([*cell.overrides, *cell.tune], 1).trials, cell


def test_a_row_that_reads_a_trained_run_has_no_more_seeds_than_runs(tmp_path: Path) -> None:
    for seed in "01":
        (tmp_path / seed).mkdir()
        for name in ("DONE", "embeddings.safetensors"):
            (tmp_path / seed / name).touch()

    def seeds(runs: str) -> list[int]:
        part = f"{{_target_: gnnrec.baselines.Embeddings, runs: '{tmp_path}/{runs}'}}"
        words = ("model=fusion", f"+model.baseline.parts.graph={part}", "+model.baseline.weights.graph=1.0")
        return [job.place.seed for job in table_jobs([Cell("b", "r", words, ())], [0, 1])]

    assert seeds("1") == [0]
    assert seeds("${seed}") == [0, 1]


def test_a_column_knows_which_value_is_the_best(tmp_path: Path) -> None:
    keys = ("test/recall@20", "test/gini@20", "test/ties@20")
    columns = ", ".join(f"c{place}: {key}" for place, key in enumerate(keys))
    (tmp_path / "t.yaml").write_text(GOOD.replace("R@20: test/recall@20", columns))
    assert [column.best for column in read_spec("t", tmp_path).blocks[0].columns] == ["max", "min", None]


def test_a_mistake_in_a_row_is_told_with_its_block_and_row(tmp_path: Path) -> None:
    for words, told in (
        ("model=popularty", "unknown option 'popularty' for 'model', did you mean 'popularity'"),
        ("'model=popularity,ease'", r"gives several values: .* \(in a table, write a row for each\)"),
    ):
        (tmp_path / "t.yaml").write_text(GOOD.replace("{label: a}", f"{{label: a, overrides: [{words}]}}"))
        spec = read_spec("t", tmp_path)
        with pytest.raises(ConfigError, match=rf"^one · a: .*{told}"):
            table_jobs(table_cells(spec), spec.seeds)


def test_a_grid_is_every_combination(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(
        f"title: x\n{BLOCKS}\nrows: [{{label: a}}]\n"
        "grid: [{b: [model=mf], c: [model=gat]}, {'': [], d: [seed=1, train.lr=1]}]\n"
    )
    rows = read_spec("t", tmp_path).rows
    assert [row.label for row in rows] == ["a", "b", "b d", "c", "c d"]
    assert rows[2].overrides == ("model=mf", "seed=1", "train.lr=1")


def test_rows_of_another_table(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(
        f"title: x\ntrials: 2\n{BLOCKS}\n"
        "rows: [{label: a, tune: [k=1]}, {label: b}]\ngrid: [{c: [model=mf]}]\n"
    )
    (tmp_path / "two.yaml").write_text(
        f"title: y\ntrials: 2\n{BLOCKS}\nrows: [{{label: z}}, {{table: one, tune: {{a: [k=2], b: [l=3]}}}}]\n"
    )
    rows = read_spec("two", tmp_path).rows
    assert [row.label for row in rows] == ["z", "a", "b", "c"]
    assert [row.tune for row in rows] == [(), ("k=2",), ("l=3",), ()]
    assert rows[3] == read_spec("one", tmp_path).rows[2]
    (tmp_path / "three.yaml").write_text(
        f"title: y\ntrials: 2\n{BLOCKS}\nrows: [{{table: two, leave_out: [z, b]}}]\n"
    )
    assert read_spec("three", tmp_path).rows == (rows[1], rows[3])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title: x\nblocks: []\nrowz: []", "unknown key 'rowz'"),
        ("title: x\nblocks: []", "lacks the key 'rows'"),
        ("- a", "expected keys and values"),
        ("title: [", "no valid YAML"),
        ("title: x\nblocks: [{label: a}]\nrows: []", "lacks the key 'columns'"),
        ("title: x\nblocks: []\nrows: [{label: a}]\ngain_over: [b]", "unknown row 'b' in 'gain_over'"),
        ("title: x\nblocks: []\nrows: [{label: a}, {label: a}]", "have the label 'a'"),
        (
            GOOD + "tested: [test/recal@20]",
            "'test/recal@20' in 'tested' of experiments/tables/t.yaml is no column of a block, did you",
        ),
        *(
            (
                GOOD.replace("test/recall@20", key) + f"tested: [{key}]",
                f"'{key}' in 'tested' of experiments/tables/t.yaml cannot be tested over users: name accuracy metrics",
            )
            for key in ("test/user_q1/recall@20", "test/coverage@20", "test/avg_popularity@20")
        ),
        (
            GOOD.replace("columns: {", "columns: {G: test/gini@20, ")
            + "trade_off: [test/recall@20, test/gini@20]",
            "'trade_off' of experiments/tables/t.yaml must be two metrics, larger ones better",
        ),
        (GOOD + "tested: test/recall@20", "'tested' must be a list of texts"),
        (
            GOOD + "seeds: 0",
            "'seeds' must be a list of whole numbers, as in [0, 1] in experiments/tables/t.yaml (got 0)",
        ),
        (GOOD + "seeds: []", "'seeds' must be a list of whole numbers"),
        (GOOD + "seeds: [-1]", "'seeds' must be a list of whole numbers"),
        (GOOD + "trials: few", "'trials' must be a whole number of at least 1"),
        (GOOD + "trials: 0", "'trials' must be a whole number of at least 1"),
        (
            GOOD.replace("label: a", "label: 3"),
            "'label' must be a text (numbers in quotes) in experiments/tables/t.yaml (got 3)",
        ),
        (GOOD.replace("label: one", "label: 1"), "'label' must be a text"),
        (GOOD.replace("{R@20: test/recall@20}", "[test/recall@20]"), "'columns' must be a mapping"),
        (GOOD.replace("R@20:", "20:"), "'columns' must be a mapping"),
        (GOOD.replace("label: a", "label: a, baseline: 1"), "'baseline' must be true or false"),
        (GOOD.replace("label: a", "label: a, overrides: model=mf"), "'overrides' must be a list of texts"),
        (GOOD + "grid: [{3: [model=mf]}]", "'grid' must be a list of mappings from label to overrides"),
        ("title: x\nblocks: []\nrows: []", "experiments/tables/t.yaml has no rows"),
        (GOOD.replace(BLOCKS, "blocks: [ ]"), "experiments/tables/t.yaml has no blocks"),
        (
            GOOD.replace(BLOCKS, f"{BLOCKS[:-1]}, {BLOCKS[9:]}"),
            "two blocks of experiments/tables/t.yaml have the label 'one'",
        ),
        (
            "title: x\nblocks: []\nrows: [{table: u, tune: [a=1]}]",
            "'tune' must be a mapping from label to sweeps",
        ),
        (
            "title: x\nblocks: []\nrows: [{label: a, tune: [a=1]}]",
            "row 'a' of experiments/tables/t.yaml has 'tune'",
        ),
        ("title: x\nblocks: []\nrows: []\ngrid: {a: []}", "'grid' must be a list of mappings"),
        (
            "title: x\nblocks: []\nrows: [{label: a}]\ntrade_off: [a, b]",
            "'trade_off' of experiments/tables/t.yaml must be two metrics",
        ),
        ("title: x\nblocks: []\nrows: u", "'rows' must be a list in experiments/tables/t.yaml (got 'u')"),
        ("title: x\nblocks: []\nrows: [{table: tt}]", "unknown table 'tt', did you mean 't'"),
        ("title: x\nblocks: []\nrows: [{table: t}]", "table 't' takes its own rows (t -> t)"),
        (
            "title: x\nblocks: []\nrows: [{table: u, tune: {e: [a=1]}}]",
            "unknown row 'e' in 'tune' of experiments/tables/t.yaml",
        ),
        (
            "title: x\nblocks: []\nrows: [{table: u, leave_out: [dd]}]",
            "unknown row 'dd' in 'leave_out' of experiments/tables/t.yaml",
        ),
        (
            "title: x\nblocks: []\nrows: [{table: u, tune: {d: [a=1]}}]",
            "row 'd' of experiments/tables/t.yaml has 'tune'",
        ),
    ],
)
def test_a_wrong_table_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "t.yaml").write_text(text.replace("blocks: []", BLOCKS))
    (tmp_path / "u.yaml").write_text(f"title: x\n{BLOCKS}\nrows: [{{label: d}}]")
    with pytest.raises(ConfigError) as caught:
        read_spec("t", tmp_path)
    assert told in str(caught.value)
