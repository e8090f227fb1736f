"""Texts and settings that tests of encoding share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gnnrec.text import TextConfig

TEXTS = ["the shared library", "ink", "red ink printer cartridge for the printer", "a text editor for files"]


def config_of(folder: Path, **changes: object) -> TextConfig:
    return replace(TextConfig(model=str(folder), dtype="float32"), **changes)  # type: ignore[arg-type]
