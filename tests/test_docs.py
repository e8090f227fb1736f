"""Every command in docs/ and results/ names a script that is there, and runs and tables a configuration that is one.

README.md, docs/running.md (test_readme.py) and docs/extending.md (test_extending.py) are run for real; the commands
here take minutes to hours.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from experiments.compose import compose_config, expand
from experiments.search import draw_trials
from experiments.spec import read_spec
from gnnrec.config import RunConfig

ROOT = Path(__file__).resolve().parents[1]
FLAGS = {"-m", "--cfg", "--help", "--dry-run"}


def commands(document: Path) -> list[str]:
    """Return the Python commands of a document: lines of code blocks, indented or fenced, and code within a line."""
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^ *(?:\w+=\S+ )*(python \w+/\w+\.py[^\n]*)", text, flags=re.MULTILINE)
    return lines + re.findall(r"`(?:\w+=\S+ )*(python \w+/\w+\.py[^`]*)`", text)


DOCUMENTED = sorted(
    {
        (str(path.relative_to(ROOT)), command)
        for folder in ("docs", "results")
        for path in (ROOT / folder).glob("*.md")
        if path.name != "extending.md"  # its commands are of files that the reader adds
        for command in commands(path)
    }
)


def test_commands_are_found() -> None:
    found = {document for document, _ in DOCUMENTED}
    assert {"docs/findings.md", "docs/models.md", "docs/performance.md", "results/parity.md"} <= found


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the finished runs that commands call runs/KEY."""
    for name in ("KEY", "KEY1", "KEY2"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        for file in ("DONE", "embeddings.safetensors"):
            (folder / file).touch()
    monkeypatch.chdir(tmp_path)


def known_flags(script: Path) -> set[str]:
    """Return the flags that a script's file, or one of its own that it imports, has between quotes, dashes or none."""
    text = script.read_text(encoding="utf-8")
    for module in re.findall(
        r"^(?:from|import) ((?:benchmarks|experiments|gnnrec\.data)\.[\w.]+)", text, re.MULTILINE
    ):
        file = ROOT / f"{module.replace('.', '/')}.py"
        text += file.read_text(encoding="utf-8") if file.is_file() else ""
    return {f"{dashes or '--'}{name}" for dashes, name in re.findall(r'"(--?)?([a-z][\w-]*)"', text)}


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(("document", "command"), DOCUMENTED)
def test_a_command_is_one_that_can_be_called(document: str, command: str) -> None:
    script, *words = shlex.split(command, comments=True)[1:]
    assert (ROOT / script).is_file()
    assert {word for word in words if re.match(r"-[-a-z]", word)} <= known_flags(ROOT / script)
    overrides = [word for word in words if word not in FLAGS]
    if script == "experiments/run.py":
        for job in expand(overrides):
            RunConfig.from_dict(compose_config(job))
    elif script == "experiments/tune.py":
        [trial] = draw_trials([word for word in overrides if not re.match(r"--|\d+$", word)], 1, 0)
        RunConfig.from_dict(compose_config(trial))
    elif script == "experiments/table.py":
        read_spec(overrides[0].removeprefix("table="))
