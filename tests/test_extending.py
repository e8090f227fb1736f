"""docs/extending.md: its files are written into a copy of the project as they stand, and its commands are run there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
# A block is the file that is named last before it.
FILES = re.findall(r"`([\w/.-]+\.\w+)`[^`]*\n\n```\w+\n(.*?)```", DOCUMENT, flags=re.DOTALL)
COMMANDS = re.findall(r"^    python (.*)$", DOCUMENT, flags=re.MULTILINE)
# One process for all commands: the time of a test is mostly that of importing torch.
DRIVER = """
import json, os, runpy, sys
sys.path.insert(0, os.getcwd())
for script, *words in json.loads(sys.argv[1]):
    sys.argv = [script, *words]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as done:
        if done.code:
            sys.exit(f"{script} {words}: exit status {done.code}")
"""


def test_every_file_and_command_of_the_document_is_found() -> None:
    names = [name for name, _ in FILES]
    assert len(names) == DOCUMENT.count("```") // 2 == len(set(names))
    assert len(COMMANDS) == DOCUMENT.count("\n    python ")


def test_what_the_document_adds_works_as_it_stands(planted_folder: Path, tmp_path: Path) -> None:
    for folder in ("gnnrec", "experiments", "data_scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, content in FILES:
        assert not (tmp_path / name).exists()
        (tmp_path / name).write_text(content, encoding="utf-8")
    quick = ["dataset=folder", f"dataset.name={planted_folder}", "text=hash", "init.dim=16", "train.epochs=1"]
    done = []
    for command in COMMANDS:
        script, *words = shlex.split(command)
        if script.startswith("experiments/") and "dataset=mine" not in words and "--dry-run" not in words:
            words += quick
        if script == "experiments/table.py" and "--dry-run" not in words:
            words += ["--seeds", "0", "--output", "out"]
        if script in ("experiments/run.py", "experiments/tune.py"):
            words.append("tracking=disabled")
        done.append([script, *words])
    homes = {"GNNREC_DATA": str(tmp_path / "data"), "GNNREC_CACHE": str(tmp_path / "cache")}
    result = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(done)],
        cwd=tmp_path,
        env={**os.environ, **homes},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "| margin |" in (tmp_path / "out" / "mine.md").read_text(encoding="utf-8")
