"""What the caption of a table says of its runs: settings tried, seeds that are lacking, and models fitted again."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import search, table
from experiments.assembly import build_table
from experiments.cli import run_main
from experiments.settings import Setting, read_settings
from experiments.spec import Place, TableSpec, read_spec, table_cells
from gnnrec.report.captions import protocol_note
from gnnrec.report.frame import FinishedRun
from gnnrec.tracking import RunDir
from tests.experiments.table_runner import GROUPS, Runner

RESULTS = Path(__file__).resolve().parents[2] / "results"
REFITTED = "on train + validation for the test (eval.refit), trained ones for the chosen number of epochs."
TABLE = """
title: x
overrides: [dataset=debian]
trials: 20
blocks:
  - {label: one, columns: {R@20: test/recall@20}}
  - {label: two, overrides: [split=cold_items], columns: {R@20: test/recall@20}}
rows: [{label: popularity, overrides: [model=popularity], baseline: true}, {label: mf, overrides: [model=mf]}]
"""


@pytest.fixture
def spec(tmp_path: Path) -> TableSpec:
    (tmp_path / "t.yaml").write_text(TABLE)
    return read_spec("t", tmp_path)


@pytest.fixture
def make(tmp_path: Path):
    def make_run(place: Place) -> FinishedRun:
        run_dir = RunDir(tmp_path, str(place).replace(" ", ""))
        if run_dir.finished:
            return FinishedRun(run_dir.path)
        with run_dir:
            run_dir.write_config({"model": {"name": place.row}, "seed": place.seed})
            run_dir.write_manifest({"fingerprints": {"data": "d", "split": place.block}})
            metrics = {"test/recall@20": 0.5}
            result = {"key": "k", "protocol": "honest", "refit": False, "metrics": metrics, "groups": GROUPS}
            run_dir.write_result(result)
            run_dir.finish()
        return FinishedRun(run_dir.path)

    return make_run


def _caption(spec: TableSpec, make, counts: dict[tuple[str, str], int], settings=None) -> str:
    """Return the caption of a table of three seeds in which cells have so many."""
    places = [Place(*at, seed) for at, count in counts.items() for seed in range(count)]
    return build_table(spec, [0, 1, 2], {place: make(place) for place in places}, settings or {}).caption


@pytest.mark.parametrize(
    ("tried", "told"),
    [((3, 3), "the best of 3 by"), ((20, 2), "the best of 2 to 20 by"), ((1,), "the best of 1 by")],
)
def test_the_settings_that_were_tried_are_counted(
    spec: TableSpec, make, tried: tuple[int, ...], told: str
) -> None:
    cells, both = table_cells(spec), {("one", "mf"): 3, ("two", "mf"): 3}
    settings = {cell: Setting((), number, 0.5) for cell, number in zip(cells, tried)}
    caption = _caption(spec, make, both, settings)
    assert f"Rows with settings to choose have {told} NDCG@20 on validation of seed 0 (t_settings" in caption
    assert "settings to choose" not in _caption(spec, make, both)  # none was tuned


def test_a_table_counts_what_its_search_tried(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TABLE.replace("[model=mf]", "[model=mf], tune: ['train.lr=0.1,0.2']")
    (tmp_path / "t.yaml").write_text(text)
    monkeypatch.setattr(search, "validate", lambda *_: {"validation/ndcg@20": 0.5})
    monkeypatch.setattr(table, "read_spec", lambda name: read_spec(name, tmp_path))
    assert run_main(table.main, ["table=t"]) == 0
    assert "have the best of 2 by NDCG@20" in (tmp_path / "results" / "t.md").read_text()


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*_settings.csv")), ids=lambda path: path.stem)
def test_shipped_captions_are_as_they_were(path: Path, make) -> None:
    name = path.stem.removesuffix("_settings")
    spec = read_spec(name)
    settings = read_settings(path, table_cells(spec))
    caption = _caption(spec, make, {(block.label, "EASE"): 3 for block in spec.blocks}, settings)
    last = caption[caption.index("Rows with settings to choose") :]
    assert (RESULTS / f"{name}.md").read_text().rstrip().endswith(last)


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({("one", "ext"): 1, ("two", "ext"): 1}, "ext 1."),
        ({("one", "mf"): 3, ("two", "mf"): 3, ("two", "ext"): 1}, "ext 1."),
        ({("one", "ext"): 3, ("two", "ext"): 1}, "two · ext 1."),
        ({("one", "ext"): 1, ("two", "ext"): 2, ("two", "a"): 2}, "one · ext 1, two · ext 2, a 2."),
    ],
)
def test_seeds_that_are_lacking_are_told_with_the_block_where_it_matters(
    spec: TableSpec, make, counts: dict[tuple[str, str], int], told: str
) -> None:
    caption = _caption(spec, make, counts)
    assert caption.endswith(f"Fewer seeds, and no test below 5: {told}")
    assert "Fewer" not in _caption(spec, make, dict.fromkeys(counts, 3))


def test_a_table_of_models_fitted_again_says_so(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "read_spec", lambda name: read_spec(name, tmp_path))
    captions = {}
    for output, block, extra in (
        ("none", "split=cold_items", "eval.refit=false"),
        ("all", "split=cold_items", "eval.refit=true"),
        ("some", "split=cold_items, eval.refit=true", "eval.seed=0"),
    ):
        (tmp_path / "t.yaml").write_text(TABLE.replace("split=cold_items", block))
        assert run_main(table.main, ["table=t", "--output", output, extra]) == 0
        captions[output] = (tmp_path / output / "t.md").read_text()
    assert "train + validation" not in captions["none"]
    assert f"items of the user masked. Models were fitted {REFITTED} One seed (0)" in captions["all"]
    assert (
        f"items of the user masked. Models of 'two', and no others, were fitted {REFITTED}"
        in captions["some"]
    )


def test_a_legacy_protocol_has_no_validation_to_fit_again_on() -> None:
    assert protocol_note("honest", {}) == protocol_note("honest", {"a": False})
    assert "validation" not in protocol_note("legacy_test_selected", {"a": False})
