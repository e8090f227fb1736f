"""What a YAML takes over from the presets below it: of a class that it replaces, no arguments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from gnnrec.typed import TARGET


def replaced_arguments(files: Iterable[tuple[str, Path]]) -> set[str]:
    """Return the dotted keys that composing these files leaves over from classes that a later file replaced.

    Hydra merges mappings, so `encoder: {_target_: Mine, hops: 2}` over a preset with
    `encoder: {_target_: LightGCN, num_layers: 3}` keeps num_layers, which is no argument of Mine.

    Args:
        files: where in the configuration each goes ("" for the whole), and the file, in the order of composition. The
            files of the same folder that one names in its `defaults` come before it.
    """
    targets: dict[str, str] = {}
    arguments: dict[str, set[str]] = {}
    left: set[str] = set()
    for where, file in files:
        for layer in _layers(file):
            for key, own in _mappings(where, layer):
                target = own.get(TARGET, targets.get(key))
                if target != targets.get(key):
                    left |= {f"{key}.{name}" for name in arguments.pop(key, ())}
                if target is not None:
                    targets[key] = str(target)
                    arguments.setdefault(key, set()).update(map(str, own.keys() - {TARGET}))
                left -= {f"{key}.{name}" for name in own}
    return left


def _layers(file: Path) -> Iterator[Mapping[str, Any]]:
    """Yield what the files that one builds on say, and then the file itself."""
    tree = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    for base in tree.pop("defaults", []):
        if isinstance(base, str) and base != "_self_":
            yield from _layers(file.with_name(f"{base}.yaml"))
    yield tree


def _mappings(key: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a mapping and all below it, with their dotted keys."""
    yield key, node
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _mappings(f"{key}.{name}" if key else str(name), value)
