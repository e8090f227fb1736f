"""The versions that setup.cfg allows are those of the two files of constraints."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OWN = ("gnnrec", "experiments", "data_scripts")
PACKAGES = {"torch_geometric": "torch-geometric", "yaml": "pyyaml", "hydra": "hydra-core"}


def required() -> dict[str, str]:
    """Return the lower bound of each package that setup.cfg names, extras included."""
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    lines = [metadata["options"]["install_requires"], *metadata["options.extras_require"].values()]
    names = [name for line in lines for name in line.split()]
    return dict(name.split(">=") for name in names if ">=" in name)


def pinned(file: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE))


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    assert pinned("constraints-oldest.txt") == required()


def test_the_tested_versions_are_allowed() -> None:
    newest = pinned("constraints.txt")
    for name, bound in required().items():
        assert numbers(newest[name]) >= numbers(bound), name


def test_what_is_imported_is_declared_and_what_is_declared_is_explained() -> None:
    imported = set()
    for file in (file for folder in OWN for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    others = imported - set(sys.stdlib_module_names) - set(OWN)
    assert len(others) > 10
    assert {PACKAGES.get(name, name.replace("_", "-")) for name in others} <= set(required())
    document = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    assert [name for name in required() if name not in document] == []
