"""The benchmark scripts keep the rows that a trial does not concern, and tell what fails in a line and a status."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import closed_form, data, evaluation, scale, text, tune_baselines
from gnnrec.errors import ConfigError, DataError, GnnrecError

ROOT = Path(__file__).resolve().parents[2]


def test_a_trial_on_fewer_texts_keeps_the_other_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(texts: list[str], max_length: int, rounds: int, note: str) -> list[dict[str, object]]:
        return [{"case": "gnnrec", "num_texts": len(texts), "max_length": max_length, "rounds": rounds}]

    monkeypatch.setattr(text, "measure", measure)
    monkeypatch.setattr(text, "read_texts", lambda folder, num: ["text"] * num)
    out = tmp_path / "text.csv"
    for num, rounds in ((30, 6), (10, 1), (30, 2)):
        text.main(["--num", str(num), "--rounds", str(rounds), "--threads", "1", "--output", str(out)])
    assert pd.read_csv(out)[["num_texts", "rounds"]].to_numpy().tolist() == [[10, 1], [30, 2]]


def test_evaluation_writes_below_the_repository_and_tells_users_apart() -> None:
    assert evaluation.OUT == ROOT / "results" / "benchmarks" / "evaluation.csv"
    assert "num_users" in evaluation.IDENTITY


def test_the_recorded_command_has_the_data_set_as_it_was_given() -> None:
    words = {"dataset": "../shared/my data", "split": "random", "seed": 0, "text": "minilm", "out": "o.csv"}
    found = shlex.split(tune_baselines.command_line(argparse.Namespace(**words), "ease"))
    assert found[:4] == ["python", "benchmarks/tune_baselines.py", "--dataset", "../shared/my data"]


def failing(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], 1, stdout="", stderr="Traceback\nValueError: broken\n")


def test_failed_cases_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        data.main(["--folder", str(tmp_path / "missing")])
    with pytest.raises(DataError, match="no data set"):
        closed_form.main(["--dataset", str(tmp_path / "missing")])
    monkeypatch.setattr(subprocess, "run", failing)
    out = tmp_path / "rows.csv"
    monkeypatch.setattr(data, "RESULT", out)
    with pytest.raises(GnnrecError, match="4 of 4 cases failed"):
        data.main(["--folder", str(tmp_path)])
    with pytest.raises(GnnrecError, match="no row for ials"):
        closed_form.main(
            ["--pairs", "99", "--users", "9", "--items", "9", "--models", "ials", "--out", str(out)]
        )
    with pytest.raises(GnnrecError, match="no row for 100 edges"):
        scale.main(["--edges", "100", "--output", str(out)])
    assert capsys.readouterr().err.count("ValueError: broken") == 6
    assert not out.exists()


@pytest.mark.parametrize("name", ["data", "closed_form"])
def test_a_script_ends_with_a_line_and_a_status(name: str, tmp_path: Path) -> None:
    option = "--folder" if name == "data" else "--dataset"
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), option, str(tmp_path / "missing")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
