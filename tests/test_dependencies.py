"""The versions that setup.cfg allows are those of the two files of constraints."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


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
