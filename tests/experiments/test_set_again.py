"""Words that would be run in the place of what a table or a search says it runs: its seeds, and what it tunes."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import search, table, tune
from experiments.cli import run_main
from experiments.search import draw_trials
from experiments.settings import Setting, write_settings
from experiments.spec import Cell, read_spec, table_cells, table_jobs
from gnnrec.errors import ConfigError
from tests.experiments.table_runner import Runner

TABLE = """
title: x
overrides: [dataset=debian{table}]
seeds: [0, 1]
trials: 2
blocks: [{{label: one, overrides: [split=random{block}], columns: {{R@20: test/recall@20}}}}]
rows:
  - {{label: popularity, overrides: [model=popularity]}}
  - {{label: mf, overrides: [model=mf, train.lr=0.1{row}], tune: ["train.lr=1e-3,1e-2"{tune}]}}
"""


@pytest.fixture
def write(runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write table t with further words."""

    def write_table(**words: str) -> None:
        text = TABLE.format(**(dict.fromkeys(("table", "block", "row", "tune"), "") | words))
        (tmp_path / "t.yaml").write_text(text)

    monkeypatch.setattr(search, "validate", lambda *_: {"validation/ndcg@20": 0.5})
    monkeypatch.setattr(table, "read_spec", lambda name: read_spec(name, tmp_path))
    write_table()
    return write_table


@pytest.mark.parametrize("word", ["seed=3", "+seed=3", "++seed=3", "seed@x=3", "seed=3,4"])
def test_a_seed_on_the_command_line_of_a_table_is_refused(
    runner: Runner, write, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags in ([], ["--output", "out"], ["--dry-run"]):
        assert run_main(table.main, ["table=t", word, *flags]) == 2
        told = (
            f"error: '{word}' sets the seed, and a table has its seeds in 'seeds' or --seeds: leave it out\n"
        )
        assert capsys.readouterr().err == told
    assert runner.configs == []


@pytest.mark.parametrize("where", ["table", "block", "row", "tune"])
def test_a_seed_in_a_table_file_is_refused(
    runner: Runner, write, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(**{where: ", seed=7"})
    for flags in ([], ["--dry-run"]):
        assert run_main(table.main, ["table=t", *flags]) == 2
        assert "error: one · mf: 'seed=7' sets the seed, and" in capsys.readouterr().err
    assert runner.configs == []


def test_the_seed_may_be_read_and_the_split_has_its_own(runner: Runner, write) -> None:
    cells = [Cell("one", "mf", ("model=mf", "split.seed=5", "init.dim=${seed}"), ())]
    jobs = table_jobs(cells, [8, 16])
    assert [(job.config.seed, job.config.split.seed, job.config.init.dim) for job in jobs] == [
        (8, 5, 8),
        (16, 5, 16),
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train.lr=1,2", "train.lr=0.05"], "'train.lr=0.05' sets 'train.lr' again"),
        (["train.lr=1,2", "+train.lr=0.05"], r"'\+train.lr=0.05' sets 'train.lr' again"),
        (["train.lr=1,2", "train.lr=3,4"], "'train.lr=3,4' sets 'train.lr' again"),
        (
            ["train.lr=interval(1,2)", "train.lr=3"],
            r"the values of 'train.lr=interval\(1,2\)' would never be run",
        ),
        (["init=id,text", "init=concat"], "'init=concat' sets 'init' again"),
        (["model.a.k=1,2", "model.a={k: 3}"], "'model.a={k: 3}' sets 'model.a.k' again"),
        (["model.a.k=1,2", "model.a={_target_: A}"], "sets 'model.a.k' again"),
        (["model.a.k=1,2", "model.a=null"], "sets 'model.a.k' again"),
    ],
)
def test_a_sweep_that_a_later_word_replaces_is_refused(words: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=rf"^.*{told}.*leave one of them out$"):
        draw_trials(["model=mf", *words, "device=cpu"], 2, 0)


@pytest.mark.parametrize(
    "words",
    [
        ["train.lr=3", "train.lr=1,2"],  # the sweep is run
        ["model.a.k=1,2", "model.a={j: 3}"],
        ["model.a.k=1,2", "model.a.kk=3"],
        ["train.lr=1,2", "train=quick"],  # a group's file comes before any key
    ],
)
def test_a_sweep_that_no_word_replaces_is_drawn(words: list[str]) -> None:
    assert len(draw_trials(["model=mf", *words], 9, 0)) == 2


def test_a_search_whose_sweep_is_set_again_fits_nothing(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search, "validate", lambda *_: pytest.fail("fitted"))
    assert run_main(tune.main, [*small, "model=item_knn", "model.baseline.k=5,10", "model.baseline.k=7"]) == 2
    assert "'model.baseline.k=7' sets 'model.baseline.k' again, and" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["train.lr=0.05", "train.lr=3,4"])
@pytest.mark.parametrize("known", [False, True])
def test_what_a_row_is_tuned_in_cannot_be_set_for_the_table(
    runner: Runner, write, word: str, known: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mf = table_cells(read_spec("t", tmp_path))[1]
    write_settings({mf: Setting(("train.lr=0.001",), 2, 0.5)}, tmp_path / "kept.csv")
    words = ["table=t", word, *(["--settings", "kept.csv"] if known else [])]
    for flags in (["--output", "out"], ["--dry-run"]):
        assert run_main(table.main, [*words, *flags]) == 2
        assert f"error: one · mf: '{word}' sets 'train.lr' again" in capsys.readouterr().err
    assert runner.configs == []


def test_a_fixed_word_among_what_is_tuned_is_told_as_chosen_and_so_cannot_be_set_either(
    runner: Runner, write, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tune=", init.dim=8")
    assert run_main(table.main, ["table=t", "init.dim=16", "--output", "out"]) == 2
    assert "one · mf: 'init.dim=16' sets 'init.dim' again" in capsys.readouterr().err
    assert run_main(table.main, ["table=t", "init.std=0.01", "--output", "out"]) == 0
    assert {config.init.dim for config in runner.configs if config.model.name == "mf"} == {8}
